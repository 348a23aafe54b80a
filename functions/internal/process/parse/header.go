package parse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/process/split"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
)

// MismatchError says that a file is not of the form that the contract and the pipeline describe: no record of it can be trusted.
type MismatchError struct{ Reason, Detail string }

func (m *MismatchError) Error() string { return m.Detail }

// Header takes the header record of the CSV file that the next blocks lie in. The error is a *MismatchError.
func (p *Parser) Header(header []byte) error {
	names, ok := split.Names(p.format, header)
	if !ok {
		return &MismatchError{"bad_header", fmt.Sprintf("the first record, the header, cannot be read: its quotes (%q) are wrong", p.format.Quote)}
	}
	for i, name := range names {
		name = strings.Trim(name, " \t\n\v\f\r")
		names[i] = name
		if j := slices.Index(names, name); j < i {
			return &MismatchError{"duplicate_column", fmt.Sprintf("the header names the column %q twice, as fields %d and %d: rename one of them in the file", name, j+1, i+1)}
		}
		known := slices.ContainsFunc(p.columns, func(c *vector.Column) bool { return c.Source == name })
		if !known && !slices.Contains(p.drop, name) {
			return &MismatchError{"unknown_column", fmt.Sprintf("the header names the column %q, which the contract does not have: "+
				"declare it in contract.yaml, say under process.rename in pipeline.yaml which column it is, or list it there under process.drop", name)}
		}
	}
	for _, c := range p.columns {
		c.At = slices.Index(names, c.Source)
		if c.At < 0 && c.Default == nil {
			return &MismatchError{"missing_column", fmt.Sprintf("the header has no column %q, which line %d of contract.yaml needs: "+
				"add it to the file, say under process.rename in pipeline.yaml how it is called there, or give it a value under process.defaults", c.Source, c.Line)}
		}
	}
	p.fields(names, nil)
	return nil
}
