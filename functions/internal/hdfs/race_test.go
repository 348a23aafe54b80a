package hdfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

// seed is HDFS_SEED, or new each time.
func seed(tb testing.TB) uint64 {
	tb.Helper()
	n, err := strconv.ParseUint(os.Getenv("HDFS_SEED"), 10, 64)
	if err != nil {
		n = uint64(time.Now().UnixNano())
	}
	tb.Logf("HDFS_SEED=%d", n)
	return n
}

// race lets writers rename to the same name in each round, and sees that exactly one of them is told that it won, and that
// what lies there is what it wrote.
func race(t *testing.T, f *hdfs.FS, rounds, writers int, kind string) {
	t.Helper()
	for round := range rounds {
		var winner, won atomic.Int64
		var all sync.WaitGroup
		target := fmt.Sprintf("%s/new-%d", kind, round)
		var ready sync.WaitGroup
		ready.Add(writers)
		for w := range writers {
			old, at := fmt.Sprintf("%s/old-%d-%d", kind, round, w), ""
			if kind == "folder" {
				at = "/x"
			}
			all.Go(func() {
				if err := fsys.WriteFile(f, old+at, []byte(strconv.Itoa(w))); err != nil {
					t.Error(err)
				}
				ready.Done()
				ready.Wait()
				switch err := f.RenameNew(old, target); {
				case err == nil:
					won.Add(1)
					winner.Store(int64(w))
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("RenameNew = %v, want nil or fs.ErrExist", err)
				}
			})
		}
		all.Wait()
		name := target
		if kind == "folder" {
			name += "/x"
		}
		data, err := fsys.ReadFile(f, name)
		if won.Load() != 1 || err != nil || string(data) != strconv.FormatInt(winner.Load(), 10) {
			t.Fatalf("round %d of a %s: %d won, the last of them %d; there lies %q, %v", round, kind, won.Load(), winner.Load(), data, err)
		}
	}
}

func TestOneOfManyRenamesWins(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		f := openAt(t, folder(t, cfg), cfg)
		rounds := 50
		if cfg.Metadata == "web" { // the rename is the same
			rounds = 15
		}
		for _, kind := range []string{"file", "folder"} {
			race(t, f, rounds, 8, kind)
		}
		if err := f.RenameNew("nonesuch", "x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("RenameNew of a missing file = %v, want fs.ErrNotExist", err)
		}
	})
}

// lossy makes both ways to the NameNode lose one of so many answers.
func lossy(t *testing.T, cfg hdfs.Config, odds int) (_ hdfs.Config, lost func() int64) {
	t.Helper()
	if strings.HasPrefix(cfg.Web[0], "https") {
		t.Skip("losing answers is tested without TLS")
	}
	n := seed(t)
	rpc, rpcAddr := newProxy(t, cfg.NameNodes[0], odds, n)
	web, webAddr := newProxy(t, hostOf(t, cfg.Web[0]), odds, n+1)
	cfg.NameNodes, cfg.Web = []string{rpcAddr}, []string{"http://" + webAddr}
	return cfg, func() int64 { return rpc.lost.Load() + web.lost.Load() }
}

func TestOneOfManyRenamesWinsWhenAnswersAreLost(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		dir := folder(t, cfg)
		cfg, lost := lossy(t, cfg, 12)
		f := openAt(t, dir, cfg)
		for _, kind := range []string{"file", "folder"} {
			race(t, f, 12, 6, kind)
		}
		t.Logf("%d answers were lost", lost())
		if lost() == 0 {
			t.Error("no answer was lost")
		}
	})
}

// The whole conformance suite, in which no commit may be lost or be done twice, while answers get lost.
func TestConformanceWhenAnswersAreLost(t *testing.T) {
	cfg, lost := lossy(t, config(t), 50)
	conform(t, cfg, laketest.RunSlow)
	t.Cleanup(func() { t.Logf("%d answers were lost", lost()) })
}
