package window

import (
	"testing"
	"time"
)

func TestKeyAndParseAgree(t *testing.T) {
	for start := time.Date(1999, 12, 20, 13, 0, 0, 0, time.UTC); start.Year() < 2006; start = start.AddDate(0, 0, 1) {
		for _, size := range []Size{Day, Week, Month, Year} {
			w := At(size, start)
			if start.Before(w.Start) || !start.Before(w.End) {
				t.Fatalf("At(%s, %s) = [%s, %s), want a window that holds it", size, start, w.Start, w.End)
			}
			back, err := Parse(w.Key())
			if err != nil || back != w {
				t.Fatalf("Parse(%q) = %v, %v, want %v", w.Key(), back, err, w)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, key := range []string{"", "2001-W54", "2001-W00", "2001-13", "2001-02-30", "01", "2001-1-5", "2001-W3", "../x"} {
		if w, err := Parse(key); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", key, w)
		}
	}
}

func TestBetweenAndCovering(t *testing.T) {
	day := func(s string) time.Time { w, _ := Parse(s); return w.Start }
	tests := map[string]struct {
		got  []Window
		want []string
	}{
		"weeks wholly within half a year start at the first Monday":  {Between(Week, day("2001-01-01"), day("2001-01-20")), []string{"2001-W01", "2001-W02"}},
		"a month that has begun is not within":                       {Between(Month, day("2001-01-02"), day("2001-03-01")), []string{"2001-02"}},
		"weeks that touch February begin in January, end in March":   {Covering(Week, day("2001-02-01"), day("2001-03-01")), []string{"2001-W05", "2001-W06", "2001-W07", "2001-W08", "2001-W09"}},
		"days of a leap February":                                    {Between(Day, day("2004-02-28"), day("2004-03-01")), []string{"2004-02-28", "2004-02-29"}},
		"an ISO year that begins in December of the year before has": {Covering(Week, day("2001-12-31"), day("2002-01-01")), []string{"2002-W01"}},
	}
	for name, tt := range tests {
		if len(tt.got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
			continue
		}
		for i, w := range tt.got {
			if w.Key() != tt.want[i] {
				t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
			}
		}
	}
}
