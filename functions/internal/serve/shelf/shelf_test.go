package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

// memory is a warehouse in memory.
type memory struct{ fstest.MapFS }

func (m memory) Open(_ context.Context, p string) (io.ReadCloser, error) { return m.MapFS.Open(p) }

func (m memory) Names(_ context.Context, dir string) ([]string, error) {
	entries, err := m.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func look(t *testing.T, files map[string]string, said ...events.Event) *Shelf {
	t.Helper()
	m := memory{fstest.MapFS{}}
	for name, text := range files {
		m.MapFS[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var journal factstest.Memory
	if err := journal.Say(t.Context(), said...); err != nil {
		t.Fatal(err)
	}
	view, err := journal.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Look(t.Context(), m, view, "flights")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLookSortsByNameTimeAndRevision(t *testing.T) {
	files := map[string]string{"releases/flights/README": "", "releases/flights/x.stale.json": "", "releases/births/training-2001-01.1/manifest.json": ""}
	want := []string{"other-2001-W52.1", "training-2001-01.2", "training-2001-01.10", "training-2001-02.1", "training-2002-01.1"}
	for _, v := range want {
		files["releases/flights/"+v+"/manifest.json"] = "{}"
	}
	var got []string
	for _, v := range look(t, files).Versions {
		got = append(got, v.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Look() = %v, want %v", got, want)
	}
	if none := look(t, nil).Versions; len(none) != 0 {
		t.Errorf("Look() where nothing was ever released = %v", none)
	}
}

func TestStale(t *testing.T) {
	const dir = "releases/flights/training-2001-01."
	released := func(revision int) events.Released {
		return events.Released{
			Piece:   events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"},
			Version: fmt.Sprintf("training-2001-01.%d", revision), Revision: revision,
		}
	}
	tests := map[string]struct {
		files map[string]string
		said  []events.Event
		want  *Stale
	}{
		"the only revision is not":                        {nil, nil, nil},
		"nor is one that was said to be released":         {nil, []events.Event{released(1)}, nil},
		"a mark says why":                                 {map[string]string{dir + "1.stale.json": `{"version":"x","cause":"2001-01-05 restated","changed":["rows 2001-01-05"],"superseded_by":"training-2001-01.2"}`}, nil, &Stale{Cause: "2001-01-05 restated", Changed: []string{"rows 2001-01-05"}}},
		"a mark that cannot be read is a mark":            {map[string]string{dir + "1.stale.json": `{`}, nil, &Stale{Cause: "marked as stale"}},
		"a newer revision":                                {map[string]string{dir + "2/manifest.json": ""}, nil, &Stale{Cause: "a newer revision was released", SupersededBy: "training-2001-01.2"}},
		"the newest of several, and the cause":            {map[string]string{dir + "1.stale.json": `{"cause":"late rows"}`, dir + "2/manifest.json": "", dir + "10/manifest.json": ""}, nil, &Stale{Cause: "late rows", SupersededBy: "training-2001-01.10"}},
		"a newer revision that only the facts speak of":   {nil, []events.Event{released(3)}, &Stale{Cause: "a newer revision was released", SupersededBy: "training-2001-01.3"}},
		"another window's revision is none of its matter": {map[string]string{"releases/flights/training-2001-02.2/manifest.json": ""}, nil, nil},
	}
	for name, tt := range tests {
		files := map[string]string{dir + "1/manifest.json": "{}"}
		maps.Copy(files, tt.files)
		v, _ := Parse("training-2001-01.1")
		got, err := look(t, files, tt.said...).Stale(t.Context(), v)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: Stale() = %v, %s", name, err, diff)
		}
	}
}

func TestReadManifest(t *testing.T) {
	const good = `{"content":{"files":[{"path":"data/a.parquet","sha256":"aa","rows":3,"bytes":9,"split":"train"}],"schema":[{"name":"n","type":"int64","nullable":true}],"provisional":[{"table":"rows"}]},"content_sha256":"cc","provenance":{}}`
	tests := map[string]struct{ text, err string }{
		"a manifest":                            {good, ""},
		"half a manifest":                       {good[:40], "unexpected end"},
		"a file outside the release":            {strings.Replace(good, "data/a", "../b", 1), "outside the release"},
		"a file by an absolute path":            {strings.Replace(good, "data/a", "/etc/b", 1), "outside the release"},
		"a manifest whose files are not a list": {`{"content":{"files":1}}`, "cannot unmarshal"},
	}
	v, _ := Parse("training-2001-01.1")
	for name, tt := range tests {
		files := memory{fstest.MapFS{Path("flights", v, "manifest.json"): &fstest.MapFile{Data: []byte(tt.text)}}}
		text, m, err := ReadManifest(t.Context(), files, "flights", v)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: ReadManifest() = %v, want an error with %q", name, err, tt.err)
			}
			continue
		}
		if err != nil || string(text) != tt.text || m.Content.Files[0] != (File{"data/a.parquet", 9, 3, "aa", "train"}) ||
			m.Content.Schema[0] != (Column{"n", "int64", true}) || len(m.Content.Provisional) != 1 || m.ContentSHA256 != "cc" {
			t.Errorf("%s: ReadManifest() = %s, %v, %v", name, text, m, err)
		}
	}
	if _, _, err := ReadManifest(t.Context(), memory{fstest.MapFS{}}, "flights", v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadManifest() of no release = %v, want fs.ErrNotExist", err)
	}
}

func TestParseVersion(t *testing.T) {
	tests := map[string]string{ // name, window, revision; empty if it is no version
		"training-2001-01.1":     "training 2001-01 1",
		"training-2001-W03.12":   "training 2001-W03 12",
		"a-b-2001-01-05.2":       "a-b 2001-01-05 2",
		"x-2001-2001-01.1":       "x-2001 2001-01 1",
		"yearly-2001.3":          "yearly 2001 3",
		"training-2001-01":       "",
		"training-2001-01.0":     "",
		"training-2001-01.01":    "",
		"training-2001-01.+1":    "",
		"training-2001-13.1":     "",
		"-2001-01.1":             "",
		"../x-2001-01.1":         "",
		"tr aining-2001-01.1":    "",
		"training-2001-01.1.tmp": "",
		"":                       "",
	}
	for text, want := range tests {
		got := ""
		if v, ok := Parse(text); ok {
			got = fmt.Sprintf("%s %s %d", v.Name, v.Window.Key(), v.Revision)
		}
		if got != want {
			t.Errorf("Parse(%q) = %q, want %q", text, got, want)
		}
	}
}
