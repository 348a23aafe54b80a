package parse

import (
	"fmt"
	"math"
	"time"

	"github.com/almanac-data/almanac/events"
)

const dayMicros = 24 * 60 * 60 * 1_000_000

// book counts records by event day.
type book struct {
	event    *column
	from, to int64 // the microseconds in which event times may lie
	days     map[int64]*events.Counts
	unknown  events.Counts
	dates    []int64
	times    []int64 // of the records of the chunk, in microseconds
}

// look takes the event times of the chunk.
func (b *book) look(p *Parser) {
	switch v := b.event.vector.(type) {
	case *stamps:
		b.times = v.values[p.rows : p.rows+p.n]
	case *fixed[int32]:
		b.dates = grow(b.dates, 0, p.n)
		for i, day := range v.values[p.rows : p.rows+p.n] {
			b.dates[i] = int64(day) * dayMicros
		}
		b.times = b.dates
	}
}

// enter counts the records of the chunk, and refuses rows whose event time lies outside the window.
func (b *book) enter(p *Parser) {
	start, end, counts := int64(math.MaxInt64), int64(math.MinInt64), (*events.Counts)(nil)
	b.look(p)
	for i, t := range b.times {
		state := p.state[i]
		switch {
		case state != passed && b.event.lacks(p.rows+i, false):
			b.unknown.Read++
			count(&b.unknown, state)
			continue
		case t < b.from || t >= b.to:
			if state == passed {
				p.refuse(i, b.event, "event_time_outside_window", fmt.Sprintf("%s does not lie in [%s, %s)", text(t), text(b.from), text(b.to)))
				state = refused
			}
			b.unknown.Read++
			count(&b.unknown, state)
			continue
		case t < start || t >= end:
			start = floor(t)
			end = start + dayMicros
			if counts = b.days[start]; counts == nil {
				counts = new(events.Counts)
				b.days[start] = counts
			}
		}
		counts.Read++
		count(counts, state)
	}
}

func count(c *events.Counts, state uint8) {
	switch state {
	case passed:
		c.Stored++
	case refused:
		c.Quarantined++
	case filtered:
		c.Filtered++
	}
}

// day is the day under which a record of the chunk is counted, or empty.
func (b *book) day(p *Parser, i int) string {
	if t := b.times[i]; !b.event.lacks(p.rows+i, false) && t >= b.from && t < b.to {
		return time.UnixMicro(t).UTC().Format(time.DateOnly)
	}
	return ""
}

func (b *book) sheet() events.Sheet {
	s := events.Sheet{}
	for start, c := range b.days {
		s[time.UnixMicro(start).UTC().Format(time.DateOnly)] = *c
	}
	if b.unknown.Read > 0 {
		s[events.UnknownDay] = b.unknown
	}
	return s
}

func floor(t int64) int64 {
	rest := t % dayMicros
	if rest < 0 {
		rest += dayMicros
	}
	return t - rest
}

func text(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }
