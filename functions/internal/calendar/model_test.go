package calendar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// model does what the other functions do, as far as the calendar can see. While it is wild, events are lost, doubled and reordered,
// functions die between two things they say, blocks get lost, sources change, are missing or bad, the contract changes, and the jobs of a query are
// killed one after the other until a person asks for it again.
type model struct {
	t      testing.TB
	r      *rand.Rand
	m      *factstest.Memory
	d      *dataset.Dataset
	wild   bool
	flight []events.Event // said, and not delivered yet
	ticks  bool           // the calendar is speaking

	source   map[string]string // content of each window
	missing  map[string]bool
	tabs     tables
	weekly   map[string]lineage.AggregateEntry
	releases map[string]string // inputs
	killed   map[string]bool   // queries, by name and window, of which every job is killed
	letters  map[string]bool   // by piece and attempt
}

var errKilled = errors.New("killed")

// attempts of a query in the model.
const attempts = 3

func newModel(t testing.TB, seed uint64) *model {
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 77)), m: &factstest.Memory{Now: noon}, d: flights(), wild: true,
		source: map[string]string{}, missing: map[string]bool{}, tabs: tables{"flights": {}}, weekly: map[string]lineage.AggregateEntry{}, releases: map[string]string{},
		killed: map[string]bool{}, letters: map[string]bool{}}
	for _, w := range m.windows() {
		m.source[w] = "v1"
	}
	return m
}

func (m *model) windows() (keys []string) {
	for _, w := range m.d.Collect.Windows(start.AddDate(1, 0, 0)) {
		keys = append(keys, w.Key())
	}
	return keys
}

func (m *model) sometimes(percent int) bool { return m.wild && m.r.IntN(100) < percent }

// Say keeps the events, and sends them on their way.
func (m *model) Say(ctx context.Context, evs ...events.Event) error {
	for _, e := range evs {
		m.watch(e)
		if stop, ok := e.(events.Stopped); ok && stop.Reason == "attempts" && m.sometimes(30) {
			return errKilled
		}
		if err := m.m.Say(ctx, e); err != nil {
			return err
		}
		for !m.sometimes(20) {
			m.flight = append(m.flight, e)
			if !m.sometimes(25) {
				break
			}
		}
	}
	return nil
}

func (m *model) Retract(ctx context.Context, e events.Event) error { return m.m.Retract(ctx, e) }

func (m *model) View(ctx context.Context) (*facts.View, error) { return m.m.View(ctx) }

func (m *model) view() *facts.View { v, _ := m.m.View(context.Background()); return v }

func (m *model) say(evs ...events.Event) { _ = m.Say(context.Background(), evs...) }

// watch holds that nothing of a generation is announced that is stored already.
func (m *model) watch(e events.Event) {
	p := e.Of()
	if !m.ticks {
		return
	}
	if p.Name != "" {
		m.watchQuery(e)
		return
	}
	if d, ok := e.(events.Due); ok && d.Reason == reasonProbe {
		return
	}
	if _, ok := e.(events.Stored); ok {
		return // told again from the table
	}
	if stored := facts.LatestStored(m.view(), "flights")[p.Window]; stored.Generation >= p.Generation {
		m.t.Errorf("%q is announced, but generation %d is stored", names([]events.Event{e}), stored.Generation)
	}
}

func (*model) pace() Pace {
	return Pace{Grace: 10 * time.Minute, Retry: 30 * time.Minute, Parallel: 5, Recheck: 2 * time.Hour, Attempts: attempts}
}

func (m *model) tick() {
	c := &Calendar{Journal: m, Datasets: catalog{m.d}, Tables: m.tabs, Letters: m, Now: func() time.Time { return start.AddDate(1, 0, 0) },
		Wall: func() time.Time { return m.m.Now }, Pace: m.pace()}
	m.ticks = true
	if err := c.Handle(context.Background(), nil); err != nil && !errors.Is(err, errKilled) {
		m.t.Error(err)
	}
	m.ticks = false
}

