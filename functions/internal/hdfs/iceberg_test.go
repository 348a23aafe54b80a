package hdfs_test

import (
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

// Metadata name whole URIs, by which iceberg-go itself finds and reads the rows.
func TestIcebergReadsByURI(t *testing.T) {
	cfg := config(t)
	f := openAt(t, folder(t, cfg), cfg)
	l := lake.OpenOn(f)
	laketest.MustReplace(t, l, laketest.Replacing(laketest.Day(0), laketest.Entry(1), laketest.Write(t, l, laketest.Day(0), 1, 1000)...))
	metadata := f.URI("flights/rows/metadata/v2.metadata.json")
	if !strings.HasPrefix(metadata, "hdfs://"+cfg.NameNodes[0]+"/tmp/") {
		t.Errorf("URI is %s", metadata)
	}
	table, err := icetable.NewFromLocation(t.Context(), icetable.Identifier{"x"}, metadata, iceio.LoadFSFunc(nil, metadata), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table.Scan().ToArrowTable(t.Context())
	if err != nil || rows.NumRows() != 1000 {
		t.Errorf("iceberg-go reads %v, %v, want 1000 rows", rows, err)
	}
	if _, err := iceio.LoadFS(t.Context(), nil, "hdfs://elsewhere:1/x"); err == nil {
		t.Error("LoadFS of a location in no warehouse gave no error")
	}
}
