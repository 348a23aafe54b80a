package record

import (
	"bytes"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// Flaw says what is wrong with the quotes of a record.
type Flaw uint8

// The flaws that change where a record ends.
const (
	Sound        Flaw = iota
	Unterminated      // a quoted field does not end on the record's line, nor well on a later one
	BadQuote          // a closing quote is followed by neither a delimiter nor a line end
)

// Scanner yields the records of one block. Blank lines are not records.
type Scanner struct {
	// Start and End are the offsets of the current record in the block, without its line end.
	Start, End int
	// Quoted says that a quote byte stands in the record; without one its fields lie between the delimiters.
	Quoted bool
	Flaw   Flaw

	w walker
}

// Scan starts before the first record of a whole block. first says that the block starts a file: a byte order mark and,
// if the format has one, the header record are skipped.
func Scan(f dataset.Format, block []byte, first bool) *Scanner {
	n := 0
	if first {
		_, n = Header(f, block)
	}
	return scan(f, block, n)
}

func scan(f dataset.Format, block []byte, from int) *Scanner {
	s := &Scanner{w: walker{buf: block, format: f}}
	s.w.aim(from)
	return s
}

// Skip goes to offset at of the block, where a record starts.
func (s *Scanner) Skip(at int) {
	s.w.pos = at
	if s.w.quote < at {
		s.w.aim(at)
	}
}

// Lines returns the bytes from the scanner's place on that hold no quote, up to the end of a line: there each line that is
// not blank is a record. A caller that splits them itself goes on with Skip(end).
func (s *Scanner) Lines() (start, end int) {
	w := &s.w
	start, end = w.pos, w.plain(w.pos)
	if w.quote == len(w.buf) {
		end = len(w.buf)
	}
	return start, end
}

// Next goes to the next record and says whether there is one.
func (s *Scanner) Next() bool {
	w := &s.w
	for w.pos < len(w.buf) {
		start, end, next := w.pos, len(w.buf), len(w.buf)
		if nl := bytes.IndexByte(w.buf[start:], '\n'); nl >= 0 {
			end = start + nl
			next = end + 1
		}
		s.Quoted, s.Flaw = false, Sound
		if w.quote < next {
			if w.quote < start {
				w.aim(start)
			}
			if w.quote < next {
				r := w.record(start)
				s.Quoted, s.Flaw = true, r.flaw
				end, next = r.end, r.next
			}
		}
		w.pos = next
		if end > start && w.buf[end-1] == '\r' {
			end--
		}
		if end > start && (w.format.Kind != NDJSON || !blank(w.buf[start:end])) {
			s.Start, s.End = start, end
			return true
		}
	}
	return false
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}

// walker walks over the records of buf.
type walker struct {
	buf    []byte
	format dataset.Format
	pos    int
	quote  int // the first quote byte at or after pos when it was last looked for; len(buf) if there is none
}

// aim goes to pos and looks for the next quote.
func (w *walker) aim(pos int) {
	w.pos, w.quote = pos, len(w.buf)
	if w.format.Kind == NDJSON || w.format.Quote == 0 {
		return
	}
	if i := bytes.IndexByte(w.buf[pos:], w.format.Quote); i >= 0 {
		w.quote = pos + i
	}
}

// plain returns the end of the lines from pos on that hold no quote.
func (w *walker) plain(pos int) int {
	if w.quote < pos {
		w.aim(pos)
	}
	return pos + bytes.LastIndexByte(w.buf[pos:w.quote], '\n') + 1
}

type extent struct {
	end, next int // without and with the newline
	flaw      Flaw
	open      bool // there is no newline, or the closing quote or what follows it is not in buf
}

// record measures the record at pos, which may hold quotes.
func (w *walker) record(pos int) extent {
	buf, delimiter, quote := w.buf, w.format.Delimiter, w.format.Quote
	for i := pos; ; {
		if i == len(buf) {
			return extent{end: i, next: i, open: true}
		}
		if buf[i] == quote && quote != 0 {
			if i = closing(buf, i+1, quote); i < 0 {
				return w.line(pos, len(buf))
			}
			if i == len(buf) {
				return extent{end: i, next: i, open: true}
			}
			if !ends(buf[i:], delimiter) {
				return w.line(pos, i)
			}
		}
		for i < len(buf) && buf[i] != delimiter && buf[i] != '\n' {
			i++
		}
		if i == len(buf) {
			return extent{end: i, next: i, open: true}
		}
		if buf[i] == '\n' {
			return extent{end: i, next: i + 1}
		}
		i++
	}
}

// closing returns the offset after the quote that closes a field whose content starts at i, or -1.
func closing(buf []byte, i int, quote byte) int {
	for {
		j := bytes.IndexByte(buf[i:], quote)
		if j < 0 {
			return -1
		}
		i += j + 1
		if i == len(buf) || buf[i] != quote {
			return i
		}
		i++
	}
}

// ends says whether a field may end before rest.
func ends(rest []byte, delimiter byte) bool {
	switch rest[0] {
	case delimiter, '\n':
		return true
	case '\r':
		return len(rest) == 1 || rest[1] == '\n'
	}
	return false
}

// line is the extent of a record at pos whose quotes are wrong, which shows at offset at: its first line. The flaw
// depends on that line alone, so that it does not change with what follows in the block.
func (w *walker) line(pos, at int) extent {
	e := extent{end: len(w.buf), next: len(w.buf), flaw: Unterminated, open: at == len(w.buf)}
	if nl := bytes.IndexByte(w.buf[pos:], '\n'); nl >= 0 {
		e.end, e.next = pos+nl, pos+nl+1
	} else {
		e.open = true
	}
	if at < e.end {
		e.flaw = BadQuote
	}
	return e
}
