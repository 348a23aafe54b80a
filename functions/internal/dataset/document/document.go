// Package document reads YAML strictly: every key must be known, and every mistake is kept with its file and line, so
// that a person sees all of them at once.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const maxBytes = 1 << 20

// Mistakes collects what is wrong with the files of a folder. The zero value is ready to use.
type Mistakes struct {
	list []mistake
}

type mistake struct {
	file string
	line int
	text string
}

// Add keeps one mistake: what is wrong and what to do about it.
func (m *Mistakes) Add(file string, line int, wrong, do string) {
	found := mistake{file, line, wrong + "; " + do}
	if slices.Contains(m.list, found) {
		return
	}
	m.list = append(m.list, found)
}

// Err joins the mistakes in the order of their lines, or is nil if there are none.
func (m *Mistakes) Err() error {
	sort.SliceStable(m.list, func(i, j int) bool {
		a, b := m.list[i], m.list[j]
		return a.file < b.file || a.file == b.file && a.line < b.line
	})
	errs := make([]error, 0, len(m.list))
	for _, one := range m.list {
		errs = append(errs, fmt.Errorf("%s:%d: %s", one.file, one.line, one.text))
	}
	return errors.Join(errs...)
}

var parseError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// Parse reads a file that holds one YAML mapping. Anchors and aliases are refused, so a small file cannot stand for a big one.
// False says that the text cannot be used at all; what is wrong then stands in m.
func Parse(m *Mistakes, file string, text []byte) (Node, bool) {
	if len(text) > maxBytes {
		m.Add(file, 1, fmt.Sprintf("the file has %d bytes", len(text)), fmt.Sprintf("keep it below %d", maxBytes))
		return Node{}, false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			m.Add(file, second.Line, "a second document starts here", "put one document into one file")
			return Node{}, false
		}
	} else if errors.Is(err, io.EOF) {
		m.Add(file, 1, "the file is empty", "write the keys that docs/datasets.md lists")
		return Node{}, false
	}
	if !errors.Is(err, io.EOF) {
		line, what := 1, err.Error()
		if parts := parseError.FindStringSubmatch(what); parts != nil {
			line, _ = strconv.Atoi(parts[1])
			what = parts[2]
		}
		m.Add(file, max(line, 1), "the file is not YAML: "+what, "correct it")
		return Node{}, false
	}
	if len(doc.Content) == 0 {
		m.Add(file, 1, "the file is empty", "write the keys that docs/datasets.md lists")
		return Node{}, false
	}
	root := Node{mistakes: m, file: file, node: doc.Content[0], line: doc.Content[0].Line}
	if !root.plain(doc.Content[0]) {
		return Node{}, false
	}
	if root.node.Kind != yaml.MappingNode {
		root.Fail("the file holds a "+kind(root.node), "write key: value lines")
		return Node{}, false
	}
	return root, true
}

// plain refuses anchors and aliases.
func (n Node) plain(node *yaml.Node) bool {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		n.mistakes.Add(n.file, node.Line, "anchors and aliases are not supported", "write the value out")
		return false
	}
	for _, child := range node.Content {
		if !n.plain(child) {
			return false
		}
	}
	return true
}

func kind(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "mapping"
	case node.Kind == yaml.SequenceNode:
		return "list"
	case node.Tag == "!!null":
		return "null"
	}
	return strings.TrimPrefix(node.Tag, "!!")
}
