package envelope

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// memory are files in memory. What a test wants to happen before one is written it hooks in.
type memory struct {
	mu     sync.Mutex
	files  map[string]string
	before func(name string) error
}

func (m *memory) ReadFile(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (m *memory) WriteNew(ctx context.Context, name string, data []byte) error {
	if _, err := m.ReadFile(ctx, name); err == nil {
		return fs.ErrExist
	}
	return m.WriteFile(ctx, name, data)
}

func (m *memory) WriteFile(_ context.Context, name string, data []byte) error {
	if m.before != nil {
		if err := m.before(name); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string]string{}
	}
	m.files[name] = string(data)
	return nil
}

func (m *memory) Names(_ context.Context, dir string) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, rest)
		}
	}
	if names == nil {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

// ringOf wraps by a new key file.
func ringOf(t *testing.T) (*Ring, *memory, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envelope.key")
	file, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := &memory{}
	return &Ring{Files: files, Wrapper: file}, files, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rotate adds a key to the file.
func rotate(t *testing.T, path, digit string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(text, strings.Repeat(digit, 64)+"\n"...), 0o600))
}

func ensure(t *testing.T, r *Ring, window string) *seal.Key {
	t.Helper()
	key, err := r.Ensure(t.Context(), "shop", window)
	must(t, err)
	return key
}

func TestAWindowHasOneKey(t *testing.T) {
	r, files, path := ringOf(t)
	if _, err := r.Key(t.Context(), "shop", "2001-01-05"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "restore shop/data-keys/2001-01-05.json") {
		t.Errorf("Key before there is one: %v", err)
	}
	a, b := ensure(t, r, "2001-01-05"), ensure(t, r, "2001-01-06")
	if a.Check() == b.Check() {
		t.Error("two windows share a key")
	}
	again, err := r.Key(t.Context(), "shop", "2001-01-05")
	if err != nil || again.Check() != a.Check() || ensure(t, r, "2001-01-05").Check() != a.Check() {
		t.Errorf("the key is another one later: %v", err)
	}
	text := files.files["shop/data-keys/2001-01-05.json"]
	if !strings.Contains(text, `"wrapped":"file:v1:`) {
		t.Errorf("its file is %s", text)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v", info, err)
	}
}

func TestSeveralAtOnceGetTheSameKey(t *testing.T) {
	r, files, _ := ringOf(t)
	var once sync.Once
	var other *seal.Key
	files.before = func(string) (err error) {
		once.Do(func() {
			files.before = nil
			other = ensure(t, r, "2001-01-05")
			err = fs.ErrExist
		})
		return err
	}
	if mine := ensure(t, r, "2001-01-05"); mine.Check() != other.Check() {
		t.Error("two that made a key at once have two")
	}
}

func TestNoKeyIsUsedBeforeItIsKept(t *testing.T) {
	r, files, _ := ringOf(t)
	disk := errors.New("disk")
	files.before = func(string) error { return disk }
	if _, err := r.Ensure(t.Context(), "shop", "2001-01-05"); !errors.Is(err, disk) {
		t.Errorf("Ensure = %v, want %v", err, disk)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	const name = "shop/data-keys/2001-01-05.json"
	tests := map[string]struct {
		change func(files *memory, path string)
		says   string
	}{
		"a file of another window": {func(files *memory, _ string) { files.files[name] = files.files["shop/data-keys/2001-01-06.json"] }, "holds that of shop/2001-01-06"},
		"another window's, renamed": {func(files *memory, _ string) {
			files.files[name] = strings.ReplaceAll(files.files["shop/data-keys/2001-01-06.json"], "01-06", "01-05")
		}, "another key than was made for this window"},
		"no JSON": {func(files *memory, _ string) { files.files[name] = "{" }, "restore it from a backup"},
		"another format": {func(files *memory, _ string) {
			files.files[name] = strings.Replace(files.files[name], "key/1", "key/2", 1)
		}, "no file of the format"},
		"a changed text": {func(files *memory, _ string) {
			files.files[name] = strings.Replace(files.files[name], "file:v1:", "file:v1:AA", 1)
		}, "wrapped"},
		"of a store": {func(files *memory, _ string) {
			files.files[name] = strings.Replace(files.files[name], "file:v1:", "vault:v1:", 1)
		}, `but by "vault"`},
		"a later version": {func(files *memory, _ string) {
			files.files[name] = strings.Replace(files.files[name], "file:v1:", "file:v2:", 1)
		}, "has 1: bring the file back"},
		"without a version": {func(files *memory, _ string) {
			files.files[name] = strings.Replace(files.files[name], "file:v1:", "file:v0:", 1)
		}, "version 0"},
		"another key file":     {func(_ *memory, path string) { _ = os.WriteFile(path, []byte(strings.Repeat("a", 64)), 0o600) }, "is not the key by which it was wrapped"},
		"no key file any more": {func(_ *memory, path string) { _ = os.WriteFile(path, nil, 0o600) }, "bring it back from a backup"},
		"a key file for all":   {func(_ *memory, path string) { _ = os.Chmod(path, 0o644) }, "others may read"},
	}
	for what, tt := range tests {
		r, files, path := ringOf(t)
		ensure(t, r, "2001-01-05")
		ensure(t, r, "2001-01-06")
		tt.change(files, path)
		for how, get := range map[string]func(context.Context, string, string) (*seal.Key, error){"Key": r.Key, "Ensure": r.Ensure} {
			if _, err := get(t.Context(), "shop", "2001-01-05"); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %s = %v, want an error with %q", what, how, err, tt.says)
			}
		}
	}
}

