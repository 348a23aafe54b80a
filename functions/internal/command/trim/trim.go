// Package trim lets go of blocks in the broker of a data folder.
package trim

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// extent is what of a partition is still needed, and what is done with.
type extent struct {
	needed int64 // first offset of a claim whose generation is not stored; -1 if none
	done   int64 // offset after the last claim whose generation is
}

// Blocks deletes those that nothing needs: the raw bytes of generations that were stored by the given time are archived in the warehouse, and their
// rows are in the table. Blocks of a generation that was not stored by then stay.
func Blocks(ctx context.Context, s *state.State, by time.Time) error {
	view, err := s.Journal.View(ctx)
	if err != nil {
		return err
	}
	all, _ := s.Datasets.Datasets()
	for _, d := range all {
		for place, e := range extents(view, d.Name, by) {
			before := e.done
			if e.needed >= 0 {
				before = min(before, e.needed)
			}
			if err := trimTo(ctx, s.Cluster, place, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimTo trims a partition, at most to its end: a log that was trimmed to nothing may begin at offset 0 again after a kill, so that
// claims of old generations lie beyond it.
func trimTo(ctx context.Context, c *kafka.Cluster, at kafka.Place, before int64) error {
	ranges, err := c.Ranges(ctx, at.Topic)
	if err != nil || int(at.Partition) >= len(ranges) {
		return err
	}
	r := ranges[at.Partition]
	if before = min(before, r.End); before <= r.Start {
		return nil
	}
	return c.Trim(ctx, at.Topic, at.Partition, before)
}

// extents looks at every claim of a dataset. A generation counts as stored if it, or a later one, was by the given time.
func extents(view *facts.View, dataset string, by time.Time) map[kafka.Place]*extent {
	stored := map[string]int{}
	for key, f := range facts.LatestStored(view, dataset) {
		if _, said, ok := facts.When[events.Stored](view, f.Piece); ok && !said.After(by) {
			stored[key] = f.Generation
		}
	}
	found := map[kafka.Place]*extent{}
	claimed := func(p events.Piece, claims ...events.Claim) {
		for _, c := range claims {
			if c.Blocks == 0 {
				continue
			}
			place := kafka.Place{Topic: c.Topic, Partition: c.Partition}
			if found[place] == nil {
				found[place] = &extent{needed: -1}
			}
			e := found[place]
			if p.Generation <= stored[p.Window] {
				e.done = max(e.done, c.To)
			} else if e.needed < 0 || c.From < e.needed {
				e.needed = c.From
			}
		}
	}
	for _, f := range facts.All[events.Collected](view, dataset) {
		claimed(f.Piece, f.Raw)
	}
	for _, f := range facts.All[events.Processed](view, dataset) {
		claimed(f.Piece, f.Rows, f.Quarantine)
	}
	for _, f := range facts.All[events.Validated](view, dataset) {
		claimed(f.Piece, append(f.Quarantine, f.Rows)...)
	}
	return found
}
