package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/reassign"
)

const spreadHelp = `Spread gives brokers that have fewer replicas than others, such as new ones, replicas of those that have more, until all have as many, give or take
one. It counts replicas, not bytes. It waits until they are in sync there; when it is stopped the brokers go on, and the same command waits again. Nothing is
moved while a replica is not in sync. The cluster is the one that --config or ALMANAC_KAFKA names; it takes a user who may alter the cluster and its topics.`

const drainHelp = `Drain moves all replicas off the brokers with these numbers, those of Kafka's own topics too, onto the others, and waits until they are in sync there.
Each partition has as many replicas as before: where there would be too few brokers for that, nothing is moved. When it is stopped the brokers go on, and the same
command waits again. Afterwards stop the brokers, and let the others forget them. The cluster is the one that --config or ALMANAC_KAFKA names; it takes a user who may
alter the cluster and its topics.`

const forgetHelp = `Forget has the cluster forget brokers that are stopped and hold nothing any more. Until then it lists them as brokers that are away. The cluster is the
one that --config or ALMANAC_KAFKA names; it takes a user who may alter it.`

func newSpread(o *command.Options) *cobra.Command {
	var m mover
	cmd := &cobra.Command{
		Use: "spread", Short: "Give all brokers as many replicas as each other", Long: spreadHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac brokers spread --plan\n  almanac brokers spread --throttle 20000000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.move(cmd.Context(), o, "the brokers have as many replicas as each other", func(c *kafka.Cluster, how reassign.How) ([]reassign.Move, error) {
				return c.BalanceBrokers(cmd.Context(), how)
			})
		},
	}
	m.flags(cmd)
	return cmd
}

func newDrain(o *command.Options) *cobra.Command {
	var m mover
	cmd := &cobra.Command{
		Use: "drain NUMBER...", Short: "Move all replicas off brokers that are to go", Long: drainHelp, Args: command.Args(cobra.MinimumNArgs(1)),
		Example: "  almanac brokers drain 4 --plan\n  almanac brokers drain 4 && ssh m4 systemctl stop kafka && almanac brokers forget 4",
		RunE: func(cmd *cobra.Command, args []string) error {
			off, err := numbers(args)
			if err != nil {
				return err
			}
			return m.move(cmd.Context(), o, "nothing lies on "+strings.Join(args, ", "), func(c *kafka.Cluster, how reassign.How) ([]reassign.Move, error) {
				return c.EmptyBrokers(cmd.Context(), off, how)
			})
		},
	}
	m.flags(cmd)
	return cmd
}

func newForget(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "forget NUMBER...", Short: "Forget brokers that are stopped and empty", Long: forgetHelp, Args: command.Args(cobra.MinimumNArgs(1)),
		Example: "  almanac brokers forget 4",
		RunE: func(cmd *cobra.Command, args []string) error {
			off, err := numbers(args)
			if err != nil {
				return err
			}
			return open.Kafka(cmd.Context(), o, func(c *kafka.Cluster) error {
				known, err := c.ForgetBrokers(cmd.Context(), off)
				for _, id := range known {
					o.Printf("broker %d is forgotten\n", id)
				}
				if err == nil && len(known) == 0 {
					o.Printf("nothing to forget\n")
				}
				return err
			})
		},
	}
}

// numbers are those of brokers.
func numbers(args []string) (all []int32, err error) {
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 32)
		if err != nil || id < 0 {
			return nil, command.Exit(command.Usage, fmt.Errorf("%q is not the number of a broker (node.id)", arg))
		}
		all = append(all, int32(id))
	}
	return all, nil
}

// mover is a command that moves replicas.
type mover struct {
	throttle int64
	plan     bool
}

func (m *mover) flags(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&m.throttle, "throttle", 50_000_000, "bytes a second that a broker sends, and takes, of what is moved; 0: as many as it can")
	cmd.Flags().BoolVar(&m.plan, "plan", false, "say what would be moved, and move nothing")
}

func (m *mover) move(ctx context.Context, o *command.Options, done string, do func(*kafka.Cluster, reassign.How) ([]reassign.Move, error)) error {
	if m.throttle < 0 {
		return command.Exit(command.Usage, fmt.Errorf("--throttle is %d: name bytes a second, or 0 for no limit", m.throttle))
	}
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		moves, err := do(c, reassign.How{Throttle: m.throttle, Plan: m.plan, Poll: 2 * time.Second, Tell: func(left int) {
			if !o.JSON {
				o.Printf("%d partitions are under way\n", left)
			}
		}})
		if err != nil {
			return err
		}
		if o.JSON {
			return o.PrintJSON(map[string]any{"moves": moves})
		}
		for _, move := range moves {
			o.Printf("partition %d of %s: %v to %v\n", move.ID, move.Topic, move.Replicas, move.To)
		}
		if m.plan {
			o.Printf("%d partitions would be moved\n", len(moves))
			return nil
		}
		o.Printf("%d partitions were moved: %s\n", len(moves), done)
		return nil
	})
}
