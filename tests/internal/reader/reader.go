// Package reader reads tables and source files for tests. It shares no code with what wrote them: Iceberg metadata and Avro
// manifests are read here, Parquet by parquet-go, CSV by encoding/csv.
package reader

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Bag is a multiset of rows, each as one text.
type Bag map[string]int

// Len is the number of rows.
func (b Bag) Len() int {
	n := 0
	for _, count := range b {
		n += count
	}
	return n
}

// Diff says in what b differs from want, in a few words; empty if in nothing.
func (b Bag) Diff(want Bag) string {
	if maps.Equal(b, want) {
		return ""
	}
	var lines []string
	note := func(row string, got, want int) {
		if got != want {
			lines = append(lines, fmt.Sprintf("%q %d times, want %d", strings.ReplaceAll(row, separator, "|"), got, want))
		}
	}
	for row, n := range b {
		note(row, n, want[row])
	}
	for row, n := range want {
		if b[row] == 0 {
			note(row, 0, n)
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d rows, want %d; %d rows differ: %s", b.Len(), want.Len(), len(lines), strings.Join(lines[:min(5, len(lines))], "; "))
}

// separator stands between the values of a row, and null is the text of a missing value.
const (
	separator = "\x1f"
	null      = "\x00"
)

// Row is the text of a row.
func Row(values ...string) string { return strings.Join(values, separator) }

// DataFile is a live data file of a table.
type DataFile struct {
	Path string
	Rows int64
}

// Table is an Iceberg table on local files, at its newest version.
type Table struct {
	Metadata string // the file it was read from
	Snapshot int64  // 0 if it has none
	Summary  map[string]string
	Columns  []string
	Files    []DataFile
}

// metadata is what is needed of vN.metadata.json (Iceberg specification, format version 2, "Table Metadata Fields").
type metadata struct {
	FormatVersion int    `json:"format-version"`
	Location      string `json:"location"`
	Current       int64  `json:"current-snapshot-id"`
	SchemaID      int    `json:"current-schema-id"`
	Schemas       []struct {
		ID     int `json:"schema-id"`
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	} `json:"schemas"`
	Snapshots []struct {
		ID           int64             `json:"snapshot-id"`
		ManifestList string            `json:"manifest-list"`
		Summary      map[string]string `json:"summary"`
	} `json:"snapshots"`
}

// Open reads the table in a folder, which may be a copy of one elsewhere. The error wraps fs.ErrNotExist if there is none.
func Open(dir string) (*Table, error) {
	name, err := newest(filepath.Join(dir, "metadata"))
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", dir, err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", dir, err)
	}
	var m metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("open table %s: %s: %w", dir, name, err)
	}
	t := &Table{Metadata: name}
	for _, s := range m.Schemas {
		for _, f := range s.Fields {
			if s.ID == m.SchemaID {
				t.Columns = append(t.Columns, f.Name)
			}
		}
	}
	for _, s := range m.Snapshots {
		if s.ID != m.Current {
			continue
		}
		t.Snapshot, t.Summary = s.ID, s.Summary
		if t.Files, err = (place{m.Location, dir}).manifestList(s.ManifestList); err != nil {
			return nil, fmt.Errorf("open table %s: %w", dir, err)
		}
	}
	return t, nil
}

// newest finds the newest version: what version-hint.text says, or one after it (a hint may lag, never lead).
func newest(dir string) (string, error) {
	hint, err := os.ReadFile(filepath.Join(dir, "version-hint.text"))
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(hint)))
	if err != nil {
		return "", err
	}
	version := func(n int) string { return filepath.Join(dir, "v"+strconv.Itoa(n)+".metadata.json") }
	for exists(version(n + 1)) {
		n++
	}
	return version(n), nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// place is where a table says that it lies, and the folder that it is read from.
type place struct{ location, dir string }

// local is the file that a URI of the table's metadata means.
func (p place) local(uri string) string {
	if rest, ok := strings.CutPrefix(uri, p.location+"/"); ok {
		return filepath.Join(p.dir, rest)
	}
	return strings.TrimPrefix(uri, "file://")
}

