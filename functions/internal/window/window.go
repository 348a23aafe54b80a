// Package window does the arithmetic of windows: half-open intervals of UTC time with a canonical key.
package window

import (
	"fmt"
	"time"
)

// Size is the length of a window: a day, an ISO week, a month or a year.
type Size string

// The sizes a schedule can name.
const (
	Day   Size = "day"
	Week  Size = "week"
	Month Size = "month"
	Year  Size = "year"
)

// Window is the half-open interval [Start, End) in UTC.
type Window struct {
	Size  Size
	Start time.Time
	End   time.Time
}

// At returns the window of the given size that holds t.
func At(size Size, t time.Time) Window {
	t = t.UTC()
	start := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch size {
	case Week:
		start = start.AddDate(0, 0, -(int(start.Weekday())+6)%7)
	case Month:
		start = start.AddDate(0, 0, 1-start.Day())
	case Year:
		start = time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	case Day:
	}
	return Window{Size: size, Start: start, End: end(size, start)}
}

func end(size Size, start time.Time) time.Time {
	switch size {
	case Week:
		return start.AddDate(0, 0, 7)
	case Month:
		return start.AddDate(0, 1, 0)
	case Year:
		return start.AddDate(1, 0, 0)
	case Day:
	}
	return start.AddDate(0, 0, 1)
}

// Next is the window that begins where w ends.
func (w Window) Next() Window { return At(w.Size, w.End) }

// Key is the canonical name: 2001-01-05, 2001-W03 (ISO 8601 week), 2001-01, 2001.
func (w Window) Key() string {
	switch w.Size {
	case Week:
		year, week := w.Start.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case Month:
		return dayKey(w.Start)[:len("2006-01")]
	case Year:
		return dayKey(w.Start)[:len("2006")]
	case Day:
	}
	return dayKey(w.Start)
}

// dayKey is t.Format("2006-01-02") for years of four digits, ten times as quick: schedules are compared with facts by keys.
func dayKey(t time.Time) string {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.Format("2006-01-02")
	}
	digit := func(n int) byte { return byte('0' + n%10) }
	return string([]byte{
		digit(year / 1000), digit(year / 100), digit(year / 10), digit(year), '-',
		digit(int(month) / 10), digit(int(month)), '-', digit(day / 10), digit(day),
	})
}

func (w Window) String() string { return w.Key() }

// Parse reads a canonical key.
func Parse(key string) (Window, error) {
	for layout, size := range map[string]Size{"2006-01-02": Day, "2006-01": Month, "2006": Year} {
		if t, err := time.Parse(layout, key); err == nil && len(key) == len(layout) {
			return At(size, t), nil
		}
	}
	var year, week int
	if n, err := fmt.Sscanf(key, "%4d-W%2d", &year, &week); err == nil && n == 2 {
		// 4 January lies in week 1 of its ISO year.
		w := At(Week, time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 7*(week-1)))
		if w.Key() == key {
			return w, nil
		}
	}
	return Window{}, fmt.Errorf("window %q is not a day (2001-01-05), an ISO week (2001-W03), a month (2001-01) or a year (2001)", key)
}

// Between lists the windows of a size that lie wholly within [from, to), oldest first.
func Between(size Size, from, to time.Time) []Window {
	w := At(size, from)
	if w.Start.Before(from) {
		w = w.Next()
	}
	var all []Window
	for ; !w.End.After(to); w = w.Next() {
		all = append(all, w)
	}
	return all
}

// Covering lists the windows of a size that touch [from, to), oldest first.
func Covering(size Size, from, to time.Time) []Window {
	var all []Window
	for w := At(size, from); w.Start.Before(to); w = w.Next() {
		all = append(all, w)
	}
	return all
}

// DayKey is the key of the day that holds t.
func DayKey(t time.Time) string { return dayKey(t.UTC()) }
