package server

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

// Status prints a line for each server. It returns how many are not healthy, and the resident memory of all in bytes.
func (h Host) Status(ctx context.Context, servers []Server) (ill int, memory int64, err error) {
	for _, s := range servers {
		id, running, err := proc.Read(h.PIDFile(s.Name))
		if err != nil {
			return ill, memory, err
		}
		switch {
		case id.PID == 0:
			h.Sayf("%-24s stopped", s.Name)
			ill++
			continue
		case !running:
			h.Sayf("%-24s died; its log: %s", s.Name, h.LogFile(s.Name))
			ill++
			continue
		}
		state := "healthy"
		if err := ask(ctx, s); err != nil {
			state = "ill: " + err.Error()
			ill++
		}
		size := proc.Memory(id.PID)
		memory += size
		h.Sayf("%-24s %7d %5d MB  %s  %s", s.Name, id.PID, size>>20, s.Reach, state)
	}
	return ill, memory, nil
}

func ask(ctx context.Context, s Server) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return s.Healthy(ctx)
}