// deliver takes one event from those on their way, any while it is wild, and wakes who listens to it.
func (m *model) deliver() {
	if len(m.flight) == 0 {
		return
	}
	i := 0
	if m.wild {
		i = m.r.IntN(len(m.flight))
	}
	e := m.flight[i]
	m.flight = append(m.flight[:i], m.flight[i+1:]...)
	p := e.Of()
	if stored := facts.LatestStored(m.view(), "flights")[p.Window]; p.Name == "" && stored.Generation >= p.Generation && e.Type() != events.TypeDue {
		return
	}
	switch e := e.(type) {
	case events.Due:
		switch e.Step {
		case events.StepCollect:
			m.collect(e)
		case events.StepAggregate:
			m.aggregate(e)
		case events.StepDeliver:
			m.release(e)
		}
	case events.Collected:
		m.process(p)
	case events.Processed:
		m.validate(p)
	case events.Validated:
		m.store(p)
	case events.Stored, events.Aggregated, events.Restated, events.Stopped:
		m.tick()
	}
}

func (m *model) collect(due events.Due) {
	v, p := m.view(), due.Whole()
	stored := facts.LatestStored(v, "flights")[p.Window]
	_, restated := facts.Get[events.Restated](v, p)
	if p.Generation < stored.Generation || restated {
		return
	}
	if due.Reason == reasonProbe && m.probe(p, stored) {
		return
	}
	want := p
	for want.Generation = stored.Generation + 1; ; want.Generation++ {
		if _, ok := facts.Get[events.Restated](v, want); !ok {
			break
		}
	}
	if p != want {
		return
	}
	var prev events.Collected
	for _, f := range chainOf(p, m.d.Definition, m.source[p.Window]).collected {
		if there, ok := facts.Get[events.Collected](v, f.Piece); ok && there.Definition == m.d.Definition && there.Follows(prev) {
			prev = there
			continue
		}
		if m.missing[p.Window] {
			m.say(events.Stopped{Piece: p, Step: events.StepCollect, Definition: m.d.Definition, Waiting: true, Detail: "missing"})
			return
		}
		if !f.Follows(prev) {
			m.say(events.Restated{Piece: p, Pin: pin(m.source[p.Window])})
			return
		}
		m.unstop(p)
		m.say(f)
		prev = f
		if m.sometimes(20) {
			return
		}
	}
	m.unstop(p)
}

func (m *model) unstop(p events.Piece) {
	if stop, ok := facts.Get[events.Stopped](m.view(), p); ok && stop.Step == events.StepCollect {
		_ = m.Retract(context.Background(), stop)
	}
}

// probe compares the source with what is pinned, if anything is.
func (m *model) probe(p events.Piece, stored events.Stored) bool {
	pinned := stored.Entry.Pin
	if p.Generation != stored.Generation {
		f, ok := facts.Get[events.Collected](m.view(), p.At(1))
		if !ok {
			return false
		}
		pinned = f.Pin
	}
	if now := pin(m.source[p.Window]); !m.missing[p.Window] && now.Content() != pinned.Content() {
		m.say(events.Restated{Piece: p, Pin: now})
	}
	return true
}

func (m *model) process(p events.Piece) {
	c, ok := facts.Get[events.Collected](m.view(), p)
	if !ok {
		return
	}
	if c.Definition != m.d.Definition {
		_ = m.Retract(context.Background(), c)
		return
	}
	if f, ok := facts.Get[events.Processed](m.view(), p); !ok || f.Inputs != c.Digest() || f.Definition != m.d.Definition {
		m.say(events.Processed{Piece: p, Definition: m.d.Definition, Inputs: c.Digest()})
	}
}

func (m *model) validate(p events.Piece) {
	c, ok1 := facts.Get[events.Collected](m.view(), p)
	f, ok2 := facts.Get[events.Processed](m.view(), p)
	if !ok1 || !ok2 || f.Definition != m.d.Definition || f.Inputs != c.Digest() {
		return
	}
	if done, ok := facts.Get[events.Validated](m.view(), p); !ok || done.Inputs != f.Digest() || done.Definition != m.d.Definition {
		m.say(events.Validated{Piece: p, Definition: m.d.Definition, Inputs: f.Digest()})
	}
}

