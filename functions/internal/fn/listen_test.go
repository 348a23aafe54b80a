package fn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"go.opentelemetry.io/otel/propagation"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/fn/fntest"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

func newProcess(t testing.TB, env map[string]string) *Process {
	t.Helper()
	p, err := New(t.Context(), "collect", envconfig.MapLookuper(env), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func listener(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start serves h and returns its address and a function that stops it and gives what Listen returned.
func start(t testing.TB, p *Process, h http.Handler) (url string, stop func() error) {
	t.Helper()
	l := listener(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Listen(ctx, l, h) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return "http://" + l.Addr().String(), stop
}

func TestProbes(t *testing.T) {
	p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms"})
	var broken error
	p.Ready("kafka", func(context.Context) error { return broken })
	url, _ := start(t, p, http.NotFoundHandler())
	tests := []struct {
		why    string
		broken error
		path   string
		header map[string]string
		status int
		text   string
	}{
		{"alive", nil, "/healthz", nil, 200, "ok"},
		{"ready", nil, "/readyz", nil, 200, "ok"},
		{"alive though not ready", errors.New("broker away"), "/healthz", nil, 200, "ok"},
		{"not ready, and why", errors.New("broker away"), "/readyz", nil, 503, "kafka: broker away"},
		{"not ready for the kubelet", errors.New("broker away"), "/readyz", map[string]string{"User-Agent": "kube-probe/1.34"}, 503, "kafka: broker away"},
		{"a probe of Knative's network", nil, "/", map[string]string{"K-Network-Probe": "probe", "K-Network-Hash": "h"}, 200, ""},
		{"metrics", nil, "/metrics", nil, 200, "go_goroutines"},
		{"anything else is the handler's", nil, "/x", nil, 404, ""},
	}
	for _, tt := range tests {
		broken = tt.broken
		status, text, _ := fntest.Send(t, url+tt.path, "GET", "", tt.header)
		if status != tt.status || !strings.Contains(text, tt.text) {
			t.Errorf("%s: GET %s = %d %q, want %d %q", tt.why, tt.path, status, text, tt.status, tt.text)
		}
	}
}

func TestServerSpeaksHTTP2WithoutTLS(t *testing.T) {
	url, _ := start(t, newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms"}), http.NotFoundHandler())
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("GET /healthz = %s %s, want 200 by HTTP/2", resp.Proto, resp.Status)
	}
}

func TestStopLetsWorkEnd(t *testing.T) {
	p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms", "ALMANAC_GRACE": "10s"})
	begun, finish := make(chan struct{}), make(chan struct{})
	h := endpoint.New("collect", func(context.Context, events.Event) error {
		close(begun)
		<-finish
		return nil
	}, p.Options(time.Minute))
	url, stop := start(t, p, h)
	answer := make(chan int, 1)
	go func() {
		status, _, _ := fntest.Send(t, url, "POST", fntest.Encode(t, fntest.Due), fntest.Header(events.TypeDue))
		answer <- status
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	refused(t, url)
	select {
	case err := <-stopped:
		t.Fatalf("server stopped (%v) while work went on", err)
	default:
	}
	close(finish)
	if status := <-answer; status != 200 {
		t.Errorf("work that had begun was answered %d, want 200", status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Listen() = %v, want nil", err)
	}
}

// refused returns once the server takes no more connections.
func refused(t *testing.T, url string) {
	t.Helper()
	for t.Context().Err() == nil {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

func TestStopCancelsWorkThatTakesTooLong(t *testing.T) {
	p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms", "ALMANAC_GRACE": "50ms"})
	begun := make(chan struct{})
	h := endpoint.New("collect", func(ctx context.Context, _ events.Event) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}, p.Options(time.Minute))
	url, stop := start(t, p, h)
	answer := make(chan int, 1)
	go func() {
		status, _, _ := fntest.Send(t, url, "POST", fntest.Encode(t, fntest.Due), fntest.Header(events.TypeDue))
		answer <- status
	}()
	<-begun
	if err := stop(); err != nil {
		t.Errorf("Listen() = %v, want nil", err)
	}
	if status := <-answer; status != 503 {
		t.Errorf("cancelled work was answered %d, want 503", status)
	}
}

func TestPortTaken(t *testing.T) {
	l := listener(t)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := newProcess(t, map[string]string{"PORT": port})
	err := p.Serve(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:"+port) || !strings.Contains(err.Error(), "set PORT") {
		t.Errorf("Serve() on a port that is taken = %v, want an error that names it and PORT", err)
	}
}

func TestHostIsLoopbackOutsideKnative(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string
	}{
		"on a laptop":                      {nil, "127.0.0.1"},
		"in a Knative service":             {map[string]string{"K_SERVICE": "collect"}, ""},
		"elsewhere where a person says so": {map[string]string{"ALMANAC_HOST": "0.0.0.0"}, "0.0.0.0"},
	}
	for name, tt := range tests {
		c, err := newProcess(t, tt.env).serverConfig(t.Context())
		if err != nil || c.Host != tt.want || c.Port != 8080 {
			t.Errorf("%s: host %q port %d, %v, want %q and 8080", name, c.Host, c.Port, err, tt.want)
		}
	}
}

func TestExecute(t *testing.T) {
	event := `{"specversion":"1.0","id":"42","source":"/almanac/calendar","type":"` + events.TypeDue + `","data":` + fntest.Encode(t, fntest.Due) + `}`
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "event"), []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	handle := func(err error) func(context.Context, *Process) error {
		return func(ctx context.Context, p *Process) error {
			return p.Serve(ctx, func(_ context.Context, ev events.Event) error {
				if ev == nil || ev.Of() != fntest.Due.Piece {
					t.Errorf("handler got %v, want the event of the file", ev)
				}
				return err
			})
		}
	}
	waits := func(ctx context.Context, p *Process) error {
		return p.Serve(ctx, func(ctx context.Context, _ events.Event) error { <-ctx.Done(); return ctx.Err() })
	}
	job := func(path string) map[string]string {
		return map[string]string{"K_EXECUTION_MODE": "batch", "K_EVENT_PATH": path}
	}
	tests := map[string]struct {
		ctx  context.Context //nolint:containedctx // a row of a table
		env  map[string]string
		run  func(context.Context, *Process) error
		want int
		log  string
	}{
		"a job that does its event ends with 0":          {t.Context(), job(dir), handle(nil), 0, "function ended"},
		"a job takes a file, too":                        {t.Context(), job(filepath.Join(dir, "event")), handle(nil), 0, "function ended"},
		"a job that fails ends with 1":                   {t.Context(), job(dir), handle(errors.New("broker away")), 1, "broker away"},
		"a job without an event ends with 1":             {t.Context(), job(filepath.Join(dir, "none")), handle(nil), 1, "K_EVENT_PATH"},
		"a job with half an event ends with 1":           {t.Context(), job(bad), handle(nil), 1, "not a CloudEvent"},
		"a job that is interrupted ends with 1":          {interrupted, job(dir), func(ctx context.Context, _ *Process) error { return ctx.Err() }, 1, "function failed"},
		"a job that is interrupted at work ends with 1":  {interrupted, job(dir), waits, 1, "event of"},
		"a mistake in the configuration ends with 1":     {t.Context(), map[string]string{"PORT": "no"}, handle(nil), 1, "PORT: strconv"},
		"a server that is interrupted ends with 0":       {interrupted, map[string]string{"PORT": "0", "ALMANAC_QUIET": "1ms"}, handle(nil), 0, "function ended"},
		"work that ends by the interruption ends with 0": {interrupted, nil, func(ctx context.Context, _ *Process) error { return ctx.Err() }, 0, "function ended"},
		"an unknown log level is said, and no reason to stop": {t.Context(), map[string]string{"ALMANAC_LOG": "loud"},
			func(context.Context, *Process) error { return nil }, 0, "ALMANAC_LOG"},
		"revision and service stand in each line": {t.Context(), map[string]string{"K_SERVICE": "collect-eu", "K_REVISION": "collect-eu-00007"},
			func(context.Context, *Process) error { return nil }, 0, `"service":"collect-eu","revision":"collect-eu-00007"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			if got := execute(tt.ctx, "collect", envconfig.MapLookuper(tt.env), &log, tt.run); got != tt.want {
				t.Errorf("execute() = %d, want %d; %s", got, tt.want, &log)
			}
			if !strings.Contains(log.String(), tt.log) {
				t.Errorf("logged %s, want %q in it", &log, tt.log)
			}
		})
	}
}

// R9: CloudEvents against a bare handler that reads the body and answers 202, both over real connections.
func BenchmarkEvents(b *testing.B) {
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	p := newProcess(b, map[string]string{"ALMANAC_QUIET": "1ms"})
	ours := endpoint.New("collect", func(context.Context, events.Event) error { return nil }, p.Options(time.Minute))
	for name, h := range map[string]http.Handler{"bare": bare, "almanac": ours} {
		b.Run(name, func(b *testing.B) {
			url, stop := start(b, p, h)
			defer func() { _ = stop() }()
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			defer transport.CloseIdleConnections()
			client, body := &http.Client{Transport: transport}, fntest.Encode(b, fntest.Due)
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
					for k, v := range fntest.Header(events.TypeDue) {
						r.Header.Set(k, v)
					}
					resp, err := client.Do(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

func TestAJobGoesOnWithTheTraceOfItsEvent(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	event := `{"specversion":"1.0","id":"42","source":"/almanac/calendar","type":"` + events.TypeDue + `","traceparent":"` + parent + `","data":` + fntest.Encode(t, fntest.Due) + `}`
	path := filepath.Join(t.TempDir(), "event")
	if err := os.WriteFile(path, []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProcess(t, map[string]string{"K_EXECUTION_MODE": "batch", "K_EVENT_PATH": path})
	carrier := propagation.MapCarrier{}
	if err := p.Serve(t.Context(), func(ctx context.Context, _ events.Event) error {
		propagation.TraceContext{}.Inject(ctx, carrier)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := carrier["traceparent"]; !strings.HasPrefix(got, parent[:35]) || got == parent {
		t.Errorf("the handler's trace is %q, want a span of its own in that of %q", got, parent)
	}
}

func TestBesideEndsWithItsWork(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		work func(ctx context.Context) error
		stop bool
		want error
	}{
		"work that fails ends the process":  {func(context.Context) error { return broken }, false, broken},
		"work that is done ends it":         {func(context.Context) error { return nil }, false, nil},
		"a stop ends the work":              {func(ctx context.Context) error { <-ctx.Done(); return nil }, true, nil},
		"work that cannot let go tells why": {func(ctx context.Context) error { <-ctx.Done(); return broken }, true, broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms", "PORT": "0"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.stop {
				cancel()
			}
			if err := p.Beside(ctx, tt.work); !errors.Is(err, tt.want) {
				t.Errorf("Beside = %v, want %v", err, tt.want)
			}
		})
	}
}

// TestNoWorkIsBegunBesideAnAddressThatIsTaken has a process begin where another listens.
func TestNoWorkIsBegunBesideAnAddressThatIsTaken(t *testing.T) {
	l := listener(t)
	defer l.Close()
	p := newProcess(t, map[string]string{"PORT": strconv.Itoa(l.Addr().(*net.TCPAddr).Port)})
	begun := false
	err := p.Beside(t.Context(), func(context.Context) error { begun = true; return nil })
	if begun || err == nil || !strings.Contains(err.Error(), "set PORT") {
		t.Errorf("work was begun: %v; Beside = %v, want it to name PORT", begun, err)
	}
}

func TestAFunctionSaysWhereEventsGo(t *testing.T) {
	l := listener(t)
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms", "PORT": strconv.Itoa(port)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, func(context.Context, events.Event) error { return nil }) }()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for r, err := http.Get(url + "/healthz"); ; r, err = http.Get(url + "/healthz") {
		if err == nil {
			_ = r.Body.Close()
			break
		}
	}
	for path, want := range map[string]int{"/": 200, "/events": 404, "/healthz": 404} {
		status, text, header := fntest.Send(t, url+path, "POST", fntest.Encode(t, fntest.Due), fntest.Header(events.TypeDue))
		if status != want || want == 404 && (header.Get("Content-Type") != problem.ContentType || !strings.Contains(text, "send events to /")) {
			t.Errorf("POST %s = %d %s %q, want %d", path, status, header.Get("Content-Type"), text, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
