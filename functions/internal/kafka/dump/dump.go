// Package dump writes what a Kafka holds that cannot be made again into one file, and brings it back into an empty one: the settings of Almanac's
// topics, all access rules, and the latest fact and due of each piece of work, with dead letters.
//
// Blocks are not in it: those that are not stored yet are collected again. A dump is JSON, one object a line, and ends with a line that counts the others, so that
// one that was cut short is told from a whole one.
package dump

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
)

// Format names the form of a dump.
const Format = "almanac-kafka/1"

// prefix of the topics that are dumped.
const prefix = "almanac."

// Head is the first line.
type Head struct {
	Format  string    `json:"format"`
	Cluster string    `json:"cluster"` // id
	At      time.Time `json:"at"`      // before the first record was read
}

// Topic is how a topic is made.
type Topic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"` // hex; a topic that is made anew has another
	Partitions int32             `json:"partitions"`
	Settings   map[string]string `json:"settings,omitempty"` // those that were given to the topic itself
}

// Right is one access rule, in Kafka's words.
type Right struct {
	Principal  string `json:"principal"`
	Host       string `json:"host"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Pattern    string `json:"pattern"`
	Operation  string `json:"operation"`
	Permission string `json:"permission"`
}

// Record is one record of a topic that has one partition.
type Record struct {
	Topic   string      `json:"topic"`
	Key     []byte      `json:"key"`
	Value   []byte      `json:"value"`
	Headers [][2]string `json:"headers,omitempty"`
	Time    int64       `json:"time"` // ms since 1970
	Offset  int64       `json:"offset"`
}

// Type is the CloudEvents type of a record, or "".
func (r Record) Type() string {
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], "ce_type") {
			return h[1]
		}
	}
	return ""
}

// Totals is what a dump holds.
type Totals struct {
	Topics  int              `json:"topics"`
	Rights  int              `json:"rights"`
	Records map[string]int   `json:"records"` // by topic
	Ends    map[string]int64 `json:"ends"`    // offset after the last record that was looked at, by topic: the positions
}

// line is any line of a dump.
type line struct {
	*Head

	Topic  *Topic  `json:"declare,omitempty"`
	Right  *Right  `json:"right,omitempty"`
	Record *Record `json:"record,omitempty"`
	End    *Totals `json:"end,omitempty"`
}

// dumped are the topics whose records are kept, in the order in which they are read: what follows from a fact before the fact itself, so that nothing in a dump
// follows from what is not in it.
func dumped() []string {
	facts := events.FactTopics()
	slices.Reverse(facts)
	return append(append(facts, events.DueTopics()...), letters.Topic)
}

// latest says whether of each key only the last record of a topic counts.
func latest(topic string) bool { return topic != letters.Topic }

// Visitor gets what a dump holds, in its order. A method that is nil gets nothing.
type Visitor struct {
	Head   func(Head) error
	Topic  func(Topic) error
	Right  func(Right) error
	Record func(Record) error
}

// ErrPartial says that a dump ends before its end.
var ErrPartial = errors.New("it was cut short, or is not a dump of Kafka")

// Read reads a whole dump. The error wraps ErrPartial if a part of it is missing.
func Read(in io.Reader, v Visitor) (Totals, error) {
	dec := json.NewDecoder(in)
	seen := Totals{Records: map[string]int{}}
	for n := 1; ; n++ {
		var l line
		if err := dec.Decode(&l); err != nil {
			return seen, fmt.Errorf("read dump: line %d: %w: %w", n, ErrPartial, err)
		}
		if (n == 1) != (l.Head != nil) {
			return seen, fmt.Errorf("read dump: line %d: %w", n, ErrPartial)
		}
		if l.End != nil {
			if dec.More() || seen.Topics != l.End.Topics || seen.Rights != l.End.Rights || !equal(seen.Records, l.End.Records) {
				return seen, fmt.Errorf("read dump: it holds other lines than it says: %w", ErrPartial)
			}
			return *l.End, nil
		}
		if err := seen.take(l, v); err != nil {
			return seen, err
		}
	}
}

func equal(a, b map[string]int) bool {
	for name, n := range b {
		if a[name] != n {
			return false
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return true
}

// take counts a line and shows it.
func (t *Totals) take(l line, v Visitor) error {
	switch {
	case l.Head != nil:
		if l.Format != Format {
			return fmt.Errorf("read dump: its format is %q, this version of Almanac reads %q", l.Format, Format)
		}
		return show(v.Head, *l.Head)
	case l.Topic != nil:
		t.Topics++
		return show(v.Topic, *l.Topic)
	case l.Right != nil:
		t.Rights++
		return show(v.Right, *l.Right)
	case l.Record != nil:
		t.Records[l.Record.Topic]++
		return show(v.Record, *l.Record)
	}
	return fmt.Errorf("read dump: %w", ErrPartial)
}

func show[T any](to func(T) error, what T) error {
	if to == nil {
		return nil
	}
	return to(what)
}
