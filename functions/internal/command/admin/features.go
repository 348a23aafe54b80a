package admin

import (
	"context"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

const featuresHelp = `Features tells which features the servers of Kafka know and use, such as metadata.version. New servers write what old ones read until the features are
raised: that is the last step of an upgrade, after which no old server starts any more. With --raise those that are lower are put into use up to the levels
that are named, all of them or none; nothing is lowered. It takes a user who may describe the cluster, and alter it for --raise.`

func newFeatures(o *command.Options) *cobra.Command {
	var levels map[string]int
	cmd := &cobra.Command{
		Use: "features", Short: "Tell which features the servers of Kafka use, or raise them", Long: featuresHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac brokers features\n  almanac brokers features --raise metadata.version=30,transaction.version=2",
		RunE:    func(cmd *cobra.Command, _ []string) error { return features(cmd.Context(), o, levels) },
	}
	cmd.Flags().StringToIntVar(&levels, "raise", nil, "features with the levels to put into use, parted by commas")
	return cmd
}

func features(ctx context.Context, o *command.Options, wanted map[string]int) error {
	levels := map[string]int16{}
	for name, level := range wanted {
		if level < 1 || level > math.MaxInt16 {
			return command.Exit(command.Usage, fmt.Errorf("--raise %s=%d: a level is a number from 1 to %d", name, level, math.MaxInt16))
		}
		levels[name] = int16(level)
	}
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		if len(levels) > 0 {
			raised, err := c.RaiseFeatures(ctx, levels)
			if err != nil {
				return err
			}
			if o.JSON {
				return o.PrintJSON(raised)
			}
			for _, f := range raised {
				o.Printf("raised %s to %d\n", f.Name, f.Level)
			}
			return nil
		}
		found, err := c.Features(ctx)
		if err != nil {
			return err
		}
		if o.JSON {
			return o.PrintJSON(found)
		}
		for _, f := range found {
			o.Printf("%s is %d, of %d to %d\n", f.Name, f.Level, f.Lowest, f.Highest)
		}
		return nil
	})
}
