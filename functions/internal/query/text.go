package query

import (
	"fmt"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
)

// Error is a mistake in a query's text, or in what it does with the rows it meets. No retry can help: it wraps events.ErrInvalid.
type Error struct {
	Line   int    // of the text, from 1; 0 if not known
	Detail string // what the engine says
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Detail
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
}

// Unwrap makes the error one that no retry can help.
func (e *Error) Unwrap() error { return events.ErrInvalid }

// Bound is the text with :start and :end replaced by timestamp literals, and without a semicolon at its end. Lines keep their numbers.
// String literals, quoted names, comments and casts (::) are left alone; any other parameter is an Error.
func (q Query) Bound() (string, error) {
	return q.BoundWith(func(literal string) string { return literal })
}

// BoundWith is Bound for an engine that writes string literals otherwise: edit gets each with its quotes, in two parts where a quote is
// doubled.
func (q Query) BoundWith(edit func(literal string) string) (string, error) {
	s := scanner{text: q.Text}
	var out strings.Builder
	semicolon := -1
	for s.at < len(s.text) {
		begin := s.at
		kind := s.next()
		token := s.text[begin:s.at]
		if semicolon >= 0 && kind != space {
			return "", &Error{s.line(begin), "text goes on after the semicolon: write one statement"}
		}
		switch {
		case kind == open:
			return "", &Error{s.line(begin), "a string, quoted name or comment does not end"}
		case kind == parameter && token == ":start":
			token = literal(q.Start)
		case kind == parameter && token == ":end":
			token = literal(q.End)
		case kind == parameter:
			return "", &Error{s.line(begin), fmt.Sprintf("unknown parameter %s: there are :start and :end", token)}
		case token == ";":
			semicolon, token = begin, " "
		case token[0] == '\'':
			token = edit(token)
		}
		out.WriteString(token)
	}
	return out.String(), nil
}

func literal(t time.Time) string {
	return "TIMESTAMP '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "'"
}

const (
	other = iota
	space // white space and comments
	parameter
	open // a token that the text ends within
)

// scanner splits SQL into the few kinds of tokens that matter here.
type scanner struct {
	text string
	at   int
}

func (s *scanner) line(at int) int { return 1 + strings.Count(s.text[:at], "\n") }

func (s *scanner) next() (kind int) {
	rest := s.text[s.at:]
	switch {
	case strings.HasPrefix(rest, "--"):
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		return s.take(end, space)
	case strings.HasPrefix(rest, "/*"):
		return s.until("*/", 2, space)
	case rest[0] == '\'' || rest[0] == '"' || rest[0] == '`':
		return s.until(rest[:1], 1, other) // a doubled quote is two tokens, which changes nothing
	case strings.HasPrefix(rest, "::"):
		return s.take(2, other)
	case rest[0] == ':' && len(rest) > 1 && letter(rest[1]):
		end := 2
		for end < len(rest) && (letter(rest[end]) || rest[end] >= '0' && rest[end] <= '9') {
			end++
		}
		return s.take(end, parameter)
	case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
		return s.take(1, space)
	}
	return s.take(1, other)
}

func (s *scanner) take(n, kind int) int {
	s.at += n
	return kind
}

func (s *scanner) until(mark string, after, kind int) int {
	end := strings.Index(s.text[s.at+after:], mark)
	if end < 0 {
		return s.take(len(s.text)-s.at, open)
	}
	return s.take(after+end+len(mark), kind)
}

func letter(b byte) bool { return b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }
