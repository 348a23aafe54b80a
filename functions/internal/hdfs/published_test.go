package hdfs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/publishedtest"
)

func TestPublishedDatasets(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		root := folder(t, cfg)
		publishedtest.Run(t, func(tb testing.TB, dir string) published.Warehouse {
			tb.Helper()
			return lake.OpenOn(openAt(tb, root+strings.ReplaceAll(dir, ":", ""), cfg))
		})
	})
}

// TestKillsLoseNoPublication kills servers while several publish: each that was acknowledged has the record that it was told, and its files.
func TestKillsLoseNoPublication(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		kill := killer(t)
		dir := folder(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex
		told := map[int]published.Record{}
		var failures, done atomic.Int64
		for p := range 3 {
			w := lake.OpenOn(openAt(t, dir, cfg))
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					by := fmt.Sprintf("%d/%d", p, i)
					source := publishedtest.Folder(t, "flights", map[string]string{"contract.yaml": by, "sample/a.csv": strings.Repeat("1,2\n", 1000)})
					for {
						out, err := publishedtest.Put(t, w, source, published.Record{By: by})
						if err == nil {
							mu.Lock()
							told[out.Record.Number] = out.Record
							mu.Unlock()
							done.Add(1)
							break
						}
						failures.Add(1)
						time.Sleep(100 * time.Millisecond)
					}
				}
			})
		}
		for _, what := range []string{"namenode", "datanode"} {
			time.Sleep(3 * time.Second)
			before := done.Load()
			kill(what)
			for start := time.Now(); done.Load() < before+3 && time.Since(start) < 2*time.Minute; {
				time.Sleep(50 * time.Millisecond)
			}
		}
		cancel()
		all.Wait()
		w := lake.OpenOn(openAt(t, dir, cfg))
		records, err := published.History(w.FS(published.Root), "flights")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, r := range records {
			seen[r.By]++
			if seen[r.By] > 1 && told[r.Number].By == r.By {
				t.Errorf("%s was published twice, the second time as no. %d", r.By, r.Number)
			}
		}
		for number, r := range told {
			if number > len(records) || records[number-1].Version != r.Version {
				t.Errorf("no. %d was acknowledged as version %s by %s, and is not in the history", number, published.Short(r.Version), r.By)
			}
			if _, err := published.Verify(w.FS(published.Root), "flights", r.Version); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%d acknowledged, %d attempts failed; the history has %d records", done.Load(), failures.Load(), len(records))
	})
}
