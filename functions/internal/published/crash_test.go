package published_test

import (
	"bufio"
	"context"
	crypto "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/publishedtest"
)

const (
	crashWarehouse = "PUBLISHED_CRASH_WAREHOUSE"
	crashFolders   = "PUBLISHED_CRASH_FOLDERS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashWarehouse); dir != "" {
		fmt.Println("error:", publishForEver(dir, strings.Split(os.Getenv(crashFolders), ",")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// publishForEver is the child: it publishes the folders in turn, and says what was acknowledged.
func publishForEver(dir string, folders []string) error {
	ctx := context.Background()
	l, err := lake.Open(ctx, dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		folder := folders[i%len(folders)]
		if i%2 == 0 { // else what is published was published before
			if err := os.WriteFile(folder+"/sample/new.csv", []byte(crypto.Text()), 0o600); err != nil {
				return err
			}
		}
		m, err := published.Describe(folder, publishedtest.Most)
		if err != nil {
			return err
		}
		out, err := published.Put(ctx, l, folder, m, published.Record{By: "child", At: time.Now().UTC()})
		if err != nil {
			return err
		}
		fmt.Println("said", out.Record.Number, out.Record.Version)
	}
}

// TestKillLeavesTheOldOrTheNewVersion kills a child that publishes, at random moments: what it said holds, or one record more, and what is current
// is whole.
func TestKillLeavesTheOldOrTheNewVersion(t *testing.T) {
	kills, seed := 25, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("PUBLISHED_KILLS")); err == nil {
		kills = n
	}
	if s, err := strconv.ParseUint(os.Getenv("PUBLISHED_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("PUBLISHED_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var folders []string
	for i := range 3 {
		folders = append(folders, publishedtest.Folder(t, "flights", map[string]string{
			"contract.yaml": strconv.Itoa(i), "sample/a.csv": strings.Repeat("1,2\n", 1000), "sample/b/c.csv": "3", "releases/x.sql": "SELECT 1",
		}))
	}
	acknowledged := 0
	for range kills {
		said := runAndKill(t, dir, folders, time.Duration(20+r.IntN(120))*time.Millisecond)
		acknowledged = max(acknowledged, said)
		w := open(t, dir)
		all, err := published.History(w.FS(published.Root), "flights")
		if errors.Is(err, fs.ErrNotExist) && acknowledged == 0 {
			continue
		}
		if err != nil || len(all) < acknowledged || len(all) > acknowledged+1 {
			t.Fatalf("History has %d records, %v; acknowledged are %d", len(all), err, acknowledged)
		}
		acknowledged = len(all)
		current := all[len(all)-1]
		if _, err := published.Verify(w.FS(published.Root), "flights", current.Version); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged < kills {
		t.Errorf("%d records in %d rounds: too few were published to say anything", acknowledged, kills)
	}
	l := open(t, dir).(*lake.Lake)
	swept, err := l.Sweep(t.Context(), 0)
	if err != nil {
		t.Error(err)
	}
	left := 0
	_ = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if strings.HasPrefix(e.Name(), ".tmp-") {
			left++
			t.Errorf("a sweep leaves %s", name)
		}
		return err
	})
	t.Logf("%d records after %d kills; %d things in the making were swept, %d are left", acknowledged, kills, len(swept), left)
}

// runAndKill gives the highest number that the child said.
func runAndKill(t *testing.T, dir string, folders []string, after time.Duration) (said int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashWarehouse+"="+dir, crashFolders+"="+strings.Join(folders, ","))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 || words[0] != "said" {
			t.Errorf("the child says %s", lines.Text())
			continue
		}
		said, _ = strconv.Atoi(words[1])
		if timer == nil { // how long a start takes says nothing
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	return said
}

// failing is a warehouse whose n-th change fails: before it was done, or after, as if the answer were lost.
type failing struct {
	published.Warehouse

	at, steps int
	done      bool
}

func (f *failing) step(do func() error) error {
	if f.steps++; f.steps != f.at {
		return do()
	}
	if f.done {
		_ = do()
	}
	return syscall.EIO
}

func (f *failing) MkTemp(ctx context.Context, parent string) (temp string, err error) {
	err = f.step(func() error { temp, err = f.Warehouse.MkTemp(ctx, parent); return err })
	return temp, err
}

func (f *failing) Publish(ctx context.Context, temp, final string) error {
	return f.step(func() error { return f.Warehouse.Publish(ctx, temp, final) })
}

func (f *failing) WriteFile(ctx context.Context, name string, data []byte) error {
	return f.step(func() error { return f.Warehouse.WriteFile(ctx, name, data) })
}

func (f *failing) WriteNew(ctx context.Context, name string, data []byte) error {
	return f.step(func() error { return f.Warehouse.WriteNew(ctx, name, data) })
}

// TestAFailureAtAnyStepLeavesTheOldOrTheNewVersion lets each change of the warehouse fail in turn, and publishes again.
func TestAFailureAtAnyStepLeavesTheOldOrTheNewVersion(t *testing.T) {
	one := publishedtest.Folder(t, "flights", map[string]string{"contract.yaml": "1", "a/b": "1"})
	two := publishedtest.Folder(t, "flights", map[string]string{"contract.yaml": "2", "a/b": "1"})
	for _, done := range []bool{false, true} {
		failures := 0
		for at := 1; ; at++ {
			w := open(t, t.TempDir())
			first, err := publishedtest.Put(t, w, one, published.Record{By: "first"})
			if err != nil {
				t.Fatal(err)
			}
			f := &failing{Warehouse: w, at: at, done: done}
			second, err := publishedtest.Put(t, f, two, published.Record{By: "second"})
			if err == nil {
				if f.steps >= at {
					t.Errorf("step %d failed and nobody was told", at)
				}
				break
			}
			failures++
			now, lastErr := published.Last(w.FS(published.Root), "flights")
			if lastErr != nil || now.Version != first.Record.Version && now.Version != second.Record.Version {
				t.Errorf("after step %d failed Last = %+v, %v", at, now, lastErr)
			}
			if _, err := published.Verify(w.FS(published.Root), "flights", now.Version); err != nil {
				t.Errorf("after step %d failed: %v", at, err)
			}
			third, err := publishedtest.Put(t, w, two, published.Record{By: "third"})
			if err != nil || third.Record.Number != 2 || third.Record.Version == first.Record.Version {
				t.Errorf("after step %d failed Put = %+v, %v", at, third, err)
			}
		}
		if failures != 6 { // a folder, two files, a manifest, its name, a record
			t.Errorf("%d steps failed, want 6", failures)
		}
	}
}
