package lake_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

const crashDir = "LAKE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := commitForEver(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// commitForEver is the child: it counts the generation of three windows up, and says each commit that was acknowledged.
func commitForEver(dir string) error {
	ctx := context.Background()
	l, err := lake.Open(ctx, dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		day := laketest.Day(i % 3)
		head, err := l.Head(ctx, laketest.Rows)
		if err != nil {
			return err
		}
		generation := generationOf(head.Entries[day.Key()]) + 1
		p := l.NewParquet(ctx, lake.DataDir(laketest.Rows, day), laketest.Schema)
		if err := p.Write(laketest.Batch(day, generation, 5)); err != nil {
			return err
		}
		files, err := p.Finish()
		if err != nil {
			return err
		}
		if _, err := l.Replace(ctx, laketest.Replacing(day, laketest.Entry(generation), files...)); err != nil {
			return err
		}
		fmt.Println(day.Key(), generation)
	}
}

func generationOf(entry json.RawMessage) int {
	var e struct {
		Generation int `json:"generation"`
	}
	_ = json.Unmarshal(entry, &e)
	return e.Generation
}

// TestKillLosesNoCommit kills a child that commits, at random moments, and looks whether the table holds what the child said,
// or one commit more.
func TestKillLosesNoCommit(t *testing.T) {
	kills, seed := 5, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("LAKE_KILLS")); err == nil {
		kills = n
	}
	if s, err := strconv.ParseUint(os.Getenv("LAKE_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("LAKE_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	said := map[string]int{}
	other := laketest.Day(3)
	for range kills {
		runAndKill(t, dir, time.Duration(20+r.IntN(150))*time.Millisecond, said)
		// A lake of its own: nothing of what it knows is left of before.
		l := open(t, dir)
		started := time.Now()
		head := laketest.MustHead(t, l)
		for key, entry := range head.Entries {
			generation := generationOf(entry)
			if generation < said[key] || generation > said[key]+1 {
				t.Errorf("%s is at generation %d, acknowledged was %d", key, generation, said[key])
			}
			said[key] = generation
			if key == other.Key() {
				continue
			}
			files, err := l.Files(t.Context(), laketest.Rows, head.Snapshot, []string{key})
			if err != nil || len(files) != 1 || files[0].Rows != 5 {
				t.Errorf("%s has files %v, %v, want one of 5 rows", key, files, err)
			}
			for _, f := range files {
				if _, err := l.ReadFile(t.Context(), f.Path); err != nil {
					t.Error(err)
				}
			}
		}
		// The next commit does not wait for anything that the killed one has left.
		laketest.MustReplace(t, l, laketest.Replacing(other, laketest.Entry(0)))
		if d := time.Since(started); d > 20*time.Second {
			t.Errorf("a commit after a kill took %s", d)
		}
	}
	t.Logf("generations at the end: %v", said)
}

// runAndKill runs a child for a while after its first commit and notes what it said.
func runAndKill(t *testing.T, dir string, after time.Duration, said map[string]int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil {
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		key, generation, ok := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(generation)
		if !ok || err != nil {
			t.Errorf("child says %q", lines.Text())
			continue
		}
		said[key] = n
	}
	_ = cmd.Wait()
	if timer == nil {
		t.Fatal("child made no commit")
	}
	timer.Stop()
}
