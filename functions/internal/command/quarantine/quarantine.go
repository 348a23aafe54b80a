// Package quarantine has the commands that show what a window was collected from: the rows that were refused, and the bytes that are kept.
package quarantine

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// New is almanac quarantine.
func New(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "Look at the rows that were refused, and why",
		Example: "  almanac quarantine list flights\n  almanac quarantine show flights 2001-01-05",
	}
	cmd.AddCommand(newList(o), newShow(o))
	return cmd
}

// refusedWindow is a window with refused rows.
type refusedWindow struct {
	Dataset    string           `json:"dataset"`
	Window     string           `json:"window"`
	Generation int              `json:"generation"`
	Phase      calendar.Phase   `json:"phase"`
	Refused    int64            `json:"refused"`
	Read       int64            `json:"read"`
	Reasons    map[string]int64 `json:"reasons"`
}

func newList(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "list [dataset]", Short: "List the windows with refused rows", Args: command.Args(cobra.MaximumNArgs(1)),
		Example: "  almanac quarantine list\n  almanac quarantine list flights --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				list, err := refused(ctx, s, args)
				if err != nil {
					return err
				}
				if o.JSON {
					return o.PrintJSON(list)
				}
				tw := o.Columns()
				tw.Rowf("DATASET\tWINDOW\tGENERATION\tREFUSED\tOF\tREASONS")
				for _, r := range list {
					tw.Rowf("%s\t%s\t%d\t%s\t%s\t%s", r.Dataset, r.Window, r.Generation, command.Thousands(r.Refused), command.Thousands(r.Read), counted(r.Reasons))
				}
				return tw.Flush()
			})
		},
	}
}

