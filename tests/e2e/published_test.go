package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// publications is what almanac datasets publish --json prints.
type publications struct {
	Datasets []struct {
		Dataset           string `json:"dataset"`
		Number            int    `json:"number"`
		Changed           bool   `json:"changed"`
		DefinitionChanged bool   `json:"definition_changed"`
	} `json:"datasets"`
	Topics []string `json:"topics"`
}

func (p *platform) publish(t *testing.T) publications {
	t.Helper()
	var all publications
	if err := p.JSON(patient(t), &all, []string{"datasets", "publish"}); err != nil {
		t.Fatal(err)
	}
	return all
}

// startFollowing publishes the shop, and starts functions that read what is published. They look for newer versions at different times: one of two
// instances of process, and collect, only after seconds.
func startFollowing(t *testing.T) *platform {
	t.Helper()
	p := &platform{shop: newShop(t), warehouse: filepath.Join(t.TempDir(), "warehouse"), all: map[string][]*instance{}}
	var err error
	if p.broker, err = kfake.NewCluster(kfake.NumBrokers(1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.broker.Close)
	p.Config = filepath.Join(t.TempDir(), "cluster.yaml")
	text := fmt.Sprintf("warehouse: %s\ndatasets: published\nkafka: {brokers: [%q]}\n", p.warehouse, p.broker.ListenAddrs()[0])
	if err := os.WriteFile(p.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if all := p.publish(t); !slices.Contains(all.Topics, "almanac.raw.shop") || len(all.Datasets) != 1 || !all.Datasets[0].Changed {
		t.Fatalf("publish says %+v, want the shop and its topics", all)
	}
	cache := t.TempDir()
	env := []string{
		"ALMANAC_KAFKA=" + p.broker.ListenAddrs()[0], "ALMANAC_WAREHOUSE=" + p.warehouse, "ALMANAC_DATASETS=published", "ALMANAC_DATASETS_CACHE=" + cache,
		"ALMANAC_DATASETS_REFRESH=200ms", "ALMANAC_PSEUDONYM_KEY=" + filepath.Join(t.TempDir(), "pseudonym.key"),
	}
	start := func(name string, more ...string) {
		p.all[name] = append(p.all[name], startFunction(t, name, append(slices.Clone(env), more...)...))
	}
	start("calendar", "ALMANAC_GRACE_FACTS=2s", "ALMANAC_RETRY=1s", "ALMANAC_PARALLEL=4")
	start("collect", "ALMANAC_DATASETS_REFRESH=4s")
	start("process")
	start("process", "ALMANAC_DATASETS_REFRESH=3s")
	start("validate")
	start("store")
	start("store", "ALMANAC_DATASETS_REFRESH=2s")
	return p
}

// TestFunctionsFollowWhatIsPublished changes what decides the rows, and adds a dataset, while functions run: without a restart each goes on to the
// new version at a time of its own, and what comes out is what the new version says, once.
func TestFunctionsFollowWhatIsPublished(t *testing.T) {
	command(t)
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	p := startFollowing(t)
	source := p.listen(t, [2]uint64{3, 4})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { source.run(working) })
	p.untilStored(ctx, t)

	p.replace(t, "pipeline.yaml", "validate:", "process:\n  filter:\n    - {column: shop, op: \"==\", values: [south]}\nvalidate:")
	if err := os.CopyFS(filepath.Join(p.Datasets, "kiosk"), os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	for _, d := range p.publish(t).Datasets {
		if !d.Changed || d.DefinitionChanged != (d.Dataset == "shop") {
			t.Errorf("publish says %+v", d)
		}
	}
	north := slices.DeleteFunc(all(nil), func(s sale) bool { return s.shop != "north" })
	p.untilRows(ctx, t, map[string]int{"shop": len(north), "kiosk": len(north)})
	stop()
	running.Wait()
	p.Data = filepath.Dir(p.warehouse)
	p.holdsRows(t, north)
	for _, text := range source.refused {
		t.Errorf("an honest event was refused for good: %s", text)
	}
	for name, instances := range p.all {
		for i, f := range instances {
			if f.status("/readyz") != http.StatusOK {
				t.Errorf("%s %d is not ready", name, i)
			}
		}
	}
	t.Logf("answers by status: %v; %d events lost", source.answers, source.lost)

	// The commands, and a run that holds all functions, read what is published as well.
	b := p.Box
	b.Datasets = "published"
	run(t, b, 0, "run", "--no-serve")
	run(t, b, 0, "topics", "check")
	contains(t, "doctor", run(t, b, 0, "doctor", "--listen", "127.0.0.1:0").Out, "kiosk contract", "shop contract")
	contains(t, "plan", run(t, b, 0, "plan").Out, "nothing")
	run(t, b, 0, "datasets", "withdraw", "kiosk")
	if left := status(t, b); left.Dataset != "shop" {
		t.Errorf("status tells of %s, want shop alone once kiosk is withdrawn", left.Dataset)
	}
	if err := os.RemoveAll(filepath.Join(p.Datasets, "kiosk")); err != nil {
		t.Fatal(err)
	}
	if all := p.publish(t); len(all.Datasets) != 1 || all.Datasets[0].Changed || len(all.Topics) > 0 {
		t.Errorf("publish of the same says %+v", all)
	}
}

// untilRows ticks until each dataset's table has so many rows.
func (p *platform) untilRows(ctx context.Context, t *testing.T, want map[string]int) {
	t.Helper()
	for {
		p.tick(t)
		got := map[string]int{}
		for name := range want {
			if table, err := reader.Open(filepath.Join(p.warehouse, name, "rows")); err == nil {
				for _, f := range table.Files {
					got[name] += int(f.Rows)
				}
			}
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the tables have %v rows, want %v", got, want)
		case <-time.After(500 * time.Millisecond):
		}
	}
}
