package spark_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
)

// atWork is what Spark's own REST interface says: jobs that run, and tasks that the executors are at.
func atWork(t *testing.T, ui string) (jobs, tasks int) {
	t.Helper()
	get := func(path string, into any) {
		r, err := http.Get(ui + "/api/v1/applications" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	var apps []struct{ ID string }
	get("", &apps)
	var running []struct{ JobID int }
	get("/"+apps[0].ID+"/jobs?status=running", &running)
	var executors []struct{ ActiveTasks int }
	get("/"+apps[0].ID+"/executors", &executors)
	for _, e := range executors {
		tasks += e.ActiveTasks
	}
	return len(running), tasks
}

// TestSparkStopsWhatNobodyWaitsFor looks at the server, since a client that has gone proves nothing: without an Interrupt the tasks run on.
func TestSparkStopsWhatNobodyWaitsFor(t *testing.T) {
	e := server(t)
	ui := os.Getenv("ALMANAC_TEST_SPARK_UI")
	if ui == "" {
		t.Skip("set ALMANAC_TEST_SPARK_UI=http://host:port of the same server's web interface, whose REST interface is looked at")
	}
	until := func(what string, limit time.Duration, done func(jobs, tasks int) bool) time.Duration {
		for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			jobs, tasks := atWork(t, ui)
			if done(jobs, tasks) {
				return time.Since(begin)
			}
			if time.Since(begin) > limit {
				t.Fatalf("%s: %d jobs and %d tasks are running after %s", what, jobs, tasks, limit)
			}
		}
	}
	idle := func(jobs, tasks int) bool { return jobs == 0 && tasks == 0 }
	until("before", 30*time.Second, idle)
	long := query.Query{
		Text:  "SELECT CAST(count(*) AS BIGINT) AS n FROM numbers a JOIN numbers b ON a.i % 7 <> b.i % 5",
		Views: []query.View{querytest.Numbers(t, t.TempDir(), 300_007)},
	}
	for name, end := range map[string]func(cancel context.CancelFunc){
		"the context ends":       func(cancel context.CancelFunc) { cancel() },
		"the reader is released": func(context.CancelFunc) {},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		r, err := e.Run(ctx, long)
		if err != nil {
			t.Fatal(err)
		}
		until(name, 30*time.Second, func(_, tasks int) bool { return tasks > 0 })
		time.Sleep(time.Second)
		end(cancel)
		if ctx.Err() != nil && (r.Next() || !errors.Is(r.Err(), context.Canceled)) {
			t.Errorf("%s: reading ended with %v", name, r.Err())
		}
		r.Release()
		t.Logf("%s: Spark is idle after %s", name, until(name, time.Minute, idle))
		cancel()
	}
}
