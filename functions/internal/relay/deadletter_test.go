package relay_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

func TestADeadLetterIsKeptInItsTopicAndSentAgain(t *testing.T) {
	b := mustStart(t, folder(t))
	defer b.close(t)
	dead := httptest.NewServer(relay.DeadLetterSink(b.cluster.Bury, quiet))
	defer dead.Close()
	to := newSink(t, 422, 200)
	outcomes := deliver(t, relay.KafkaSource{Sink: to.URL, DeadLetter: dead.URL}, &feed{records: []kafka.Record{record(3)}}, 1)
	if outcomes[relay.Dead] != 1 {
		t.Fatalf("outcomes are %v", outcomes)
	}
	d, err := b.cluster.DeadLetter(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"specversion": "1.0", "id": "id-3", "source": "/almanac/collect", "type": "dev.almanac.collected.v1", "traceparent": "00-a-b-01",
		"datacontenttype": "application/json", "knativekafkapartition": "0", "knativekafkaoffset": "3", "hint": "look there",
		"knativeerrordest": to.URL, "knativeerrorcode": "422", "knativeerrordata": "YmVjYXVzZQ=="}
	if diff := cmp.Diff(want, d.Attributes); diff != "" || string(d.Data) != `{"n":1}` {
		t.Errorf("data %s, attributes (-want +got):\n%s", d.Data, diff)
	}
	if err := relay.Resend(t.Context(), relay.NewClient(nil), d); err != nil {
		t.Fatal(err)
	}
	if again := to.requests()[1]; again.Get("Ce-Id") != "id-3" || again.Get("Ce-Knativeerrorcode") != "" {
		t.Errorf("sent again with %v", again)
	}
	to.statuses = []int{503}
	if err := relay.Resend(t.Context(), relay.NewClient(nil), d); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("resending to a failing function says %v", err)
	}
}

func TestADeadLetterSinkSaysWhatItCannotKeep(t *testing.T) {
	ok := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "i", "Ce-Source": "/s", "Ce-Type": "t"}
	tests := map[string]struct {
		headers map[string]string
		body    string
		fails   error
		want    int
	}{
		"an event":              {ok, "x", nil, http.StatusAccepted},
		"no event":              {nil, "x", nil, http.StatusBadRequest},
		"an event without id":   {map[string]string{"Ce-Specversion": "1.0", "Ce-Source": "/s", "Ce-Type": "t"}, "x", nil, http.StatusBadRequest},
		"an event of 9 MiB":     {ok, strings.Repeat("x", 9<<20), nil, http.StatusRequestEntityTooLarge},
		"a broker that is down": {ok, "x", errors.New("down"), http.StatusServiceUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			relay.DeadLetterSink(func(context.Context, kafka.DeadLetter) error { return tt.fails }, quiet).ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("answer is %d %s, want %d", w.Code, w.Body, tt.want)
			}
		})
	}
}

// letter is a request that buries an event of so many bytes; stream hides how many.
func letter(data string, stream bool) *http.Request {
	var body io.Reader = strings.NewReader(data)
	if stream {
		body = io.MultiReader(body)
	}
	r := httptest.NewRequest(http.MethodPost, "/", body)
	for _, name := range []string{"Id", "Source", "Type"} {
		r.Header.Set("Ce-"+name, "x")
	}
	r.Header.Set("Ce-Specversion", "1.0")
	return r
}

// TestManyLargeDeadLettersAreNotHeldAtOnce lets 16 come, as many as the function takes on Knative, while the broker answers none.
func TestManyLargeDeadLettersAreNotHeldAtOnce(t *testing.T) {
	const n = 16
	data := strings.Repeat("x", 8<<20)
	for name, stream := range map[string]bool{"of known length": false, "of unknown length": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				held, buried := 0, 0
				write := make(chan struct{})
				sink := relay.DeadLetterSink(func(_ context.Context, d kafka.DeadLetter) error {
					mu.Lock()
					held += len(d.Data)
					mu.Unlock()
					<-write
					mu.Lock()
					defer mu.Unlock()
					held -= len(d.Data)
					buried++
					return nil
				}, quiet)
				answers := make(chan *httptest.ResponseRecorder, n)
				post := func() {
					w := httptest.NewRecorder()
					sink.ServeHTTP(w, letter(data, stream))
					answers <- w
				}
				before := heap()
				for range n {
					go post()
				}
				synctest.Wait()
				if grown := heap() - before; held != 3*len(data) || grown > 4*len(data) {
					t.Errorf("%d MiB of letters are held in %d MiB of memory, want 24 in hardly more", held>>20, grown>>20)
				}
				close(write)
				for range n {
					if w := <-answers; w.Code != http.StatusAccepted {
						t.Errorf("answer is %d %s, want 202", w.Code, w.Body)
					}
				}
				if buried != n {
					t.Errorf("%d letters are buried, want %d", buried, n)
				}
				write = make(chan struct{})
				for range n {
					go post()
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				for range n - 3 {
					if w := <-answers; w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
						t.Errorf("while nothing is written the answer is %d %s, want 503 with Retry-After", w.Code, w.Body)
					}
				}
				close(write)
			})
		})
	}
}

// heap is how many bytes are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestASourceGoesOnAfterARestart runs the real parts together: journal, broker, feed, source and a function.
func TestASourceGoesOnAfterARestart(t *testing.T) {
	dir := folder(t)
	topic := events.Collected{}.Topic()
	for start := range 3 {
		b := mustStart(t, dir)
		for n := range 10 {
			if err := b.journal.Say(t.Context(), events.Collected{Piece: pieceOf(start*10 + n)}); err != nil {
				t.Fatal(err)
			}
		}
		f, err := b.cluster.Feed(t.Context(), "almanac-process", []string{topic}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		to := newSink(t, 200)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		left := 10
		done := make(chan struct{}, 100)
		s := relay.KafkaSource{Namespace: "default", Name: "process", Sink: to.URL, Client: relay.NewClient(nil), Log: quiet, Done: func(string, string) { done <- struct{}{} }}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, f) }()
		for ; left > 0; left-- {
			<-done
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := to.requests(); len(got) != 10 {
			t.Errorf("start %d: %d events, want the 10 that are new", start, len(got))
		}
		if lag, err := b.cluster.Lag(t.Context(), "almanac-process", []string{topic}); err != nil || lag != 0 {
			t.Errorf("start %d: lag is %d, %v", start, lag, err)
		}
		b.close(t)
	}
}

func TestDeadLettersAreCountedByTheFunctionTheyWereFor(t *testing.T) {
	counted := map[string]int{}
	fails := false
	bury := relay.Counted(func(context.Context, kafka.DeadLetter) error {
		if fails {
			return errors.New("broker away")
		}
		return nil
	}, func(function string) { counted[function]++ })
	for _, dest := range []string{"http://127.0.0.1:8321/functions/store", "http://store.almanac.svc.cluster.local", "http://process.almanac.svc.cluster.local/",
		"http://evil.example/x", "", "://", "http://127.0.0.1/functions/" + strings.Repeat("x", 1000)} {
		if err := bury(t.Context(), kafka.DeadLetter{Attributes: map[string]string{"knativeerrordest": dest}}); err != nil {
			t.Fatal(err)
		}
	}
	fails = true
	if err := bury(t.Context(), kafka.DeadLetter{}); err == nil {
		t.Error("what was not kept is told as kept")
	}
	if want := map[string]int{"store": 2, "process": 1, "other": 4}; !cmp.Equal(counted, want) {
		t.Error(cmp.Diff(want, counted))
	}
}
