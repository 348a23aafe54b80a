// Package mlapp runs the application that learns from releases beside almanac run, as somebody who has both does.
package mlapp

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/python"
)

var almanac = flag.String("almanac", "", "the almanac `command`; without it the tests are skipped")

const (
	root     = "../.."
	patience = 5 * time.Minute
)

// venv is the folder of the programs of Python.
func venv(t *testing.T) string {
	t.Helper()
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	return filepath.Join(python.Venv(t, root, "mlapp", "tests/mlapp/requirements.txt", "tests/mlapp/requirements-checks.txt"), "bin")
}

// TestChecks has the application's own tests, the linter and the types looked at.
func TestChecks(t *testing.T) {
	if *almanac == "" {
		t.Skip("run by make mlapp")
	}
	bin, cache := venv(t), t.TempDir()
	python.Output(t, patience, filepath.Join(bin, "ruff"), "check", "--no-cache", ".")
	python.Output(t, patience, filepath.Join(bin, "ruff"), "format", "--check", "--no-cache", ".")
	python.Output(t, patience, filepath.Join(bin, "mypy"), "--cache-dir", cache)
	t.Logf("%s", python.Output(t, patience, filepath.Join(bin, "python"), "-m", "pytest"))
}

// world is a platform with flights alone, at addresses that outlive its runs, and the application's Python.
type world struct {
	box.Box

	python, api, kafka, dir string
	run                     *box.Running
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if *almanac == "" {
		t.Skip("give the command to test: go test ./tests/mlapp -args -almanac bin/almanac, or make mlapp")
	}
	binary, err := filepath.Abs(*almanac)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &world{
		Box:    box.Box{Binary: binary, Datasets: filepath.Join(dir, "datasets"), Data: filepath.Join(dir, "data")},
		python: filepath.Join(venv(t), "python"), api: freeAddress(t), kafka: freeAddress(t), dir: dir,
	}
	if err := os.CopyFS(filepath.Join(w.Datasets, "flights"), os.DirFS(filepath.Join(root, "spark-jobs", "flights"))); err != nil {
		t.Fatal(err)
	}
	return w
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// runUntil replaces the run by one whose clock stands at a day: what was due until then is done, and served.
func (w *world) runUntil(t *testing.T, day string) {
	t.Helper()
	if w.run != nil {
		w.run.Stop()
	}
	_, port, err := net.SplitHostPort(w.kafka)
	if err != nil {
		t.Fatal(err)
	}
	w.run = start(t, func() (*box.Running, error) {
		return w.Start("run", "--to", day, "--listen", w.api, "--kafka-port", port)
	})
	await(t, w.run, `Serving on`)
}

// app starts the application with a folder of its own.
func (w *world) app(t *testing.T, out string, args ...string) *box.Running {
	t.Helper()
	args = append([]string{"-m", "mlapp", "--api", "http://" + w.api, "--out", filepath.Join(w.dir, out)}, args...)
	return start(t, func() (*box.Running, error) { return box.Start(exec.Command(w.python, args...)) })
}

func start(t *testing.T, begin func() (*box.Running, error)) *box.Running {
	t.Helper()
	running, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.Stop() })
	return running
}

func await(t *testing.T, running *box.Running, pattern string) {
	t.Helper()
	if _, err := running.Await(pattern, patience); err != nil {
		t.Fatal(err)
	}
}

// figure is a figure of a report, with its interval.
type figure struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// scores are the figures of a model or rule.
type scores struct {
	AUC         figure  `json:"auc"`
	Brier       figure  `json:"brier"`
	LogLoss     float64 `json:"log_loss"`
	Error       float64 `json:"calibration_error"`
	Calibration []struct {
		Flights   int     `json:"flights"`
		Predicted float64 `json:"predicted"`
		Observed  float64 `json:"observed"`
	} `json:"calibration"`
}

