package state

import (
	"time"

	"github.com/almanac-data/almanac/functions/internal/calendar"
)

// What holds over a data folder, where a slice takes seconds.
const (
	EventTimeout = 10 * time.Minute
	Grace        = 30 * time.Second
	Parallel     = 32 // windows

	retryWaiting = time.Minute
	attempts     = int(EventTimeout / Grace) // of a query, which may take as long as an event
)

// Pace is how fast the calendar goes over a data folder; that of a cluster is configured.
func Pace() calendar.Pace {
	return calendar.Pace{Grace: Grace, Retry: retryWaiting, Parallel: Parallel, Attempts: attempts}
}
