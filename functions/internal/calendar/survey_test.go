package calendar

import (
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

func TestWhateverHappensAllIsStoredOnceInTheEnd(t *testing.T) {
	given := 0
	for seed := range uint64(40) {
		m := newModel(t, seed)
		for range 600 {
			switch n := m.r.IntN(20); {
			case n == 0:
				m.mischief()
			case n < 4:
				m.m.Now = m.m.Now.Add(time.Duration(m.r.Int64N(int64(15 * time.Minute))))
				m.tick()
			default:
				m.deliver()
			}
		}
		m.wild, m.missing, m.killed = false, map[string]bool{}, map[string]bool{}
		for key, content := range m.source {
			if content == "bad" {
				m.source[key] = "mended"
			}
		}
		quiet := 0
		for round := 0; quiet < 30; round++ {
			if round > 400 {
				t.Errorf("it never comes to rest")
				break
			}
			before := len(m.m.Said())
			m.m.Now = m.m.Now.Add(11 * time.Minute)
			m.tick()
			for len(m.flight) > 0 {
				m.deliver()
			}
			quiet++
			for _, e := range m.m.Said()[before:] {
				if d, ok := e.(events.Due); !ok || d.Reason != reasonProbe {
					quiet = 0
				}
			}
		}
		m.wantAll()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		given += len(m.letters)
	}
	if given < 10 {
		t.Errorf("%d queries were given up, want more to be tried", given)
	}
}

// wantAll holds that every window is stored as its source is, and all that is computed is of that.
func (m *model) wantAll() {
	m.t.Helper()
	told := facts.LatestStored(m.view(), "flights")
	for _, key := range m.windows() {
		e := m.tabs["flights"][key]
		if e.Digest != m.source[key] || e.Definition != m.d.Definition || told[key].Generation != e.Generation {
			m.t.Errorf("%s holds %s of definition %s, generation %d (told %d), want %s of %s", key, e.Digest, e.Definition, e.Generation, told[key].Generation,
				m.source[key], m.d.Definition)
		}
	}
	for _, key := range []string{"2001-W01", "2001-W02"} {
		if v, ok := m.judged(m.d.Aggregates[0], query("weekly", key)); !ok || m.weekly[key].Inputs != v.Inputs {
			m.t.Errorf("the aggregate of %s is not of what is stored", key)
		}
		if v, ok := m.judged(m.d.Releases[0], query("training", key)); !ok || m.releases[key] != v.Inputs {
			m.t.Errorf("the release of %s is not of what is stored: %t, %v", key, ok, v.Absent)
		}
	}
	for _, st := range Survey(m.d, m.view(), start.AddDate(1, 0, 0), m.m.Now, Pace{Grace: time.Minute, Retry: time.Minute}) {
		if st.Phase != Stored && st.Phase != Aggregated && st.Phase != Released {
			m.t.Errorf("%s %s is %s (%s)", st.Step, st.Piece.Key(), st.Phase, st.Why)
		}
	}
}
