// Package columns maps schemas of Arrow to those of Iceberg, and footers of Parquet files to what a manifest says of their columns.
package columns

import (
	"fmt"
	"hash/fnv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
)

// FieldID is the Iceberg field id of a column: a number of 28 bits made from its name. So a data file can be written before its
// table exists, its bytes do not depend on the table's history, and columns may be added anywhere.
func FieldID(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32()&(1<<28-1)) + 1
}

// FieldIDs returns the field ids of the columns, or an error if two share one.
func FieldIDs(schema *arrow.Schema) ([]int, error) {
	ids := make([]int, schema.NumFields())
	names := map[int]string{}
	for i, f := range schema.Fields() {
		ids[i] = FieldID(f.Name)
		if other, taken := names[ids[i]]; taken {
			if other == f.Name {
				return nil, fmt.Errorf("column %s stands twice in the schema", f.Name)
			}
			return nil, fmt.Errorf("columns %s and %s have the same field id: rename one", other, f.Name)
		}
		names[ids[i]] = f.Name
	}
	return ids, nil
}

func icebergType(t arrow.DataType) (iceberg.Type, error) {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return iceberg.PrimitiveTypes.Int64, nil
	case *arrow.Int32Type:
		return iceberg.PrimitiveTypes.Int32, nil
	case *arrow.Float64Type:
		return iceberg.PrimitiveTypes.Float64, nil
	case *arrow.BooleanType:
		return iceberg.PrimitiveTypes.Bool, nil
	case *arrow.StringType:
		return iceberg.PrimitiveTypes.String, nil
	case *arrow.BinaryType:
		return iceberg.PrimitiveTypes.Binary, nil
	case *arrow.Date32Type:
		return iceberg.PrimitiveTypes.Date, nil
	case *arrow.Decimal128Type:
		return iceberg.DecimalTypeOf(int(t.Precision), int(t.Scale)), nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Microsecond && t.TimeZone == "UTC" {
			return iceberg.PrimitiveTypes.TimestampTz, nil
		}
		if t.Unit == arrow.Microsecond && t.TimeZone == "" {
			return iceberg.PrimitiveTypes.Timestamp, nil
		}
	}
	return nil, fmt.Errorf("type %s cannot be stored", t)
}

func arrowType(t iceberg.Type) (arrow.DataType, error) {
	switch t := t.(type) {
	case iceberg.Int64Type:
		return arrow.PrimitiveTypes.Int64, nil
	case iceberg.Int32Type:
		return arrow.PrimitiveTypes.Int32, nil
	case iceberg.Float64Type:
		return arrow.PrimitiveTypes.Float64, nil
	case iceberg.BooleanType:
		return arrow.FixedWidthTypes.Boolean, nil
	case iceberg.StringType:
		return arrow.BinaryTypes.String, nil
	case iceberg.BinaryType:
		return arrow.BinaryTypes.Binary, nil
	case iceberg.DateType:
		return arrow.FixedWidthTypes.Date32, nil
	case iceberg.DecimalType:
		return &arrow.Decimal128Type{Precision: int32(t.Precision()), Scale: int32(t.Scale())}, nil
	case iceberg.TimestampTzType:
		return arrow.FixedWidthTypes.Timestamp_us, nil
	case iceberg.TimestampType:
		return &arrow.TimestampType{Unit: arrow.Microsecond}, nil
	}
	return nil, fmt.Errorf("type %s is not one of Almanac's", t)
}

// Extend returns the columns of a table that may hold rows of the schema: those it has, then those that are new.
// All are optional in Iceberg's sense, so that columns can come and go.
func Extend(present []iceberg.NestedField, schema *arrow.Schema) (fields []iceberg.NestedField, added int, err error) {
	ids, err := FieldIDs(schema)
	if err != nil {
		return nil, 0, err
	}
	byID := map[int]iceberg.NestedField{}
	for _, f := range present {
		byID[f.ID] = f
	}
	fields = append(fields, present...)
	for i, f := range schema.Fields() {
		t, err := icebergType(f.Type)
		if err != nil {
			return nil, 0, fmt.Errorf("column %s: %w", f.Name, err)
		}
		old, known := byID[ids[i]]
		switch {
		case !known:
			fields = append(fields, iceberg.NestedField{ID: ids[i], Name: f.Name, Type: t})
			added++
		case old.Name != f.Name:
			return nil, 0, fmt.Errorf("columns %s and %s have the same field id: rename one", old.Name, f.Name)
		case !old.Type.Equals(t):
			return nil, 0, fmt.Errorf("column %s is %s in the table and %s in the new rows: a type cannot change, give the column another name", f.Name, old.Type, t)
		}
	}
	return fields, added, nil
}

// Arrow is the Arrow form of a table's schema. Every column is nullable.
func Arrow(schema *iceberg.Schema) (*arrow.Schema, error) {
	fields := make([]arrow.Field, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		at, err := arrowType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		fields = append(fields, arrow.Field{Name: f.Name, Type: at, Nullable: true})
	}
	return arrow.NewSchema(fields, nil), nil
}
