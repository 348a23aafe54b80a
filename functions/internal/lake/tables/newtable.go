package tables

import (
	"crypto/rand"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/columns"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// partition is the only partition field: the day of the window's start. (Strings are no partitions: iceberg-go
// loses ” in their bounds.)
const partition = table.Window + "_day"

// properties keep a table quick that gets thousands of commits.
var properties = iceberg.Properties{
	icetable.MetadataDeleteAfterCommitEnabledKey: "true",
	icetable.MetadataPreviousVersionsMaxKey:      "50",
	icetable.ManifestMergeEnabledKey:             "true",
	"write.parquet.compression-codec":            "zstd",
}

// newTable is the first version of a table: format 2, partitioned by the day of the window.
func newTable(location string, schema *arrow.Schema) (icetable.Metadata, error) {
	fields, _, err := columns.Extend(nil, schema)
	if err != nil {
		return nil, err
	}
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{columns.FieldID(table.Window)},
		FieldID:   iceberg.PartitionDataIDStart,
		Name:      partition,
		Transform: iceberg.DayTransform{},
	})
	// A UUID of version 4. iceberg-go would give out new field ids to a schema that it makes a table of, hence the builder.
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	order := icetable.UnsortedSortOrder
	b, err := icetable.NewMetadataBuilder(2)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		b.SetUUID(id),
		b.AddSchema(iceberg.NewSchema(0, fields...)),
		b.SetCurrentSchemaID(-1),
		b.AddSortOrder(&order),
		b.SetDefaultSortOrderID(-1),
		b.AddPartitionSpec(&spec, true),
		b.SetDefaultSpecID(-1),
		b.SetLoc(location),
		b.SetProperties(properties))
	if err != nil {
		return nil, err
	}
	return b.Build()
}
