package parse

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/record"
)

// split finds the fields of the record that starts at offset at of text and ends with it, and holds no quote. It returns how
// many there are, and writes those that out has room for.
func split(text []byte, at int, delimiter byte, out []ref) int {
	n, start := 0, at
	for ; at < len(text); at++ {
		if text[at] != delimiter {
			continue
		}
		if n < len(out) {
			out[n] = ref{uint32(start) | bare, uint32(at)}
		}
		n++
		start = at + 1
	}
	if n < len(out) {
		out[n] = ref{uint32(start) | bare, uint32(at)}
	}
	return n + 1
}

// unquote is split for the record text[at:end] with quotes, which the scanner found sound. Fields with doubled quotes are
// written anew behind text. It returns false if a quote stands in a field that does not begin with one.
func unquote(text []byte, at, end int, f dataset.Format, out []ref) ([]byte, int, bool) {
	for n := 0; ; n++ {
		start, kind := at, bare
		if at < end && text[at] == f.Quote {
			kind = quoted
			at++
			doubled := false
			for start = at; ; at += 2 {
				at += bytes.IndexByte(text[at:end], f.Quote)
				if at+1 >= end || text[at+1] != f.Quote {
					break
				}
				doubled = true
			}
			stop := at
			at++
			if doubled {
				from := len(text)
				for ; start < stop; start++ {
					text = append(text, text[start])
					if text[start] == f.Quote {
						start++
					}
				}
				start, stop = from, len(text)
			}
			if n < len(out) {
				out[n] = ref{uint32(start) | kind, uint32(stop)}
			}
		} else {
			for at < end && text[at] != f.Delimiter {
				if text[at] == f.Quote {
					return text, n, false
				}
				at++
			}
			if n < len(out) {
				out[n] = ref{uint32(start) | kind, uint32(at)}
			}
		}
		if at >= end {
			return text, n + 1, true
		}
		at++
	}
}

// Mismatch says that a file is not of the form that the contract and the pipeline describe.
type Mismatch struct{ Reason, Detail string }

func (m *Mismatch) Error() string { return m.Detail }

// Header takes the header record of the CSV file that the next blocks lie in. The error is a *Mismatch.
func (p *Parser) Header(header []byte) error {
	names, err := p.names(header)
	if err != nil {
		return err
	}
	for i, name := range names {
		if j := slices.Index(names, name); j < i {
			return &Mismatch{"duplicate_column", fmt.Sprintf("the header names the column %q twice, as fields %d and %d: rename one of them in the file", name, j+1, i+1)}
		}
		known := slices.ContainsFunc(p.columns, func(c *column) bool { return c.Source == name })
		if !known && !p.drop[name] {
			return &Mismatch{"unknown_column", fmt.Sprintf("the header names the column %q, which the contract does not have: declare it in contract.yaml, say under process.rename in pipeline.yaml which column it is, or list it there under process.drop", name)}
		}
	}
	for _, c := range p.columns {
		c.at = slices.Index(names, c.Source)
		if c.at < 0 && c.Default == nil {
			return &Mismatch{"missing_column", fmt.Sprintf("the header has no column %q, which line %d of contract.yaml needs: add it to the file, say under process.rename in pipeline.yaml how it is called there, or give it a value under process.defaults", c.Source, c.Line)}
		}
	}
	p.shape(len(names))
	return nil
}

func (p *Parser) names(header []byte) ([]string, error) {
	out := make([]ref, bytes.Count(header, []byte{p.format.Delimiter})+1)
	text, n, ok := header, 0, false
	if s := record.Scan(p.format, header, false); s.Next() && s.Flaw == record.Sound && s.End == len(header) {
		text, n, ok = unquote(slices.Clip(header), s.Start, s.End, p.format, out)
	}
	if !ok {
		return nil, &Mismatch{"bad_header", fmt.Sprintf("the first record, the header, cannot be read: its quotes (%q) are wrong", p.format.Quote)}
	}
	names := make([]string, n)
	for i, f := range out[:n] {
		names[i] = string(trim(text[f.start&offset : f.end]))
	}
	return names, nil
}
