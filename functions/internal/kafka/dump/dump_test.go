package dump_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/dump"
	"github.com/almanac-data/almanac/functions/internal/kafka/journal"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

var noon = time.Date(2001, 1, 5, 12, 0, 0, 0, time.UTC)

// empty is a broker in memory with access rules, as its administrator reaches it.
func empty(t *testing.T) *link.Cluster {
	t.Helper()
	dir, ca := t.TempDir(), certstest.NewAuthority(t, "authority")
	ca.WriteCA(filepath.Join(dir, "ca.crt"))
	_, _, pair := ca.Issue(dir, "broker", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	word := rand.Text()
	if err := os.WriteFile(filepath.Join(dir, "word"), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", "admin", word),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return kafkatest.Open(t, link.Config{Brokers: fake.ListenAddrs(), Now: func() time.Time { return noon }, Access: secure.Access{
		CA: filepath.Join(dir, "ca.crt"), User: "admin", PasswordFile: filepath.Join(dir, "word"),
	}})
}

func day(window string, generation int) events.Piece {
	return events.Piece{Dataset: "flights", Window: window, Generation: generation}
}

// worked is a cluster on which something was done: two days are stored, one was collected, and that was taken back.
func worked(t *testing.T) *link.Cluster {
	t.Helper()
	c := empty(t)
	names := topics.Names{Facts: events.FactTopics(), Dues: events.DueTopics(), Blocks: []string{"almanac.raw.flights"}}
	if err := topics.Ensure(t.Context(), c, names); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), c, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	gone := events.Collected{Piece: day("2001-01-07", 1).At(1)}
	if err := errors.Join(
		j.Say(t.Context(), events.Due{Piece: day("2001-01-05", 1), Step: events.StepCollect, Attempt: 1}, events.Due{Piece: day("2001-01-05", 1), Step: events.StepCollect, Attempt: 2},
			events.Stored{Piece: day("2001-01-05", 1)}, events.Stored{Piece: day("2001-01-06", 1)}, gone),
		j.Retract(t.Context(), gone),
		letters.Bury(t.Context(), c, letters.Letter{Attributes: map[string]string{"id": "x", "type": events.TypeDue}, Data: []byte("{}")}),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := acl.Apply(t.Context(), c, acl.Roles()[0], "User:almanac-calendar", false); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c *link.Cluster) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := dump.Write(t.Context(), c, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestWhatIsRestoredSaysTheSame dumps a cluster, restores it into an empty one, and compares what both say.
func TestWhatIsRestoredSaysTheSame(t *testing.T) {
	first := regexp.MustCompile(`"time":\d+`).ReplaceAll(write(t, worked(t)), []byte(`"time":978696000000`)) // said long ago
	c := empty(t)
	for range 2 { // the second time there is nothing to do
		totals, err := dump.Restore(t.Context(), c, bytes.NewReader(first))
		if err != nil || totals.Records["almanac.fact.stored"] != 2 || totals.Records["almanac.fact.collected"] != 0 || totals.Records["almanac.due.collect"] != 1 ||
			totals.Records[letters.Topic] != 1 || totals.Ends["almanac.due.collect"] != 2 {
			t.Fatalf("Restore = %+v, %v", totals, err)
		}
	}
	if again := write(t, c); content(t, again) != content(t, first) {
		t.Errorf("a dump of what was restored:\n%s\nof what was dumped:\n%s", content(t, again), content(t, first))
	}
	j, err := journal.Open(t.Context(), c, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	view, err := j.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if due, said, ok := facts.LatestDue(view, events.StepCollect, day("2001-01-05", 1)); !ok || due.Attempt != 2 || !said.Equal(noon) {
		t.Errorf("the last due is of attempt %d, said at %s, %t; want 2 at %s", due.Attempt, said, ok, noon)
	}
	if n := len(facts.LatestStored(view, "flights")); n != 2 || view.Refused() != 0 {
		t.Errorf("%d windows are stored, %d records refused; want 2 and none", n, view.Refused())
	}
}

// content is a dump without what is another in each cluster: ids, offsets and times.
func content(t *testing.T, of []byte) string {
	t.Helper()
	var s strings.Builder
	add := func(parts ...string) error { s.WriteString(strings.Join(parts, " ") + "\n"); return nil }
	_, err := dump.Read(bytes.NewReader(of), dump.Visitor{
		Topic: func(d dump.Topic) error {
			return add(d.Name, string('0'+d.Partitions), d.Settings["cleanup.policy"], d.Settings["retention.ms"], d.Settings["max.message.bytes"])
		},
		Right: func(r dump.Right) error {
			return add(r.Principal, r.Host, r.Kind, r.Name, r.Pattern, r.Operation, r.Permission)
		},
		Record: func(r dump.Record) error { return add(r.Topic, string(r.Key), string(r.Value), r.Type()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// TestARestoreThatWasKilledGoesOn lets a cluster hold the beginning of a topic of the dump.
func TestARestoreThatWasKilledGoesOn(t *testing.T) {
	whole := write(t, worked(t))
	c := empty(t)
	if _, err := dump.Restore(t.Context(), c, bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	half := empty(t)
	if err := topics.Ensure(t.Context(), half, topics.Names{Facts: events.FactTopics(), Dues: events.DueTopics()}); err != nil {
		t.Fatal(err)
	}
	var first *kgo.Record
	if _, err := dump.Read(bytes.NewReader(whole), dump.Visitor{Record: func(r dump.Record) error {
		if r.Topic == "almanac.fact.stored" && first == nil {
			first = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Time), Headers: headers(r)}
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	if err := half.Facts.ProduceSync(t.Context(), first).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := dump.Restore(t.Context(), half, bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	if a, b := content(t, write(t, half)), content(t, write(t, c)); a != b {
		t.Errorf("what went on holds:\n%s\nwant:\n%s", a, b)
	}
}

func headers(r dump.Record) (all []kgo.RecordHeader) {
	for _, h := range r.Headers {
		all = append(all, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return all
}

// TestAClusterThatIsUsedIsLeftAlone restores into one that says something else.
func TestAClusterThatIsUsedIsLeftAlone(t *testing.T) {
	whole := write(t, worked(t))
	used := empty(t)
	if err := topics.Ensure(t.Context(), used, topics.Names{Facts: events.FactTopics(), Dues: events.DueTopics()}); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), used, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Say(t.Context(), events.Released{Piece: day("2001-01", 0)}); err != nil {
		t.Fatal(err)
	}
	before := write(t, used)
	if _, err := dump.Restore(t.Context(), used, bytes.NewReader(whole)); !errors.Is(err, dump.ErrNotEmpty) {
		t.Errorf("Restore = %v, want %v", err, dump.ErrNotEmpty)
	}
	if after := write(t, used); !bytes.Equal(after, before) {
		t.Error("it was refused after something was changed")
	}
}

// TestADumpThatIsCutShortIsRefused cuts a dump at each line, and takes lines out of it.
func TestADumpThatIsCutShortIsRefused(t *testing.T) {
	whole := write(t, worked(t))
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	for n := range lines {
		if _, err := dump.Read(bytes.NewReader(bytes.Join(lines[:n], nil)), dump.Visitor{}); !errors.Is(err, dump.ErrPartial) {
			t.Errorf("Read of %d of %d lines = %v, want %v", n, len(lines), err, dump.ErrPartial)
		}
		without := append(append([]byte{}, bytes.Join(lines[:n], nil)...), bytes.Join(lines[n+1:], nil)...)
		if _, err := dump.Read(bytes.NewReader(without), dump.Visitor{}); !errors.Is(err, dump.ErrPartial) {
			t.Errorf("Read without line %d = %v, want %v", n+1, err, dump.ErrPartial)
		}
	}
	if _, err := dump.Read(strings.NewReader(`{"format":"almanac-kafka/9","cluster":"x","at":"2001-01-05T12:00:00Z"}`), dump.Visitor{}); err == nil {
		t.Error("a dump of another format is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":"almanac-kafka/1","cluster":"x","at":"2001-01-05T12:00:00Z"}` + "\n" + `{"end":{"topics":0,"rights":0,"records":{},"ends":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if totals, err := dump.Read(bytes.NewReader(data), dump.Visitor{}); err == nil && !bytes.Contains(data, []byte("end")) {
			t.Errorf("Read = %+v of what has no end", totals)
		}
	})
}
