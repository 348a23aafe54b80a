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
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/flights"
)

// instances is how many processes there are of each function, or of runs, at once.
const instances = 2

// campaign is a job that is done while faults happen.
type campaign struct {
	centre  *centre
	network *network
	random  *rand.Rand
	plan    []fault // what is still to happen
	struck  map[string]int
	told    map[string]int // log lines, without what differs from time to time
	rounds  int
}

// TestFaults does a part of the job, again and again, while its servers and processes are killed and stopped, and the connections to them cut
// and silenced. In odd rounds each function has two processes of its own, in even rounds two runs hold all of them. Nobody else helps.
// What comes out is what one process makes undisturbed.
func TestFaults(t *testing.T) {
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	c := running(t)
	c.late = true
	r := random(t)
	datasets := firstMonths(t, "2001-03-01")
	want := inOneProcess(t, datasets).outcome
	m := &campaign{centre: c, network: c.network(t), random: r, plan: draw(r, c.suffers(), *faults), struck: map[string]int{}, told: map[string]int{}}
	planned := len(m.plan)
	for idle := 0; len(m.plan) > 0 && !t.Failed() && idle < 2; {
		if m.rounds++; m.rounds > 1 {
			c.empty(t)
		}
		began, before := time.Now(), len(m.plan)
		m.round(t, datasets)
		m.logf(t, "round %d ended after %.0fs and %d faults", m.rounds, time.Since(began).Seconds(), before-len(m.plan))
		if idle++; len(m.plan) < before {
			idle = 0
		}
		c.swept(t, c.box(t, datasets))
		c.same(t, c.box(t, datasets), want, sources(t, datasets))
	}
	m.report(t)
	if n := planned - len(m.plan); n < planned && !t.Failed() {
		t.Errorf("%d of %d faults happened; no round met %v", n, planned, m.plan)
	}
}

// firstMonths is the shipped flights up to a day, without the sample of the months that begin on it or later.
func firstMonths(t *testing.T, end string) string {
	t.Helper()
	datasets := t.TempDir()
	if err := flights.Copy(filepath.Join(root, "spark-jobs", "flights"), filepath.Join(datasets, "flights"), "flights", end); err != nil {
		t.Fatal(err)
	}
	return datasets
}

// round does the job once, from nothing to its end.
func (m *campaign) round(t *testing.T, datasets string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*patience)
	defer stop()
	plain := m.centre.box(t, datasets)
	through := plain
	through.Config = m.network.config
	p := &platform{dir: t.TempDir()}
	if m.rounds%2 == 1 {
		p.functions(ctx, t, through, instances)
	} else {
		p.runs(ctx, t, through, instances)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for !done(ctx, plain) && ctx.Err() == nil {
			m.wait(ctx, 2*time.Second)
		}
	}()
	m.strikeAll(ctx, t, p, finished)
	m.supervise(ctx, t, finished)
	if ctx.Err() != nil {
		t.Errorf("not done after %s; the last of the logs:\n%s", 2*patience, p.logs())
	}
	if m.rounds%2 == 1 {
		p.ready(t, time.Minute)
		stop()
	}
	p.close(t)
	for _, one := range p.all {
		m.read(t, one)
	}
}

// supervise starts Spark's server anew when it has ended by itself, as systemd does: that is what it does when YARN has ended its application.
func (m *campaign) supervise(ctx context.Context, t *testing.T, finished <-chan struct{}) {
	t.Helper()
	for {
		m.lab(ctx, t, "start", "spark")
		select {
		case <-finished:
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// strikeAll lets happen what the plan says and this round has victims for, until the job is done.
func (m *campaign) strikeAll(ctx context.Context, t *testing.T, p *platform, finished <-chan struct{}) {
	t.Helper()
	for i := 0; i < len(m.plan); {
		select {
		case <-finished:
			return
		case <-ctx.Done():
			return
		case <-time.After(500*time.Millisecond + time.Duration(m.random.Int64N(int64(3*time.Second)))):
		}
		f := m.plan[i]
		began := time.Now()
		if !m.strike(ctx, t, f, p) {
			i++ // not in this round
			continue
		}
		m.plan = slices.Delete(m.plan, i, i+1)
		m.struck[f.String()]++
		m.logf(t, "%s (%.1fs)", f, time.Since(began).Seconds())
	}
}

var changing = regexp.MustCompile(`[0-9a-f]{16,}|\d{4}-\d\d-\d\d|\d{4}-W\d\d|\d+`)

// logged is a line of a log.
type logged struct {
	Level  string `json:"level"`
	Msg    string `json:"msg"`
	Type   string `json:"type"`
	Error  string `json:"error"`
	Source string `json:"source"`
	Answer string `json:"answer"`
}

// read counts what the log of a program says. Nothing may be called invalid: no retry would have come.
func (m *campaign) read(t *testing.T, one *program) {
	t.Helper()
	log, err := os.ReadFile(one.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(log)) {
		var line logged
		if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
			t.Errorf("%s: %s", one.name, lastLines(string(log), 40))
		}
		if json.Unmarshal([]byte(text), &line) != nil || line.Level == "INFO" {
			continue
		}
		if line.Msg == "event invalid" {
			t.Errorf("%s: an event was refused for good: %s", one.name, text)
		}
		said := fmt.Sprintf("%s: %s %s%s: %s%s", one.name, line.Msg, line.Source, line.Type, line.Error, line.Answer)
		said = changing.ReplaceAllString(said, "#")
		m.told[said[:min(len(said), 220)]]++
	}
}

func (m *campaign) report(t *testing.T) {
	t.Helper()
	t.Logf("%d rounds; connections that were reset: %v", m.rounds, m.network.cuts())
	for _, text := range slices.Sorted(maps.Keys(m.struck)) {
		t.Logf("%4d %s", m.struck[text], text)
	}
	for _, text := range slices.Sorted(maps.Keys(m.told)) {
		t.Logf("%4d %s", m.told[text], text)
	}
}

// cuts counts the connections that were reset on each way.
func (n *network) cuts() map[string]int {
	all := map[string]int{}
	for way, p := range n.ways {
		all[way] = p.Cuts()
	}
	return all
}
