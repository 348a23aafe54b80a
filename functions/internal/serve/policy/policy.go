// Package policy says who may read which datasets: what a file of YAML grants, and nothing else.
package policy

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"

	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/identity"
)

// Grant is what somebody may read. The zero value is nothing.
type Grant struct {
	all      bool
	datasets []string
	metrics  bool
}

// May says whether a dataset of that name may be read, if there is one.
func (g Grant) May(dataset string) bool { return g.all || slices.Contains(g.datasets, dataset) }

// Nothing says whether there is not a single thing that may be read.
func (g Grant) Nothing() bool { return !g.all && len(g.datasets) == 0 && !g.metrics }

// Metrics says whether the metrics of the process may be read.
func (g Grant) Metrics() bool { return g.metrics }

// Everything is granted where nobody is asked who he is.
func Everything() Grant { return Grant{all: true, metrics: true} }

// Policy says who may read what. What it does not grant is refused.
type Policy struct{ readers []reader }

// reader is one entry: exactly one of subject, group and certificate is set.
type reader struct {
	subject, group, certificate string
	grant                       Grant
}

var datasetName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// Parse reads the YAML of a policy. The error names every mistake by its line.
func Parse(file string, text []byte) (*Policy, error) {
	var wrong document.Mistakes
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%s is empty; list who may read what, see docs/security.md", file)
	}
	root, ok := document.Parse(&wrong, file, text)
	if !ok {
		return nil, wrong.Err()
	}
	p := &Policy{}
	list := root.Fields("readers").Need("readers", "list who may read what, see docs/security.md")
	for _, node := range list.List() {
		p.readers = append(p.readers, parseReader(node))
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseReader(node document.Node) reader {
	f := node.Fields("subject", "group", "certificate", "datasets", "metrics")
	r := reader{subject: f.Get("subject").Text(), group: f.Get("group").Text(), certificate: f.Get("certificate").Text()}
	named := slices.DeleteFunc([]string{r.subject, r.group, r.certificate}, func(s string) bool { return s == "" })
	if len(named) != 1 {
		node.Fail("says by nothing, or by more than one thing, who it is for", "write exactly one of subject, group and certificate")
	}
	for _, name := range f.Get("datasets").Texts() {
		switch {
		case name == "*":
			r.grant.all = true
		case datasetName.MatchString(name):
			r.grant.datasets = append(r.grant.datasets, name)
		default:
			f.Get("datasets").Fail(fmt.Sprintf("%q is no name of a dataset", name), "write names of datasets, or \"*\" for all")
		}
	}
	r.grant.metrics = f.Get("metrics").Bool(false)
	if r.grant.Nothing() {
		node.Fail("grants nothing", "list datasets, or write metrics: true")
	}
	return r
}

// Of gathers all that is granted to somebody. Subjects and groups are those of tokens; a certificate is matched by its names alone.
func (p *Policy) Of(who identity.Identity) Grant {
	var g Grant
	for _, r := range p.readers {
		byToken := who.Names == nil && who.Subject != "" && (r.subject == who.Subject || r.group != "" && slices.Contains(who.Groups, r.group))
		byName := r.certificate != "" && slices.Contains(who.Names, r.certificate)
		if byToken || byName {
			g.all = g.all || r.grant.all
			g.metrics = g.metrics || r.grant.metrics
			g.datasets = append(g.datasets, r.grant.datasets...)
		}
	}
	return g
}

// Datasets lists the names of datasets that the policy mentions, each once.
func (p *Policy) Datasets() []string {
	var all []string
	for _, r := range p.readers {
		all = append(all, r.grant.datasets...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// File is a policy in a file, which counts as soon as it is changed. While what is there cannot be read, what was read before counts.
type File struct {
	Name string
	Warn func(error) // told once of each change that cannot be read

	mu   sync.Mutex
	seen os.FileInfo
	last *Policy
}

// Read reads the file if it has changed. It fails only if the file could never be read.
func (f *File) Read() (*Policy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.Name)
	if err == nil && f.seen != nil && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return f.last, nil
	}
	if err != nil && f.last != nil {
		if f.seen != nil {
			f.Warn(err)
		}
		f.seen = nil
		return f.last, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(f.Name)
	}
	var p *Policy
	if err == nil {
		p, err = Parse(f.Name, text)
	}
	switch {
	case err == nil:
		f.last = p
	case f.last == nil:
		return nil, err
	default:
		f.Warn(err)
	}
	f.seen = info
	return f.last, nil
}
