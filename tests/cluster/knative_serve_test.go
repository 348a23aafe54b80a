package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/python"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

// host is the name of serve outside of the cluster.
func (k *knative) host() string { return "serve.almanac." + k.env["CLUSTER_DOMAIN"] }

// token is one of Kubernetes for a service account.
func (k *knative) token(t *testing.T, account, audience string) string {
	t.Helper()
	return strings.TrimSpace(k.kubectl(t, "-n", "almanac", "create", "token", account, "--audience="+audience))
}

// fetch asks serve for a path through Kourier, by its host name, with a token unless that is empty.
func (k *knative) fetch(t *testing.T, path, token string) (status int, kind string, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.env["CLUSTER_INGRESS"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = k.host()
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err = io.ReadAll(response.Body)
	if _ = response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), body
}

// guards asks serve through Kourier, by its host name, as readers who may and may not.
func (k *knative) guards(t *testing.T) {
	t.Helper()
	trainer := k.token(t, "trainer", audience)
	for name, tt := range map[string]struct {
		token, path string
		want        int
	}{
		"nobody":                   {"", "/v1/datasets/flights/releases", http.StatusUnauthorized},
		"a token for another":      {k.token(t, "trainer", "somebody-else"), "/v1/datasets/flights/releases", http.StatusUnauthorized},
		"a stranger":               {k.token(t, "stranger", audience), "/v1/datasets/flights/releases", http.StatusForbidden},
		"a reader of flights":      {trainer, "/v1/datasets/flights/releases", http.StatusOK},
		"a dataset not granted":    {trainer, "/v1/datasets/births/releases", http.StatusNotFound},
		"a path outside the API":   {trainer, "/v1/../../etc/passwd", http.StatusNotFound},
		"a download of five rows":  {trainer, "/v1/datasets/flights/releases/training-2001-01.1/rows?format=csv&limit=5", http.StatusOK},
		"metrics, without a right": {trainer, "/metrics", http.StatusForbidden},
	} {
		status, kind, text := k.fetch(t, tt.path, tt.token)
		if status != tt.want || tt.want >= http.StatusBadRequest && kind != "application/problem+json" {
			t.Errorf("%s: %s gives %d %s %.200s, want %d", name, tt.path, status, kind, text, tt.want)
		}
	}
	logs := k.kubectl(t, "-n", "almanac", "logs", "-l", "app.kubernetes.io/name=serve", "-c", "serve", "--tail=-1")
	if !strings.Contains(logs, `"audit":true`) || !strings.Contains(logs, "system:serviceaccount:almanac:trainer") || strings.Contains(logs, trainer) {
		t.Errorf("the audit trail must name the reader and hold no token: %s", lastLines(logs, 10))
	}
}

