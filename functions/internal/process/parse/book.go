package parse

import (
	"fmt"
	"math"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/window"
)

const dayMicros = 24 * 60 * 60 * 1_000_000

// book counts records by event day.
type book struct {
	event    *vector.Column
	from, to int64 // the microseconds in which event times may lie
	days     map[int64]*events.Counts
	unknown  events.Counts
	times    []int64 // of the records of the chunk
	dates    []int64 // memory for them
}

func newBook(d *dataset.Dataset, w window.Window) book {
	return book{from: w.Start.Add(-d.Collect.Lateness).UnixMicro(), to: w.End.UnixMicro(), days: map[int64]*events.Counts{}}
}

// enter counts the records of the chunk, and refuses rows whose event time lies outside the window.
func (b *book) enter(p *Parser) {
	b.dates = b.dates[:0]
	b.times = b.event.Times(b.dates, p.rows, p.chunk.N)
	start, end, counts := int64(math.MaxInt64), int64(math.MinInt64), (*events.Counts)(nil)
	for i, t := range b.times {
		state := p.state[i]
		switch {
		case state != passed && b.event.IsNull(p.rows+i):
			b.unknown.Read++
			count(&b.unknown, state)
			continue
		case t < b.from || t >= b.to:
			if state == passed {
				p.refuse(b.event, i, "event_time_outside_window", fmt.Sprintf("%s does not lie in [%s, %s)", text(t), text(b.from), text(b.to)))
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

// day is the day under which record i of the chunk is counted, or empty. base is the row of record 0.
func (b *book) day(base, i int) string {
	if t := b.times[i]; !b.event.IsNull(base+i) && t >= b.from && t < b.to {
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
