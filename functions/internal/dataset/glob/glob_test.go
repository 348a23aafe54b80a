package glob

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func TestOfExpandsTheTemplate(t *testing.T) {
	for template, want := range map[string]string{
		"a/{yyyy}/{mm}/{dd}.csv":      "/data[1]/a/2001/02/03.csv",
		"{yyyy-mm}/{yyyy-mm-dd}*.csv": "/data[1]/2001-02/2001-02-03*.csv",
		"{yyyy-Www}.csv":              "/data[1]/2001-W05.csv",
		"/abs/{yyyy-mm-dd}.csv":       "/abs/2001-02-03.csv",
	} {
		d := &dataset.Dataset{Dir: "/data[1]", Collect: dataset.Collect{Path: template}}
		got := Of(d, window.At(window.Day, time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)))
		if strings.ReplaceAll(got, `\`, "") != want {
			t.Errorf("Of(%s) = %s, want %s", template, got, want)
		}
		if plain := strings.ReplaceAll(want, "*", "x"); !match(t, got, plain) {
			t.Errorf("the pattern %s does not match %s", got, plain)
		}
	}
}

func match(t *testing.T, pattern, path string) bool {
	t.Helper()
	ok, err := filepath.Match(pattern, path)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
