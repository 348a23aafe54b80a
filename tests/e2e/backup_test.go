package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
)

// backup is what was taken of a data folder: a dump of its broker, and after that a copy of its warehouse.
type backup struct{ facts, files, list string }

// take backs up a run that is at work: facts while it goes on, and then the files while it is stopped, as a snapshot of HDFS has them.
func take(t *testing.T, b box.Box, running *box.Running, port string) backup {
	t.Helper()
	dir := t.TempDir()
	kept := backup{facts: filepath.Join(dir, "kafka.jsonl"), files: filepath.Join(dir, "warehouse"), list: filepath.Join(dir, "files.jsonl")}
	b.Env = append(b.Env, "ALMANAC_KAFKA=127.0.0.1:"+port)
	run(t, b, 0, "backup", "kafka", kept.facts)
	running.Signal(syscall.SIGSTOP)
	defer running.Signal(syscall.SIGCONT)
	copyTree(t, filepath.Join(b.Data, "warehouse"), kept.files)
	list(t, b, kept)
	return kept
}

// copyTree copies a folder without what is in the making.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, at)
		switch {
		case strings.HasPrefix(d.Name(), ".tmp-") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), ".tmp-"):
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// list writes the list of a copy, as almanac backup warehouse does on HDFS.
func list(t *testing.T, b box.Box, kept backup) {
	t.Helper()
	warehouse, err := filepath.Abs(filepath.Join(b.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(kept.list)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	files, bytes := 0, 0
	say := func(v map[string]any) {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	say(map[string]any{"format": "almanac-files/1", "uri": warehouse})
	err = filepath.WalkDir(kept.files, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(kept.files, at)
		entry := map[string]any{"path": name, "owner": "almanac", "group": "almanac", "mode": "750", "folder": d.IsDir()}
		if !d.IsDir() {
			data, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			entry["bytes"], entry["sha256"] = len(data), hex.EncodeToString(sum[:])
			files, bytes = files+1, bytes+len(data)
		}
		say(entry)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	say(map[string]any{"end": map[string]any{"files": files, "bytes": bytes}})
}

// said are the records of a topic in a dump, by their keys.
func said(t *testing.T, dump, topic string) map[string]string {
	t.Helper()
	f, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			Record struct {
				Topic string `json:"topic"`
				Key   []byte `json:"key"`
				Value []byte `json:"value"`
			} `json:"record"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Record.Topic == topic {
			records[string(line.Record.Key)] = string(line.Record.Value)
		}
	}
	return records
}

// TestARestoreGoesOn loses everything at several moments of a run, restores what was backed up, and goes on: nothing that was stored is lost or done again, what was
// in Kafka alone is collected again, and what comes out at the end is what comes out undisturbed.
func TestARestoreGoesOn(t *testing.T) {
	whole := replayed(t)
	want, err := outcome.Examine(patient(t), whole, filepath.Join(whole.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, stored := range []int{20, 140} {
		again += loseAll(t, stored, want)
	}
	if again == 0 {
		t.Error("no slice was in Kafka alone at any of the moments, so that none was collected again")
	}
}

// atWork starts a run of all shipped datasets, and gives the port of its broker.
func atWork(t *testing.T) (b box.Box, running *box.Running, port string) {
	t.Helper()
	port = freePort(t)
	b = box.Box{Binary: command(t), Datasets: filepath.Join(root, "spark-jobs"), Data: filepath.Join(t.TempDir(), "data")}
	running, err := b.Start("run", "--no-serve", "--kafka-port", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Signal(syscall.SIGKILL); <-running.Ended() })
	return b, running, port
}

// loseAll loses all once so many windows are stored, and says how many slices were collected again.
func loseAll(t *testing.T, stored int, want *outcome.Outcome) (again int) {
	t.Helper()
	b, running, port := atWork(t)
	awaitStored(t, b, running, stored)
	kept := take(t, b, running, port)
	running.Signal(syscall.SIGKILL)
	<-running.Ended()
	if err := os.RemoveAll(b.Data); err != nil {
		t.Fatal(err)
	}
	run(t, b, 0, "backup", "check", kept.files, "--list", kept.list, "--kafka", kept.facts)

	sayAgain(t, b, kept, port)
	copyTree(t, kept.files, filepath.Join(b.Data, "warehouse"))
	run(t, b, 0, "run", "--no-serve", "--kafka-port", port)
	got, err := outcome.Examine(patient(t), b, filepath.Join(b.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range append(got.Differences(want), got.Faults()...) {
		t.Errorf("lost after %d windows: %s", stored, fault)
	}
	before, windows := said(t, kept.facts, "almanac.fact.collected"), said(t, kept.facts, "almanac.fact.stored")
	after := dumpOf(t, b, port)
	for key, value := range before {
		slice := strings.LastIndexByte(key, '/')
		_, done := windows[key[:slice]+"/0"]
		if same := after[key] == value; done && !same {
			t.Errorf("lost after %d windows: slice %s was stored, and was collected again", stored, key)
		} else if !same {
			again++
		}
	}
	t.Logf("lost after %d windows: %d facts of collected slices were kept, %d slices were collected again", stored, len(before), again)
	return again
}

// awaitStored waits until so many windows are stored.
func awaitStored(t *testing.T, b box.Box, running *box.Running, stored int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(b.Data, "warehouse", "*", "rows", "data", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) >= stored {
			return
		}
		select {
		case <-running.Ended():
			t.Fatalf("the run ended before %d windows were stored: %s", stored, running.Result())
		default:
		}
	}
	t.Fatalf("%d windows were not stored within %s", stored, patience)
}

// sayAgain restores facts into the broker of a new data folder, which runs alone, so that nobody says anything meanwhile. Twice, as after a kill.
func sayAgain(t *testing.T, b box.Box, kept backup, port string) {
	t.Helper()
	fresh := b
	fresh.Datasets = newShop(t).Datasets
	run(t, fresh, 0, "run", "--no-serve", "--to", "2000-01-01")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := kfake.NewCluster(kfake.Ports(number), kfake.ClusterID("almanac-onebox"), kfake.DataDir(filepath.Join(b.Data, "broker")))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	b.Env = []string{"ALMANAC_KAFKA=127.0.0.1:" + port}
	run(t, b, 0, "restore", "kafka", kept.facts)
	run(t, b, 0, "restore", "kafka", kept.facts)
}

// dumpOf are the facts of collected slices that a broker has in the end.
func dumpOf(t *testing.T, b box.Box, port string) map[string]string {
	t.Helper()
	running, err := b.Start("run", "--listen", "127.0.0.1:0", "--kafka-port", port)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	if _, err := running.Await(`Serving on`, patience); err != nil {
		t.Fatal(err)
	}
	b.Env = []string{"ALMANAC_KAFKA=127.0.0.1:" + port}
	facts := filepath.Join(t.TempDir(), "kafka.jsonl")
	run(t, b, 0, "backup", "kafka", facts)
	return said(t, facts, "almanac.fact.collected")
}

// withLetter is a copy of a dump that holds a dead letter, too.
func withLetter(t *testing.T, dump string) string {
	t.Helper()
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	var end struct {
		End map[string]any `json:"end"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
		t.Fatal(err)
	}
	counts, ok := end.End["records"].(map[string]any)
	if !ok {
		t.Fatalf("the dump ends with %s", lines[len(lines)-1])
	}
	counts["almanac.deadletter"] = 1
	last, err := json.Marshal(end)
	if err != nil {
		t.Fatal(err)
	}
	lines[len(lines)-1] = `{"record":{"topic":"almanac.deadletter","key":"YQ==","value":"e30=","headers":[["ce_type","dev.almanac.stored.v1"]],"time":1,"offset":0}}` + "\n" + string(last) + "\n"
	copied := filepath.Join(t.TempDir(), "kafka.jsonl")
	if err := os.WriteFile(copied, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// TestABackupThatDoesNotFitIsRefused harms a backup in several ways, and asks almanac backup check.
func TestABackupThatDoesNotFitIsRefused(t *testing.T) {
	b, running, port := atWork(t)
	awaitStored(t, b, running, 10)
	early := take(t, b, running, port)
	awaitStored(t, b, running, 60)
	late := take(t, b, running, port)
	parquet := func(t *testing.T, kept backup) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(kept.files, "flights", "rows", "data", "*", "*.parquet"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no data files: %v", err)
		}
		return found[0]
	}
	check := func(kept backup, says string) {
		t.Helper()
		contains(t, says, run(t, b, 1, "backup", "check", kept.files, "--list", kept.list, "--kafka", kept.facts).Text(), says)
	}
	run(t, b, 0, "backup", "check", late.files, "--list", late.list, "--kafka", late.facts)
	check(backup{late.facts, early.files, early.list}, "facts are ahead of tables")
	run(t, b, 0, "backup", "check", late.files, "--list", late.list, "--kafka", early.facts) // tables may be ahead
	run(t, b, 0, "backup", "check", late.files, "--list", late.list, "--kafka", withLetter(t, late.facts))

	harmed := parquet(t, late)
	data, err := os.ReadFile(harmed)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(harmed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	check(late, "has other bytes")
	if err := os.Remove(harmed); err != nil {
		t.Fatal(err)
	}
	check(late, "is missing")
	list(t, b, late) // which does not have it either
	check(late, "which is not there")
	if err := os.Truncate(early.facts, 1000); err != nil {
		t.Fatal(err)
	}
	check(backup{early.facts, early.files, early.list}, "it was cut short")
}
