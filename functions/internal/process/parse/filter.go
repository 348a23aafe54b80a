package parse

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/field"
)

// filter compiles a filter to a function of a record of the chunk. As in SQL nothing can be said of a null but that it is one.
func (p *Parser) filter(f dataset.Filter) (func(i int) bool, error) {
	for _, c := range p.columns {
		if c.Name != f.Column {
			continue
		}
		switch f.Op {
		case "null":
			return func(i int) bool { return p.state[i] == passed && c.lacks(p.rows+i, false) }, nil
		case "not_null":
			return func(i int) bool { return !c.lacks(p.rows+i, false) }, nil
		}
		return p.compare(c, f)
	}
	return nil, fmt.Errorf("filter: there is no column %q", f.Column)
}

func (p *Parser) compare(c *column, f dataset.Filter) (func(i int) bool, error) {
	if f.Op == "in" {
		return p.anyOf(c, f.Values)
	}
	accept, ok := map[string]func(order int) bool{
		"==": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o != 0 },
		"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
		">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
	}[f.Op]
	if !ok || len(f.Values) != 1 {
		return nil, fmt.Errorf("filter on %s: the operator %q with %d values is not known", f.Column, f.Op, len(f.Values))
	}
	order, err := c.order(f.Values[0])
	if err != nil {
		return nil, err
	}
	return func(i int) bool { return !c.lacks(p.rows+i, false) && accept(order(p.rows+i)) }, nil
}

func (p *Parser) anyOf(c *column, values []string) (func(i int) bool, error) {
	var orders []func(row int) int
	for _, v := range values {
		order, err := c.order(v)
		if err != nil {
			return nil, err
		}
		orders = append(orders, order)
	}
	return func(i int) bool {
		if c.lacks(p.rows+i, false) {
			return false
		}
		for _, order := range orders {
			if order(p.rows+i) == 0 {
				return true
			}
		}
		return false
	}, nil
}

// order compares the values of a column with one value.
func (c *column) order(value string) (func(row int) int, error) {
	switch v := c.vector.(type) {
	case *integers:
		return against(c, v.fixed, value, cmp.Compare[int64])
	case *stamps:
		return against(c, v.fixed, value, cmp.Compare[int64])
	case *fixed[int32]:
		return against(c, v, value, cmp.Compare[int32])
	case *fixed[float64]:
		return against(c, v, value, cmp.Compare[float64])
	case *fixed[decimal128.Num]:
		return against(c, v, value, decimal128.Num.Cmp)
	case *fixed[bool]:
		return against(c, v, value, func(a, b bool) int {
			if a == b {
				return 0
			}
			return 1
		})
	case *texts:
		return func(row int) int { return bytes.Compare(v.get(row), []byte(value)) }, nil
	}
	return nil, fmt.Errorf("filter on %s: its values cannot be compared", c.Name)
}

func against[T scalar](c *column, f *fixed[T], text string, compare func(a, b T) int) (func(row int) int, error) {
	want, fault := f.read([]byte(text))
	if fault != field.Fine {
		return nil, fmt.Errorf("filter on %s: %q is not a value of type %s", c.Name, text, c.Type)
	}
	return func(row int) int { return compare(f.values[row], want) }, nil
}
