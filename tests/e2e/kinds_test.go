package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// TestNDJSON collects files of another format and another compression, with columns under other names.
func TestNDJSON(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "pipeline.yaml", ".csv*\n    format: csv", ".ndjson.zst\n    format: ndjson")
	s.replace(t, "pipeline.yaml", "validate:", "process:\n  rename: {TIME: at}\n  drop: [clerk]\n  timezone: Europe/Berlin\nvalidate:")
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for day := 1; day <= shopDays; day++ {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		lines := json.NewEncoder(w)
		for _, one := range rowsOf(day) {
			record := map[string]any{"TIME": one.at.In(berlin).Format("2006-01-02T15:04:05"), "shop": one.shop, "units": one.units, "clerk": "x"}
			if err := lines.Encode(record); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		s.write(t, "files/"+key(day)+".ndjson.zst", b.Bytes())
	}
	s.run(t, 0)
	s.finished(t, all(nil))
}

// TestDuplicateKeys has rows that repeat a key within a day, which are counted and not stored; and, with an allowance for late rows, one that
// repeats it in the next day's file, of which SQL sees the later.
func TestDuplicateKeys(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "contract.yaml", "- name: at\n        logicalType: timestamp\n", "- name: at\n        logicalType: timestamp\n        primaryKey: true\n        primaryKeyPosition: 1\n")
	s.replace(t, "contract.yaml", "- name: shop\n        logicalType: string\n", "- name: shop\n        logicalType: string\n        primaryKey: true\n        primaryKeyPosition: 2\n")
	s.replace(t, "pipeline.yaml", "lateness: 0d", "lateness: 1d")
	s.write(t, file(bad), csvOf(slices.Concat(rowsOf(bad), rowsOf(bad)[:5])))
	corrected := rowsOf(bad)[0]
	corrected.units = 999
	s.write(t, file(bad+1), csvOf(slices.Concat(rowsOf(bad+1), []sale{corrected})))
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{bad + 1: slices.Concat(rowsOf(bad+1), []sale{corrected})}))
	if got := status(t, s.Box).Find("collect", "", key(bad)).Total(); got.Duplicate != 5 || got.Stored != 24 {
		t.Errorf("the sheet of the day is %+v, want 5 duplicates and 24 rows stored", got)
	}
	releases, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "releases", "shop", "training-2024-W01.1", "data", "*.parquet"))
	if err != nil || len(releases) != 1 {
		t.Fatalf("files of the release: %v, %v", releases, err)
	}
	rows, err := reader.Parquet(releases[0], "units")
	if err != nil {
		t.Fatal(err)
	}
	if rows.Len() != 7*24 || rows["999"] != 1 {
		t.Errorf("the release has %d rows, %d of them corrected; want 168 and 1", rows.Len(), rows["999"])
	}
}

// TestPersonalColumn has a column with people in it: beyond process there are only pseudonyms, the same for the same person.
func TestPersonalColumn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "contract.yaml", `logicalTypeOptions: {pattern: "[a-z]+"}`, "classification: personal")
	s.run(t, 0)
	table, err := reader.Open(filepath.Join(s.Data, "warehouse", "shop", "rows"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := table.Rows("shop")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 2 || names["north"] > 0 || names["south"] > 0 {
		t.Errorf("names are stored as %v, want two pseudonyms", names)
	}
	if week := status(t, s.Box).Find("aggregate", "shop_weekly", "2024-W02"); week.Rows != 2 {
		t.Errorf("the week has %d rows, want one for each of two people", week.Rows)
	}
	info, err := os.Stat(filepath.Join(s.Data, "pseudonym.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key of the pseudonyms is for its owner alone: %v, %v", info, err)
	}
	for version := range mustReleases(t, s) {
		files, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "releases", version, "data", "*.parquet"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files of %s: %v, %v", version, files, err)
		}
		for _, name := range files {
			rows, err := reader.Parquet(name, "shop")
			if err != nil || rows["north"] > 0 || len(rows) != 2 {
				t.Errorf("%s holds names: %v, %v", version, rows, err)
			}
		}
	}
}

func mustReleases(t *testing.T, s *shop) map[string]reader.Release {
	t.Helper()
	all, err := reader.Releases(filepath.Join(s.Data, "warehouse"))
	if err != nil || len(all) == 0 {
		t.Fatalf("releases: %v, %v", all, err)
	}
	return all
}

// TestRejectBudget shows the refused rows of a window that they stopped.
func TestRejectBudget(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const line = "2024-01-03T20:00:00Z,north,-1"
	s.write(t, file(bad), csvOf(rowsOf(bad), line, line, line))
	contains(t, "the run", s.run(t, 3).Out, key(bad)+": stopped", "3 of 27 rows", "top reasons")
	contains(t, "quarantine list", run(t, s.Box, 0, "quarantine", "list").Out, key(bad), "3", "27")
	shown := run(t, s.Box, 0, "quarantine", "show", "shop", key(bad)).Out
	contains(t, "quarantine show", shown, line, file(bad), "units", "must be 0 to 1000")
	if got := strings.Count(shown, line); got != 3 {
		t.Errorf("quarantine show shows the line %d times, want 3", got)
	}
	s.replace(t, "pipeline.yaml", "reject: {share: 0.1, rows: 1}", "reject: {share: 0.5, rows: 5}")
	s.run(t, 0)
	s.finished(t, all(nil))
}

// TestBounds replays a part of the time.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	run(t, s.Box, 0, "run", "--no-serve", "--from", "2024-01-08", "--to", "2024-01-12")
	var want []sale
	for day := 8; day <= 11; day++ {
		want = append(want, rowsOf(day)...)
	}
	s.holds(t, want)
	s.run(t, 0)
	s.finished(t, all(nil))
}
