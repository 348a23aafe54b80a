package main

import "testing"

func TestTotalIsThatOfTheCurrentSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		metadata string
		want     int64
		wrong    bool
	}{
		"no snapshot":             {metadata: `{"current-snapshot-id": -1, "snapshots": []}`},
		"no snapshot, not a word": {metadata: `{}`},
		"the newest of two": {
			metadata: `{"current-snapshot-id": 6288041529520782971, "snapshots": [
				{"snapshot-id": 6288041529520782970, "summary": {"total-records": "7"}}, {"snapshot-id": 6288041529520782971, "summary": {"total-records": "9"}}]}`,
			want: 9,
		},
		"a summary without it": {metadata: `{"current-snapshot-id": 1, "snapshots": [{"snapshot-id": 1, "summary": {}}]}`, wrong: true},
		"no JSON":              {metadata: `{`, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := total(c.metadata); got != c.want || (err != nil) != c.wrong {
				t.Errorf("total = %d, %v, want %d, an error: %v", got, err, c.want, c.wrong)
			}
		})
	}
}

func TestRecordIsARowAsJSON(t *testing.T) {
	const want = `{"date":978307260000,"delay":-3,"distance":2176,"origin":"LAS","destination":"PHL"}`
	if got, err := record("2001-01-01 00:01:00,-3,2176,LAS,PHL"); err != nil || string(got) != want {
		t.Errorf("record = %s, %v, want %s", got, err, want)
	}
	for _, line := range []string{"", "2001-01-01 00:01:00,33,2176,LAS", "yesterday,33,2176,LAS,PHL"} {
		if got, err := record(line); err == nil {
			t.Errorf("record(%q) = %s, want an error", line, got)
		}
	}
}
