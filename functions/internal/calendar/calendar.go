// Package calendar compares schedules with facts and announces what is due, and what got stuck.
//
// Nothing else in Almanac knows the time. Survey is a plain function of a dataset, the facts and the time; Calendar only asks for
// those and says what the survey found. Two ticks in one second, or none for a day, give the same work.
package calendar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/backlog"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Datasets lists the datasets to keep the calendar of.
type Datasets interface {
	Datasets() ([]*dataset.Dataset, error)
}

// Tables tells what the tables hold.
type Tables interface {
	Head(ctx context.Context, name table.Name) (table.Head, error)
}

// Backlogs shows what surveys find.
type Backlogs interface {
	Surveyed(dataset string, found backlog.Backlog)
	Withdrawn(dataset string)   // shows it no longer
	DeadLetter(function string) // one that was made for it
}

// Letters keeps dead letters.
type Letters interface {
	// Bury keeps a due that nothing has come of, and what a person should know of it. Of a due that is buried twice there are two letters.
	Bury(ctx context.Context, due events.Event, detail string) error
}

// Calendar announces dues.
type Calendar struct {
	Journal  facts.Journal
	Datasets Datasets
	Tables   Tables
	Letters  Letters          // of aggregates and releases that are given up; not used where Pace has no end of attempts
	Now      func() time.Time // of the schedules; may be set to another day
	Wall     func() time.Time // measures how long ago something was said
	Pace     Pace
	Backlogs Backlogs // may be nil

	mu       sync.Mutex
	surveyed map[string]int       // dataset: facts that had ended work when it was last surveyed
	said     map[string]announced // dataset: what it waits for
	buried   map[string]bool      // dues by their ids
}

// Pace says how soon things are announced again, and how much at once.
type Pace struct {
	Grace    time.Duration // a fact without its successor is said again after this; longer than a slice takes
	Retry    time.Duration // what waits for the world outside is tried again after this
	Parallel int           // windows of a dataset that are ingested at once
	// Attempts is how often an aggregate or release is asked for with the same inputs before it is given up, until a person asks or the
	// time of Recheck or ProbeBefore has come. Zero: without end.
	Attempts int
	// ProbeBefore makes the sources of stored windows be looked at again that were last looked at before it, and what waits be tried again
	// that waits since before it, or was given up before it. Zero: never.
	ProbeBefore time.Time
	// Recheck does the same with what was last looked at, or given up, longer ago than that. Zero: never.
	Recheck time.Duration
}

// Config is how fast a calendar goes, by the variables of its function.
type Config struct {
	Grace    time.Duration `env:"ALMANAC_GRACE_FACTS,default=15m"` // longer than a slice takes
	Retry    time.Duration `env:"ALMANAC_RETRY,default=15m"`
	Recheck  time.Duration `env:"ALMANAC_RECHECK,default=24h"` // of the sources of stored windows, and of what was given up
	Parallel int           `env:"ALMANAC_PARALLEL,default=8"`
	Attempts int           `env:"ALMANAC_ATTEMPTS,default=5"` // of an aggregate or release with the same inputs; 0: without end
}

// Check says what is wrong beyond the form of single variables.
func (c Config) Check() error {
	if c.Attempts < 0 {
		return fmt.Errorf("ALMANAC_ATTEMPTS must be 0 (without end) or more, not %d", c.Attempts)
	}
	return nil
}

// Pace is the pace that is configured.
func (c Config) Pace() Pace {
	return Pace{Grace: c.Grace, Retry: c.Retry, Recheck: c.Recheck, Parallel: c.Parallel, Attempts: c.Attempts}
}

// looked is the time such that a source last looked at before it is looked at again; zero for none.
func (p Pace) looked(wall time.Time) time.Time {
	if p.Recheck <= 0 {
		return p.ProbeBefore
	}
	return later(p.ProbeBefore, wall.Add(-p.Recheck))
}

// Handle announces what is due. The event only wakes it: what it says is decided from the facts alone.
func (c *Calendar) Handle(ctx context.Context, ev events.Event) error {
	all, err := c.Datasets.Datasets()
	if err != nil {
		return err
	}
	var errs []error
	if ev == nil {
		errs = append(errs, c.reconcile(ctx, all))
	}
	view, err := c.Journal.View(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Withdrawn && c.Backlogs != nil {
			c.Backlogs.Withdrawn(d.Name)
		}
		if d.Withdrawn || ev != nil && ev.Of().Dataset != d.Name {
			continue
		}
		if err := c.announce(ctx, d, view, ev != nil); err != nil {
			errs = append(errs, fmt.Errorf("announce work of %s: %w", d.Name, err))
		}
	}
	return errors.Join(errs...)
}

