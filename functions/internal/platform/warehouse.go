package platform

import (
	"context"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
)

// Warehouse opens the warehouse of the configuration: in a local folder, or at hdfs://host:port/path as the variables ALMANAC_HDFS_… say.
// The caller calls what it returns when the warehouse is of no more use.
func Warehouse(ctx context.Context, env envconfig.Lookuper) (*lake.Lake, func(), error) {
	var common fn.Common
	if err := fn.Load(ctx, env, &common); err != nil {
		return nil, nil, err
	}
	var sizes lake.Config
	if err := fn.Load(ctx, env, &sizes); err != nil {
		return nil, nil, err
	}
	target := lake.TargetFileSize(sizes.FileBytes)
	warehouse := common.Warehouse
	if !strings.HasPrefix(warehouse, "hdfs://") {
		l, err := lake.Open(ctx, warehouse, target)
		return l, func() {}, err
	}
	var cfg hdfs.Config
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, nil, err
	}
	f, err := hdfs.Open(ctx, warehouse, cfg)
	if err != nil {
		return nil, nil, err
	}
	return lake.OpenOn(f, target), f.Close, nil
}
