// Package crash kills the almanac command at random moments, and compares what comes out with an undisturbed run.
package crash

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

var (
	almanac  = flag.String("almanac", "", "the almanac `command`; without it the test is skipped")
	datasets = flag.String("datasets", "../../spark-jobs", "`folder` of the datasets")
	kills    = flag.Int("kills", 20, "how often to kill")
	seed     = flag.Uint64("seed", 0, "of the moments; 0 takes one from the clock")
	keep     = flag.Bool("keep", false, "keep the data folder of a run that failed")
)

// deadline of one command that is not killed.
const deadline = 5 * time.Minute

// campaign is a series of runs that are killed.
type campaign struct {
	dir     string
	random  *rand.Rand
	want    *outcome.Outcome
	sources map[string]*reader.Source
	length  time.Duration // of the undisturbed run

	kills, ends, temporary, unclaimed int
	phases                            map[string]int
	moments                           map[string]int
}

func TestKillNine(t *testing.T) {
	if *almanac == "" {
		t.Skip("give the command to kill: go test ./tests/crash -args -almanac bin/almanac -kills 200, or make crash")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: repeat with -seed %d", *seed, *seed)
	c := &campaign{dir: t.TempDir(), random: rand.New(rand.NewPCG(*seed, 0)), phases: map[string]int{}, moments: map[string]int{}, sources: map[string]*reader.Source{}}
	c.readSources(t)
	c.undisturbed(t)
	for c.kills < *kills && !t.Failed() {
		c.untilItEnds(t)
	}
	c.report(t)
}

// box is the command over one data folder.
func (c *campaign) box(t *testing.T, name string) box.Box {
	t.Helper()
	binary, err := filepath.Abs(*almanac)
	if err != nil {
		t.Fatal(err)
	}
	return box.Box{Binary: binary, Datasets: *datasets, Data: filepath.Join(c.dir, name)}
}

func (c *campaign) readSources(t *testing.T) {
	t.Helper()
	for name, read := range map[string]func(string) (*reader.Source, error){"flights": reader.Flights, "births": reader.Births} {
		source, err := read(filepath.Join(*datasets, name, "sample"))
		if err != nil {
			t.Fatal(err)
		}
		c.sources[name] = source
		t.Logf("%s: %d records in the source, %d of them outside the contract", name, source.Read, source.Refused.Len())
	}
}

// undisturbed makes what all other runs are compared with.
func (c *campaign) undisturbed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	b := c.box(t, "undisturbed")
	result, err := b.Run(ctx, "run", "--no-serve")
	if err != nil || result.Code != 0 {
		t.Fatalf("the undisturbed run: %v: %s", err, result)
	}
	c.length = result.Wall
	t.Logf("the undisturbed run took %.1fs, %.1f CPU seconds, %d MB", result.Wall.Seconds(), result.CPU.Seconds(), result.PeakRSS>>20)
	if c.want, err = outcome.Examine(ctx, b, filepath.Join(b.Data, "warehouse")); err != nil {
		t.Fatal(err)
	}
	if len(c.want.Releases) == 0 {
		t.Fatal("the undisturbed run has published no release, so there is nothing to compare with")
	}
	c.check(t, b, c.want)
}

// untilItEnds begins on a new folder, and kills and starts again until a run ends by itself.
func (c *campaign) untilItEnds(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*deadline)
	defer cancel()
	b := c.box(t, fmt.Sprintf("killed-%d", c.ends+1))
	began := time.Now()
	for n := 1; ; n++ {
		running, err := b.Start("run", "--no-serve")
		if err != nil {
			t.Fatal(err)
		}
		killed, result := c.kill(running)
		if killed {
			c.look(ctx, t, b, n, result)
			continue
		}
		if result.Code != 0 {
			t.Fatalf("run %d on %s, killed %d times before: %s", n, b.Data, n-1, result)
		}
		t.Logf("ended after %d kills and %.1fs", n-1, time.Since(began).Seconds())
		break
	}
	c.ends++
	got, err := outcome.Examine(ctx, b, filepath.Join(b.Data, "warehouse"))
	if err != nil {
		t.Fatalf("after %d ends: %v", c.ends, err)
	}
	c.check(t, b, got)
	c.idle(ctx, t, b)
	if t.Failed() && *keep {
		kept, err := os.MkdirTemp("", "almanac-crash-")
		t.Logf("kept as %s: %v", kept, os.CopyFS(kept, os.DirFS(b.Data)))
		_ = err
	}
	if err := os.RemoveAll(b.Data); err != nil {
		t.Error(err)
	}
}

