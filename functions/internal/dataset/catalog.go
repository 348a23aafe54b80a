package dataset

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/almanac-data/almanac/events"
)

// Catalog is a set of datasets. Others may read it while it is replaced; a dataset that was read does not change.
type Catalog struct {
	mu     sync.RWMutex
	all    []*Dataset // sorted by name
	change func(*Dataset)
}

// NewCatalog is the catalog of some datasets.
func NewCatalog(all ...*Dataset) *Catalog {
	c := &Catalog{}
	c.Replace(all)
	return c
}

// Replace puts other datasets in place of those that there are.
func (c *Catalog) Replace(all []*Dataset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = changed(all, c.change)
	slices.SortFunc(c.all, func(a, b *Dataset) int { return strings.Compare(a.Name, b.Name) })
}

// Adapt changes each dataset for those who read it here, also those that Replace brings later.
func (c *Catalog) Adapt(change func(*Dataset)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.change = changed(c.all, change), change
}

// changed copies the datasets, and changes the copies.
func changed(all []*Dataset, change func(*Dataset)) []*Dataset {
	copies := slices.Clone(all)
	for i := range copies {
		if change != nil {
			d := *copies[i]
			change(&d)
			copies[i] = &d
		}
	}
	return copies
}

func (c *Catalog) datasets() []*Dataset {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.all
}

// Datasets lists the datasets, sorted by name.
func (c *Catalog) Datasets() ([]*Dataset, error) { return c.datasets(), nil }

// Dataset finds a dataset; the error wraps events.ErrInvalid and names those there are.
func (c *Catalog) Dataset(name string) (*Dataset, error) {
	all := c.datasets()
	names := make([]string, len(all))
	for i, d := range all {
		if d.Name == name {
			return d, nil
		}
		names[i] = d.Name
	}
	return nil, fmt.Errorf("%w: there is no dataset %q; there are: %s", events.ErrInvalid, name, strings.Join(names, ", "))
}

// Personal says whether any dataset has a column whose values leave process only as pseudonyms.
func (c *Catalog) Personal() bool {
	for _, d := range c.datasets() {
		if d.Personal() {
			return true
		}
	}
	return false
}
