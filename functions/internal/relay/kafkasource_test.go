package relay_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

var quiet = slog.New(slog.DiscardHandler)

// feed hands out records once and remembers what is committed.
type feed struct {
	mu        sync.Mutex
	records   []kafka.Record
	committed map[kafka.Place]int64
	lost      map[int64]bool // offsets that another source has by now
}

func (f *feed) Next(ctx context.Context) ([]kafka.Record, error) {
	f.mu.Lock()
	records := f.records
	f.records = nil
	f.mu.Unlock()
	if len(records) > 0 {
		return records, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *feed) Commit(_ context.Context, next map[kafka.Place]int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.committed == nil {
		f.committed = map[kafka.Place]int64{}
	}
	maps.Copy(f.committed, next)
	return nil
}

func (f *feed) Holds(r kafka.Record) bool { return !f.lost[r.Offset] }

var place = kafka.Place{Topic: "almanac.fact.collected", Partition: 0}

func record(offset int64) kafka.Record {
	return kafka.Record{Place: place, Offset: offset, Key: []byte("k"), Value: []byte(`{"n":1}`), Headers: []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("id-" + strconv.FormatInt(offset, 10))}, {Key: "ce_source", Value: []byte("/almanac/collect")},
		{Key: "ce_type", Value: []byte("dev.almanac.collected.v1")}, {Key: "ce_traceparent", Value: []byte("00-a-b-01")}, {Key: "content-type", Value: []byte("application/json")},
		{Key: "other", Value: []byte("dropped")},
	}}
}

// sink records requests and answers them by a list of statuses, the last of which stays; status 0 breaks the connection.
type sink struct {
	*httptest.Server

	mu       sync.Mutex
	statuses []int
	got      []http.Header
	bodies   []string
	arrived  chan struct{}
}

func newSink(t *testing.T, statuses ...int) *sink {
	t.Helper()
	s := &sink{statuses: statuses, arrived: make(chan struct{}, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got, s.bodies = append(s.got, r.Header.Clone()), append(s.bodies, string(body))
		status := s.statuses[min(len(s.got)-1, len(s.statuses)-1)]
		s.mu.Unlock()
		s.arrived <- struct{}{}
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Kne-Hint", "look there")
		w.WriteHeader(status)
		if status >= 300 {
			_, _ = w.Write([]byte("because"))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) requests() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// deliver runs a source until n records have come to an end, or until the time is over.
func deliver(t *testing.T, s relay.KafkaSource, f *feed, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	outcomes := map[string]int{}
	var mu sync.Mutex
	s.Done = func(_, outcome string) {
		mu.Lock()
		defer mu.Unlock()
		outcomes[outcome]++
		if n--; n == 0 {
			cancel()
		}
	}
	s.Client, s.Namespace, s.Name = relay.NewClient(nil), "default", "process"
	if s.Log == nil {
		s.Log = quiet
	}
	s.Retry = relay.Retry{Count: 3, Base: time.Millisecond, Timeout: 2 * time.Second}
	if err := s.Run(ctx, f); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Fatalf("only %v came to an end", outcomes)
	}
	return outcomes
}

func TestAnEventThatWaitsIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		want     int
	}{
		"taken at the second try": {[]int{http.StatusServiceUnavailable, http.StatusOK}, 0},
		"taken at the fourth":     {[]int{http.StatusServiceUnavailable, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusOK}, 1},
		"refused":                 {[]int{http.StatusUnprocessableEntity}, 0},
	} {
		var log bytes.Buffer
		to := newSink(t, tt.statuses...)
		deliver(t, relay.KafkaSource{Sink: to.URL, Log: slog.New(slog.NewTextHandler(&log, nil))}, &feed{records: []kafka.Record{record(3)}}, 1)
		if got := strings.Count(log.String(), "event is not taken yet"); got != tt.want {
			t.Errorf("%s: the log tells %d times of an event that is not taken yet, want %d: %s", name, got, tt.want, log.String())
		}
	}
}

