package host

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/aggregate"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/collect"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/deliver"
	"github.com/almanac-data/almanac/functions/internal/duck"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/process"
	"github.com/almanac-data/almanac/functions/internal/relay"
	"github.com/almanac-data/almanac/functions/internal/source"
	"github.com/almanac-data/almanac/functions/internal/store"
	"github.com/almanac-data/almanac/functions/internal/validate"
)

// principals is a platform on which each function has a user of its own, with the rights of its role and no other.
type principals struct {
	t        *testing.T
	lab      kafkatest.Lab
	admin    *kafka.Cluster
	catalog  *dataset.Catalog
	lake     *lake.Lake
	engine   *duck.Engine
	now      time.Time
	clusters map[string]*kafka.Cluster
	handlers map[string]endpoint.Handler
}

func wall() time.Time { return time.Now().UTC() }

func newPrincipals(t *testing.T) *principals {
	t.Helper()
	p := &principals{t: t, lab: kafkatest.Secured(t), now: time.Date(2001, 2, 5, 0, 0, 0, 0, time.UTC), clusters: map[string]*kafka.Cluster{}, handlers: map[string]endpoint.Handler{}}
	datasets := t.TempDir()
	if err := os.CopyFS(filepath.Join(datasets, "flights"), os.DirFS("../../../../spark-jobs/flights")); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.catalog, err = folder.Catalog(datasets); err != nil {
		t.Fatal(err)
	}
	if p.lake, err = lake.Open(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if p.engine, err = duck.Open(duck.Options{Threads: 1, TempDir: t.TempDir(), Dirs: []string{p.lake.URI(".")}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.engine.Close)
	p.admin = p.open(p.lab.AdminConfig())
	names := slices.Concat(events.FactTopics(), events.DueTopics(), block.Topics("flights"), []string{letters.Topic})
	if _, err := p.admin.Admin.DeleteTopics(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	for {
		err := platform.EnsureTopics(t.Context(), p.admin, p.catalog)
		if err == nil {
			break
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // what was deleted is still going
	}
	return p
}

func (p *principals) open(cfg kafka.Config) *kafka.Cluster {
	p.t.Helper()
	c, err := kafka.Open(p.t.Context(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// function opens the cluster and the journal as the user of a function.
func (p *principals) function(name string) (*kafka.Cluster, *kafka.Journal) {
	p.t.Helper()
	roles, err := acl.Choose([]string{name})
	if err != nil {
		p.t.Fatal(err)
	}
	user := "test-job-" + name
	cfg := p.lab.UserConfig(p.t, user)
	if _, err := p.admin.Allow(p.t.Context(), roles[0], "User:"+user, true); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if !p.lab.Fake() {
			strip(p.t, p.lab, user)
		}
	})
	c := p.open(cfg)
	for range 100 { // rules reach the brokers a moment after they were made
		if err = c.VerifyTopics(p.t.Context(), events.FactTopics(), events.DueTopics(), block.Topics("flights")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	j, err := c.Journal(p.t.Context(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(j.Close)
	p.clusters[name] = c
	return c, j
}

func strip(t *testing.T, lab kafkatest.Lab, user string) {
	t.Helper()
	c, err := kafka.Open(context.Background(), lab.AdminConfig())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if _, err := c.Allow(context.Background(), acl.Role{Name: "none"}, "User:"+user, true); err != nil {
		t.Error(err)
	}
}

func (p *principals) assemble() {
	p.t.Helper()
	now := func() time.Time { return p.now }
	c, j := p.function("calendar")
	p.handlers["calendar"] = (&calendar.Calendar{
		Journal: j, Datasets: p.catalog, Tables: p.lake, Letters: c.LetterBox("calendar"), Now: now, Wall: wall, Pace: state.Pace(),
	}).Handle
	c, j = p.function("collect")
	p.handlers["collect"] = (&collect.Collect{Journal: j, Blocks: c.Blocks(), Sources: &source.Files{}, Datasets: p.catalog, Archive: p.lake, Now: wall}).Handle
	c, j = p.function("process")
	p.handlers["process"] = (&process.Process{Journal: j, Blocks: c.Blocks(), Datasets: &platform.Datasets{Catalog: p.catalog}}).Handle
	c, j = p.function("validate")
	p.handlers["validate"] = (&validate.Validate{Journal: j, Blocks: c.Blocks(), Datasets: p.catalog}).Handle
	c, j = p.function("store")
	p.handlers["store"] = (&store.Store{Journal: j, Blocks: c.Blocks(), Datasets: p.catalog, Files: p.lake, Opener: p.lake, Joiner: p.lake, Tables: p.lake}).Handle
	_, j = p.function("aggregate")
	p.handlers["aggregate"] = (&aggregate.Aggregate{Journal: j, Datasets: p.catalog, Tables: p.lake, Writes: p.lake, Engine: p.engine}).Handle
	_, j = p.function("deliver")
	p.handlers["deliver"] = (&deliver.Deliver{
		Journal: j, Datasets: p.catalog, Tables: p.lake, Engine: p.engine, Files: p.lake, Folders: p.lake, Now: wall, Code: "test",
	}).Handle
}

// source hands a function the events of its topics, as a member of its group under its own user, until ctx ends.
func (p *principals) source(ctx context.Context, tr trigger) {
	member, err := p.clusters[tr.function].Join(relay.Group(tr.function), tr.topics, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer member.Close()
	for ctx.Err() == nil {
		records, err := member.Next(ctx)
		if err != nil && ctx.Err() == nil {
			p.t.Errorf("source of %s: %v", tr.function, err)
		}
		for _, r := range records {
			ev, err := events.Decode(ceType(r), r.Value)
			if err != nil {
				continue // a tombstone
			}
			if err := p.handlers[tr.function](ctx, ev); err != nil && ctx.Err() == nil {
				p.t.Errorf("%s: %s: %v", tr.function, ev.ID(), err)
			}
			if err := member.Commit(ctx, map[kafka.Place]int64{r.Place: r.Offset + 1}); err != nil && ctx.Err() == nil && !passes(err) {
				p.t.Errorf("source of %s: %v", tr.function, err)
			}
		}
	}
}

// passes says that a commit met a rebalance.
func passes(err error) bool {
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID)
}

func ceType(r kafka.Record) string {
	for _, h := range r.Headers {
		if h.Key == "ce_type" {
			return string(h.Value)
		}
	}
	return ""
}

// TestEachFunctionDoesItsWorkWithTheRightsOfItsRole runs a month of flights into a release, each function as a user of its own. Where
// ALMANAC_TEST_LAB names the secured lab, on real Kafka.
func TestEachFunctionDoesItsWorkWithTheRightsOfItsRole(t *testing.T) {
	p := newPrincipals(t)
	p.assemble()
	_, seen := p.function("serve")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, tr := range triggers() {
		wg.Go(func() { p.source(ctx, tr) })
	}
	began := time.Now()
	d, err := p.catalog.Dataset("flights")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if err := p.handlers["calendar"](ctx, nil); err != nil {
			t.Fatal(err)
		}
		view, err := seen.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s := survey.New(d, calendar.Survey(d, view, p.now, wall(), state.Pace()))
		if !survey.Busy([]survey.Dataset{s}) {
			p.judge(s, time.Since(began))
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not done in time: %+v", s.States)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (p *principals) judge(s survey.Dataset, took time.Duration) {
	p.t.Helper()
	windows, rows, releases := 0, int64(0), []string(nil)
	for _, st := range s.States {
		switch st.Phase {
		case calendar.Stored:
			windows++
		case calendar.Released:
			releases = append(releases, st.Version)
			rows += st.Rows
		case calendar.Stopped, calendar.Blocked:
			p.t.Errorf("%+v", st)
		default:
		}
	}
	if windows != 34 || rows == 0 || strings.Join(releases, " ") != "training-2001-01.1" {
		p.t.Errorf("%d windows are stored and %d rows of %v are released, want 34 windows and training-2001-01.1", windows, rows, releases)
	}
	p.t.Logf("%d windows, %d rows, %v in %.1fs", windows, rows, releases, took.Seconds())
}
