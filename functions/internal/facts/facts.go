// Package facts keeps what is known: the latest fact and due of every piece of work.
//
// The facts stand in compacted Kafka topics of one partition each, so the last record of a key is the one that counts.
// A View is their sum; it holds plain values and does no I/O.
package facts

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/almanac-data/almanac/events"
)

// Journal is where facts and dues are written and read: Kafka.
type Journal interface {
	// Say appends events, in order, and returns once all are acknowledged.
	Say(ctx context.Context, evs ...events.Event) error
	// Retract takes a fact back whose outputs are not there, so that the work is due again: a tombstone for its key. Taking back
	// too much costs time, never rows.
	Retract(ctx context.Context, e events.Event) error
	// View returns what is known after reading every record that was acknowledged before the call.
	View(ctx context.Context) (*View, error)
}

// View is the latest fact and due of each piece. It is safe for concurrent use; a reader sees facts in the order they were said,
// topic by topic.
type View struct {
	mu      sync.RWMutex
	latest  map[string]map[string]entry // topic, key
	refused int
	ends    map[string]int                  // dataset: facts that end a piece of work, or take that back
	windows map[string]map[string]*progress // dataset, window
	open    map[string]int                  // dataset: windows under way
}

// progress is how far a window is: the greatest generations of which something is said.
type progress struct{ collected, stored, ended int }

func (p *progress) underWay() bool { return p.collected > p.ended }

type entry struct {
	event events.Event
	said  time.Time
}

// NewView returns an empty view.
func NewView() *View {
	return &View{latest: map[string]map[string]entry{}, windows: map[string]map[string]*progress{}, open: map[string]int{}, ends: map[string]int{}}
}

// Apply takes one record of a fact or due topic. What is not a well-formed event of that topic and key (a torn or forged record)
// is counted and otherwise ignored. A record without data is a tombstone.
func (v *View) Apply(topic, key, ceType string, data []byte, said time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest[topic] == nil {
		v.latest[topic] = map[string]entry{}
	}
	if data == nil {
		before, ok := v.latest[topic][key]
		delete(v.latest[topic], key)
		if ok {
			v.ends[before.event.Of().Dataset]++
			v.unfollow(before.event)
		}
		return
	}
	e, err := events.Decode(ceType, data)
	if err != nil || e.Topic() != topic || e.Of().Key() != key {
		v.refused++
		return
	}
	v.latest[topic][key] = entry{e, said}
	v.follow(e)
}

// follow notes how far a window is.
func (v *View) follow(e events.Event) {
	of := e.Of()
	var collected, stored, ended int
	switch e.(type) {
	case *events.Aggregated, *events.Released, *events.Restated:
		v.ends[of.Dataset]++
		return
	case *events.Collected:
		collected = of.Generation
	case *events.Stored:
		stored, ended = of.Generation, of.Generation
	case *events.Stopped:
		ended = of.Generation
	}
	if ended > 0 {
		v.ends[of.Dataset]++
	}
	if collected+ended == 0 || of.Name != "" {
		return
	}
	if v.windows[of.Dataset] == nil {
		v.windows[of.Dataset] = map[string]*progress{}
	}
	p := v.windows[of.Dataset][of.Window]
	if p == nil {
		p = new(progress)
		v.windows[of.Dataset][of.Window] = p
	}
	before := p.underWay()
	p.collected, p.stored, p.ended = max(p.collected, collected), max(p.stored, stored), max(p.ended, ended)
	switch after := p.underWay(); {
	case after && !before:
		v.open[of.Dataset]++
	case before && !after:
		v.open[of.Dataset]--
	}
}

// unfollow looks for the greatest stored generation of a window again after one was taken back.
func (v *View) unfollow(e events.Event) {
	of := e.Of()
	p := v.windows[of.Dataset][of.Window]
	if _, ok := e.(*events.Stored); !ok || p == nil || p.stored > of.Generation {
		return
	}
	p.stored = 0
	for _, other := range v.latest[e.Topic()] {
		if o := other.event.Of(); o.Dataset == of.Dataset && o.Window == of.Window {
			p.stored = max(p.stored, o.Generation)
		}
	}
}

// StoredGeneration is the greatest stored generation of a window, 0 if there is none.
func (v *View) StoredGeneration(dataset, window string) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if p := v.windows[dataset][window]; p != nil {
		return p.stored
	}
	return 0
}

// Ends counts the facts of a dataset that say how a piece of work ended, or that its source changed, and what was taken back. While the
// number stays, and the time, so does what is due.
func (v *View) Ends(dataset string) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.ends[dataset]
}

// UnderWay counts the windows of a dataset of which a generation is collected, in part at least, and neither it nor a later one is stored or
// stopped. It is a hint: a fact that is taken back does not change it.
func (v *View) UnderWay(dataset string) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.open[dataset]
}

// Refused is the number of records that were not well-formed.
func (v *View) Refused() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.refused
}

// Get returns the latest event of type T for a piece, and when it was said.
func Get[T events.Event](v *View, p events.Piece) (T, bool) {
	e, _, ok := When[T](v, p)
	return e, ok
}

// When is Get with the time at which the event was said.
func When[T events.Event](v *View, p events.Piece) (T, time.Time, bool) {
	var zero T
	return lookup[T](v, zero.Topic(), p)
}

// LatestDue returns the latest due of a step for a piece, and when it was said.
func LatestDue(v *View, step string, p events.Piece) (events.Due, time.Time, bool) {
	return lookup[events.Due](v, events.DueTopicPrefix+step, p)
}

func lookup[T events.Event](v *View, topic string, p events.Piece) (T, time.Time, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.latest[topic][p.Key()]
	if !ok {
		var zero T
		return zero, time.Time{}, false
	}
	return *any(e.event).(*T), e.said, true
}

// All lists the latest events of type T of a dataset ("" for all), in the order of their keys.
func All[T events.Event](v *View, dataset string) []T {
	var zero T
	return list[T](v, zero.Topic(), dataset)
}

// Dues lists the latest dues of a step of a dataset ("" for all), in the order of their keys.
func Dues(v *View, step, dataset string) []events.Due {
	return list[events.Due](v, events.DueTopicPrefix+step, dataset)
}

func list[T events.Event](v *View, topic, dataset string) []T {
	v.mu.RLock()
	defer v.mu.RUnlock()
	keys := make([]string, 0, len(v.latest[topic]))
	for key := range v.latest[topic] {
		if dataset == "" || strings.HasPrefix(key, dataset+"/") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	all := make([]T, len(keys))
	for i, key := range keys {
		all[i] = *any(v.latest[topic][key].event).(*T)
	}
	return all
}

// LatestOf returns the stored fact of the greatest generation of a window; its generation is 0 if there is none.
func LatestOf(v *View, dataset, window string) events.Stored {
	f, _ := Get[events.Stored](v, events.Piece{Dataset: dataset, Window: window, Generation: v.StoredGeneration(dataset, window)})
	return f
}

// LatestStored returns the stored fact of the greatest generation of every window of a dataset.
func LatestStored(v *View, dataset string) map[string]events.Stored {
	latest := map[string]events.Stored{}
	for _, f := range All[events.Stored](v, dataset) {
		if f.Generation > latest[f.Window].Generation {
			latest[f.Window] = f
		}
	}
	return latest
}
