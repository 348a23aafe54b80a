// Package query holds plain values about SQL over pinned tables, which cores and engines share.
package query

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Query is one SQL text over views. Inside the text :start and :end stand for the window's bounds.
type Query struct {
	Text    string
	Start   time.Time
	End     time.Time
	Views   []View
	OrderBy []string // columns of the result that decide its order; ties are broken by all columns
}

// View is a table as the text sees it: some files at one snapshot, cut by time.
type View struct {
	Name   string
	Schema *arrow.Schema // of the table, also where Files is empty
	Files  []string      // absolute paths or URIs
	// Column is the timestamp column that From and Until (half-open) cut by.
	Column string
	From   time.Time
	Until  time.Time
	// Key, if not empty, keeps of rows with equal key columns only the one with the greatest _window, then the smallest (_slice, _ordinal).
	Key []string
}