// kill waits a random time and kills, unless the run ends before or there were enough kills.
func (c *campaign) kill(running *box.Running) (bool, box.Result) {
	if c.kills >= *kills {
		return false, running.Result()
	}
	moment := time.NewTimer(c.moment())
	defer moment.Stop()
	select {
	case <-running.Ended():
		return false, running.Result()
	case <-moment.C:
	}
	running.Signal(syscall.SIGKILL)
	result := running.Result()
	if result.Code != -1 {
		return false, result // it was quicker
	}
	c.kills++
	return true, result
}

// moment draws how long a run lives: many are killed while they start and find out where they were; most early in their work, so that a
// folder sees many kills before it is finished; and some later.
func (c *campaign) moment() time.Duration {
	uniform := func(most time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(most))) }
	switch draw := c.random.IntN(10); {
	case draw < 3:
		return uniform(min(400*time.Millisecond, c.length))
	case draw < 9:
		return uniform(min(2500*time.Millisecond, c.length))
	}
	return uniform(min(8*time.Second, c.length))
}

// look notes what the kill hit. A second process that opens the folder in between is part of the test: it must not matter.
func (c *campaign) look(ctx context.Context, t *testing.T, b box.Box, n int, killed box.Result) {
	t.Helper()
	c.moments[bucket(killed.Wall)]++
	if c.random.IntN(3) > 0 {
		return
	}
	all, err := b.Status(ctx)
	if err != nil {
		if strings.Contains(err.Error(), "no data folder yet") {
			c.phases["before the folder was made"]++
			return
		}
		t.Fatalf("status after kill %d: %v", n, err)
	}
	hit, blocked := map[string]bool{}, 0
	for _, d := range all {
		for _, w := range d.Windows {
			switch w.Phase {
			case "collecting", "processing", "validating", "storing":
				hit[w.Phase] = true
			case "running":
				hit[map[string]string{"aggregate": "aggregating", "deliver": "delivering"}[w.Step]] = true
			case "due", "blocked":
				blocked++
			}
		}
	}
	switch {
	case len(hit) == 0 && blocked == 0:
		hit["after all work"] = true
	case len(hit) == 0:
		hit["between two pieces of work"] = true
	}
	for phase := range hit {
		c.phases[phase]++
	}
}

func bucket(d time.Duration) string {
	for _, limit := range []int64{100, 200, 400, 800, 1600, 3200, 6400} {
		if d.Milliseconds() < limit {
			return fmt.Sprintf("within %5d ms", limit)
		}
	}
	return "later"
}

// check holds a finished folder to the undisturbed one and to the source.
func (c *campaign) check(t *testing.T, b box.Box, got *outcome.Outcome) {
	t.Helper()
	warehouse := filepath.Join(b.Data, "warehouse")
	wrong := slices.Concat(got.Faults(), got.Differences(c.want))
	for name, source := range c.sources {
		wrong = append(wrong, outcome.Against(warehouse, name, source)...)
	}
	for i, text := range wrong {
		if i == 20 {
			t.Errorf("%s: and %d more", b.Data, len(wrong)-i)
			break
		}
		t.Errorf("%s: %s", b.Data, text)
	}
	temporary, unclaimed, err := got.Leftover(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	c.temporary += len(temporary)
	c.unclaimed += len(unclaimed)
	if len(temporary) > 0 {
		t.Errorf("%s: %d temporary files are left over: %s", b.Data, len(temporary), strings.Join(temporary[:min(3, len(temporary))], ", "))
	}
}

// idle runs once more: nothing is to do, and nothing changes.
func (c *campaign) idle(ctx context.Context, t *testing.T, b box.Box) {
	t.Helper()
	warehouse := filepath.Join(b.Data, "warehouse")
	before, err := reader.Listing(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	result, err := b.Run(ctx, "run", "--no-serve")
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != 0 || !strings.Contains(result.Out, "nothing to do") {
		t.Errorf("a run on the finished %s should say that nothing is to do: %s", b.Data, result)
	}
	after, err := reader.Listing(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range outcome.Union(before, after) {
		if before[name] != after[name] {
			t.Errorf("a run on the finished %s changed %s: %q, before %q", b.Data, name, after[name], before[name])
		}
	}
}

func (c *campaign) report(t *testing.T) {
	t.Helper()
	t.Logf("%d kills, %d runs to the end, %d unclaimed files named by their digest, %d temporary files", c.kills, c.ends, c.unclaimed, c.temporary)
	for title, counts := range map[string]map[string]int{"lived": c.moments, "work under way at the kill (every third kill is looked at)": c.phases} {
		t.Log(title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			t.Logf("  %-28s %4d %s", name, counts[name], strings.Repeat("#", (counts[name]+1)/2))
		}
	}
}
