package block

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

var typed = &dataset.Dataset{Name: "typed", Columns: []dataset.Column{
	{Name: "i", Type: dataset.Integer}, {Name: "n", Type: dataset.Number}, {Name: "c", Type: dataset.Decimal, Precision: 9, Scale: 2},
	{Name: "b", Type: dataset.Boolean}, {Name: "d", Type: dataset.Date}, {Name: "t", Type: dataset.Timestamp}, {Name: "s", Type: dataset.String},
}}

// sample has a row of values, one of nulls and one of extremes.
func sample(t testing.TB) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, Schema(typed))
	defer b.Release()
	valid := []bool{true, false, true}
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 0, math.MinInt64}, valid)
	b.Field(1).(*array.Float64Builder).AppendValues([]float64{1.5, 0, math.Inf(-1)}, valid)
	b.Field(2).(*array.Decimal128Builder).AppendValues([]decimal128.Num{decimal128.FromI64(250), {}, decimal128.FromI64(-999999999)}, valid)
	b.Field(3).(*array.BooleanBuilder).AppendValues([]bool{true, false, false}, valid)
	b.Field(4).(*array.Date32Builder).AppendValues([]arrow.Date32{11327, 0, -1}, valid)
	b.Field(5).(*array.TimestampBuilder).AppendValues([]arrow.Timestamp{978652800000000, 0, -1}, valid)
	b.Field(6).(*array.StringBuilder).AppendValues([]string{"ABC", "", ""}, valid)
	b.Field(7).(*array.Int64Builder).AppendValues([]int64{0, 1, 5}, nil)
	return b.NewRecordBatch()
}

func encoded(t testing.TB, b arrow.RecordBatch) []byte {
	t.Helper()
	value, err := Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestDecodeGivesWhatWasEncoded(t *testing.T) {
	whole := sample(t)
	for name, batch := range map[string]arrow.RecordBatch{
		"all rows": whole, "a part of the rows": whole.NewSlice(1, 3), "no rows": Empty(Schema(typed)), "a part without rows": whole.NewSlice(2, 2),
	} {
		back, err := Decode(encoded(t, batch), Schema(typed))
		if err != nil || !array.RecordEqual(back, batch) {
			t.Errorf("%s: Decode = %v, %v, want %v", name, back, err, batch)
		}
	}
}

func TestEncodeDependsOnTheBatchAlone(t *testing.T) {
	if !bytes.Equal(encoded(t, sample(t)), encoded(t, sample(t))) {
		t.Error("two equal batches give two values")
	}
}

func TestDecodeRefuses(t *testing.T) {
	value := encoded(t, sample(t))
	var two bytes.Buffer
	w := ipc.NewWriter(&two, ipc.WithSchema(Schema(typed)))
	for range 2 {
		if err := w.Write(sample(t)); err != nil {
			t.Fatal(err)
		}
	}
	var none bytes.Buffer
	for _, c := range []interface{ Close() error }{w, ipc.NewWriter(&none, ipc.WithSchema(Schema(typed)))} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	nulls := array.NewRecordBuilder(memory.DefaultAllocator, Schema(typed))
	for i := range nulls.Fields() {
		nulls.Field(i).AppendNull()
	}
	tests := map[string]struct {
		value []byte
		want  *arrow.Schema
		says  string
	}{
		"nothing":                          {nil, Schema(typed), ""},
		"what is no Arrow":                 {[]byte("2001-01-05,1,2\n"), Schema(typed), ""},
		"a block of another kind":          {value, Quarantine, "schema is"},
		"no batch":                         {none.Bytes(), Schema(typed), "no batch"},
		"two batches":                      {two.Bytes(), Schema(typed), "more than one batch"},
		"a null where the schema has none": {encoded(t, nulls.NewRecordBatch()), Schema(typed), "1 nulls in _ordinal"},
	}
	for name, tt := range tests {
		if got, err := Decode(tt.value, tt.want); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Decode = %v, %v, want an error with %q", name, got, err, tt.says)
		}
	}
	for n := range value[:len(value)-9] { // the last bytes only end the stream
		if got, err := Decode(value[:n], Schema(typed)); err == nil {
			t.Fatalf("Decode of %d of %d bytes gave %d rows, want an error", n, len(value), got.NumRows())
		}
	}
}

func TestDecodeRefusesMoreRowsThanABlockHas(t *testing.T) {
	const rows = 1 << 40 // eight terabytes of integers, said in some hundred bytes
	packed := arrow.NewSchema([]arrow.Field{{
		Name: Ordinal, Type: arrow.Null, Nullable: true, Metadata: arrow.NewMetadata([]string{"almanac.base", "almanac.unit"}, []string{"0", "1"}),
	}}, nil)
	var value bytes.Buffer
	w := ipc.NewWriter(&value, ipc.WithSchema(packed))
	if err := errors.Join(w.Write(array.NewRecordBatch(packed, []arrow.Array{array.NewNull(rows)}, rows)), w.Close()); err != nil {
		t.Fatal(err)
	}
	want := arrow.NewSchema([]arrow.Field{{Name: Ordinal, Type: arrow.PrimitiveTypes.Int64}}, nil)
	if got, err := Decode(value.Bytes(), want); err == nil || !strings.Contains(err.Error(), "rows, more than") {
		t.Errorf("Decode = %v, %v, want an error", got, err)
	}
}

// FuzzDecode holds that no bytes of the rows can end the process: neither while they are decoded, nor when they are read. What stands
// before them is ours: Arrow makes room for as many fields as a forged schema says, which no caller can bound. A block that another
// than Almanac wrote is kept out by the claim's digest, which is known only once all of a slice is read, and by the rights on the topic.
func FuzzDecode(f *testing.F) {
	whole := encoded(f, sample(f))
	rows := bodyOf(f, whole) + 8 // bytes, with the end of the stream
	head := whole[:len(whole)-rows]
	f.Add(whole[len(head):])
	f.Add(make([]byte, rows))
	f.Fuzz(func(_ *testing.T, body []byte) {
		body = append(bytes.Clone(body), whole[len(head)+min(len(body), rows):]...)
		batch, err := Decode(append(bytes.Clone(head), body...), Schema(typed))
		if err != nil {
			return
		}
		defer batch.Release()
		for _, c := range batch.Columns() {
			for i := range c.Len() {
				_ = c.ValueStr(i)
			}
		}
	})
}

// bodyOf is the number of bytes of the last message's body.
func bodyOf(t testing.TB, value []byte) int {
	t.Helper()
	r := ipc.NewMessageReader(bytes.NewReader(value))
	defer r.Release()
	n := 0
	for {
		m, err := r.Message()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n = int(m.BodyLen())
	}
}

func FuzzDecodeRaw(f *testing.F) {
	value, err := EncodeRaw([]byte("2001-01-05,1,2\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Fuzz(func(t *testing.T, value []byte) {
		if data, err := DecodeRaw(nil, value); err == nil && len(data) > 2*MaxRaw {
			t.Errorf("DecodeRaw of %d bytes gave %d", len(value), len(data))
		}
	})
}
