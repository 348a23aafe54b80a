// Package backlog says where the work of a dataset stands: what the calendar finds in a survey, and metrics show.
package backlog

import "time"

// Work is what windows are made into: rows by the step collect, an aggregate or a release by its name.
type Work struct{ Step, Name string }

// Backlog is what one survey of a dataset found.
type Backlog struct {
	At    time.Time // of the survey
	Works map[Work]Standing
}

// Standing is where the windows of one work stand.
type Standing struct {
	Phases  map[string]int // windows by phase
	Stopped map[string]int // windows that wait for a person, by reason
	// Overdue is how long the window that has waited longest could have been done: since its end and the delay of its schedule. 0 if none waits.
	Overdue time.Duration
	Stuck   int // windows that were announced again and again, and nothing came of it
}
