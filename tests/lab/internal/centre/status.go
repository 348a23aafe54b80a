package centre

import (
	"context"
	"fmt"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

// Status prints a line for each server. It is an error if one of them is not healthy.
func (c *Centre) Status(ctx context.Context) error {
	var memory int64
	ill := 0
	servers, err := c.chosen()
	if err != nil {
		return err
	}
	for _, s := range servers {
		id, running, err := proc.Read(c.pidFile(s.Name))
		if err != nil {
			return err
		}
		switch {
		case id.PID == 0:
			c.sayf("%-16s stopped", s.Name)
			ill++
			continue
		case !running:
			c.sayf("%-16s died; its log: %s", s.Name, c.logFile(s.Name))
			ill++
			continue
		}
		state := "healthy"
		if err := c.ask(ctx, s); err != nil {
			state = "ill: " + err.Error()
			ill++
		}
		size := proc.Memory(id.PID)
		memory += size
		c.sayf("%-16s %7d %5d MB  %s  %s", s.Name, id.PID, size>>20, s.Reach, state)
	}
	containers := c.Containers()
	for _, id := range containers {
		memory += proc.Memory(id.PID)
	}
	c.sayf("%d processes of YARN's containers; %d MB in all; %s", len(containers), memory>>20, c.Site.Path("env"))
	if ill > 0 {
		return fmt.Errorf("%d of the servers are not healthy", ill)
	}
	return nil
}

func (c *Centre) ask(ctx context.Context, s Server) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return s.healthy(ctx)
}
