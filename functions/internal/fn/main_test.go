package fn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn/fntest"
)

// TestMain is a function itself when the tests start it as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FN_TEST_FUNCTION") == "" {
		os.Exit(m.Run())
	}
	Main("collect", func(ctx context.Context, p *Process) error {
		return p.Serve(ctx, func(context.Context, events.Event) error { return nil })
	})
}

// function starts a function as a process and returns its address once it listens.
func function(t testing.TB) (*exec.Cmd, string) {
	t.Helper()
	l := listener(t)
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FN_TEST_FUNCTION=1", "ALMANAC_QUIET=1ms", "PORT="+strconv.Itoa(port))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("logged %s: %v", lines.Text(), err)
		}
		if line.Message == "listening" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return cmd, "http://" + line.Address
		}
	}
	t.Fatal("the function did not listen")
	return nil, ""
}

func TestProcessEndsByASignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, url := function(t)
		if status, _, _ := fntest.Send(t, url, "POST", fntest.Encode(t, fntest.Due), fntest.Header(events.TypeDue)); status != http.StatusOK {
			t.Errorf("answer = %d, want 200", status)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %s: %v, want exit code 0", signal, err)
		}
	}
}

// BenchmarkStart: from exec to the first 200 (R9: at most 50 ms).
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		cmd, url := function(b)
		if status, _, _ := fntest.Send(b, url, "POST", fntest.Encode(b, fntest.Due), fntest.Header(events.TypeDue)); status != http.StatusOK {
			b.Errorf("answer = %d, want 200", status)
		}
		b.StopTimer()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		b.StartTimer()
	}
}

// sends says how a writer was given its bytes.
type sends struct {
	http.ResponseWriter

	files *int
}

// ReadFrom is what the kernel's sendfile hangs on.
func (s sends) ReadFrom(r io.Reader) (int64, error) {
	*s.files++
	return io.Copy(s.ResponseWriter, r)
}

func TestInstrumentKeepsSendfile(t *testing.T) {
	name, files := filepath.Join(t.TempDir(), "f"), 0
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProcess(t, map[string]string{"ALMANAC_QUIET": "1ms"})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
	})
	inner := p.Instrument(mux)
	url, _ := start(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(sends{w, &files}, r) }))
	if status, body, _ := fntest.Send(t, url+"/file", "GET", "", nil); status != http.StatusOK || len(body) != 1<<20 || files != 1 {
		t.Errorf("answer = %d with %d bytes, ReadFrom called %d times, want once", status, len(body), files)
	}
	_, text, _ := fntest.Send(t, url+"/metrics", "GET", "", nil)
	if !strings.Contains(text, `almanac_http_request_duration_seconds_count{code="200",method="get"} 1`) {
		t.Error("the request was not measured")
	}
}
