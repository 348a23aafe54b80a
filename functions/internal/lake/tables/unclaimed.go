package tables

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/almanac-data/almanac/functions/internal/lake/hadoop"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// sweptProperty of a table tells when files of its metadata were last swept.
const sweptProperty = "almanac.swept"

// fences is how often a version is tried to be committed in between, while others commit too.
const fences = 20

// Unclaimed returns those of the manifests and manifest lists, given by their paths, that no kept snapshot of the table names, nor ever will.
// A commit that is under way may be about to name some: where any seem unclaimed it commits a version that changes nothing but a property, which
// says when. So a commit that was begun before is begun anew, with other files, and what is unclaimed then stays so.
// Of a table that does not exist nothing is unclaimed.
func (l *Tables) Unclaimed(ctx context.Context, name table.Name, files []string, when string) ([]string, error) {
	t, err := l.load(ctx, name)
	if err != nil || t == nil {
		return nil, err
	}
	if files, err = l.unnamed(t, files); err != nil || len(files) == 0 {
		return nil, err
	}
	if t, err = l.fence(ctx, name, when); err != nil {
		return nil, fmt.Errorf("commit a version of %s before its sweep: %w", name, err)
	}
	return l.unnamed(t, files)
}

// fence commits a version that changes nothing, and returns the newest version then.
func (l *Tables) fence(ctx context.Context, name table.Name, when string) (t *hadoop.Table, err error) {
	for try := range fences {
		if t, err = l.load(ctx, name); err != nil {
			return nil, err
		}
		tx := t.NewTransaction()
		if err = tx.SetProperties(iceberg.Properties{sweptProperty: when}); err != nil {
			return nil, err
		}
		if _, err = tx.Commit(ctx); err == nil {
			return l.load(ctx, name)
		}
		if !errors.Is(err, icetable.ErrCommitFailed) {
			return nil, err
		}
		if werr := wait(ctx, try); werr != nil {
			return nil, errors.Join(werr, err)
		}
	}
	return nil, err
}

// unnamed leaves out the files that a kept snapshot names.
func (l *Tables) unnamed(t *hadoop.Table, files []string) ([]string, error) {
	named := map[string]bool{}
	for _, s := range t.Metadata().Snapshots() {
		manifests, err := s.Manifests(l.catalog.IO())
		if err != nil {
			return nil, fmt.Errorf("read manifest list %s: %w", s.ManifestList, err)
		}
		locations := []string{s.ManifestList}
		for _, m := range manifests {
			locations = append(locations, m.FilePath())
		}
		for _, at := range locations {
			file, err := l.catalog.Name(at)
			if err != nil {
				return nil, err
			}
			named[file] = true
		}
	}
	var rest []string
	for _, file := range files {
		if !named[file] {
			rest = append(rest, file)
		}
	}
	return rest, nil
}
