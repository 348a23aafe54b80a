package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Sweep deletes what writers that were killed have left unpublished. Only who has the warehouse to himself may call it: it would
// take away what another process is about to publish.
func (l *Lake) Sweep(ctx context.Context) error {
	if err := l.sweep(ctx, "."); err != nil {
		return fmt.Errorf("sweep the warehouse: %w", err)
	}
	return nil
}

func (l *Lake) sweep(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := l.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), temporary):
			err = l.fs.RemoveAll(name)
		case e.IsDir():
			err = l.sweep(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
