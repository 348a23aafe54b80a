package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/store/commit"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// mostAtOnce bounds the generations that one commit makes visible.
const mostAtOnce = 32

// group gathers the pieces of one dataset whose slices are staged, so that one commit serves many windows: whoever has the turn commits
// for all that wait. An Iceberg commit costs the same however many windows it replaces.
type group struct {
	turn chan struct{} // holds a token while somebody commits

	more chan struct{} // holds a token after somebody has joined

	mu      sync.Mutex
	waiting []*waiter
}

// waiter is a handler whose piece is to be committed.
type waiter struct {
	piece events.Piece
	w     window.Window
	done  chan struct{} // closed once err is set
	err   error
}

// groups has the group of each dataset.
type groups struct {
	mu    sync.Mutex
	all   map[string]*group
	slots chan struct{} // a token for each slice that is being staged, or nil
}

// slot waits until a slice may be staged, where only so many may be at once.
func (g *groups) slot(ctx context.Context, most int) (free func(), err error) {
	if most <= 0 {
		return func() {}, nil
	}
	g.mu.Lock()
	if g.slots == nil {
		g.slots = make(chan struct{}, most)
	}
	g.mu.Unlock()
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other slices: %w", context.Cause(ctx))
	}
}

func (g *groups) of(dataset string) *group {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = map[string]*group{}
	}
	if g.all[dataset] == nil {
		g.all[dataset] = &group{turn: make(chan struct{}, 1), more: make(chan struct{}, 1)}
	}
	return g.all[dataset]
}

// join adds a handler to those who wait.
func (g *group) join(w *waiter) {
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case g.more <- struct{}{}:
	default: // who has the turn will look anyway
	}
}

func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// linger waits until half of the windows that are under way wait to be committed, so that the others can be ingested meanwhile, but not
// longer than told.
func (g *group) linger(ctx context.Context, most time.Duration, underWay func() int) {
	if most <= 0 {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for g.size() < min((underWay()+1)/2, mostAtOnce) {
		select {
		case <-g.more:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// take removes those who wait, the first ones if there are very many.
func (g *group) take() []*waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), mostAtOnce)
	taken := g.waiting[:n:n]
	g.waiting = append([]*waiter(nil), g.waiting[n:]...)
	return taken
}

// commit makes the generation of a piece visible, once all of its slices are staged and its rules hold, and with it the generations of
// other windows that wait for the same.
func (s *Store) commit(ctx context.Context, view *facts.View, d *dataset.Dataset, w window.Window, piece events.Piece) error {
	g := s.groups.of(d.Name)
	me := &waiter{piece: piece, w: w, done: make(chan struct{})}
	g.join(me)
	for {
		select {
		case <-me.done:
			return me.err
		case <-ctx.Done():
			return fmt.Errorf("wait for the turn to commit %s: %w", piece.Key(), context.Cause(ctx)) // whoever has the turn may still commit it
		case g.turn <- struct{}{}:
			s.lead(ctx, g, me, view, d)
		}
	}
}

// lead commits for all that wait, unless another did so while the handler waited for its turn, and gives the turn back.
func (s *Store) lead(ctx context.Context, g *group, me *waiter, view *facts.View, d *dataset.Dataset) {
	defer func() { <-g.turn }()
	if me.served() {
		return
	}
	g.linger(ctx, s.Linger, func() int { return view.UnderWay(d.Name) })
	s.commitAll(ctx, d, g.take())
}

func (w *waiter) served() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// commitAll commits what waits and tells each how it went. What goes wrong with one window does not hold up another.
func (s *Store) commitAll(ctx context.Context, d *dataset.Dataset, waiting []*waiter) {
	ended := false
	defer func() {
		if !ended {
			fail(waiting, errPanicked)
		}
		for _, w := range waiting {
			close(w.done)
		}
	}()
	s.commitEach(ctx, d, waiting)
	ended = true
}

var errPanicked = errors.New("the commit of several windows has panicked")

func (s *Store) commitEach(ctx context.Context, d *dataset.Dataset, waiting []*waiter) {
	view, err := s.Journal.View(ctx)
	if err != nil {
		fail(waiting, err)
		return
	}
	var ready []*commit.Generation
	of := map[events.Piece][]*waiter{} // more than one for the same event twice, or for several slices
	for _, w := range waiting {
		of[w.piece] = append(of[w.piece], w)
	}
	for _, w := range waiting {
		if of[w.piece][0] != w {
			continue
		}
		g, err := s.decide(ctx, view, d, w.w, w.piece)
		if err != nil {
			fail(of[w.piece], err)
		} else if g != nil {
			ready = append(ready, g)
		}
	}
	ready, later := apart(ready)
	s.commitReady(ctx, d, ready, of)
	for _, g := range later {
		s.commitReady(ctx, d, []*commit.Generation{g}, of)
	}
}

// commitReady publishes generations of different windows at once, or one by one where that fails: one of them may be to blame.
func (s *Store) commitReady(ctx context.Context, d *dataset.Dataset, ready []*commit.Generation, of map[events.Piece][]*waiter) {
	if len(ready) == 0 {
		return
	}
	stored, err := commit.All(ctx, s.Tables, d, ready)
	if err == nil {
		said := make([]events.Event, len(stored))
		for i, f := range stored {
			said[i] = f
		}
		err = s.Journal.Say(ctx, said...)
	}
	switch {
	case err == nil:
	case len(ready) == 1:
		fail(of[ready[0].Piece], fmt.Errorf("commit %s: %w", ready[0].Piece.Key(), s.mend(ctx, ready[0].Slices, err)))
	default:
		for _, g := range ready {
			s.commitReady(ctx, d, []*commit.Generation{g}, of)
		}
	}
}

// apart parts generations such that the first ones are all of different windows.
func apart(all []*commit.Generation) (first, rest []*commit.Generation) {
	seen := map[string]bool{}
	for _, g := range all {
		if seen[g.Window.Key()] {
			rest = append(rest, g)
			continue
		}
		seen[g.Window.Key()] = true
		first = append(first, g)
	}
	return first, rest
}

func fail(waiting []*waiter, err error) {
	for _, w := range waiting {
		w.err = errors.Join(w.err, err)
	}
}