// announce says what is due of a dataset. Windows that were stored together wake the calendar one by one: only the first event finds
// anything, so those that came after the last survey are passed over until a fact or a tick follows.
func (c *Calendar) announce(ctx context.Context, d *dataset.Dataset, view *facts.View, woken bool) error {
	ends := view.Ends(d.Name)
	c.mu.Lock()
	last, ok := c.surveyed[d.Name]
	c.mu.Unlock()
	if woken && ok && last == ends {
		return nil
	}
	now, at := c.Now(), c.Wall()
	states := Survey(d, view, now, at, c.Pace)
	buried := c.bury(ctx, states)
	chosen := choose(states, c.Pace.Parallel)
	if say := announcements(chosen); len(say) > 0 {
		if err := c.Journal.Say(ctx, say...); err != nil {
			return errors.Join(buried, err)
		}
	}
	if buried != nil {
		return buried
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.surveyed == nil {
		c.surveyed, c.said = map[string]int{}, map[string]announced{}
	}
	c.surveyed[d.Name] = ends
	c.said[d.Name] = c.said[d.Name].again(states, chosen)
	if c.Backlogs != nil {
		c.Backlogs.Surveyed(d.Name, tally(d, states, c.said[d.Name], now, at))
	}
	return nil
}

// bury keeps the dues as dead letters that are given up, before that is said: a calendar that dies in between does so once more, and no letter is
// missing. Of what cannot be buried nothing is said, so that the next tick tries again.
func (c *Calendar) bury(ctx context.Context, states []State) error {
	var errs []error
	for i := range states {
		stop, ok := states[i].givesUp()
		if !ok {
			continue
		}
		if err := c.buryOnce(ctx, states[i].Asked, stop.Detail); err != nil {
			errs = append(errs, err)
			states[i].Say = nil
		}
	}
	return errors.Join(errs...)
}

// buryOnce makes one letter of a due, also where what comes after it cannot be said for long.
func (c *Calendar) buryOnce(ctx context.Context, due events.Due, detail string) error {
	c.mu.Lock()
	done := c.buried[due.ID()]
	c.mu.Unlock()
	if done {
		return nil
	}
	if err := c.Letters.Bury(ctx, due, detail); err != nil {
		return err
	}
	if c.Backlogs != nil {
		c.Backlogs.DeadLetter(due.Step)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buried == nil {
		c.buried = map[string]bool{}
	}
	c.buried[due.ID()] = true
	return nil
}

// reconcile says stored again for what a table holds and no fact tells: the process died between commit and fact, or Kafka was lost.
// What is wrong with one dataset holds up no other.
func (c *Calendar) reconcile(ctx context.Context, all []*dataset.Dataset) error {
	view, err := c.Journal.View(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range all {
		told := facts.LatestStored(view, d.Name) // before the table is read: it holds at least what was told
		head, err := c.Tables.Head(ctx, table.Name{Dataset: d.Name, Table: table.Rows})
		if err != nil {
			errs = append(errs, fmt.Errorf("read the map of %s: %w", d.Name, err))
			continue
		}
		missing, err := untold(d.Name, head, told)
		errs = append(errs, err, c.Journal.Say(ctx, missing...), c.foreign(ctx, d))
	}
	return errors.Join(errs...)
}

// foreign says which of the other tables something else than Almanac has written to.
func (c *Calendar) foreign(ctx context.Context, d *dataset.Dataset) error {
	names := []string{table.Quarantine}
	for _, q := range d.Aggregates {
		names = append(names, q.Name)
	}
	var errs []error
	for _, name := range names {
		if _, err := c.Tables.Head(ctx, table.Name{Dataset: d.Name, Table: name}); errors.Is(err, table.ErrNoMap) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// untold lists what the table holds and no fact tells. The error, a table.ErrLost, says what facts tell that the table does not hold: that is never
// mended by itself, for the warehouse may be the wrong one.
func untold(name string, head table.Head, told map[string]events.Stored) ([]events.Event, error) {
	var say []events.Event
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(head.Entries)) {
		var entry events.Entry
		if err := json.Unmarshal(head.Entries[key], &entry); err != nil {
			return say, fmt.Errorf("read the map of %s: window %s: %w", name, key, err)
		}
		switch was := told[key].Generation; {
		case entry.Generation > was:
			say = append(say, events.Stored{
				Piece: events.Piece{Dataset: name, Window: key, Generation: entry.Generation}, Entry: entry, Snapshot: head.Snapshot,
			})
		case entry.Generation < was:
			lost = append(lost, fmt.Sprintf("%s of generation %d", key, was))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(told)) {
		if _, ok := head.Entries[key]; !ok {
			lost = append(lost, key)
		}
	}
	if len(lost) > 0 {
		return say, fmt.Errorf("%w: %s is said to have %d windows (%s, ...) that its table does not hold at snapshot %d. If somebody rolled the table back or emptied it, "+
			"make the snapshot that it had before the current one again; else see whether this is the warehouse they were stored in, and bring its tables back; "+
			"without them, start anew with empty topics", table.ErrLost, name, len(lost), lost[0], head.Snapshot)
	}
	return say, nil
}

// Announcements lists what to say now: everything that got stuck, and new windows up to the number that may be ingested at once; last what is given
// up, which needs a right of its own.
func Announcements(states []State, parallel int) []events.Event {
	return announcements(choose(states, parallel))
}

// choose leaves out the new windows beyond the number that may be ingested at once.
func choose(states []State, parallel int) []State {
	working := 0
	for _, s := range states {
		if s.Step == events.StepCollect && s.Phase.working() {
			working++
		}
	}
	chosen := make([]State, 0, len(states))
	for _, s := range states {
		if s.Step == events.StepCollect && s.Phase == Due {
			if parallel > 0 && working >= parallel {
				continue
			}
			working++
		}
		chosen = append(chosen, s)
	}
	return chosen
}

func announcements(chosen []State) []events.Event {
	var say, stops []events.Event
	for _, s := range chosen {
		if stop, ok := s.givesUp(); ok {
			stops = append(stops, stop)
			continue
		}
		say = append(say, s.Say...)
	}
	return append(say, stops...)
}
