package facts_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

var (
	whole = events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 1}
	noon  = time.Date(2001, 1, 6, 12, 0, 0, 0, time.UTC)
)

func data(t testing.TB, e events.Event) []byte {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func said(t testing.TB, evs ...events.Event) *facts.View {
	t.Helper()
	v := facts.NewView()
	for i, e := range evs {
		v.Apply(e.Topic(), e.Of().Key(), e.Type(), data(t, e), noon.Add(time.Duration(i)*time.Second))
	}
	return v
}

func TestTheLastRecordOfAKeyCounts(t *testing.T) {
	v := said(t, events.Staged{Piece: whole.At(1), Inputs: "a"}, events.Staged{Piece: whole.At(2), Inputs: "b"}, events.Staged{Piece: whole.At(1), Inputs: "c"})
	f, at, ok := facts.When[events.Staged](v, whole.At(1))
	if !ok || f.Inputs != "c" || !at.Equal(noon.Add(2*time.Second)) {
		t.Errorf("slice 1 is %+v, said at %s, %t; want what was said last", f, at, ok)
	}
	if f, ok := facts.Get[events.Staged](v, whole.At(3)); ok {
		t.Errorf("slice 3 is %+v, want nothing", f)
	}
	if f, ok := facts.Get[events.Validated](v, whole.At(1)); ok {
		t.Errorf("another fact of slice 1 is %+v, want nothing", f)
	}
}

func TestApplyRefuses(t *testing.T) {
	good := events.Stored{Piece: whole, Entry: events.Entry{Generation: 1, Digest: "good"}}
	other := events.Stored{Piece: events.Piece{Dataset: "flights", Window: "2001-01-06", Generation: 1}}
	text := data(t, good)
	tests := map[string]struct {
		topic, key, ceType string
		data               []byte
	}{
		"torn data":               {good.Topic(), whole.Key(), good.Type(), text[:len(text)/2]},
		"data of no bytes":        {good.Topic(), whole.Key(), good.Type(), []byte{}},
		"no JSON":                 {good.Topic(), whole.Key(), good.Type(), []byte("x")},
		"no type":                 {good.Topic(), whole.Key(), "", text},
		"an unknown type":         {good.Topic(), whole.Key(), "dev.almanac.stored.v9", text},
		"a type of another topic": {good.Topic(), whole.Key(), events.TypeStaged, text},
		"another topic":           {events.Staged{}.Topic(), whole.Key(), good.Type(), text},
		"the content of another":  {good.Topic(), whole.Key(), good.Type(), data(t, other)},
		"the key of another":      {good.Topic(), other.Key(), good.Type(), text},
		"no key":                  {good.Topic(), "", good.Type(), text},
		"a key with more":         {good.Topic(), whole.Key() + "/x", good.Type(), text},
		"a due of another step":   {events.DueTopicPrefix + events.StepCollect, whole.Key(), events.TypeDue, data(t, events.Due{Piece: whole, Step: events.StepDeliver})},
		"a due of no step":        {events.DueTopicPrefix, whole.Key(), events.TypeDue, data(t, events.Due{Piece: whole})},
	}
	for name, tt := range tests {
		v := said(t, good)
		v.Apply(tt.topic, tt.key, tt.ceType, tt.data, noon)
		if v.Refused() != 1 {
			t.Errorf("%s: %d records are refused, want 1", name, v.Refused())
		}
		if f, ok := facts.Get[events.Stored](v, whole); !ok || f.Entry.Digest != "good" {
			t.Errorf("%s: the fact before is now %+v, %t", name, f, ok)
		}
		if n := len(facts.All[events.Stored](v, "")) + len(facts.All[events.Staged](v, "")) + len(facts.Dues(v, events.StepCollect, "")); n != 1 {
			t.Errorf("%s: there are %d facts, want the one before", name, n)
		}
	}
}

func TestATombstoneTakesOneFactBack(t *testing.T) {
	v := said(t, events.Staged{Piece: whole.At(1)}, events.Staged{Piece: whole.At(2)}, events.Validated{Piece: whole.At(1)})
	v.Apply(events.Staged{}.Topic(), whole.At(1).Key(), "", nil, noon)
	v.Apply(events.Staged{}.Topic(), whole.At(9).Key(), "", nil, noon) // of nothing
	v.Apply("another.topic", whole.At(2).Key(), "", nil, noon)
	if _, ok := facts.Get[events.Staged](v, whole.At(1)); ok {
		t.Error("the fact still stands")
	}
	if len(facts.All[events.Staged](v, "flights")) != 1 || len(facts.All[events.Validated](v, "flights")) != 1 || v.Refused() != 0 {
		t.Error("more than one fact was taken back")
	}
	v.Apply(events.Staged{}.Topic(), whole.At(1).Key(), events.TypeStaged, data(t, events.Staged{Piece: whole.At(1), Inputs: "again"}), noon)
	if f, ok := facts.Get[events.Staged](v, whole.At(1)); !ok || f.Inputs != "again" {
		t.Errorf("said again, the fact is %+v, %t", f, ok)
	}
}

func TestLists(t *testing.T) {
	at := func(dataset, window string, generation int) events.Piece {
		return events.Piece{Dataset: dataset, Window: window, Generation: generation}
	}
	v := said(t,
		events.Stored{Piece: at("flights", "2001-01-06", 1)}, events.Stored{Piece: at("flights", "2001-01-05", 2)}, events.Stored{Piece: at("flights", "2001-01-05", 1)},
		events.Stored{Piece: at("flights-eu", "2001-01-05", 7)}, events.Stored{Piece: at("births", "2001-01-05", 10)}, events.Stored{Piece: at("births", "2001-01-05", 9)},
		events.Due{Piece: at("flights", "2001-01-07", 1), Step: events.StepCollect, Attempt: 3}, events.Due{Piece: at("flights", "2001-W01", 0), Step: events.StepAggregate})
	keys := func(all []events.Stored) (keys []string) {
		for _, f := range all {
			keys = append(keys, fmt.Sprintf("%s %s %d", f.Dataset, f.Window, f.Generation))
		}
		return keys
	}
	if got, want := keys(facts.All[events.Stored](v, "flights")), []string{"flights 2001-01-05 1", "flights 2001-01-05 2", "flights 2001-01-06 1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("All of flights = %v, want %v", got, want)
	}
	if got := keys(facts.All[events.Stored](v, "")); len(got) != 6 {
		t.Errorf("All = %v, want 6", got)
	}
	latest := facts.LatestStored(v, "flights")
	if len(latest) != 2 || latest["2001-01-05"].Generation != 2 || latest["2001-01-06"].Generation != 1 {
		t.Errorf("LatestStored(flights) = %v", latest)
	}
	if got := facts.LatestStored(v, "births")["2001-01-05"].Generation; got != 10 {
		t.Errorf("LatestStored(births) has generation %d, want 10: generations are numbers", got)
	}
	if d, _, ok := facts.LatestDue(v, events.StepCollect, at("flights", "2001-01-07", 1)); !ok || d.Attempt != 3 {
		t.Errorf("LatestDue = %+v, %t", d, ok)
	}
	if _, _, ok := facts.LatestDue(v, events.StepDeliver, at("flights", "2001-01-07", 1)); ok {
		t.Error("a due of one step is found under another")
	}
	if n := len(facts.Dues(v, events.StepAggregate, "flights")); n != 1 {
		t.Errorf("Dues = %d, want 1", n)
	}
}

func TestAFactThatIsReadIsNotChangedByWhatIsSaidNext(t *testing.T) {
	v := said(t, events.Stored{Piece: whole, Entry: events.Entry{Sheet: events.Sheet{"a": {Read: 1}}}})
	before, _ := facts.Get[events.Stored](v, whole)
	v.Apply(before.Topic(), whole.Key(), before.Type(), data(t, events.Stored{Piece: whole, Entry: events.Entry{Sheet: events.Sheet{"a": {Read: 2}}}}), noon)
	if got := before.Entry.Sheet["a"].Read; got != 1 {
		t.Errorf("the fact that was read now says %d", got)
	}
}

// TestReadersSeeFactsInOrder holds that a reader of a topic never sees a fact without those said before it. The race detector
// watches it.
func TestReadersSeeFactsInOrder(t *testing.T) {
	const n = 300
	v := facts.NewView()
	records := make([][]byte, n)
	for i := range records {
		records[i] = data(t, events.Staged{Piece: whole.At(i)})
	}
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				now := len(facts.All[events.Staged](v, "flights"))
				if now < last {
					t.Errorf("a reader saw %d facts, and then %d", last, now)
					return
				}
				last = now
				if _, ok := facts.Get[events.Staged](v, whole.At(now-1)); now > 0 && !ok {
					t.Errorf("there are %d facts, but not number %d", now, now-1)
					return
				}
				_, _, _, _ = facts.LatestStored(v, "flights"), v.Refused(), facts.Dues(v, events.StepCollect, ""), now
			}
		})
	}
	for i, record := range records {
		v.Apply(events.Staged{}.Topic(), whole.At(i).Key(), events.TypeStaged, record, noon)
		v.Apply(events.Staged{}.Topic(), "forged", events.TypeStaged, record, noon)
	}
	close(done)
	all.Wait()
	if v.Refused() != n {
		t.Errorf("%d records are refused, want %d", v.Refused(), n)
	}
}

