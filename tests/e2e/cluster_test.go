package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// overServers is the shop over a broker that is not its own, and a warehouse that is named: what --config does. Real servers are in tests/cluster.
func overServers(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	dir := filepath.Dir(s.Datasets)
	text := fmt.Sprintf("warehouse: %s\npseudonym_key: %s\ncreate_topics: true\nretry: 1m\ngrace_facts: 30s\nkafka:\n  brokers: [%s]\n",
		filepath.Join(s.Data, "warehouse"), filepath.Join(dir, "pseudonym.key"), broker.ListenAddrs()[0])
	s.Config = filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(s.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestConfigurationAloneDecides runs the same job by a file of servers: the same comes out, and every command finds it.
func TestConfigurationAloneDecides(t *testing.T) {
	t.Parallel()
	one, s := newShop(t), overServers(t)
	one.run(t, 0)
	s.run(t, 0)
	s.finished(t, all(nil))
	want, err := reader.Releases(filepath.Join(one.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := reader.Releases(filepath.Join(s.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	for version, release := range want {
		if got[version].Content != release.Content {
			t.Errorf("the content of %s differs from that of a data folder", version)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Data, "almanac.json")); err == nil {
		t.Error("with --config a data folder was made")
	}
	contains(t, "a second run", s.run(t, 0).Out, "nothing to do")
	contains(t, "plan", run(t, s.Box, 0, "plan").Out, "nothing is to do")
	contains(t, "doctor", run(t, s.Box, 0, "doctor", "--listen", "127.0.0.1:0").Out, "ok    kafka", "ok    warehouse", "ok    spark")
	contains(t, "releases list", run(t, s.Box, 0, "releases", "list").Out, "training-2024-W01.1", "training-2024-W02.1")
	contains(t, "releases verify", run(t, s.Box, 0, "releases", "verify", "training-2024-W01.1").Out, "verified")
	run(t, s.Box, 0, "quarantine", "list")
	contains(t, "env", run(t, s.Box, 0, "env").Out, "ALMANAC_CREATE_TOPICS=true", "ALMANAC_WAREHOUSE="+s.Data)
	if past := run(t, s.Box, 0, "status", "--to", "2024-01-04").Out; !strings.Contains(past, "collect") {
		t.Errorf("the status of a day in the past: %s", past)
	}
	run(t, s.Box, 2, "status", "--to", "yesterday")
}

// TestConfigurationIsRefused tells what is wrong with a file, where, and what was meant.
func TestConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	s := overServers(t)
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Config, append(text, "  broker: x\nhdsf: {web: y}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "status", "doctor"} {
		code := 2
		if command == "doctor" {
			code = 1 // it tells all that it finds
		}
		result := run(t, s.Box, code, command)
		contains(t, command, result.Text(), "cluster.yaml:8: kafka.broker: is not a key; did you mean kafka.brokers", "cluster.yaml:9: hdsf.web: is not a key; did you mean hdfs.web")
	}
	both := box.Box{Binary: s.Binary, Datasets: s.Datasets, Data: s.Data}
	contains(t, "both", run(t, both, 2, "status", "--config", s.Config).Err, "exclude each other")
}

// TestSource wakes a function by Kafka's records; what it does not take becomes a dead letter.
func TestSource(t *testing.T) {
	t.Parallel()
	s := overServers(t)
	s.run(t, 0)
	subjects := make(chan string, 100)
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subjects <- r.Header.Get("Ce-Subject")
		if r.Header.Get("Ce-Knativekafkaoffset") == "3" {
			http.Error(w, "not this one", http.StatusUnprocessableEntity)
		}
	}))
	defer function.Close()
	source, err := s.Start("source", "--name", "test", "--topics", "almanac.fact.stored", "--sink", function.URL)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for limit := time.After(patience); len(seen) < shopDays; {
		select {
		case subject := <-subjects:
			seen[subject] = true
		case <-source.Ended():
			t.Fatalf("the source has ended: %s", source.Result())
		case <-limit:
			t.Fatalf("%d of %d facts have arrived", len(seen), shopDays)
		}
	}
	contains(t, "dead letter", s.awaitLetter(t).Attributes["knativeerrordest"], function.URL)
	if result := source.Stop(); result.Code != 0 {
		t.Errorf("the source should end well: %s", result)
	}
	run(t, s.Box, 2, "source", "--name", "x", "--sink", function.URL)
}
