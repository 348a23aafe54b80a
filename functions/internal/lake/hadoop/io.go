// Package hadoop keeps Iceberg tables in the layout of the Hadoop catalog: <warehouse>/<namespace>/<table>/metadata/v<N>.metadata.json
// and version-hint.text beside it, as Spark's HadoopCatalog and Hadoop tables of PyIceberg, DuckDB and Trino read it.
//
// A commit is one rename to the next version that cannot overwrite. Unlike iceberg-go's catalog of that name it takes no claim file first,
// so that a writer killed in the middle of a commit blocks nobody.
package hadoop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// files is a warehouse as iceberg-go sees it: names are URIs.
type files struct {
	fs   fsys.FS
	root string // location of the warehouse
}

var (
	_ iceio.WriteFileIO = files{}
	_ iceio.ReadFileIO  = files{}
)

// location is the form in which a URI stands in Iceberg metadata. A local path gets its scheme, because engines
// look for names without one in whatever file system is their default.
func location(uri string) string {
	if strings.HasPrefix(uri, "/") {
		return "file://" + uri
	}
	return uri
}

// name is the path within the warehouse of a location, with or without its scheme.
func (f files) name(uri string) (string, error) {
	root := f.root
	if strings.HasPrefix(uri, "/") {
		root = strings.TrimPrefix(root, "file://")
	}
	rest, ok := strings.CutPrefix(uri, root+"/")
	if !ok {
		return "", fmt.Errorf("location %q does not lie within the warehouse %s: %w", uri, f.root, fs.ErrInvalid)
	}
	return fsys.Clean(rest)
}

// Open opens a file for reading.
func (f files) Open(uri string) (iceio.File, error) {
	name, err := f.name(uri)
	if err != nil {
		return nil, err
	}
	return f.fs.Open(name)
}

// Remove deletes a file. That it is gone already is no error.
func (f files) Remove(uri string) error {
	name, err := f.name(uri)
	if err != nil {
		return err
	}
	if err := f.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadFile reads a whole file.
func (f files) ReadFile(uri string) ([]byte, error) {
	name, err := f.name(uri)
	if err != nil {
		return nil, err
	}
	return fsys.ReadFile(f.fs, name)
}

// Create makes a file.
func (f files) Create(uri string) (iceio.FileWriter, error) {
	name, err := f.name(uri)
	if err != nil {
		return nil, err
	}
	w, err := f.fs.Create(name)
	if err != nil {
		return nil, err
	}
	return writer{w}, nil
}

// WriteFile makes a file of the bytes.
func (f files) WriteFile(uri string, data []byte) error {
	name, err := f.name(uri)
	if err != nil {
		return err
	}
	return fsys.WriteFile(f.fs, name, data)
}

// writer is a file that is durable once it is closed: metadata must not name what can get lost.
type writer struct{ fsys.Writer }

// ReadFrom copies all of r.
func (w writer) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.Writer, r) }

// Close makes the bytes durable.
func (w writer) Close() error {
	err := w.Sync()
	return errors.Join(err, w.Writer.Close())
}
