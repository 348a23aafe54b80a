package hdfs_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	random "math/rand/v2"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
	"github.com/almanac-data/almanac/functions/internal/table"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// child is a variable by which this program is a writer: it holds the writer's number, and the folder and configuration of its warehouse.
const child = "HDFS_TEST_WRITER"

type writing struct {
	Number int         `json:"number"`
	Dir    string      `json:"dir"`
	Config hdfs.Config `json:"config"`
}

func TestMain(m *testing.M) {
	if text := os.Getenv(child); text != "" {
		if err := writeForEver(text); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver writes small and large files, commits and releases in turn, and says each that was acknowledged, and each error.
func writeForEver(text string) error {
	var w writing
	if err := json.Unmarshal([]byte(text), &w); err != nil { //nolint:musttag // only this program reads it
		return err
	}
	ctx := context.Background()
	f, err := hdfs.Open(ctx, "hdfs://"+w.Config.NameNodes[0]+w.Dir, w.Config)
	if err != nil {
		return err
	}
	l := lake.OpenOn(f)
	for i := 0; ; i++ {
		var said string
		switch i % 4 {
		case 0:
			said, err = w.file(ctx, l, 1000)
		case 1:
			said, err = w.file(ctx, l, 9<<20)
		case 2:
			said, err = w.commit(ctx, l, i/4)
		default:
			said, err = w.release(ctx, l)
		}
		if err != nil {
			if errors.Is(err, events.ErrInvalid) {
				return err
			}
			said = fmt.Sprintf("error %q", err)
		}
		fmt.Println(said)
	}
}

// made writes a file of so many random bytes.
func made(ctx context.Context, l *lake.Lake, dir string, size int) (events.File, error) {
	out, err := l.Create(ctx, dir, "", ".bin")
	if err != nil {
		return events.File{}, err
	}
	data := make([]byte, size)
	_, _ = rand.Read(data)
	if _, err := out.Write(data); err != nil {
		return events.File{}, errors.Join(err, out.Abort())
	}
	return out.Finish()
}

func (w writing) file(ctx context.Context, l *lake.Lake, size int) (string, error) {
	f, err := made(ctx, l, fmt.Sprintf("flights/raw/2001-01-05/%d", w.Number), size)
	return "file " + f.Path, err
}

// day is a window that this writer alone commits.
func (w writing) day(i int) window.Window { return laketest.Day(3*w.Number + i%3) }

func (w writing) commit(ctx context.Context, l *lake.Lake, i int) (string, error) {
	day := w.day(i)
	head, err := l.Head(ctx, laketest.Rows)
	if err != nil {
		return "", err
	}
	n := generation(head, day) + 1
	p := l.NewParquet(ctx, lake.DataDir(laketest.Rows, day), laketest.Schema)
	if err := p.Write(laketest.Batch(day, n, 10)); err != nil {
		return "", errors.Join(err, p.Abort())
	}
	files, err := p.Finish()
	if err != nil {
		return "", err
	}
	_, err = l.Replace(ctx, laketest.Replacing(day, laketest.Entry(n), files...))
	return fmt.Sprintf("commit %d %s", n, day.Key()), err
}

func generation(head table.Head, day window.Window) int {
	var e struct {
		Generation int `json:"generation"`
	}
	_ = json.Unmarshal(head.Entries[day.Key()], &e)
	return e.Generation
}

func (w writing) release(ctx context.Context, l *lake.Lake) (_ string, err error) {
	temp, err := l.MkTemp(ctx, "releases/flights")
	if err != nil {
		return "", err
	}
	var names []string
	for _, size := range []int{1000, 5 << 20} {
		f, err := made(ctx, l, temp+"/data", size)
		if err != nil {
			return "", errors.Join(err, l.Discard(ctx, temp))
		}
		names = append(names, path.Base(f.Path))
	}
	err = l.WriteFile(ctx, temp+"/manifest", []byte(strings.Join(names, "\n")))
	final := "releases/flights/" + rand.Text()
	if err == nil {
		err = l.Publish(ctx, temp, final)
	}
	if err != nil {
		return "", errors.Join(err, l.Discard(ctx, temp))
	}
	return "release " + final, nil
}

// writer is a child, and what it has said.
type writer struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	said   []string
	errors int
	ended  sync.WaitGroup
}

func start(t *testing.T, w writing) *writer {
	t.Helper()
	text, err := json.Marshal(w) //nolint:musttag // likewise
	if err != nil {
		t.Fatal(err)
	}
	c := &writer{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), child+"="+string(text))
	out, err := c.cmd.StdoutPipe()
	if err = errors.Join(err, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.ended.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.mu.Lock()
			c.said = append(c.said, lines.Text())
			if strings.HasPrefix(lines.Text(), "error") {
				c.errors++
			}
			c.mu.Unlock()
		}
	})
	return c
}

func (c *writer) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Errorf("signal %s: %v", s, err)
	}
}

// after waits until the writer has said so many things more, and then a random time.
func (c *writer) after(t *testing.T, more int) {
	t.Helper()
	c.mu.Lock()
	want := len(c.said) + more
	c.mu.Unlock()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		n := len(c.said)
		c.mu.Unlock()
		if n >= want {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("the writer said %q, and then nothing for a minute", c.said)
		}
	}
	time.Sleep(random.N(150 * time.Millisecond))
}

// kill ends the writer, and returns all that it has said.
func (c *writer) kill(t *testing.T) []string {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
	c.ended.Wait()
	_ = c.cmd.Wait() // says that it was killed
	return c.said
}

