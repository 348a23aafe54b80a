// Package follow reads the current versions of published datasets, and goes on to newer ones while a process runs.
package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/published"
)

// Config says where versions are kept, and how often newer ones are looked for.
type Config struct {
	Refresh time.Duration `env:"ALMANAC_DATASETS_REFRESH,default=15s"`    // how often published datasets are looked at
	Cache   string        `env:"ALMANAC_DATASETS_CACHE"`                  // folder for copies of them; that of temporary files if empty
	Bytes   int64         `env:"ALMANAC_DATASETS_BYTES,default=67108864"` // of a dataset's folder at most, published or read
}

// Check says what is wrong with the sizes.
func (c Config) Check() error {
	if c.Refresh < 100*time.Millisecond || c.Bytes < 1 {
		return fmt.Errorf("ALMANAC_DATASETS_REFRESH (%s) must be at least 100ms and ALMANAC_DATASETS_BYTES (%d) at least 1", c.Refresh, c.Bytes)
	}
	return nil
}

// ErrAway marks an error of Open: the warehouse does not tell what is published in it.
var ErrAway = errors.New("warehouse does not answer")

// settling is for how many looks a version is known before the calendar goes by it: by then every other function has looked too, so that what is
// announced is done by those who know what it means.
const settling = 2

// held is a dataset as it is read.
type held struct {
	number  int // of the record that said so
	dataset *dataset.Dataset
	since   time.Time // when it was first seen
}

// Follower reads published datasets. It is safe for concurrent use; Close ends it.
type Follower struct {
	files   fs.FS
	config  Config
	keep    time.Duration
	now     func() time.Time
	log     *slog.Logger
	cache   *cache
	current *dataset.Catalog
	settled *dataset.Catalog

	changes atomic.Int64 // how often something was new

	mu      sync.Mutex // held while it looks
	began   time.Time  // when the last look began that the warehouse answered
	held    map[string]held
	wrong   map[string]error     // why the newest version of a dataset could not be read by that look
	waiting map[string]held      // what the calendar goes by, of datasets that have a younger version
	retired map[string]time.Time // folders of versions that were replaced, and when

	state sync.Mutex
	last  error // why the last look found no warehouse to look at

	stop  context.CancelFunc
	ended chan struct{}
}

// Open reads the current versions from the warehouse's folder of published datasets, and looks for newer ones until Close. The files of a version
// that was replaced stay for as long as keep says, for those who are still at work on them. A dataset that cannot be read keeps none of the others
// from being read: Wrong tells it. The error wraps ErrAway if none can.
func Open(ctx context.Context, files fs.FS, cfg Config, keep time.Duration, now func() time.Time, log *slog.Logger) (*Follower, error) {
	f, err := read(ctx, files, cfg, keep, now, log)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	go f.run(running)
	return f, nil
}

// read is Open, and looks once only.
func read(ctx context.Context, files fs.FS, cfg Config, keep time.Duration, now func() time.Time, log *slog.Logger) (*Follower, error) {
	c, err := openCache(cfg.Cache)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		files: files, config: cfg, keep: keep, now: now, log: log, cache: c, current: dataset.NewCatalog(), settled: dataset.NewCatalog(),
		held: map[string]held{}, waiting: map[string]held{}, retired: map[string]time.Time{}, ended: make(chan struct{}),
	}
	if _, err := f.Look(ctx); err != nil {
		if f.began.IsZero() {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrAway, err), c.close())
		}
		log.Warn("published datasets cannot be read; the others are used", "error", err.Error())
	}
	return f, nil
}

// Catalog has the current versions.
func (f *Follower) Catalog() *dataset.Catalog { return f.current }

// Settled has the versions that a calendar goes by: each once every function has had the time to see it.
func (f *Follower) Settled() *dataset.Catalog { return f.settled }

// Ready says why the warehouse did not answer the last look. What was read before is used meanwhile. What is wrong with one dataset does not
// show here, as it holds up no other: it is logged.
func (f *Follower) Ready(context.Context) error {
	f.state.Lock()
	defer f.state.Unlock()
	if f.last != nil {
		return fmt.Errorf("the last versions that were read are used: %w", f.last)
	}
	return nil
}

// Wrong says why the newest versions of some datasets could not be read by the last look.
func (f *Follower) Wrong() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return joined(f.wrong)
}

func joined(wrong map[string]error) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		all = append(all, wrong[name])
	}
	return errors.Join(all...)
}

// closing is how long Close waits for a look that is under way: one at a warehouse that does not answer may take longer.
const closing = 2 * time.Second

// Close ends the looking, and removes what was copied.
func (f *Follower) Close() error {
	if f.stop != nil {
		f.stop()
		select {
		case <-f.ended:
		case <-time.After(closing):
		}
	}
	return f.cache.close()
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.ended)
	tick := time.NewTicker(f.config.Refresh)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := f.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != told:
			told = err.Error()
			f.log.Warn("published datasets cannot be read; those read before are used", "error", told)
		case err == nil && told != "":
			told = ""
			f.log.Info("published datasets can be read again")
		}
	}
}

// Look reads what is current now, and says whether anything is new. What cannot be read stays as it was; the error tells all of it.
func (f *Follower) Look(ctx context.Context) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if changed, err = f.look(ctx); err == nil {
		err = joined(f.wrong)
	}
	return changed, err
}

