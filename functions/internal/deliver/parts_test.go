package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/snapshot/snapshottest"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// published are the parts of a release that the inputs decide: the content of the manifest, and the bytes of the data files.
func published(t *testing.T, w *snapshottest.World, version string) map[string]string {
	t.Helper()
	all := map[string]string{"content": manifest(t, w, version).ContentSHA256}
	files, err := filepath.Glob(w.Sub("releases/flights/" + version + "/data/*"))
	for _, name := range files {
		data, failed := os.ReadFile(filepath.Clean(name))
		err = errors.Join(err, failed)
		all[filepath.Base(name)] = string(data)
	}
	if err != nil || len(files) == 0 {
		t.Fatalf("%d data files of %s, %v", len(files), version, err)
	}
	return all
}

func TestAReleaseInPartsIsTheSame(t *testing.T) {
	whole := world(t)
	handle(t, core(whole), "2001-12")
	for rows, lines := range map[int64]int{1: 3, 2: 2, 100: 2} { // parts of the two values of split
		w := world(t)
		w.D.Releases[0].PartBy, w.D.Releases[0].PartRows = "date", rows
		var log bytes.Buffer
		dl := core(w)
		dl.Log = slog.New(slog.NewTextHandler(&log, nil))
		handle(t, dl, "2001-12")
		if diff := cmp.Diff(published(t, whole, "training-2001-12.1"), published(t, w, "training-2001-12.1")); diff != "" {
			t.Errorf("parts of %d rows (-whole +parts):\n%s", rows, diff)
		}
		if got := strings.Count(log.String(), "dataset=flights query=training window=2001-12 by=date part="); got != lines {
			t.Errorf("parts of %d rows: the log tells of %d parts, want %d:\n%s", rows, got, lines, log.String())
		}
		verified(t, w, "training-2001-12.1")
		w.D.Releases[0].PartBy = "" // nothing is due by a change of it
		handle(t, core(w), "2001-12")
		if facts := said(w); len(facts) != 1 {
			t.Errorf("said %+v, want one release", facts)
		}
	}
}

func TestAReleaseOfNoRowInParts(t *testing.T) {
	w := world(t)
	w.D.Releases[0].SQL += " WHERE r.delay > 1000"
	w.D.Releases[0].PartBy, w.D.Releases[0].PartRows = "date", 1
	handle(t, core(w), "2001-12")
	if c := manifest(t, w, "training-2001-12.1").Content; c.Rows.Total != 0 || len(c.Schema) != 5 || len(c.Files) != 0 {
		t.Errorf("content is %+v, want five columns and no row", c)
	}
}

func TestPartsThatCannotBeMadeStopTheReleaseUntilTheyAreMended(t *testing.T) {
	w := world(t)
	q := &w.D.Releases[0]
	q.SQL, q.Split, q.OrderBy = "SELECT CAST(delay AS DOUBLE) AS ratio FROM rows, monthly WHERE false", "", []string{"ratio"}
	q.PartBy, q.PartRows = "ratio", 2
	handle(t, core(w), "2001-12")
	handle(t, core(w), "2001-12")
	var details []string
	for _, e := range w.Journal.Said() {
		if s, ok := e.(events.Stopped); ok {
			details = append(details, s.Detail)
		}
	}
	want := "flights/releases/training.sql: parts cannot be made by ratio, which is float64: name an integer, a decimal, a text, a date, a timestamp or a boolean"
	if len(details) != 1 || !strings.HasPrefix(details[0], want) {
		t.Errorf("said %q, want %q once", details, want)
	}
	q.PartBy = ""
	handle(t, core(w), "2001-12")
	if facts := said(w); len(facts) != 1 {
		t.Errorf("said %+v after part_by was taken away, want a release", facts)
	}
}

// TestAReleaseLargerThanTheDriver needs a Spark whose spark.driver.maxResultSize is 64m or less, as that of the lab.
func TestAReleaseLargerThanTheDriver(t *testing.T) {
	address := os.Getenv("ALMANAC_TEST_SPARK")
	if address == "" {
		t.Skip("no Spark: set ALMANAC_TEST_SPARK=sc://host:port of a server with spark.driver.maxResultSize=64m that sees this machine's files; make lab starts one")
	}
	var cfg spark.Config
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_SPARK": address}), envconfig.OsLookuper())
	if err := fn.Load(context.Background(), env, &cfg); err != nil {
		t.Fatal(err)
	}
	engine, err := spark.Open(context.Background(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close(context.Background()) })
	large := func() *snapshottest.World {
		d := flights()
		q := &d.Releases[0]
		q.Inputs, q.Split, q.OrderBy = q.Inputs[:1], "", []string{"i"}
		// Some 55 bytes a row, whatever compresses them, and 2 million rows.
		q.SQL = `SELECT CAST(delay * 1000003 AS BIGINT) + r.i % 250000 AS i, origin, md5(CAST(r.i AS VARCHAR(20))) AS a,
	md5('b' || CAST(r.i + delay AS VARCHAR(20))) AS b, md5('c' || CAST(r.i * 3 + delay AS VARCHAR(20))) AS c
FROM rows, (SELECT * FROM range(500000)) AS r(i)`
		w := snapshottest.New(t, d)
		w.StoreJSON(t, "2001-12", 1, december)
		return w
	}
	whole := large()
	handle(t, core(whole), "2001-12")
	divided := large()
	dl := core(divided)
	dl.Engine = engine
	err = dl.Handle(context.Background(), due("2001-12"))
	if err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "part_by in pipeline.yaml") {
		t.Fatalf("a release as a whole: Handle = %v, want an error that a change of the server can mend, and that names part_by", err)
	}
	if left := tree(t, divided); left != "" {
		t.Errorf("left behind: %s", left)
	}
	divided.D.Releases[0].PartBy, divided.D.Releases[0].PartRows = "i", 300_000
	handle(t, dl, "2001-12")
	got, want := published(t, divided, "training-2001-12.1"), published(t, whole, "training-2001-12.1")
	bytes := 0
	for name, data := range want {
		bytes += len(data)
		if got[name] != data {
			t.Errorf("%s differs", name)
		}
	}
	t.Logf("%d data files, %d bytes", len(want)-1, bytes)
	if len(got) != len(want) || bytes < 64<<20 {
		t.Errorf("%d files of %d bytes from DuckDB, %d from Spark", len(want), bytes, len(got))
	}
}
