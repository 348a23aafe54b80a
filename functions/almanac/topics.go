package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

func newTopics(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "topics", Short: "Make or check the topics in the Kafka that --config or ALMANAC_KAFKA names",
		Example: "  almanac topics check --json\n  almanac topics apply",
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Compare the topics with what is needed", Args: usage(cobra.NoArgs), Example: "  almanac topics check",
			RunE: func(cmd *cobra.Command, _ []string) error { return checkTopics(cmd.Context(), o) },
		},
		&cobra.Command{
			Use: "apply", Short: "Make the topics that are missing; alter none", Args: usage(cobra.NoArgs), Example: "  almanac topics apply",
			RunE: func(cmd *cobra.Command, _ []string) error { return applyTopics(cmd.Context(), o) },
		},
	)
	return cmd
}

func checkTopics(ctx context.Context, o *options) error {
	found, err := topicFindings(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		if err := o.printJSON(found); err != nil {
			return err
		}
	}
	for _, f := range found {
		if !o.json {
			o.printf("%s\n", f)
		}
	}
	if len(found) > 0 {
		return &codedError{1, fmt.Errorf("%d settings of topics are not as they must be", len(found))}
	}
	if !o.json {
		o.printf("all topics are as they must be\n")
	}
	return nil
}

func topicFindings(ctx context.Context, o *options) (found []kafka.Finding, err error) {
	catalog, err := openDatasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	err = withKafka(ctx, o, func(c *kafka.Cluster) error {
		found, err = platform.CheckTopics(ctx, c, catalog.Catalog)
		return err
	})
	return found, err
}

func applyTopics(ctx context.Context, o *options) (err error) {
	catalog, err := openDatasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	return withKafka(ctx, o, func(c *kafka.Cluster) error {
		if err := platform.EnsureTopics(ctx, c, catalog.Catalog, events.WakeTopics()...); err != nil {
			return err
		}
		o.printf("all topics are there and as they must be\n")
		return nil
	})
}

// examineKafka looks at the cluster that --config or ALMANAC_KAFKA names, if one does.
func examineKafka(ctx context.Context, o *options) []finding {
	if o.config == "" && os.Getenv("ALMANAC_KAFKA") == "" {
		return nil
	}
	const check = "kafka"
	found, err := topicFindings(ctx, o)
	if err != nil {
		return []finding{{check, false, err.Error()}}
	}
	if len(found) == 0 {
		return []finding{{check, true, "lets this user in; all topics are as they must be"}}
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = f.String()
	}
	return []finding{{check, false, strings.Join(lines, "\n")}}
}
