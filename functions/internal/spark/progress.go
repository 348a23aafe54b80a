package spark

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/almanac-data/almanac/functions/internal/spark/connect"
)

// watcher tells the log and the trace how far a query is, whenever that has changed.
type watcher struct {
	log  *slog.Logger
	last connect.Progress
}

func (w *watcher) report(ctx context.Context, at connect.Progress) {
	if at == w.last {
		return
	}
	w.last = at
	w.log.DebugContext(ctx, "spark query under way",
		"stages", at.Stages, "stages_done", at.DoneStages, "tasks", at.Tasks, "tasks_done", at.DoneTasks, "tasks_running", at.RunningTasks,
		"bytes_read", at.BytesRead)
	trace.SpanFromContext(ctx).AddEvent("spark progress", trace.WithAttributes(
		attribute.Int64("spark.stages", at.Stages), attribute.Int64("spark.stages_done", at.DoneStages),
		attribute.Int64("spark.tasks", at.Tasks), attribute.Int64("spark.tasks_done", at.DoneTasks),
		attribute.Int64("spark.bytes_read", at.BytesRead)))
}