func TestMemoryKeepsWhatIsSaid(t *testing.T) {
	m := &factstest.Memory{Now: noon}
	f := events.Staged{Piece: whole.At(1), Inputs: "a"}
	if err := m.Retract(t.Context(), f); err != nil { // of nothing
		t.Fatal(err)
	}
	if err := m.Say(t.Context(), f, events.Staged{Piece: whole.At(2)}); err != nil {
		t.Fatal(err)
	}
	v, err := m.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, at, ok := facts.When[events.Staged](v, whole.At(1)); !ok || !reflect.DeepEqual(got, f) || !at.Equal(noon) {
		t.Errorf("it keeps %+v, %s, %t", got, at, ok)
	}
	if err := m.Retract(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if _, ok := facts.Get[events.Staged](v, whole.At(1)); ok || len(m.Said()) != 2 {
		t.Error("a fact that was taken back still stands")
	}
}

// FuzzApply holds that no record can make a view fail, or stand under another key than its own.
func FuzzApply(f *testing.F) {
	e := events.Stored{Piece: whole}
	f.Add(e.Topic(), whole.Key(), e.Type(), data(f, e))
	f.Add(events.DueTopicPrefix+events.StepCollect, whole.Key(), events.TypeDue, data(f, events.Due{Piece: whole, Step: events.StepCollect}))
	f.Fuzz(func(t *testing.T, topic, key, ceType string, text []byte) {
		v := facts.NewView()
		v.Apply(topic, key, ceType, text, noon)
		for _, f := range facts.All[events.Stored](v, "") {
			if f.Key() != key || f.Topic() != topic {
				t.Errorf("%s stands under %s of %s", f.Key(), key, topic)
			}
		}
		for _, d := range facts.Dues(v, events.StepCollect, "") {
			if d.Key() != key || d.Step != events.StepCollect {
				t.Errorf("%+v stands under %s of %s", d, key, topic)
			}
		}
	})
}

func TestStoredGenerationFollowsWhatIsSaidAndTakenBack(t *testing.T) {
	at := func(generation int) events.Stored {
		p := whole
		p.Generation = generation
		return events.Stored{Piece: p, Entry: events.Entry{Generation: generation}}
	}
	week := events.Stopped{Piece: events.Piece{Dataset: "flights", Name: "daily", Window: whole.Window, Generation: 9}}
	v := said(t, at(2), at(3), at(1), week)
	retract := func(e events.Event) { v.Apply(e.Topic(), e.Of().Key(), "", nil, noon) }
	want := func(generation int) {
		t.Helper()
		if got := v.StoredGeneration("flights", whole.Window); got != generation {
			t.Errorf("StoredGeneration = %d, want %d", got, generation)
		}
		if f := facts.LatestOf(v, "flights", whole.Window); f.Generation != generation || f.Entry.Generation != generation {
			t.Errorf("LatestOf = %+v, want generation %d", f, generation)
		}
		if f := facts.LatestStored(v, "flights")[whole.Window]; f.Generation != generation {
			t.Errorf("LatestStored = %+v, want generation %d", f, generation)
		}
	}
	want(3)
	retract(at(2))
	want(3)
	retract(at(3))
	want(1)
	retract(at(3))
	retract(at(1))
	want(0)
}

func TestUnderWayCountsWindowsThatAreNeitherStoredNorStopped(t *testing.T) {
	on := func(window string, generation int) events.Piece {
		return events.Piece{Dataset: "flights", Window: window, Generation: generation, Slice: 1}
	}
	v := said(t,
		events.Stored{Piece: on("2001-01-01", 1).Whole()}, events.Collected{Piece: on("2001-01-01", 1)}, // in any order
		events.Collected{Piece: on("2001-01-02", 1)}, events.Collected{Piece: on("2001-01-02", 1).At(2)},
		events.Collected{Piece: on("2001-01-03", 1)}, events.Stopped{Piece: on("2001-01-03", 1).Whole()},
		events.Stored{Piece: on("2001-01-04", 1).Whole()}, events.Collected{Piece: on("2001-01-04", 2)})
	if got := v.UnderWay("flights"); got != 2 {
		t.Errorf("UnderWay = %d, want 2: the second and the fourth", got)
	}
	if got := v.UnderWay("births"); got != 0 {
		t.Errorf("UnderWay of another dataset = %d", got)
	}
}