func counted(by map[string]int64) string {
	parts := make([]string, 0, len(by))
	for reason, n := range by {
		parts = append(parts, fmt.Sprintf("%s %d", reason, n))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// refused lists the windows with refused rows, those that are stopped included.
func refused(ctx context.Context, s *state.State, names []string) ([]refusedWindow, error) {
	surveys, err := s.Survey(ctx, names)
	if err != nil {
		return nil, err
	}
	view, err := s.Journal.View(ctx)
	if err != nil {
		return nil, err
	}
	list := []refusedWindow{}
	for _, sv := range surveys {
		stored := facts.LatestStored(view, sv.Dataset)
		for _, st := range sv.States {
			if st.Step != events.StepCollect {
				continue
			}
			r := refusedWindow{Dataset: sv.Dataset, Window: st.Piece.Window, Generation: st.Piece.Generation, Phase: st.Phase, Reasons: map[string]int64{}}
			sheet := st.Sheet
			if st.Phase == calendar.Stored {
				r.Reasons = stored[st.Piece.Window].Entry.Reasons
			} else {
				sheet = events.Sheet{}
				for _, slice := range stagedSlices(view, st.Piece) {
					sheet.Merge(slice.Sheet)
					for reason, n := range slice.Reasons {
						r.Reasons[reason] += n
					}
				}
			}
			total := sheet.Total()
			if r.Refused, r.Read = total.Quarantined, total.Read; r.Refused > 0 {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

func stagedSlices(view *facts.View, p events.Piece) []events.Staged {
	var all []events.Staged
	for n := 1; ; n++ {
		s, ok := facts.Get[events.Staged](view, p.At(n))
		if !ok {
			return all
		}
		all = append(all, s)
	}
}

func newShow(o *command.Options) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use: "show <dataset> <window>", Short: "Show refused rows with their original bytes, reason and place", Args: command.Args(cobra.ExactArgs(2)),
		Example: "  almanac quarantine show flights 2001-01-05\n  almanac quarantine show flights 2001-01-05 --limit 3 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				if _, err := s.Datasets.Dataset(args[0]); err != nil {
					return command.Exit(command.Usage, err)
				}
				files, err := quarantineFiles(ctx, s, args[0], args[1])
				if err != nil {
					return err
				}
				rows, err := refusedRows(ctx, s, files, limit)
				if err != nil {
					return err
				}
				if err := openWithheld(ctx, o, s, args[0], args[1], rows); err != nil {
					return err
				}
				return printRefused(o, rows)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "rows to show")
	return cmd
}

// quarantineFiles finds the refused rows of a window: in the table, or staged if the window is stopped.
func quarantineFiles(ctx context.Context, s *state.State, name, window string) ([]events.File, error) {
	view, err := s.Journal.View(ctx)
	if err != nil {
		return nil, err
	}
	stored := facts.LatestOf(view, name, window)
	next := events.Piece{Dataset: name, Window: window, Generation: stored.Generation + 1}
	if _, ok := facts.Get[events.Stopped](view, next); ok {
		var files []events.File
		for _, slice := range stagedSlices(view, next) {
			files = append(files, slice.Quarantine...)
		}
		return files, nil
	}
	tab := table.Name{Dataset: name, Table: table.Quarantine}
	head, err := s.Lake.Head(ctx, tab)
	if err != nil || head.Snapshot == 0 {
		return nil, err
	}
	return s.Lake.Files(ctx, tab, head.Snapshot, []string{window})
}

// refusedRow is one refused row, as quarantine show prints it.
type refusedRow struct {
	Original string `json:"original"`
	Reason   string `json:"reason"`
	Rule     string `json:"rule,omitempty"`
	Column   string `json:"column,omitempty"`
	Detail   string `json:"detail"`
	File     string `json:"file"`
	Slice    int32  `json:"slice"`
	Ordinal  int64  `json:"ordinal"`
	Contract string `json:"contract"`

	generation int32
	offset     int64
}

// openWithheld puts the bytes of records in their place that are sealed in the archive. Without a key they stay withheld.
func openWithheld(ctx context.Context, o *command.Options, s *state.State, name, window string, rows []refusedRow) error {
	withheld := map[events.Piece]map[int64]int64{} // by slice and ordinal: where the record's block lies
	slice := func(r refusedRow) events.Piece {
		return events.Piece{Dataset: name, Window: window, Generation: int(r.generation)}.At(int(r.Slice))
	}
	for _, r := range rows {
		if r.Original != block.Withheld {
			continue
		}
		at := slice(r)
		if withheld[at] == nil {
			withheld[at] = map[int64]int64{}
		}
		withheld[at][r.Ordinal] = r.offset
	}
	for at, places := range withheld {
		found, err := records(ctx, o, s, at, places)
		if errors.Is(err, seal.ErrNoKey) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("open the records of %s/%s: %w", name, window, err)
		}
		for i, r := range rows {
			if record, ok := found[r.Ordinal]; ok && r.Original == block.Withheld && slice(r) == at {
				rows[i].Original = string(record)
			}
		}
	}
	return nil
}

func refusedRows(ctx context.Context, s *state.State, files []events.File, limit int) (rows []refusedRow, err error) {
	rows = []refusedRow{}
	for _, f := range files {
		if len(rows) >= limit {
			break
		}
		if rows, err = refusedOf(ctx, s, f, rows, limit); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func refusedOf(ctx context.Context, s *state.State, f events.File, rows []refusedRow, limit int) (_ []refusedRow, err error) {
	r, err := s.Lake.ReadParquet(ctx, f.Path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for len(rows) < limit && r.Next() {
		b := r.RecordBatch()
		for i := 0; i < int(b.NumRows()) && len(rows) < limit; i++ {
			rows = append(rows, refusedRow{
				Original: textAt(b, "original", i), Reason: textAt(b, "reason", i), Rule: textAt(b, "rule", i), Column: textAt(b, "column", i),
				Detail: textAt(b, "detail", i), File: textAt(b, "file", i), Contract: textAt(b, "contract", i),
				Slice: column[*array.Int32](b, table.Slice).Value(i), Ordinal: column[*array.Int64](b, "ordinal").Value(i),
				generation: column[*array.Int32](b, table.Generation).Value(i), offset: column[*array.Int64](b, "offset").Value(i),
			})
		}
	}
	return rows, r.Err()
}

func column[T arrow.Array](b arrow.RecordBatch, name string) T {
	return b.Column(b.Schema().FieldIndices(name)[0]).(T)
}

func textAt(b arrow.RecordBatch, name string, i int) string {
	switch c := b.Column(b.Schema().FieldIndices(name)[0]).(type) {
	case *array.Binary:
		return string(c.Value(i))
	case *array.String:
		return c.Value(i)
	}
	return ""
}

func printRefused(o *command.Options, rows []refusedRow) error {
	if o.JSON {
		return o.PrintJSON(rows)
	}
	for _, r := range rows {
		rule := ""
		if r.Rule != "" {
			rule = " (rule " + r.Rule + ", contract " + r.Contract + ")"
		}
		o.Printf("%s, slice %d, record %d: %s%s: %s\n  %q\n", r.File, r.Slice, r.Ordinal, r.Reason, rule, r.Detail, r.Original)
	}
	if len(rows) == 0 {
		o.Printf("no refused rows\n")
	}
	return nil
}
