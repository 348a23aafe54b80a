package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block/seal"
	"github.com/almanac-data/almanac/functions/internal/collect/archive"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// run is one call for one generation.
type run struct {
	*Collect

	d      *dataset.Dataset
	w      window.Window
	view   *facts.View
	due    events.Due
	piece  events.Piece
	stored events.Stored // the latest generation that is visible, if any

	pin     events.Pin
	archive *archive.Archive // what to read instead of the source; nil if the source
	in      *input           // open between slices
	key     *seal.Key        // of the window, once it is asked for; nil if its blocks stay in clear
	longest time.Duration
}

// generation collects the slices that are missing.
func (r *run) generation(ctx context.Context) error {
	if err := r.next(); err != nil {
		return err
	}
	prev := r.resume()
	if !prev.Last {
		if err := r.settle(ctx, prev); err != nil {
			return r.stop(ctx, err)
		}
	}
	for !prev.Last {
		if following, ok := r.following(prev); ok {
			prev = following
			continue
		}
		started := r.now()
		fact, err := r.slice(ctx, prev)
		if err != nil {
			return r.stop(ctx, err)
		}
		if err := r.unstop(ctx); err != nil {
			return err
		}
		if err := r.Journal.Say(ctx, fact); err != nil {
			return err
		}
		prev = fact
		r.longest = max(r.longest, r.now().Sub(started))
		if !prev.Last && r.late(ctx) {
			due := r.due
			due.Piece = prev.At(prev.Slice + 1)
			return r.Journal.Say(ctx, due)
		}
	}
	return r.unstop(ctx)
}

// resume returns the last of the slices 1 to n that are collected, each from where the one before ended.
func (r *run) resume() events.Collected {
	var prev events.Collected
	for !prev.Last {
		next, ok := r.following(prev)
		if !ok {
			break
		}
		prev = next
	}
	return prev
}

// following returns the collected fact after prev, if there is one that was made from prev by the present definition.
func (r *run) following(prev events.Collected) (events.Collected, bool) {
	f, ok := facts.Get[events.Collected](r.view, r.piece.At(prev.Slice+1))
	if !ok || f.Definition != r.d.Definition || f.From != prev.To {
		return f, false
	}
	if prev.Slice == 0 {
		return f, f.Inputs == f.Pin.Content()
	}
	return f, f.Inputs == prev.Digest() && f.Pin.Content() == prev.Pin.Content()
}

// settle decides what is read: the archive of the stored generation, or the source as pinned by the first slice, or as it is now.
func (r *run) settle(ctx context.Context, prev events.Collected) (err error) {
	r.pin = prev.Pin
	if a := r.archived(); a != nil && (prev.Slice == 0 || r.pin.Content() == r.stored.Entry.Pin.Content()) {
		r.archive, r.pin = a, r.stored.Entry.Pin
		return nil
	}
	if prev.Slice == 0 {
		r.pin, err = r.Sources.Pin(ctx, r.d, r.w)
	}
	return atSource(err)
}

// slice collects the slice after prev. Bytes that were read while the source was touched do not count.
func (r *run) slice(ctx context.Context, prev events.Collected) (events.Collected, error) {
	for range 3 {
		if _, err := r.unchanged(ctx, prev); err != nil {
			return events.Collected{}, err
		}
		fact, err := r.read(ctx, prev)
		if err != nil {
			r.close()
		}
		same, changed := r.unchanged(ctx, prev)
		if changed != nil {
			return fact, changed
		}
		if same && err == nil {
			err = r.whole(ctx, fact)
		}
		if same || ctx.Err() != nil {
			return fact, err
		}
		r.close()
	}
	return events.Collected{}, errors.New("the source changes while it is read: write its files under another name and rename them when they are whole")
}

// unchanged says whether the source still has the versions that were pinned. If it has other versions of the same content it
// pins those; if it has other content the error is a restatedError, unless no fact names the pin yet.
func (r *run) unchanged(ctx context.Context, prev events.Collected) (bool, error) {
	if r.archive != nil {
		return true, nil
	}
	now, err := r.Sources.Versions(ctx, r.d, r.w)
	if err != nil {
		return false, atSource(err)
	}
	if versions(now) == versions(r.pin) {
		return true, nil
	}
	if now, err = r.Sources.Pin(ctx, r.d, r.w); err != nil {
		return false, atSource(err)
	}
	if prev.Slice > 0 && now.Content() != r.pin.Content() {
		return false, &restatedError{now}
	}
	r.pin = now
	return false, nil
}

// whole compares the digests of the source with the pin once more, after the last of several slices.
func (r *run) whole(ctx context.Context, fact events.Collected) error {
	if !fact.Last || fact.Slice == 1 || r.archive != nil {
		return nil
	}
	now, err := r.Sources.Pin(ctx, r.d, r.w)
	if err != nil {
		return atSource(err)
	}
	if now.Content() != r.pin.Content() {
		return &restatedError{now}
	}
	return nil
}

func versions(p events.Pin) string {
	parts := make([]string, 0, 2*len(p.Files))
	for _, f := range p.Files {
		parts = append(parts, f.URI, f.Version)
	}
	return events.Digest(parts...)
}

func (r *run) now() time.Time {
	if r.Now == nil {
		return time.Time{}
	}
	return r.Now()
}

// late says whether another slice may not be done before the deadline.
func (r *run) late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && r.Now != nil && deadline.Sub(r.Now()) < 2*r.longest
}

// restatedError says that the source holds other content than pinned.
type restatedError struct{ now events.Pin }

func (e *restatedError) Error() string { return "the source was restated" }

// sourceError is a failure of the source, not of Almanac.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func atSource(err error) error {
	if err == nil {
		return nil
	}
	return &sourceError{err}
}

// stop says why the generation cannot go on where that lies with the source, and gives back every other error.
func (r *run) stop(ctx context.Context, err error) error {
	if restated := new(restatedError); errors.As(err, &restated) {
		return r.Journal.Say(ctx, events.Restated{Piece: r.piece, Pin: restated.now})
	}
	if !errors.As(err, new(*sourceError)) {
		return err
	}
	stopped := events.Stopped{
		Piece: r.piece, Step: events.StepCollect, Definition: r.d.Definition, Attempt: r.due.Attempt, Detail: err.Error(),
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		stopped.Reason, stopped.Waiting = "source_missing", true
	case errors.Is(err, fs.ErrPermission):
		stopped.Reason, stopped.Waiting = "source_unreadable", true
	case errors.Is(err, events.ErrInvalid):
		stopped.Reason = "source_invalid"
	default:
		return err
	}
	if err := r.Journal.Say(ctx, stopped); err != nil {
		return fmt.Errorf("say why it stopped (%s): %w", stopped.Detail, err)
	}
	return nil
}

// unstop takes back what an earlier try has said about the source.
func (r *run) unstop(ctx context.Context) error {
	stopped, ok := facts.Get[events.Stopped](r.view, r.piece)
	if !ok || stopped.Step != events.StepCollect {
		return nil
	}
	return r.Journal.Retract(ctx, stopped)
}

func (r *run) close() {
	if r.in != nil {
		_ = r.in.Closer.Close() // it was only read
		r.in.Cutter.Close()
		r.in = nil
	}
}
