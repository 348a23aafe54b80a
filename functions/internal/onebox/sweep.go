package onebox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Sweep removes the files and folders of the warehouse that a killed process left in the making: their names begin with .tmp-, and
// nothing refers to them. It is for who holds the data folder, before he begins to write.
func (f *Folder) Sweep() error {
	root, err := os.OpenRoot(f.Warehouse())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !strings.HasPrefix(d.Name(), ".tmp-"):
			return nil
		}
		if err := root.RemoveAll(path); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("sweep %s: %w", f.Warehouse(), err)
	}
	return nil
}
