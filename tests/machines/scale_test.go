package machines_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var more = flag.String("more", "", "the `file` of an inventory beside -inventory with one more machine, which runs: it is added and drained")

// TestAMachineComesAndGoes adds a machine, sees replicas, blocks and containers on it, drains it, and compares all records and files before and after.
func TestAMachineComesAndGoes(t *testing.T) {
	s := furnished(t)
	if *more == "" {
		t.Skip("no -more is given")
	}
	host, number := s.newcomer(t)
	files := s.fill(t)
	before := s.everything(t, files)

	s.scale(t)
	if n := s.replicas(t)[number]; n == 0 {
		t.Errorf("after scale.yml broker %d has no replica", number)
	}
	files = append(files, s.fill(t)...) // the new DataNode gets some of it
	if n := s.nodes(t, "LiveNodes")[host].Blocks; n == 0 {
		t.Errorf("after scale.yml the DataNode of %s has no block", host)
	}
	if state := s.nodemanagers(t)[host]; state != "RUNNING" {
		t.Errorf("after scale.yml the NodeManager of %s is %q, want it to run", host, state)
	}
	if again := s.scale(t); !regexp.MustCompile(`changed=0`).MatchString(again) || changes.MatchString(again) {
		t.Errorf("a second scale.yml changes something:\n%s", tail(again))
	}
	between := s.everything(t, files)

	// YARN waits for applications, and that of the Connect server does not end.
	drain := []string{"-e", "scale_drain=" + host, "-e", "scale_containers_wait=30"}
	s.scale(t, drain...)
	if n := s.replicas(t)[number]; n != 0 {
		t.Errorf("after the drain broker %d has %d replicas", number, n)
	}
	if node, there := s.nodes(t, "LiveNodes")[host]; there && node.State != "Decommissioned" {
		t.Errorf("after the drain the DataNode of %s is %s", host, node.State)
	}
	if state := s.nodemanagers(t)[host]; state == "RUNNING" || state == "DECOMMISSIONING" {
		t.Errorf("after the drain the NodeManager of %s is %s", host, state)
	}
	if running := s.on(t, host, "", "systemctl is-active kafka almanac-hdfs-datanode almanac-yarn-nodemanager || true"); strings.Contains(running+"\n", "\nactive\n") || strings.HasPrefix(running, "active") {
		t.Errorf("after the drain %s runs its services: %q", host, running)
	}
	if again := s.scale(t, drain...); changes.MatchString(again) {
		t.Errorf("a second drain changes something:\n%s", tail(again))
	}
	after := s.everything(t, files)
	for name, digest := range before {
		if between[name] != digest || after[name] != digest {
			t.Errorf("%s was %s, is %s with the new machine, and %s after it has gone", name, digest, between[name], after[name])
		}
	}
	for name, digest := range between {
		if after[name] != digest {
			t.Errorf("%s was %s with the new machine, and is %s after it has gone", name, digest, after[name])
		}
	}
	if out, err := s.playFor(t, time.Hour, "site.yml", "-i", *inventory); err != nil { // without the machine
		t.Fatalf("site.yml without %s = %v:\n%s", host, err, tail(out))
	}
	if _, there := s.nodes(t, "DeadNodes")[host]; there {
		t.Errorf("the NameNode still counts %s among its DataNodes, as dead", host)
	}
}

// newcomer is the machine that -more has and -inventory has not, and its number as a broker.
func (s *site) newcomer(t *testing.T) (string, int32) {
	t.Helper()
	for name, host := range machines(t, listed(t, *inventory, *more)) {
		if _, known := s.machines[name]; !known && host.Broker > 0 {
			s.machines[name] = host
			return name, host.Broker
		}
	}
	t.Fatalf("%s names no broker that %s has not", *more, *inventory)
	return "", 0
}

// scale runs scale.yml with both inventories.
func (s *site) scale(t *testing.T, args ...string) string {
	t.Helper()
	return s.played(t, "scale.yml", append([]string{"-i", *inventory, "-i", *more}, args...)...)
}

// patient are options of a client that asks again, as leaders move.
func patient(more ...kgo.Opt) []kgo.Opt {
	return append(more, kgo.RecordRetries(20), kgo.RequestRetries(20))
}

