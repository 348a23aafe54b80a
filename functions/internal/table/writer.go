package table

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/events"
)

// Writer writes batches of one schema as Parquet files that are named by their digest. Nothing is visible before Finish.
type Writer interface {
	Write(batch arrow.RecordBatch) error
	// Finish syncs and names the files; no rows give no file.
	Finish() ([]events.File, error)
	// Abort removes what was written. After Finish it does nothing.
	Abort() error
}

// FileWriter writes one file that is named by its digest.
type FileWriter interface {
	io.Writer
	Finish() (events.File, error)
	// Abort removes what was written. After Finish it does nothing.
	Abort() error
}

// Reader reads rows batch by batch. A batch is valid until the next call of Next.
type Reader interface {
	Next() bool
	RecordBatch() arrow.RecordBatch
	Err() error
	Close() error
}