// look is Look, but what is wrong with single datasets is told by f.wrong alone.
func (f *Follower) look(ctx context.Context) (changed bool, err error) {
	began := f.now()
	heads, away := published.Heads(f.files)
	err = away
	if away == nil {
		f.wrong = map[string]error{}
		changed = f.read(ctx, heads)
		err = ctx.Err()
	}
	if err == nil {
		f.began = began
	}
	f.show()
	if changed {
		f.changes.Add(1) // after it shows: who knows the number has seen what it stands for
	}
	f.prune()
	f.state.Lock()
	f.last = away
	f.state.Unlock()
	return changed, err
}

// read takes what is new of the datasets, until ctx ends. One that is gone, or has gone back, is no news: an absence is never taken for an order.
func (f *Follower) read(ctx context.Context, heads map[string]int) (changed bool) {
	for name, was := range f.held {
		if n := heads[name]; n < was.number {
			f.wrong[name] = fmt.Errorf("the history of %s ends at %d, and ended at %d before: bring %s/%s of the warehouse back, or start again to go by what is there",
				name, n, was.number, published.Root, name)
			delete(heads, name)
		}
	}
	for name, number := range heads {
		was, ok := f.held[name]
		if ok && was.number == number {
			continue
		}
		if ctx.Err() != nil {
			return changed
		}
		d, err := f.load(name, number)
		if err != nil {
			f.wrong[name] = err
			continue
		}
		if _, waits := f.waiting[name]; !waits && !f.began.IsZero() {
			f.waiting[name] = was // what comes with the start is settled
		}
		f.held[name] = held{number, d, f.now()}
		if ok && was.dataset.Dir != d.Dir {
			f.retired[was.dataset.Dir] = f.now()
		}
		delete(f.retired, d.Dir)
		changed = true
		f.log.Info("dataset read", "dataset", name, "record", number, "contract", d.Version, "withdrawn", d.Withdrawn)
	}
	return changed
}

// load reads a dataset as a record says it.
func (f *Follower) load(name string, number int) (*dataset.Dataset, error) {
	r, err := published.Read(f.files, name, number)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.cache.dir, r.Version, name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := f.fetch(r, dir); err != nil {
			return nil, err
		}
	}
	d, err := folder.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("read version %s of %s, published by Almanac %s: %w", published.Short(r.Version), name, r.Code, err)
	}
	d.Withdrawn = r.Withdrawn()
	return d, nil
}

// fetch copies a version beside its name, which it gets once it is whole.
func (f *Follower) fetch(r published.Record, dir string) error {
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if _, err := published.Fetch(f.files, r.Dataset, r.Version, part, f.config.Bytes); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, dir)
}

// show hands out what is held.
func (f *Follower) show() {
	var current, settled []*dataset.Dataset
	for name, h := range f.held {
		current = append(current, h.dataset)
		was, ok := f.waiting[name]
		switch {
		case !ok:
			settled = append(settled, h.dataset)
		case f.now().Sub(h.since) >= settling*f.config.Refresh:
			delete(f.waiting, name)
			settled = append(settled, h.dataset)
		case was.dataset != nil:
			settled = append(settled, was.dataset)
		}
	}
	f.current.Replace(current)
	f.settled.Replace(settled)
}

// prune removes the files of versions that nobody can be at work on any more.
func (f *Follower) prune() {
	used := map[string]bool{}
	for _, h := range f.waiting {
		if h.dataset != nil {
			used[h.dataset.Dir] = true
		}
	}
	for dir, at := range f.retired {
		if used[dir] || f.now().Sub(at) < f.keep {
			continue
		}
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			f.log.Warn("copy of a dataset stays", "error", err.Error())
			continue
		}
		delete(f.retired, dir)
	}
}

// Handler makes a function look for newer versions before it refuses an event for good: who has said it may have read a dataset that this
// process has not seen yet. Where the warehouse does not answer nobody can tell, and the event is to come again.
func (f *Follower) Handler(h func(context.Context, events.Event) error) func(context.Context, events.Event) error {
	return func(ctx context.Context, ev events.Event) error {
		known, came := f.changes.Load(), f.now()
		err := h(ctx, ev)
		if !errors.Is(err, events.ErrInvalid) {
			return err
		}
		name := ""
		if ev != nil {
			name = ev.Of().Dataset
		}
		if lookErr := f.lookSince(ctx, came, name); lookErr != nil {
			return fmt.Errorf("look for newer datasets, as this version refuses the event (%s): %w", strings.ReplaceAll(err.Error(), "\n", "; "), lookErr)
		}
		if f.changes.Load() == known { // what others have read meanwhile counts too
			return err
		}
		return h(ctx, ev)
	}
}

// Latest is the version of a dataset that is current now, which the catalog may not have yet. The error says why nobody can tell, or wraps
// events.ErrInvalid if there is no such dataset.
func (f *Follower) Latest(ctx context.Context, name string) (*dataset.Dataset, error) {
	if err := f.lookSince(ctx, f.now(), name); err != nil {
		return nil, err
	}
	return f.current.Dataset(name)
}

// lookSince looks, unless a look has begun since then that the warehouse answered. The error says why nobody can tell what the newest version of
// the dataset is.
func (f *Follower) lookSince(ctx context.Context, then time.Time, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.began.After(then) {
		if _, err := f.look(ctx); err != nil {
			return err
		}
	}
	return f.wrong[name]
}
