// Package await waits at a start for servers that do not answer yet.
package await

import (
	"context"
	"fmt"
	"time"
)

// Config says how long.
type Config struct {
	Patience time.Duration `env:"ALMANAC_START_PATIENCE,default=5m"` // how long a start waits for a server that does not answer
}

// Check says what is wrong.
func (c Config) Check() error {
	if c.Patience < 0 {
		return fmt.Errorf("ALMANAC_START_PATIENCE must not be negative, not %s", c.Patience)
	}
	return nil
}

// Waiter tries again to open what does not answer. The zero value tries once.
type Waiter struct {
	Patience time.Duration
	Tell     func(text string) // tells a person what is waited for: soon, when the cause is known, and then each half minute
}

const (
	soon  = 2 * time.Second
	each  = 30 * time.Second
	pause = time.Second
)

// Until opens a server, and again while the error is one that may pass, as long as the patience lasts. The server is named as a person knows
// it, with its address and the variables that say it.
func (w Waiter) Until(ctx context.Context, server string, passing func(error) bool, open func(context.Context) error) error {
	began := time.Now()
	waiting := fmt.Sprintf("waiting for %s, up to %s (ALMANAC_START_PATIENCE)", server, w.Patience)
	var quiet *time.Timer
	if w.Patience > 0 {
		quiet = time.AfterFunc(soon, func() { w.Tell(waiting + ": it has not answered yet; see that it runs and that the address is right") })
		defer quiet.Stop()
	}
	var told time.Time
	for {
		err := open(ctx)
		if err == nil || w.Patience <= 0 || ctx.Err() != nil || !passing(err) {
			return err
		}
		quiet.Stop() // the cause is known
		if time.Since(began)+pause > w.Patience {
			return fmt.Errorf("gave up waiting for %s after %s (ALMANAC_START_PATIENCE): %w", server, w.Patience, err)
		}
		if told.IsZero() || time.Since(told) >= each {
			w.Tell(fmt.Sprintf("%s: %v", waiting, err))
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, while %s: %w", context.Cause(ctx), waiting, err)
		case <-time.After(pause):
		}
	}
}
