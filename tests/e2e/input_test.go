package e2e

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// badDay is one way in which the file of a day can be bad, as a user meets it.
type badDay struct {
	spoil func(t *testing.T, s *shop)
	phase string   // of the day's window after the run
	tells []string // in its reason
	mend  func(t *testing.T, s *shop)
}

// The third day is the bad one.
const bad = 3

func rewrite(t *testing.T, s *shop) { t.Helper(); s.write(t, file(bad), csvOf(rowsOf(bad))) }

func badDays() map[string]badDay {
	put := func(data func(t *testing.T) []byte) func(*testing.T, *shop) {
		return func(t *testing.T, s *shop) { t.Helper(); s.write(t, file(bad), data(t)) }
	}
	return map[string]badDay{
		"a missing file": {
			spoil: func(t *testing.T, s *shop) { t.Helper(); s.remove(t, file(bad)) },
			phase: "waiting", tells: []string{"files/" + key(bad) + ".csv", "put the file", "collect.source.path"},
			mend: rewrite,
		},
		"a file without a column": {
			spoil: put(func(*testing.T) []byte { return []byte("at,shop\n2024-01-03T10:00:00Z,north\n") }),
			phase: "stopped", tells: []string{file(bad), "units"},
			mend: rewrite,
		},
		"a file with a column that the contract does not know": {
			spoil: put(func(*testing.T) []byte { return []byte("at,shop,units,colour\n2024-01-03T10:00:00Z,north,1,red\n") }),
			phase: "stopped", tells: []string{file(bad), "colour", "drop"},
			mend: rewrite,
		},
		"a truncated gzip file": {
			spoil: func(t *testing.T, s *shop) {
				t.Helper()
				s.remove(t, file(bad))
				whole := packed(t, csvOf(rowsOf(bad)))
				s.write(t, file(bad)+".gz", whole[:len(whole)-20])
			},
			phase: "stopped", tells: []string{file(bad) + ".gz", "truncated", "fetch it again"},
			mend: func(t *testing.T, s *shop) { t.Helper(); s.write(t, file(bad)+".gz", packed(t, csvOf(rowsOf(bad)))) },
		},
		"a zip archive": {
			spoil: put(func(*testing.T) []byte { return []byte("PK\x03\x04 and so on") }),
			phase: "stopped", tells: []string{file(bad), "zip", "unpack it"},
			mend: rewrite,
		},
		"a bomb": {
			spoil: func(t *testing.T, s *shop) { t.Helper(); s.write(t, file(bad), bomb(t)) },
			phase: "stopped", tells: []string{file(bad), "times as many"},
			mend: rewrite,
		},
		"the same file twice": {
			spoil: func(t *testing.T, s *shop) { t.Helper(); s.write(t, file(bad)+".copy", csvOf(rowsOf(bad))) },
			phase: "stopped", tells: []string{file(bad), file(bad) + ".copy", "same content", "remove one"},
			mend: func(t *testing.T, s *shop) { t.Helper(); s.remove(t, file(bad)+".copy") },
		},
		"more refused rows than the budget allows": {
			spoil: put(func(*testing.T) []byte {
				return csvOf(rowsOf(bad)[3:], "2024-01-03T20:00:00Z,north,-1", "2024-01-03T20:00:00Z,north,1001", "2024-01-03T20:00:00Z,SOUTH,1")
			}),
			phase: "stopped", tells: []string{"3 of 24 rows", "budget"},
			mend: rewrite,
		},
		"a line of 100 MB": {
			spoil: put(func(*testing.T) []byte {
				return csvOf(rowsOf(bad), "2024-01-03T20:00:00Z,"+strings.Repeat("north", 20<<20)+",1")
			}),
			phase: "stored",
			mend:  rewrite,
		},
		"a quote that nothing closes": {
			spoil: put(func(*testing.T) []byte {
				return csvOf(rowsOf(bad)[:20], `2024-01-03T20:00:00Z,"north,1`, "2024-01-03T20:00:00Z,north,1")
			}),
			phase: "stored",
			mend:  rewrite,
		},
	}
}

