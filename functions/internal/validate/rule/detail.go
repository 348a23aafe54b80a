package rule

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// shown is how many bytes of a value, and how many members of a set, a detail shows.
const (
	shownBytes   = 100
	shownMembers = 10
)

// Detail says what a person reads of a row that breaks the rule: the value and what it must be.
func (r *Rule) Detail(batch arrow.RecordBatch, row int) string {
	column := batch.Column(r.Index)
	if r.Kind == "required" {
		return r.Column + " is missing"
	}
	value := Text(column, row)
	switch r.Kind {
	case "length":
		n := utf8.RuneCountInString(column.(*array.String).Value(row))
		return fmt.Sprintf("%s has %d characters, must have %s", r.Column, n, span(r.number(r.Min), r.number(r.Max)))
	case "regex":
		return fmt.Sprintf("%s is %s, must match %s", r.Column, value, r.Pattern)
	case "set":
		members, more := r.Set, ""
		if len(members) > shownMembers {
			members, more = members[:shownMembers], fmt.Sprintf(" or %d more", len(r.Set)-shownMembers)
		}
		return fmt.Sprintf("%s is %s, must be one of %s%s", r.Column, value, strings.Join(members, ", "), more)
	}
	return fmt.Sprintf("%s is %s, must be %s", r.Column, value, span(r.bound(column, r.Min), r.bound(column, r.Max)))
}

func span(low, high string) string {
	switch {
	case high == "":
		return "at least " + low
	case low == "":
		return "at most " + high
	case low == high:
		return low
	}
	return low + " to " + high
}

func (r *Rule) number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// bound is a bound of a range as values of the column are written.
func (r *Rule) bound(column arrow.Array, v *float64) string {
	if v == nil {
		return ""
	}
	switch column.(type) {
	case *array.Date32:
		return time.Unix(int64(math.Floor(*v))*86400, 0).UTC().Format(time.DateOnly)
	case *array.Timestamp:
		return time.UnixMicro(int64(*v)).UTC().Format(time.RFC3339Nano)
	}
	return r.number(v)
}

// Text is a value as a person reads it, strings quoted and cut to 100 bytes.
func Text(column arrow.Array, row int) string {
	switch column := column.(type) {
	case *array.String:
		v := column.Value(row)
		if len(v) <= shownBytes {
			return strconv.Quote(v)
		}
		cut := shownBytes
		for cut > 0 && !utf8.RuneStart(v[cut]) {
			cut--
		}
		return strconv.Quote(v[:cut]) + "..."
	case *array.Timestamp:
		if column.IsValid(row) {
			return time.UnixMicro(int64(column.Value(row))).UTC().Format(time.RFC3339Nano)
		}
	case *array.Float64:
		if column.IsValid(row) {
			return strconv.FormatFloat(column.Value(row), 'g', -1, 64)
		}
	}
	return column.ValueStr(row)
}
