package tally

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// typed is a dataset with a column of each type.
func typed() *dataset.Dataset {
	return &dataset.Dataset{Name: "typed", Collect: dataset.Collect{EventTime: "at"}, Columns: []dataset.Column{
		{Name: "at", Type: dataset.Timestamp}, {Name: "i", Type: dataset.Integer}, {Name: "j", Type: dataset.Integer}, {Name: "n", Type: dataset.Number},
		{Name: "c", Type: dataset.Decimal, Precision: 30, Scale: 2}, {Name: "b", Type: dataset.Boolean}, {Name: "d", Type: dataset.Date},
		{Name: "s", Type: dataset.String}, {Name: "u", Type: dataset.String},
	}}
}

// values is one row of typed, nil for null: at, i, j, n, c (in hundredths), b, d, s, u.
type values [9]any

var base = values{int64(978652800000000), int64(1), int64(2), 1.5, int64(250), true, int64(11327), "ABC", "a name longer than eight"}

func (v values) with(column int, value any) values {
	v[column] = value
	return v
}

func batchOf(rows ...values) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, block.Schema(typed()))
	defer b.Release()
	for n, r := range rows {
		for i, v := range r {
			appendValue(b.Field(i), v)
		}
		b.Field(len(r)).(*array.Int64Builder).Append(int64(n))
	}
	return b.NewRecordBatch()
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(v.(int64)))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(int64)))
	case *array.StringBuilder:
		b.Append(v.(string))
	default:
		panic(fmt.Sprintf("no way to append to %T", b))
	}
}

func hashOf(batches ...arrow.RecordBatch) string {
	t := New(typed(), block.Schema(typed()))
	for _, b := range batches {
		t.Add(b)
	}
	parts := ""
	for _, start := range slices.Sorted(func(yield func(int64) bool) {
		for start := range t.days {
			yield(start)
		}
	}) {
		parts += fmt.Sprintf("%s:%d:%x ", dayKey(start), t.days[start].rows, t.days[start].hash)
	}
	return parts
}

func TestRowHashTellsRowsApart(t *testing.T) {
	const i, j, n, c, b, d, s, u = 1, 2, 3, 4, 5, 6, 7, 8
	other := base.with(i, int64(7)).with(s, "XYZ")
	tests := map[string]struct{ a, b []values }{
		"another integer":                       {[]values{base}, []values{base.with(i, int64(3))}},
		"another number":                        {[]values{base}, []values{base.with(n, math.Nextafter(1.5, 2))}},
		"another decimal":                       {[]values{base}, []values{base.with(c, int64(251))}},
		"another sign of a decimal":             {[]values{base}, []values{base.with(c, int64(-250))}},
		"another boolean":                       {[]values{base}, []values{base.with(b, false)}},
		"another date":                          {[]values{base}, []values{base.with(d, int64(11328))}},
		"another time":                          {[]values{base}, []values{base.with(0, int64(978652800000001))}},
		"another short text":                    {[]values{base}, []values{base.with(s, "ABD")}},
		"another long text":                     {[]values{base}, []values{base.with(u, "a name longer than nine")}},
		"a text with a zero byte at its end":    {[]values{base}, []values{base.with(s, "ABC\x00")}},
		"null and zero":                         {[]values{base.with(i, nil)}, []values{base.with(i, int64(0))}},
		"null and the empty text":               {[]values{base.with(s, nil)}, []values{base.with(s, "")}},
		"null and false":                        {[]values{base.with(b, nil)}, []values{base.with(b, false)}},
		"null and the number zero":              {[]values{base.with(n, nil)}, []values{base.with(n, 0.0)}},
		"null and the constant that marks it":   {[]values{base.with(i, nil)}, []values{base.with(i, int64(0x165667B19E3779F9))}},
		"null in one column and in the next":    {[]values{base.with(i, nil)}, []values{base.with(j, nil)}},
		"two columns changed with each other":   {[]values{base}, []values{base.with(i, base[j]).with(j, base[i])}},
		"two texts changed with each other":     {[]values{base}, []values{base.with(s, base[u]).with(u, base[s])}},
		"a text moved to the next column":       {[]values{base.with(s, "ab").with(u, "c")}, []values{base.with(s, "a").with(u, "bc")}},
		"values changed between two rows":       {[]values{base, other}, []values{base.with(i, other[i]), other.with(i, base[i])}},
		"one row twice and another row twice":   {[]values{base, base}, []values{other, other}},
		"one row and two of it":                 {[]values{base}, []values{base, base}},
		"a row of nulls and none":               {[]values{base}, []values{base, {base[0]}}},
		"constants of the hash in first places": {[]values{base.with(i, int64(-7046029288634856825))}, []values{base.with(i, int64(-4417276706812531889))}},
	}
	for name, tt := range tests {
		if a, b := hashOf(batchOf(tt.a...)), hashOf(batchOf(tt.b...)); a == b {
			t.Errorf("%s: %v and %v both have %s", name, tt.a, tt.b, a)
		}
	}
	if a, b := hashOf(batchOf(base.with(n, 0.0))), hashOf(batchOf(base.with(n, math.Copysign(0, -1)))); a != b {
		t.Errorf("the two zeros have %s and %s, want one hash", a, b)
	}
}

