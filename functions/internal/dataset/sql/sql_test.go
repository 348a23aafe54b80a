package sql

import (
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

func TestUnstableSQLIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT now() FROM rows":                                   "a.sql:1: now may not be used",
		"SELECT 1\nFROM rows\nWHERE random ( ) > 0.5":              "a.sql:3: random may not be used",
		"SELECT CURRENT_TIMESTAMP FROM rows":                       "a.sql:1: CURRENT_TIMESTAMP may not be used",
		"SELECT * FROM read_parquet('x')":                          "a.sql:1: read_parquet may not be used",
		"SELECT 'now()' AS a, \"random\" /* uuid() */ FROM rows":   "",
		"SELECT known, brand, today_flag, uuid FROM rows -- now()": "",
	} {
		var m document.Mistakes
		Check(&m, "a.sql", text)
		got := ""
		if err := m.Err(); err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("Check(%q) says %q, want %q", text, got, want)
		}
	}
}
