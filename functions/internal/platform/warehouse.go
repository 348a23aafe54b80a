package platform

import (
	"context"
	"fmt"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
)

// Warehouse opens the warehouse of the configuration: in a local folder, or at hdfs://host:port/path as the variables ALMANAC_HDFS_… say.
// The caller calls what it returns when the warehouse is of no more use.
func Warehouse(ctx context.Context, env envconfig.Lookuper) (*lake.Lake, func(), error) {
	l, f, err := warehouse(ctx, env)
	if f == nil {
		return l, func() {}, err
	}
	return l, f.Close, err
}

// warehouse opens a warehouse, and the file system that it stands on if that is HDFS.
func warehouse(ctx context.Context, env envconfig.Lookuper) (*lake.Lake, *hdfs.FS, error) {
	var common fn.Common
	if err := fn.Load(ctx, env, &common); err != nil {
		return nil, nil, err
	}
	var sizes lake.Config
	if err := fn.Load(ctx, env, &sizes); err != nil {
		return nil, nil, err
	}
	target := lake.TargetFileSize(sizes.FileBytes)
	if !strings.HasPrefix(common.Warehouse, "hdfs://") {
		l, err := lake.Open(ctx, common.Warehouse, target)
		return l, nil, err
	}
	f, err := HDFS(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	return lake.OpenOn(f, target), f, nil
}

// HDFS opens the folder of HDFS that a warehouse is in. The caller closes it.
func HDFS(ctx context.Context, env envconfig.Lookuper) (*hdfs.FS, error) {
	var common fn.Common
	if err := fn.Load(ctx, env, &common); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(common.Warehouse, "hdfs://") {
		return nil, fmt.Errorf("ALMANAC_WAREHOUSE is %q, and no folder of HDFS: name it as hdfs://host:port/path", common.Warehouse)
	}
	var cfg hdfs.Config
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, err
	}
	return hdfs.Open(ctx, common.Warehouse, cfg)
}
