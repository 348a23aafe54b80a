package hadoop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

const hint = "version-hint.text"

// Catalog loads and commits the tables of a warehouse. It is safe for concurrent use.
type Catalog struct {
	files    files
	property string // of which values are long

	mu     sync.Mutex
	loaded map[string]version // newest known version of each table
	fresh  values             // of commits under way
}

// version is one version of a table's metadata.
type version struct {
	number   int
	metadata table.Metadata
	values   values
}

var _ table.CatalogIO = (*Catalog)(nil)

// New returns the catalog of the warehouse that lies on the file system. Snapshots have long values of the property in their summaries.
func New(fs fsys.FS, property string) *Catalog {
	f := files{fs: fs, root: strings.TrimSuffix(location(fs.URI("")), "/")}
	register(f)
	return &Catalog{
		files:    f,
		property: property,
		loaded:   map[string]version{},
		fresh:    values{},
	}
}

// Location is how Iceberg metadata name a path of the warehouse.
func (c *Catalog) Location(name string) string { return c.files.root + "/" + name }

// Name is the path within the warehouse of a location.
func (c *Catalog) Name(uri string) (string, error) { return c.files.name(uri) }

// IO is the warehouse as iceberg-go reads it.
func (c *Catalog) IO() iceio.IO { return c.files }

func dir(ident table.Identifier) string { return path.Join(ident...) }

func metadataDir(dir string) string { return path.Join(dir, "metadata") }

func versionFile(dir string, number int) string {
	return path.Join(metadataDir(dir), "v"+strconv.Itoa(number)+".metadata.json")
}

// Load reads the newest version of a table. The error wraps catalog.ErrNoSuchTable if there is none.
func (c *Catalog) Load(ctx context.Context, ident table.Identifier) (*Table, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, err := c.load(dir(ident))
	if err != nil {
		return nil, fmt.Errorf("load table %s: %w", strings.Join(ident, "."), err)
	}
	return c.table(ident, v), nil
}

// LoadTable is Load for iceberg-go.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Load(ctx, ident)
	if err != nil {
		return nil, err
	}
	return t.Table, nil
}

func (c *Catalog) table(ident table.Identifier, v version) *Table {
	filesystem := func(context.Context) (iceio.IO, error) { return c.files, nil }
	return &Table{table.New(ident, v.metadata, c.Location(versionFile(dir(ident), v.number)), filesystem, pinned{c, v.number}), v.values}
}

// load reads the newest version. It can be deleted between finding and reading it, by writers that are many
// commits further; then it is looked for again.
func (c *Catalog) load(dir string) (version, error) {
	for {
		number, err := c.newest(dir)
		if err != nil {
			return version{}, err
		}
		if number == 0 {
			return version{}, catalog.ErrNoSuchTable
		}
		c.mu.Lock()
		known := c.loaded[dir]
		c.mu.Unlock()
		if known.number == number {
			return known, nil
		}
		data, err := fsys.ReadFile(c.files.fs, versionFile(dir, number))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return version{}, err
		}
		data, long := collapse(data, c.property)
		metadata, err := table.ParseMetadataBytes(data)
		if err != nil {
			return version{}, fmt.Errorf("%s: %w", versionFile(dir, number), err)
		}
		return c.remember(dir, version{number, metadata, long}), nil
	}
}

func (c *Catalog) remember(dir string, v version) version {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.number > c.loaded[dir].number {
		c.loaded[dir] = v
	}
	return v
}

// newest finds the newest version by listing the folder, or 0 if there is none. The hint is for others: it may lag.
func (c *Catalog) newest(dir string) (int, error) {
	entries, err := c.files.fs.ReadDir(metadataDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	newest := 0
	for _, e := range entries {
		middle, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), "v"), ".metadata.json")
		if n, err := strconv.Atoi(middle); ok && err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// CreateTable publishes version 1 of a table. The error wraps catalog.ErrTableAlreadyExists if another came first.
func (c *Catalog) CreateTable(ctx context.Context, ident table.Identifier, metadata table.Metadata) (*Table, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	newest, err := c.newest(dir(ident))
	if err == nil && newest > 0 {
		err = fs.ErrExist
	}
	if err == nil {
		err = c.files.fs.MkdirAll(metadataDir(dir(ident)))
	}
	if err == nil {
		_, err = c.publish(dir(ident), version{number: 1, metadata: metadata})
	}
	if errors.Is(err, fs.ErrExist) {
		err = catalog.ErrTableAlreadyExists
	}
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", strings.Join(ident, "."), err)
	}
	return c.table(ident, c.remember(dir(ident), version{1, metadata, nil})), nil
}

// CommitTable publishes the next version of a table, whatever the present one is. The error wraps table.ErrCommitFailed when another commit came
// first and nothing was published; after any other error the commit may or may not have happened.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return c.commit(ctx, ident, 0, reqs, updates)
}

