package cluster

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
)

// TestShared lets several instances do a month of the job at once: they share the work, and what comes out is what one process makes.
func TestShared(t *testing.T) {
	c := running(t)
	datasets := firstMonths(t, "2001-02-01")
	want := inOneProcess(t, datasets).outcome
	t.Run("two runs", func(t *testing.T) { c.twoRuns(t, datasets, want) })
	c.empty(t)
	t.Run("two runs, one of which is killed", func(t *testing.T) { c.oneOfTwoKilled(t, datasets, want) })
	if *functions != "" {
		c.empty(t)
		t.Run("two instances of each function", func(t *testing.T) { c.twoOfEach(t, datasets, want) })
	}
}

// shared are the steps that two instances should do half of each. A tenth is the least that passes, as one of two runs may be a member before
// the other. Collecting files as small as these is over before the second is one, and a month has only a few aggregates.
var shared = []string{"process", "validate"}

func (c *centre) twoRuns(t *testing.T, datasets string, want *outcome.Outcome) {
	b := c.box(t, datasets)
	began := time.Now()
	urls := make([]string, 2)
	runs := make([]*box.Running, 2)
	for i := range runs {
		runs[i] = start(t, b, "run", "--listen", "127.0.0.1:0")
	}
	for i, r := range runs {
		at, err := r.Await(`Serving on (http://\S+)`, patience)
		if err != nil {
			t.Fatal(err)
		}
		urls[i] = at[1]
	}
	t.Logf("two runs did it in %.0fs", time.Since(began).Seconds())
	judge(t, urls, shared)
	for _, r := range runs {
		result := r.Stop()
		t.Log(result.Out)
		if result.Code != 0 {
			t.Errorf("a run ends so: %s", result)
		}
	}
	c.same(t, b, want, sources(t, datasets))
}

// oneOfTwoKilled kills one of two runs once it has done some work; the other does the rest.
func (c *centre) oneOfTwoKilled(t *testing.T, datasets string, want *outcome.Outcome) {
	b := c.box(t, datasets)
	began := time.Now()
	dies, stays := start(t, b, "run", "--no-serve"), start(t, b, "run", "--no-serve")
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		all, err := b.Status(t.Context())
		if err == nil && windows(all, "stored") > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is stored: %v", err)
		}
	}
	dies.Signal(syscall.SIGKILL)
	killed := time.Now()
	dies.Result()
	result, err := stays.Within(patient(t))
	if err != nil || result.Code != 0 {
		t.Fatalf("the run that stays ends so: %v, %s", err, result)
	}
	t.Logf("one was killed after %.0fs, the other ended %.0fs later\n%s", killed.Sub(began).Seconds(), time.Since(killed).Seconds(), result.Out)
	c.same(t, b, want, sources(t, datasets))
}

func start(t *testing.T, b box.Box, args ...string) *box.Running {
	t.Helper()
	r, err := b.Start(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Signal(syscall.SIGKILL) })
	return r
}

func windows(all []box.Dataset, phase string) (n int) {
	for _, d := range all {
		for _, w := range d.Windows {
			if w.Phase == phase {
				n++
			}
		}
	}
	return n
}

// twoOfEach starts every function twice, and two sources of one name for each, of which either wakes both instances.
func (c *centre) twoOfEach(t *testing.T, datasets string, want *outcome.Outcome) {
	b := c.box(t, datasets)
	p := &platform{dir: t.TempDir()}
	env := append(box.Lines(run(t, b, 0, "env").Out), "ALMANAC_DATASETS="+datasets, "ALMANAC_QUIET=0s", "ALMANAC_GRACE=5s")
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	began := time.Now()
	urls := map[string][]string{}
	for name, topics := range wakes {
		for range 2 {
			urls[name] = append(urls[name], "http://"+p.function(ctx, t, name, env))
		}
		sinks := strings.Join(urls[name], ",")
		for range 2 {
			p.source(ctx, t, b, "--config", b.Config, "--name", name, "--topics", strings.Join(topics, ","), "--sink", sinks)
		}
	}
	p.source(ctx, t, b, "--name", "ticks", "--schedule", "*/5 * * * * *", "--sink", strings.Join(urls["calendar"], ","))
	for !done(ctx, b) {
		select {
		case <-ctx.Done():
			t.Fatalf("not done after %s; the last of the logs:\n%s", patience, p.logs())
		case <-time.After(time.Second):
		}
	}
	t.Logf("%d functions and sources did it in %.0fs", len(p.all), time.Since(began).Seconds())
	for name, both := range urls {
		if slices.Contains(shared, name) {
			judge(t, both, []string{name})
		}
	}
	p.ready(t, time.Minute)
	stop()
	p.close(t)
	c.same(t, b, want, sources(t, datasets))
}

// judge compares how many bytes each of two processes has written, by step.
func judge(t *testing.T, urls, steps []string) {
	t.Helper()
	first, second := written(t, urls[0]), written(t, urls[1])
	for _, step := range steps {
		all := first[step] + second[step]
		share := first[step] / all
		t.Logf("%s: the first wrote %.0f%% of %.0f bytes", step, 100*share, all)
		if all == 0 || share < 0.1 || share > 0.9 {
			t.Errorf("%s: one wrote %.0f and the other %.0f bytes, want about half each", step, first[step], second[step])
		}
	}
}

var bytesTotal = regexp.MustCompile(`^almanac_bytes_total\{dataset="flights",step="(\w+)"\} (\S+)$`)

// written asks a process for the bytes that it has written, by step.
func written(t *testing.T, url string) map[string]float64 {
	t.Helper()
	response, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	by := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if found := bytesTotal.FindStringSubmatch(lines.Text()); found != nil {
			if by[found[1]], err = strconv.ParseFloat(found[2], 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return by
}