// report is what the application says of a lesson.
type report struct {
	Release  string   `json:"release"`
	Content  string   `json:"content_sha256"`
	Releases []string `json:"releases"`
	Trained  struct {
		Flights int    `json:"flights"`
		To      string `json:"to"`
	} `json:"trained"`
	Tested struct {
		Flights int    `json:"flights"`
		From    string `json:"from"`
	} `json:"tested"`
	Model     scores            `json:"model"`
	Baselines map[string]scores `json:"baselines"`
	Before    *struct {
		Release string  `json:"release"`
		Skipped string  `json:"skipped"`
		Gain    *figure `json:"auc_gain"`
		Worse   bool    `json:"worse"`
	} `json:"before"`
	Faults []string          `json:"faults"`
	Woken  map[string]string `json:"woken"`
}

func (w *world) report(t *testing.T, out, version string) report {
	t.Helper()
	var r report
	w.read(t, &r, out, "reports", version+".json")
	return r
}

func (w *world) read(t *testing.T, into any, path ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{w.dir}, path...)...))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lessons counts the lessons that an application had.
func (w *world) lessons(t *testing.T, out string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, out, "reports", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// trainedOn is what an application keeps as done.
func (w *world) trainedOn(t *testing.T, out string) string {
	t.Helper()
	var state struct{ Release string }
	w.read(t, &state, out, "state.json")
	return state.Release
}

// TestApplication lets two applications learn from the release of April, and from those of May and June as they come: one is told of them by
// HTTP, the other by Kafka. Both must come to the same.
func TestApplication(t *testing.T) {
	began := time.Now()
	w := newWorld(t)
	w.runUntil(t, "2001-05-02")
	listen := freeAddress(t)
	byHTTP := w.app(t, "http", "--listen", listen)
	byKafka := w.app(t, "kafka", "--kafka", w.kafka)
	await(t, byHTTP, `training-2001-04.1 is trained on`)
	await(t, byKafka, `training-2001-04.1 is trained on`)
	first := w.report(t, "http", "training-2001-04.1")
	good(t, first)
	if first.Before != nil || first.Woken["way"] != "start" {
		t.Errorf("the first lesson has a model before it, %+v, or was had by %v", first.Before, first.Woken)
	}
	start(t, func() (*box.Running, error) {
		return w.Start("source", "--name", "mlapp", "--topics", "almanac.fact.released", "--sink", "http://"+listen)
	})

	w.runUntil(t, "2001-06-02")
	await(t, byHTTP, `training-2001-05.1 is trained on`)
	await(t, byKafka, `training-2001-05.1 is trained on`)
	w.alike(t, "training-2001-05.1", "training-2001-04.1", "http", "kafka")
	w.useless(t, "http://"+listen, "training-2001-05.1")

	w.runUntil(t, "2001-07-02")
	await(t, byHTTP, `training-2001-06.1 is new`)
	byHTTP.Signal(syscall.SIGKILL)
	byHTTP.Result()
	if got := w.trainedOn(t, "http"); got != "training-2001-05.1" {
		t.Errorf("after a kill in the third lesson the state is %s, want training-2001-05.1", got)
	}
	again := w.app(t, "http", "--listen", listen)
	await(t, again, `training-2001-06.1 is trained on`)
	await(t, byKafka, `training-2001-06.1 is trained on`)
	w.alike(t, "training-2001-06.1", "training-2001-05.1", "", "kafka")
	for _, app := range []*box.Running{again, byKafka} {
		if result := app.Stop(); result.Code != 0 {
			t.Errorf("the application should end well: %s", result)
		}
	}
	if done := w.app(t, "kafka", "--once").Result(); done.Code != 0 || !strings.Contains(done.Out, "nothing is to do") {
		t.Errorf("a lesson that was had already: %s", done)
	}
	w.tampered(t)
	t.Logf("took %.0fs; by Kafka:\n%s", time.Since(began).Seconds(), byKafka.Result().Out)
}

// good says whether a lesson went well: the model is above both rules, and was tested on flights after those that it was trained on.
func good(t *testing.T, r report) {
	t.Helper()
	if len(r.Faults) > 0 || len(r.Model.Calibration) != 10 || r.Tested.Flights == 0 || r.Trained.To >= r.Tested.From {
		t.Errorf("%s: faults %v, %d bins, trained until %s and tested on %d flights from %s",
			r.Release, r.Faults, len(r.Model.Calibration), r.Trained.To, r.Tested.Flights, r.Tested.From)
	}
	if len(r.Baselines) != 2 || r.Model.AUC.Low <= 0.5 {
		t.Errorf("%s: %d rules; the model's AUC is %+v", r.Release, len(r.Baselines), r.Model.AUC)
	}
	for name, rule := range r.Baselines {
		if r.Model.AUC.Value <= rule.AUC.Value || r.Model.Brier.Value >= rule.Brier.Value {
			t.Errorf("%s: the model has AUC %.4f and Brier score %.4f, the rule of the %s %.4f and %.4f",
				r.Release, r.Model.AUC.Value, r.Model.Brier.Value, name, rule.AUC.Value, rule.Brier.Value)
		}
	}
}

// alike checks a lesson of both applications: by what it was had (unless that is open), that it is good and not worse than the one before, and that both
// are the same.
func (w *world) alike(t *testing.T, version, before, one, other string) {
	t.Helper()
	a, b := w.report(t, "http", version), w.report(t, "kafka", version)
	if one != "" && a.Woken["way"] != one || b.Woken["way"] != other {
		t.Errorf("%s: one was woken by %v, want %s, the other by %v, want %s", version, a.Woken, one, b.Woken, other)
	}
	good(t, a)
	if a.Before == nil || a.Before.Release != before || a.Before.Worse || a.Before.Skipped != "" || a.Before.Gain == nil {
		t.Errorf("%s beside %s: %+v", version, before, a.Before)
	}
	a.Woken, b.Woken = nil, nil
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s: told by HTTP (-) and by Kafka (+) differ:\n%s", version, diff)
	}
}

