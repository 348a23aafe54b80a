// Package mirror keeps a copy of a folder of HDFS in a local folder, and brings it back: the bytes of all files, and of files and folders the owners, modes and
// access control lists. Files that never change are copied once.
//
// What is in the making (names that begin with .tmp-) is left out: nothing refers to it.
package mirror

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// Format names the form of a list.
const Format = "almanac-files/1"

// Entry is one file or folder.
type Entry struct {
	Path     string   `json:"path"` // relative to the folder; "." is the folder itself
	Folder   bool     `json:"folder,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
	SHA256   string   `json:"sha256,omitempty"`
	Modified int64    `json:"modified,omitempty"` // of a file, by the NameNode's clock, in ms since 1970
	Owner    string   `json:"owner"`
	Group    string   `json:"group"`
	Mode     string   `json:"mode"`
	ACL      []string `json:"acl,omitempty"`
}

func (e Entry) owned() hdfs.Owned {
	return hdfs.Owned{Owned: webhdfs.Owned{Owner: e.Owner, Group: e.Group, Mode: e.Mode}, ACL: e.ACL}
}

// List says what a mirror holds, folders before what is in them.
type List struct {
	URI     string // of the folder that was copied
	Entries []Entry
}

// Totals counts the files of a list.
type Totals struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Totals counts the files.
func (l List) Totals() (t Totals) {
	for _, e := range l.Entries {
		if !e.Folder {
			t.Files++
			t.Bytes += e.Bytes
		}
	}
	return t
}

// ends are the first and the last line of a list.
type ends struct {
	Format string  `json:"format,omitempty"`
	URI    string  `json:"uri,omitempty"`
	End    *Totals `json:"end,omitempty"`
}

// Write writes a list as JSON, one object a line.
func (l List) Write(out io.Writer) error {
	buffered := bufio.NewWriter(out)
	enc := json.NewEncoder(buffered)
	err := enc.Encode(ends{Format: Format, URI: l.URI})
	for _, e := range l.Entries {
		err = errors.Join(err, enc.Encode(e))
	}
	total := l.Totals()
	return errors.Join(err, enc.Encode(ends{End: &total}), buffered.Flush())
}

// ErrPartial says that a list ends before its end.
var ErrPartial = errors.New("it was cut short, or is not a list of files")

// Read reads a whole list. The error wraps ErrPartial if a part of it is missing.
func Read(in io.Reader) (List, error) {
	var l List
	dec := json.NewDecoder(in)
	var head ends
	if err := dec.Decode(&head); err != nil || head.Format == "" {
		return l, fmt.Errorf("read list of files: %w", ErrPartial)
	}
	if head.Format != Format {
		return l, fmt.Errorf("read list of files: its format is %q, this version of Almanac reads %q", head.Format, Format)
	}
	for l.URI = head.URI; ; {
		var each struct {
			Entry
			ends
		}
		if err := dec.Decode(&each); err != nil {
			return l, fmt.Errorf("read list of files: %w: %w", ErrPartial, err)
		}
		if each.End != nil {
			if dec.More() || *each.End != l.Totals() {
				return l, fmt.Errorf("read list of files: %w", ErrPartial)
			}
			return l, nil
		}
		if !valid(each.Path) {
			return l, fmt.Errorf("read list of files: %q does not lie within the folder: %w", each.Path, fs.ErrInvalid)
		}
		l.Entries = append(l.Entries, each.Entry)
	}
}

// ReadFile reads a list that Write has written to a file.
func ReadFile(name string) (l List, err error) {
	f, err := os.Open(name)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return Read(f)
}

// parallel is how many files are copied or read at once.
const parallel = 6

// each does something with the entries by their indices, several at once. It ends with the first error.
func each(ctx context.Context, entries []Entry, do func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range entries {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(i)
		})
	}
	return g.Wait()
}

func valid(name string) bool { return fs.ValidPath(name) && !strings.ContainsAny(name, "\\\x00") }

// making says whether a name is that of something in the making.
func making(name string) bool { return strings.HasPrefix(path.Base(name), temporary) }

const temporary = ".tmp-"

// local is where a file of the folder lies in the mirror.
func local(dir, name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