func (m *model) store(p events.Piece) {
	if valid, ok := m.linked(p); ok {
		if f, ok := facts.Get[events.Staged](m.view(), p); !ok || f.Inputs != valid.Digest() {
			m.say(events.Staged{Piece: p, Definition: m.d.Definition, Inputs: valid.Digest(), Last: p.Slice == 2})
		}
	}
	var prev events.Collected
	var all []events.Staged
	for n := 1; n <= 2; n++ {
		c, _ := facts.Get[events.Collected](m.view(), p.At(n))
		valid, ok := m.linked(p.At(n))
		f, staged := facts.Get[events.Staged](m.view(), p.At(n))
		if !ok || !staged || f.Inputs != valid.Digest() || !c.Follows(prev) {
			return
		}
		prev, all = c, append(all, f)
	}
	whole, inputs := p.Whole(), events.GenerationDigest(all)
	if stop, ok := facts.Get[events.Stopped](m.view(), whole); ok && stop.Inputs == inputs && stop.Definition == m.d.Definition {
		return
	}
	content := prev.Pin.Files[0].Digest
	if content == "bad" {
		m.say(events.Stopped{Piece: whole, Step: "store", Definition: m.d.Definition, Inputs: inputs, Reason: "reject_budget", Detail: "bad"})
		return
	}
	fact := stored(whole, m.d.Definition, content)
	if now := m.tabs["flights"][p.Window]; now.Generation < p.Generation {
		m.tabs["flights"][p.Window] = fact.Entry
	}
	if !m.sometimes(20) {
		m.say(fact)
	}
}

func (m *model) linked(p events.Piece) (events.Validated, bool) {
	c, ok1 := facts.Get[events.Collected](m.view(), p)
	f, ok2 := facts.Get[events.Processed](m.view(), p)
	v, ok3 := facts.Get[events.Validated](m.view(), p)
	return v, ok1 && ok2 && ok3 && f.Inputs == c.Digest() && v.Inputs == f.Digest() && f.Definition == m.d.Definition && v.Definition == m.d.Definition
}

// judged decides by the tables, as those do who compute.
func (m *model) judged(q dataset.Query, p events.Piece) (lineage.Verdict, bool) {
	w, err := window.Parse(p.Window)
	if err != nil {
		m.t.Fatal(err)
	}
	v, err := lineage.Judge(m.d, q, w, lineage.Known{Rows: m.tabs["flights"], Aggregates: map[string]map[string]lineage.AggregateEntry{"weekly": m.weekly}})
	if err != nil {
		m.t.Fatal(err)
	}
	return v, v.Complete()
}

func (m *model) aggregate(due events.Due) {
	v, ok := m.judged(m.d.Aggregates[0], due.Piece)
	if !ok || m.killed[due.Key()] {
		return
	}
	m.weekly[due.Window] = lineage.AggregateEntry{Inputs: v.Inputs, Digest: v.Inputs, Rows: 1}
	if !m.sometimes(20) {
		m.say(events.Aggregated{Piece: due.Piece, Inputs: v.Inputs, Digest: v.Inputs, Rows: 1})
	}
}

func (m *model) release(due events.Due) {
	v, ok := m.judged(m.d.Releases[0], due.Piece)
	if !ok || m.killed[due.Key()] {
		return
	}
	m.releases[due.Window] = v.Inputs
	if !m.sometimes(20) {
		m.say(events.Released{Piece: due.Piece, Inputs: v.Inputs})
	}
}

// mischief does one of the things that happen outside.
func (m *model) mischief() {
	keys := m.windows()
	key := keys[m.r.IntN(len(keys))]
	switch m.r.IntN(11) {
	case 0:
		m.source[key] = fmt.Sprint("v", m.r.IntN(4))
	case 1:
		m.source[key] = "bad"
	case 2:
		m.missing[key] = true
	case 3:
		m.missing[key] = false
	case 4:
		if m.r.IntN(4) == 0 {
			m.d.Definition = fmt.Sprint("d", m.r.IntN(3))
		}
	case 5, 6:
		name := []string{"weekly", "training"}[m.r.IntN(2)]
		m.killed[query(name, fmt.Sprintf("2001-W0%d", 1+m.r.IntN(2))).Key()] = m.r.IntN(3) > 0
	case 7:
		m.ask()
	default:
		m.lose(events.Piece{Dataset: "flights", Window: key, Generation: 1 + m.r.IntN(2), Slice: 1 + m.r.IntN(2)})
	}
}

// lose takes back a fact whose blocks or files are gone.
func (m *model) lose(p events.Piece) {
	for _, e := range []events.Event{events.Collected{Piece: p}, events.Processed{Piece: p}, events.Validated{Piece: p}, events.Staged{Piece: p}}[m.r.IntN(4):][:1] {
		_ = m.Retract(context.Background(), e)
	}
}
