package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// canary begins each personal value of these tests.
const canary = "canary7f3a"

// refusedLines are records that process and validate refuse, whose personal values stand where they must, and where others must.
var refusedLines = []string{
	"2024-01-03T20:00:00Z,12," + canary + "-moved",
	"2024-01-03T20:00:00Z," + canary + "-ragged",
	"2024-01-03T20:00:00Z," + canary + "-north,-1",
	`2024-01-03T20:00:00Z,"` + canary + `-quoted,5`,
}

// newPersonalShop has canaries for shops, which are personal, and the given lines in the file of the bad day. Its data folder has a key of
// pseudonyms, the same for all.
func newPersonalShop(t *testing.T, envelope string, lines ...string) *shop {
	t.Helper()
	s := newShop(t)
	s.replace(t, "contract.yaml", `logicalTypeOptions: {pattern: "[a-z]+"}`, "classification: personal")
	for day := 1; day <= shopDays; day++ {
		sales := rowsOf(day)
		for i := range sales {
			sales[i].shop = canary + "-" + sales[i].shop
		}
		more := lines
		if day != bad {
			more = nil
		}
		s.write(t, file(day), csvOf(sales, more...))
	}
	run(t, s.Box, 0, "run", "--no-serve", "--to", "2024-01-01") // begins the data folder
	if err := os.WriteFile(filepath.Join(s.Data, "pseudonym.key"), []byte(strings.Repeat("5", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	if envelope != "" {
		s.Env = append(s.Env, "ALMANAC_ENVELOPE_KEY="+envelope)
	}
	return s
}

// holding lists the files below a folder that hold a text, in clear or in a zstd frame that begins anywhere in them, by their first folders.
func holding(t *testing.T, dir, text string) map[string]int {
	t.Helper()
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	found := map[string]int{}
	looked := 0
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		if !holds(unpack, data, text) {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		parts := strings.Split(rel, string(filepath.Separator))
		if parts[0] != "warehouse" {
			parts = parts[:1]
		}
		found[strings.Join(parts[:min(3, len(parts))], "/")]++
		return err
	})
	if err != nil || looked < 20 {
		t.Fatalf("looked at %d files of %s: %v", looked, dir, err)
	}
	return found
}

func holds(unpack *zstd.Decoder, data []byte, text string) bool {
	if bytes.Contains(data, []byte(text)) {
		return true
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for rest := data; ; {
		at := bytes.Index(rest, magic)
		if at < 0 {
			return false
		}
		rest = rest[at:]
		if unpack.Reset(bytes.NewReader(rest)) == nil {
			var out bytes.Buffer
			_, _ = out.ReadFrom(unpack) // what stands behind the frame is no frame
			if bytes.Contains(out.Bytes(), []byte(text)) {
				return true
			}
		}
		rest = rest[len(magic):]
	}
}

// TestSealedRun has no personal value in clear anywhere but in its source: not in the broker, the archive, the quarantine or a release; neither while
// a window is stopped, whose blocks are still in the broker, nor when it is stored.
func TestSealedRun(t *testing.T) {
	t.Parallel()
	long := "2024-01-03T20:00:00Z," + canary + "-long" + strings.Repeat("x", 3<<20) // in several blocks
	lines := append([]string{long}, refusedLines...)
	open := newPersonalShop(t, "", lines...)
	open.run(t, 3)
	places := holding(t, open.Data, canary)
	for _, place := range []string{"broker", "warehouse/shop/raw", "warehouse/shop/quarantine"} {
		if places[place] == 0 {
			t.Errorf("without a key the search finds nothing in %s: it proves nothing; it finds %v", place, places)
		}
	}
	s := newPersonalShop(t, filepath.Join(t.TempDir(), "envelope.key"), lines...)
	s.run(t, 3)
	nowhere(t, s)
	s.showsRefused(t)
	for _, one := range []*shop{open, s} {
		one.replace(t, "pipeline.yaml", "reject: {share: 0.1, rows: 1}", "reject: {share: 0.5, rows: 10}")
		one.run(t, 0)
	}
	nowhere(t, s)
	s.showsRefused(t)
	sealed, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "shop", "raw", "*", "*", "*.zst.sealed"))
	if err != nil || len(sealed) < shopDays {
		t.Errorf("sealed files of the archive: %v, %v", sealed, err)
	}
	keys, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "shop", "data-keys", "*.json"))
	if err != nil || len(keys) != shopDays {
		t.Errorf("data keys: %v, %v", keys, err)
	}

	source, err := os.ReadFile(filepath.Join(s.dir, file(bad)))
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, s.Box, 0, "archive", "show", "shop", key(bad)).Out; got != string(source) {
		t.Errorf("archive show gives %d bytes, want the %d of the source", len(got), len(source))
	}
	if got := run(t, open.Box, 0, "archive", "show", "shop", key(bad)).Out; got != string(source) {
		t.Errorf("archive show of an archive in clear gives %d bytes, want the %d of the source", len(got), len(source))
	}
	without := *s
	without.Env = nil
	contains(t, "quarantine show without the key", run(t, without.Box, 0, "quarantine", "show", "shop", key(bad)).Out, "(sealed: almanac quarantine show)", "ragged")
	contains(t, "archive show without the key", run(t, without.Box, 1, "archive", "show", "shop", key(bad)).Text(), "ALMANAC_ENVELOPE_KEY is not set")
	without.Env = []string{"ALMANAC_ENVELOPE_KEY=" + filepath.Join(t.TempDir(), "other.key")}
	contains(t, "archive show with another key", run(t, without.Box, 1, "archive", "show", "shop", key(bad)).Text(), "is not the key by which it was wrapped")
}

