package e2e

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// kafkaSource plays Knative's KafkaSources, badly: it loses events, doubles and reorders them.
type kafkaSource struct {
	client *kgo.Client
	sinks  map[string][]*instance // by topic
	random *rand.Rand
	wg     sync.WaitGroup

	mu      sync.Mutex
	answers map[int]int
	lost    int
	refused []string // answers that say that no retry can help
}

// run passes records on until ctx ends.
func (k *kafkaSource) run(ctx context.Context) {
	for ctx.Err() == nil {
		k.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			for _, sink := range k.sinks[r.Topic] {
				switch draw := k.random.IntN(10); {
				case draw == 0:
					k.lost++
				case draw < 3: // twice, at once
					k.send(ctx, sink, r)
					k.send(ctx, sink, r)
				default:
					k.send(ctx, sink, r)
				}
			}
		})
	}
	k.wg.Wait()
}

func (k *kafkaSource) send(ctx context.Context, sink *instance, r *kgo.Record) {
	late := time.Duration(k.random.IntN(150)) * time.Millisecond // so that others overtake it
	k.wg.Go(func() {
		attributes := map[string]string{}
		for _, h := range r.Headers {
			attributes[strings.TrimPrefix(h.Key, "ce_")] = string(h.Value)
		}
		for try := range 5 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(late << try):
			}
			status, text, err := sink.post(attributes, r.Value)
			if err != nil {
				continue
			}
			k.mu.Lock()
			k.answers[status]++
			if status == http.StatusUnprocessableEntity {
				k.refused = append(k.refused, sink.name+": "+attributes["id"]+": "+strings.TrimSpace(text))
			}
			k.mu.Unlock()
			if status < http.StatusInternalServerError {
				return
			}
		}
	})
}

// platform is the functions as processes of their own, over one broker and one warehouse; process and store are there twice.
type platform struct {
	*shop

	broker    *kfake.Cluster
	warehouse string
	all       map[string][]*instance
}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	return startPlatformOf(t, newShop(t), func(string) []string { return nil })
}

