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
	Withdrawn(dataset string) // shows it no longer
}

// Calendar announces dues.
type Calendar struct {
	Journal  facts.Journal
	Datasets Datasets
	Tables   Tables
	Now      func() time.Time // of the schedules; may be set to another day
	Wall     func() time.Time // measures how long ago something was said
	Pace     Pace
	Backlogs Backlogs // may be nil

	mu       sync.Mutex
	surveyed map[string]int       // dataset: facts that had ended work when it was last surveyed
	said     map[string]announced // dataset: what it waits for
}

// Pace says how soon things are announced again, and how much at once.
type Pace struct {
	Grace    time.Duration // a fact without its successor is said again after this; longer than a slice takes
	Retry    time.Duration // what waits for the world outside is tried again after this
	Parallel int           // windows of a dataset that are ingested at once
	// ProbeBefore makes the sources of stored windows be looked at again that were last looked at before it, and what waits be tried again
	// that waits since before it. Zero: never.
	ProbeBefore time.Time
	// Recheck makes them be looked at again when the last look is older. Zero: never.
	Recheck time.Duration
}

// Config is how fast a calendar goes, by the variables of its function.
type Config struct {
	Grace    time.Duration `env:"ALMANAC_GRACE_FACTS,default=15m"` // longer than a slice takes
	Retry    time.Duration `env:"ALMANAC_RETRY,default=15m"`
	Recheck  time.Duration `env:"ALMANAC_RECHECK,default=24h"` // of the sources of stored windows
	Parallel int           `env:"ALMANAC_PARALLEL,default=8"`
}

// Pace is the pace that is configured.
func (c Config) Pace() Pace {
	return Pace{Grace: c.Grace, Retry: c.Retry, Recheck: c.Recheck, Parallel: c.Parallel}
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
	chosen := choose(states, c.Pace.Parallel)
	if say := announcements(chosen); len(say) > 0 {
		if err := c.Journal.Say(ctx, say...); err != nil {
			return err
		}
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

// Announcements lists what to say now: everything that got stuck, and new windows up to the number that may be ingested at once.
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
	var say []events.Event
	for _, s := range chosen {
		say = append(say, s.Say...)
	}
	return say
}
