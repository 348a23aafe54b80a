// Package release is the form of a published release: its manifest, the mark of an outdated one, and the verification of both by the files alone.
package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/gowebpki/jcs"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lineage"
)

// Format names the form of the manifest.
const Format = "almanac-release/1"

// What lies in the folder of a release.
const (
	ManifestFile = "manifest.json"
	DataDir      = "data" // data/<sha256>.parquet
)

// Manifest says what a release holds. It is written as canonical JSON (RFC 8785).
type Manifest struct {
	Content Content `json:"content"`
	// ContentSHA256 is the digest of the content in its canonical form.
	ContentSHA256 string     `json:"content_sha256"`
	Provenance    Provenance `json:"provenance"`
}

// Content is the part that the inputs decide alone: the same inputs give the same bytes.
type Content struct {
	Format      string            `json:"format"`
	Dataset     string            `json:"dataset"`
	Title       string            `json:"title"`
	Owner       string            `json:"owner,omitempty"`
	Contract    string            `json:"contract"` // version of the contract
	Definition  string            `json:"definition"`
	Release     string            `json:"release"`
	Version     string            `json:"version"` // <release>-<window>.<revision>
	Revision    int               `json:"revision"`
	Window      Window            `json:"window"`
	Rows        Rows              `json:"rows"`
	Files       []File            `json:"files"`
	Schema      []Column          `json:"schema"`
	Split       string            `json:"split,omitempty"` // column
	OrderBy     []string          `json:"order_by,omitempty"`
	SQL         SQL               `json:"sql"`
	Signature   string            `json:"signature"` // over everything that decides the rows
	Inputs      []Input           `json:"inputs"`
	Provisional []lineage.Absence `json:"provisional"` // what was absent and is not in it; empty for a complete release
}

// Provenance is how this copy came to be. It is in no digest.
type Provenance struct {
	PublishedAt time.Time         `json:"published_at"`
	Code        string            `json:"code"`      // version of Almanac
	Snapshots   map[string]string `json:"snapshots"` // of the tables, by name
	Reason      string            `json:"reason,omitempty"`
	Attempt     int               `json:"attempt"`
}

// Window is the time of a release: [Start, End).
type Window struct {
	Key   string    `json:"key"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Rows counts rows, in all and by the value of the split column.
type Rows struct {
	Total  int64            `json:"total"`
	Splits map[string]int64 `json:"splits,omitempty"`
}

// File is one data file.
type File struct {
	Path   string `json:"path"` // relative to the release
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
	Split  string `json:"split,omitempty"` // the value that all its rows have
}

// Column is one column of the data files.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// SQL is the text that made the rows.
type SQL struct {
	File   string `json:"file"` // in the dataset's folder
	SHA256 string `json:"sha256"`
}

// Input is one table as it was seen.
type Input struct {
	Table     string        `json:"table"`
	Back      string        `json:"back"` // how far before the window it was seen
	Signature string        `json:"signature"`
	Windows   []InputWindow `json:"windows"`
}

// InputWindow is one window of an input.
type InputWindow struct {
	Window     string `json:"window"`
	Digest     string `json:"digest"`
	Generation int    `json:"generation,omitempty"` // of rows
	Definition string `json:"definition,omitempty"` // of rows
	Rows       int64  `json:"rows"`
	// Sheet is the balance of rows read per event day.
	Sheet events.Sheet `json:"sheet,omitempty"`
}

// Number names a revision of the release.
func (c *Content) Number(revision int) {
	c.Revision = revision
	c.Version = fmt.Sprintf("%s-%s.%d", c.Release, c.Window.Key, revision)
}

// Columns is how the manifest writes a schema.
func Columns(schema *arrow.Schema) []Column {
	all := make([]Column, schema.NumFields())
	for i, f := range schema.Fields() {
		all[i] = Column{f.Name, typeName(f.Type), f.Nullable}
	}
	return all
}

// typeName is how the manifest writes a type.
func typeName(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return "timestamp[us, UTC]"
		}
		return "timestamp[us]"
	case *arrow.StringType:
		return "string"
	case *arrow.Date32Type:
		return "date"
	case *arrow.Decimal128Type:
		return fmt.Sprintf("decimal(%d, %d)", t.Precision, t.Scale)
	}
	return t.Name()
}

// Encode writes the manifest and sets the digest of its content.
func (m *Manifest) Encode() ([]byte, error) {
	content, err := json.Marshal(m.Content)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if m.ContentSHA256, err = digestOf(content); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	whole, err := json.Marshal(m)
	if err == nil {
		whole, err = jcs.Transform(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(whole, '\n'), nil
}

// digestOf is the digest of JSON in its canonical form.
func digestOf(content []byte) (string, error) {
	canonical, err := jcs.Transform(content)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// Decode reads a manifest, and refuses what it does not know.
func Decode(data []byte) (Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if m.Content.Format != Format {
		return m, fmt.Errorf("read manifest: its format is %q, this version of Almanac reads %q", m.Content.Format, Format)
	}
	return m, nil
}

// Stale is the mark beside a release that is outdated: <version>.stale.json. The release itself never changes.
type Stale struct {
	Version      string   `json:"version"`
	Cause        string   `json:"cause"`
	Changed      []string `json:"changed"` // the inputs that differ
	SupersededBy string   `json:"superseded_by"`
}