// fsck lists, with Hadoop's own client, the files and folders below a folder, and those of them that a writer has not closed.
func (l lab) fsck(t *testing.T, dir string) (all, open []string) {
	t.Helper()
	for line := range strings.Lines(l.java(t, "org.apache.hadoop.hdfs.tools.DFSck", dir, "-files", "-openforwrite")) {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, dir+"/") {
			all = append(all, name)
			if strings.Contains(line, "OPENFORWRITE") {
				open = append(open, name)
			}
		}
	}
	return all, open
}

// swept sweeps all that is not finished, however young.
func swept(t *testing.T, l *lake.Lake) []table.Removed {
	t.Helper()
	removed, err := l.Sweep(t.Context(), 0)
	if err != nil {
		t.Errorf("Sweep = %v", err)
	}
	return removed
}

// TestNothingIsLeftOfWritersThatDied kills writers and stops others while the warehouse is swept, and looks for what is left by Hadoop's own client.
func TestNothingIsLeftOfWritersThatDied(t *testing.T) {
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("HDFS_KILLS")); err == nil {
		kills = n
	}
	broken(t, func(t *testing.T, on lab, cfg hdfs.Config) {
		cfg.BlockSize, cfg.Timeout, cfg.Patience = 1<<20, 10*time.Second, 30*time.Second
		dir := folder(t, cfg)
		f := openAt(t, dir, cfg)
		l := lake.OpenOn(f)
		var said []string
		for range kills {
			a, b := start(t, writing{0, dir, cfg}), start(t, writing{1, dir, cfg})
			a.after(t, 1+random.IntN(8))
			said = append(append(said, a.kill(t)...), b.kill(t)...)
		}
		time.Sleep(time.Second) // what they had asked for last may still be done
		_, open := on.fsck(t, dir)
		young, err := l.Sweep(t.Context(), time.Hour)
		if err != nil || len(young) > 0 {
			t.Errorf("a sweep of what is older than an hour took %v, %v", young, err)
		}
		removed := swept(t, l)
		t.Logf("%d writers were killed: %d files were open, %d files and folders removed", 2*kills, len(open), len(removed))
		if len(removed) == 0 {
			t.Error("the writers that were killed left nothing: this test shows nothing")
		}
		clean(t, on, dir)
		again, took := stopped(t, writing{2, dir, cfg}, l, 2*kills)
		said = append(said, again...)
		removed = append(swept(t, l), took...)
		t.Logf("beside writers that were stopped and went on: %d removed", len(removed))
		clean(t, on, dir)
		whole(t, f, l, said)
	})
}

// stopped stops a writer at random moments, sweeps beside it, and lets it go on.
func stopped(t *testing.T, w writing, l *lake.Lake, times int) (said []string, removed []table.Removed) {
	t.Helper()
	c := start(t, w)
	for range times {
		c.after(t, 1+random.IntN(3))
		c.signal(t, syscall.SIGSTOP)
		removed = append(removed, swept(t, l)...)
		c.signal(t, syscall.SIGCONT)
	}
	c.after(t, 8) // it does every kind of work again
	said = c.kill(t)
	time.Sleep(time.Second)
	t.Logf("a writer that was stopped %d times said %d things, %d of them errors", times, len(said), c.errors)
	if len(removed) > 0 && c.errors == 0 {
		t.Log("what was taken from it did not show: it was a commit, which is begun anew by itself")
	}
	return said, removed
}

// clean sees that nothing is in the making, and no file open.
func clean(t *testing.T, on lab, dir string) {
	t.Helper()
	all, open := on.fsck(t, dir)
	if len(all) == 0 || len(open) > 0 {
		t.Errorf("of %d files and folders these are open: %v", len(all), open)
	}
	for _, name := range all {
		if strings.Contains(name, "/.tmp-") {
			t.Errorf("%s is left", name)
		}
	}
}

// whole sees that all that was acknowledged is there as it was written.
func whole(t *testing.T, f *hdfs.FS, l *lake.Lake, said []string) {
	t.Helper()
	generations := map[string]int{}
	counts := map[string]int{}
	for _, line := range said {
		kind, rest, _ := strings.Cut(line, " ")
		counts[kind]++
		switch kind {
		case "file":
			digested(t, f, rest)
		case "release":
			names, err := fsys.ReadFile(f, rest+"/manifest")
			if err != nil {
				t.Errorf("release %s: %v", rest, err)
			}
			for name := range strings.Lines(string(names)) {
				digested(t, f, rest+"/data/"+strings.TrimSpace(name))
			}
		case "commit":
			var n int
			var key string
			if _, err := fmt.Sscan(rest, &n, &key); err != nil {
				t.Fatal(err)
			}
			generations[key] = max(n, generations[key])
		case "error":
		default:
			t.Errorf("a writer said %q", line)
		}
	}
	t.Logf("they said %v", counts)
	head := laketest.MustHead(t, l)
	for i := range 9 {
		day := laketest.Day(i)
		got, want := generation(head, day), generations[day.Key()]
		if got != want && got != want+1 { // a commit may be done whose writer did not live to say so
			t.Errorf("window %s has generation %d, want %d", day, got, want)
		}
		files, err := l.Files(t.Context(), laketest.Rows, head.Snapshot, []string{day.Key()})
		if err != nil || got > 0 && len(files) != 1 {
			t.Errorf("window %s has files %v, %v, want one", day, files, err)
		}
		for _, file := range files {
			digested(t, f, file.Path)
		}
	}
}

// digested sees that a file has the bytes of which its name is the digest.
func digested(t *testing.T, f *hdfs.FS, name string) {
	t.Helper()
	data, err := fsys.ReadFile(f, name)
	sum := sha256.Sum256(data)
	if err != nil || !strings.HasPrefix(path.Base(name), hex.EncodeToString(sum[:])) {
		t.Errorf("%s has %d bytes of another digest, or none: %v", name, len(data), err)
	}
}
