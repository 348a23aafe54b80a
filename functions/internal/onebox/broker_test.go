package onebox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/onebox"
)

var newYear = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// box is a broker with a client.
type box struct {
	broker  *onebox.Broker
	cluster *kafka.Cluster
	journal *kafka.Journal
}

// folder is a temporary folder in memory where the machine has one: a broker syncs many small files when it stops.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "onebox-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startBox(dir string) (*box, error) {
	broker, err := onebox.StartBroker(onebox.BrokerConfig{Dir: dir})
	if err != nil {
		return nil, err
	}
	b := &box{broker: broker}
	ctx := context.Background()
	b.cluster, err = kafka.Open(ctx, kafka.Config{Brokers: []string{broker.Addr()}, Now: func() time.Time { return newYear }})
	if err == nil {
		err = b.cluster.EnsureTopics(ctx, events.FactTopics(), events.DueTopics(), block.Topics("flights"))
	}
	if err == nil {
		b.journal, err = b.cluster.Journal(ctx, "test")
	}
	return b, err
}

func mustStart(t testing.TB, dir string) *box {
	t.Helper()
	b, err := startBox(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) close(t testing.TB) {
	t.Helper()
	b.journal.Close()
	b.cluster.Close()
	b.broker.Close()
}

func pieceOf(n int) events.Piece {
	return events.Piece{Dataset: "flights", Window: newYear.AddDate(0, 0, n%360).Format("2006-01-02"), Generation: 1, Slice: n}
}

// work writes the blocks of a piece and says that they are there.
func (b *box) work(ctx context.Context, n int) (events.Collected, error) {
	a, err := b.cluster.Blocks().Open(ctx, block.RawTopic("flights"), pieceOf(n))
	if err != nil {
		return events.Collected{}, err
	}
	defer a.Close()
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range 3 {
		value := make([]byte, 2000+rng.IntN(60_000))
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		if err := a.Append(ctx, block.Block{Index: i, Value: value}); err != nil {
			return events.Collected{}, err
		}
	}
	claim, err := a.Claim(ctx)
	if err != nil {
		return events.Collected{}, err
	}
	f := events.Collected{Piece: pieceOf(n), Raw: claim}
	return f, b.journal.Say(ctx, f)
}

func (b *box) mustWork(t testing.TB, n int) events.Collected {
	t.Helper()
	f, err := b.work(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// claimed says whether the blocks of a fact are there; anything but there or absent fails the test.
func (b *box) claimed(t testing.TB, f events.Collected) bool {
	t.Helper()
	var err error
	for _, err = range b.cluster.Blocks().Read(t.Context(), f.Raw) {
		if err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, block.ErrAbsent) {
		t.Fatal(err)
	}
	return err == nil
}

func (b *box) known(t testing.TB) map[string]events.Collected {
	t.Helper()
	v, err := b.journal.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]events.Collected{}
	for _, f := range facts.All[events.Collected](v, "") {
		known[f.Key()] = f
	}
	return known
}

func TestABrokerThatStopsKeepsAll(t *testing.T) {
	dir := folder(t)
	b := mustStart(t, dir)
	said := map[string]events.Collected{}
	for n := range 20 {
		f := b.mustWork(t, n)
		said[f.Key()] = f
	}
	b.close(t)
	for range 2 {
		b = mustStart(t, dir)
		if diff := cmp.Diff(said, b.known(t)); diff != "" {
			t.Errorf("facts (-said +known):\n%s", diff)
		}
		for _, f := range said {
			if !b.claimed(t, f) {
				t.Errorf("blocks of %s are gone", f.Key())
			}
		}
		b.close(t)
	}
}

// tear is one way in which a folder can be left behind.
type tear struct {
	change  func(t *testing.T, dir string)
	refused string // what StartBroker says, if it is right to refuse
	lossy   bool   // some of what was said may be gone
}

// newest is the greatest file of a kind in the log of the first block partition that has any.
func newest(t *testing.T, dir, glob string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", glob, err)
	}
	return files[len(files)-1]
}

func cut(glob string, keep func(size int64) int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		name := newest(t, dir, glob)
		info, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, keep(info.Size()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func edit(glob string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		name := newest(t, dir, glob)
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, change(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func garbled(from float64) func([]byte) []byte {
	return func(data []byte) []byte {
		for i := int(from * float64(len(data))); i < len(data); i++ {
			data[i] ^= 0x5a
		}
		return data
	}
}

func remove(glob string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(newest(t, dir, glob)); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	blockLog  = "partitions/almanac.raw.flights-*/*.dat"
	blockIdx  = "partitions/almanac.raw.flights-*/*.idx"
	factLog   = "partitions/almanac.fact.collected-0/*.dat"
	factIdx   = "partitions/almanac.fact.collected-0/*.idx"
	snapshots = "partitions/almanac.fact.collected-0/snapshot.json"
)

func allButBytes(n int64) func(int64) int64 { return func(size int64) int64 { return size - n } }

var tears = map[string]tear{
	"nothing but the kill":         {change: func(*testing.T, string) {}},
	"a torn block":                 {change: cut(blockLog, allButBytes(1)), lossy: true},
	"half a block log":             {change: cut(blockLog, func(n int64) int64 { return n / 2 }), lossy: true},
	"an empty block log":           {change: cut(blockLog, func(int64) int64 { return 0 }), lossy: true},
	"a block log without its file": {change: remove(blockLog), lossy: true},
	"garbage after the blocks":     {change: edit(blockLog, func(d []byte) []byte { return append(d, bytes.Repeat([]byte("garbage"), 1000)...) })},
	"zeros after the blocks":       {change: edit(blockLog, func(d []byte) []byte { return append(d, make([]byte, 9000)...) })},
	"garbled blocks":               {change: edit(blockLog, garbled(0.5)), lossy: true},
	"a torn fact":                  {change: cut(factLog, allButBytes(3)), lossy: true},
	"garbled facts":                {change: edit(factLog, garbled(0.9)), lossy: true},
	"an empty fact log":            {change: cut(factLog, func(int64) int64 { return 0 }), lossy: true},
	"a torn index of blocks":       {change: cut(blockIdx, allButBytes(7))},
	"no index of blocks":           {change: remove(blockIdx)},
	"a garbled index of facts":     {change: edit(factIdx, garbled(0))},
	"an index that is too long":    {change: edit(factIdx, func(d []byte) []byte { return append(d, d...) })},
	"a torn snapshot": {change: func(t *testing.T, dir string) {
		writeFile(t, filepath.Join(dir, filepath.Dir(snapshots), "snapshot.json"), `{"version":1,"high`)
	}},
	"a snapshot of other things": {change: func(t *testing.T, dir string) {
		writeFile(t, filepath.Join(dir, filepath.Dir(snapshots), "snapshot.json"), `{"version":1,"high_watermark":3,"log_start_offset":1}`)
	}},
	"a half-written state file":      {change: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "topics.json.tmp"), `{"ver`) }},
	"torn offsets of groups":         {change: cut("groups.log", func(n int64) int64 { return n / 2 })},
	"garbled offsets of groups":      {change: edit("groups.log", garbled(0))},
	"torn producer ids":              {change: edit("pids.log", garbled(0))},
	"no topics.json":                 {change: remove("topics.json"), refused: "topics.json is missing"},
	"no meta.json":                   {change: remove("meta.json"), refused: "meta.json is missing"},
	"a torn topics.json":             {change: cut("topics.json", allButBytes(20)), refused: "topics.json cannot be read"},
	"a torn meta.json":               {change: cut("meta.json", allButBytes(5)), refused: "meta.json"},
	"a log that no topic belongs to": {change: strangeLog},
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func strangeLog(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, "partitions", "almanac.raw.other-0"), os.DirFS(filepath.Join(dir, "partitions", "almanac.fact.collected-0"))); err != nil {
		t.Fatal(err)
	}
}

func TestTornFilesNeverPassForWhatTheyAreNot(t *testing.T) {
	live := folder(t)
	b := mustStart(t, live)
	said := map[string]events.Collected{}
	for n := range 12 {
		f := b.mustWork(t, n)
		said[f.Key()] = f
	}
	if err := commitSome(t, b); err != nil {
		t.Fatal(err)
	}
	killed := folder(t) // what a kill would leave now
	if err := os.CopyFS(killed, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	b.close(t)
	for _, left := range []struct{ how, dir string }{{"killed", killed}, {"stopped", live}} {
		for name, tt := range tears {
			t.Run(left.how+", "+name, func(t *testing.T) {
				t.Parallel()
				dir := folder(t)
				if err := os.CopyFS(dir, os.DirFS(left.dir)); err != nil {
					t.Fatal(err)
				}
				tt.change(t, dir)
				surviveTear(t, dir, tt, said)
			})
		}
	}
}

func commitSome(t *testing.T, b *box) error {
	t.Helper()
	feed, err := b.cluster.Feed(t.Context(), "almanac-test", []string{events.Collected{}.Topic()}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer feed.Close()
	return feed.Commit(t.Context(), map[kafka.Place]int64{{Topic: events.Collected{}.Topic()}: 5})
}

func surviveTear(t *testing.T, dir string, tt tear, said map[string]events.Collected) {
	t.Helper()
	b, err := startBox(dir)
	if tt.refused != "" {
		if err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "backup") {
			t.Fatalf("start says %v, want %q and what to do", err, tt.refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	known := b.known(t)
	for key, f := range known {
		if diff := cmp.Diff(said[key], f); diff != "" {
			t.Errorf("a fact is known that was not said:\n%s", diff)
		}
	}
	there := 0
	for _, f := range said {
		if b.claimed(t, f) { // by digest: the very blocks, or absent
			there++
		}
	}
	if !tt.lossy && (len(known) != len(said) || there != len(said)) {
		t.Errorf("of %d acknowledged pieces %d facts and the blocks of %d are there", len(said), len(known), there)
	}
	for n := range 5 { // and it goes on
		if f := b.mustWork(t, 1000+n); !b.claimed(t, f) {
			t.Fatalf("blocks written after the restart are not there: %+v", f)
		}
	}
	want := len(b.known(t))
	b.close(t)
	b = mustStart(t, dir)
	if got := len(b.known(t)); got != want {
		t.Errorf("after another restart %d facts are known, want %d", got, want)
	}
	b.close(t)
}

// TestMain makes this binary a broker that is to be killed, if it is told so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ONEBOX_TEST_VICTIM"); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

// victim works until it is killed, and says on its standard output what is acknowledged.
func victim(dir string) {
	b, err := startBox(dir)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	v, err := b.journal.View(context.Background())
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for n := len(facts.All[events.Collected](v, "")); ; n++ {
		f, err := b.work(context.Background(), n)
		if err != nil {
			fmt.Println("error", err)
			return
		}
		line, err := json.Marshal(f)
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(string(line))
	}
}

func TestKillsLoseNothingThatWasAcknowledged(t *testing.T) {
	dir, seed := folder(t), uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	said := map[string]events.Collected{}
	for range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ONEBOX_TEST_VICTIM="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for left := 1 + rng.IntN(40); lines.Scan(); {
			var f events.Collected
			if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
				t.Fatalf("seed %d: the process says %s", seed, lines.Text())
			}
			said[f.Key()] = f
			if left--; left == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	b := mustStart(t, dir)
	defer b.close(t)
	known := b.known(t)
	for key, f := range said {
		if diff := cmp.Diff(f, known[key]); diff != "" {
			t.Errorf("seed %d: fact %s (-said +known):\n%s", seed, key, diff)
		}
		if !b.claimed(t, f) {
			t.Errorf("seed %d: blocks of %s are gone", seed, key)
		}
	}
	if len(said) < 6 {
		t.Errorf("only %d facts were said", len(said))
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = onebox.StartBroker(onebox.BrokerConfig{Dir: t.TempDir(), Port: port})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d is taken", port)) {
		t.Errorf("StartBroker says %v", err)
	}
}

func TestABrokerDoesNotMakeTopicsByItself(t *testing.T) {
	b := mustStart(t, folder(t))
	defer b.close(t)
	if _, err := b.cluster.Blocks().Open(t.Context(), "almanac.raw.unknown", pieceOf(1)); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("opening an unknown topic says %v", err)
	}
}
