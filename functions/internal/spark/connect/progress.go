package connect

import "google.golang.org/protobuf/encoding/protowire"

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
	fields(raw, func(number protowire.Number, n uint64, stage []byte) {
		switch number {
		case 1:
			p.Stages++
			fields(stage, func(number protowire.Number, n uint64, _ []byte) {
				switch number {
				case 2:
					p.Tasks += int64(n)
				case 3:
					p.DoneTasks += int64(n)
				case 4:
					p.BytesRead += int64(n)
				case 5:
					p.DoneStages += int64(n)
				}
			})
		case 2:
			p.RunningTasks = int64(n)
		}
	})
	return p
}

// fields calls what it is given with each field of a message that is a number or bytes, up to the first that is broken.
func fields(raw []byte, each func(number protowire.Number, n uint64, bytes []byte)) {
	for len(raw) > 0 {
		number, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return
		}
		var n uint64
		var bytes []byte
		size := 0
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(raw[tag:])
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(raw[tag:])
		default:
			size = protowire.ConsumeFieldValue(number, kind, raw[tag:])
		}
		if size < 0 {
			return
		}
		each(number, n, bytes)
		raw = raw[tag+size:]
	}
}