func TestRowHashDependsNeitherOnOrderNorOnBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rows := randomRows(r, 500)
	want := hashOf(batchOf(rows...))
	for range 20 {
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		var batches []arrow.RecordBatch
		for rest := rows; len(rest) > 0; {
			n := min(1+r.IntN(90), len(rest))
			whole := batchOf(rest[:n]...)
			// A slice of a larger batch has offsets that a hash must mind.
			at := r.Int64N(int64(n) + 1)
			batches = append(batches, whole.NewSlice(0, at), whole.NewSlice(at, int64(n)))
			rest = rest[n:]
		}
		if got := hashOf(batches...); got != want {
			t.Fatalf("in another order and other batches the hashes are\n%s\nwant\n%s", got, want)
		}
	}
	rows[17] = rows[17].with(1, int64(1<<40))
	if hashOf(batchOf(rows...)) == want {
		t.Error("another value in one of 500 rows gives the same hashes")
	}
}

func randomRows(r *rand.Rand, n int) []values {
	maybe := func(v any) any {
		if r.IntN(5) == 0 {
			return nil
		}
		return v
	}
	rows := make([]values, n)
	for i := range rows {
		rows[i] = values{
			base[0].(int64) + r.Int64N(3*microsPerDay) - microsPerDay, maybe(r.Int64N(9) - 4), maybe(r.Int64N(9)), maybe(float64(r.IntN(4))),
			maybe(r.Int64N(100)), maybe(r.IntN(2) == 0), maybe(r.Int64N(3)), maybe(fmt.Sprint(r.IntN(30))), maybe(fmt.Sprint("a longer text ", r.IntN(30))),
		}
	}
	return rows
}

func TestDates(t *testing.T) {
	d := &dataset.Dataset{Name: "births", Columns: []dataset.Column{{Name: "date", Type: dataset.Date}}, Collect: dataset.Collect{EventTime: "date"}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, block.Schema(d))
	defer b.Release()
	b.Field(0).(*array.Date32Builder).AppendValues([]arrow.Date32{-1, 0, 0}, nil)
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{0, 1, 2}, nil)
	tally := New(d, block.Schema(d))
	tally.Add(b.NewRecordBatch())
	got := map[string]int64{}
	for start, day := range tally.days {
		got[dayKey(start)] = day.rows
	}
	if want := map[string]int64{"1969-12-31": 1, "1970-01-01": 2}; !reflect.DeepEqual(got, want) || tally.Newest() != "1970-01-01T00:00:00Z" {
		t.Errorf("days are %v, newest %s, want %v", got, tally.Newest(), want)
	}
}
