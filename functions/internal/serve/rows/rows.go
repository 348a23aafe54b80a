// Package rows streams the rows of a release in the form that a request asks for.
package rows

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/format"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Files is where the files of releases are read.
type Files interface {
	// Scan reads the columns of a Parquet file, or all if none is named, batch by batch.
	Scan(ctx context.Context, path string, columns ...string) (table.Reader, error)
}

// Selection is what a request wants of the rows of a release.
type Selection struct {
	format  format.Format
	columns []string // in the order of the answer; none for all
	limit   int64
	paths   []string
	schema  *arrow.Schema // of the whole release, as the manifest says it
}

// Select reads what a request wants of a version of a release of a dataset, whose manifest is doc.
func Select(r *http.Request, dataset string, v shelf.Version, doc shelf.Manifest) (Selection, error) {
	sel, err := selectRows(r, doc)
	for i, p := range sel.paths {
		sel.paths[i] = shelf.Path(dataset, v, p)
	}
	return sel, err
}

// Send streams the rows, file by file and batch by batch.
func (sel *Selection) Send(w http.ResponseWriter, r *http.Request, files Files) error {
	w.Header().Set("Vary", "Accept")
	out := &rowsOut{w: w, head: r.Method == http.MethodHead, Selection: *sel}
	for _, p := range sel.paths {
		if err := scan(r, files, p, out); err != nil {
			return out.failed(err)
		}
		if out.done() {
			break
		}
	}
	return out.end()
}

func selectRows(r *http.Request, doc shelf.Manifest) (Selection, error) {
	sel, query := Selection{schema: schemaOf(doc.Content.Schema)}, r.URL.Query()
	var ok bool
	if name := query.Get("format"); query.Has("format") {
		if sel.format, ok = format.ByName(name); !ok {
			return sel, request.Bad("format", "there is no format %q; there are: %s", name, strings.Join(format.Names(), ", "))
		}
	} else if sel.format, ok = format.Accepted(strings.Join(r.Header.Values("Accept"), ", ")); !ok {
		return sel, problem.Field(http.StatusNotAcceptable, "Accept", "rows come as %s, %s or %s; or say ?format=",
			format.All[0].Media, format.All[1].Media, format.All[2].Media)
	}
	var err error
	if sel.limit, err = request.Number(r, "limit", math.MaxInt64, 0, math.MaxInt64); err != nil {
		return sel, err
	}
	if query.Has("columns") {
		sel.columns = strings.Split(query.Get("columns"), ",")
		for i, c := range sel.columns {
			if c == "" || slices.Contains(sel.columns[:i], c) {
				return sel, request.Bad("columns", "columns must be names divided by commas, each once, not %q", query.Get("columns"))
			}
		}
	}
	return sel, sel.choose(doc, query.Has("split"), query.Get("split"))
}

// schemaOf is the Arrow schema of columns that a manifest lists. A type that it does not know is text: it is only asked where there are no rows.
func schemaOf(columns []shelf.Column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: typeOf(c.Type), Nullable: c.Nullable}
	}
	return arrow.NewSchema(fields, nil)
}

func typeOf(name string) arrow.DataType {
	for _, t := range []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Boolean,
	} {
		if t.Name() == name {
			return t
		}
	}
	var precision, scale int32
	if n, err := fmt.Sscanf(name, "decimal(%d, %d)", &precision, &scale); n == 2 && err == nil && precision > 0 && precision <= 38 {
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}
	}
	switch name {
	case "date":
		return arrow.FixedWidthTypes.Date32
	case "timestamp[us]":
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case "timestamp[us, UTC]":
		return arrow.FixedWidthTypes.Timestamp_us
	}
	return arrow.BinaryTypes.String
}

// choose lists the files to read.
func (sel *Selection) choose(doc shelf.Manifest, only bool, split string) error {
	var splits []string
	for _, f := range doc.Content.Files {
		if !only || f.Split == split {
			sel.paths = append(sel.paths, f.Path)
		}
		splits = append(splits, f.Split)
	}
	if only && len(sel.paths) == 0 {
		slices.Sort(splits)
		return request.Bad("split", "there is no split %q; there are: %s", split, strings.Join(slices.Compact(splits), ", "))
	}
	return nil
}

