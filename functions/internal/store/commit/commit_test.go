package commit

import (
	"reflect"
	"testing"

	"github.com/almanac-data/almanac/events"
)

func TestChangedDays(t *testing.T) {
	before := events.Sheet{"a": {Stored: 1, Hash: "1"}, "b": {Stored: 1, Hash: "2"}, "c": {Stored: 2, Hash: "3"}, "gone": {Stored: 1, Hash: "4"},
		"refused": {Read: 1, Quarantined: 1}, "all-refused-now": {Stored: 1, Hash: "5"}}
	after := events.Sheet{"a": {Stored: 1, Hash: "1", Quarantined: 7}, "b": {Stored: 1, Hash: "9"}, "c": {Stored: 3, Hash: "3"}, "new": {Stored: 1, Hash: "6"},
		"all-refused-now": {Quarantined: 1}, "new-refused": {Quarantined: 1}}
	if got, want := changedDays(before, after), []string{"all-refused-now", "b", "c", "gone", "new"}; !reflect.DeepEqual(got, want) {
		t.Errorf("changedDays = %v, want %v", got, want)
	}
}
