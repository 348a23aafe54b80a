package blocks

import "testing"

func TestConsecutiveDaysGoToDifferentPartitions(t *testing.T) {
	for name, keys := range map[string][]string{
		"days":           {"2001-02-27", "2001-02-28", "2001-03-01", "2001-03-02"},
		"weeks":          {"2000-W52", "2001-W01", "2001-W02", "2001-W03"},
		"months":         {"2000-11", "2000-12", "2001-01", "2001-02"},
		"years":          {"1969", "1970", "1971", "1972"},
		"old days":       {"1969-12-30", "1969-12-31", "1970-01-01", "1970-01-02"},
		"weeks at epoch": {"1969-W52", "1970-W01", "1970-W02", "1970-W03"},
	} {
		seen := map[int32]bool{}
		for _, key := range keys {
			p := spread(key, 4)
			if p < 0 || p > 3 || seen[p] {
				t.Errorf("%s: %s goes to partition %d with a neighbour", name, key, p)
			}
			seen[p] = true
		}
	}
	if p := spread("no window", 4); p < 0 || p > 3 {
		t.Errorf("partition %d", p)
	}
}
