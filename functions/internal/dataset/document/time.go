package document

import (
	"errors"
	"regexp"
	"strconv"
	"time"
)

var days = regexp.MustCompile(`^(?:(\d{1,4})w)?(?:(\d{1,5})d)?(.*)$`)

// parseDuration reads Go's durations with the units d (24 h) and w (7 d) in front: 6h, 1d, 2w, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	parts := days.FindStringSubmatch(s)
	if s == "" || parts == nil {
		return 0, errors.New("is not a duration")
	}
	weeks, _ := strconv.Atoi(parts[1])
	n, _ := strconv.Atoi(parts[2])
	total := time.Duration(7*weeks+n) * 24 * time.Hour
	if parts[3] == "" {
		return total, nil
	}
	rest, err := time.ParseDuration(parts[3])
	if err != nil || rest < 0 || rest > 100_000*time.Hour {
		return 0, errors.New("is not a duration")
	}
	return total + rest, nil
}

// Duration reads a duration that is not negative, such as 6h, 1d or 2w; missing reads as none.
func (n Node) Duration() time.Duration {
	text := n.Text()
	if text == "" {
		if n.Given() && !n.Mapping() && !n.Null() {
			n.Failf("write it like 6h, 1d or 2w", "is not a duration")
		}
		return 0
	}
	d, err := parseDuration(text)
	if err != nil {
		n.Failf("write it like 6h, 1d or 2w", "%v", err)
	}
	return d
}

// Time reads a time of the layout.
func (n Node) Time(layout string) (time.Time, bool) {
	text := n.Text()
	t, err := time.Parse(layout, text)
	if err != nil && text != "" {
		n.Failf("write it like "+time.Unix(981173106, 0).UTC().Format(layout), "is not a time of this form")
	}
	return t, err == nil
}