// manifestList reads the live data files of a snapshot.
func (p place) manifestList(name string) ([]DataFile, error) {
	manifests, err := readAvro(p.local(name))
	if err != nil {
		return nil, err
	}
	var files []DataFile
	for _, m := range manifests {
		if m["content"] != int64(0) {
			return nil, fmt.Errorf("%s names a manifest of deletes; Almanac writes none", name)
		}
		path, _ := m["manifest_path"].(string)
		entries, err := readAvro(p.local(path))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			f, _ := e["data_file"].(map[string]any)
			const deleted = int64(2)
			if e["status"] == deleted {
				continue
			}
			path, _ := f["file_path"].(string)
			rows, _ := f["record_count"].(int64)
			files = append(files, DataFile{p.local(path), rows})
		}
	}
	slices.SortFunc(files, func(a, b DataFile) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

// Rows reads the named columns of all rows, or all columns if none is named.
func (t *Table) Rows(columns ...string) (Bag, error) {
	if len(columns) == 0 {
		columns = t.Columns
	}
	bag := Bag{}
	for _, f := range t.Files {
		n, err := parquetRows(f.Path, columns, bag)
		if err == nil && n != f.Rows {
			err = fmt.Errorf("%s has %d rows, its manifest says %d", f.Path, n, f.Rows)
		}
		if err != nil {
			return nil, err
		}
	}
	return bag, nil
}

// Parquet reads the named columns of a Parquet file.
func Parquet(name string, columns ...string) (Bag, error) {
	bag := Bag{}
	_, err := parquetRows(name, columns, bag)
	return bag, err
}

func withParquet(name string, do func(f *parquet.File) error) (err error) {
	r, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	f, err := parquet.OpenFile(r, info.Size())
	if err == nil {
		err = do(f)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// parquetRows adds the rows of one file. A column that the file does not have is null in all of them.
func parquetRows(name string, columns []string, bag Bag) (n int64, err error) {
	err = withParquet(name, func(f *parquet.File) error {
		place := map[int]int{} // leaf: place in the row
		for i, path := range f.Schema().Columns() {
			if at := slices.Index(columns, strings.Join(path, ".")); at >= 0 {
				place[i] = at
			}
		}
		values := make([]string, len(columns))
		for _, group := range f.RowGroups() {
			rows, err := groupRows(group, place, values, bag)
			if n += rows; err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func groupRows(group parquet.RowGroup, place map[int]int, values []string, bag Bag) (n int64, err error) {
	rows := group.Rows()
	defer func() { err = errors.Join(err, rows.Close()) }()
	buffer := make([]parquet.Row, 1024)
	for {
		got, err := rows.ReadRows(buffer)
		for _, row := range buffer[:got] {
			for i := range values {
				values[i] = null
			}
			for _, v := range row {
				if at, ok := place[v.Column()]; ok {
					values[at] = text(v)
				}
			}
			bag[Row(values...)]++
		}
		n += int64(got)
		if errors.Is(err, io.EOF) || got == 0 && err == nil {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// text writes a value exactly: numbers in decimal (floating-point ones by their bits), dates as days and timestamps as microseconds.
func text(v parquet.Value) string {
	switch {
	case v.IsNull():
		return null
	case v.Kind() == parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case v.Kind() == parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case v.Kind() == parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case v.Kind() == parquet.Double:
		return strconv.FormatFloat(v.Double(), 'x', -1, 64)
	}
	return string(v.ByteArray())
}

// Tables opens every table of a dataset, by name.
func Tables(warehouse, dataset string) (map[string]*Table, error) {
	entries, err := os.ReadDir(filepath.Join(warehouse, dataset))
	if err != nil {
		return nil, err
	}
	tables := map[string]*Table{}
	for _, e := range entries {
		t, err := Open(filepath.Join(warehouse, dataset, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		tables[e.Name()] = t
	}
	return tables, nil
}