// startPlatformOf does so for a shop, with an environment of its own for each function.
func startPlatformOf(t *testing.T, s *shop, own func(function string) []string) *platform {
	t.Helper()
	p := &platform{shop: s, warehouse: filepath.Join(t.TempDir(), "warehouse"), all: map[string][]*instance{}}
	var err error
	if p.broker, err = kfake.NewCluster(kfake.NumBrokers(1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.broker.Close)
	env := []string{
		"ALMANAC_KAFKA=" + p.broker.ListenAddrs()[0], "ALMANAC_WAREHOUSE=" + p.warehouse, "ALMANAC_DATASETS=" + p.Datasets,
	}
	start := func(name string, more ...string) {
		p.all[name] = append(p.all[name], startFunction(t, name, slices.Concat(env, own(name), more)...))
	}
	start("calendar", "ALMANAC_CREATE_TOPICS=true", "ALMANAC_GRACE_FACTS=2s", "ALMANAC_RETRY=1s", "ALMANAC_PARALLEL=4")
	for _, name := range []string{"collect", "process", "process", "validate", "store", "store"} {
		start(name)
	}
	if server := os.Getenv("ALMANAC_TEST_SPARK"); server != "" {
		start("aggregate", "ALMANAC_SPARK="+server)
		start("deliver", "ALMANAC_SPARK="+server)
	}
	return p
}

// sinks says who is woken by what.
func (p *platform) sinks() map[string][]*instance {
	return map[string][]*instance{
		events.Due{Step: events.StepCollect}.Topic():   p.all["collect"],
		events.Collected{}.Topic():                     p.all["process"],
		events.Processed{}.Topic():                     p.all["validate"],
		events.Validated{}.Topic():                     p.all["store"],
		events.Stored{}.Topic():                        p.all["calendar"],
		events.Due{Step: events.StepAggregate}.Topic(): p.all["aggregate"],
		events.Aggregated{}.Topic():                    p.all["calendar"],
		events.Due{Step: events.StepDeliver}.Topic():   p.all["deliver"],
	}
}

// listen is a source of the records that wake the functions, which does the same again with the same seeds.
func (p *platform) listen(t *testing.T, seeds [2]uint64) *kafkaSource {
	t.Helper()
	source := &kafkaSource{sinks: p.sinks(), random: rand.New(rand.NewPCG(seeds[0], seeds[1])), answers: map[int]int{}}
	var topics []string
	for topic, instances := range source.sinks {
		if len(instances) > 0 {
			topics = append(topics, topic)
		}
	}
	var err error
	source.client, err = kgo.NewClient(kgo.SeedBrokers(p.broker.ListenAddrs()...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.client.Close)
	return source
}

// TestFunctionsAlone runs the functions as processes of their own, over sources that lose, double and reorder events. Those that compute are
// among them where there is a Spark for them (ALMANAC_TEST_SPARK).
func TestFunctionsAlone(t *testing.T) {
	command(t)
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	p := startPlatform(t)
	source := p.listen(t, [2]uint64{1, 2})
	p.forge(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { source.run(working) })
	p.untilStored(ctx, t)
	if p.all["deliver"] != nil {
		p.untilReleased(ctx, t)
	}
	stop()
	running.Wait()
	p.sameRows(t)
	t.Logf("answers by status: %v; %d events lost", source.answers, source.lost)
	for _, text := range source.refused {
		t.Errorf("an honest event was refused for good: %s", text)
	}
	for name, instances := range p.all {
		for i, f := range instances {
			if f.status("/healthz") != http.StatusOK || f.status("/readyz") != http.StatusOK {
				t.Errorf("%s %d is not well", name, i)
			}
			t.Logf("%s %d: %s", name, i, f.metric(t, "almanac_rows_total"))
		}
	}
}

// untilStored ticks until the rows of every day are visible.
func (p *platform) untilStored(ctx context.Context, t *testing.T) {
	t.Helper()
	want := len(all(nil))
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	got := 0
	for got < want {
		p.tick(t)
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d rows are stored after %s", got, want, patience)
		case <-tick.C:
		}
		if table, err := reader.Open(filepath.Join(p.warehouse, "shop", "rows")); err == nil {
			got = 0
			for _, f := range table.Files {
				got += int(f.Rows)
			}
		}
	}
}

func (p *platform) tick(t *testing.T) {
	t.Helper()
	status, text, err := p.all["calendar"][0].post(ticks, []byte("{}"))
	if err != nil || status != http.StatusOK {
		t.Fatalf("a tick is answered by %d: %s: %v", status, text, err)
	}
}

// untilReleased ticks until the releases of both weeks are there, and compares them with those of a run in one process.
func (p *platform) untilReleased(ctx context.Context, t *testing.T) {
	t.Helper()
	one := newShop(t)
	one.run(t, 0)
	want, err := filepath.Glob(filepath.Join(one.Data, "warehouse", "releases", "shop", "*", "manifest.json"))
	if err != nil || len(want) != 2 {
		t.Fatalf("a run in one process makes the releases %v, want 2", want)
	}
	for _, name := range want {
		relative, _ := filepath.Rel(filepath.Join(one.Data, "warehouse"), name)
		mine := filepath.Join(p.warehouse, relative)
		for {
			if _, err := os.Stat(mine); err == nil {
				break
			}
			p.tick(t)
			select {
			case <-ctx.Done():
				t.Fatalf("%s is not there after %s", relative, patience)
			case <-time.After(500 * time.Millisecond):
			}
		}
		if content(t, mine) != content(t, name) {
			t.Errorf("%s differs from what one process makes", relative)
		}
	}
}

// sameRows checks that the table holds every row of the source once, and of one generation.
func (p *platform) sameRows(t *testing.T) {
	t.Helper()
	p.Data = filepath.Dir(p.warehouse)
	p.holdsRows(t, all(nil))
	table, err := reader.Open(filepath.Join(p.warehouse, "shop", "rows"))
	if err != nil {
		t.Fatal(err)
	}
	generations, err := table.Rows("_generation")
	if err != nil {
		t.Fatal(err)
	}
	if len(generations) != 1 || generations["1"] == 0 {
		t.Errorf("generations are %v, want only the first", generations)
	}
	if files, err := reader.Listing(p.warehouse); err != nil || strings.Contains(strings.Join(names(files), " "), ".tmp-") {
		t.Errorf("the warehouse holds temporary files: %v %v", names(files), err)
	}
}

func names(files map[string]string) (all []string) {
	for name := range files {
		all = append(all, name)
	}
	return all
}

// forge sends what no function of Almanac has said: it must be refused or ignored, and must not show in the table.
func (p *platform) forge(t *testing.T) {
	t.Helper()
	piece := events.Piece{Dataset: "shop", Window: key(5), Generation: 1, Slice: 1}
	stranger := piece
	stranger.Dataset = "nobody"
	claim := events.Claim{Topic: "almanac.raw.shop", TopicID: strings.Repeat("0", 32), From: 0, To: 9, Writer: "me", Blocks: 9, Digest: strings.Repeat("0", 64)}
	for _, c := range []struct {
		function string
		event    events.Event
		status   int
	}{
		{"process", events.Collected{Piece: piece, Last: true, Raw: claim}, 0},
		{"validate", events.Processed{Piece: piece, Rows: claim}, 0},
		{"store", events.Validated{Piece: piece, Rows: claim}, 0},
		{"store", events.Collected{Piece: piece}, http.StatusUnprocessableEntity},
		{"collect", events.Due{Piece: stranger.Whole(), Step: events.StepCollect}, http.StatusUnprocessableEntity},
		{"collect", events.Due{Piece: events.Piece{Dataset: "shop", Window: "1999-01-01", Generation: 1}, Step: events.StepCollect}, http.StatusUnprocessableEntity},
		{"collect", events.Due{Piece: events.Piece{Dataset: "shop", Window: "yesterday", Generation: 1}, Step: events.StepCollect}, http.StatusUnprocessableEntity},
		{"process", events.Collected{Piece: stranger, Last: true, Raw: claim}, http.StatusUnprocessableEntity},
	} {
		data, err := json.Marshal(c.event)
		if err != nil {
			t.Fatal(err)
		}
		attributes := map[string]string{
			"specversion": "1.0", "id": c.event.ID(), "source": "/stranger", "type": c.event.Type(), "content-type": "application/json",
		}
		status, text, err := p.all[c.function][0].post(attributes, data)
		if err != nil || c.status != 0 && status != c.status || c.status == 0 && status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("%s answers a forged %s by %d: %s %v; want %d", c.function, c.event.ID(), status, text, err, c.status)
		}
		if status == http.StatusUnprocessableEntity && strings.TrimSpace(text) == "" {
			t.Errorf("%s refuses a forged %s without a word", c.function, c.event.ID())
		}
	}
	for name, attributes := range map[string]map[string]string{
		"no CloudEvent":      {"content-type": "application/json"},
		"an event of others": {"specversion": "1.0", "id": "1", "source": "/x", "type": "com.example.other", "content-type": "application/json"},
	} {
		if status, text, err := p.all["process"][0].post(attributes, []byte("{}")); err != nil || status < 400 || status >= 500 {
			t.Errorf("%s is answered by %d: %s %v; want a refusal", name, status, text, err)
		}
	}
}
