// Package events is the wire contract of Almanac: the CloudEvents that its functions exchange.
//
// A fact says that a piece of work is done and claims its outputs; a due asks for a piece of work.
// Both travel as CloudEvents 1.0 in binary mode on Kafka, keyed by the piece of work they speak of,
// with the JSON form of the structs of this package as data. Golden files in testdata freeze the form,
// and the JSON Schemas in schema describe it for other languages.
package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrInvalid marks a failure that no retry can help: bad input, a broken contract, a forged event.
// A function answers it with 422, which a source does not retry.
var ErrInvalid = errors.New("invalid")

// Topic names. Facts and dues have one partition each and are compacted. A wake topic holds copies of those that wake one function, in many
// partitions, so that several instances share them; they are hints and nothing else.
const (
	FactTopicPrefix = "almanac.fact."
	DueTopicPrefix  = "almanac.due."
	WakeTopicPrefix = "almanac.wake."
)

// Piece names one piece of work.
type Piece struct {
	Dataset    string `json:"dataset"`
	Name       string `json:"name,omitempty"`       // the aggregate or release, where the step makes one; empty for rows
	Window     string `json:"window"`               // canonical key of a window: 2001-01-05, 2001-W03, 2001-01, 2001
	Generation int    `json:"generation,omitempty"` // from 1; 0 where the step has none
	Slice      int    `json:"slice,omitempty"`      // from 1; 0 where the step has none
}

// Key is the Kafka key of what is said of the piece: its parts joined by "/".
func (p Piece) Key() string {
	return strings.Join([]string{p.Dataset, p.Name, p.Window, strconv.Itoa(p.Generation), strconv.Itoa(p.Slice)}, "/")
}

// Subject is the CloudEvents subject of the piece: <dataset>/<window>.
func (p Piece) Subject() string { return p.Dataset + "/" + p.Window }

// Whole is the piece without its slice: the generation that it belongs to.
func (p Piece) Whole() Piece {
	p.Slice = 0
	return p
}

// At is the piece for one slice of the same generation.
func (p Piece) At(slice int) Piece {
	p.Slice = slice
	return p
}

// Of is the piece itself. An event speaks of the piece that it embeds.
func (p Piece) Of() Piece { return p }

// Event is implemented by every fact and due of this package.
type Event interface {
	// Type is the CloudEvents type: dev.almanac.<fact>.v1.
	Type() string
	// Topic is the Kafka topic that carries the event.
	Topic() string
	// Of is the piece of work that the event speaks of; its Key is the Kafka key.
	Of() Piece
	// ID is the CloudEvents id: made from the content, never random.
	ID() string
}

func id(kind string, p Piece, more ...string) string {
	return strings.Join(append([]string{kind, p.Key()}, more...), "/")
}

// Digest is the hex SHA-256 of the parts, each with its length before it.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Decode reads the data of an event of the given CloudEvents type.
// The error wraps ErrInvalid when the type is unknown or the data are not of its form.
func Decode(ceType string, data []byte) (Event, error) {
	var e Event
	switch ceType {
	case TypeDue:
		e = new(Due)
	case TypeCollected:
		e = new(Collected)
	case TypeProcessed:
		e = new(Processed)
	case TypeValidated:
		e = new(Validated)
	case TypeStaged:
		e = new(Staged)
	case TypeStored:
		e = new(Stored)
	case TypeStopped:
		e = new(Stopped)
	case TypeRestated:
		e = new(Restated)
	case TypeAggregated:
		e = new(Aggregated)
	case TypeReleased:
		e = new(Released)
	default:
		return nil, fmt.Errorf("%w: event type %q is not one of Almanac's", ErrInvalid, ceType)
	}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w: data of %s: %w", ErrInvalid, ceType, err)
	}
	if err := e.Of().check(); err != nil {
		return nil, fmt.Errorf("%w: data of %s: %w", ErrInvalid, ceType, err)
	}
	if due, ok := e.(*Due); ok && !slices.Contains(DueTopics(), due.Topic()) {
		return nil, fmt.Errorf("%w: data of %s: step %q is none that can be due", ErrInvalid, ceType, due.Step)
	}
	return e, nil
}

func (p Piece) check() error {
	switch {
	case p.Dataset == "":
		return errors.New("dataset is missing")
	case p.Window == "":
		return errors.New("window is missing")
	case strings.ContainsAny(p.Dataset+p.Name+p.Window, "/\\\x00"):
		return errors.New("dataset, name and window must not hold a slash")
	case p.Generation < 0 || p.Slice < 0:
		return errors.New("generation and slice must not be negative")
	}
	return nil
}
