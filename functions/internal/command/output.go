package command

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
)

// PrintJSON writes a value, indented.
func (o *Options) PrintJSON(v any) error {
	enc := json.NewEncoder(o.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Printf prints for a person. Where nobody reads any more, there is nobody to tell.
func (o *Options) Printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format, args...)
}

// Columns are lines whose cells, parted by tabs, stand below each other. Flush prints them.
type Columns struct{ *tabwriter.Writer }

// Columns begins some, of which nothing is printed yet.
func (o *Options) Columns() Columns { return Columns{tabwriter.NewWriter(o.Out, 0, 4, 2, ' ', 0)} }

// Rowf adds a line.
func (c Columns) Rowf(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format+"\n", args...) // Flush tells
}

// Thousands groups the digits of a number by commas.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
