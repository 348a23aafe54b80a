package admin

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

const brokersHelp = `Brokers tells how the servers of Kafka are, and ends with 1 unless each partition has a leader and all its replicas in sync, each controller
follows the leader of its quorum, and the brokers of --expect are there. Then any one of them may be stopped. The cluster is the one that --config or
ALMANAC_KAFKA names; it takes a user who may describe the cluster and all topics. With --try it also makes a topic of its own (almanac.try.…), writes to each
broker, reads what it wrote, and removes the topic: that takes a user who may do so.`

// NewBrokers is almanac brokers.
func NewBrokers(o *command.Options) *cobra.Command {
	var expected []int32
	var try bool
	cmd := &cobra.Command{
		Use: "brokers", Short: "Tell whether the servers of Kafka are well, so that one may stop", Long: brokersHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac brokers\n  almanac brokers --expect 1,2,3 --json\n  almanac brokers --try\n  almanac brokers spread --plan",
		RunE:    func(cmd *cobra.Command, _ []string) error { return showBrokers(cmd.Context(), o, expected, try) },
	}
	cmd.Flags().Int32SliceVar(&expected, "expect", nil, "numbers of the brokers that must be there, parted by commas")
	cmd.AddCommand(newFeatures(o))
	cmd.Flags().BoolVar(&try, "try", false, "write to each broker and read it, in a topic that is removed again")
	cmd.AddCommand(newSpread(o), newDrain(o), newForget(o))
	return cmd
}

func showBrokers(ctx context.Context, o *command.Options, expected []int32, try bool) error {
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		r, err := c.Servers(ctx, expected)
		if err != nil {
			return err
		}
		if o.JSON {
			if err := o.PrintJSON(r); err != nil {
				return err
			}
		} else {
			o.Printf("%d brokers, %d controllers, %d partitions\n", len(r.Brokers), len(r.Voters), r.Partitions)
			for _, problem := range r.Problems {
				o.Printf("%s\n", problem)
			}
		}
		if n := len(r.Problems); n > 0 {
			return command.Exit(command.Failed, fmt.Errorf("%d things of Kafka are not well: stop none of its servers", n))
		}
		if !try {
			return nil
		}
		records, err := c.Try(ctx)
		if err == nil && !o.JSON {
			o.Printf("%d records were written and read\n", records)
		}
		return err
	})
}
