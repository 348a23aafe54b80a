// Package glob says which files a window of a dataset is collected from.
package glob

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// placeholders of a source path, and the part of a window's start that each stands for.
var placeholders = map[string]func(w window.Window) string{
	"{yyyy}":       func(w window.Window) string { return w.Start.Format("2006") },
	"{mm}":         func(w window.Window) string { return w.Start.Format("01") },
	"{dd}":         func(w window.Window) string { return w.Start.Format("02") },
	"{yyyy-mm}":    func(w window.Window) string { return w.Start.Format("2006-01") },
	"{yyyy-mm-dd}": func(w window.Window) string { return w.Start.Format("2006-01-02") },
	"{yyyy-Www}":   func(w window.Window) string { return window.At(window.Week, w.Start).Key() },
}

var (
	braces   = regexp.MustCompile(`\{[^{}]*\}`)
	globMeta = regexp.MustCompile(`[*?\[\]\\]`)
)

// Of is the path of a window's files, absolute; it may be a pattern as filepath.Glob reads it.
func Of(d *dataset.Dataset, w window.Window) string {
	path := expand(d.Collect.Path, w)
	if filepath.IsAbs(path) {
		return path
	}
	return globMeta.ReplaceAllString(d.Dir, `\$0`) + "/" + path
}

func expand(template string, w window.Window) string {
	return braces.ReplaceAllStringFunc(template, func(s string) string {
		if part, ok := placeholders[s]; ok {
			return part(w)
		}
		return s
	})
}

// Check checks that the path which n gives can be expanded, and that two windows do not read the same files.
func Check(n document.Node, c dataset.Collect) {
	if strings.Contains(c.Path, "://") {
		n.Failf("write the path of a file", "is not the path of a file")
		return
	}
	for _, s := range braces.FindAllString(c.Path, -1) {
		if placeholders[s] == nil {
			n.Failf("use {yyyy} {mm} {dd} {yyyy-mm} {yyyy-mm-dd} {yyyy-Www}", "has the unknown placeholder %s", s)
			return
		}
	}
	if strings.ContainsAny(braces.ReplaceAllString(c.Path, ""), "{}") {
		n.Failf("close every { with a }", "has a brace without its partner")
		return
	}
	if _, err := filepath.Match(expand(c.Path, window.Window{}), ""); err != nil || strings.Contains(c.Path, "**") {
		n.Failf("use *, ? and [a-z] as a shell does; ** is not supported", "is not a pattern")
		return
	}
	seen := map[string]window.Window{}
	w := window.At(c.Every, c.Start)
	for range 800 {
		path := expand(c.Path, w)
		if other, ok := seen[path]; ok {
			n.Fail(fmt.Sprintf("the windows %s and %s would read the same files, %s", other, w, path),
				"add the placeholders that tell them apart")
			return
		}
		seen[path] = w
		if w = w.Next(); !c.End.IsZero() && !w.Start.Before(c.End) {
			return
		}
	}
}
