package quarantine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/original"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/collect/archive"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// NewArchive is almanac archive.
func NewArchive(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "Look at the bytes of the source that are kept with each window",
		Example: "  almanac archive show flights 2001-01-05",
	}
	cmd.AddCommand(&cobra.Command{
		Use: "show <dataset> <window>", Short: "Write the bytes from which a window was collected to standard output", Args: command.Args(cobra.ExactArgs(2)),
		Long: "Write the bytes from which a window was collected, unpacked, one file after the other. Where they are sealed, ALMANAC_ENVELOPE_KEY names the key " +
			"and this process needs the right to use it; the secrets store notes that it did.",
		Example: "  almanac archive show flights 2001-01-05\n  almanac archive show flights 2001-01-05 --config cluster.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				if _, err := s.Datasets.Dataset(args[0]); err != nil {
					return command.Exit(command.Usage, err)
				}
				return showArchive(ctx, o, s, args[0], args[1])
			})
		},
	})
	return cmd
}

func showArchive(ctx context.Context, o *command.Options, s *state.State, name, window string) error {
	view, err := s.Journal.View(ctx)
	if err != nil {
		return err
	}
	a, err := archiveOf(ctx, o, s, view, shown(view, name, window))
	if err != nil {
		return err
	}
	if len(a.Slices) == 0 {
		return command.Exit(command.Usage, fmt.Errorf("there is no archive of %s/%s: nothing of the window is stored", name, window))
	}
	last := -1
	for _, slice := range a.Slices {
		if slice.From.File == last {
			continue
		}
		last = slice.From.File
		if err := copyArchived(ctx, o, a, last); err != nil {
			return err
		}
	}
	return nil
}

func copyArchived(ctx context.Context, o *command.Options, a *archive.Archive, file int) (err error) {
	in, err := a.Open(ctx, events.Position{File: file})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	_, err = io.Copy(o.Out, in)
	return err
}

// shown is the generation of a window that a person looks at: the stored one, or the next where that is stopped.
func shown(view *facts.View, name, window string) events.Piece {
	stored := facts.LatestOf(view, name, window)
	next := events.Piece{Dataset: name, Window: window, Generation: stored.Generation + 1}
	if _, ok := facts.Get[events.Stopped](view, next); ok || stored.Generation == 0 {
		return next
	}
	return stored.Whole()
}

// archiveOf opens the archive of a generation, and the key where one is named.
func archiveOf(ctx context.Context, o *command.Options, s *state.State, view *facts.View, generation events.Piece) (*archive.Archive, error) {
	a := &archive.Archive{Files: s.Lake, Slices: archive.Of(view, generation)}
	env, err := o.Variables()
	if err != nil {
		return nil, err
	}
	ring, err := platform.EnvelopeOf(ctx, o.Login(env), s.Lake)
	if err != nil {
		return nil, err
	}
	if ring != nil {
		a.Key = func(ctx context.Context) (*seal.Key, error) {
			return ring.Key(ctx, generation.Dataset, generation.Window)
		}
	}
	return a, nil
}

// records gives the bytes of refused records that are sealed in the archive of their slice, by their ordinals. Places says in which raw block
// of the file each lies.
func records(ctx context.Context, o *command.Options, s *state.State, slice events.Piece, places map[int64]int64) (map[int64][]byte, error) {
	d, err := s.Datasets.Dataset(slice.Dataset)
	if err != nil {
		return nil, err
	}
	view, err := s.Journal.View(ctx)
	if err != nil {
		return nil, err
	}
	a, err := archiveOf(ctx, o, s, view, slice.Whole())
	if err != nil {
		return nil, err
	}
	if slice.Slice < 1 || slice.Slice > len(a.Slices) {
		return nil, fmt.Errorf("the facts name no archive of %s", slice.Key())
	}
	find := original.New(d.Collect.Format, a.Blocks(ctx, a.Slices[slice.Slice-1]))
	defer find.Close()
	found := map[int64][]byte{}
	for _, n := range slices.Sorted(maps.Keys(places)) {
		record, err := find.Find(n)
		if err != nil {
			return nil, err
		}
		if find.Offset != places[n] {
			return nil, fmt.Errorf("record %d of %s is not where it was refused: the format of the dataset was changed since; run, so that the window is collected anew",
				n, slice.Key())
		}
		found[n] = bytes.Clone(record[:min(len(record), block.KeptOfLong)])
	}
	return found, nil
}
