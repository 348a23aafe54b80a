// Package column finds the columns that the files of a dataset name, and checks what is to be their value.
package column

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
)

var (
	decimal = regexp.MustCompile(`^[+-]?(\d*)(?:\.(\d*))?$`)
	times   = []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly}
)

// Named finds the contract's column that a value names. It is quiet where the contract has no readable columns at all.
func Named(n document.Node, d *dataset.Dataset, name string) *dataset.Column {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	if len(d.Columns) > 0 {
		n.Fail(fmt.Sprintf("the contract has no column %q", name), "name one of its properties, or add it there")
	}
	return nil
}

// Check checks that a text can be a value of the column.
func Check(n document.Node, c dataset.Column, text string) {
	if err := parseValue(c, text); err != nil {
		if number := (*strconv.NumError)(nil); errors.As(err, &number) {
			err = number.Err
		}
		n.Fail(fmt.Sprintf("%q cannot be a value of %s: %v", text, c.Name, err), "write a value of type "+string(c.Type))
	}
}

func parseValue(c dataset.Column, text string) error {
	switch c.Type {
	case dataset.String:
		return nil
	case dataset.Integer:
		_, err := strconv.ParseInt(text, 10, 64)
		return err
	case dataset.Number:
		_, err := strconv.ParseFloat(text, 64)
		return err
	case dataset.Boolean:
		_, err := strconv.ParseBool(text)
		return err
	case dataset.Decimal:
		parts := decimal.FindStringSubmatch(text)
		if parts == nil || parts[1]+parts[2] == "" {
			return strconv.ErrSyntax
		}
		if len(strings.TrimLeft(parts[1], "0")) > c.Precision-c.Scale || len(strings.TrimRight(parts[2], "0")) > c.Scale {
			return strconv.ErrRange
		}
		return nil
	case dataset.Date, dataset.Timestamp:
		layouts := c.Formats
		if len(layouts) == 0 {
			layouts = times
		}
		for _, layout := range layouts {
			if _, err := time.Parse(layout, text); err == nil {
				return nil
			}
		}
	}
	return strconv.ErrSyntax
}
