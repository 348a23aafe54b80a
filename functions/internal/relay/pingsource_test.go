package relay_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/relay"
)

var newYear = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// watched is a clock that says when somebody waits for it, so that it is not moved too early.
type watched struct {
	*movable

	waits chan struct{}
}

func (w watched) Wait(ctx context.Context, t time.Time) error {
	w.waits <- struct{}{}
	return w.movable.Wait(ctx, t)
}

func newClock() watched { return watched{newMovable(newYear), make(chan struct{}, 100)} }

// ticks runs a source while the clock is moved, and returns what arrived.
func ticks(t *testing.T, s relay.PingSource, to *sink, moves ...time.Time) []http.Header {
	t.Helper()
	clock := newClock()
	s.Clock, s.Client, s.Log, s.Sink, s.Namespace, s.Name = clock, relay.NewClient(nil), quiet, to.URL, "default", "calendar"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for i, at := range moves {
		if i == 0 || at.After(moves[i-1]) {
			<-clock.waits
			clock.Set(at)
		}
		select {
		case <-to.arrived:
		case <-ctx.Done():
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return to.requests()
}

func TestATickHasTheAttributesOfAPingSource(t *testing.T) {
	to := newSink(t, 200)
	got := ticks(t, relay.PingSource{Schedule: "*/5 * * * *", ContentType: "application/json", Data: []byte(`{}`)}, to, newYear.Add(5*time.Minute), newYear.Add(10*time.Minute+3*time.Second))
	if len(got) != 2 {
		t.Fatalf("%d ticks, want 2", len(got))
	}
	for name, want := range map[string]string{"Ce-Type": "dev.knative.sources.ping", "Ce-Source": "/apis/v1/namespaces/default/pingsources/calendar", "Ce-Specversion": "1.0",
		"Ce-Time": "2001-01-01T00:10:03Z", "Content-Type": "application/json", "Ce-Subject": ""} {
		if got[1].Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got[1].Get(name), want)
		}
	}
	if a, b := got[0].Get("Ce-Id"), got[1].Get("Ce-Id"); len(a) != 36 || a == b {
		t.Errorf("ids are %q and %q, want two random UUIDs", a, b)
	}
	if to.bodies[0] != "{}" {
		t.Errorf("body is %q", to.bodies[0])
	}
}

func TestMissedTicksDoNotComeLater(t *testing.T) {
	if got := ticks(t, relay.PingSource{Schedule: "0 * * * * *"}, newSink(t, 200), newYear.Add(24*time.Hour)); len(got) != 1 {
		t.Errorf("%d ticks after a day was passed over, want 1", len(got))
	}
}

// hurried is a clock that is at each time that is waited for at once, a few times.
type hurried struct {
	now    time.Time
	waited []time.Duration // since the new year
}

func (h *hurried) Now() time.Time { return h.now }

func (h *hurried) Wait(_ context.Context, t time.Time) error {
	h.now, h.waited = t, append(h.waited, t.Sub(newYear))
	if len(h.waited) == 4 {
		return context.Canceled
	}
	return nil
}

func TestATickMayBeLate(t *testing.T) {
	clock := &hurried{now: newYear}
	s := relay.PingSource{Schedule: "* * * * *", Delay: 90 * time.Second, Sink: newSink(t, 200).URL, Clock: clock, Client: relay.NewClient(nil), Log: quiet}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{30 * time.Second, 90 * time.Second, 150 * time.Second, 210 * time.Second}; !slices.Equal(clock.waited, want) {
		t.Errorf("ticks come %v after the new year, want %v", clock.waited, want)
	}
}

func TestWhenATickIsSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		requests int
	}{
		"503 is tried again":     {[]int{503, 502, 200}, 3},
		"a broken connection is": {[]int{0, 200}, 2},
		"500 is lost at once":    {[]int{500}, 1},
		"422 is lost at once":    {[]int{422}, 1},
		"503 is lost in the end": {[]int{503}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			to := newSink(t, tt.statuses...)
			moves := make([]time.Time, tt.requests)
			for i := range moves {
				moves[i] = newYear.Add(time.Hour)
			}
			got := ticks(t, relay.PingSource{Schedule: "0 * * * *", Retry: relay.Retry{Count: 3, Base: time.Millisecond}}, to, moves...)
			if len(got) != tt.requests {
				t.Errorf("%d requests, want %d", len(got), tt.requests)
			}
		})
	}
}

func TestATickDoesNotWaitForTheOneBefore(t *testing.T) {
	clock := newClock()
	both := make(chan struct{}, 2)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		both <- struct{}{}
		<-release
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := relay.PingSource{Schedule: "* * * * *", Sink: server.URL, Clock: clock, Client: relay.NewClient(nil), Log: quiet}
	go func() { ended <- s.Run(ctx) }()
	<-clock.waits
	clock.Set(newYear.Add(time.Minute))
	<-both
	<-clock.waits
	clock.Set(newYear.Add(2 * time.Minute))
	<-both
	close(release)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTimeZonesAndBadSchedules(t *testing.T) {
	clock := newMovable(newYear)
	for _, schedule := range []string{"", "every day", "61 * * * *", "* * * * * * *"} {
		s := relay.PingSource{Schedule: schedule, Clock: clock}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cron") {
			t.Errorf("schedule %q: %v", schedule, err)
		}
	}
	never := relay.PingSource{Schedule: "0 0 30 2 *", Clock: clock}
	if err := never.Run(t.Context()); err == nil {
		t.Error("30 February comes")
	}
	to := newSink(t, 200)
	got := ticks(t, relay.PingSource{Schedule: "CRON_TZ=Asia/Tokyo 0 6 * * *"}, to, time.Date(2001, 1, 1, 21, 0, 0, 0, time.UTC))
	if len(got) != 1 || got[0].Get("Ce-Time") != "2001-01-01T21:00:00Z" {
		t.Errorf("tick of 6 o'clock in Tokyo: %v", got)
	}
}

func TestClocks(t *testing.T) {
	running := relay.Running(time.Now)
	if err := running.Wait(t.Context(), running.Now().Add(time.Millisecond)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if running.Wait(ctx, running.Now().Add(time.Hour)) == nil || newMovable(newYear).Wait(ctx, newYear.Add(1)) == nil {
		t.Error("a wait outlives its context")
	}
	m := newMovable(newYear)
	m.Set(newYear.Add(time.Hour))
	m.Set(newYear)
	if !m.Now().Equal(newYear.Add(time.Hour)) {
		t.Errorf("the clock ran backwards to %v", m.Now())
	}
}
