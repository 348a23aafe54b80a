package centre

import (
	"context"
	"fmt"

	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

// Status prints a line for each server. It is an error if one of them is not healthy.
func (c *Centre) Status(ctx context.Context) error {
	servers, err := c.chosen()
	if err != nil {
		return err
	}
	ill, memory, err := c.host().Status(ctx, servers)
	if err != nil {
		return err
	}
	containers := c.Containers()
	for _, id := range containers {
		memory += proc.Memory(id.PID)
	}
	c.host().Sayf("%d processes of YARN's containers; %d MB in all; %s", len(containers), memory>>20, c.Site.Path("env"))
	if ill > 0 {
		return fmt.Errorf("%d of the servers are not healthy", ill)
	}
	return nil
}
