package keep

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
)

// store holds one secret.
type store struct {
	mu    sync.Mutex
	value string
	err   error
	read  chan struct{}
}

func (s *store) Secret(context.Context, string, string) (map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.read <- struct{}{}:
	default:
	}
	return map[string]any{"password": s.value, "user": "almanac"}, s.err
}

func (s *store) set(value string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.err = value, err
}

var password = reference.Value{Mount: "kv", Path: "almanac/process/kafka", Key: "password"}

func open(t *testing.T, s *store, every time.Duration) (*Keeper, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	k := New(t.Context(), s, every, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { _ = k.Close() })
	return k, log
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFileHoldsTheValueAndGoesOnToTheNext(t *testing.T) {
	s := &store{value: "first"}
	k, log := open(t, s, time.Hour)
	path, err := k.File(t.Context(), password)
	if err != nil || content(t, path) != "first" {
		t.Fatalf("File() = %s, %v, holding %q", path, err, content(t, path))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || !info.Mode().IsRegular() {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	before, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	s.set("second, which is longer", nil)
	k.refresh(t.Context())
	if got := content(t, path); got != "second, which is longer" {
		t.Errorf("after a rotation the file holds %q", got)
	}
	old := make([]byte, 100)
	if n, _ := before.Read(old); string(old[:n]) != "first" {
		t.Errorf("who had opened it before reads %q", old[:n])
	}
	if again, err := k.File(t.Context(), password); err != nil || again != path {
		t.Errorf("File() again = %s, %v, want %s", again, err, path)
	}
	if strings.Contains(log.String(), "first") || strings.Contains(log.String(), "second") || !strings.Contains(log.String(), "kv/almanac/process/kafka#password") {
		t.Errorf("the log says %s", log)
	}
}

func TestAStoreThatIsAwayChangesNothingAndIsToldOnce(t *testing.T) {
	s := &store{value: "first"}
	k, log := open(t, s, time.Hour)
	path, err := k.File(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	s.set("", errors.New("away"))
	k.refresh(t.Context())
	k.refresh(t.Context())
	if got := content(t, path); got != "first" || strings.Count(log.String(), "not read again") != 1 {
		t.Errorf("the file holds %q, the log says %s", got, log)
	}
	s.set("second", nil)
	k.refresh(t.Context())
	if got := content(t, path); got != "second" || strings.Count(log.String(), "secret read again") != 1 {
		t.Errorf("the file holds %q, the log says %s", got, log)
	}
}

func TestValuesAreReadAgainByThemselves(t *testing.T) {
	s := &store{value: "first", read: make(chan struct{})}
	k, _ := open(t, s, time.Millisecond)
	if _, err := k.File(t.Context(), password); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.read:
	case <-time.After(10 * time.Second):
		t.Error("nothing was read again")
	}
}

// TestReadersGetOneValueWhole reads while the value is replaced many times.
func TestReadersGetOneValueWhole(t *testing.T) {
	values := []string{strings.Repeat("a", 70000), strings.Repeat("b", 9000)}
	f, err := newFile([]byte(values[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.close() }()
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := f.replace([]byte(values[i%2])); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 2000 {
		if got := content(t, f.path()); got != values[0] && got != values[1] {
			t.Errorf("read %d bytes that are neither value", len(got))
			break
		}
	}
	close(stop)
	wait.Wait()
}

func TestFileRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		value reference.Value
		held  string
		want  string
	}{
		"a key that is not there": {reference.Value{Mount: "kv", Path: "p", Key: "pasword"}, "x", `no key "pasword", but password, user`},
		"an empty value":          {reference.Value{Mount: "kv", Path: "p", Key: "password"}, "", "not empty"},
		"bytes that are none":     {reference.Value{Mount: "kv", Path: "p", Key: "password", Base64: true}, "sec!ret", "not base64"},
	} {
		k, _ := open(t, &store{value: c.held}, time.Hour)
		if path, err := k.File(t.Context(), c.value); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sec!ret") {
			t.Errorf("%s: File() = %s, %v, want %q", name, path, err, c.want)
		}
	}
	k, _ := open(t, &store{value: "AAEC\n/w=="}, time.Hour)
	path, err := k.File(t.Context(), reference.Value{Mount: "kv", Path: "p", Key: "password", Base64: true})
	if err != nil || content(t, path) != "\x00\x01\x02\xff" {
		t.Errorf("File() = %s, %v", path, err)
	}
}
