package serve

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/runs"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	for name, path := range map[string]string{
		"dataset":    "/v1/datasets/flights",
		"windows":    "/v1/datasets/flights/windows",
		"window":     "/v1/datasets/flights/windows/2001-01-02",
		"quarantine": "/v1/datasets/flights/quarantine",
	} {
		_, got := w.get(t, path)
		file := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("GET %s differs from %s:\n%s", path, file, diff)
		}
	}
}

func TestStatesOfWindows(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	_, body := w.get(t, "/v1/datasets/flights/windows")
	var got struct {
		Windows []runs.Window `json:"windows"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2001-01-01 stored", "2001-01-02 stored replaced", "2001-01-03 stopped", "2001-01-04 validating",
		"2001-01-05 waiting", "2001-01-06 due", "2001-01-07 given_up",
	}
	var states []string
	for _, item := range got.Windows {
		line := item.Window
		for _, r := range item.Runs {
			line += " " + r.State
		}
		states = append(states, line)
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	var all []string
	for path := "/v1/datasets/flights/windows?limit=3"; path != ""; {
		_, body := w.get(t, path)
		var got struct {
			Windows []runs.Window `json:"windows"`
			Next    string        `json:"next"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		for _, item := range got.Windows {
			all = append(all, item.Window)
		}
		all, path = append(all, "|"), got.Next
	}
	want := "2001-01-01 2001-01-02 2001-01-03 | 2001-01-04 2001-01-05 2001-01-06 | 2001-01-07 |"
	if got := strings.Join(all, " "); got != want {
		t.Errorf("pages = %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	w.release(t, "training-2001-01.1")
	rows := "/v1/datasets/flights/releases/training-2001-01.1/rows"
	tests := map[string]struct {
		method, path, accept string
		status               int
		field, detail        string
	}{
		"a path that is not there":               {"GET", "/v2", "", 404, "", "nothing at /v2"},
		"a dataset that is not there":            {"GET", "/v1/datasets/x", "", 404, "dataset", `no dataset "x"`},
		"a dataset that would leave the folder":  {"GET", "/v1/datasets/..%2f..%2fetc/releases", "", 404, "dataset", "no dataset"},
		"a window that is none":                  {"GET", "/v1/datasets/flights/windows/2001-13-01", "", 400, "window", "is not a day (2001-01-05)"},
		"a window that nothing is known of":      {"GET", "/v1/datasets/flights/windows/2001-06-01", "", 404, "window", "every day"},
		"a version that is none":                 {"GET", "/v1/datasets/flights/releases/training", "", 404, "version", "<name>-<window>.<revision>"},
		"a version with a leading zero":          {"GET", "/v1/datasets/flights/releases/training-2001-01.01", "", 404, "version", "is not a version"},
		"a version that would leave the folder":  {"GET", "/v1/datasets/flights/releases/..%2f..%2fx-2001-01.1/manifest", "", 404, "version", "is not a version"},
		"a release that is not there":            {"GET", "/v1/datasets/flights/releases/training-2001-02.1", "", 404, "version", "no release training-2001-02.1"},
		"a manifest that is not there":           {"GET", "/v1/datasets/flights/releases/training-2001-02.1/manifest", "", 404, "version", "no release"},
		"a file that the manifest does not name": {"GET", "/v1/datasets/flights/releases/training-2001-01.1/files/" + strings.Repeat("a", 64) + ".parquet", "", 404, "file", "its manifest lists"},
		"a file by a path":                       {"GET", "/v1/datasets/flights/releases/training-2001-01.1/files/..%2fmanifest.json", "", 404, "file", "has no file"},
		"a release by a name that is not there":  {"GET", "/v1/datasets/flights/releases?name=x", "", 400, "name", "it has: training"},
		"the latest of one of several":           {"GET", "/v1/datasets/births/releases/latest", "", 400, "name", "monthly, yearly"},
		"the latest where nothing is released":   {"GET", "/v1/datasets/births/releases/latest?name=yearly", "", 404, "", "no release of births"},
		"a parameter that is not there":          {"GET", rows + "?colums=n", "", 400, "colums", "there are: format, columns, limit, split"},
		"a parameter where there is none":        {"GET", "/v1/datasets?limit=1", "", 400, "limit", "there are none"},
		"a parameter twice":                      {"GET", rows + "?limit=1&limit=2", "", 400, "limit", "give it once"},
		"a query that cannot be read":            {"GET", rows + "?limit=%zz", "", 400, "", "query"},
		"a limit that is no number":              {"GET", rows + "?limit=ten", "", 400, "limit", "whole number"},
		"an empty limit":                         {"GET", rows + "?limit=", "", 400, "limit", "whole number"},
		"a negative limit":                       {"GET", rows + "?limit=-1", "", 400, "limit", "whole number from 0"},
		"a page of nothing":                      {"GET", "/v1/datasets/flights/windows?limit=0", "", 400, "limit", "from 1 to 1000"},
		"a page after what is not there":         {"GET", "/v1/datasets/flights/windows?after=x", "", 400, "after", `no "x"`},
		"a format that is not there":             {"GET", rows + "?format=xlsx", "", 400, "format", "ndjson, csv, arrow"},
		"a column that is not there":             {"GET", rows + "?columns=n,m", "", 400, "columns", `no column "m"; there are: n, at, name`},
		"a column twice":                         {"GET", rows + "?columns=n,n", "", 400, "columns", "each once"},
		"no column":                              {"GET", rows + "?columns=", "", 400, "columns", "divided by commas"},
		"a split that is not there":              {"GET", rows + "?split=x", "", 400, "split", "there are: test, train"},
		"rows as a picture":                      {"GET", rows, "image/png", 406, "Accept", "text/csv"},
		"the index as a picture":                 {"GET", "/", "image/png", 406, "Accept", "text/html"},
		"POST":                                   {"POST", "/v1/datasets", "", 405, "", "/v1/datasets takes GET and HEAD, not POST"},
		"DELETE of a release":                    {"DELETE", "/v1/datasets/flights/releases/training-2001-01.1", "", 405, "", "not DELETE"},
	}
	valid := validator(t, "problem")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var header []string
			if tt.accept != "" {
				header = []string{"Accept: " + tt.accept}
			}
			resp, body := w.do(t, tt.method, tt.path, header...)
			if err := valid(body); err != nil {
				t.Fatalf("%s %s = %d %s: %v", tt.method, tt.path, resp.StatusCode, body, err)
			}
			var p problem.Error
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || p.Status != tt.status || p.Field != tt.field || !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("%s %s = %d %+v, want %d, field %q, detail with %q", tt.method, tt.path, resp.StatusCode, p, tt.status, tt.field, tt.detail)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %q", got)
			}
			if tt.status == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow = %q", resp.Header.Get("Allow"))
			}
			if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("headers = %v, want those that protect browsers", resp.Header)
			}
		})
	}
}

