package lake

import (
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/table"
)

// Parquet is NewParquet for those who know a table.Writer.
func (l *Lake) Parquet(ctx context.Context, dir string, schema *arrow.Schema) table.Writer {
	return l.NewParquet(ctx, dir, schema)
}

// File is Create for those who know a table.FileWriter.
func (l *Lake) File(ctx context.Context, dir, prefix, ext string) (table.FileWriter, error) {
	return l.Create(ctx, dir, prefix, ext)
}

// Scan is ReadParquet for those who know a table.Reader.
func (l *Lake) Scan(ctx context.Context, path string, columns ...string) (table.Reader, error) {
	return l.ReadParquet(ctx, path, columns...)
}

// Open is OpenFile for those who only read on.
func (l *Lake) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return l.OpenFile(ctx, path)
}

// Names lists the names in a folder, sorted, without what is not published yet.
func (l *Lake) Names(ctx context.Context, dir string) ([]string, error) {
	entries, err := l.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names, nil
}
