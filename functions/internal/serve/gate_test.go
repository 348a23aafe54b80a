package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/identity"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/policy"
)

// named takes a token for the name of its holder.
type named struct{}

func (named) Verify(_ context.Context, token string) (identity.Identity, error) {
	if token == "" {
		return identity.Identity{}, &identity.RefusalError{Says: "no name"}
	}
	return identity.Identity{Issuer: "test", Subject: token}, nil
}

// guarded puts a gate before the API of a world: all may read everything, part flights, other births. It returns what ends the server and gives
// the audit trail.
func (w *world) guarded(t *testing.T) (trailOf func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := "readers:\n- {subject: all, datasets: ['*']}\n- {subject: part, datasets: [flights]}\n- {subject: other, datasets: [births]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail, log := &bytes.Buffer{}, slog.New(slog.DiscardHandler)
	gate := &access.Gate{Tokens: named{}, Policy: &policy.File{Name: file}, Trail: access.NewTrail("", trail), Now: time.Now, Log: log}
	server := httptest.NewServer(New(Server{Journal: w.journal, Datasets: catalog{births, flights}, Files: w.dir, Gate: gate}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return func() string { server.Close(); return trail.String() }
}

func TestEveryRouteAsksWhoItIs(t *testing.T) {
	w := newWorld(t)
	w.guarded(t)
	for _, rt := range append(new(Server).routes(), route{path: "/nowhere"}, route{path: "/metrics"}, route{path: "/functions/store"}) {
		path := strings.NewReplacer("{$}", "", "{dataset}", "flights", "{window}", "2001-01-01", "{version}", "training-2001-01.1", "{file}", "x").Replace(rt.path)
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, "TRACE"} {
			if resp, _ := w.do(t, method, path); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s = %d, want 401", method, path, resp.StatusCode)
			}
		}
	}
	if resp, _ := w.get(t, "/v1/datasets?access_token=all"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token in the URL = %d, want 401", resp.StatusCode)
	}
}

func TestListsShowWhatTheCallerMayRead(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	w.release(t, "training-2001-01.1")
	w.guarded(t)
	for who, want := range map[string][]string{"all": {"births", "flights"}, "part": {"flights"}, "other": {"births"}} {
		for _, path := range []string{"/", "/v1/datasets"} {
			_, body := w.get(t, path, "Authorization: Bearer "+who)
			var got struct {
				Datasets []listing.Dataset `json:"datasets"`
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, d := range got.Datasets {
				names = append(names, d.Name)
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Errorf("%s for %s: %s", path, who, diff)
			}
		}
		_, page := w.get(t, "/", "Authorization: Bearer "+who, "Accept: text/html")
		if strings.Contains(page, "flights") != (who != "other") || strings.Contains(page, "births") != (who != "part") {
			t.Errorf("the page for %s is not cut to %v", who, want)
		}
	}
}

// TestWhatIsNotGrantedIsAsIfItWereNot compares the answers about a dataset that is there with those about one that is not.
func TestWhatIsNotGrantedIsAsIfItWereNot(t *testing.T) {
	w := newWorld(t)
	w.january(t)
	files := w.release(t, "training-2001-01.1")
	trail := w.guarded(t)
	for _, rt := range new(Server).routes() {
		if !strings.Contains(rt.path, "{dataset}") {
			continue
		}
		path := strings.NewReplacer("{window}", "2001-01-01", "{version}", "training-2001-01.1", "{file}", files[0].SHA256+".parquet").Replace(rt.path)
		there, body := w.get(t, strings.Replace(path, "{dataset}", "flights", 1), "Authorization: Bearer other")
		absent, none := w.get(t, strings.Replace(path, "{dataset}", "nowhere", 1), "Authorization: Bearer other")
		if there.StatusCode != http.StatusNotFound || absent.StatusCode != http.StatusNotFound || strings.ReplaceAll(body, "flights", "nowhere") != none {
			t.Errorf("%s = %d %s, and for a dataset that is not there %d %s", path, there.StatusCode, body, absent.StatusCode, none)
		}
		there.Header.Del("Date")
		absent.Header.Del("Date")
		there.Header.Del("Content-Length")
		absent.Header.Del("Content-Length")
		if diff := cmp.Diff(there.Header, absent.Header); diff != "" {
			t.Errorf("%s: headers differ: %s", path, diff)
		}
		if resp, _ := w.get(t, strings.Replace(path, "{dataset}", "flights", 1), "Authorization: Bearer part"); resp.StatusCode >= 400 {
			t.Errorf("%s for one who may = %d", path, resp.StatusCode)
		}
	}
	if text := trail(); !strings.Contains(text, `"event":"refusal","credential":"token","issuer":"test","subject":"other","method":"GET","path":"/v1/datasets/flights"`) {
		t.Errorf("audit trail = %s", text)
	}
}

func TestDownloadsAreAudited(t *testing.T) {
	w := newWorld(t)
	files := w.release(t, "training-2001-01.1")
	trail := w.guarded(t)
	base := "/v1/datasets/flights/releases/training-2001-01.1"
	file := base + "/files/" + files[0].SHA256 + ".parquet"
	type download struct {
		What, SHA256, Range string
		Status              int
		Bytes               int64
	}
	_, manifest := w.get(t, base+"/manifest", "Authorization: Bearer part")
	_, rows := w.get(t, base+"/rows?format=csv", "Authorization: Bearer part")
	resp, _ := w.get(t, file, "Authorization: Bearer part")
	if got := resp.Header.Get("Cache-Control"); got != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control = %s, want private", got)
	}
	w.get(t, file, "Authorization: Bearer part", "Range: bytes=4-7")
	w.do(t, http.MethodHead, file, "Authorization: Bearer part")
	w.get(t, file, "Authorization: Bearer part", "If-None-Match: "+resp.Header.Get("ETag"))
	w.get(t, base, "Authorization: Bearer part")
	var got []download
	var digest string
	for text := range strings.Lines(trail()) {
		var l access.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Event != "download" || l.Dataset != "flights" || l.Release != "training-2001-01.1" || l.Subject != "part" || !l.Whole {
			t.Errorf("audit line %s", text)
		}
		if l.What == "manifest" {
			digest, l.SHA256 = l.SHA256, ""
		}
		got = append(got, download{l.What, l.SHA256, l.Range, l.Status, l.Bytes})
	}
	want := []download{
		{"manifest", "", "", 200, int64(len(manifest))}, {"rows", "", "", 200, int64(len(rows))}, {"file", files[0].SHA256, "", 200, files[0].Bytes},
		{"file", files[0].SHA256, "bytes=4-7", 206, 4}, {"file", files[0].SHA256, "", 200, 0}, {"file", files[0].SHA256, "", 304, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(digest) != 64 {
		t.Errorf("downloads: %s, digest of the manifest %q", diff, digest)
	}
}