// claims are the data of the released event of a version that is served.
func (w *world) claims(t *testing.T, version string) map[string]any {
	t.Helper()
	var served struct {
		Window   string `json:"window"`
		Revision int    `json:"revision"`
		Rows     int64  `json:"rows"`
		Bytes    int64  `json:"bytes"`
		Content  string `json:"content_sha256"`
	}
	response, err := http.Get("http://" + w.api + "/v1/datasets/flights/releases/" + version)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&served); err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"dataset": "flights", "name": "training", "window": served.Window, "version": version, "revision": served.Revision, "inputs": "00",
		"content": served.Content, "rows": served.Rows, "bytes": served.Bytes,
	}
}

// useless posts events that must change nothing: one that was dealt with, twice, one of another data set, and ones that claim what is not so.
func (w *world) useless(t *testing.T, sink, version string) {
	t.Helper()
	released := w.claims(t, version)
	lessons := w.lessons(t, "http")
	for _, c := range []struct {
		change map[string]any
		want   int
	}{
		{nil, 204},
		{nil, 204},
		{map[string]any{"dataset": "births"}, 204},
		{map[string]any{"version": "training-2001-04.1", "window": "2001-04"}, 204},
		{map[string]any{"version": "training-2001-09.1", "window": "2001-09"}, 503},
		{map[string]any{"version": "nonsense"}, 400},
	} {
		data := maps.Clone(released)
		maps.Copy(data, c.change)
		body, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": "stranger", "source": "/stranger", "type": "dev.almanac.released.v1", "datacontenttype": "application/json", "data": data,
		})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(sink, "application/cloudevents+json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("an event with %v is answered %s, want %d", c.change, answer.Status, c.want)
		}
	}
	if got := w.lessons(t, "http"); got != lessons || w.trainedOn(t, "http") != version {
		t.Errorf("there are %d lessons and %s is trained on, want %d and %s", got, w.trainedOn(t, "http"), lessons, version)
	}
}

// tampered changes one byte of a release that is served: the application names the file and does not learn from it.
func (w *world) tampered(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Data, "warehouse", "releases", "flights", "training-2001-06.1", "data", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the release has no files: %v", err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	result := w.app(t, "tampered", "--once").Result()
	if result.Code != 3 || !strings.Contains(result.Err, filepath.Base(files[0])) {
		t.Errorf("a changed byte of %s: want exit 3 and its name: %s", files[0], result)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "tampered", "state.json")); err == nil {
		t.Error("something was learnt from a release with a changed byte")
	}
}
