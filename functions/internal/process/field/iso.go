package field

import "time"

// form is a set of forms of ISO 8601 timestamps.
type form uint32

const (
	dateOnly  form = 1 << iota
	everyForm form = 1<<19 - 1
)

// The parts of a form beside the date.
const (
	spaced = iota // a space between date and time
	lettered
)

const (
	minutes  = iota
	seconds  // 15:04:05
	fraction // 15:04:05.000
)

const (
	local  = iota
	offset // Z or +02:00
	bare   // +0200 or +02
)

func formOf(separator, precision, zone int) form { return 1 << (1 + separator + 2*precision + 6*zone) }

// plain is the form of 19 bytes with the separator between date and time.
func plain(separator byte) form {
	switch separator {
	case ' ':
		return 1 << (1 + spaced + 2*seconds)
	case 'T':
		return 1 << (1 + lettered + 2*seconds)
	}
	return 0
}

// known has the layouts of package time whose texts are read by hand. Package time reads a fraction after seconds always.
var known = map[string]form{
	time.DateOnly:                   dateOnly,
	time.DateTime:                   formOf(spaced, seconds, local) | formOf(spaced, fraction, local),
	"2006-01-02T15:04:05":           formOf(lettered, seconds, local) | formOf(lettered, fraction, local),
	"2006-01-02 15:04":              formOf(spaced, minutes, local),
	"2006-01-02T15:04":              formOf(lettered, minutes, local),
	time.RFC3339:                    formOf(lettered, seconds, offset) | formOf(lettered, fraction, offset),
	time.RFC3339Nano:                formOf(lettered, seconds, offset) | formOf(lettered, fraction, offset),
	"2006-01-02 15:04:05Z07:00":     formOf(spaced, seconds, offset) | formOf(spaced, fraction, offset),
	"2006-01-02T15:04:05.999999":    formOf(lettered, seconds, local) | formOf(lettered, fraction, local),
	"2006-01-02 15:04:05.999999":    formOf(spaced, seconds, local) | formOf(spaced, fraction, local),
	"2006-01-02T15:04:05.999999999": formOf(lettered, seconds, local) | formOf(lettered, fraction, local),
}

// iso reads a timestamp of ISO 8601 as microseconds since 1970, and says which form it has.
func (c *Clock) iso(v []byte) (int64, form, bool) {
	if len(v) < 10 {
		return 0, 0, false
	}
	at, ok := c.day(v)
	if !ok {
		return 0, 0, false
	}
	if len(v) == 10 {
		return c.utc(at) * second, dateOnly, true
	}
	separator := spaced
	switch v[10] {
	case 'T', 't':
		separator = lettered
	case ' ':
	default:
		return 0, 0, false
	}
	rest, time, micros, precision, ok := clockTime(v[11:])
	if !ok {
		return 0, 0, false
	}
	ahead, zone, ok := zoneOffset(rest)
	if !ok {
		return 0, 0, false
	}
	at += time
	if zone == local {
		at = c.utc(at)
	}
	return (at-ahead)*second + micros, formOf(separator, precision, zone), true
}

// clockTime reads 15:04, 15:04:05 or 15:04:05.999 as seconds and microseconds, and returns what follows.
func clockTime(v []byte) (rest []byte, at, micros int64, precision int, ok bool) {
	if len(v) >= 8 && v[5] == ':' {
		if at, ok = hms(v[:8]); !ok {
			return nil, 0, 0, 0, false
		}
		v, precision = v[8:], seconds
	} else {
		if len(v) < 5 || v[2] != ':' {
			return nil, 0, 0, 0, false
		}
		h, ok1 := two(v[0], v[1])
		m, ok2 := two(v[3], v[4])
		return v[5:], int64(h*3600 + m*60), 0, minutes, ok1 && ok2 && h < 24 && m < 60
	}
	if len(v) == 0 || v[0] != '.' && v[0] != ',' {
		return v, at, 0, precision, true
	}
	n := 0
	for v = v[1:]; n < len(v) && v[n]-'0' <= 9; n++ {
		if n < 6 {
			micros = micros*10 + int64(v[n]-'0')
		}
	}
	for i := n; i < 6; i++ {
		micros *= 10
	}
	return v[n:], at, micros, fraction, n > 0
}

// zoneOffset reads nothing, Z, +02:00, +0200 or +02 as seconds east of UTC.
func zoneOffset(v []byte) (ahead int64, zone int, ok bool) {
	if len(v) == 0 {
		return 0, local, true
	}
	if len(v) == 1 && (v[0] == 'Z' || v[0] == 'z') {
		return 0, offset, true
	}
	if v[0] != '+' && v[0] != '-' || len(v) < 3 {
		return 0, 0, false
	}
	h, ok := two(v[1], v[2])
	m, rest := 0, v[3:]
	zone = bare
	if len(rest) == 3 && rest[0] == ':' {
		zone, rest = offset, rest[1:]
	}
	if len(rest) == 2 {
		var fine bool
		m, fine = two(rest[0], rest[1])
		ok, rest = ok && fine, nil
	}
	ahead = int64(h*3600 + m*60)
	if v[0] == '-' {
		ahead = -ahead
	}
	return ahead, zone, ok && len(rest) == 0 && h < 24 && m < 60
}
