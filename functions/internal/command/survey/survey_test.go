package survey

import (
	"testing"

	"github.com/almanac-data/almanac/functions/internal/calendar"
)

// in is a dataset of which each window is in one of the phases.
func in(phases ...calendar.Phase) (d Dataset) {
	for _, phase := range phases {
		d.States = append(d.States, calendar.State{Phase: phase})
	}
	return d
}

func TestWhenAPersonIsNeeded(t *testing.T) {
	for phase, want := range map[calendar.Phase]bool{calendar.Stored: false, calendar.Blocked: false, calendar.Stopped: true, calendar.Waiting: true} {
		if got := Attention([]Dataset{in(calendar.Stored, phase)}); got != want {
			t.Errorf("Attention(%s) = %t, want %t", phase, got, want)
		}
		if Busy([]Dataset{in(phase)}) {
			t.Errorf("Busy(%s): there is nothing to wait for", phase)
		}
	}
	if !Busy([]Dataset{in(calendar.Stored, calendar.Storing)}) {
		t.Error("a window is stored, and nothing is said to go on")
	}
}
