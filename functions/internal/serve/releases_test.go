package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
	"github.com/almanac-data/almanac/functions/internal/table"
)

func TestReleases(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"training-2001-01.2", "training-2001-02.1", "training-2001-01.1", "training-2001-01.10"} {
		w.release(t, v)
	}
	w.write(t, "releases/flights/training-2001-02.1.stale.json", []byte(`{"cause":"2001-02-05 is generation 2 (restated)"}`))
	w.write(t, "releases/flights/README", nil)
	w.say(t, events.Released{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-01"}, Version: "training-2001-01.11", Revision: 11},
		events.Released{Piece: events.Piece{Dataset: "flights", Name: "training", Window: "2001-02"}, Version: "training-2001-02.1", Revision: 1})
	_, body := w.get(t, "/v1/datasets/flights/releases")
	var got struct {
		Releases []listing.Release `json:"releases"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, item := range got.Releases {
		line := fmt.Sprintf("%s %d rows %v", item.Version, item.Rows, item.Provisional)
		if item.Stale != nil {
			line += " stale: " + item.Stale.Cause + ", " + item.Stale.SupersededBy
		}
		lines = append(lines, line)
	}
	want := []string{
		"training-2001-01.1 1500 rows false stale: a newer revision was released, training-2001-01.11",
		"training-2001-01.2 1500 rows false stale: a newer revision was released, training-2001-01.11",
		"training-2001-01.10 1500 rows false stale: a newer revision was released, training-2001-01.11",
		"training-2001-02.1 1500 rows false stale: 2001-02-05 is generation 2 (restated), ",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	for _, query := range []string{"", "?name=training"} {
		resp, _ := w.get(t, "/v1/datasets/flights/releases/latest"+query)
		if resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != "/v1/datasets/flights/releases/training-2001-02.1" {
			t.Errorf("latest%s = %d %s", query, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

func TestManifestIsSentAsItLies(t *testing.T) {
	w := newWorld(t)
	w.release(t, "training-2001-01.1")
	path := "/v1/datasets/flights/releases/training-2001-01.1/manifest"
	want, err := os.ReadFile(w.dir.at("releases/flights/training-2001-01.1/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	resp, got := w.get(t, path)
	sum := sha256.Sum256(want)
	if got != string(want) || resp.Header.Get("ETag") != `"`+hex.EncodeToString(sum[:])+`"` {
		t.Errorf("manifest = %s, ETag %s, want the file's bytes and digest", got, resp.Header.Get("ETag"))
	}
}

func TestFile(t *testing.T) {
	w := newWorld(t)
	f := w.release(t, "training-2001-01.1")[0]
	want, err := os.ReadFile(w.dir.at("releases/flights/training-2001-01.1/" + f.Path))
	if err != nil {
		t.Fatal(err)
	}
	path, tag, all := "/v1/datasets/flights/releases/training-2001-01.1/files/"+f.SHA256+".parquet", `"`+f.SHA256+`"`, string(want)
	tests := map[string]struct {
		method string
		header []string
		status int
		body   string
	}{
		"the whole file":          {"GET", nil, 200, all},
		"its head":                {"HEAD", nil, 200, ""},
		"its first bytes":         {"GET", []string{"Range: bytes=0-3"}, 206, "PAR1"},
		"its last bytes":          {"GET", []string{"Range: bytes=-4"}, 206, "PAR1"},
		"bytes behind its end":    {"GET", []string{"Range: bytes=99999999-"}, 416, ""},
		"nothing new":             {"GET", []string{"If-None-Match: " + tag}, 304, ""},
		"something new":           {"GET", []string{`If-None-Match: "x"`}, 200, all},
		"a part of the same file": {"GET", []string{"If-Range: " + tag, "Range: bytes=0-3"}, 206, "PAR1"},
		"a part of another file is the whole file": {"GET", []string{`If-Range: "x"`, "Range: bytes=0-3"}, 200, all},
		"another file than this":                   {"GET", []string{`If-Match: "x"`}, 412, ""},
	}
	for name, tt := range tests {
		resp, body := w.do(t, tt.method, path, tt.header...)
		if resp.StatusCode != tt.status || tt.status < 300 && body != tt.body {
			t.Errorf("%s = %d with %d bytes, want %d with %d", name, resp.StatusCode, len(body), tt.status, len(tt.body))
		}
		h := resp.Header
		if tt.status < 400 && (h.Get("ETag") != tag || h.Get("Cache-Control") != answer.Forever) {
			t.Errorf("%s: headers = %v, want the digest as ETag and no end of caching", name, h)
		}
		if tt.method == "HEAD" && h.Get("Content-Length") != fmt.Sprint(len(all)) {
			t.Errorf("%s: Content-Length = %s, want %d", name, h.Get("Content-Length"), len(all))
		}
	}
}

func TestSixteenReadersOfRanges(t *testing.T) {
	w := newWorld(t)
	f := w.release(t, "training-2001-01.1")[0]
	want, err := os.ReadFile(w.dir.at("releases/flights/training-2001-01.1/" + f.Path))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for reader := range 16 {
		group.Go(func() {
			for from := reader; from < len(want); from += 997 {
				to := min(from+1500, len(want)-1)
				resp, body := w.get(t, "/v1/datasets/flights/releases/training-2001-01.1/files/"+f.SHA256+".parquet", fmt.Sprintf("Range: bytes=%d-%d", from, to))
				if resp.StatusCode != http.StatusPartialContent || body != string(want[from:to+1]) {
					t.Errorf("bytes %d to %d are others: %d", from, to, resp.StatusCode)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestRows(t *testing.T) {
	w := newWorld(t)
	w.release(t, "training-2001-01.1")
	path := "/v1/datasets/flights/releases/training-2001-01.1/rows"
	row := `{"n":%d,"at":"1970-01-01T00:%02d:%02dZ","name":"row %d, \"%s\""}` + "\n"
	var all strings.Builder
	for n := range 1500 {
		fmt.Fprintf(&all, row, n, n/60, n%60, n, map[bool]string{true: "train", false: "test"}[n < 1000])
	}
	tests := map[string]struct {
		query, accept string
		media, body   string
	}{
		"all rows":                         {"", "", "application/x-ndjson", all.String()},
		"some columns in the order asked":  {"?columns=name,n&limit=1&format=csv", "", "text/csv", "name,n\r\n\"row 0, \"\"train\"\"\",0\r\n"},
		"a limit within the first batch":   {"?columns=n&limit=2", "", "application/x-ndjson", "{\"n\":0}\n{\"n\":1}\n"},
		"a split":                          {"?columns=n&limit=1&split=test", "", "application/x-ndjson", "{\"n\":1000}\n"},
		"no row, but the columns":          {"?limit=0", "text/csv", "text/csv", "n,at,name\r\n"},
		"the header decides":               {"?limit=1&columns=n", "text/csv;q=0.9, application/x-ndjson;q=0.1", "text/csv", "n\r\n0\r\n"},
		"the parameter outdoes the header": {"?limit=1&columns=n&format=ndjson", "text/csv", "application/x-ndjson", "{\"n\":0}\n"},
	}
	for name, tt := range tests {
		resp, body := w.get(t, path+tt.query, "Accept: "+tt.accept)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != tt.media || body != tt.body {
			t.Errorf("%s = %d %s %.200q, want %s %.200q", name, resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.media, tt.body)
		}
	}
	resp, body := w.do(t, "HEAD", path)
	if resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("HEAD = %d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestLimitAcrossFiles(t *testing.T) {
	w := newWorld(t)
	w.release(t, "training-2001-01.1")
	for limit, want := range map[string]int{"399": 399, "400": 400, "401": 401, "1000": 1000, "1001": 1001, "1500": 1500, "9999": 1500} {
		_, body := w.get(t, "/v1/datasets/flights/releases/training-2001-01.1/rows?format=csv&limit="+limit)
		records, err := csv.NewReader(strings.NewReader(body)).ReadAll()
		if err != nil || len(records) != want+1 {
			t.Errorf("limit %s gives %d records, %v, want %d and the header", limit, len(records), err, want)
		}
	}
}

func TestRowsAsArrow(t *testing.T) {
	w := newWorld(t)
	w.release(t, "training-2001-01.1")
	_, body := w.get(t, "/v1/datasets/flights/releases/training-2001-01.1/rows?columns=name,n", "Accept: application/vnd.apache.arrow.stream")
	r, err := ipc.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	n := int64(0)
	for r.Next() {
		for _, v := range r.RecordBatch().Column(1).(*array.Int64).Int64Values() {
			if v != n {
				t.Fatalf("row %d has n = %d", n, v)
			}
			n++
		}
	}
	if r.Err() != nil || n != 1500 || r.Schema().Field(0).Name != "name" {
		t.Errorf("read %d rows, %v, %s, want 1500", n, r.Err(), r.Schema())
	}
}

func TestReleaseWithoutRows(t *testing.T) {
	w := newWorld(t)
	w.write(t, "releases/flights/training-2001-01.1/manifest.json", []byte(`{"content":{"files":[],"schema":[
		{"name":"n","type":"int64","nullable":true},{"name":"at","type":"timestamp[us, UTC]","nullable":true},{"name":"fare","type":"decimal(9, 2)","nullable":true}]}}`))
	path := "/v1/datasets/flights/releases/training-2001-01.1/rows"
	for query, want := range map[string]string{"?format=ndjson": "", "?format=csv": "n,at,fare\r\n", "?format=csv&columns=at,n": "at,n\r\n"} {
		if resp, body := w.get(t, path+query); resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s of no rows = %d %q, want %q", query, resp.StatusCode, body, want)
		}
	}
	if resp, body := w.get(t, path+"?columns=x"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "there are: n, at, fare") {
		t.Errorf("a column that is not there = %d %s", resp.StatusCode, body)
	}
	_, body := w.get(t, path+"?format=arrow")
	r, err := ipc.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	want := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: "fare", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Nullable: true},
	}, nil)
	if !r.Schema().Equal(want) {
		t.Errorf("schema = %s, want %s", r.Schema(), want)
	}
}

// torn is a warehouse whose files break off after the first batch.
type torn struct{ local }

type tornReader struct {
	table.Reader

	left int
}

func (t *tornReader) Next() bool { t.left--; return t.left >= 0 && t.Reader.Next() }
func (t *tornReader) Err() error { return errors.New("disk gone") }

func (f torn) Scan(ctx context.Context, p string, columns ...string) (table.Reader, error) {
	r, err := f.local.Scan(ctx, p, columns...)
	return &tornReader{r, 1}, err
}

func TestRowsThatBreakOffAreSeenToBreakOff(t *testing.T) {
	w := newWorld(t)
	w.release(t, "training-2001-01.1")
	server := httptest.NewUnstartedServer(New(Server{Journal: w.journal, Datasets: catalog{flights}, Files: torn{w.dir}}))
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/datasets/flights/releases/training-2001-01.1/rows")
	if err != nil {
		return // cut before the head was out
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("read %d bytes without an error, want the connection to break", len(body))
	}
}

// BenchmarkFile compares a file of 64 MiB through the API with http.ServeFile.
func BenchmarkFile(b *testing.B) {
	w := newWorld(b)
	data := bytes.Repeat([]byte("almanac "), 8<<20)
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	w.write(b, "releases/flights/training-2001-01.1/data/"+digest+".parquet", data)
	w.write(b, "releases/flights/training-2001-01.1/manifest.json", []byte(`{"content":{"files":[{"path":"data/`+digest+`.parquet","sha256":"`+digest+`"}]}}`))
	bare := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		http.ServeFile(out, r, filepath.Join(string(w.dir), "releases/flights/training-2001-01.1/data", digest+".parquet"))
	}))
	defer bare.Close()
	for name, url := range map[string]string{"almanac": w.url + "/v1/datasets/flights/releases/training-2001-01.1/files/" + digest + ".parquet", "bare": bare.URL} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			buf := make([]byte, 1<<20)
			for b.Loop() {
				resp, err := http.Get(url)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
				if err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
	}
}

// BenchmarkRows streams a release of 1 million rows.
func BenchmarkRows(b *testing.B) {
	w := newWorld(b)
	f := w.parquet(b, "training-2001-01.1", "train", 0, 1_000_000)
	var doc shelf.Manifest
	doc.Content.Files = []shelf.File{f}
	text, err := json.Marshal(doc)
	if err != nil {
		b.Fatal(err)
	}
	w.write(b, "releases/flights/training-2001-01.1/manifest.json", text)
	for _, format := range []string{"arrow", "ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.Get(w.url + "/v1/datasets/flights/releases/training-2001-01.1/rows?format=" + format)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
				b.SetBytes(n)
			}
			b.ReportMetric(1_000_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
