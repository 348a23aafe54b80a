package acl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

// TestEachRightThatAFunctionLacksIsNamed takes one right after the other from each function, does what needs it, and reads what is said.
func TestEachRightThatAFunctionLacksIsNamed(t *testing.T) {
	lab := kafkatest.Secured(t)
	admin := kafkatest.Open(t, lab.AdminConfig())
	names := topics.Names{Facts: events.FactTopics(), Dues: events.DueTopics(), Blocks: block.Topics("flights")}
	if err := topics.Ensure(t.Context(), admin, names); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(names.Facts, names.Dues, names.Blocks)
	for _, r := range acl.Roles() {
		if r.Name == "operator" || r.Name == "almanac" || r.Name == "source" || r.Name == "deadletter" {
			continue // no functions
		}
		t.Run(r.Name, func(t *testing.T) {
			user := "test-" + r.Name
			cfg := lab.UserConfig(t, user)
			t.Cleanup(func() { strip(t, lab, user) })
			rights := 0
			for i, rule := range r.Rules {
				for _, op := range rule.Operations {
					if op == "Describe" {
						continue // comes with any other right
					}
					rights++
					c := kafkatest.Open(t, cfg)
					less(t, admin, r, i, op, "User:"+user)
					name := rule.Name
					if rule.Prefix {
						name = all[slices.IndexFunc(all, func(topic string) bool { return strings.HasPrefix(topic, rule.Name) })]
					}
					if op == "DescribeConfigs" {
						name = letters.Topic // the first that is looked at
					}
					want := fmt.Sprintf("user %s lacks the right to %s %s %s", user, op, rule.Kind, name)
					var err error
					for range 100 { // rules reach the brokers a moment after they were made
						if err = need(t, c, op, rule.Kind, name); err != nil && strings.Contains(err.Error(), want) {
							break
						}
						time.Sleep(20 * time.Millisecond)
					}
					if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "almanac acls apply") {
						t.Errorf("without %s of %s %s: %v, want %q", op, rule.Kind, rule.Name, err, want)
					}
				}
			}
			t.Logf("%d rights are named", rights)
		})
	}
}

// less gives a user the rights of a role but for one.
func less(t *testing.T, admin *link.Cluster, r acl.Role, without int, op, principal string) {
	t.Helper()
	r.Rules = slices.Clone(r.Rules)
	r.Rules[without].Operations = slices.DeleteFunc(slices.Clone(r.Rules[without].Operations), func(o string) bool { return o == op })
	if len(r.Rules[without].Operations) == 0 {
		r.Rules = slices.Delete(r.Rules, without, without+1)
	}
	if _, err := acl.Apply(t.Context(), admin, r, principal, true); err != nil {
		t.Fatal(err)
	}
}

// need does what needs a right.
func need(t *testing.T, c *link.Cluster, op, kind, name string) error {
	t.Helper()
	switch {
	case kind == "group":
		var os kadm.Offsets
		os.AddOffset("almanac.fact.stored", 0, 0, -1)
		return c.ExplainGroup(commit(t, c, name, os), name, "")
	case op == "Write":
		cl, err := c.Client(kgo.RecordRetries(0), kgo.UnknownTopicRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		return c.Unwritten(t.Context(), name, cl.ProduceSync(t.Context(), &kgo.Record{Topic: name, Key: []byte("k"), Value: []byte("{}")}).FirstErr())
	case op == "Read":
		return c.Explain(readOnce(t, c, name), "Read", name)
	case op == "DescribeConfigs":
		return topics.Verify(t.Context(), c, topics.Names{Facts: []string{name}})
	}
	t.Fatalf("nothing is known to need %s of a %s", op, kind)
	return nil
}
