package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/tests/internal/box"
)

// TestDeadLetter puts an event on a topic that no function can ever handle: it ends as a dead letter, can be looked at and sent again, and
// nothing else is disturbed.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	running, err := s.Start("run", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	if _, err := running.Await(`Serving on (\S+)`, patience); err != nil {
		t.Fatal(err)
	}
	piece := events.Piece{Dataset: "nobody", Window: "2024-01-03", Generation: 1, Slice: 1}
	forged := events.Collected{Piece: piece, Last: true}
	s.produce(t, forged)
	letter := s.awaitLetter(t)
	a := letter.Attributes
	if a["type"] != forged.Type() || a["knativeerrorcode"] != "422" || a["knativeerrordata"] == "" || a["knativeerrordest"] == "" {
		t.Errorf("the dead letter is %v, want the event's type, the code 422, and what was said by whom", a)
	}
	contains(t, "deadletters list", run(t, s.Box, 0, "deadletters", "list").Out, letter.ID, forged.Type(), "422", "process")
	contains(t, "deadletters show", run(t, s.Box, 0, "deadletters", "show", letter.ID).Out, "nobody", "knativeerrordata")
	contains(t, "deadletters resend", run(t, s.Box, 1, "deadletters", "resend", letter.ID).Err, "422", "nobody")
	run(t, s.Box, 2, "deadletters", "show", "first")
	if result := running.Stop(); result.Code != 0 {
		t.Errorf("the run should end well: %s", result)
	}
	contains(t, "deadletters resend without a run", run(t, s.Box, 1, "deadletters", "resend", letter.ID).Err, "almanac run")
	s.holds(t, all(nil))
}

// produce writes an event to its topic of the broker that a run has opened.
func (s *shop) produce(t *testing.T, e events.Event) {
	t.Helper()
	var at struct {
		Kafka string `json:"kafka"`
	}
	text, err := os.ReadFile(filepath.Join(s.Data, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(at.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	record := &kgo.Record{Topic: e.Topic(), Key: []byte(e.Of().Key()), Value: data}
	for name, value := range map[string]string{
		"ce_specversion": "1.0", "ce_id": e.ID(), "ce_source": "/stranger", "ce_type": e.Type(), "content-type": "application/json",
	} {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) awaitLetter(t *testing.T) box.Letter {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		letters, err := s.DeadLetters(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(letters) > 0 {
			return letters[0]
		}
	}
	t.Fatal("there is no dead letter")
	return box.Letter{}
}
