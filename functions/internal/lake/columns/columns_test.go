package columns_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/lake/parquet"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "i", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "raw", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "t", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "local", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	{Name: "d9", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Nullable: true},
	{Name: "d18", Type: &arrow.Decimal128Type{Precision: 18, Scale: 2}, Nullable: true},
	{Name: "d38", Type: &arrow.Decimal128Type{Precision: 38, Scale: 2}, Nullable: true},
	{Name: "null", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

func table(t *testing.T) *iceberg.Schema {
	t.Helper()
	fields, added, err := columns.Extend(nil, schema)
	if err != nil || added != schema.NumFields() {
		t.Fatal(added, err)
	}
	return iceberg.NewSchema(0, fields...)
}

func TestSchemaComesBack(t *testing.T) {
	got, err := columns.Arrow(table(t))
	if err != nil || !got.Equal(schema) {
		t.Errorf("Arrow() = %s, %v, want %s", got, err, schema)
	}
}

func TestSchemasThatAreRefused(t *testing.T) {
	for want, fields := range map[string][]arrow.Field{
		"stands twice":            {{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "a", Type: arrow.PrimitiveTypes.Int64}},
		"type int8 cannot":        {{Name: "a", Type: arrow.PrimitiveTypes.Int8}},
		"type timestamp[ns] can":  {{Name: "a", Type: &arrow.TimestampType{Unit: arrow.Nanosecond}}},
		"column n is long in the": {{Name: "n", Type: arrow.PrimitiveTypes.Float64}},
	} {
		_, _, err := columns.Extend(table(t).Fields(), arrow.NewSchema(fields, nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Extend by %v = %v, want an error with %q", fields, err, want)
		}
	}
}

// FieldIDs are part of every file that was ever written.
func TestFieldIDsDoNotChange(t *testing.T) {
	for name, want := range map[string]int{"delay": 248639961, "origin": 159357520, "_window": 175836019} {
		if got := columns.FieldID(name); got != want {
			t.Errorf("FieldID(%s) = %d, want %d", name, got, want)
		}
	}
}

func TestFieldIDsMustDiffer(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "annwpd", Type: arrow.PrimitiveTypes.Int64}, {Name: "zhnvsg", Type: arrow.PrimitiveTypes.Int64}}, nil)
	if _, err := columns.FieldIDs(s); err == nil || !strings.Contains(err.Error(), "columns annwpd and zhnvsg have the same field id: rename one") {
		t.Errorf("FieldIDs = %v", err)
	}
}

func describe(t *testing.T, rows string) iceberg.DataFile {
	t.Helper()
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := columns.FieldIDs(schema)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w, err := parquet.NewWriter(&buf, schema, ids)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := columns.File{Location: "file:///x.parquet", Bytes: int64(buf.Len()), Rows: batch.NumRows()}
	d, err := columns.Describe(bytes.NewReader(buf.Bytes()), f, table(t), iceberg.NewPartitionSpec())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBounds(t *testing.T) {
	d := describe(t, `[
		{"n":-5,"i":7,"f":1.5,"b":false,"s":"ab","raw":"/wA=","day":"2001-01-05","t":"2001-01-05T10:00:00Z","local":"1969-12-31T23:59:59","d9":"-1.50","d18":"-12345678901.00","d38":"-0.01"},
		{"n":300,"i":-7,"f":-2,"b":true,"s":"a character more than sixteen","raw":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","day":"1969-12-31","t":"2001-01-05T09:00:00Z","local":"2001-01-01T00:00:00","d9":"300.00","d18":"0.01","d38":"123456789012345678901234567890.00"},
		{"n":null,"s":"é","f":0}]`)
	schema := table(t)
	for name, want := range map[string][2]string{
		"n": {"-5", "300"}, "i": {"-7", "7"}, "f": {"-2", "1.5"}, "b": {"false", "true"}, "day": {"1969-12-31", "2001-01-05"},
		"d9": {"-1.50", "300.00"}, "d18": {"-12345678901.00", "0.01"}, "d38": {"-0.01", "123456789012345678901234567890.00"},
		"s": {"a character more", "é"},
	} {
		f, _ := schema.FindFieldByName(name)
		for i, bounds := range []map[int][]byte{d.LowerBoundValues(), d.UpperBoundValues()} {
			literal, err := iceberg.LiteralFromBytes(f.Type, bounds[f.ID])
			if err != nil || literal.String() != want[i] {
				t.Errorf("bound %d of %s is %v (% x), %v, want %s", i, name, literal, bounds[f.ID], err, want[i])
			}
		}
	}
	id := columns.FieldID("null")
	if d.NullValueCounts()[id] != 3 || d.ValueCounts()[id] != 3 || d.LowerBoundValues()[id] != nil {
		t.Errorf("a column of nulls has counts %v, %v and bound %v", d.NullValueCounts()[id], d.ValueCounts()[id], d.LowerBoundValues()[id])
	}
	if got := d.NullValueCounts()[columns.FieldID("n")]; got != 1 {
		t.Errorf("n has %d nulls, want 1", got)
	}
}

// A bound that is cut must still bound.
func TestLongUpperBounds(t *testing.T) {
	last := strings.Repeat("\U0010ffff", 15)
	for text, want := range map[string]string{
		"aaaaaaaaaaaaaaaaz":         "aaaaaaaaaaaaaaab",
		"aaaaaaaaaaaaaaa\ud7ffz":    "aaaaaaaaaaaaaaa\ue000",
		"aaaaaaaaaaaaaaa\U0010ffff": "aaaaaaaaaaaaaaa\U0010ffff",
		"b" + last + "xx":           "c",
		last + last:                 "", // too long for the footer
	} {
		d := describe(t, `[{"s":"`+text+`"}]`)
		id := columns.FieldID("s")
		if got := string(d.UpperBoundValues()[id]); got != want {
			t.Errorf("upper bound of %q is %q, want %q", text, got, want)
		}
		if lower := string(d.LowerBoundValues()[id]); lower > text && lower != "" {
			t.Errorf("lower bound of %q is %q", text, lower)
		}
	}
}

func TestFilesThatAreNotAsDescribed(t *testing.T) {
	if _, err := columns.Describe(bytes.NewReader([]byte("not a parquet file")), columns.File{}, table(t), iceberg.NewPartitionSpec()); err == nil {
		t.Error("Describe of another file gave no error")
	}
}
