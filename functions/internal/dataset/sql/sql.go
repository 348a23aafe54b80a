// Package sql checks the SQL of a dataset as far as that goes without an engine.
package sql

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

var (
	parameter = regexp.MustCompile(`^:[A-Za-z_][A-Za-z0-9_]*`)
	firstWord = regexp.MustCompile(`^\s*([A-Za-z]*)`)
	// unstable are functions whose answer depends on when, where or how often a query runs, or that read what is no declared input:
	// with them the same inputs would not give the same release.
	unstable = regexp.MustCompile(`(?i)\b((?:now|random|rand|randn|uuid|gen_random_uuid|setseed|getenv|nextval|current_setting|today|` +
		`transaction_timestamp|get_current_time(?:stamp)?|read_(?:parquet|csv|csv_auto|json|json_auto|ndjson|text|blob)|parquet_scan|glob)\s*\(|` +
		`current_(?:timestamp|date|time|user)\b|localtime(?:stamp)?\b)`)
)

// Check checks that the text is one query whose only parameters are :start and :end. Whether it is good SQL only
// an engine can say.
func Check(m *document.Mistakes, file, text string) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		m.Add(file, 1, "the file is not UTF-8 text", "save it as UTF-8")
		return
	}
	code, open := blank(text)
	if open >= 0 {
		m.Add(file, line(text, open), "a quote or a comment is opened and not closed", "close it")
		return
	}
	if word := strings.ToLower(firstWord.FindStringSubmatch(code)[1]); word != "select" && word != "with" {
		m.Add(file, line(text, len(code)-len(strings.TrimLeft(code, " \t\r\n"))), "the text is not a query", "start it with SELECT or WITH")
	}
	for _, at := range unstable.FindAllStringIndex(code, -1) {
		name := strings.TrimRight(code[at[0]:at[1]], "( \t\r\n")
		m.Add(file, line(text, at[0]), name+" may not be used: the same inputs must give the same result",
			"use :start, :end and the declared inputs")
	}
	for i := 0; i < len(code); i++ {
		switch {
		case code[i] == ';':
			m.Add(file, line(text, i), "the text has a ;", "write one statement, and no ; after it")
		case strings.HasPrefix(code[i:], "::"):
			i++ // a cast
		case code[i] == ':':
			if name := parameter.FindString(code[i:]); name != "" && name != ":start" && name != ":end" {
				m.Add(file, line(text, i), "there is no parameter "+name, "use :start and :end, the bounds of the window")
			}
		}
	}
}

func line(text string, at int) int { return 1 + strings.Count(text[:min(at, len(text))], "\n") }

// blank gives the text with quoted parts and comments as spaces, and where one is not closed, or -1.
func blank(text string) (string, int) {
	out := []byte(text)
	for i := 0; i < len(out); {
		end, closed := quoted(text, i)
		if end == i {
			i++
			continue
		}
		if !closed {
			return "", i
		}
		for ; i < end; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	return string(out), -1
}

// quoted gives the end of the quoted part or the comment that starts at i, or i if none does.
func quoted(text string, i int) (end int, closed bool) {
	until := func(open, mark string) (int, bool) {
		at := strings.Index(text[i+len(open):], mark)
		if at < 0 {
			return len(text), mark == "\n"
		}
		return i + len(open) + at + len(mark), true
	}
	switch {
	case strings.HasPrefix(text[i:], "--"):
		return until("--", "\n")
	case strings.HasPrefix(text[i:], "/*"):
		return until("/*", "*/")
	case strings.ContainsRune("'\"`", rune(text[i])):
		return until(text[i:i+1], text[i:i+1]) // a doubled quote reads as two parts
	}
	return i, true
}
