package lake

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// describe makes Iceberg's data files of the files, from their footers. A file that is missing, or not of the size, rows or
// columns that it is said to have, is an error.
func (l *Lake) describe(t *icetable.Table, r table.Replace) ([]iceberg.DataFile, error) {
	day := int32(r.Window.Start.Unix() / 86400)
	files := make([]iceberg.DataFile, 0, len(r.Files))
	for _, f := range r.Files {
		d, err := l.describeFile(t, f, day)
		if err != nil {
			return nil, fmt.Errorf("data file %s: %w", f.Path, err)
		}
		files = append(files, d)
	}
	if len(files) > 0 {
		if err := l.fs.SyncDir(DataDir(r.Table, r.Window)); err != nil {
			return nil, fmt.Errorf("make names of data files durable: %w", err)
		}
	}
	return files, nil
}

func (l *Lake) describeFile(t *icetable.Table, f events.File, day int32) (_ iceberg.DataFile, err error) {
	in, err := l.fs.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != f.Bytes {
		return nil, fmt.Errorf("has %d bytes, want %d", info.Size(), f.Bytes)
	}
	pf, err := file.NewParquetReader(in)
	if err != nil {
		return nil, err
	}
	meta := pf.MetaData()
	if meta.GetNumRows() != f.Rows {
		return nil, fmt.Errorf("has %d rows, want %d", meta.GetNumRows(), f.Rows)
	}
	b, err := iceberg.NewDataFileBuilder(t.Spec(), iceberg.EntryContentData, l.catalog.Location(f.Path), iceberg.ParquetFile,
		map[int]any{iceberg.PartitionDataIDStart: day}, map[int]string{iceberg.PartitionDataIDStart: "date"}, nil, f.Rows, f.Bytes)
	if err != nil {
		return nil, err
	}
	m := newMetrics()
	for i := range meta.NumRowGroups() {
		if err := m.add(t.Schema(), meta.RowGroup(i)); err != nil {
			return nil, err
		}
	}
	return m.build(b, t.Schema()), nil
}
