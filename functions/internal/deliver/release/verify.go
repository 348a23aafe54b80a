package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Report is what Verify found. A release without problems is what its manifest says.
type Report struct {
	Version  string   `json:"version"`
	Content  string   `json:"content"` // digest of the content, as computed
	Files    int      `json:"files"`
	Rows     int64    `json:"rows"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"`
}

// OK says whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) problemf(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Verify recomputes everything that a manifest says from the files of the release alone: digests, sizes, row counts, schema, splits, the
// balance of the sheets, and that no file is missing or too much. What is not as it should be is a problem of the report; the error is for
// what kept it from looking.
func Verify(ctx context.Context, release fs.FS) (Report, error) {
	r := Report{Problems: []string{}}
	data, err := fs.ReadFile(release, ManifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		r.problemf("%s is missing", ManifestFile)
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("verify release: %w", err)
	}
	m, err := Decode(data)
	if err != nil {
		r.problemf("%v", err)
		return r, nil
	}
	r.Version = m.Content.Version
	r.content(data, m)
	r.sums(m.Content)
	r.sheets(m.Content)
	for _, f := range m.Content.Files {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if err := r.file(ctx, release, m.Content, f); err != nil {
			return r, fmt.Errorf("verify release: %s: %w", f.Path, err)
		}
	}
	return r, r.extra(release, m.Content)
}

// content checks the digest over the content as it stands in the file.
func (r *Report) content(data []byte, m Manifest) {
	var raw struct {
		Content json.RawMessage `json:"content"`
	}
	err := json.Unmarshal(data, &raw)
	if err == nil {
		r.Content, err = digestOf(raw.Content)
	}
	if err != nil {
		r.problemf("content of the manifest: %v", err)
	} else if r.Content != m.ContentSHA256 {
		r.problemf("content of the manifest: its digest is %s, content_sha256 says %s", r.Content, m.ContentSHA256)
	}
	c := m.Content
	if want := fmt.Sprintf("%s-%s.%d", c.Release, c.Window.Key, c.Revision); c.Version != want {
		r.problemf("version is %s, but release, window and revision make %s", c.Version, want)
	}
}

// sums checks the counts of rows against each other.
func (r *Report) sums(c Content) {
	var total int64
	splits := map[string]int64{}
	for _, f := range c.Files {
		total += f.Rows
		splits[f.Split] += f.Rows
	}
	if total != c.Rows.Total {
		r.problemf("rows: the files have %d, the total says %d", total, c.Rows.Total)
	}
	if c.Split == "" {
		return
	}
	for value, n := range c.Rows.Splits {
		if splits[value] != n {
			r.problemf("rows of split %q: the files have %d, the manifest says %d", value, splits[value], n)
		}
		delete(splits, value)
	}
	for value, n := range splits {
		r.problemf("rows of split %q: the files have %d, the manifest does not count them", value, n)
	}
}

// sheets checks that every row read for the release is accounted for.
func (r *Report) sheets(c Content) {
	for _, in := range c.Inputs {
		for _, w := range in.Windows {
			for day, counts := range w.Sheet {
				if !counts.Balanced() {
					r.problemf("balance of %s %s, day %s: %d rows were read, but %d stored + %d quarantined + %d duplicate + %d filtered",
						in.Table, w.Window, day, counts.Read, counts.Stored, counts.Quarantined, counts.Duplicate, counts.Filtered)
				}
			}
			if w.Sheet != nil && w.Sheet.Total().Stored != w.Rows {
				r.problemf("balance of %s %s: %d rows are stored, the manifest says %d", in.Table, w.Window, w.Sheet.Total().Stored, w.Rows)
			}
		}
	}
}

// file checks one data file.
func (r *Report) file(ctx context.Context, release fs.FS, c Content, f File) error {
	if !fs.ValidPath(f.Path) || path.Dir(f.Path) != DataDir {
		r.problemf("%s: a data file lies in %s", f.Path, DataDir)
		return nil
	}
	in, err := release.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		r.problemf("%s is missing", f.Path)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	hash := sha256.New()
	n, err := io.Copy(hash, in)
	if err != nil {
		return err
	}
	r.Files++
	r.Bytes += n
	digest := hex.EncodeToString(hash.Sum(nil))
	if n != f.Bytes {
		r.problemf("%s: it has %d bytes, the manifest says %d", f.Path, n, f.Bytes)
	}
	if digest != f.SHA256 {
		r.problemf("%s: its SHA-256 is %s, the manifest says %s", f.Path, digest, f.SHA256)
	}
	if base := path.Base(f.Path); base != f.SHA256+".parquet" {
		r.problemf("%s: it is not named by its digest %s", f.Path, f.SHA256)
	}
	if err := r.parquet(ctx, in, c, f); err != nil {
		r.problemf("%s: it cannot be read: %v", f.Path, err)
	}
	return ctx.Err()
}

// parquet checks rows, schema and the split column of one data file.
func (r *Report) parquet(ctx context.Context, in fs.File, c Content, f File) (err error) {
	defer func() { // the reader panics at some broken files
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%v", broken)
		}
	}()
	at, err := seekable(in)
	if err != nil {
		return err
	}
	pf, err := file.NewParquetReader(at)
	if err != nil {
		return err
	}
	r.Rows += pf.NumRows()
	if pf.NumRows() != f.Rows {
		r.problemf("%s: it has %d rows, the manifest says %d", f.Path, pf.NumRows(), f.Rows)
	}
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := reader.Schema()
	if err != nil {
		return err
	}
	if got := Columns(schema); !slices.Equal(got, c.Schema) {
		r.problemf("%s: its columns are %v, the manifest says %v", f.Path, got, c.Schema)
		return nil
	}
	if c.Split == "" {
		return nil
	}
	return r.split(ctx, reader, c, f)
}

func (r *Report) split(ctx context.Context, reader *pqarrow.FileReader, c Content, f File) error {
	rows, err := reader.GetRecordReader(ctx, []int{slices.IndexFunc(c.Schema, func(col Column) bool { return col.Name == c.Split })}, nil)
	if err != nil {
		return err
	}
	defer rows.Release()
	for rows.Next() {
		values := rows.RecordBatch().Column(0)
		for i := range values.Len() {
			if other(values, i, f.Split) {
				r.problemf("%s: it has a row with %s = %s, the manifest says %s", f.Path, c.Split, values.ValueStr(i), f.Split)
				return nil
			}
		}
	}
	if err := rows.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func other(values interface{ ValueStr(i int) string }, i int, want string) bool {
	if s, ok := values.(*array.String); ok {
		return s.IsNull(i) || s.Value(i) != want
	}
	return values.ValueStr(i) != want
}

// seekable is a file from its beginning, by itself if it can, or else in memory.
func seekable(in fs.File) (parquet.ReaderAtSeeker, error) {
	if at, ok := in.(parquet.ReaderAtSeeker); ok {
		_, err := at.Seek(0, io.SeekStart)
		return at, err
	}
	return nil, errors.New("the file system cannot seek")
}

// extra checks that nothing lies in the release that the manifest does not name.
func (r *Report) extra(release fs.FS, c Content) error {
	named := map[string]bool{ManifestFile: true}
	for _, f := range c.Files {
		if named[f.Path] {
			r.problemf("%s is named twice", f.Path)
		}
		named[f.Path] = true
	}
	err := fs.WalkDir(release, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !named[name] {
			r.problemf("%s is not named by the manifest", name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("verify release: %w", err)
	}
	return nil
}
