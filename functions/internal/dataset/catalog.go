package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/events"
)

// Catalog is a set of datasets, read once.
type Catalog struct {
	all []*Dataset
}

// Open reads every dataset below root. The error names every mistake in every folder.
func Open(root string) (*Catalog, error) {
	all, err := LoadAll(root)
	if err != nil {
		return nil, err
	}
	return &Catalog{all}, nil
}

// Datasets lists the datasets, sorted by name.
func (c *Catalog) Datasets() ([]*Dataset, error) { return c.all, nil }

// Dataset finds a dataset; the error wraps events.ErrInvalid and names those there are.
func (c *Catalog) Dataset(name string) (*Dataset, error) {
	names := make([]string, len(c.all))
	for i, d := range c.all {
		if d.Name == name {
			return d, nil
		}
		names[i] = d.Name
	}
	return nil, fmt.Errorf("%w: there is no dataset %q; there are: %s", events.ErrInvalid, name, strings.Join(names, ", "))
}

// Personal says whether any dataset has a column whose values leave process only as pseudonyms.
func (c *Catalog) Personal() bool {
	for _, d := range c.all {
		if slices.ContainsFunc(d.Columns, Column.Personal) {
			return true
		}
	}
	return false
}