// learns lets the application that learns from releases fetch them through Kourier, by host name, and verify them.
func (k *knative) learns(t *testing.T) {
	t.Helper()
	venv := python.Venv(t, root, "mlapp", "tests/mlapp/requirements.txt", "tests/mlapp/requirements-checks.txt")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(k.token(t, "trainer", audience)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(patient(t), filepath.Join(venv, "bin", "python"), "-m", "mlapp", "--api", "http://"+k.env["CLUSTER_INGRESS"],
		"--host-header", k.host(), "--token-file", file, "--once", "--out", t.TempDir())
	cmd.Dir = filepath.Join(root, "tests", "mlapp")
	out, err := cmd.CombinedOutput()
	// 1 says that the model is no better than the rules, which two months may make it.
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 || !strings.Contains(string(out), "AUC") {
		t.Errorf("the application ends with %v: %s", err, out)
	}
	t.Logf("the application: %s", out)
}

// loses leaves a row out of a day of the sources, and returns the releases that one process then makes.
func loses(t *testing.T, b, alone box.Box, day string) map[string]reader.Release {
	t.Helper()
	omit(t, filepath.Join(b.Datasets, "flights", "sample", day[:len("2001-02")], day+".csv.gz"), 100)
	run(t, alone, 0, "run", "--no-serve")
	want, err := reader.Releases(filepath.Join(alone.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// releases compares the content of the releases with that of one process.
func (k *knative) releases(t *testing.T, want map[string]reader.Release, when string) {
	t.Helper()
	got, err := reader.Releases(k.download(t))
	if err != nil {
		t.Fatal(err)
	}
	for version, release := range want {
		if got[version].Content != release.Content {
			t.Errorf("%s, the content of %s differs from that of one process", when, version)
		}
	}
}

// restates publishes a dataset of which a day has lost a row, and kills every pod of the first job that is to make the month's release anew.
func (k *knative) restates(t *testing.T, b, alone box.Box) {
	t.Helper()
	want := loses(t, b, alone, "2001-02-20")
	before, began := k.delivers(t), time.Now()
	run(t, b, 0, "datasets", "publish")
	// Sources of stored windows are looked at again soon, and not a day later.
	k.adjusts(t, map[string]string{"ALMANAC_RECHECK": "30s"})
	victim, killed := "", 0
	for released := false; !released && time.Since(began) < patience; time.Sleep(300 * time.Millisecond) {
		for job := range k.delivers(t) {
			if _, ok := before[job]; !ok && victim == "" {
				victim = job
			}
		}
		if victim != "" {
			pods, err := k.pods(t.Context(), "almanac", "batch.kubernetes.io/job-name="+victim)
			for _, p := range pods {
				if err = k.kill(t.Context(), p); err == nil {
					killed++
				}
			}
			if err != nil {
				t.Log(err)
			}
		}
		released = strings.Contains(run(t, b, 0, "releases", "list", "flights").Out, "training-2001-02.2")
	}
	if victim == "" {
		t.Fatalf("no new job was made within %.0fs: %s", time.Since(began).Seconds(), run(t, b, 0, "status").Out)
	}
	state := k.delivers(t)[victim]
	t.Logf("a day is restated in %.0fs; %d pods of the job %s were killed, it is %s", time.Since(began).Seconds(), killed, victim, state)
	if killed == 0 || !strings.Contains(state, "Failed") {
		t.Errorf("of the job %q %d pods were killed, and it is %s: want it to have failed", victim, killed, state)
	}
	k.releases(t, want, "after a day was restated")
}

// givesUp publishes a dataset of which another day has lost a row, kills every pod that is to make the month's release anew until the calendar gives it
// up, and has it made after all by sending its dead letter again.
func (k *knative) givesUp(t *testing.T, b, alone box.Box) {
	t.Helper()
	want := loses(t, b, alone, "2001-02-13")
	before, began := k.delivers(t), time.Now()
	k.adjusts(t, map[string]string{"ALMANAC_ATTEMPTS": "2", "ALMANAC_GRACE_FACTS": "20s", "ALMANAC_RECHECK": "30s"})
	run(t, b, 0, "datasets", "publish")
	ctx, cancel := context.WithCancel(t.Context())
	killed := make(chan int, 1)
	go func() { killed <- k.slay(ctx, "app.kubernetes.io/name=deliver,app.kubernetes.io/component=job") }()
	letter, jobs := k.awaitLetter(t, b, before)
	cancel()
	t.Logf("a release is given up after %.0fs, %d pods of %d jobs were killed: %s", time.Since(began).Seconds(), <-killed, len(jobs), run(t, b, 3, "status").Out)
	for name, state := range jobs {
		if !strings.Contains(state, "Failed") {
			t.Errorf("the job %s is %q, want it to have failed", name, state)
		}
	}
	if len(jobs) != 2 {
		t.Errorf("there were the jobs %v, want 2 attempts", jobs)
	}
	listed := run(t, b, 0, "deadletters", "list").Out
	if !strings.Contains(listed, "attempts without a result: 2") || !strings.Contains(listed, "flights/2001-02") {
		t.Errorf("the dead letters are listed without what happened: %s", listed)
	}
	if out := run(t, b, 0, "deadletters", "resend", letter.ID).Out; !strings.Contains(out, "asked for anew") {
		t.Errorf("resending the letter says %q", out)
	}
	began = time.Now()
	for !strings.Contains(run(t, b, 0, "releases", "list", "flights").Out, "training-2001-02.3") {
		if time.Since(began) > patience {
			t.Fatalf("the letter was sent again, and no release was made: %s", run(t, b, 3, "status").Out)
		}
		time.Sleep(time.Second)
	}
	t.Logf("sent again, it is released in %.0fs", time.Since(began).Seconds())
	k.releases(t, want, "after the release was given up")
}

// awaitLetter waits until status and the dead letters tell that the release of February is given up, and no job of it is left. It returns the
// letter, and the jobs that there were.
func (k *knative) awaitLetter(t *testing.T, b box.Box, before map[string]string) (letter box.Letter, jobs map[string]string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		if time.Since(began) > patience {
			t.Fatalf("the release is not given up: %s, jobs %v", run(t, b, 0, "status").Out, jobs)
		}
		first := len(jobs) == 0
		jobs = k.delivers(t)
		ended := true
		for name, state := range jobs {
			if _, ok := before[name]; ok {
				delete(jobs, name)
				continue
			}
			ended = ended && strings.Contains(state, "Failed")
		}
		if len(jobs) == 0 {
			continue
		}
		if first { // the day is restated, and nothing but the letter is to make a third attempt
			k.adjusts(t, map[string]string{"ALMANAC_RECHECK": "24h"})
		}
		all, err := b.Status(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		waits := slices.ContainsFunc(all, func(d box.Dataset) bool {
			w := d.Find("deliver", "training", "2001-02")
			return d.Dataset == "flights" && w.Phase == "waiting" && strings.Contains(w.Why, "attempts without a result: 2")
		})
		letters, err := b.DeadLetters(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(letters, func(l box.Letter) bool {
			return strings.HasPrefix(l.Attributes["id"], "due.deliver/flights/training/2001-02/")
		})
		if waits && ended && i >= 0 {
			return letters[i], jobs
		}
	}
}

// delivers are the jobs of deliver by their names, with the conditions that they have.
func (k *knative) delivers(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(k.kubectl(t, "-n", "almanac", "get", "jobs", "-l", "sinks.knative.dev/job-sink-name=deliver", "-o",
		`jsonpath={range .items[*]}{.metadata.name}={.status.conditions[*].type}{"\n"}{end}`)) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = state
	}
	return all
}

// slay kills every pod that is selected until ctx ends, and counts them.
func (k *knative) slay(ctx context.Context, selector string) (killed int) {
	for ctx.Err() == nil {
		pods, err := k.pods(ctx, "almanac", selector)
		for _, p := range pods {
			if err == nil && k.kill(ctx, p) == nil {
				killed++
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	return killed
}

// adjusts sets variables of the calendar, of which so comes a new revision.
func (k *knative) adjusts(t *testing.T, variables map[string]string) {
	t.Helper()
	const env = "/spec/template/spec/containers/0/env/"
	names := strings.Fields(k.kubectl(t, "-n", "almanac", "get", "ksvc", "calendar", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}"))
	var patch []string
	for name, value := range variables {
		if i := slices.Index(names, name); i >= 0 {
			patch = append(patch, fmt.Sprintf(`{"op": "replace", "path": "%s%d/value", "value": %q}`, env, i, value))
			continue
		}
		patch = append(patch, fmt.Sprintf(`{"op": "add", "path": "%s-", "value": {"name": %q, "value": %q}}`, env, name, value))
	}
	k.kubectl(t, "-n", "almanac", "patch", "ksvc", "calendar", "--type=json", "-p", "["+strings.Join(patch, ", ")+"]")
}