// bomb is a small zstd file that unpacks to more than 256 MB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("2024-01-03T10:00:00Z,north,1\n", 1<<15))
	for range 300 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBadDay(t *testing.T) {
	for name, c := range badDays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			c.spoil(t, s)
			code := 3
			if c.phase == "stored" {
				code = 0
			}
			result := s.run(t, code)
			now := status(t, s.Box)
			day := now.Find("collect", "", key(bad))
			if day.Phase != c.phase {
				t.Errorf("the day is %s (%s), want %s", day.Phase, day.Why, c.phase)
			}
			contains(t, "the reason in status", day.Why, c.tells...)
			contains(t, "the run", result.Out, c.tells...)
			if c.phase != "stored" {
				if week := now.Find("deliver", "training", "2024-W01"); week.Phase != "blocked" || !strings.Contains(week.Why, key(bad)) {
					t.Errorf("the release of its week is %s (%s), want blocked and the day named", week.Phase, week.Why)
				}
				s.holds(t, all(map[int][]sale{bad: {}}))
			}
			if week := now.Find("deliver", "training", "2024-W02"); week.Phase != "released" {
				t.Errorf("the release of the other week is %s (%s), want released", week.Phase, week.Why)
			}
			c.mend(t, s)
			s.run(t, 0)
			s.finished(t, all(nil))
		})
	}
}

// TestDayWithoutRows has days whose files are empty or hold a header alone: days like any other, unless the contract asks for rows.
func TestDayWithoutRows(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.write(t, file(bad), csvOf(nil))
	s.write(t, file(bad+1), nil)
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{bad: {}, bad + 1: {}}))
	s.replace(t, "contract.yaml", "    properties:", "    quality:\n      - {id: some, metric: rowCount, mustBeGreaterThan: 0}\n    properties:")
	contains(t, "the run", s.run(t, 3).Out, "2 stopped", "rule some (contract line", "rows: 0")
	s.write(t, file(bad), csvOf(rowsOf(bad)))
	s.write(t, file(bad+1), csvOf(rowsOf(bad+1)))
	s.run(t, 0)
	s.finished(t, all(nil))
}

// refused is a line as almanac quarantine show --json prints it.
type refused struct {
	Original string `json:"original"`
	Reason   string `json:"reason"`
	Rule     string `json:"rule"`
	Column   string `json:"column"`
	Detail   string `json:"detail"`
	File     string `json:"file"`
	Ordinal  int64  `json:"ordinal"`
}

// TestBadRows has every kind of bad row in one file: each lands in quarantine with its bytes, column and place, and becomes good when the
// file is mended.
func TestBadRows(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "pipeline.yaml", "reject: {share: 0.1, rows: 1}", "reject: {share: 0.9, rows: 100}")
	const day = "2024-01-03T"
	lines := map[string]string{ // the line, and the column that is to be named
		day + "20:00:00Z,north,many":                 "units",
		day + "20:00:00Z,north,99999999999999999999": "units",
		day + "20:00:00Z,north,1001":                 "units",
		day + "20:00:00Z,,1":                         "shop",
		"never,north,1":                              "at",
		day + "20:00:00Z,no\xffrth,1":                "",
		day + "20:00:00Z,no\x00rth,1":                "",
		day + "20:00:00Z,north":                      "",
		day + "20:00:00Z,north,1,2":                  "",
		"2024-01-02T20:00:00Z,north,1":               "at", // the day before
		"2024-01-04T00:00:00Z,north,1":               "at", // the day after
		day + "20:00:00Z,NORTH,1":                    "shop",
	}
	var texts []string
	for line := range lines {
		texts = append(texts, line)
	}
	s.write(t, file(bad), csvOf(rowsOf(bad), texts...))
	s.run(t, 0)
	s.finished(t, all(nil))
	var rows []refused
	if err := s.JSON(patient(t), &rows, []string{"quarantine", "show", "shop", key(bad), "--limit", "100"}); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(lines) {
		t.Errorf("%d rows are in quarantine, want %d: %+v", len(rows), len(lines), rows)
	}
	for _, r := range rows {
		column, ok := lines[r.Original]
		if !ok && !strings.ContainsRune(r.Original, '�') { // JSON cannot hold the bytes that are not UTF-8
			t.Errorf("%q is in quarantine, but stood in no line", r.Original)
		}
		if r.Reason == "" || r.Detail == "" || !strings.HasSuffix(r.File, file(bad)) || column != "" && r.Column != column {
			t.Errorf("%q is in quarantine as %+v; want a reason, a detail, the file, and column %q", r.Original, r, column)
		}
	}
	late := time.Date(2024, 1, 3, 20, 0, 0, 0, time.UTC)
	s.write(t, file(bad), csvOf(rowsOf(bad), day+"20:00:00Z,north,77"))
	s.run(t, 0)
	s.finished(t, all(map[int][]sale{bad: append(rowsOf(bad), sale{late, "north", 77})}))
	if got := status(t, s.Box).Find("collect", "", key(bad)).Visible; got != 2 {
		t.Errorf("the mended day is generation %d, want 2", got)
	}
}
