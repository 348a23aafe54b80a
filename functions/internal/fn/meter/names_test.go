package meter

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/backlog"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

var update = flag.Bool("update", false, "write testdata/names.txt")

// TestNames holds the types, names and labels of all metrics to the list that rules and dashboards are held to.
func TestNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, time.Now)
	p := events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 1, Slice: 1}
	if err := Observe(new(factstest.Memory), m).Say(t.Context(), events.Processed{Piece: p, Sheet: events.Sheet{"2001-01-05": {Read: 1, Stored: 1}}},
		events.Stored{Piece: p.Whole()}, events.Released{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}},
		events.Stopped{Piece: p.Whole(), Step: "store", Reason: "unbalanced"}); err != nil {
		t.Fatal(err)
	}
	m.Event("collect", events.TypeDue, "done", time.Second)
	m.CommitRetries(func() int64 { return 1 })
	m.Functions("store")
	m.Sent("store", "almanac.fact.validated", "delivered")
	m.requests.WithLabelValues("200", "get").Observe(1)
	m.Ticket(&fixed{time.Unix(1, 0), time.Unix(2, 0)})
	m.Surveyed("flights", backlog.Backlog{Works: map[backlog.Work]backlog.Standing{
		{Step: "collect"}: {Phases: map[string]int{"due": 1}, Stopped: map[string]int{"unbalanced": 1}},
	}})
	m.Certificates(map[string]string{"ALMANAC_KAFKA_CERT": authority(t)})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		if strings.TrimSpace(f.GetHelp()) == "" {
			t.Errorf("%s has no help", f.GetName())
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		line := func(suffix string, labels ...string) {
			slices.Sort(labels)
			all = append(all, fmt.Sprintf("%s %s%s{%s}\n", strings.ToLower(f.GetType().String()), f.GetName(), suffix, strings.Join(labels, ",")))
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			line("", labels...)
			continue
		}
		line("_count", labels...)
		line("_sum", labels...)
		line("_bucket", append(labels, "le")...)
	}
	const file = "testdata/names.txt"
	got := strings.Join(all, "")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("metrics are not those of %s (go test ./functions/internal/fn/meter -update writes it; see also docs/monitoring.md):\n%s", file, diff)
	}
}
