package vector_test

import (
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/spark/connect"
	"github.com/almanac-data/almanac/functions/internal/spark/vector"
)

// TestCastKeepsItsPlace casts slices, whose first value is not the first in memory.
func TestCastKeepsItsPlace(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues([]float64{9, math.Copysign(0, -1), 0, math.Float64frombits(0x7ff8000000000001), 1.5}, []bool{true, true, false, true, true})
	all := b.NewArray()
	defer all.Release()
	part := array.NewSlice(all, 1, 5)
	defer part.Release()
	out, err := vector.Cast(part, arrow.PrimitiveTypes.Float64)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	got := out.(*array.Float64)
	if got.Len() != 4 || math.Signbit(got.Value(0)) || !got.IsNull(1) || math.Float64bits(got.Value(2)) != math.Float64bits(math.NaN()) || got.Value(3) != 1.5 {
		t.Errorf("Cast = %v", got)
	}
	naive := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Microsecond})
	naive.AppendValues([]arrow.Timestamp{1, 2, 3}, []bool{true, true, false})
	whole := naive.NewArray()
	defer whole.Release()
	tail := array.NewSlice(whole, 1, 3)
	defer tail.Release()
	zoned, err := vector.Cast(tail, arrow.FixedWidthTypes.Timestamp_us)
	if err != nil {
		t.Fatal(err)
	}
	defer zoned.Release()
	if ts := zoned.(*array.Timestamp); ts.Value(0) != 2 || !ts.IsNull(1) || !arrow.TypeEqual(ts.DataType(), arrow.FixedWidthTypes.Timestamp_us) {
		t.Errorf("Cast = %v of %s", ts, ts.DataType())
	}
}

func TestTypesThatHaveNoPlace(t *testing.T) {
	for _, kind := range []string{"", "binary", "array", "map", "struct", "calendar_interval", "day_time_interval", "variant"} {
		if found, err := vector.Type(connect.Column{Name: "v", Kind: kind}); err == nil {
			t.Errorf("Type of %q = %s, want an error", kind, found)
		}
	}
}
