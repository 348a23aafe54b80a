package meter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// values maps name{label values} to the value of each series that is not 0.
func values(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if v != 0 {
				all[strings.TrimPrefix(f.GetName(), "almanac_")+"{"+strings.Join(labels, ",")+"}"] = v
			}
		}
	}
	return all
}

func TestObserve(t *testing.T) {
	at := func(window string) events.Piece {
		return events.Piece{Dataset: "flights", Window: window, Generation: 1, Slice: 1}
	}
	stored := func(window string, c events.Counts) events.Stored {
		return events.Stored{Piece: at(window).Whole(), Entry: events.Entry{Sheet: events.Sheet{window: c}}}
	}
	journal := new(factstest.Memory)
	if err := journal.Say(t.Context(), stored("2001-01-03", events.Counts{Read: 5, Stored: 5})); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m := New(reg, func() time.Time { return time.Date(2001, 1, 7, 6, 0, 0, 0, time.UTC) })
	j := Observe(journal, m)
	if _, err := j.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := values(t, reg), (map[string]float64{"window_lag_seconds{flights}": 78 * 3600}); !cmp.Equal(got, want) {
		t.Errorf("after a restart: %s", cmp.Diff(want, got))
	}
	err := j.Say(t.Context(),
		&events.Collected{Piece: at("2001-01-05"), Raw: events.Claim{Bytes: 100}},
		events.Processed{Piece: at("2001-01-05"), Rows: events.Claim{Bytes: 60}, Sheet: events.Sheet{"2001-01-05": {Read: 10, Stored: 8, Filtered: 2}}},
		&events.Validated{Piece: at("2001-01-05"), Rows: events.Claim{Bytes: 50}, Sheet: events.Sheet{"2001-01-05": {Read: 10, Stored: 7, Quarantined: 1, Filtered: 2}}},
		events.Staged{Piece: at("2001-01-05"), Rows: []events.File{{Bytes: 3}, {Bytes: 4}}, Raw: events.File{Bytes: 5}},
		stored("2001-01-05", events.Counts{Read: 10, Stored: 6, Quarantined: 1, Duplicate: 1, Filtered: 2}),
		stored("2001-01-04", events.Counts{Read: 1, Stored: 1}),
		&events.Aggregated{Piece: events.Piece{Dataset: "flights", Name: "origin_weekly", Window: "2001-W01"}, Files: []events.File{{Bytes: 9}}},
		&events.Released{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}, Bytes: 11},
		&events.Stopped{Piece: events.Piece{Dataset: "flights", Window: "2001-01-06"}, Step: "store", Reason: "reject_budget"},
		events.Due{Piece: at("2001-01-08"), Step: events.StepCollect},
	)
	if err != nil {
		t.Fatal(err)
	}
	m.Event("collect", events.TypeDue, "done", time.Second)
	m.CommitRetries(func() int64 { return 1 })
	m.DeadLetter("store")
	want := map[string]float64{
		"rows_total{flights,read,process}": 10, "rows_total{flights,stored,process}": 8, "rows_total{flights,filtered,process}": 2,
		"rows_total{flights,read,validate}": 10, "rows_total{flights,stored,validate}": 7, "rows_total{flights,quarantined,validate}": 1, "rows_total{flights,filtered,validate}": 2,
		"rows_total{flights,read,store}": 11, "rows_total{flights,stored,store}": 7, "rows_total{flights,quarantined,store}": 1, "rows_total{flights,duplicate,store}": 1, "rows_total{flights,filtered,store}": 2,
		"bytes_total{flights,collect}": 100, "bytes_total{flights,process}": 60, "bytes_total{flights,validate}": 50, "bytes_total{flights,store}": 12,
		"bytes_total{flights,aggregate}": 9, "bytes_total{flights,deliver}": 11,
		"window_lag_seconds{flights}": 30 * 3600, "releases_total{flights,training}": 1, "stops_total{flights,reject_budget,store}": 1,
		"events_total{collect,done,dev.almanac.due.v1}": 1, "event_duration_seconds{collect,dev.almanac.due.v1}": 1,
		"commit_retries_total{}": 1, "deadletters_total{store}": 1,
	}
	if got := values(t, reg); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// deaf is a journal that takes nothing.
type deaf struct{ factstest.Memory }

func (*deaf) Say(context.Context, ...events.Event) error { return errors.New("broker away") }

func TestWhatWasNotSaidDoesNotCount(t *testing.T) {
	reg := prometheus.NewRegistry()
	j := Observe(new(deaf), New(reg, time.Now))
	if err := j.Say(t.Context(), events.Released{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}}); err == nil {
		t.Fatal("Say() = nil, want the journal's error")
	}
	if got := values(t, reg); len(got) != 0 {
		t.Errorf("counted %v, want nothing", got)
	}
}