// fill makes a topic with records, and files in HDFS, and returns the names of the files.
func (s *site) fill(t *testing.T) (files []string) {
	t.Helper()
	admin := s.admin(t, patient(kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	topic := fmt.Sprintf("almanac.check-%d", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made, err := kadm.NewClient(admin).CreateTopic(ctx, 8, 3, nil, topic)
	if err != nil || made.Err != nil {
		t.Fatalf("make topic %s: %v, %v", topic, err, made.Err)
	}
	folder := "/scratch/" + topic
	t.Cleanup(func() {
		s.as(t, s.groups["spark_connect"].Hosts[0], "spark", "spark", "almanac-hadoop dfs -rm -r -f -skipTrash "+folder)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := kadm.NewClient(admin).DeleteTopic(ctx, topic); err != nil {
			t.Errorf("remove topic %s: %v", topic, err)
		}
	})
	for i := range 2000 {
		admin.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(i % 8), Value: fmt.Append(nil, topic, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("write to %s: %v", topic, err)
			}
		})
	}
	if err := admin.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	said := s.as(t, s.groups["spark_connect"].Hosts[0], "spark", "spark", `
		made=$(mktemp -d)
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 300000 /dev/urandom > $made/$i; done
		almanac-hadoop dfs -mkdir `+folder+`
		almanac-hadoop dfs -put $made/* `+folder+`/
		almanac-hadoop dfs -ls -C `+folder+`
		rm -r $made`)
	for line := range strings.Lines(said) {
		if file := strings.TrimSpace(line); strings.HasPrefix(file, folder+"/") {
			files = append(files, file)
		}
	}
	if len(files) != 12 {
		t.Fatalf("%d files are made in HDFS, want 12:\n%s", len(files), tail(said))
	}
	return files
}

// everything are digests of all records of each topic that is not Kafka's own, and of files in HDFS.
func (s *site) everything(t *testing.T, files []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	said := s.as(t, s.groups["spark_connect"].Hosts[0], "spark", "spark", "almanac-hadoop dfs -cat "+files[0]+" > /dev/null && for f in "+strings.Join(files, " ")+
		"; do echo $f; done | while read f; do echo $(almanac-hadoop dfs -checksum $f); done")
	for line := range strings.Lines(said) {
		if fields := strings.Fields(line); len(fields) == 3 && slices.Contains(files, fields[0]) {
			found[fields[0]] = fields[2]
		}
	}
	if len(found) != len(files) {
		t.Fatalf("%d of %d files have checksums:\n%s", len(found), len(files), tail(said))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s.partitions(ctx, t, found)
	return found
}

// partitions are digests of all records of each partition, of topics that are not Kafka's own.
func (s *site) partitions(ctx context.Context, t *testing.T, found map[string]string) {
	t.Helper()
	admin := kadm.NewClient(s.admin(t, patient()...))
	topics, err := admin.ListTopics(ctx) // not Kafka's own
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(ctx, topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	starts, err := admin.ListStartOffsets(ctx, topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		found[fmt.Sprintf("partition %d of %s", end.Partition, end.Topic)] = s.digest(ctx, t, end, start.Offset)
	})
}

// digest is one of all records of a partition, with their places.
func (s *site) digest(ctx context.Context, t *testing.T, end kadm.ListedOffset, start int64) string {
	t.Helper()
	sum, next := sha256.New(), start
	if next >= end.Offset {
		return "empty"
	}
	reader := s.client(t, "9092", s.trusting(), patient(password("admin", s.file(t, "secrets", "kafka", "admin")), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		end.Topic: {end.Partition: kgo.NewOffset().At(start)},
	}))...)
	defer reader.Close()
	for next < end.Offset {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read partition %d of %s from %d to %d: %v", end.Partition, end.Topic, next, end.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < end.Offset {
				fmt.Fprintf(sum, "%d %q %q\n", r.Offset, r.Key, r.Value)
			}
			next = r.Offset + 1
		})
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// replicas are how many each broker has, of all topics.
func (s *site) replicas(t *testing.T) map[int32]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	meta, err := kadm.NewClient(s.admin(t)).Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := map[int32]int{}
	for _, topic := range meta.Topics {
		for _, p := range topic.Partitions {
			if len(p.ISR) != len(p.Replicas) {
				t.Errorf("partition %d of %s has %d of %d replicas in sync", p.Partition, p.Topic, len(p.ISR), len(p.Replicas))
			}
			for _, id := range p.Replicas {
				n[id]++
			}
		}
	}
	return n
}

// datanode is what the NameNode says of one.
type datanode struct {
	Blocks int    `json:"numBlocks"`
	State  string `json:"adminState"`
}

// nodes are DataNodes, by their names, as the NameNode lists them: LiveNodes or DeadNodes.
func (s *site) nodes(t *testing.T, which string) map[string]datanode {
	t.Helper()
	host := s.groups["namenodes"].Hosts[0]
	var page struct{ Beans []map[string]any }
	s.page(t, host, "https://"+host+":9871/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo", &page)
	text, _ := page.Beans[0][which].(string)
	var nodes map[string]datanode
	if err := json.Unmarshal([]byte(text), &nodes); err != nil {
		t.Fatalf("%s: %v: %s", which, err, tail(text))
	}
	found := map[string]datanode{}
	for address, node := range nodes {
		name, _, _ := strings.Cut(address, ":")
		found[name] = node
	}
	return found
}

// nodemanagers are how YARN has them, by their names.
func (s *site) nodemanagers(t *testing.T) map[string]string {
	t.Helper()
	host := s.groups["resourcemanagers"].Hosts[0]
	var page struct {
		Nodes struct {
			Node []struct {
				Name  string `json:"nodeHostName"`
				State string `json:"state"`
			} `json:"node"`
		} `json:"nodes"`
	}
	s.page(t, host, "https://"+host+":8090/ws/v1/cluster/nodes", &page)
	found := map[string]string{}
	for _, node := range page.Nodes.Node {
		found[node.Name] = node.State
	}
	return found
}

// page reads a page of Hadoop with a ticket of its machine.
func (s *site) page(t *testing.T, host, address string, into any) {
	t.Helper()
	said := s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/HTTP.keytab --cacert /etc/almanac/tls/hadoop/ca.pem '"+address+"'")
	if err := json.Unmarshal([]byte(said), into); err != nil {
		t.Fatalf("%s: %v: %s", address, err, tail(said))
	}
}
