// Package warehouse has the commands that look after the files of the warehouse: what is left unfinished, and the keys of what is sealed.
package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/maintain"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// NewSweep is almanac sweep.
func NewSweep(o *command.Options) *cobra.Command {
	var older time.Duration
	cmd := &cobra.Command{
		Use: "sweep", Short: "Remove what writers that died have left in the warehouse", Args: command.Args(cobra.NoArgs),
		Long: "Remove files and folders that were begun and never finished, and metadata of commits that never came to be, if nobody has changed them " +
			"for a while. A run does so by itself; a writer that is still at work on what is removed begins it anew.",
		Example: "  almanac sweep --config cluster.yaml\n  almanac sweep --config cluster.yaml --older 1h --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if older < 0 {
				return command.Exit(command.Usage, fmt.Errorf("--older %s is in the future", older))
			}
			if !cmd.Flags().Changed("older") {
				env, err := o.Variables()
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
func sweep(ctx context.Context, o *command.Options, older time.Duration) error {
	warehouse, done, err := open.Warehouse(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	removed, err := warehouse.Sweep(ctx, older)
	return errors.Join(printRemoved(o, removed, older), err)
}

func printRemoved(o *command.Options, removed []table.Removed, older time.Duration) error {
	if o.JSON {
		if removed == nil {
			removed = []table.Removed{}
		}
		return o.PrintJSON(removed)
	}
	if len(removed) == 0 {
		o.Printf("nothing was left unfinished longer than %s ago\n", older)
		return nil
	}
	tw := o.Columns()
	tw.Rowf("REMOVED\tBYTES\tLAST CHANGED")
	for _, r := range removed {
		tw.Rowf("%s\t%d\t%s", r.Path, r.Bytes, r.Modified.Format(time.RFC3339))
	}
	return tw.Flush()
}