func TestRewrap(t *testing.T) {
	r, files, path := ringOf(t)
	checks := map[string]string{}
	for i := range batch + 3 {
		window := fmt.Sprintf("%04d", i)
		checks[window] = ensure(t, r, window).Check()
	}
	want := func(what string, got Rewrapped, err error, keys, changed, version int) {
		t.Helper()
		if err != nil || got != (Rewrapped{keys, changed, version}) {
			t.Errorf("%s: Rewrap = %+v, %v, want %d keys, %d changed, version %d", what, got, err, keys, changed, version)
		}
	}
	all := len(checks)
	got, err := r.Rewrap(t.Context(), "shop", "none")
	want("nothing new", got, err, all, 0, 1)
	rotate(t, path, "b")
	kill := errors.New("killed")
	left := 100
	files.before = func(string) error {
		if left--; left < 0 {
			return kill
		}
		return nil
	}
	if got, err = r.Rewrap(t.Context(), "shop"); !errors.Is(err, kill) || got.Changed != 100 {
		t.Errorf("Rewrap that ends half-way = %+v, %v", got, err)
	}
	files.before = nil
	for window, check := range checks { // some wrapped by one version, some by the other
		if key, err := r.Key(t.Context(), "shop", window); err != nil || key.Check() != check {
			t.Fatalf("half-way: the key of %s: %v", window, err)
		}
	}
	got, err = r.Rewrap(t.Context(), "shop")
	want("the rest", got, err, all, all-100, 2)
	got, err = r.Rewrap(t.Context(), "shop")
	want("again", got, err, all, 0, 2)
	for window, check := range checks {
		key, err := r.Key(t.Context(), "shop", window)
		if err != nil || key.Check() != check || !strings.Contains(files.files[r.at(window)], `"wrapped":"file:v2:`) {
			t.Fatalf("the key of %s: %v in %s", window, err, files.files[r.at(window)])
		}
	}
}

func (r *Ring) at(window string) string { return path("shop", window) }

// old wraps by an older version than before, or as many as it likes.
type old struct {
	Wrapper

	answer []string
}

func (o old) Rewrap(context.Context, []string) ([]string, error) { return o.answer, nil }

func TestRewrapTrustsNoAnswerBlindly(t *testing.T) {
	for what, answer := range map[string][]string{"older": {"file:v1:x"}, "none": nil, "too many": {"file:v3:x", "file:v3:x"}, "no version": {"x"}} {
		r, files, path := ringOf(t)
		rotate(t, path, "c")
		ensure(t, r, "2001-01-05")
		before := files.files[r.at("2001-01-05")]
		r.Wrapper = old{r.Wrapper, answer}
		if _, err := r.Rewrap(t.Context(), "shop"); err == nil || files.files[r.at("2001-01-05")] != before {
			t.Errorf("%s: Rewrap = %v, and the file is %s", what, err, files.files[r.at("2001-01-05")])
		}
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]int{"vault:v12:abc": 12, "file:v1:": 1, "vault:v0:abc": 0, "vault:v-1:abc": 0, "vault:v1": 0, "": 0, "vault:vx:abc": 0} {
		if got := version(text); got != want {
			t.Errorf("version(%q) = %d, want %d", text, got, want)
		}
	}
}