// away is a journal that does not answer.
type away struct{}

func (away) View(context.Context) (*facts.View, error) {
	return nil, errors.New("dial 10.1.2.3: secret")
}

func TestFailuresOfOursDoNotShowWhy(t *testing.T) {
	broken := newWorld(t)
	broken.write(t, "releases/flights/training-2001-01.1/manifest.json", []byte(`{"content":{"files":[{"path":"../../secret"}]}}`))
	server := httptest.NewServer(New(Server{Journal: away{}, Datasets: catalog{flights}, Files: broken.dir}))
	defer server.Close()
	without := &world{url: server.URL}
	tests := map[string]struct {
		w      *world
		path   string
		status int
	}{
		"facts that cannot be read":                  {without, "/v1/datasets", 503},
		"a manifest that points outside its release": {broken, "/v1/datasets/flights/releases/training-2001-01.1/rows", 500},
	}
	for name, tt := range tests {
		resp, body := tt.w.get(t, tt.path)
		if resp.StatusCode != tt.status || strings.Contains(body, "secret") || (resp.Header.Get("Retry-After") != "") != (tt.status == 503) {
			t.Errorf("%s: GET %s = %d %s, want %d that does not tell the secret", name, tt.path, resp.StatusCode, body, tt.status)
		}
	}
}

func TestIndexForPeople(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	w.release(t, "training-2001-01.1")
	resp, body := w.get(t, "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
	if resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || resp.Header.Get("Vary") != "Accept" {
		t.Errorf("headers = %v", resp.Header)
	}
	for _, part := range []string{`<html lang="en">`, "training-2001-01.1", "1500", "8 of 10 rows are refused", "no file", `<h2 id="births">`, "No release yet", "<caption>", `scope="col"`} {
		if !strings.Contains(body, part) {
			t.Errorf("page has no %s:\n%s", part, body)
		}
	}
}

// TestIndexEscapes: what a contract says may not become markup.
func TestIndexEscapes(t *testing.T) {
	evil := *flights
	evil.Title = `<script>alert(1)</script>`
	server := httptest.NewServer(New(Server{Journal: newWorld(t).journal, Datasets: catalog{&evil}, Files: local(t.TempDir())}))
	defer server.Close()
	if _, body := (&world{url: server.URL}).get(t, "/", "Accept: text/html"); strings.Contains(body, "<script>") {
		t.Errorf("page = %s", body)
	}
}

// FuzzQuery: whatever stands in path and query is answered with 200, 3xx or 4xx, and never with a failure of ours.
func FuzzQuery(f *testing.F) {
	w := newWorld(f)
	w.january(f)
	w.release(f, "training-2001-01.1")
	f.Add("flights/releases/training-2001-01.1/rows", "limit=1&format=csv&columns=n", "*/*")
	f.Add("flights/windows", "after=2001-01-02&limit=5", "")
	f.Add("flights/releases/latest", "name=training", "text/html;q=0.1")
	f.Add("flights/releases/training-2001-01.1/rows", "split=test&columns=name,n", "text/csv;q=0, */*")
	h := New(Server{Journal: w.journal, Datasets: catalog{births, flights}, Files: w.dir})
	f.Fuzz(func(t *testing.T, path, query, accept string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/v1/datasets/" + path, RawQuery: query}
		r.Header.Set("Accept", accept)
		out := httptest.NewRecorder()
		h.ServeHTTP(out, r)
		if out.Code >= 500 {
			t.Errorf("GET %s = %d %s", r.URL, out.Code, out.Body)
		}
	})
}
