package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// manifest is manifest.json, as far as a consumer needs it.
type manifest struct {
	Content struct {
		Files []struct {
			Path   string `json:"path"`
			Bytes  int64  `json:"bytes"`
			Rows   int64  `json:"rows"`
			SHA256 string `json:"sha256"`
			Split  string `json:"split"`
		} `json:"files"`
	} `json:"content"`
}

const release = "/v1/datasets/flights/releases/training-2001-01.1"

func TestAPI(t *testing.T) {
	b := replayed(t)
	c := serving(t, b)
	t.Run("datasets and windows", func(t *testing.T) { testDatasets(t, c) })
	t.Run("releases in pages", func(t *testing.T) { testPages(t, c) })
	t.Run("manifest and files", func(t *testing.T) { testFiles(t, c, b) })
	t.Run("rows in each format", func(t *testing.T) { testRows(t, c, b) })
	t.Run("columns, limit and split", func(t *testing.T) { testSelection(t, c) })
	t.Run("problems", func(t *testing.T) { testProblems(t, c) })
	t.Run("openapi.json", func(t *testing.T) { testOpenAPI(t, c) })
	t.Run("probes and metrics", func(t *testing.T) { testProbes(t, c) })
}

func testDatasets(t *testing.T, c *client) {
	t.Helper()
	source, err := reader.Flights(filepath.Join(root, "spark-jobs", "flights", "sample"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Datasets []struct {
			Name string `json:"name"`
			Rows int64  `json:"stored_rows"`
			URL  string `json:"url"`
		} `json:"datasets"`
	}
	c.into(t, "/v1/datasets", &list)
	if len(list.Datasets) != 2 || list.Datasets[0].Name != "births" || list.Datasets[1].Name != "flights" {
		t.Fatalf("datasets are %+v, want births and flights", list.Datasets)
	}
	if got := list.Datasets[1].Rows; got != int64(source.Rows.Len()) {
		t.Errorf("flights has %d stored rows, its source %d", got, source.Rows.Len())
	}
	var quarantine struct {
		Quarantined int `json:"quarantined"`
	}
	c.into(t, list.Datasets[1].URL+"/quarantine", &quarantine)
	if quarantine.Quarantined != source.Refused.Len() {
		t.Errorf("%d rows are in quarantine, want %d", quarantine.Quarantined, source.Refused.Len())
	}
	var day struct {
		State   string                `json:"state"`
		Visible int                   `json:"visible_generation"`
		Days    map[string]box.Counts `json:"days"`
		Source  []struct {
			SHA256 string `json:"sha256"`
		} `json:"source"`
	}
	c.into(t, list.Datasets[1].URL+"/windows/2001-01-05", &day)
	data, err := os.ReadFile(filepath.Join(root, "spark-jobs", "flights", "sample", "2001-01", "2001-01-05.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	if day.State != "stored" || day.Visible != 1 || len(day.Source) != 1 || day.Source[0].SHA256 != hex.EncodeToString(digest[:]) {
		t.Errorf("window 2001-01-05 is %+v, want it stored, generation 1, of the file with digest %x", day, digest)
	}
	for name, counts := range day.Days {
		if !counts.Balanced() {
			t.Errorf("sheet of %s does not balance: %+v", name, counts)
		}
	}
}

// testPages walks through a list two at a time.
func testPages(t *testing.T, c *client) {
	t.Helper()
	var versions []string
	for path := "/v1/datasets/flights/releases?limit=2"; path != ""; {
		var page struct {
			Releases []struct {
				Version string `json:"version"`
			} `json:"releases"`
			Next string `json:"next"`
		}
		c.into(t, path, &page)
		if len(page.Releases) > 2 || len(versions) > 20 {
			t.Fatalf("GET %s gives %d releases, want at most 2", path, len(page.Releases))
		}
		for _, r := range page.Releases {
			versions = append(versions, r.Version)
		}
		path = page.Next
	}
	var want []string
	for month := 1; month <= 6; month++ {
		want = append(want, fmt.Sprintf("training-2001-%02d.1", month))
	}
	if !slices.Equal(versions, want) {
		t.Errorf("releases are %v, want %v", versions, want)
	}
	a := c.do(t, http.MethodGet, "/v1/datasets/flights/releases/latest")
	if location := a.header.Get("Location"); a.status != http.StatusTemporaryRedirect || !strings.HasSuffix(location, "/training-2001-06.1") {
		t.Errorf("latest is answered by %d to %q, want 307 to training-2001-06.1", a.status, location)
	}
}

func readManifest(t *testing.T, c *client) manifest {
	t.Helper()
	var m manifest
	c.into(t, release+"/manifest", &m)
	if len(m.Content.Files) != 2 {
		t.Fatalf("the release has files %+v, want one for each split", m.Content.Files)
	}
	return m
}

// testFiles downloads a release, whole and in parts, and checks it against its manifest.
func testFiles(t *testing.T, c *client, b box.Box) {
	t.Helper()
	onDisk, err := os.ReadFile(filepath.Join(b.Data, "warehouse", "releases", "flights", "training-2001-01.1", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if served := c.get(t, release+"/manifest").body; !bytes.Equal(served, onDisk) {
		t.Errorf("the manifest is served as %s, on disk it is %s", served, onDisk)
	}
	for _, f := range readManifest(t, c).Content.Files {
		path := release + "/files/" + f.SHA256 + ".parquet"
		whole := c.get(t, path)
		digest := sha256.Sum256(whole.body)
		if hex.EncodeToString(digest[:]) != f.SHA256 || int64(len(whole.body)) != f.Bytes || whole.header.Get("ETag") != `"`+f.SHA256+`"` {
			t.Errorf("%s: %d bytes, digest %x, ETag %s; the manifest says %+v", path, len(whole.body), digest, whole.header.Get("ETag"), f)
		}
		if want := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":"; whole.header.Get("Repr-Digest") != want {
			t.Errorf("%s: Repr-Digest is %s, want %s", path, whole.header.Get("Repr-Digest"), want)
		}
		part := c.do(t, http.MethodGet, path, "Range", "bytes=100-299", "If-Range", `"`+f.SHA256+`"`)
		if part.status != http.StatusPartialContent || !bytes.Equal(part.body, whole.body[100:300]) {
			t.Errorf("%s: a range is answered by %d and %d bytes, want 206 and the 200 bytes from 100 on", path, part.status, len(part.body))
		}
		if beyond := c.do(t, http.MethodGet, path, "Range", "bytes=999999999-"); beyond.status != http.StatusRequestedRangeNotSatisfiable {
			t.Errorf("%s: a range beyond the end is answered by %d, want 416", path, beyond.status)
		}
		if same := c.do(t, http.MethodGet, path, "If-None-Match", `"`+f.SHA256+`"`); same.status != http.StatusNotModified || len(same.body) > 0 {
			t.Errorf("%s: If-None-Match is answered by %d, want 304", path, same.status)
		}
		head := c.do(t, http.MethodHead, path)
		if head.status != http.StatusOK || head.header.Get("Content-Length") != strconv.FormatInt(f.Bytes, 10) {
			t.Errorf("%s: HEAD is answered by %d, length %s, want 200 and %d", path, head.status, head.header.Get("Content-Length"), f.Bytes)
		}
		name := filepath.Join(t.TempDir(), "file.parquet")
		if err := os.WriteFile(name, whole.body, 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := reader.Parquet(name, "origin"); err != nil || int64(rows.Len()) != f.Rows {
			t.Errorf("%s: parquet-go reads %d rows (%v), the manifest says %d", path, rows.Len(), err, f.Rows)
		}
	}
}

// columns that every format writes alike.
var plain = []string{"origin", "destination", "distance", "hour", "delay", "split"}

// testRows reads the rows in each format and compares them with the Parquet files.
func testRows(t *testing.T, c *client, b box.Box) {
	t.Helper()
	want := reader.Bag{}
	for _, f := range readManifest(t, c).Content.Files {
		rows, err := reader.Parquet(filepath.Join(b.Data, "warehouse", "releases", "flights", "training-2001-01.1", f.Path), plain...)
		if err != nil {
			t.Fatal(err)
		}
		for row, n := range rows {
			want[row] += n
		}
	}
	query := release + "/rows?columns=" + strings.Join(plain, ",")
	for format, read := range map[string]func(*testing.T, []byte) reader.Bag{"csv": csvRows, "ndjson": ndjsonRows, "arrow": arrowRows} {
		if diff := read(t, c.get(t, query+"&format="+format).body).Diff(want); diff != "" {
			t.Errorf("rows as %s: %s", format, diff)
		}
	}
	for media, read := range map[string]func(*testing.T, []byte) reader.Bag{
		"text/csv": csvRows, "application/x-ndjson": ndjsonRows, "application/vnd.apache.arrow.stream": arrowRows,
	} {
		a := c.get(t, query, "Accept", media)
		if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, media) {
			t.Errorf("Accept: %s is answered as %s", media, got)
		}
		if got := read(t, a.body).Len(); got != want.Len() {
			t.Errorf("Accept: %s gives %d rows, want %d", media, got, want.Len())
		}
	}
}

func csvRows(t *testing.T, body []byte) reader.Bag {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(records) == 0 || !slices.Equal(records[0], plain) {
		t.Fatalf("not CSV with columns %v: %v", plain, err)
	}
	bag := reader.Bag{}
	for _, r := range records[1:] {
		bag[reader.Row(r...)]++
	}
	return bag
}

func ndjsonRows(t *testing.T, body []byte) reader.Bag {
	t.Helper()
	bag := reader.Bag{}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for d.More() {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		values := make([]string, len(plain))
		for i, column := range plain {
			values[i] = fmt.Sprint(row[column])
		}
		bag[reader.Row(values...)]++
	}
	return bag
}

func arrowRows(t *testing.T, body []byte) reader.Bag {
	t.Helper()
	r, err := ipc.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	bag := reader.Bag{}
	for r.Next() {
		batch := r.RecordBatch()
		for i := range int(batch.NumRows()) {
			values := make([]string, len(plain))
			for j := range plain {
				switch column := batch.Column(j).(type) {
				case *array.Int64:
					values[j] = strconv.FormatInt(column.Value(i), 10)
				default:
					values[j] = column.ValueStr(i)
				}
			}
			bag[reader.Row(values...)]++
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return bag
}

func testSelection(t *testing.T, c *client) {
	t.Helper()
	lines := box.Lines(string(c.get(t, release+"/rows?format=csv&limit=5&columns=delay,origin").body))
	if len(lines) != 6 || lines[0] != "delay,origin" {
		t.Errorf("five rows of two columns are %q", lines)
	}
	if none := box.Lines(string(c.get(t, release+"/rows?format=csv&limit=0").body)); len(none) != 1 {
		t.Errorf("limit=0 gives %q, want the header alone", none)
	}
	var rows int64
	for _, f := range readManifest(t, c).Content.Files {
		got := int64(len(box.Lines(string(c.get(t, release+"/rows?format=ndjson&columns=split&split="+f.Split).body))))
		if got != f.Rows {
			t.Errorf("split %s has %d rows, want %d", f.Split, got, f.Rows)
		}
		rows += got
	}
	if all := len(box.Lines(string(c.get(t, release+"/rows?format=ndjson&columns=split").body))); int64(all) != rows {
		t.Errorf("the release has %d rows, its splits %d", all, rows)
	}
}

func testProblems(t *testing.T, c *client) {
	t.Helper()
	for _, p := range []struct {
		path   string
		status int
		field  string
	}{
		{"/v1/datasets/nobody", 404, "dataset"},
		{"/v1/datasets/flights/releases/training-1999-01.1", 404, "version"},
		{"/v1/datasets/flights/releases/..%2f..%2fflights", 404, "version"},
		{release + "/files/" + strings.Repeat("0", 64) + ".parquet", 404, "file"},
		{release + "/files/..%2fmanifest.json", 404, "file"},
		{release + "/rows?format=xml", 400, "format"},
		{release + "/rows?columns=colour", 400, "columns"},
		{release + "/rows?columns=", 400, "columns"},
		{release + "/rows?limit=-1", 400, "limit"},
		{release + "/rows?limit=99999999999999999999", 400, "limit"},
		{release + "/rows?split=dev", 400, "split"},
		{release + "/rows?fromat=csv", 400, "fromat"},
		{"/v1/datasets/flights/windows/yesterday", 400, "window"},
		{"/v1/datasets/flights/windows/1999-01-01", 404, "window"},
		{"/v1/datasets/flights/releases?after=zzz", 400, "after"},
		{"/v2", 404, ""},
	} {
		c.problem(t, http.MethodGet, p.path, p.status, p.field)
	}
	c.problem(t, http.MethodPost, release, 405, "")
	c.problem(t, http.MethodDelete, "/v1/datasets/flights", 405, "")
	c.problem(t, http.MethodGet, release+"/rows", 406, "Accept", "Accept", "image/png")
}

func testProbes(t *testing.T, c *client) {
	t.Helper()
	c.get(t, "/healthz")
	c.get(t, "/readyz")
	text := string(c.get(t, "/metrics").body)
	contains(t, "/metrics", text, "go_goroutines", "almanac_")
	if a := c.get(t, "/", "Accept", "text/html"); !bytes.Contains(a.body, []byte("training-2001-06.1")) {
		t.Errorf("the page for browsers does not show the newest release: %s", a.body)
	}
	began := time.Now()
	for range 50 {
		c.get(t, "/v1/datasets")
	}
	t.Logf("GET /v1/datasets takes %s", time.Since(began)/50)
}
