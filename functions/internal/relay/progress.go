package relay

import (
	"sync"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// progress keeps how far each partition is done without a gap.
type progress struct {
	mu     sync.Mutex
	places map[kafka.Place]*lane
}

// lane is one partition: tickets in the order of the log, of which the first is not done.
type lane struct {
	term      int // of the membership in which the partition was got
	tickets   []*ticket
	next      int64 // offset after the last one that is done without a gap
	committed int64
}

type ticket struct {
	offset int64
	done   bool
	lane   *lane
}

// add takes the next record of a partition. One that was lost and got again begins anew: what was under way then is another's affair.
func (p *progress) add(r kafka.Record) *ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.places[r.Place]
	if l == nil || l.term != r.Term {
		l = &lane{term: r.Term, next: r.Offset, committed: r.Offset}
		p.places[r.Place] = l
	}
	t := &ticket{offset: r.Offset, lane: l}
	l.tickets = append(l.tickets, t)
	return t
}

// done notes that a record needs no more work.
func (p *progress) done(t *ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.done = true
	l := t.lane
	for len(l.tickets) > 0 && l.tickets[0].done {
		l.next = l.tickets[0].offset + 1
		l.tickets[0] = nil
		l.tickets = l.tickets[1:]
	}
}

// next lists what can be committed and is not, and the lanes that it is of. A partition that was lost is forgotten, also if it was got again: what
// another has committed meanwhile may be further on.
func (p *progress) next(holds func(kafka.Record) bool) (map[kafka.Place]int64, map[kafka.Place]*lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, lanes := map[kafka.Place]int64{}, map[kafka.Place]*lane{}
	for place, l := range p.places {
		switch {
		case !holds(kafka.Record{Place: place, Term: l.term}):
			delete(p.places, place)
		case l.next != l.committed:
			next[place], lanes[place] = l.next, l
		}
	}
	return next, lanes
}

// committed notes what next listed.
func (p *progress) committed(next map[kafka.Place]int64, lanes map[kafka.Place]*lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place, at := range next {
		lanes[place].committed = at
	}
}
