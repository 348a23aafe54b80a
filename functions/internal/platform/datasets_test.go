package platform

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// late is a file system that answers no more than errors at first.
type late struct {
	fsys.FS

	errors atomic.Int64 // how many are left
	err    error
}

func (l *late) ReadDir(name string) ([]fs.DirEntry, error) {
	if l.errors.Add(-1) >= 0 {
		return nil, l.err
	}
	return l.FS.ReadDir(name)
}

func TestPublishedDatasetsAreWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		where string
		cache string
		err   error
		waits bool
	}{
		"a NameNode that is gone comes back":    {"hdfs://nn:8020/w", "", syscall.ECONNREFUSED, true},
		"a folder that cannot be read stays so": {"/w", "", syscall.EACCES, false},
		"a mistake of the configuration":        {"hdfs://nn:8020/w", "/nonesuch", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			local, err := fsys.OpenLocal(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			away := &late{FS: local, err: c.err}
			if c.err != nil {
				away.errors.Store(1)
			}
			env := envconfig.MapLookuper(map[string]string{"ALMANAC_DATASETS_CACHE": c.cache})
			p, err := fn.New(t.Context(), "collect", env, slog.New(slog.DiscardHandler), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var told []string
			if err := p.Patient(ctx, func(text string) { told = append(told, text) }); err != nil {
				t.Fatal(err)
			}
			d, err := awaitDatasets(ctx, p, c.where, lake.OpenOn(away))
			if (err == nil) != c.waits || c.err != nil && err != nil && !errors.Is(err, c.err) || (len(told) > 0) != c.waits {
				t.Errorf("awaitDatasets = %v, told %q, want that it waits: %v", err, told, c.waits)
			}
			if c.waits && (len(told) == 0 || !strings.Contains(told[0], c.where) || !strings.Contains(told[0], "ALMANAC_HDFS_NAMENODES")) {
				t.Errorf("it says %q", told)
			}
			if err == nil {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
