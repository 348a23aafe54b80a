// Package format writes rows in the forms that the HTTP API offers, batch by batch, and chooses the form that a request asks for.
package format

import (
	"io"
	"mime"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// Writer writes batches of one schema.
type Writer interface {
	// Write writes one batch and does not keep it.
	Write(batch arrow.RecordBatch) error
	// Close ends the stream; a stream without it is cut off.
	Close() error
}

// Format is a form of rows.
type Format struct {
	Name  string // as ?format= says it
	Media string // media type
	New   func(w io.Writer, schema *arrow.Schema) (Writer, error)
}

// All lists the formats; the first is the one for those who do not care.
var All = []Format{
	{Name: "ndjson", Media: "application/x-ndjson", New: newNDJSON},
	{Name: "csv", Media: "text/csv", New: newCSV},
	{Name: "arrow", Media: "application/vnd.apache.arrow.stream", New: newArrow},
}

// Names lists the names of the formats.
func Names() []string {
	names := make([]string, len(All))
	for i, f := range All {
		names[i] = f.Name
	}
	return names
}

// ByName finds a format.
func ByName(name string) (Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// Accepted finds the format that an Accept header (RFC 9110, section 12.5.1) likes best; the empty header likes all.
func Accepted(accept string) (Format, bool) {
	best, quality := Format{}, 0.0
	for _, f := range All {
		if q := Quality(accept, f.Media); q > quality {
			best, quality = f, q
		}
	}
	return best, quality > 0
}

// Quality is how much an Accept header likes a media type, from 0 to 1: what the most specific range that holds it says.
func Quality(accept, media string) float64 {
	if strings.TrimSpace(accept) == "" {
		return 1
	}
	kind, _, _ := strings.Cut(media, "/")
	quality, specific := 0.0, 0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		rank := map[string]int{media: 3, kind + "/*": 2, "*/*": 1}[name]
		if rank == 0 || rank < specific {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		quality, specific = q, rank
	}
	return quality
}

func newArrow(w io.Writer, schema *arrow.Schema) (Writer, error) {
	return ipc.NewWriter(w, ipc.WithSchema(schema)), nil
}