// pinned is the catalog as a loaded table sees it: its transactions commit on the very version that they were begun on.
// What they wrote for that is of no use to a later one (see Tables.Unclaimed), and no repetition within iceberg-go is let through.
type pinned struct {
	*Catalog

	number int
}

// CommitTable publishes the version after the pinned one.
func (p pinned) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return p.commit(ctx, ident, p.number, reqs, updates)
}

// commit publishes the next version of a table, if the present one is that of the number; 0 stands for any.
func (c *Catalog) commit(ctx context.Context, ident table.Identifier, number int, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
	}
	base, err := c.load(dir(ident))
	if err != nil {
		return nil, "", fmt.Errorf("%w: load table: %w", table.ErrCommitFailed, err)
	}
	if number != 0 && base.number != number {
		return nil, "", fmt.Errorf("%w: version %d came first", table.ErrCommitFailed, base.number)
	}
	for _, r := range reqs {
		if err := r.Validate(base.metadata); err != nil {
			return nil, "", fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
		}
	}
	metadata, err := table.UpdateTableMetadata(base.metadata, updates, c.Location(versionFile(dir(ident), base.number)))
	if err != nil {
		return nil, "", fmt.Errorf("update metadata: %w", err)
	}
	next, err := c.publish(dir(ident), version{base.number + 1, metadata, base.values})
	switch {
	case errors.Is(err, fs.ErrExist):
		err = fmt.Errorf("%w: version %d exists", table.ErrCommitFailed, next.number)
	case errors.Is(err, fs.ErrNotExist): // what was to be renamed is gone: a sweep took it
		err = fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
	}
	if err == nil {
		err = c.confirm(dir(ident), next)
	}
	if err != nil {
		return nil, "", err
	}
	c.remember(dir(ident), next)
	return metadata, c.Location(versionFile(dir(ident), next.number)), nil
}

// publish writes one version under a temporary name and renames it, if the name is free. It returns the version with the long values
// that it really holds.
func (c *Catalog) publish(dir string, v version) (version, error) {
	data, err := json.Marshal(v.metadata)
	if err != nil {
		return v, fmt.Errorf("write metadata: %w", err)
	}
	known := maps.Clone(v.values)
	if known == nil {
		known = values{}
	}
	c.mu.Lock()
	maps.Copy(known, c.fresh)
	c.mu.Unlock()
	data, v.values = expand(data, known)
	temp := fsys.Temporary(metadataDir(dir))
	if err := fsys.WriteFile(c.files.fs, temp, data); err != nil {
		return v, errors.Join(fmt.Errorf("write metadata: %w", err), c.files.fs.Remove(temp))
	}
	if err := c.files.fs.RenameNew(temp, versionFile(dir, v.number)); err != nil {
		// After an error that is not a clear no the file may be gone to its new name.
		_ = c.files.fs.Remove(temp)
		return v, fmt.Errorf("publish version %d: %w", v.number, err)
	}
	if err := c.files.fs.SyncDir(metadataDir(dir)); err != nil {
		return v, fmt.Errorf("publish version %d: %w", v.number, err)
	}
	return v, nil
}

// confirm looks whether the published version can be the head. A writer that slept while others made so many commits that the
// version it wants was already deleted again publishes into the gap: nobody will ever see that. Else it moves the hint.
func (c *Catalog) confirm(dir string, v version) error {
	newest, err := c.newest(dir)
	if err != nil {
		return fmt.Errorf("confirm version %d: %w", v.number, err)
	}
	if newest <= v.number {
		c.writeHint(dir, v.number)
		return nil
	}
	head, err := c.load(dir)
	if err != nil {
		return fmt.Errorf("confirm version %d: %w", v.number, err)
	}
	snapshot := v.metadata.CurrentSnapshot()
	if snapshot != nil && head.metadata.SnapshotByID(snapshot.SnapshotID) != nil {
		return nil
	}
	return fmt.Errorf("%w: version %d lies behind version %d", table.ErrCommitFailed, v.number, newest)
}

// writeHint is best effort: a hint that lags costs a few look-ups.
func (c *Catalog) writeHint(dir string, number int) {
	temp := fsys.Temporary(metadataDir(dir))
	w, err := c.files.fs.Create(temp)
	if err != nil {
		return
	}
	_, err = io.WriteString(w, strconv.Itoa(number))
	if err = errors.Join(err, w.Close()); err == nil {
		err = c.files.fs.Rename(temp, path.Join(metadataDir(dir), hint))
	}
	if err != nil {
		_ = c.files.fs.Remove(temp)
	}
}

// Tables lists the tables of a namespace.
func (c *Catalog) Tables(ctx context.Context, namespace string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := c.files.fs.ReadDir(namespace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tables of %s: %w", namespace, err)
	}
	var tables []string
	for _, e := range entries {
		if !e.IsDir() || fsys.IsHidden(e.Name()) {
			continue
		}
		newest, err := c.newest(path.Join(namespace, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("list tables of %s: %w", namespace, err)
		}
		if newest > 0 {
			tables = append(tables, e.Name())
		}
	}
	return tables, nil
}
