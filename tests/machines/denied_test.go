package machines_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// role is one of the table of access rules.
type role struct {
	Name  string `json:"Name"`
	Rules []struct {
		Kind       string   `json:"Kind"`
		Name       string   `json:"Name"`
		Prefix     bool     `json:"Prefix"`
		Operations []string `json:"Operations"`
	} `json:"Rules"`
}

// may says whether the table lets a role do something.
func (r role) may(operation, kind, name string) bool {
	for _, rule := range r.Rules {
		if rule.Kind == kind && slices.Contains(rule.Operations, operation) && (rule.Name == name || rule.Prefix && strings.HasPrefix(name, rule.Name)) {
			return true
		}
	}
	return false
}

// roles is the table, of the program that made the rules.
func (s *site) roles(t *testing.T) (all []role) {
	t.Helper()
	text := s.on(t, s.groups["kafka_brokers"].Hosts[0], "", "/opt/almanac/almanac acls print --json")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestKafkaRefusesEachFunctionWhatIsOthers takes the certificate of each function to all topics that it need not write, all groups but its own, and
// transactional ids, of which none has one. Kafka's log must have each of these refusals.
func TestKafkaRefusesEachFunctionWhatIsOthers(t *testing.T) {
	s := furnished(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := strconv.FormatInt(time.Now().Unix(), 10)
	table := s.roles(t)
	var refusals []string
	for _, function := range functions {
		i := slices.IndexFunc(table, func(r role) bool { return r.Name == function })
		if i < 0 {
			t.Fatalf("almanac acls knows no role %s", function)
		}
		r := table[i]
		cl := s.client(t, "9094", s.trusting(s.pair(t, function)))
		topics, err := facts(t, cl)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(err, want error, kind, name string) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s with %s %s: %v, want it refused", function, kind, name, err)
			}
			refusals = append(refusals, denial("almanac-"+function, kind+":LITERAL:"+name))
		}
		names := topics.Names()
		if function == "deadletter" { // it sees no other
			names = []string{"almanac.fact.stored", "almanac.due.collect"}
		}
		for _, topic := range names {
			if !r.may("Write", "topic", topic) {
				err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("{}")}).FirstErr()
				refused(err, kerr.TopicAuthorizationFailed, "Topic", topic)
			}
		}
		for _, other := range functions {
			if group := "almanac-" + other; !r.may("Read", "group", group) {
				refused(commit(ctx, cl, group), kerr.GroupAuthorizationFailed, "Group", group)
			}
			refused(begin(ctx, cl, "almanac-"+other), kerr.TransactionalIDAuthorizationFailed, "TransactionalId", "almanac-"+other)
		}
	}
	if len(refusals) < 200 {
		t.Errorf("only %d refusals were tried", len(refusals))
	}
	logged := map[string]bool{}
	line := regexp.MustCompile(`Principal = User:(\S+) is Denied .* on resource = (\S+) `)
	for _, host := range s.groups["kafka_brokers"].Hosts {
		log := s.on(t, host, "", "journalctl -u kafka --no-pager --since @"+began+" | grep 'is Denied operation' || true")
		for _, found := range line.FindAllStringSubmatch(log, -1) {
			logged[denial(found[1], found[2])] = true
		}
	}
	missing := slices.DeleteFunc(slices.Clone(refusals), func(refusal string) bool { return logged[refusal] })
	if len(missing) > 0 {
		t.Errorf("of %d refusals %d are not in Kafka's log: %s", len(refusals), len(missing), strings.Join(missing, "; "))
	}
	t.Logf("%d refusals", len(refusals))
}

// denial is a refusal in few words: who, and of what.
func denial(principal, resource string) string { return principal + " of " + resource }

// commit says of a group that it got to the start of a topic that all functions see.
func commit(ctx context.Context, cl *kgo.Client, group string) error {
	var at kadm.Offsets
	at.AddOffset("almanac.deadletter", 0, 0, -1)
	answer, err := kadm.NewClient(cl).CommitOffsets(ctx, group, at)
	if err != nil {
		return err
	}
	return answer.Error()
}

// begin takes a transactional id.
func begin(ctx context.Context, cl *kgo.Client, id string) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis, request.ProducerID, request.ProducerEpoch = &id, 1000, -1, -1
	answer, err := request.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.ErrorCode)
}
