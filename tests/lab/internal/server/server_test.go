package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

func open(t *testing.T) (Host, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	h := Host{Root: t.TempDir(), Out: &out}
	for _, dir := range []string{"log", "run"} {
		if err := os.Mkdir(filepath.Join(h.Root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return h, &out
}

func TestAServerThatEndsIsAnErrorWithItsLog(t *testing.T) {
	h, _ := open(t)
	err := h.Start(t.Context(), Server{
		Name: "broken", Patience: 10 * time.Second,
		Args:    []string{"sh", "-c", "echo no room for the log; sleep 0.2"},
		Healthy: func(context.Context) error { return errors.New("not yet") },
	})
	if err == nil || !strings.Contains(err.Error(), "broken ended") || !strings.Contains(err.Error(), "no room for the log") {
		t.Errorf("start = %v, want the end of its log", err)
	}
}

func TestAServerThatLosesARaceAgainstItselfIsStartedAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		race   string
		starts int
		want   string
	}{
		"its race":      {"two threads", 2, ""},
		"its race ever": {"two threads", 9, "calm ended"},
		"another error": {"three threads", 2, "calm ended"},
		"no known race": {"", 2, "calm ended"},
	} {
		h, _ := open(t)
		t.Cleanup(func() { _ = proc.Stop(context.Background(), h.PIDFile("calm"), time.Second) })
		count := filepath.Join(h.Root, "count")
		starts := func() int {
			text, _ := os.ReadFile(count)
			return len(text)
		}
		err := h.Start(t.Context(), Server{
			Name: "calm", Patience: 10 * time.Second, Race: tt.race,
			Args: []string{"sh", "-c", `printf x >>count; [ "$(wc -c <count)" -ge "$0" ] && exec sleep 60; echo two threads; exit 1`, strconv.Itoa(tt.starts)},
			Healthy: func(context.Context) error {
				if starts() < tt.starts {
					return errors.New("not yet")
				}
				return nil
			},
		})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: start = %v after %d starts, want %q", name, err, starts(), tt.want)
		}
		if n := starts(); n > retries+1 {
			t.Errorf("%s: it was started %d times", name, n)
		}
	}
}

func TestAServerThatIsNeverWellIsAnError(t *testing.T) {
	h, _ := open(t)
	t.Cleanup(func() { _ = proc.Stop(context.Background(), h.PIDFile("slow"), time.Second) })
	err := h.Start(t.Context(), Server{
		Name: "slow", Patience: 400 * time.Millisecond,
		Args:    []string{"sleep", "60"},
		Healthy: func(context.Context) error { return errors.New("still reading") },
	})
	if err == nil || !strings.Contains(err.Error(), "not healthy after 400ms: still reading") {
		t.Errorf("start = %v, want what it lacked", err)
	}
}

func TestAServerThatRunsIsNotStartedAgain(t *testing.T) {
	h, out := open(t)
	t.Cleanup(func() { _ = proc.Stop(context.Background(), h.PIDFile("calm"), time.Second) })
	s := Server{Name: "calm", Patience: time.Second, Args: []string{"sleep", "60"}, Healthy: func(context.Context) error { return nil }}
	for range 2 {
		if err := h.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); strings.Count(got, "started in") != 1 || !strings.Contains(got, "calm                     runs") {
		t.Errorf("it said %q, want started once, then runs", got)
	}
}

func TestAStrangeListenerIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := free(ctx, l.Addr().String()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("free = %v, want an error that names the address", err)
	}
}
