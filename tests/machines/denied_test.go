package machines_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// TestKafkaRefusesEachFunctionWhatIsOthers takes the certificate of each function to all topics that it need not write or need not read, all groups but
// its own, and transactional ids, of which none has one. Kafka's log must have each of these refusals.
func TestKafkaRefusesEachFunctionWhatIsOthers(t *testing.T) {
	s := furnished(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	table := s.roles(t)
	known, err := facts(t, s.client(t, "9092", s.trusting(), password("admin", s.file(t, "secrets", "kafka", "admin"))))
	if err != nil {
		t.Fatal(err)
	}
	var refusals []string
	for _, function := range functions {
		i := slices.IndexFunc(table, func(r role) bool { return r.Name == function })
		if i < 0 {
			t.Fatalf("almanac acls knows no role %s", function)
		}
		r := table[i]
		cl := s.client(t, "9094", s.trusting(s.pair(t, function)))
		refused := func(err, want error, operation, kind, name string) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s to %s %s %s: %v, want it refused", function, operation, kind, name, err)
			}
			refusals = append(refusals, denial("almanac-"+function, operation, kind+":LITERAL:"+name))
		}
		for _, topic := range known {
			if operation := unseen(r, topic.Topic, "WRITE"); !r.may("Write", "topic", topic.Topic) {
				err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic.Topic, Value: []byte("{}")}).FirstErr()
				refused(err, kerr.TopicAuthorizationFailed, operation, "Topic", topic.Topic)
			}
			err := fetch(ctx, cl, topic)
			switch may := r.may("Read", "topic", topic.Topic); {
			case !may:
				refused(err, kerr.TopicAuthorizationFailed, "READ", "Topic", topic.Topic)
			case errors.Is(err, kerr.TopicAuthorizationFailed):
				t.Errorf("%s may read %s: %v", function, topic.Topic, err)
			}
		}
		for _, other := range functions {
			if group := "almanac-" + other; !r.may("Read", "group", group) {
				refused(commit(ctx, cl, group), kerr.GroupAuthorizationFailed, "READ", "Group", group)
			}
			refused(begin(ctx, cl, "almanac-"+other), kerr.TransactionalIDAuthorizationFailed, "WRITE", "TransactionalId", "almanac-"+other)
		}
	}
	for operation, least := range map[string]int{" to WRITE Topic:": 100, " to READ Topic:": 20, " to READ Group:": 50} {
		if n := strings.Count(strings.Join(refusals, "\n"), operation); n < least {
			t.Errorf("%d refusals were tried%s, want %d at least", n, operation, least)
		}
	}
	s.logged(t, "kafka_brokers", audit("kafka", began, "is Denied operation"), refusals, denials(deniedByKafka))
}

var deniedByKafka = regexp.MustCompile(`Principal = User:(\S+) is Denied operation = (\S+) .* on resource = (\S+) `)

// denial is a refusal in few words: to whom, what, and of what.
func denial(principal, operation, resource string) string {
	return principal + " to " + operation + " " + resource
}

// denials reads those that a log has, each as an expression finds it: to whom, what, and of what.
func denials(each *regexp.Regexp) func(log string) map[string]bool {
	return func(log string) map[string]bool {
		all := map[string]bool{}
		for _, found := range each.FindAllStringSubmatch(log, -1) {
			all[denial(found[1], found[2], found[3])] = true
		}
		return all
	}
}

// logged wants each of the refusals in the logs of a group, as a command shows them and a function reads them.
func (s *site) logged(t *testing.T, group, command string, refusals []string, read func(log string) map[string]bool) {
	t.Helper()
	missing := s.retold(t, group, command, func(log string) []string {
		found := read(log)
		return slices.DeleteFunc(slices.Clone(refusals), func(refusal string) bool { return found[refusal] })
	})
	if len(missing) > 0 {
		t.Errorf("of %d refusals %d are not in the logs of %s: %s", len(refusals), len(missing), group, strings.Join(missing, "; "))
	}
	t.Logf("%d refusals", len(refusals))
}

// unseen is the operation that Kafka refuses first: a client asks where a topic is before it writes, and who may not see it is refused that.
func unseen(r role, topic, operation string) string {
	for _, sees := range []string{"Describe", "Read", "Write"} { // each of the others lets a role see, too
		if r.may(sees, "topic", topic) {
			return operation
		}
	}
	return "DESCRIBE"
}

// fetch reads a topic by its id, which those know, too, who do not see its name. Any broker refuses whom it may not let read; who is let in may be told
// that another one leads.
func fetch(ctx context.Context, cl *kgo.Client, topic kadm.TopicDetail) error {
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 1
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.TopicID, of.Partitions = topic.Topic, topic.ID, []kmsg.FetchRequestTopicPartition{part}
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.Topics = 1, []kmsg.FetchRequestTopic{of}
	answer, err := cl.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	got, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return fmt.Errorf("the answer is %+v", answer)
	}
	return errors.Join(kerr.ErrorForCode(got.ErrorCode), kerr.ErrorForCode(got.Topics[0].Partitions[0].ErrorCode))
}

// commit says of a group that it got to the start of a topic that all functions see. Like begin it asks a broker that need not be the group's: who has no right
// is told so first, of the right in question, and not that he may not ask whose the group is.
func commit(ctx context.Context, cl *kgo.Client, group string) error {
	part, of := kmsg.NewOffsetCommitRequestTopicPartition(), kmsg.NewOffsetCommitRequestTopic()
	of.Topic, of.Partitions = "almanac.deadletter", []kmsg.OffsetCommitRequestTopicPartition{part}
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation, request.Topics = group, -1, []kmsg.OffsetCommitRequestTopic{of}
	answer, err := cl.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	got, ok := answer.(*kmsg.OffsetCommitResponse)
	if !ok || len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return fmt.Errorf("the answer is %+v", answer)
	}
	return kerr.ErrorForCode(got.Topics[0].Partitions[0].ErrorCode)
}

// begin takes a transactional id.
func begin(ctx context.Context, cl *kgo.Client, id string) error {
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis, request.ProducerID, request.ProducerEpoch = &id, 1000, -1, -1
	answer, err := cl.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	got, ok := answer.(*kmsg.InitProducerIDResponse)
	if !ok {
		return fmt.Errorf("the answer is %+v", answer)
	}
	return kerr.ErrorForCode(got.ErrorCode)
}
