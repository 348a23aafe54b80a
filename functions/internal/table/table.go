// Package table holds plain values about the tables of the warehouse, which cores and adapters share.
package table

import (
	"encoding/json"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Names of the two tables that every dataset has beside its aggregates.
const (
	Rows       = "rows"
	Quarantine = "quarantine"
)

// System columns of stored rows.
const (
	EventTime   = "_event_time"   // timestamp[us, UTC]: when it happened
	CollectedAt = "_collected_at" // timestamp[us, UTC]: logical time of the due window
	Window      = "_window"       // timestamp[us, UTC]: start of the window; the table is partitioned by its day
	Generation  = "_generation"   // int32
	Slice       = "_slice"        // int32
)

var (
	// ErrMoved says that the head of the table is no longer the one a commit was decided on.
	ErrMoved = errors.New("head moved")
	// ErrNoMap says that a table has rows but no map of windows: something else than Almanac wrote its head.
	ErrNoMap = errors.New("table has rows but no map of windows")
	// ErrLost says that a table does not hold what was stored in it: somebody rolled it back, or it is another one.
	ErrLost = errors.New("table lacks what was stored")
)

// Name names a table: <warehouse>/<dataset>/<table>.
type Name struct {
	Dataset string
	Table   string
}

func (n Name) String() string { return n.Dataset + "." + n.Table }

// Head is what a table holds at one snapshot. Snapshot is 0 while the table does not exist or is empty.
type Head struct {
	Snapshot int64
	// Entries maps the key of each window to what was said when it was committed. It is whole in every snapshot.
	Entries map[string]json.RawMessage
}

// Replace makes files the whole content of windows of a table, in one commit.
type Replace struct {
	Table   Name
	Schema  *arrow.Schema // of the files; the table is made, or gets new columns, as needed
	Windows []Content     // of different windows
	// Summary is put into the snapshot's summary besides the map, for people.
	Summary map[string]string
	// Head, if not 0, is the snapshot that must still be the head, or the commit fails with ErrMoved.
	Head int64
}

// Content is what one window is to hold.
type Content struct {
	Window window.Window
	Files  []events.File // relative to the warehouse; may be none
	Entry  json.RawMessage
	// Done looks at the window's present entry (nil if none) before every try. True leaves the window as it is. May be nil.
	Done func(present json.RawMessage) (bool, error)
}
