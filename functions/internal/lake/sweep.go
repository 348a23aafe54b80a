package lake

import (
	"context"
	"time"

	"github.com/almanac-data/almanac/functions/internal/lake/sweep"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// Sweep removes what writers that died have left, if it was last changed longer ago than older says by the file system's clock: files and
// folders in the making, and metadata that no snapshot names. Writers may be at work: one whose file is gone gets an error that wraps
// fs.ErrNotExist, and is to try again.
func (l *Lake) Sweep(ctx context.Context, older time.Duration) ([]table.Removed, error) {
	return sweep.Run(ctx, l.fs, l.Tables, older)
}
