package field

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimestamp(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]struct {
		layouts  []string
		location *time.Location
		in, want string // RFC 3339, empty for a fault
	}{
		"a space":                          {nil, nil, "2001-01-05 06:07:08", "2001-01-05T06:07:08Z"},
		"a T":                              {nil, nil, "2001-01-05T06:07:08", "2001-01-05T06:07:08Z"},
		"small letters":                    {nil, nil, "2001-01-05t06:07:08z", "2001-01-05T06:07:08Z"},
		"an offset":                        {nil, nil, "2001-01-05T06:07:08+02:30", "2001-01-05T03:37:08Z"},
		"an offset without colon":          {nil, nil, "2001-01-05 06:07:08-0800", "2001-01-05T14:07:08Z"},
		"an offset of hours":               {nil, nil, "2001-01-05 06:07-08", "2001-01-05T14:07:00Z"},
		"a fraction":                       {nil, nil, "2001-01-05T06:07:08.25Z", "2001-01-05T06:07:08.25Z"},
		"a fraction after a comma":         {nil, nil, "2001-01-05T06:07:08,5", "2001-01-05T06:07:08.5Z"},
		"nanoseconds are cut off":          {nil, nil, "2001-01-05 06:07:08.123456789", "2001-01-05T06:07:08.123456Z"},
		"minutes":                          {nil, nil, "2001-01-05T06:07", "2001-01-05T06:07:00Z"},
		"a date":                           {nil, nil, "2001-01-05", "2001-01-05T00:00:00Z"},
		"the last day of February":         {nil, nil, "2000-02-29 00:00:00", "2000-02-29T00:00:00Z"},
		"a year that does not leap":        {nil, nil, "1900-02-29 00:00:00", ""},
		"before 1970":                      {nil, nil, "1969-12-31 23:59:59.5", "1969-12-31T23:59:59.5Z"},
		"month 13":                         {nil, nil, "2001-13-01 00:00:00", ""},
		"day 0":                            {nil, nil, "2001-01-00 00:00:00", ""},
		"31 April":                         {nil, nil, "2001-04-31 00:00:00", ""},
		"hour 24":                          {nil, nil, "2001-01-05 24:00:00", ""},
		"minute 60":                        {nil, nil, "2001-01-05 00:60:00", ""},
		"second 60":                        {nil, nil, "2001-01-05 00:00:60", ""},
		"a letter for a digit":             {nil, nil, "2001-01-05 00:0o:00", ""},
		"a dot for a colon":                {nil, nil, "2001-01-05 00.00:00", ""},
		"a point without digits":           {nil, nil, "2001-01-05 00:00:00.", ""},
		"text after it":                    {nil, nil, "2001-01-05 00:00:00 x", ""},
		"an offset beyond a day":           {nil, nil, "2001-01-05 00:00:00+24:00", ""},
		"nothing":                          {nil, nil, "", ""},
		"zeros":                            {nil, nil, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		"a time in winter":                 {nil, berlin, "2001-01-05 06:07:08", "2001-01-05T05:07:08Z"},
		"a time in summer":                 {nil, berlin, "2001-07-05 06:07:08", "2001-07-05T04:07:08Z"},
		"an offset beats the location":     {nil, berlin, "2001-07-05 06:07:08Z", "2001-07-05T06:07:08Z"},
		"the first of two equal times":     {nil, berlin, "2001-10-28 02:30:00", "2001-10-28T00:30:00Z"},
		"a time that clocks skip":          {nil, berlin, "2001-03-25 02:30:00", "2001-03-25T01:30:00Z"},
		"a declared layout":                {[]string{"02.01.2006 15:04"}, berlin, "05.07.2001 06:07", "2001-07-05T04:07:00Z"},
		"a declared layout with an offset": {[]string{"02.01.2006 15:04 -07:00"}, berlin, "05.07.2001 06:07 +01:00", "2001-07-05T05:07:00Z"},
		"the second of two layouts":        {[]string{"02.01.2006", time.DateOnly}, nil, "2001-07-05", "2001-07-05T00:00:00Z"},
		"a layout takes a fraction":        {[]string{time.DateTime}, nil, "2001-01-05 06:07:08.5", "2001-01-05T06:07:08.5Z"},
		"no layout takes a T":              {[]string{time.DateTime}, nil, "2001-01-05T06:07:08", ""},
		"no layout takes a date":           {[]string{time.DateTime}, nil, "2001-01-05", ""},
		"no layout takes an offset":        {[]string{time.DateTime}, nil, "2001-01-05 06:07:08Z", ""},
		"a layout with an offset takes none less": {[]string{time.RFC3339}, nil, "2001-01-05T06:07:08", ""},
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			clock := NewClock(c.layouts, c.location)
			for range 2 { // the second time from what the clock remembers
				micros, f := clock.Timestamp([]byte(c.in))
				got := ""
				if f == Fine {
					got = time.UnixMicro(micros).UTC().Format(time.RFC3339Nano)
				}
				if got != c.want {
					t.Errorf("Timestamp(%q) = %q, want %q", c.in, got, c.want)
				}
			}
		})
	}
}

