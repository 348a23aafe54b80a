package parse

import (
	"fmt"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
)

// accepts says which orders of a value and the filter's the operators hold for.
var accepts = map[string]func(order int) bool{
	"==": func(o int) bool { return o == 0 }, "in": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o != 0 },
	"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
	">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
}

// filter compiles a filter to a function of a record of the chunk. As in SQL nothing can be said of a null but that it is one.
func (p *Parser) filter(f dataset.Filter) (func(record int) bool, error) {
	for _, c := range p.columns {
		if c.Name != f.Column {
			continue
		}
		switch f.Op {
		case "null":
			return func(i int) bool { return p.state[i] == passed && c.IsNull(p.rows+i) }, nil
		case "not_null":
			return func(i int) bool { return !c.IsNull(p.rows + i) }, nil
		}
		return p.compare(c, f)
	}
	return nil, fmt.Errorf("there is no column %q", f.Column)
}

func (p *Parser) compare(c *vector.Column, f dataset.Filter) (func(record int) bool, error) {
	accept, ok := accepts[f.Op]
	if !ok || len(f.Values) == 0 || len(f.Values) > 1 && f.Op != "in" {
		return nil, fmt.Errorf("the operator %q with %d values is not known", f.Op, len(f.Values))
	}
	var orders []func(row int) int
	for _, v := range f.Values {
		order, err := c.Order(v)
		if err != nil {
			return nil, err
		}
		orders = append(orders, order)
	}
	return func(i int) bool {
		if c.IsNull(p.rows + i) {
			return false
		}
		for _, order := range orders {
			if accept(order(p.rows + i)) {
				return true
			}
		}
		return false
	}, nil
}
