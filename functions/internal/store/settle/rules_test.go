package settle

import "testing"

func TestTop(t *testing.T) {
	by := map[string]int64{"a": 1, "b": 3, "c": 3, "d": 2}
	if got, want := top(by, 3), "b 3, c 3, d 2"; got != want {
		t.Errorf("top = %q, want %q", got, want)
	}
	if got := top(nil, 3); got != "" {
		t.Errorf("top of nothing = %q", got)
	}
}
