package acl_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

// foreign begins with the letters of Almanac's names and is none of them.
const foreign = "almanacs.secret"

// can is what a role can do, said again independently of the table: topics by the last parts of their names.
type can struct {
	write string // topics; the rest must be refused
	read  string // topics of blocks, and others than facts and dues
	group string
	rest  string // create, delete
}

const allFacts = "fact.collected fact.processed fact.validated fact.staged fact.stored fact.restated fact.stopped fact.aggregated fact.released"
const allDues = "due.collect due.aggregate due.deliver"
const allBlocks = "raw.flights processed.flights clean.flights quarantine.flights"

var roles = map[string]can{
	"calendar":   {write: allDues + " fact.collected fact.processed fact.validated fact.stored fact.stopped deadletter", group: "almanac-calendar"},
	"collect":    {write: "raw.flights fact.collected fact.restated fact.stopped due.collect", group: "almanac-collect"},
	"process":    {write: "processed.flights quarantine.flights fact.processed fact.stopped fact.collected", read: "raw.flights", group: "almanac-process"},
	"validate":   {write: "clean.flights quarantine.flights fact.validated fact.processed fact.collected", read: "raw.flights processed.flights quarantine.flights", group: "almanac-validate"},
	"store":      {write: "fact.staged fact.stored fact.stopped fact.validated fact.processed fact.collected", read: allBlocks, group: "almanac-store"},
	"aggregate":  {write: "fact.aggregated fact.stopped", group: "almanac-aggregate"},
	"deliver":    {write: "fact.released fact.stopped", group: "almanac-deliver"},
	"serve":      {},
	"source":     {write: "deadletter", group: "*"},
	"deadletter": {write: "deadletter", read: "none"},
	"operator":   {write: allDues, read: allBlocks + " deadletter", group: "*", rest: "create delete"},
	"almanac":    {write: allFacts + " " + allDues + " " + allBlocks + " deadletter", read: allBlocks + " deadletter", group: "*", rest: "create delete"},
}

func TestEveryRoleIsTold(t *testing.T) {
	for _, r := range acl.Roles() {
		if _, ok := roles[r.Name]; !ok {
			t.Errorf("nothing is said of role %s", r.Name)
		}
		for _, line := range r.Commands(r.Principal(acl.DefaultPrincipal), "b:1") {
			if strings.Contains(line, "--operation All") || strings.Contains(line, "--topic * ") {
				t.Errorf("role %s may do everything: %s", r.Name, line)
			}
		}
	}
	if _, err := acl.Choose([]string{"nobody"}); err == nil || !strings.Contains(err.Error(), "process") {
		t.Errorf("Choose of an unknown role = %v", err)
	}
}

func TestEachRoleCanDoItsWorkAndNothingElse(t *testing.T) {
	lab := kafkatest.Secured(t)
	admin := kafkatest.Open(t, lab.AdminConfig())
	names := topics.Names{Facts: events.FactTopics(), Dues: events.DueTopics(), Blocks: block.Topics("flights")}
	if err := topics.Ensure(t.Context(), admin, names); err != nil {
		t.Fatal(err)
	}
	universe := slices.Concat(names.Facts, names.Dues, names.Blocks, []string{letters.Topic, foreign})
	if _, err := admin.Admin.CreateTopic(t.Context(), 1, 1, nil, foreign); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Fatal(err)
	}
	for _, r := range acl.Roles() {
		t.Run(r.Name, func(t *testing.T) {
			user := "test-" + r.Name
			cfg := lab.UserConfig(t, user)
			if _, err := acl.Apply(t.Context(), admin, r, "User:"+user, true); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { strip(t, lab, user) })
			c := kafkatest.Open(t, cfg)
			awaitRules(t, c)
			probe(t, c, r.Name, universe, roles[r.Name])
		})
	}
}

