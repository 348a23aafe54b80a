package connect

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// Progress is how far Spark is with a query.
type Progress struct {
	Stages, DoneStages int64
	Tasks, DoneTasks   int64
	RunningTasks       int64
	BytesRead          int64
}

// fieldProgress is ExecutePlanResponse.execution_progress of Spark 4.
const fieldProgress = 18

// parseProgress reads ExecutionProgress: stages = 1 {stage_id 1, num_tasks 2, num_completed_tasks 3, input_bytes_read 4, done 5} and
// num_inflight_tasks = 2.
func parseProgress(raw []byte) Progress {
	var p Progress
	wire.Fields(raw, func(number protowire.Number, n uint64, stage []byte) {
		switch number {
		case 1:
			p.Stages++
			wire.Fields(stage, func(number protowire.Number, n uint64, _ []byte) {
				switch number {
				case 2:
					p.Tasks += int64(n)
				case 3:
					p.DoneTasks += int64(n)
				case 4:
					p.BytesRead += int64(n)
				case 5:
					p.DoneStages += int64(n)
				default:
				}
			})
		case 2:
			p.RunningTasks = int64(n)
		default:
		}
	})
	return p
}
