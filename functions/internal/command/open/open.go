// Package open opens one thing that the flags of a command name: the datasets, the warehouse, its folder of HDFS, or Kafka.
package open

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// Place is the folder of the datasets, or platform.Published, as --datasets or the configuration says.
func Place(ctx context.Context, o *command.Options) (string, error) {
	if o.Config == "" {
		return o.Datasets, nil
	}
	env, err := o.Environment()
	if err != nil {
		return "", err
	}
	var common fn.Common
	err = fn.Load(ctx, env, &common)
	return common.Datasets, err
}

// Datasets reads the datasets of the folder, or follows those that are published in the warehouse of the data folder or the cluster. The
// caller closes them.
func Datasets(ctx context.Context, o *command.Options, log *slog.Logger) (*platform.Datasets, error) {
	where, err := Place(ctx, o)
	if err != nil {
		return nil, err
	}
	if where != platform.Published {
		return platform.FolderDatasets(where)
	}
	warehouse, done, err := Published(ctx, o)
	if err != nil {
		return nil, err
	}
	env, err := o.Variables()
	if err != nil {
		done()
		return nil, err
	}
	datasets, err := platform.FollowDatasets(ctx, env, warehouse, o.Now, log)
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

// Published opens a warehouse for somebody who reads what is published in it.
func Published(ctx context.Context, o *command.Options) (*lake.Lake, func(), error) {
	if o.Config == "" {
		if _, err := os.Stat(filepath.Join(o.Data, "almanac.json")); errors.Is(err, os.ErrNotExist) {
			return nil, nil, fmt.Errorf("nothing is published in %s yet; start with: almanac datasets publish --data %s", o.Data, o.Data)
		}
	}
	return Warehouse(ctx, o)
}

// Warehouse opens that of the cluster or of the data folder, whoever works on it. The caller calls what it returns when it has done with it.
func Warehouse(ctx context.Context, o *command.Options) (*lake.Lake, func(), error) {
	if o.Config == "" {
		dir := filepath.Join(o.Data, "warehouse")
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("there is no warehouse in %s yet; start with: almanac run --data %s", o.Data, o.Data)
		}
		l, err := lake.Open(ctx, dir)
		return l, func() {}, err
	}
	env, err := o.Environment()
	if err != nil {
		return nil, nil, err
	}
	return platform.Warehouse(ctx, env)
}

// KafkaSettings are how to reach the cluster that --config or the environment names.
func KafkaSettings(ctx context.Context, o *command.Options) (s kafka.Settings, err error) {
	env, err := o.Variables()
	if err != nil {
		return s, err
	}
	err = fn.Load(ctx, env, &s)
	return s, err
}

// Kafka opens the cluster that --config or the environment names.
func Kafka(ctx context.Context, o *command.Options, do func(*kafka.Cluster) error) error {
	s, err := KafkaSettings(ctx, o)
	if err != nil {
		return err
	}
	c, err := kafka.Open(ctx, s.Config("almanac", o.Now))
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// HDFS opens the folder of HDFS that is the warehouse of --config or the environment.
func HDFS(ctx context.Context, o *command.Options, do func(*hdfs.FS) error) error {
	env, err := o.Variables()
	if err != nil {
		return err
	}
	f, err := platform.HDFS(ctx, env)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}
