package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// january is the shipped flights of one month, and what one process makes of it.
func january(t *testing.T) (datasets string, want *single) {
	t.Helper()
	datasets = firstMonths(t, "2001-02-01")
	return datasets, inOneProcess(t, datasets)
}

// remedy is what the message about another program's snapshot tells to do.
var remedy = regexp.MustCompile(`CALL <catalog>\.(system\.set_current_snapshot\('([a-z_.]+)', \d+\))`)

// TestATableThatSomebodyElseChanged lets Spark write to tables of Almanac, as one who has the rights. The next run notices, says what to
// do, and after that all is as it was.
func TestATableThatSomebodyElseChanged(t *testing.T) {
	c := running(t)
	if c.secure() {
		t.Skip("Spark gets rights in the plain form")
	}
	datasets, want := january(t)
	b := c.box(t, datasets)
	run(t, b, 0, "run", "--no-serve")
	c.hdfs(t, "-chmod", "-R", "777", c.env["HDFS_WAREHOUSE"]+"/flights")
	for _, change := range []struct{ name, table, text string }{
		{"rows are added", "flights.rows", "INSERT INTO lake.flights.`rows` SELECT * FROM lake.flights.`rows` LIMIT 3"},
		{"some rows are deleted", "flights.rows", "DELETE FROM lake.flights.`rows` WHERE origin = 'ATL'"},
		{"an aggregate is written to", "flights.origin_weekly", "INSERT INTO lake.flights.origin_weekly SELECT * FROM lake.flights.origin_weekly LIMIT 1"},
		{"the files are compacted", "flights.rows", "CALL lake.system.rewrite_data_files(table => 'flights.rows', options => map('rewrite-all', 'true'))"},
	} {
		t.Run(change.name, func(t *testing.T) {
			c.sql(t, change.text)
			told := c.refused(t, b, "another program wrote it", change.table)
			do := remedy.FindStringSubmatch(told)
			if do == nil || do[2] != change.table {
				t.Fatalf("it does not say what to do about %s: %s", change.table, told)
			}
			c.sql(t, "CALL lake."+do[1])
			c.upToDate(t, b)
		})
	}
	head := c.sql(t, "SELECT CAST(snapshot_id AS STRING) FROM lake.flights.`rows`.refs WHERE name = 'main'")[0]
	ours := c.sql(t, "SELECT CAST(snapshot_id AS STRING) FROM lake.flights.`rows`.snapshots WHERE element_at(summary, 'almanac.map') IS NOT NULL ORDER BY committed_at")
	if len(ours) < 2 || !slices.Contains(ours, head) {
		t.Fatalf("the snapshots are %v, the head is %s: nothing can be rolled back", ours, head)
	}
	for name, text := range map[string]string{
		"the table is rolled back": fmt.Sprintf("CALL lake.system.rollback_to_snapshot('flights.rows', %s)", ours[0]),
		"all rows are deleted":     "DELETE FROM lake.flights.`rows`",
	} {
		t.Run(name, func(t *testing.T) {
			c.sql(t, text)
			c.refused(t, b, "lacks what was stored", "flights", "make the snapshot that it had before")
			c.sql(t, fmt.Sprintf("CALL lake.system.set_current_snapshot('flights.rows', %s)", head))
			c.upToDate(t, b)
		})
	}
	c.same(t, b, want.outcome, sources(t, datasets))
}

// refused runs, which must end with an error of these texts.
func (c *centre) refused(t *testing.T, b box.Box, texts ...string) string {
	t.Helper()
	result := run(t, b, 1, "run", "--no-serve")
	for _, text := range texts {
		if !strings.Contains(result.Err, text) {
			t.Errorf("the run does not say %q: %s", text, result)
		}
	}
	return result.Err
}

// upToDate runs, which must find nothing to do.
func (c *centre) upToDate(t *testing.T, b box.Box) {
	t.Helper()
	if result := run(t, b, 0, "run", "--no-serve"); !strings.Contains(result.Out, "nothing to do") {
		t.Errorf("something was to do: %s", result)
	}
}
