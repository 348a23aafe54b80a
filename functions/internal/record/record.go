// Package record finds where records begin and end: in CSV as RFC 4180 has it (quotes, doubled quotes, embedded newlines,
// CRLF or LF, no newline needed at the end of the file) and in NDJSON by newlines.
//
// Whoever cuts bytes into blocks (collect), reads the records of a block (process) or finds one again (validate) uses this
// package, so that all agree. What a record is depends on the bytes up to its end alone, never on where blocks were cut:
// a quoted field that does not end, or ends wrongly, makes its record one line, and the next record starts on the next line.
package record

import (
	"bytes"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// NDJSON is the Kind of a format whose records are lines; every other kind is CSV.
const NDJSON = "ndjson"

const bom = "\xef\xbb\xbf"

// Cut returns the length of the longest prefix of buf that ends at a record end, or 0 if there is none. buf starts at a
// record start, and more bytes may follow it; at the end of a file the caller takes all that is left instead.
//
// full says that buf cannot grow. If its first record does not end even then, the record is its first line, because its
// quotes are wrong or it is too long to be read; so the prefix ends with that line. If there is no line end at all, the
// result is 0: buf is a fragment, and Rest says where its record ends.
func Cut(f dataset.Format, buf []byte, full bool) int {
	w := walker{buf: buf, format: f}
	w.aim(0)
	done := 0
	for done < len(buf) {
		if plain := w.plain(done); plain > done {
			done = plain
			continue
		}
		r := w.record(done)
		if r.open {
			break
		}
		done = r.next
	}
	if done == 0 && full {
		return Rest(buf)
	}
	return done
}

// Rest returns the length of the prefix of buf that belongs to a record which began in a fragment: all up to and with the
// first newline, or 0 if there is none. These bytes make a block of their own, the last of that record.
func Rest(buf []byte) int { return bytes.IndexByte(buf, '\n') + 1 }

// Header returns the first record of a file, without its line end, and the number of bytes before the record after it.
// A byte order mark and blank lines before it are skipped. If the format has no header record, header is nil and n is the
// length of the byte order mark.
func Header(f dataset.Format, buf []byte) (header []byte, n int) {
	if bytes.HasPrefix(buf, []byte(bom)) {
		n = len(bom)
	}
	if f.Kind == NDJSON || !f.Header {
		return nil, n
	}
	s := scan(f, buf, n)
	if !s.Next() {
		return nil, len(buf)
	}
	return buf[s.Start:s.End:s.End], s.w.pos
}