func TestEachAnswerAndWhatBecomesOfTheRecord(t *testing.T) {
	tests := map[string]struct {
		statuses []int
		requests int
		outcome  string
	}{
		"200 is done":                                {[]int{200}, 1, relay.Delivered},
		"202 is done":                                {[]int{202}, 1, relay.Delivered},
		"503 is tried again until it is done":        {[]int{503, 503, 200}, 3, relay.Delivered},
		"500 is tried again":                         {[]int{500, 200}, 2, relay.Delivered},
		"404 is tried again":                         {[]int{404, 200}, 2, relay.Delivered},
		"408 is tried again":                         {[]int{408, 200}, 2, relay.Delivered},
		"409 is tried again":                         {[]int{409, 200}, 2, relay.Delivered},
		"429 is tried again":                         {[]int{429, 200}, 2, relay.Delivered},
		"a broken connection is tried again":         {[]int{0, 0, 200}, 3, relay.Delivered},
		"503 for ever goes to the dead letters":      {[]int{503}, 4, relay.Dead},
		"422 goes to the dead letters at once":       {[]int{422}, 1, relay.Dead},
		"400 goes to the dead letters at once":       {[]int{400}, 1, relay.Dead},
		"413 goes to the dead letters at once":       {[]int{413}, 1, relay.Dead},
		"a redirect goes to the dead letters":        {[]int{307}, 1, relay.Dead},
		"503 and then 422 goes to the dead letters":  {[]int{503, 422}, 2, relay.Dead},
		"no connection for ever to the dead letters": {[]int{0}, 4, relay.Dead},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			to, dead, f := newSink(t, tt.statuses...), newSink(t, 202), &feed{records: []kafka.Record{record(7)}}
			outcomes := deliver(t, relay.KafkaSource{Sink: to.URL, DeadLetter: dead.URL}, f, 1)
			if outcomes[tt.outcome] != 1 || len(to.requests()) != tt.requests {
				t.Errorf("%v after %d requests, want %s after %d", outcomes, len(to.requests()), tt.outcome, tt.requests)
			}
			if (len(dead.requests()) == 1) != (tt.outcome == relay.Dead) {
				t.Errorf("%d dead letters", len(dead.requests()))
			}
			if f.committed[place] != 8 {
				t.Errorf("committed is %v, want 8", f.committed)
			}
		})
	}
}

func TestWithoutADeadLetterSinkThatWorksAnEventIsDropped(t *testing.T) {
	for name, dead := range map[string]string{"none": "", "failing": newSink(t, 500).URL, "refusing": newSink(t, 400).URL, "absent": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			f := &feed{records: []kafka.Record{record(0)}}
			outcomes := deliver(t, relay.KafkaSource{Sink: newSink(t, 422).URL, DeadLetter: dead}, f, 1)
			if outcomes[relay.Dropped] != 1 || f.committed[place] != 1 {
				t.Errorf("%v, committed %v, want one dropped and committed", outcomes, f.committed)
			}
		})
	}
}

func TestADeadLetterSaysWhy(t *testing.T) {
	to, dead := newSink(t, 422), newSink(t, 202)
	deliver(t, relay.KafkaSource{Sink: to.URL, DeadLetter: dead.URL}, &feed{records: []kafka.Record{record(3)}}, 1)
	got := dead.requests()[0]
	want := map[string]string{"Ce-Id": "id-3", "Ce-Type": "dev.almanac.collected.v1", "Ce-Knativeerrordest": to.URL, "Ce-Knativeerrorcode": "422",
		"Ce-Knativeerrordata": base64.StdEncoding.EncodeToString([]byte("because")), "Ce-Hint": "look there", "Content-Type": "application/json"}
	for name, value := range want {
		if got.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, got.Get(name), value)
		}
	}
}

