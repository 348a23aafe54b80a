package hdfs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

// killer runs ALMANAC_TEST_HDFS_KILL, a command that kills -9 and starts again what its argument says, namenode or datanode.
func killer(t *testing.T) func(what string) {
	t.Helper()
	command := os.Getenv("ALMANAC_TEST_HDFS_KILL")
	if command == "" {
		t.Skip("kills servers: set ALMANAC_TEST_HDFS_KILL to a command that, given namenode or datanode, kills one and starts it again")
	}
	return func(what string) {
		if err := exec.CommandContext(t.Context(), command, what).Run(); err != nil {
			t.Errorf("kill %s: %v", what, err)
		}
	}
}

// TestKillsLoseNoCommit kills servers while writers commit and write large files: what was acknowledged is there, once, whole.
func TestKillsLoseNoCommit(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		kill := killer(t)
		dir := folder(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		// So that there is a head that can move: with none, commits do not demand that it has not.
		laketest.MustReplace(t, lake.OpenOn(openAt(t, dir, cfg)), laketest.Replacing(laketest.Day(9), json.RawMessage(`[]`)))
		var all sync.WaitGroup
		var commits, failures, large, broken atomic.Int64
		for w := range 3 {
			l := lake.OpenOn(openAt(t, dir, cfg))
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					files := write(ctx, l, i, &failures)
					name := fmt.Sprintf("%d/%d", w, i)
					for !committed(ctx, t, l, i, name, files) {
						failures.Add(1)
					}
					commits.Add(1)
				}
			})
		}
		f := openAt(t, dir, cfg)
		all.Go(func() {
			data := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // 32 MiB
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("large/%d", i)
				if err := fsys.WriteFile(f, name, data); err != nil {
					broken.Add(1)
					time.Sleep(200 * time.Millisecond)
					continue
				}
				large.Add(1)
				if got, err := fsys.ReadFile(f, name); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
				if err := f.Remove(name); err != nil {
					t.Error(err)
				}
			}
		})
		victims := []string{"datanode", "namenode", "datanode", "namenode"}
		if cfg.Metadata == "web" { // whose writes are a DataNode's, which mends them itself
			victims = victims[:2]
		}
		for _, what := range victims {
			time.Sleep(4 * time.Second) // let the work get somewhere, and the cluster become whole
			before := commits.Load()
			kill(what)
			for start := time.Now(); commits.Load() < before+3 && time.Since(start) < 2*time.Minute; {
				time.Sleep(50 * time.Millisecond)
			}
		}
		cancel()
		all.Wait()
		t.Logf("%d commits, %d attempts failed; %d large files, %d broke", commits.Load(), failures.Load(), large.Load(), broken.Load())
		seen := map[string]int{}
		for key, entry := range laketest.MustHead(t, lake.OpenOn(openAt(t, dir, cfg))).Entries {
			for _, name := range names(entry) {
				if seen[name]++; seen[name] > 1 {
					t.Errorf("%s was done twice, also in %s", name, key)
				}
			}
		}
		if int64(len(seen)) != commits.Load() {
			t.Errorf("the table holds %d commits, acknowledged are %d", len(seen), commits.Load())
		}
	})
}

// write writes rows until it succeeds.
func write(ctx context.Context, l *lake.Lake, i int, failures *atomic.Int64) []events.File {
	for {
		p := l.NewParquet(context.WithoutCancel(ctx), lake.DataDir(laketest.Rows, laketest.Day(i%5)), laketest.Schema)
		err := p.Write(laketest.Batch(laketest.Day(i%5), i, 10))
		if err == nil {
			if files, err := p.Finish(); err == nil {
				return files
			}
		}
		_ = p.Abort()
		failures.Add(1)
	}
}

// committed adds a name to the entry of a window, unless it is there.
func committed(ctx context.Context, t *testing.T, l *lake.Lake, i int, name string, files []events.File) bool {
	t.Helper()
	ctx = context.WithoutCancel(ctx)
	day := laketest.Day(i % 5)
	head, err := l.Head(ctx, laketest.Rows)
	if err != nil {
		return false
	}
	present := names(head.Entries[day.Key()])
	if slices.Contains(present, name) {
		return true
	}
	entry, err := json.Marshal(append(present, name))
	if err != nil {
		t.Error(err)
	}
	r := laketest.Replacing(day, entry, files...)
	r.Head = head.Snapshot
	_, err = l.Replace(ctx, r)
	if err != nil && !strings.Contains(err.Error(), "moved") {
		t.Logf("commit %s: %v", name, err)
	}
	return err == nil
}

func names(entry json.RawMessage) []string {
	var all []string
	_ = json.Unmarshal(entry, &all)
	return all
}
