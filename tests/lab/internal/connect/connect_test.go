package connect

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// at is a worker with one task, whose API gives the answers in turn, the last one again and again.
func at(t *testing.T, answers ...string) *Worker {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if answers[0] == "" {
			http.NotFound(w, r)
		} else {
			_, _ = w.Write([]byte(answers[0]))
		}
		if len(answers) > 1 {
			answers = answers[1:]
		}
	}))
	t.Cleanup(server.Close)
	running, err := box.Start(exec.Command("sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Signal(syscall.SIGKILL) })
	return &Worker{running: running, url: server.URL, tasks: 1}
}

func status(connector, tasks string) string {
	return `{"connector": {"state": "` + connector + `"}, "tasks": [` + tasks + `]}`
}

func TestPauseWaitsForTheConnectorAndItsTask(t *testing.T) {
	w := at(t, "", status("RUNNING", ""), status("PAUSED", ""), status("PAUSED", `{"state": "RUNNING"}`), status("PAUSED", `{"state": "PAUSED"}`), status("RUNNING", ""))
	if err := w.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.states(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("states after Pause = %v, %v, want the last answer, which Pause has not read", got, err)
	}
}

func TestAFailedTaskIsAnErrorThatSaysWhy(t *testing.T) {
	w := at(t, status("RUNNING", `{"state": "FAILED", "trace": "no such broker"}`))
	for name, err := range map[string]error{"Check": w.Check(t.Context()), "Pause": w.Pause(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "no such broker") {
			t.Errorf("%s = %v, want why the task failed", name, err)
		}
	}
}

func TestAWorkerThatEndedIsAnError(t *testing.T) {
	w := at(t, status("RUNNING", `{"state": "RUNNING"}`))
	if err := w.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	if err := w.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("Check after the end = %v, want an error", err)
	}
}

func TestPropertiesAreSorted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.properties")
	if err := properties(file, map[string]string{"b": `{"x":[1]}`, "a": "hdfs://localhost:1/x"}); err != nil {
		t.Fatal(err)
	}
	const want = "a=hdfs://localhost:1/x\nb={\"x\":[1]}\n"
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("the file holds %q, %v, want %q", got, err, want)
	}
}
