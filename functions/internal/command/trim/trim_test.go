package trim

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// say makes a view of facts that were said a minute after each other.
func say(t *testing.T, evs ...events.Event) *facts.View {
	t.Helper()
	view := facts.NewView()
	for i, e := range evs {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		view.Apply(e.Topic(), e.Of().Key(), e.Type(), data, began.Add(time.Duration(i)*time.Minute))
	}
	if view.Refused() > 0 {
		t.Fatalf("%d facts are refused", view.Refused())
	}
	return view
}

func TestOnlyBlocksOfStoredGenerationsAreTrimmed(t *testing.T) {
	on := func(window string, generation int) events.Piece {
		return events.Piece{Dataset: "flights", Window: window, Generation: generation}
	}
	raw := func(p events.Piece, partition int32, from, to int64) events.Collected {
		return events.Collected{Piece: p.At(1), Raw: events.Claim{Topic: "raw", Partition: partition, From: from, To: to, Blocks: int(to - from)}}
	}
	stored := func(p events.Piece) events.Stored {
		return events.Stored{Piece: p, Entry: events.Entry{Generation: p.Generation}}
	}
	view := say(t,
		raw(on("2001-01-01", 1), 0, 0, 10), stored(on("2001-01-01", 1)),
		raw(on("2001-01-02", 1), 0, 10, 20), // under way
		raw(on("2001-01-03", 1), 0, 20, 30), stored(on("2001-01-03", 1)),
		raw(on("2001-01-03", 2), 1, 5, 9), // restated
		raw(on("2001-01-04", 1), 2, 7, 8), stored(on("2001-01-04", 1)),
		events.Collected{Piece: on("2001-01-05", 1).At(1), Raw: events.Claim{Topic: "raw", Partition: 3}}, // without a block
	)
	raws := func(partition int32) kafka.Place { return kafka.Place{Topic: "raw", Partition: partition} }
	for name, tt := range map[string]struct {
		by   time.Time
		want map[kafka.Place]*extent
	}{
		"long after":                      {began.Add(time.Hour), map[kafka.Place]*extent{raws(0): {needed: 10, done: 30}, raws(1): {needed: 5}, raws(2): {needed: -1, done: 8}}},
		"just after the first was stored": {began.Add(time.Minute), map[kafka.Place]*extent{raws(0): {needed: 10, done: 10}, raws(1): {needed: 5}, raws(2): {needed: 7}}},
	} {
		if diff := cmp.Diff(tt.want, extents(view, "flights", tt.by), cmp.AllowUnexported(extent{})); diff != "" {
			t.Errorf("%s: extents (-want +got):\n%s", name, diff)
		}
	}
}
