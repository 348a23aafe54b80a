package fn

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/fn/await"
	"github.com/almanac-data/almanac/functions/internal/fn/server"
)

// Patient makes Await wait, for as long as ALMANAC_START_PATIENCE says, and tell what it waits for.
func (p *Process) Patient(ctx context.Context, tell func(text string)) error {
	var c await.Config
	if err := Load(ctx, p.Env, &c); err != nil {
		return err
	}
	p.waiter = await.Waiter{Patience: c.Patience, Tell: tell}
	return nil
}

// Await opens a server that the process stands on. A function that was started before the server waits for it while the error is one that may
// pass; /readyz says what it waits for. Any other process tries once, unless it is Patient.
func (p *Process) Await(ctx context.Context, name string, passing func(error) bool, open func(context.Context) error) error {
	w := p.waiter
	if !p.service || w.Patience <= 0 {
		return w.Until(ctx, name, passing, open)
	}
	d := &server.Door{Config: p.serverConfig, Front: p.Front}
	defer d.Close()
	w.Tell = func(text string) {
		p.waiter.Tell(text)
		if err := d.Say(ctx, text); err != nil {
			p.Log.Warn("cannot answer probes while waiting", "error", err.Error())
		}
	}
	return w.Until(ctx, name, passing, open)
}