func TestAttributesOfRecords(t *testing.T) {
	at := time.Date(2001, 1, 5, 6, 7, 8, 0, time.UTC)
	tests := map[string]struct {
		record kafka.Record
		want   map[string]string
		body   string
	}{
		"a CloudEvent in binary mode": {record(5), map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "id-5", "Ce-Source": "/almanac/collect", "Ce-Type": "dev.almanac.collected.v1", "Ce-Traceparent": "00-a-b-01",
			"Ce-Knativekafkapartition": "0", "Ce-Knativekafkaoffset": "5", "Content-Type": "application/json", "Prefer": "reply", "Kn-Namespace": "default",
		}, `{"n":1}`},
		"a plain record": {kafka.Record{Place: kafka.Place{Topic: "t", Partition: 2}, Offset: 9, Key: []byte("key"), Value: []byte("v"), Time: at, Headers: []kafka.Header{
			{Key: "X-My_Header", Value: []byte("mine\n")}, {Key: "Content-Type", Value: []byte("Text/Plain")}, {Key: "null"},
		}}, map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "partition:2/offset:9", "Ce-Source": "/apis/v1/namespaces/default/kafkasources/process#t", "Ce-Type": "dev.knative.kafka.event",
			"Ce-Subject": "partition:2#9", "Ce-Time": "2001-01-05T06:07:08Z", "Ce-Key": "key", "Ce-Partitionkey": "key", "Ce-Kafkaheaderxmyheader": "mine%0A",
			"Ce-Knativekafkapartition": "2", "Ce-Knativekafkaoffset": "9", "Content-Type": "text/plain", "Prefer": "reply", "Kn-Namespace": "default",
		}, "v"},
		"a CloudEvent in structured mode": {kafka.Record{Place: kafka.Place{Topic: "t"}, Offset: 1, Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}},
			Value: []byte(`{"specversion":"1.0","id":"i","source":"/s","type":"t","datacontenttype":"application/json","n":7,"data":{"a":1}}`)}, map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "i", "Ce-Source": "/s", "Ce-Type": "t", "Ce-N": "7", "Ce-Knativekafkapartition": "0", "Ce-Knativekafkaoffset": "1",
			"Content-Type": "application/json", "Prefer": "reply", "Kn-Namespace": "default",
		}, `{"a":1}`},
		"an event without an id": {kafka.Record{Place: kafka.Place{Topic: "t"}, Offset: 4, Time: at, Headers: []kafka.Header{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("t")}}}, map[string]string{
			"Ce-Specversion": "1.0", "Ce-Id": "partition:0/offset:4", "Ce-Source": "/apis/v1/namespaces/default/kafkasources/process#t", "Ce-Type": "dev.knative.kafka.event",
			"Ce-Subject": "partition:0#4", "Ce-Time": "2001-01-05T06:07:08Z", "Ce-Kafkaheadercespecversion": "1.0", "Ce-Kafkaheadercetype": "t",
			"Ce-Knativekafkapartition": "0", "Ce-Knativekafkaoffset": "4", "Prefer": "reply", "Kn-Namespace": "default",
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			to := newSink(t, 200)
			deliver(t, relay.KafkaSource{Sink: to.URL}, &feed{records: []kafka.Record{tt.record}}, 1)
			got := map[string]string{}
			for key := range to.got[0] {
				if key != "User-Agent" && key != "Content-Length" {
					got[key] = to.got[0].Get(key)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if to.bodies[0] != tt.body {
				t.Errorf("body is %q, want %q", to.bodies[0], tt.body)
			}
		})
	}
}

func TestOrderedHoldsThePartition(t *testing.T) {
	other := record(0)
	other.Partition = 1
	to := newSink(t, 503, 503, 200)
	deliver(t, relay.KafkaSource{Sink: to.URL, Ordered: true}, &feed{records: []kafka.Record{record(0), record(1), record(2)}}, 3)
	var ids []string
	for _, h := range to.requests() {
		ids = append(ids, h.Get("Ce-Id"))
	}
	if got := strings.Join(ids, " "); got != "id-0 id-0 id-0 id-1 id-2" {
		t.Errorf("requests are %s, want the first retried before the others", got)
	}
}

func TestUnorderedCommitsOnlyWhatIsDoneWithoutAGap(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	seen := map[string]bool{}
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("Ce-Id")] = true
		if len(seen) == 5 {
			close(all)
		}
		mu.Unlock()
		if r.Header.Get("Ce-Id") == "id-2" {
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	f := &feed{records: []kafka.Record{record(0), record(1), record(2), record(3), record(4)}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 5)
	s := relay.KafkaSource{Sink: server.URL, Client: relay.NewClient(nil), Log: quiet, Grace: 10 * time.Millisecond, Done: func(string, string) { done <- struct{}{} }}
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, f) }()
	<-all
	for range 4 {
		<-done
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if f.committed[place] != 2 {
		t.Errorf("committed is %v, want 2: the record at 2 is not done", f.committed)
	}
}

func TestAStopEndsRetriesAndLeavesTheRecord(t *testing.T) {
	to, dead := newSink(t, 503), newSink(t, 202)
	f := &feed{records: []kafka.Record{record(0)}}
	ctx, cancel := context.WithCancel(t.Context())
	s := relay.KafkaSource{Sink: to.URL, DeadLetter: dead.URL, Client: relay.NewClient(nil), Log: quiet, Retry: relay.Retry{Base: time.Hour}}
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, f) }()
	<-to.arrived
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(f.committed) != 0 || len(dead.requests()) != 0 {
		t.Errorf("committed %v, %d dead letters, want none of both", f.committed, len(dead.requests()))
	}
}
