package collect

import (
	"context"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/collect/archive"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// archived returns the archive of the stored generation if the present one is due for another reason than its source, and the
// facts name every slice; else nil.
func (r *run) archived() *archive.Archive {
	switch r.due.Reason {
	case reasonContract, reasonQuarantine, reasonRequested:
	default:
		return nil
	}
	if r.Archive == nil || r.stored.Generation == 0 {
		return nil
	}
	a := &archive.Archive{Files: r.Archive}
	if r.Keys != nil {
		a.Key = func(ctx context.Context) (*seal.Key, error) { return r.Keys.Key(ctx, r.d.Name, r.w.Key()) }
	}
	var at events.Position
	for n := range r.stored.Entry.Slices {
		piece := r.stored.Whole().At(n + 1)
		collected, ok1 := facts.Get[events.Collected](r.view, piece)
		staged, ok2 := facts.Get[events.Staged](r.view, piece)
		if !ok1 || !ok2 || collected.From != at || collected.Pin.Content() != r.stored.Entry.Pin.Content() {
			return nil
		}
		a.Slices = append(a.Slices, archive.Slice{Piece: piece, From: collected.From, To: collected.To, File: staged.Raw})
		a.Sealed = a.Sealed || staged.Plain != ""
		at = collected.To
	}
	return a
}
