// Package admin has the commands of whoever administers Kafka: topics, access rules, users, and how its servers are.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// NewTopics is almanac topics.
func NewTopics(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "topics", Short: "Make or check the topics in the Kafka that --config or ALMANAC_KAFKA names",
		Example: "  almanac topics check --json\n  almanac topics apply",
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Compare the topics with what is needed", Args: command.Args(cobra.NoArgs), Example: "  almanac topics check",
			RunE: func(cmd *cobra.Command, _ []string) error { return checkTopics(cmd.Context(), o) },
		},
		&cobra.Command{
			Use: "apply", Short: "Make the topics that are missing; alter none", Args: command.Args(cobra.NoArgs), Example: "  almanac topics apply",
			RunE: func(cmd *cobra.Command, _ []string) error { return applyTopics(cmd.Context(), o) },
		},
	)
	return cmd
}

func checkTopics(ctx context.Context, o *command.Options) error {
	found, err := Findings(ctx, o)
	if err != nil {
		return err
	}
	if o.JSON {
		if err := o.PrintJSON(found); err != nil {
			return err
		}
	}
	for _, f := range found {
		if !o.JSON {
			o.Printf("%s\n", f)
		}
	}
	if len(found) > 0 {
		return command.Exit(command.Failed, fmt.Errorf("%d settings of topics are not as they must be", len(found)))
	}
	if !o.JSON {
		o.Printf("all topics are as they must be\n")
	}
	return nil
}

// Findings compares the topics with what the datasets need; none if all is as it must be.
func Findings(ctx context.Context, o *command.Options) (found []kafka.Finding, err error) {
	catalog, err := open.Datasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	err = open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		found, err = platform.CheckTopics(ctx, c, catalog.Catalog)
		return err
	})
	return found, err
}

func applyTopics(ctx context.Context, o *command.Options) (err error) {
	catalog, err := open.Datasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		if err := platform.EnsureTopics(ctx, c, catalog.Catalog, events.WakeTopics()...); err != nil {
			return err
		}
		o.Printf("all topics are there and as they must be\n")
		return nil
	})
}
