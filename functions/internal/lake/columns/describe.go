package columns

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
)

// File is a data file as its writer described it.
type File struct {
	Location string // as Iceberg metadata name it
	Bytes    int64
	Rows     int64
	Day      int32 // the partition: days since 1970-01-01
}

// Describe makes Iceberg's description of a data file, with the metrics of its footer. A file that has not the rows that it is
// said to have, or columns that the schema does not know, is an error.
func Describe(in parquet.ReaderAtSeeker, f File, schema *iceberg.Schema, spec iceberg.PartitionSpec) (iceberg.DataFile, error) {
	pf, err := file.NewParquetReader(in)
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	meta := pf.MetaData()
	if meta.GetNumRows() != f.Rows {
		return nil, fmt.Errorf("has %d rows, want %d", meta.GetNumRows(), f.Rows)
	}
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, f.Location, iceberg.ParquetFile,
		map[int]any{iceberg.PartitionDataIDStart: f.Day}, map[int]string{iceberg.PartitionDataIDStart: "date"}, nil, f.Rows, f.Bytes)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	m := newMetrics()
	for i := range meta.NumRowGroups() {
		if err := m.add(schema, meta.RowGroup(i)); err != nil {
			return nil, err
		}
	}
	return m.build(b, schema), nil
}
