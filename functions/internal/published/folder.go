package published

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Describe lists the files of a dataset's folder, at most so many bytes. Files and folders whose names begin with a dot do not belong to it.
func Describe(dir string, most int64) (Manifest, error) { return walk(dir, most, discard{}) }

// Copy copies a dataset's folder to a folder that must not exist yet, at most so many bytes, and lists what was copied.
func Copy(dir, to string, most int64) (Manifest, error) { return walk(dir, most, folder(to)) }

// sink takes the files of a folder.
type sink interface {
	create(name string) (io.WriteCloser, error)
}

type discard struct{}

type nowhere struct{ io.Writer }

func (nowhere) Close() error { return nil }

func (discard) create(string) (io.WriteCloser, error) { return nowhere{io.Discard}, nil }

type folder string

func (f folder) create(name string) (io.WriteCloser, error) {
	at := filepath.Join(string(f), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func walk(dir string, most int64, to sink) (Manifest, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Format: manifestFormat, Dataset: filepath.Base(abs)}
	found := os.DirFS(abs)
	sizes := map[string]int64{} // by the first element of the path
	var total int64
	var names []string
	var wrong []error
	err = fs.WalkDir(found, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			wrong = append(wrong, fmt.Errorf("%s/%s is not a regular file: put a file in its place, or name what it stands for by an absolute path in collect.source.path",
				m.Dataset, name))
			return nil
		case wrongName(name):
			wrong = append(wrong, fmt.Errorf("%s/%q cannot be a name on every warehouse: leave out : and \\ and what is not printable", m.Dataset, name))
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(name, "/")
		sizes[first] += info.Size()
		total += info.Size()
		names = append(names, name)
		return nil
	})
	if err = errors.Join(append(wrong, err)...); err != nil {
		return m, err
	}
	if total > most || len(names) > maxFiles {
		return m, tooLarge(m.Dataset, total, most, len(names), sizes)
	}
	for _, name := range names { // in the order of the walk, which is not that of the paths: a-b lies before a/b there
		f, err := transfer(found, name, most, to)
		if err != nil {
			return m, fmt.Errorf("read %s/%s: %w", m.Dataset, name, err)
		}
		m.Files = append(m.Files, f)
	}
	sortFiles(m.Files)
	return m, nil
}

func tooLarge(dataset string, total, most int64, files int, sizes map[string]int64) error {
	largest := ""
	for name, n := range sizes {
		if largest == "" || n > sizes[largest] {
			largest = name
		}
	}
	return fmt.Errorf("the folder of %s holds %d bytes in %d files, %d of them in %s; at most %d bytes (ALMANAC_DATASETS_BYTES) in %d files are published: "+
		"put source files where collect can read them, such as a mounted folder, and name them by an absolute path in collect.source.path, "+
		"or raise the limit, here and for every function",
		dataset, total, files, sizes[largest], path.Join(dataset, largest), most, maxFiles)
}

// transfer copies one file, and describes what was copied.
func transfer(from fs.FS, name string, most int64, to sink) (_ File, err error) {
	r, err := from.Open(name)
	if err != nil {
		return File{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := to.create(name)
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, most+1))
	if err = errors.Join(err, w.Close()); err != nil {
		return File{}, err
	}
	if n > most {
		return File{}, fmt.Errorf("it is longer than %d bytes (ALMANAC_DATASETS_BYTES)", most)
	}
	return File{Path: name, Bytes: n, Digest: hex.EncodeToString(sum.Sum(nil))}, nil
}
