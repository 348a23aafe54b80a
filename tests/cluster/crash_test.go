package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// process is what is killed beside the servers: the run itself.
const process = "almanac"

// victims are killed in this order, at random moments: those that ingest needs first, as it comes first.
var victims = []string{process, "kafka", "datanode1", "namenode", process, "executors", "spark"}

// campaign is a job that is done while things are killed.
type campaign struct {
	centre *centre
	random *rand.Rand
	plan   []string // what is still to be killed
	kills  map[string]int
	told   map[string]int // log lines, without what differs from time to time
	rounds int
}

// TestKilled does a part of the job while every server and the run itself are killed by SIGKILL, and started again. Nobody else helps. What
// comes out is what one process makes undisturbed.
func TestKilled(t *testing.T) {
	c := running(t)
	r := random(t)
	datasets := firstMonths(t, "2001-03-01", "2001-03", "2001-04", "2001-05", "2001-06")
	want := inOneProcess(t, datasets).outcome
	m := &campaign{centre: c, random: r, plan: slices.Clone(victims), kills: map[string]int{}, told: map[string]int{}}
	for len(m.plan) < *kills {
		m.plan = append(m.plan, victims[r.IntN(len(victims))])
	}
	if *kills > 0 {
		m.plan = m.plan[:*kills]
	}
	for len(m.plan) > 0 && !t.Failed() {
		if m.rounds++; m.rounds > 1 {
			c.empty(t)
		}
		began := time.Now()
		m.round(t, c.box(t, datasets))
		t.Logf("round %d ended after %.0fs and %v", m.rounds, time.Since(began).Seconds(), m.kills)
		c.same(t, c.box(t, datasets), want, sources(t, datasets))
	}
	m.report(t)
}

// firstMonths is the shipped flights up to a day, without the sample of later months.
func firstMonths(t *testing.T, end string, later ...string) string {
	t.Helper()
	datasets := shipped(t, "flights")
	name := filepath.Join(datasets, "flights", "pipeline.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(string(text), "end: 2001-07-01", "end: "+end, 1)
	if short == string(text) {
		t.Fatal("the pipeline of flights does not end where this test thinks")
	}
	if err := os.WriteFile(name, []byte(short), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, month := range later {
		if err := os.RemoveAll(filepath.Join(datasets, "flights", "sample", month)); err != nil {
			t.Fatal(err)
		}
	}
	return datasets
}

// round does the job once, from nothing to its end.
func (m *campaign) round(t *testing.T, b box.Box) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	for lives := 1; ; lives++ {
		running, err := b.Start("run", "--no-serve", "--logs")
		if err != nil {
			t.Fatal(err)
		}
		killed := m.kill(ctx, t, running)
		result := running.Result()
		m.read(t, result.Err)
		switch {
		case killed:
		case result.Code == 0:
			return
		case ctx.Err() != nil || lives > 20:
			t.Fatalf("life %d of the run: %s\n%s", lives, result.Out, lastLines(result.Err, 10))
		default: // as under a supervisor, which starts it again
			m.told["the run ended by itself: "+strings.TrimSpace(lastLines(result.Err, 1))]++
			time.Sleep(time.Second)
		}
	}
}

// kill kills what the plan says while the command works, until it ends or is itself what is killed.
func (m *campaign) kill(ctx context.Context, t *testing.T, running *box.Running) (killed bool) {
	t.Helper()
	for len(m.plan) > 0 {
		moment := time.NewTimer(time.Second + time.Duration(m.random.Int64N(int64(4*time.Second))))
		select {
		case <-running.Ended():
			moment.Stop()
			return false
		case <-ctx.Done():
			running.Signal(syscall.SIGKILL)
			return false
		case <-moment.C:
		}
		victim := m.plan[0]
		m.plan = m.plan[1:]
		m.kills[victim]++
		if victim == process {
			running.Signal(syscall.SIGKILL)
			return true
		}
		if out, err := m.centre.lab(ctx, "kill", victim); err != nil {
			t.Fatalf("kill %s: %v: %s", victim, err, out)
		}
		time.Sleep(time.Duration(m.random.Int64N(int64(3 * time.Second))))
		if victim == "executors" {
			continue // YARN starts others
		}
		began := time.Now()
		if out, err := m.centre.lab(ctx, "start", victim); err != nil {
			t.Fatalf("start %s: %v: %s", victim, err, out)
		}
		t.Logf("%s was killed, and is back %.0fs after its start", victim, time.Since(began).Seconds())
	}
	select {
	case <-running.Ended():
	case <-ctx.Done():
		running.Signal(syscall.SIGKILL)
	}
	return false
}

var changing = regexp.MustCompile(`[0-9a-f]{16,}|\d{4}-\d\d-\d\d|\d+`)

// logged is a line of a log.
type logged struct {
	Level  string `json:"level"`
	Msg    string `json:"msg"`
	Type   string `json:"type"`
	Error  string `json:"error"`
	Source string `json:"source"`
	Answer string `json:"answer"`
}

// read counts what the log says. Nothing may be called invalid: no retry would have come.
func (m *campaign) read(t *testing.T, log string) {
	t.Helper()
	for text := range strings.Lines(log) {
		var line logged
		if json.Unmarshal([]byte(text), &line) != nil || line.Level == "INFO" {
			continue
		}
		if line.Msg == "event invalid" {
			t.Errorf("an event was refused for good: %s", text)
		}
		said := fmt.Sprintf("%s %s%s: %s%s", line.Msg, line.Source, line.Type, line.Error, line.Answer)
		said = changing.ReplaceAllString(said, "#")
		m.told[said[:min(len(said), 220)]]++
	}
}

func (m *campaign) report(t *testing.T) {
	t.Helper()
	for _, text := range slices.Sorted(maps.Keys(m.told)) {
		t.Logf("%4d %s", m.told[text], text)
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
