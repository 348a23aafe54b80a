package kafka

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
)

var quiet = slog.New(slog.DiscardHandler)

// next takes records until there are n.
func next(t *testing.T, f *Feed, n int) (records []Record) {
	t.Helper()
	for len(records) < n {
		more, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, more...)
	}
	return records
}

func feedOf(t *testing.T, c *Cluster, group string) *Feed {
	t.Helper()
	f, err := c.Feed(t.Context(), group, []string{events.Collected{}.Topic(), events.Due{Step: events.StepCollect}.Topic()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestAFeedGoesOnWhereItsGroupCommitted(t *testing.T) {
	_, c := newFake(t)
	j := openJournal(t, c)
	for day := range 10 {
		if err := j.Say(t.Context(), events.Collected{Piece: piece(day)}); err != nil {
			t.Fatal(err)
		}
	}
	place := Place{Topic: events.Collected{}.Topic()}
	first := feedOf(t, c, "almanac-process")
	got := next(t, first, 10)
	if got[0].Offset != 0 || got[0].Place != place || string(got[0].Key) != piece(0).Key() {
		t.Errorf("first record is %+v, want that of offset 0", got[0])
	}
	if err := first.Commit(t.Context(), map[Place]int64{place: 7}); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if got := next(t, feedOf(t, c, "almanac-process"), 3); got[0].Offset != 7 {
		t.Errorf("after a restart the first offset is %d, want 7", got[0].Offset)
	}
	if got := next(t, feedOf(t, c, "almanac-other"), 10); got[0].Offset != 0 {
		t.Errorf("another group begins at %d, want 0", got[0].Offset)
	}
}

func TestAFeedWhoseOffsetIsGoneStartsOver(t *testing.T) {
	_, c := newFake(t, kfake.NumBrokers(1)) // Kafka itself does not trim compacted topics
	j := openJournal(t, c)
	for day := range 10 {
		if err := j.Say(t.Context(), events.Collected{Piece: piece(day)}); err != nil {
			t.Fatal(err)
		}
	}
	place := Place{Topic: events.Collected{}.Topic()}
	f := feedOf(t, c, "g")
	for name, at := range map[string]int64{"beyond the end": 1000, "before the start": 1} {
		if err := f.Commit(t.Context(), map[Place]int64{place: at}); err != nil {
			t.Fatal(err)
		}
		if err := c.Trim(t.Context(), place.Topic, 0, 4); err != nil {
			t.Fatal(err)
		}
		if got := next(t, feedOf(t, c, "g"), 6); got[0].Offset != 4 {
			t.Errorf("%s: first offset is %d, want the log's start 4", name, got[0].Offset)
		}
	}
}

func TestTrimmingTwiceDoesNothing(t *testing.T) {
	_, c := newFake(t)
	claim := write(t, c, "almanac.raw.flights", piece(0), 10, 100)
	for _, before := range []int64{5, 5, 3, 10} {
		if err := c.Trim(t.Context(), claim.Topic, claim.Partition, before); err != nil {
			t.Errorf("before %d: %v", before, err)
		}
	}
	ranges, err := c.Ranges(t.Context(), claim.Topic)
	if err != nil || ranges[claim.Partition] != (Range{Start: 10, End: 10}) {
		t.Errorf("ranges are %v, %v", ranges, err)
	}
	if err := c.Trim(t.Context(), claim.Topic, claim.Partition, 99); err == nil {
		t.Error("records that are not there yet are trimmed")
	}
}

func TestDeadLettersAreListedAndFound(t *testing.T) {
	_, c := newFake(t)
	var want []DeadLetter
	for _, id := range []string{"a", "b", "c"} {
		d := DeadLetter{Attributes: map[string]string{"specversion": "1.0", "id": id, "type": "t", "source": "/s", "datacontenttype": "application/json", "knativeerrordest": "http://x"}, Data: []byte(id)}
		if err := c.Bury(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		d.Offset = int64(len(want))
		want = append(want, d)
	}
	var got []DeadLetter
	for d, err := range c.DeadLetters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if d.Time.IsZero() {
			t.Error("a dead letter has no time")
		}
		d.Time = want[0].Time
		got = append(got, d)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if d, err := c.DeadLetter(t.Context(), 0, 1); err != nil || d.Attributes["id"] != "b" {
		t.Errorf("dead letter 1 is %+v, %v", d, err)
	}
	for _, offset := range []int64{3, 99, -1} {
		if _, err := c.DeadLetter(t.Context(), 0, offset); err == nil {
			t.Errorf("dead letter %d is found", offset)
		}
	}
	if _, err := c.DeadLetter(t.Context(), 5, 0); err == nil || !strings.Contains(err.Error(), "partition 5") {
		t.Errorf("partition 5: %v", err)
	}
}

// TestLargeRecordsAreWrittenAtOnce writes more of them than one batch may hold.
func TestLargeRecordsAreWrittenAtOnce(t *testing.T) {
	_, c := newFake(t)
	const n, size = 5, 3 << 20
	var facts []events.Event
	for i := range n {
		facts = append(facts, events.Stopped{Piece: piece(i).Whole(), Step: "store", Detail: strings.Repeat("x", size)})
	}
	if err := openJournal(t, c).Say(t.Context(), facts...); err != nil {
		t.Errorf("facts: %v", err)
	}
	errs := make(chan error, n)
	for i := range n {
		go func() {
			errs <- c.Bury(t.Context(), DeadLetter{Attributes: map[string]string{"specversion": "1.0", "id": strconv.Itoa(i), "type": "t", "source": "/s"}, Data: make([]byte, size)})
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Errorf("dead letters: %v", err)
		}
	}
}

func TestAFunctionBuriesWhatItGivesUp(t *testing.T) {
	_, c := newFake(t)
	due := events.Due{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}, Step: events.StepDeliver, Attempt: 9, Try: 5, Inputs: "abc"}
	if err := c.LetterBox("calendar").Bury(t.Context(), due, "five attempts, and nothing came"); err != nil {
		t.Fatal(err)
	}
	d, err := c.DeadLetter(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	delete(d.Attributes, "time")
	want := map[string]string{
		"specversion": "1.0", "id": due.ID(), "source": "/almanac/calendar", "type": events.TypeDue, "subject": "flights/2001-01", "dataset": "flights",
		"datacontenttype": "application/json", letters.Detail: "five attempts, and nothing came",
	}
	if diff := cmp.Diff(want, d.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if e, err := events.Decode(d.Attributes["type"], d.Data); err != nil || *e.(*events.Due) != due {
		t.Errorf("its data are %s, %v", d.Data, err)
	}
}

func TestAFeedWaitsForItsGroupsCoordinator(t *testing.T) {
	fake, c := newFake(t, kfake.NumBrokers(1))
	refusals := 3
	fake.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if refusals--; refusals < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		for _, key := range req.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			one := kmsg.NewFindCoordinatorResponseCoordinator()
			one.Key, one.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, one)
		}
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return resp, nil, true
	})
	feedOf(t, c, "almanac-process")
	if refusals > 0 {
		t.Errorf("the coordinator was asked for only %d times", 3-refusals)
	}
}
