package format

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

const (
	timeLayout = "2006-01-02T15:04:05.999999999Z07:00" // RFC 3339
	dateLayout = "2006-01-02"
)

// kind says how the text of a cell must be treated.
type kind int

const (
	number kind = iota // stands as it is; NaN and Inf are no JSON numbers
	float
	plain // text that needs no escape: times, base64
	text  // any text
	nested
)

// column appends the text of the cells of one column of one batch.
type column struct {
	arrow.Array

	kind   kind
	append func(b []byte, i int) []byte
}

func columns(batch arrow.RecordBatch) []column {
	all := make([]column, batch.NumCols())
	for i, a := range batch.Columns() {
		all[i] = newColumn(a)
	}
	return all
}

func newColumn(a arrow.Array) column {
	c := column{Array: a, kind: number}
	switch a := a.(type) {
	case *array.Int64:
		c.append = func(b []byte, i int) []byte { return strconv.AppendInt(b, a.Value(i), 10) }
	case *array.Int32:
		c.append = func(b []byte, i int) []byte { return strconv.AppendInt(b, int64(a.Value(i)), 10) }
	case *array.Float64:
		c.kind = float
		c.append = func(b []byte, i int) []byte { return strconv.AppendFloat(b, a.Value(i), 'g', -1, 64) }
	case *array.Float32:
		c.kind = float
		c.append = func(b []byte, i int) []byte { return strconv.AppendFloat(b, float64(a.Value(i)), 'g', -1, 32) }
	case *array.Boolean:
		c.append = func(b []byte, i int) []byte { return strconv.AppendBool(b, a.Value(i)) }
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		c.append = func(b []byte, i int) []byte { return append(b, a.Value(i).ToString(scale)...) }
	case *array.Int8, *array.Int16, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64:
		c.append = func(b []byte, i int) []byte { return append(b, a.ValueStr(i)...) }
	default:
		c.kind, c.append = textual(a)
	}
	return c
}

func textual(a arrow.Array) (kind, func([]byte, int) []byte) {
	switch a := a.(type) {
	case *array.String:
		return text, func(b []byte, i int) []byte { return append(b, a.Value(i)...) }
	case *array.LargeString:
		return text, func(b []byte, i int) []byte { return append(b, a.Value(i)...) }
	case *array.Binary:
		return plain, func(b []byte, i int) []byte { return base64.StdEncoding.AppendEncode(b, a.Value(i)) }
	case *array.Date32:
		return plain, func(b []byte, i int) []byte { return a.Value(i).ToTime().AppendFormat(b, dateLayout) }
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return plain, func(b []byte, i int) []byte { return a.Value(i).ToTime(unit).UTC().AppendFormat(b, timeLayout) }
	case *array.List, *array.LargeList, *array.Struct, *array.Map, *array.FixedSizeList:
		return nested, func(b []byte, i int) []byte {
			value, err := json.Marshal(a.GetOneForMarshal(i))
			if err != nil {
				return append(b, "null"...)
			}
			return append(b, value...)
		}
	}
	return text, func(b []byte, i int) []byte { return append(b, a.ValueStr(i)...) }
}

// finite says whether the number at i is one that JSON can say.
func (c column) finite(i int) bool {
	switch a := c.Array.(type) {
	case *array.Float64:
		return !math.IsNaN(a.Value(i)) && !math.IsInf(a.Value(i), 0)
	case *array.Float32:
		v := float64(a.Value(i))
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return true
}
