package collect

import (
	"context"
	"errors"
	"io/fs"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/facts"
)

// Reasons of dues that collect tells apart.
const (
	reasonProbe      = "probe"
	reasonSchedule   = "schedule"
	reasonRestated   = "restated"
	reasonContract   = "contract"
	reasonQuarantine = "quarantine"
	reasonRequested  = "requested"
)

// probe looks whether the source of a generation that is stored, or that stopped, has changed since it was pinned.
func (r *run) probe(ctx context.Context) error {
	stored := r.piece.Generation == r.stored.Generation
	pin := r.stored.Entry.Pin
	if !stored {
		first, ok := facts.Get[events.Collected](r.view, r.piece.At(1))
		if !ok {
			return r.retry(ctx)
		}
		pin = first.Pin
	}
	now, err := r.Sources.Versions(ctx, r.d, r.w)
	if err != nil {
		return gone(err)
	}
	version := func(f events.PinnedFile) string { return f.Version }
	if covers(pin, now, version) && (stored || len(now.Files) == len(pin.Files)) {
		return nil
	}
	if now, err = r.Sources.Pin(ctx, r.d, r.w); err != nil {
		return gone(err)
	}
	digest := func(f events.PinnedFile) string { return f.Digest }
	if covers(pin, now, digest) && (stored || len(now.Files) == len(pin.Files)) {
		return nil
	}
	return r.Journal.Say(ctx, events.Restated{Piece: r.piece, Pin: now})
}

// retry collects a generation that stopped before anything was pinned.
func (r *run) retry(ctx context.Context) error {
	r.due.Reason = reasonSchedule
	if r.piece.Generation > 1 {
		r.due.Reason = reasonRestated
	}
	return r.generation(ctx)
}

// covers says whether each file that is there now is in the pin, and the same. Of a stored window files may be gone: sources are
// tidied up, and that takes back nothing.
func covers(pin, now events.Pin, same func(events.PinnedFile) string) bool {
	pinned := map[string]string{}
	for _, f := range pin.Files {
		pinned[f.URI] = same(f)
	}
	for _, f := range now.Files {
		if known, ok := pinned[f.URI]; !ok || known != same(f) {
			return false
		}
	}
	return true
}

// gone lets pass that a source is no longer there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
