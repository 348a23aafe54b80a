// Package status has the commands that show how far the windows are, and what a run would do.
package status

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
)

// New is almanac status.
func New(o *command.Options) *cobra.Command {
	var windows bool
	var to string
	cmd := &cobra.Command{
		Use: "status [dataset]", Short: "Show the windows of each step, and why one is not due", Args: command.Args(cobra.MaximumNArgs(1)),
		Example: "  almanac status\n  almanac status flights --windows\n  almanac status --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				surveys, err := s.SurveyAt(ctx, args, to)
				if err != nil {
					return err
				}
				if o.JSON {
					err = o.PrintJSON(surveys)
				} else {
					survey.Print(o, surveys, windows)
				}
				if err == nil && survey.Attention(surveys) {
					return command.Exit(command.Attention, nil)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&windows, "windows", false, "show every window with its balance sheet")
	cmd.Flags().StringVar(&to, "to", "", "as if it were the start of this day (2001-02-01), for a run with --to on a cluster")
	return cmd
}

// NewPlan is almanac plan.
func NewPlan(o *command.Options) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "plan [dataset]", Short: "Show what a run would do, without doing it", Args: command.Args(cobra.MaximumNArgs(1)),
		Example: "  almanac plan\n  almanac plan flights --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				surveys, err := s.SurveyAt(ctx, args, to)
				if err != nil {
					return err
				}
				return printPlan(o, surveys)
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "as if it were the start of this day (2001-02-01)")
	return cmd
}

func printPlan(o *command.Options, all []survey.Dataset) error {
	if o.JSON {
		for i := range all {
			kept := []survey.Window{}
			for _, w := range all[i].Windows {
				if !w.Phase.Final() {
					kept = append(kept, w)
				}
			}
			all[i].Windows = kept
		}
		return o.PrintJSON(all)
	}
	nothing := true
	for _, s := range all {
		for _, group := range survey.Grouped(s.States) {
			var todo []string
			for _, st := range group {
				if !st.Phase.Final() {
					todo = append(todo, st.Piece.Window)
				}
			}
			if len(todo) == 0 {
				continue
			}
			nothing = false
			o.Printf("%s %s: %s\n", s.Dataset, survey.StepName(group[0]), span(todo))
		}
	}
	if nothing {
		o.Printf("nothing is to do\n")
	}
	return nil
}

func span(windows []string) string {
	switch len(windows) {
	case 1:
		return windows[0]
	case 2:
		return windows[0] + " and " + windows[1]
	}
	return fmt.Sprintf("%d windows, %s to %s", len(windows), windows[0], windows[len(windows)-1])
}
