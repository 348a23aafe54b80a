// Package rule decides the row rules of a contract over columns of Arrow data.
package rule

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// Rule is one row rule, ready to look at batches. It is for one goroutine.
type Rule struct {
	dataset.Rule

	Index int // of the column in the schema
	// broken calls hit for each row of the column that breaks the rule. A null breaks no rule but required.
	broken func(column arrow.Array, hit func(row int))
	scale  int32 // of a decimal column
}

// Compile makes the row rules of a dataset: those of severity error, then the others, in the contract's order.
func Compile(d *dataset.Dataset, schema *arrow.Schema) ([]*Rule, error) {
	var all []*Rule
	for _, r := range d.Rules {
		if r.Scope != dataset.ScopeRow {
			continue
		}
		at := schema.FieldIndices(r.Column)
		if len(at) != 1 {
			return nil, fmt.Errorf("%w: rule %s of %s: there is no column %s", events.ErrInvalid, r.Name, d.Name, r.Column)
		}
		c := &Rule{Rule: r, Index: at[0]}
		if err := c.compile(schema.Field(at[0]).Type); err != nil {
			return nil, fmt.Errorf("%w: rule %s of %s: %w", events.ErrInvalid, r.Name, d.Name, err)
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b *Rule) int { return order(a) - order(b) })
	return all, nil
}

func order(r *Rule) int {
	if r.Warning() {
		return 1
	}
	return 0
}

// Warning says that rows which break the rule are counted and kept.
func (r *Rule) Warning() bool { return r.Severity == "warning" }

// Broken calls hit for each row of the batch that breaks the rule.
func (r *Rule) Broken(batch arrow.RecordBatch, hit func(row int)) {
	r.broken(batch.Column(r.Index), hit)
}

func (r *Rule) compile(t arrow.DataType) error {
	switch r.Kind {
	case "required":
		r.broken = nulls
	case "range":
		return r.ranges(t)
	case "set":
		return r.set(t)
	case "regex":
		pattern, err := regexp.Compile(`\A(?:` + r.Pattern + `)\z`)
		if err != nil {
			return err
		}
		r.broken = remember(pattern.MatchString)
		if s, ok := shapeOf(r.Pattern); ok {
			r.broken = texts(s.match)
		}
		return r.needs(t, arrow.STRING)
	case "length":
		low, high := whole(r.Min, r.Max)
		r.broken = func(column arrow.Array, hit func(int)) { lengths(column, low, high, hit) }
		return r.needs(t, arrow.STRING)
	default:
		return fmt.Errorf("%q is not a kind of row rule", r.Kind)
	}
	return nil
}

func (r *Rule) needs(t arrow.DataType, ids ...arrow.Type) error {
	if slices.Contains(ids, t.ID()) {
		return nil
	}
	return fmt.Errorf("a %s rule cannot be asked of a column of type %s", r.Kind, t)
}

func nulls(column arrow.Array, hit func(int)) {
	if column.NullN() == 0 {
		return
	}
	for i := range column.Len() {
		if column.IsNull(i) {
			hit(i)
		}
	}
}

func (r *Rule) ranges(t arrow.DataType) error {
	low, high := whole(r.Min, r.Max)
	switch t := t.(type) {
	case *arrow.Int64Type:
		r.broken = func(c arrow.Array, hit func(int)) { outside(c, c.(*array.Int64).Int64Values(), low, high, hit) }
	case *arrow.TimestampType:
		r.broken = func(c arrow.Array, hit func(int)) {
			outside(c, c.(*array.Timestamp).TimestampValues(), arrow.Timestamp(low), arrow.Timestamp(high), hit)
		}
	case *arrow.Date32Type:
		low, high := max(low, math.MinInt32), min(high, math.MaxInt32)
		if low > high { // all dates lie on one side
			low, high = 1, 0
		}
		r.broken = func(c arrow.Array, hit func(int)) {
			outside(c, c.(*array.Date32).Date32Values(), arrow.Date32(low), arrow.Date32(high), hit)
		}
	case *arrow.Float64Type:
		low, high := bounds(r.Min, r.Max)
		r.broken = func(c arrow.Array, hit func(int)) { outside(c, c.(*array.Float64).Float64Values(), low, high, hit) }
	case *arrow.Decimal128Type:
		r.scale = t.Scale
		return r.decimals(t)
	default:
		return r.needs(t)
	}
	return nil
}

// outside finds the values that do not lie within the bounds; NaN lies nowhere.
func outside[T int64 | float64 | arrow.Date32 | arrow.Timestamp](column arrow.Array, values []T, low, high T, hit func(int)) {
	for i, v := range values {
		if !(low <= v && v <= high) && column.IsValid(i) { //nolint:staticcheck // turned round it would pass NaN
			hit(i)
		}
	}
}

