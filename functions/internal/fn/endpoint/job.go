package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// Job handles the one event of a JobSink's job: a file in structured mode at path (K_EVENT_PATH), or named event in the folder there.
// What bounds its time is the job's activeDeadlineSeconds. The error ends the process with 1, so that the job counts as failed.
func Job(ctx context.Context, name string, h Handler, o Options, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "event")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read event (K_EVENT_PATH): %w", err)
	}
	start := time.Now()
	e := newEndpoint(name, h, o)
	m := message{ce: new(cloudevents.Event)}
	if err = json.Unmarshal(text, m.ce); err != nil {
		return fmt.Errorf("read event %s: not a CloudEvent in JSON: %w", path, err)
	}
	if m, err = understand(m.ce, nil); err == nil {
		err = e.work(ctx, m)
	}
	outcome, _ := judge(err)
	e.report(ctx, m, outcome, err, time.Since(start))
	if err != nil {
		return errors.New("event of " + path + " was not done")
	}
	return nil
}
