package document

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Node is a value in a document, or the place where one is missing. Its readers give the zero value where the value is
// missing, and say so where it has the wrong form.
type Node struct {
	mistakes *Mistakes
	file     string
	node     *yaml.Node
	line     int // of its key
	path     string
	absent   bool
}

// Given says whether the value is there.
func (n Node) Given() bool { return n.node != nil && !n.absent }

// Line is where the value stands.
func (n Node) Line() int { return max(n.line, 1) }

// Raw is the text of a scalar as it stands in the file, without quotes.
func (n Node) Raw() string {
	if !n.Given() {
		return ""
	}
	return n.node.Value
}

// Mapping says whether the value is a mapping.
func (n Node) Mapping() bool { return n.Given() && n.node.Kind == yaml.MappingNode }

// Listed says whether the value is a list.
func (n Node) Listed() bool { return n.Given() && n.node.Kind == yaml.SequenceNode }

// Null says whether the value is written as null.
func (n Node) Null() bool { return n.Given() && n.node.Tag == "!!null" }

// Fail keeps a mistake at the line of the value.
func (n Node) Fail(wrong, do string) {
	if n.path != "" {
		wrong = n.path + ": " + wrong
	}
	n.mistakes.Add(n.file, n.Line(), wrong, do)
}

// Failf is Fail for a value that is wrong in itself; the value is put first.
func (n Node) Failf(do, wrong string, args ...any) {
	n.Fail(fmt.Sprintf("%q ", shorten(n.Raw()))+fmt.Sprintf(wrong, args...), do)
}

func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// Fields are the members of a mapping.
type Fields struct {
	of    Node
	names []string
	nodes map[string]Node
}

// Fields reads a mapping whose keys must be among the known ones.
func (n Node) Fields(known ...string) Fields {
	f := n.Members()
	for _, name := range f.names {
		if !slices.Contains(known, name) {
			sorted := slices.Sorted(slices.Values(known))
			f.nodes[name].Fail("is not supported", "use one of "+strings.Join(sorted, ", "))
		}
	}
	return f
}

// Members reads a mapping whose keys are free.
func (n Node) Members() Fields {
	f := Fields{of: n, nodes: map[string]Node{}}
	if !n.Given() {
		return f
	}
	if n.node.Kind != yaml.MappingNode {
		n.Fail("is a "+kind(n.node), "write it as a mapping")
		return f
	}
	for i := 0; i+1 < len(n.node.Content); i += 2 {
		key, value := n.node.Content[i], n.node.Content[i+1]
		member := Node{mistakes: n.mistakes, file: n.file, node: value, line: key.Line, path: join(n.path, shorten(key.Value))}
		switch _, twice := f.nodes[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			n.mistakes.Add(n.file, key.Line, "a key is a "+kind(key), "write a plain word")
		case twice:
			member.Fail("is given twice", "remove one")
		default:
			f.names = append(f.names, key.Value)
			f.nodes[key.Value] = member
		}
	}
	return f
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Names lists the keys in the order of the file.
func (f Fields) Names() []string { return f.names }

// Get is a member, or the place where it is missing.
func (f Fields) Get(name string) Node {
	if n, ok := f.nodes[name]; ok {
		return n
	}
	n := f.of
	n.path, n.absent = join(f.of.path, name), true
	return n
}

// Need is Get for a member that must be there.
func (f Fields) Need(name, do string) Node {
	n := f.Get(name)
	if !n.Given() && (f.of.Given() && f.of.node.Kind == yaml.MappingNode) {
		n.Fail("is missing", do)
	}
	return n
}

// scalar says whether the value is there and a scalar of one of the tags.
func (n Node) scalar(what string, tags ...string) bool {
	if !n.Given() {
		return false
	}
	if n.node.Kind != yaml.ScalarNode || !slices.Contains(tags, n.node.Tag) {
		n.Fail("is a "+kind(n.node), "write "+what)
		return false
	}
	return true
}

// Text reads a string; a date or a number written without quotes is taken as it stands.
func (n Node) Text() string {
	if !n.scalar("a text", "!!str", "!!int", "!!float", "!!bool", "!!timestamp") {
		return ""
	}
	return n.node.Value
}

// OneOf reads a text that must be one of the given ones; missing or wrong reads as the first.
func (n Node) OneOf(values ...string) string {
	if !n.Given() {
		return values[0]
	}
	if n.Raw() == "null" && slices.Contains(values, "null") {
		return "null" // the word, which YAML takes for nothing
	}
	text := n.Text()
	if text != "" && slices.Contains(values, text) {
		return text
	}
	if n.node.Kind == yaml.ScalarNode && !n.Null() {
		n.Failf("write "+choice(values), "is not supported")
	}
	return values[0]
}

func choice(values []string) string {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	if len(values) == 1 {
		return values[0]
	}
	return "one of " + strings.Join(values, ", ")
}

// Bool reads true or false; missing reads as the given one.
func (n Node) Bool(missing bool) bool {
	if !n.scalar("true or false", "!!bool") {
		return missing
	}
	value, err := strconv.ParseBool(strings.ToLower(n.node.Value))
	if err != nil {
		n.Failf("write true or false", "is not a truth value")
	}
	return value
}

// Number reads a finite number.
func (n Node) Number() (float64, bool) {
	if !n.scalar("a number", "!!int", "!!float") {
		return 0, false
	}
	var value float64
	if err := n.node.Decode(&value); err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		n.Failf("write a finite number", "is not a number that can be used")
		return 0, false
	}
	return value, true
}

// Whole reads an integer within [low, high].
func (n Node) Whole(low, high int64) (int64, bool) {
	if !n.scalar("a whole number", "!!int") {
		return 0, false
	}
	var value int64
	if err := n.node.Decode(&value); err != nil || value < low || value > high {
		n.Failf(fmt.Sprintf("write a whole number from %d to %d", low, high), "is out of range")
		return 0, false
	}
	return value, true
}

// List reads a list.
func (n Node) List() []Node {
	if !n.Given() {
		return nil
	}
	if n.node.Kind != yaml.SequenceNode {
		n.Fail("is a "+kind(n.node), "write it as a list")
		return nil
	}
	items := make([]Node, 0, len(n.node.Content))
	for i, item := range n.node.Content {
		items = append(items, Node{mistakes: n.mistakes, file: n.file, node: item, line: item.Line, path: fmt.Sprintf("%s[%d]", n.path, i)})
	}
	return items
}

// Texts reads a list of texts.
func (n Node) Texts() []string {
	var texts []string
	for _, item := range n.List() {
		if item.scalar("a text", "!!str", "!!int", "!!float", "!!bool", "!!timestamp") {
			texts = append(texts, item.node.Value)
		}
	}
	return texts
}
