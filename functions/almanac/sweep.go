package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/table"
)

func newSweep(o *options) *cobra.Command {
	var older time.Duration
	cmd := &cobra.Command{
		Use: "sweep", Short: "Remove what writers that died have left in the warehouse", Args: usage(cobra.NoArgs),
		Long: "Remove files and folders that were begun and never finished, and metadata of commits that never came to be, if nobody has changed them " +
			"for a while. A run does so by itself; a writer that is still at work on what is removed begins it anew.",
		Example: "  almanac sweep --config cluster.yaml\n  almanac sweep --config cluster.yaml --older 1h --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if older < 0 {
				return &codedError{codeUsage, fmt.Errorf("--older %s is in the future", older)}
			}
			if !cmd.Flags().Changed("older") {
				env, err := o.variables()
				if err != nil {
					return err
				}
				var cfg maintain.Config
				if err := fn.Load(cmd.Context(), env, &cfg); err != nil {
					return err
				}
				older = cfg.Abandoned
			}
			return sweep(cmd.Context(), o, older)
		},
	}
	cmd.Flags().DurationVar(&older, "older", 24*time.Hour, "leave what was changed more recently; else ALMANAC_ABANDONED says it")
	return cmd
}

// sweep sweeps the warehouse of the cluster or of the data folder, whoever works on it.
func sweep(ctx context.Context, o *options, older time.Duration) error {
	warehouse, done, err := openWarehouse(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	removed, err := warehouse.Sweep(ctx, older)
	return errors.Join(printRemoved(o, removed, older), err)
}

func openWarehouse(ctx context.Context, o *options) (*lake.Lake, func(), error) {
	if o.config == "" {
		dir := filepath.Join(o.data, "warehouse")
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("there is no warehouse in %s yet; start with: almanac run --data %s", o.data, o.data)
		}
		l, err := lake.Open(ctx, dir)
		return l, func() {}, err
	}
	env, err := o.environment()
	if err != nil {
		return nil, nil, err
	}
	return platform.Warehouse(ctx, env)
}

func printRemoved(o *options, removed []table.Removed, older time.Duration) error {
	if o.json {
		if removed == nil {
			removed = []table.Removed{}
		}
		return o.printJSON(removed)
	}
	if len(removed) == 0 {
		o.printf("nothing was left unfinished longer than %s ago\n", older)
		return nil
	}
	tw := o.columns()
	tw.rowf("REMOVED\tBYTES\tLAST CHANGED")
	for _, r := range removed {
		tw.rowf("%s\t%d\t%s", r.Path, r.Bytes, r.Modified.Format(time.RFC3339))
	}
	return tw.Flush()
}
