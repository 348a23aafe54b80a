package main

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// trimEach is how often blocks are let go of whose generation is stored, and how long before it must have been: longer than a
// slice takes, so that nobody is still writing between them. Whoever is all the same does his slice again.
const (
	trimEach  = time.Minute
	trimAfter = 2 * state.Grace
)

// extent is what of a partition is still needed, and what is done with.
type extent struct {
	needed int64 // first offset of a claim whose generation is not stored; -1 if none
	done   int64 // offset after the last claim whose generation is
}

// trim deletes blocks that nothing needs: the raw bytes of stored generations are archived in the warehouse, and their rows are
// in the table. Blocks of a generation that is not stored yet stay.
func (h *host) trim(ctx context.Context, after time.Duration) error {
	view, err := h.Journal.View(ctx)
	if err != nil {
		return err
	}
	all, _ := h.Datasets.Datasets()
	for _, d := range all {
		for place, e := range extents(view, d.Name, h.options.Now().Add(-after)) {
			before := e.done
			if e.needed >= 0 {
				before = min(before, e.needed)
			}
			if err := h.trimTo(ctx, place, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimTo trims a partition, at most to its end: a log that was trimmed to nothing may begin at offset 0 again after a kill, so that
// claims of old generations lie beyond it.
func (h *host) trimTo(ctx context.Context, at kafka.Place, before int64) error {
	ranges, err := h.Cluster.Ranges(ctx, at.Topic)
	if err != nil || int(at.Partition) >= len(ranges) {
		return err
	}
	r := ranges[at.Partition]
	if before = min(before, r.End); before <= r.Start {
		return nil
	}
	return h.Cluster.Trim(ctx, at.Topic, at.Partition, before)
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

// trimLast trims what is left when all is done.
func (h *host) trimLast(ctx context.Context) {
	if h.Folder == nil {
		return // real servers let go of old blocks by their retention
	}
	if err := h.trim(ctx, 0); err != nil {
		h.log.WarnContext(ctx, "blocks cannot be trimmed", "error", err) // they only take room
	}
}

// trimming trims until ctx ends.
func (h *host) trimming(ctx context.Context) {
	tick := time.NewTicker(trimEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := h.trim(ctx, trimAfter); err != nil && ctx.Err() == nil {
				h.log.Warn("blocks cannot be trimmed", "error", err)
			}
		}
	}
}
