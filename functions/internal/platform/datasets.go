package platform

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/fn/endpoint"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/follow"
)

// Published in place of a folder says that the datasets are those that are published in the warehouse. A folder of that name is ./published.
const Published = "published"

// Datasets are those of a folder, or those that are published and go on to newer versions by themselves. Close ends them.
type Datasets struct {
	*dataset.Catalog

	Schedule *dataset.Catalog // what a calendar goes by: a newer version a little later than everybody else

	follower *follow.Follower
	then     func()
}

// Then calls done at the end of Close.
func (d *Datasets) Then(done func()) *Datasets {
	d.then = done
	return d
}

// FolderDatasets reads the datasets of a folder.
func FolderDatasets(dir string) (*Datasets, error) {
	c, err := folder.Catalog(dir)
	if err != nil {
		return nil, err
	}
	return &Datasets{Catalog: c, Schedule: c}, nil
}

// FollowDatasets reads those that are published in a warehouse, as the variables ALMANAC_DATASETS_… say.
func FollowDatasets(ctx context.Context, env envconfig.Lookuper, warehouse *lake.Lake, now func() time.Time, log *slog.Logger) (*Datasets, error) {
	var cfg follow.Config
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, err
	}
	var of struct {
		Timeout time.Duration `env:"ALMANAC_TIMEOUT,default=5m"`
	}
	if err := fn.Load(ctx, env, &of); err != nil {
		return nil, err
	}
	f, err := follow.Open(ctx, warehouse.FS(published.Root), cfg, of.Timeout, now, log)
	if err != nil {
		return nil, err
	}
	return &Datasets{Catalog: f.Catalog(), Schedule: f.Settled(), follower: f}, nil
}

// awaitDatasets is FollowDatasets once the warehouse, which may go away after it was opened, tells what is published in it.
func awaitDatasets(ctx context.Context, p *fn.Process, where string, warehouse *lake.Lake) (d *Datasets, err error) {
	passing := func(err error) bool {
		return strings.HasPrefix(where, "hdfs://") && errors.Is(err, follow.ErrAway) && hdfs.Again(err)
	}
	err = p.Await(ctx, "the datasets that are published in the warehouse at "+where+places, passing, func(ctx context.Context) (err error) {
		d, err = FollowDatasets(ctx, p.Env, warehouse, p.Now, p.Log)
		return err
	})
	return d, err
}

// Handler makes a function look for newer versions of its datasets before it refuses an event for good.
func (d *Datasets) Handler(h endpoint.Handler) endpoint.Handler {
	if d.follower == nil {
		return h
	}
	return d.follower.Handler(h)
}

// Latest is the version of a dataset that is current now, where a process must not go by one that it has read a while ago. The error wraps
// events.ErrInvalid if there is no such dataset; else it may pass.
func (d *Datasets) Latest(ctx context.Context, name string) (*dataset.Dataset, error) {
	if d.follower == nil {
		return d.Dataset(name)
	}
	return d.follower.Latest(ctx, name)
}

// Ready says why the published datasets could not be looked at last; those read before are used meanwhile.
func (d *Datasets) Ready(ctx context.Context) error {
	if d.follower == nil {
		return nil
	}
	return d.follower.Ready(ctx)
}

// Wrong says why the newest versions of some published datasets could not be read.
func (d *Datasets) Wrong() error {
	if d.follower == nil {
		return nil
	}
	return d.follower.Wrong()
}

// Close ends the looking for newer versions.
func (d *Datasets) Close() error {
	if d.then != nil {
		defer d.then()
	}
	if d.follower == nil {
		return nil
	}
	return d.follower.Close()
}