// strip takes every right from a user.
func strip(t *testing.T, lab kafkatest.Lab, user string) {
	t.Helper()
	if lab.Fake() {
		return
	}
	c, err := link.Open(context.Background(), lab.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := acl.Apply(context.Background(), c, acl.Role{Name: "none"}, "User:"+user, true); err != nil {
		t.Error(err)
	}
}

// awaitRules waits until the broker knows the rules: they reach it a moment after they were made.
func awaitRules(t *testing.T, c *link.Cluster) {
	t.Helper()
	for range 100 {
		_, err := c.Lookup(t.Context(), letters.Topic)
		if err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the rules do not reach the broker")
}

func probe(t *testing.T, c *link.Cluster, role string, universe []string, can can) {
	t.Helper()
	writer, err := c.Client(kgo.RecordRetries(0), kgo.UnknownTopicRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	tried := 0
	expect := func(what string, allowed bool, err error) {
		t.Helper()
		tried++
		switch {
		case allowed && err != nil:
			t.Errorf("%s: %s is refused: %v", role, what, err)
		case !allowed && !denied(err):
			t.Errorf("%s: %s = %v, want that it is refused", role, what, err)
		}
	}
	for _, topic := range universe {
		short := strings.TrimPrefix(topic, "almanac.")
		has := func(list string) bool { return slices.Contains(strings.Fields(list), short) }
		expect("write "+topic, has(can.write), writer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("{}")}).FirstErr())
		ours := strings.HasPrefix(short, "fact.") || strings.HasPrefix(short, "due.")
		expect("read "+topic, can.read != "none" && (ours || has(can.read)), readOnce(t, c, topic))
		expect("alter configs of "+topic, false, alter(t, c, topic))
		expect("delete records of "+topic, strings.Contains(can.rest, "delete") && strings.Contains(allBlocks, short), deleteRecords(t, c, topic))
		if strings.Contains(can.rest, "delete") && strings.Contains(allBlocks, short) {
			continue // who may delete records may delete the topic: Kafka does not tell these rights apart
		}
		_, err := c.Admin.DeleteTopic(t.Context(), topic)
		expect("delete "+topic, false, err)
	}
	for _, topic := range []string{"almanac.raw.new-" + role, foreign + ".new"} {
		made, err := c.Admin.ValidateCreateTopics(t.Context(), 1, 1, nil, topic)
		if err == nil {
			err = made[topic].Err
		}
		expect("create "+topic, strings.Contains(can.rest, "create") && strings.HasPrefix(topic, "almanac."), err)
	}
	for _, group := range []string{"almanac-calendar", "almanac-collect", "almanac-process", "almanac-validate", "almanac-store", "almanac-aggregate", "almanac-deliver", "others"} {
		var os kadm.Offsets
		os.AddOffset("almanac.fact.stored", 0, 0, -1)
		allowed := can.group == group || can.group == "*" && group != "others"
		expect("commit offsets of "+group, allowed, commit(t, c, group, os))
	}
	_, err = acl.Apply(t.Context(), c, acl.Role{Name: "own", Rules: []acl.Rule{{Kind: "topic", Name: foreign, Operations: []string{"Read"}}}}, "User:test-"+role, false)
	expect("alter access rules", false, err)
	t.Logf("%d operations tried", tried)
}

func denied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

// commit waits out the making of a new cluster's first coordinator.
func commit(t *testing.T, c *link.Cluster, group string, os kadm.Offsets) (err error) {
	t.Helper()
	for range 100 {
		resp, cerr := c.Admin.CommitOffsets(t.Context(), group, os)
		if err = cerr; err == nil {
			err = resp.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) { // so says a fake to who may not even describe the topic
			return kerr.GroupAuthorizationFailed
		}
		if !kerr.IsRetriable(err) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// readOnce fetches from a topic's start by its name, as who does not ask for its id first.
func readOnce(t *testing.T, c *link.Cluster, topic string) error {
	t.Helper()
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 1 << 10
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.Topics = 1<<10, []kmsg.FetchRequestTopic{rt}
	cl, err := c.Client(kgo.MaxVersions(before13()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	meta, err := c.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kresp, err := cl.Broker(int(meta.Brokers[0].NodeID)).RetriableRequest(t.Context(), req)
	if err != nil {
		return err
	}
	resp := kresp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			return kerr.ErrorForCode(rp.ErrorCode)
		}
	}
	return errors.New("no answer")
}

func alter(t *testing.T, c *link.Cluster, topic string) error {
	t.Helper()
	done, err := c.Admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: new("1")}}, topic)
	for _, d := range done {
		err = errors.Join(err, d.Err)
	}
	return err
}

func deleteRecords(t *testing.T, c *link.Cluster, topic string) error {
	t.Helper()
	var os kadm.Offsets
	os.AddOffset(topic, 0, 0, -1)
	resp, err := c.Admin.DeleteRecords(t.Context(), os)
	if err == nil {
		err = resp.Error()
	}
	return err
}

// before13 are the versions in which topics are fetched by name.
func before13() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.Fetch.Int16(), 12)
	return v
}