// scan passes the batches of one file on.
func scan(r *http.Request, files Files, p string, out *rowsOut) (err error) {
	reader, err := open(r, files, p, out.columns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for !out.done() && reader.Next() {
		if err := out.write(reader.RecordBatch()); err != nil {
			return err
		}
	}
	return reader.Err()
}

// open finds out whether an error is a column that is not there.
func open(r *http.Request, files Files, p string, columns []string) (table.Reader, error) {
	reader, err := files.Scan(r.Context(), p, columns...)
	if err == nil || len(columns) == 0 {
		return reader, err
	}
	all, err2 := files.Scan(r.Context(), p)
	if err2 != nil {
		return nil, err
	}
	defer func() { _ = all.Close() }()
	if !all.Next() {
		return nil, err
	}
	schema := all.RecordBatch().Schema()
	for _, c := range columns {
		if !schema.HasField(c) {
			return nil, noColumn(c, schema)
		}
	}
	return nil, err
}

func noColumn(name string, schema *arrow.Schema) error {
	return request.Bad("columns", "there is no column %q; there are: %s", name, strings.Join(fieldNames(schema), ", "))
}

func fieldNames(schema *arrow.Schema) []string {
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// rowsOut writes the answer; its head goes out with the first batch, so that what fails before gets a problem.
type rowsOut struct {
	Selection

	w      http.ResponseWriter
	head   bool
	out    format.Writer
	schema *arrow.Schema // of the answer, once it has begun
	count  int64
}

func (o *rowsOut) done() bool { return o.schema != nil && (o.head || o.count >= o.limit) }

// begin sends the head.
func (o *rowsOut) begin(schema *arrow.Schema) error {
	o.schema = schema
	o.w.Header().Set("Content-Type", o.format.Media)
	o.w.Header().Set("Cache-Control", answer.Forever)
	o.w.WriteHeader(http.StatusOK)
	if o.head {
		return nil
	}
	var err error
	o.out, err = o.format.New(o.w, schema)
	return err
}

func (o *rowsOut) write(batch arrow.RecordBatch) error {
	part, err := o.project(batch)
	if err != nil {
		return err
	}
	defer part.Release()
	if o.schema == nil {
		if err := o.begin(part.Schema()); err != nil || o.head {
			return err
		}
	}
	if !part.Schema().Equal(o.schema) {
		return fmt.Errorf("files of one release differ in their columns: %s, %s", o.schema, part.Schema())
	}
	o.count += part.NumRows()
	return o.out.Write(part)
}

// project cuts a batch to the columns and rows that are wanted. Metadata, which name the file's fields, are left out.
func (o *rowsOut) project(batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	names := o.columns
	if len(names) == 0 {
		names = fieldNames(batch.Schema())
	}
	rows := min(batch.NumRows(), o.limit-o.count)
	var fields []arrow.Field
	var columns []arrow.Array
	for _, name := range names {
		at := batch.Schema().FieldIndices(name)
		if len(at) == 0 {
			return nil, noColumn(name, batch.Schema())
		}
		if len(at) != 1 {
			return nil, fmt.Errorf("column %s is there %d times", name, len(at))
		}
		field := batch.Schema().Field(at[0])
		fields = append(fields, arrow.Field{Name: field.Name, Type: field.Type, Nullable: field.Nullable})
		columns = append(columns, array.NewSlice(batch.Column(at[0]), 0, rows))
	}
	part := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, rows)
	for _, c := range columns {
		c.Release()
	}
	return part, nil
}

// failed tells an error before the answer has begun from one after.
func (o *rowsOut) failed(err error) error {
	if o.schema != nil {
		return answer.Cut(err)
	}
	return err
}

// end ends the stream. A release without rows has no file that could tell its columns; its manifest does.
func (o *rowsOut) end() error {
	if o.schema == nil {
		none := block.Empty(o.Selection.schema)
		defer none.Release()
		if err := o.write(none); err != nil {
			return o.failed(err)
		}
	}
	if o.out == nil {
		return nil
	}
	return answer.Cut(o.out.Close())
}
