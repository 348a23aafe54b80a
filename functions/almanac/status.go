package main

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

func newStatus(o *options) *cobra.Command {
	var windows bool
	var to string
	cmd := &cobra.Command{
		Use: "status [dataset]", Short: "Show the windows of each step, and why one is not due", Args: usage(cobra.MaximumNArgs(1)),
		Example: "  almanac status\n  almanac status flights --windows\n  almanac status --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withState(cmd.Context(), o, func(ctx context.Context, s *state) error {
				surveys, err := s.surveyAt(ctx, args, to)
				if err != nil {
					return err
				}
				if o.json {
					err = o.printJSON(surveys)
				} else {
					printStatus(o, surveys, windows)
				}
				if err == nil && attention(surveys) {
					return &codedError{code: codeAttention}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&windows, "windows", false, "show every window with its balance sheet")
	cmd.Flags().StringVar(&to, "to", "", "as if it were the start of this day (2001-02-01), for a run with --to on a cluster")
	return cmd
}

// surveyed is what status and plan know of one dataset.
type surveyed struct {
	Dataset   string         `json:"dataset"`
	Title     string         `json:"title"`
	Version   string         `json:"contract_version"`
	Withdrawn bool           `json:"withdrawn,omitempty"` // then nothing is due, whatever the schedule says
	Windows   []windowStatus `json:"windows"`
	states    []calendar.State
}

// windowStatus is one window of one step, as --json prints it.
type windowStatus struct {
	Step       string         `json:"step"`
	Name       string         `json:"name,omitempty"`
	Window     string         `json:"window"`
	Phase      calendar.Phase `json:"phase"`
	Why        string         `json:"why,omitempty"`
	Generation int            `json:"generation,omitempty"`
	Visible    int            `json:"visible_generation,omitempty"`
	Version    string         `json:"version,omitempty"`
	Rows       int64          `json:"rows,omitempty"`
	Sheet      events.Sheet   `json:"sheet,omitempty"`
	Announce   []string       `json:"announce,omitempty"`
}

func newSurveyed(d *dataset.Dataset, states []calendar.State) surveyed {
	s := surveyed{Dataset: d.Name, Title: d.Title, Version: d.Version, Withdrawn: d.Withdrawn, Windows: []windowStatus{}, states: states}
	for _, st := range states {
		w := windowStatus{
			Step: st.Step, Name: st.Piece.Name, Window: st.Piece.Window, Phase: st.Phase, Why: st.Why,
			Generation: st.Piece.Generation, Visible: st.Visible, Version: st.Version, Rows: st.Rows, Sheet: st.Sheet,
		}
		for _, e := range st.Say {
			w.Announce = append(w.Announce, e.ID())
		}
		s.Windows = append(s.Windows, w)
	}
	return s
}

// attention says whether something waits for a person or for the world outside.
func attention(all []surveyed) bool {
	for _, s := range all {
		for _, st := range s.states {
			if st.Phase == calendar.Stopped || st.Phase == calendar.Waiting {
				return true
			}
		}
	}
	return false
}

func printStatus(o *options, all []surveyed, windows bool) {
	for i, s := range all {
		if i > 0 {
			o.printf("\n")
		}
		withdrawn := ""
		if s.Withdrawn {
			withdrawn = ", withdrawn: nothing more of it is due"
		}
		o.printf("%s: %s (contract %s)%s\n", s.Dataset, s.Title, s.Version, withdrawn)
		printSteps(o, s.states)
		if windows {
			printWindows(o, s.states)
			continue
		}
		printOpen(o, s.states)
	}
}

// printSteps prints a line for each step: how many windows are in which phase, and the sums.
func printSteps(o *options, states []calendar.State) {
	tw := o.columns()
	for _, group := range grouped(states) {
		first := group[0]
		name := first.Step
		if first.Piece.Name != "" {
			name += " " + first.Piece.Name
		}
		tw.rowf("  %s\t%s\t%s", name, phases(group), sums(group))
	}
	_ = tw.Flush() // see printf
}

// grouped splits the states by step and name, in order.
func grouped(states []calendar.State) [][]calendar.State {
	var groups [][]calendar.State
	for _, st := range states {
		if n := len(groups); n > 0 && groups[n-1][0].Step == st.Step && groups[n-1][0].Piece.Name == st.Piece.Name {
			groups[n-1] = append(groups[n-1], st)
		} else {
			groups = append(groups, []calendar.State{st})
		}
	}
	return groups
}

func phases(states []calendar.State) string {
	count := map[calendar.Phase]int{}
	for _, st := range states {
		count[st.Phase]++
	}
	parts := make([]string, 0, len(count))
	for phase, n := range count {
		parts = append(parts, fmt.Sprintf("%d %s", n, phase))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

func sums(states []calendar.State) string {
	var total events.Counts
	var rows int64
	latest := ""
	for _, st := range states {
		total = total.Add(st.Sheet.Total())
		rows += st.Rows
		if st.Version != "" {
			latest = st.Version
		}
	}
	switch {
	case states[0].Step == events.StepCollect:
		return sheetLine(total)
	case latest != "":
		return thousands(rows) + " rows, latest " + latest
	}
	return thousands(rows) + " rows"
}

func sheetLine(c events.Counts) string {
	return fmt.Sprintf("read %s = stored %s + refused %s + duplicate %s + filtered %s",
		thousands(c.Read), thousands(c.Stored), thousands(c.Quarantined), thousands(c.Duplicate), thousands(c.Filtered))
}

// printOpen prints the windows that are not done, at most 20 of a step, and why.
func printOpen(o *options, states []calendar.State) {
	for _, group := range grouped(states) {
		open := 0
		for _, st := range group {
			if st.Phase == calendar.Stored || st.Phase == calendar.Aggregated || st.Phase == calendar.Released {
				continue
			}
			if open++; open <= 20 {
				o.printf("    %s %s: %s%s\n", stepName(st), st.Piece.Window, st.Phase, because(st.Why))
			}
		}
		if open > 20 {
			o.printf("    and %d more; see --windows\n", open-20)
		}
	}
}

func stepName(st calendar.State) string {
	if st.Piece.Name == "" {
		return st.Step
	}
	return st.Piece.Name
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func printWindows(o *options, states []calendar.State) {
	tw := o.columns()
	tw.rowf("  STEP\tWINDOW\tPHASE\tGENERATION\tREAD\tSTORED\tREFUSED\tDUPLICATE\tFILTERED\tWHY")
	for _, st := range states {
		if st.Step != events.StepCollect {
			tw.rowf("  %s\t%s\t%s\t%s\t\t%s\t\t\t\t%s", stepName(st), st.Piece.Window, st.Phase, st.Version, thousands(st.Rows), st.Why)
			continue
		}
		t := st.Sheet.Total()
		tw.rowf("  collect\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s", st.Piece.Window, st.Phase, st.Piece.Generation,
			thousands(t.Read), thousands(t.Stored), thousands(t.Quarantined), thousands(t.Duplicate), thousands(t.Filtered), st.Why)
	}
	_ = tw.Flush() // see printf
}

// thousands groups the digits of a number by commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func newPlan(o *options) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "plan [dataset]", Short: "Show what a run would do, without doing it", Args: usage(cobra.MaximumNArgs(1)),
		Example: "  almanac plan\n  almanac plan flights --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withState(cmd.Context(), o, func(ctx context.Context, s *state) error {
				surveys, err := s.surveyAt(ctx, args, to)
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

func printPlan(o *options, all []surveyed) error {
	if o.json {
		for i := range all {
			kept := []windowStatus{}
			for _, w := range all[i].Windows {
				if !w.Phase.Final() {
					kept = append(kept, w)
				}
			}
			all[i].Windows = kept
		}
		return o.printJSON(all)
	}
	nothing := true
	for _, s := range all {
		for _, group := range grouped(s.states) {
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
			o.printf("%s %s: %s\n", s.Dataset, stepName(group[0]), span(todo))
		}
	}
	if nothing {
		o.printf("nothing is to do\n")
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

// wall is the time of day; only main and run ask for it.
func wall() time.Time { return time.Now().UTC() }
