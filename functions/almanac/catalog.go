package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// datasetsPlace is the folder of the datasets, or platform.Published, as --datasets or the configuration says.
func datasetsPlace(ctx context.Context, o *options) (string, error) {
	if o.config == "" {
		return o.datasets, nil
	}
	env, err := o.environment()
	if err != nil {
		return "", err
	}
	var common fn.Common
	err = fn.Load(ctx, env, &common)
	return common.Datasets, err
}

// openDatasets reads the datasets of the folder, or follows those that are published in the warehouse of the data folder or the cluster. The
// caller closes them.
func openDatasets(ctx context.Context, o *options, log *slog.Logger) (*platform.Datasets, error) {
	where, err := datasetsPlace(ctx, o)
	if err != nil {
		return nil, err
	}
	if where != platform.Published {
		return platform.FolderDatasets(where)
	}
	warehouse, done, err := publishedWarehouse(ctx, o)
	if err != nil {
		return nil, err
	}
	env := envconfig.OsLookuper()
	if o.config != "" {
		if env, err = o.environment(); err != nil {
			done()
			return nil, err
		}
	}
	datasets, err := platform.FollowDatasets(ctx, env, warehouse, wall, log)
	if err != nil {
		done()
		return nil, err
	}
	datasets.Then(done)
	if err := datasets.Wrong(); err != nil { // a person is to see it, and not one dataset less
		return nil, errors.Join(err, datasets.Close())
	}
	return datasets, nil
}

// publishedWarehouse opens a warehouse for somebody who reads what is published in it.
func publishedWarehouse(ctx context.Context, o *options) (*lake.Lake, func(), error) {
	if o.config == "" {
		if _, err := os.Stat(filepath.Join(o.data, "almanac.json")); errors.Is(err, os.ErrNotExist) {
			return nil, nil, fmt.Errorf("nothing is published in %s yet; start with: almanac datasets publish --data %s", o.data, o.data)
		}
	}
	return openWarehouse(ctx, o)
}