// bounds of floats; an open one is infinite.
func bounds(low, high *float64) (float64, float64) {
	from, to := math.Inf(-1), math.Inf(1)
	if low != nil {
		from = *low
	}
	if high != nil {
		to = *high
	}
	return from, to
}

// whole is the bounds of the integers that lie within.
func whole(low, high *float64) (int64, int64) {
	from, to := bounds(low, high)
	return integer(math.Ceil(from)), integer(math.Floor(to))
}

func integer(v float64) int64 {
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}

func (r *Rule) decimals(t *arrow.Decimal128Type) error {
	low, high := decimal128.GetMaxValue(38).Negate(), decimal128.GetMaxValue(38)
	var err error
	if r.Min != nil {
		if low, err = scaled(*r.Min, t.Scale, math.Ceil); err != nil {
			return err
		}
	}
	if r.Max != nil {
		if high, err = scaled(*r.Max, t.Scale, math.Floor); err != nil {
			return err
		}
	}
	r.broken = func(column arrow.Array, hit func(int)) {
		for i, v := range column.(*array.Decimal128).Values() {
			if (v.Less(low) || high.Less(v)) && column.IsValid(i) {
				hit(i)
			}
		}
	}
	return nil
}

// scaled is a bound as the integer that a decimal of that scale is stored as. A bound such as 0.1, which no float holds exactly,
// is the nearest decimal; one that lies between two decimals is rounded inwards.
func scaled(bound float64, scale int32, inwards func(float64) float64) (decimal128.Num, error) {
	v := bound * math.Pow10(int(scale))
	if nearest := math.Round(v); math.Abs(v-nearest) <= 1e-9*math.Max(1, math.Abs(v)) {
		v = nearest
	} else {
		v = inwards(v)
	}
	n, err := decimal128.FromFloat64(v, 38, 0)
	if err != nil {
		return n, fmt.Errorf("bound %v: %w", bound, err)
	}
	return n, nil
}

func (r *Rule) set(t arrow.DataType) error {
	if t.ID() == arrow.INT64 {
		return r.integers()
	}
	members := make(map[string]bool, len(r.Set))
	for _, v := range r.Set {
		members[v] = true
	}
	r.broken = texts(func(v string) bool { return members[v] })
	return r.needs(t, arrow.STRING)
}

func (r *Rule) integers() error {
	members := make(map[int64]bool, len(r.Set))
	for _, text := range r.Set {
		var v int64
		if _, err := fmt.Sscan(text, &v); err != nil {
			return fmt.Errorf("%q is not an integer", text)
		}
		members[v] = true
	}
	r.broken = func(column arrow.Array, hit func(int)) {
		for i, v := range column.(*array.Int64).Int64Values() {
			if !members[v] && column.IsValid(i) {
				hit(i)
			}
		}
	}
	return nil
}

// texts finds the values that are not good. Of equal values that follow each other one is asked for.
func texts(good func(string) bool) func(arrow.Array, func(int)) {
	return func(column arrow.Array, hit func(int)) {
		values := column.(*array.String)
		last, ok := "", good("")
		for i := range values.Len() {
			if v := values.Value(i); v != last {
				last, ok = v, good(v)
			}
			if !ok && values.IsValid(i) {
				hit(i)
			}
		}
	}
}

// remembered is how many answers of a costly question are kept, and the length of the longest text of which one is.
const (
	remembered  = 1024
	longestKept = 15
)

// answer is what was said of a text.
type answer struct {
	text [longestKept]byte
	size uint8 // and 1; 0 for none
	good bool
}

// remember asks a costly question of texts, but not again of short ones that come again and again: the codes and categories of which most
// such columns are made.
func remember(good func(string) bool) func(arrow.Array, func(int)) {
	answers := make([]answer, remembered)
	return texts(func(v string) bool {
		if len(v) > longestKept {
			return good(v)
		}
		a := answer{size: uint8(len(v)) + 1}
		copy(a.text[:], v)
		at := (binary.LittleEndian.Uint64(a.text[:8])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(a.text[7:])*0xc2b2ae3d27d4eb4f) >> 54
		if kept := &answers[at]; kept.size != a.size || kept.text != a.text {
			a.good = good(v)
			*kept = a
		}
		return answers[at].good
	})
}

// lengths finds the values whose number of characters does not lie within the bounds. It counts only where bytes cannot tell.
func lengths(column arrow.Array, low, high int64, hit func(int)) {
	values := column.(*array.String)
	for i := range values.Len() {
		size := int64(values.ValueLen(i))
		if size <= high && (size+3)/4 >= low {
			continue
		}
		n := int64(utf8.RuneCountInString(values.Value(i)))
		if (n < low || n > high) && values.IsValid(i) {
			hit(i)
		}
	}
}
