// Package survey says how far the windows of the datasets are.
package survey

import (
	"fmt"
	"sort"
	"strings"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// Dataset is what status and plan know of one dataset.
type Dataset struct {
	Dataset   string   `json:"dataset"`
	Title     string   `json:"title"`
	Version   string   `json:"contract_version"`
	Withdrawn bool     `json:"withdrawn,omitempty"` // then nothing is due, whatever the schedule says
	Windows   []Window `json:"windows"`

	States []calendar.State `json:"-"`
}

// Window is one window of one step, as --json prints it.
type Window struct {
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

// New describes the states of the windows of a dataset.
func New(d *dataset.Dataset, states []calendar.State) Dataset {
	s := Dataset{Dataset: d.Name, Title: d.Title, Version: d.Version, Withdrawn: d.Withdrawn, Windows: []Window{}, States: states}
	for _, st := range states {
		w := Window{
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

// Attention says whether something waits for a person or for the world outside.
func Attention(all []Dataset) bool {
	for _, s := range all {
		for _, st := range s.States {
			if st.Phase == calendar.Stopped || st.Phase == calendar.Waiting {
				return true
			}
		}
	}
	return false
}

// Busy says whether anything goes on, or is about to.
func Busy(all []Dataset) bool {
	for _, s := range all {
		for _, st := range s.States {
			switch st.Phase {
			case calendar.Stored, calendar.Aggregated, calendar.Released, calendar.Blocked, calendar.Waiting, calendar.Stopped:
			default:
				return true
			}
		}
	}
	return false
}

// Print writes them for a person: each open window and why, or, if asked, every window with its balance sheet.
func Print(o *command.Options, all []Dataset, windows bool) {
	for i, s := range all {
		if i > 0 {
			o.Printf("\n")
		}
		withdrawn := ""
		if s.Withdrawn {
			withdrawn = ", withdrawn: nothing more of it is due"
		}
		o.Printf("%s: %s (contract %s)%s\n", s.Dataset, s.Title, s.Version, withdrawn)
		printSteps(o, s.States)
		if windows {
			printWindows(o, s.States)
			continue
		}
		printOpen(o, s.States)
	}
}

// printSteps prints a line for each step: how many windows are in which phase, and the sums.
func printSteps(o *command.Options, states []calendar.State) {
	tw := o.Columns()
	for _, group := range Grouped(states) {
		first := group[0]
		name := first.Step
		if first.Piece.Name != "" {
			name += " " + first.Piece.Name
		}
		tw.Rowf("  %s\t%s\t%s", name, phases(group), sums(group))
	}
	_ = tw.Flush() // see Printf
}

// Grouped splits the states by step and name, in order.
func Grouped(states []calendar.State) [][]calendar.State {
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
		return command.Thousands(rows) + " rows, latest " + latest
	}
	return command.Thousands(rows) + " rows"
}

func sheetLine(c events.Counts) string {
	return fmt.Sprintf("read %s = stored %s + refused %s + duplicate %s + filtered %s",
		command.Thousands(c.Read), command.Thousands(c.Stored), command.Thousands(c.Quarantined), command.Thousands(c.Duplicate), command.Thousands(c.Filtered))
}

// printOpen prints the windows that are not done, at most 20 of a step, and why.
func printOpen(o *command.Options, states []calendar.State) {
	for _, group := range Grouped(states) {
		open := 0
		for _, st := range group {
			if st.Phase == calendar.Stored || st.Phase == calendar.Aggregated || st.Phase == calendar.Released {
				continue
			}
			if open++; open <= 20 {
				o.Printf("    %s %s: %s\n", StepName(st), st.Piece.Window, Phase(st))
			}
		}
		if open > 20 {
			o.Printf("    and %d more; see --windows\n", open-20)
		}
	}
}

// StepName is the name of what makes the window, or of its step where that has none.
func StepName(st calendar.State) string {
	if st.Piece.Name == "" {
		return st.Step
	}
	return st.Piece.Name
}

// Phase says in which phase a window is and, where that has a reason, why.
func Phase(st calendar.State) string {
	if st.Why == "" {
		return string(st.Phase)
	}
	return string(st.Phase) + ": " + st.Why
}

func printWindows(o *command.Options, states []calendar.State) {
	tw := o.Columns()
	tw.Rowf("  STEP\tWINDOW\tPHASE\tGENERATION\tREAD\tSTORED\tREFUSED\tDUPLICATE\tFILTERED\tWHY")
	for _, st := range states {
		if st.Step != events.StepCollect {
			tw.Rowf("  %s\t%s\t%s\t%s\t\t%s\t\t\t\t%s", StepName(st), st.Piece.Window, st.Phase, st.Version, command.Thousands(st.Rows), st.Why)
			continue
		}
		t := st.Sheet.Total()
		tw.Rowf("  collect\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s", st.Piece.Window, st.Phase, st.Piece.Generation,
			command.Thousands(t.Read), command.Thousands(t.Stored), command.Thousands(t.Quarantined), command.Thousands(t.Duplicate), command.Thousands(t.Filtered), st.Why)
	}
	_ = tw.Flush() // see Printf
}