// nowhere checks that no personal value stands in the data folder.
func nowhere(t *testing.T, s *shop) {
	t.Helper()
	if places := holding(t, s.Data, canary); len(places) > 0 {
		t.Errorf("personal values stand in clear in %v", places)
	}
}

// showsRefused lets who has the key look at the refused records.
func (s *shop) showsRefused(t *testing.T) {
	t.Helper()
	shown := run(t, s.Box, 0, "quarantine", "show", "shop", key(bad)).Out
	contains(t, "quarantine show with the key", shown, "type", "ragged", "range", "units", "record_too_long", canary+"-longxxx")
	for _, line := range refusedLines {
		contains(t, "quarantine show with the key", shown, fmt.Sprintf("%q", line))
	}
}

// TestSealedRunMakesTheSameReleases compares a run that is sealed, killed again and again, rotated, and collected anew from its archive, with one in clear.
func TestSealedRunMakesTheSameReleases(t *testing.T) {
	t.Parallel()
	open := newPersonalShop(t, "")
	open.run(t, 0)
	envelope := filepath.Join(t.TempDir(), "envelope.key")
	s := newPersonalShop(t, envelope)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 8 {
		r, err := s.Start("run", "--no-serve")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(time.Duration(100+random.IntN(1500)) * time.Millisecond):
		case <-r.Ended():
		}
		r.Signal(syscall.SIGKILL)
		<-r.Ended()
	}
	s.run(t, 0)
	same := func(what string) {
		t.Helper()
		if want, got := mustReleases(t, open), mustReleases(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the releases are others than in clear: %v, want %v", what, got, want)
		}
	}
	same("killed")
	nowhere(t, s)

	text, err := os.ReadFile(envelope)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(envelope, append(text, strings.Repeat("a", 64)+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, "secrets rewrap", run(t, s.Box, 0, "secrets", "rewrap").Out, fmt.Sprintf("%d of %d data keys were wrapped anew; all are wrapped by version 2", shopDays, shopDays))
	contains(t, "secrets rewrap, again", run(t, s.Box, 0, "secrets", "rewrap").Out, fmt.Sprintf("0 of %d", shopDays))
	// The contract changes, and the source is gone: both collect anew from the archive.
	for _, one := range []*shop{open, s} {
		one.replace(t, "contract.yaml", "minimum: 0, maximum: 1000", "minimum: 0, maximum: 2000")
		if err := os.RemoveAll(filepath.Join(one.dir, "files")); err != nil {
			t.Fatal(err)
		}
		one.run(t, 0)
		for _, w := range status(t, one.Box).Windows {
			if w.Step == "collect" && (w.Generation != 2 || w.Phase != "stored") {
				t.Fatalf("%s is %s in generation %d, want generation 2 stored", w.Window, w.Phase, w.Generation)
			}
		}
	}
	same("collected anew")
	nowhere(t, s)
}