func TestDate(t *testing.T) {
	for _, c := range []struct {
		layouts  []string
		in, want string
	}{
		{nil, "2001-01-05", "2001-01-05"}, {nil, "1969-12-31", "1969-12-31"}, {nil, "0000-01-01", "0000-01-01"}, {nil, "9999-12-31", "9999-12-31"},
		{nil, "2001-01-05 00:00:00", "2001-01-05"}, {nil, "2001-01-05T00:00:00+02:00", "2001-01-05"},
		{nil, "2001-01-05 00:00:01", ""}, {nil, "2001-02-30", ""}, {nil, "2001-1-5", ""}, {nil, "", ""}, {nil, "2001-01-05x00:00", ""},
		{[]string{"1/2/2006"}, "1/5/2001", "2001-01-05"}, {[]string{"1/2/2006"}, "2001-01-05", ""}, {[]string{time.RFC3339}, "2001-01-05T23:00:00-08:00", "2001-01-05"},
	} {
		got := ""
		if d, f := NewClock(c.layouts, nil).Date([]byte(c.in)); f == Fine {
			got = time.Unix(int64(d)*daySeconds, 0).UTC().Format(time.DateOnly)
		}
		if got != c.want {
			t.Errorf("Date(%q) by %q = %q, want %q", c.in, c.layouts, got, c.want)
		}
	}
}

func TestTimestampAgreesWithPackageTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"} {
		location, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		clock := NewClock(nil, location)
		at := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 20000 {
			at = at.Add(time.Duration(r.IntN(60*3600)) * time.Second)
			in := at.In(location).Format(time.DateTime)
			micros, f := clock.Timestamp([]byte(in))
			if got := time.UnixMicro(micros).In(location).Format(time.DateTime); f != Fine || got != in {
				t.Fatalf("Timestamp(%q) in %s reads back as %q", in, name, got)
			}
			zoned := at.In(location).Format(time.RFC3339)
			if micros, f := clock.Timestamp([]byte(zoned)); f != Fine || micros != at.UnixMicro() {
				if _, seconds := at.In(location).Zone(); seconds%60 == 0 {
					t.Fatalf("Timestamp(%q) = %s, want %s", zoned, time.UnixMicro(micros).UTC(), at)
				}
			}
		}
	}
}

func BenchmarkTimestamp(b *testing.B) {
	clock := NewClock([]string{time.DateTime}, time.UTC)
	v := []byte("2001-01-05 06:07:08")
	for b.Loop() {
		if _, f := clock.Timestamp(v); f != Fine {
			b.Fatal("refused")
		}
	}
}

func BenchmarkInt(b *testing.B) {
	v := []byte("-1116")
	for b.Loop() {
		if _, f := Int(v); f != Fine {
			b.Fatal("refused")
		}
	}
}
