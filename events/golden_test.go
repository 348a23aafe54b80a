package events

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files and schemas anew: the wire form changes for all who read it")

// golden is what a golden file holds: the attributes that are made from an event, and its data.
type golden struct {
	Type    string          `json:"type"`
	Topic   string          `json:"topic"`
	Key     string          `json:"key"`
	Subject string          `json:"subject"`
	ID      string          `json:"id"`
	Data    json.RawMessage `json:"data"`
}

func goldenOf(t *testing.T, e Event) []byte {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(golden{e.Type(), e.Topic(), e.Of().Key(), e.Of().Subject(), e.ID(), data}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func TestWireFormIsFrozen(t *testing.T) {
	for suffix, samples := range map[string]map[string]Event{"": full(), "-least": least()} {
		for name, e := range samples {
			got := goldenOf(t, e)
			compare(t, filepath.Join("testdata", name+suffix+".json"), got)

			back, err := Decode(e.Type(), dataOf(t, got))
			if err != nil {
				t.Errorf("Decode of the golden %s%s: %v", name, suffix, err)
				continue
			}
			if value := reflect.ValueOf(back).Elem().Interface(); !reflect.DeepEqual(value, e) {
				t.Errorf("Decode of the golden %s%s = %+v, want %+v", name, suffix, value, e)
			}
			if back.ID() != e.ID() || back.Topic() != e.Topic() || back.Of() != e.Of() {
				t.Errorf("the decoded %s%s has other attributes than what was encoded", name, suffix)
			}
		}
	}
}

func TestEveryKindHasAGoldenFile(t *testing.T) {
	topics := map[string]bool{}
	for _, e := range full() {
		topics[e.Topic()] = true
	}
	for _, topic := range FactTopics() {
		if !topics[topic] {
			t.Errorf("no golden file shows an event of %s", topic)
		}
	}
}

func dataOf(t *testing.T, text []byte) []byte {
	t.Helper()
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g.Data
}

// compare holds what is made now to a file, or writes the file.
func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
	}
}
