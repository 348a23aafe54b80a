package field

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
)

const (
	daySeconds = 24 * 60 * 60
	second     = 1_000_000 // in microseconds
)

// Clock reads the dates and timestamps of one column. It remembers the last date and the last zone offset it met, so it is
// not safe for concurrent use.
type Clock struct {
	layouts  []layout // for package time
	accepts  form     // the forms of ISO 8601 that are read by hand
	location *time.Location

	date     [10]byte // the last date, and its midnight in seconds since 1970 as if in UTC
	midnight int64
	zone     zone
}

// layout is one of package time, and whether its texts say their offset from UTC.
type layout struct {
	text  string
	zoned bool
}

// zone is a span of local time with one offset from UTC, in seconds; local times near its bounds lie outside it.
type zone struct{ from, to, offset int64 }

// NewClock reads the given layouts of package time, or RFC 3339 and its usual variants if there are none: a date, a space
// or T, hours and minutes, seconds with a fraction, and Z or an offset, of which all but the date may be left out. A text
// without an offset is a time in the location. Digits below a microsecond are cut off.
func NewClock(layouts []string, location *time.Location) *Clock {
	if location == nil {
		location = time.UTC
	}
	c := &Clock{location: location, accepts: everyForm, date: [10]byte([]byte("1970-01-01"))}
	if len(layouts) > 0 {
		c.accepts = 0
	}
	for _, l := range layouts {
		c.accepts |= known[l]
		c.layouts = append(c.layouts, layout{l, strings.Contains(l, "Z07") || strings.Contains(l, "-07") || strings.Contains(l, "MST")})
	}
	c.zone = zone{from: math.MaxInt64, to: math.MinInt64}
	if location == time.UTC {
		c.zone = zone{from: math.MinInt64, to: math.MaxInt64}
	}
	return c
}

// Timestamp reads microseconds since 1970 UTC.
func (c *Clock) Timestamp(v []byte) (int64, Fault) {
	if len(v) == 19 && c.accepts&plain(v[10]) != 0 {
		if time, ok := hms(v[11:19]); ok {
			if midnight, ok := c.day(v); ok {
				return c.utc(midnight+time) * second, Fine
			}
		}
	}
	return c.slowTimestamp(v)
}

// Date reads days since 1970.
func (c *Clock) Date(v []byte) (int32, Fault) {
	if len(v) == 10 && c.accepts&dateOnly != 0 {
		if midnight, ok := c.day(v); ok {
			return int32(midnight / daySeconds), Fine
		}
	}
	if c.layouts == nil && len(v) > 11 {
		return c.midnightOf(v)
	}
	for _, l := range c.layouts {
		if t, err := time.Parse(l.text, text(v)); err == nil {
			y, m, d := t.Date() // as written, in whatever zone
			return int32(days(y, int(m), d)), Fine
		}
	}
	return 0, Type
}

// midnightOf reads a timestamp that says no more than its date.
func (c *Clock) midnightOf(v []byte) (int32, Fault) {
	midnight, ok := c.day(v)
	if !ok || v[10] != ' ' && v[10] != 'T' && v[10] != 't' {
		return 0, Type
	}
	rest, at, micros, _, ok := clockTime(v[11:])
	if _, _, fine := zoneOffset(rest); !ok || !fine || at != 0 || micros != 0 {
		return 0, Type
	}
	return int32(midnight / daySeconds), Fine
}

func (c *Clock) slowTimestamp(v []byte) (int64, Fault) {
	if t, f, ok := c.iso(v); ok && c.accepts&f != 0 {
		return t, Fine
	}
	for _, l := range c.layouts {
		t, err := time.Parse(l.text, text(v))
		if err != nil {
			continue
		}
		if l.zoned {
			return t.UnixMicro(), Fine
		}
		return c.utc(t.Unix())*second + int64(t.Nanosecond()/1000), Fine
	}
	return 0, Type
}

// day reads the date at the start of v as its midnight in seconds since 1970.
func (c *Clock) day(v []byte) (int64, bool) {
	_ = v[9]
	if binary.LittleEndian.Uint64(v) == binary.LittleEndian.Uint64(c.date[:]) && v[8] == c.date[8] && v[9] == c.date[9] {
		return c.midnight, true
	}
	century, ok1 := two(v[0], v[1])
	year, ok2 := two(v[2], v[3])
	month, ok3 := two(v[5], v[6])
	day, ok4 := two(v[8], v[9])
	year += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || v[4] != '-' || v[7] != '-' || month < 1 || month > 12 || day < 1 || day > length(year, month) {
		return 0, false
	}
	copy(c.date[:], v)
	c.midnight = days(year, month, day) * daySeconds
	return c.midnight, true
}

// utc turns a local time into UTC, both in seconds. Of two times that read alike when clocks go back it is the first; a time
// that clocks skip counts on from the offset before.
func (c *Clock) utc(local int64) int64 {
	if local >= c.zone.from && local < c.zone.to {
		return local - c.zone.offset
	}
	const margin = 2 * daySeconds // beyond any change of an offset
	before, after := c.offsetAt(local-margin), c.offsetAt(local+margin)
	at, offset := local-before, before
	if c.offsetAt(at) != before && c.offsetAt(local-after) == after {
		at, offset = local-after, after
	}
	start, end := time.Unix(at, 0).In(c.location).ZoneBounds()
	c.zone = zone{from: math.MinInt64, to: math.MaxInt64, offset: offset}
	if !start.IsZero() {
		c.zone.from = start.Unix() + margin
	}
	if !end.IsZero() {
		c.zone.to = end.Unix() - margin
	}
	return at
}

func (c *Clock) offsetAt(unix int64) int64 {
	_, offset := time.Unix(unix, 0).In(c.location).Zone()
	return int64(offset)
}

// hms reads 15:04:05 as seconds.
func hms(v []byte) (int64, bool) {
	x := binary.LittleEndian.Uint64(v) ^ 0x30303a30303a3030 // digits become 0 to 9, colons 0
	if (x|(x+0x0606000606000606))&0xf0f000f0f000f0f0 != 0 || x&0x0000ff0000ff0000 != 0 {
		return 0, false
	}
	h := (x&0xff)*10 + x>>8&0xff
	m := (x>>24&0xff)*10 + x>>32&0xff
	s := (x>>48&0xff)*10 + x>>56
	return int64(h*3600 + m*60 + s), h < 24 && m < 60 && s < 60
}

func two(a, b byte) (int, bool) {
	a, b = a-'0', b-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// length is the number of days of a month.
func length(year, month int) int {
	switch {
	case month != 2:
		return 30 + (month+month/8)%2
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	}
	return 28
}

// days counts the days from 1970-01-01 to a date of the proleptic Gregorian calendar. A year begins in March here, so that
// the day that comes and goes is its last (Hinnant, chrono-compatible low-level date algorithms).
func days(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	ofEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return int64(era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468)
}
