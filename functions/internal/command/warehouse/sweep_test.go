package warehouse

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/commandtest"
	"github.com/almanac-data/almanac/functions/internal/table"
)

var almanac = commandtest.Almanac{NewSweep}

func TestSweep(t *testing.T) {
	data := t.TempDir()
	left := filepath.Join(data, "warehouse", "releases", "flights", ".tmp-1")
	if err := os.MkdirAll(left, 0o750); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(left, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if out, code, err := almanac.Call(t, "sweep", "--data", data, "--older", "26h"); code != 0 || !strings.Contains(out, "nothing was left") {
		t.Errorf("sweep of what is older: exit %d, %v: %s", code, err, out)
	}
	if _, code, err := almanac.Call(t, "sweep", "--data", data, "--older", "-1h"); code != command.Usage || !strings.Contains(err.Error(), "--older") {
		t.Errorf("sweep of the future: exit %d, %v", code, err)
	}
	out, code, err := almanac.Call(t, "sweep", "--data", data, "--json")
	var removed []table.Removed
	if err := errors.Join(err, json.Unmarshal([]byte(out), &removed)); err != nil || code != 0 || len(removed) != 1 || removed[0].Path != "releases/flights/.tmp-1" {
		t.Errorf("sweep: exit %d, %v: %s", code, err, out)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
