package cluster

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// shipped is a copy of the shipped datasets, to be changed.
func shipped(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, "spark-jobs", name))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sources reads the samples of datasets as they are, without Almanac.
func sources(t *testing.T, datasets string) map[string]*reader.Source {
	t.Helper()
	all := map[string]*reader.Source{}
	for name, read := range map[string]func(string) (*reader.Source, error){"flights": reader.Flights, "births": reader.Births} {
		sample := filepath.Join(datasets, name, "sample")
		if _, err := os.Stat(sample); err != nil {
			continue
		}
		source, err := read(sample)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = source
	}
	return all
}

// same holds what the cluster made to what one process makes, and to the source.
func (c *centre) same(t *testing.T, b box.Box, want *outcome.Outcome, sources map[string]*reader.Source) *outcome.Outcome {
	t.Helper()
	warehouse := c.download(t)
	got, err := outcome.Examine(patient(t), b, warehouse)
	if err != nil {
		t.Fatal(err)
	}
	got.Late = c.late
	wrong := slices.Concat(got.Faults(), got.Differences(want))
	for name, source := range sources {
		wrong = append(wrong, outcome.Against(warehouse, name, source)...)
	}
	for i, text := range wrong {
		if i == 20 {
			t.Errorf("and %d more", len(wrong)-i)
			break
		}
		t.Error(text)
	}
	temporary, unclaimed, err := got.Leftover(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, table := range got.Tables {
		rows += table.Len()
	}
	t.Logf("%d releases and %d tables with %d rows are compared; %d files that no table claims, %d temporary", len(got.Releases), len(got.Tables), rows, len(unclaimed), len(temporary))
	return got
}

// swept sweeps the warehouse, and sees that no file is left that is open for writing, or temporary. Nothing works on it by then.
func (c *centre) swept(t *testing.T, b box.Box) {
	t.Helper()
	result := run(t, b, 0, "sweep", "--older", "0s")
	t.Logf("swept: %d lines, such as %s", strings.Count(result.Out, "\n"), lastLines(result.Out, 1))
	listed := c.hadoop(t, "almanac", "org.apache.hadoop.hdfs.tools.DFSck", "/almanac", "-files", "-openforwrite")
	if !strings.Contains(listed, "Status: HEALTHY") {
		t.Errorf("fsck says %s", lastLines(listed, 30))
	}
	for line := range strings.Lines(listed) {
		if strings.Contains(line, "OPENFORWRITE") || strings.Contains(line, ".tmp-") {
			t.Errorf("after a sweep there is still %s", strings.TrimSpace(line))
		}
	}
}

// TestJob does the whole job of the shipped datasets on the cluster, looks at it with every command, and restates a day.
func TestJob(t *testing.T) {
	c := running(t)
	datasets := shipped(t, "flights", "births")
	alone := inOneProcess(t, datasets)
	b := c.box(t, datasets)
	result := run(t, b, 0, "run", "--no-serve", "--logs")
	t.Logf("the whole job on the %s lab: %.1fs, %.1f CPU seconds, %d MB", c.env["LAB_FORM"], result.Wall.Seconds(), result.CPU.Seconds(), result.PeakRSS>>20)
	for line := range strings.Lines(result.Err) {
		if !strings.Contains(line, `"level":"INFO"`) && !strings.HasPrefix(line, "almanac: waiting for ") { // which a slow machine makes it say
			t.Errorf("undisturbed, it logs %s", line)
		}
	}
	c.same(t, b, alone.outcome, sources(t, datasets))
	c.others(t, "flights", "births")
	c.commands(t, b)
	c.serves(t, b)
	if again := run(t, b, 0, "run", "--no-serve"); !strings.Contains(again.Out, "nothing to do") {
		t.Errorf("a second run should say that nothing is to do: %s", again)
	}
	c.restates(t, b, alone.box)
}

// commands looks at a finished cluster.
func (c *centre) commands(t *testing.T, b box.Box) {
	t.Helper()
	for _, look := range []struct {
		args []string
		want string
	}{
		{[]string{"doctor", "--listen", "127.0.0.1:0"}, "ok    kafka"},
		{[]string{"plan"}, "nothing is to do"},
		{[]string{"releases", "list", "flights"}, "training-2001-06.1"},
		{[]string{"releases", "show", "training-1988.1"}, "births training-1988.1"},
		{[]string{"releases", "verify", "training-2001-01.1", "training-1988.1"}, "training-2001-01.1: verified"},
		{[]string{"quarantine", "list", "flights"}, "2001-01-03"},
		{[]string{"quarantine", "show", "flights", "2001-01-03", "--limit", "1"}, "contract 1.0.0"},
		{[]string{"deadletters", "list"}, "no dead letters"},
	} {
		if result := run(t, b, 0, look.args...); !strings.Contains(result.Out, look.want) {
			t.Errorf("almanac %v says %s, want %q", look.args, result, look.want)
		}
	}
}

// serves asks the HTTP API of a run for rows of a release.
func (c *centre) serves(t *testing.T, b box.Box) {
	t.Helper()
	running, err := b.Start("run", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	at, err := running.Await(`Serving on (http://\S+)`, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(at[1] + "/v1/datasets/flights/releases/training-2001-05.1/rows?format=csv&limit=5")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if lines := box.Lines(string(text)); err != nil || response.StatusCode != http.StatusOK || len(lines) != 6 {
		t.Errorf("five rows of a release are served as %d %q, %v", response.StatusCode, text, err)
	}
}

// restates takes a row out of the file of a day: the day becomes generation 2, and its weeks and its month are made again, as in one process.
func (c *centre) restates(t *testing.T, b, alone box.Box) {
	t.Helper()
	const day = "2001-06-29"
	name := filepath.Join(b.Datasets, "flights", "sample", "2001-06", day+".csv.gz")
	omit(t, name, 100)
	run(t, alone, 0, "run", "--no-serve")
	want, err := reader.Releases(filepath.Join(alone.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	result := run(t, b, 0, "run", "--no-serve")
	t.Logf("a day is restated in %.1fs", result.Wall.Seconds())
	got, err := reader.Releases(c.download(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got["flights/training-2001-06.2"]; !ok || len(got) != len(want) {
		t.Errorf("there are %d releases, want %d with training-2001-06.2", len(got), len(want))
	}
	for version, release := range want {
		if got[version].Content != release.Content {
			t.Errorf("after a day was restated, the content of %s differs from that of one process", version)
		}
	}
	if list := run(t, b, 0, "releases", "list", "flights"); strings.Count(list.Out, "yes") != 1 {
		t.Errorf("one release should be stale: %s", list)
	}
}

// omit takes one line out of a compressed file.
func omit(t *testing.T, name string, line int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(text))
	var short bytes.Buffer
	out := gzip.NewWriter(&short)
	_, err = out.Write(bytes.Join(slices.Delete(lines, line, line+1), nil))
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, short.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
