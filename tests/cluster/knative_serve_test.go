package cluster

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+k.env["CLUSTER_INGRESS"]+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = k.host()
		if tt.token != "" {
			request.Header.Set("Authorization", "Bearer "+tt.token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if _ = response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		kind := response.Header.Get("Content-Type")
		if response.StatusCode != tt.want || tt.want >= http.StatusBadRequest && kind != "application/problem+json" {
			t.Errorf("%s: %s gives %d %s %.200s, want %d", name, tt.path, response.StatusCode, kind, text, tt.want)
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

// restates publishes a dataset of which a day has lost a row, and kills every pod of the first job that is to make the month's release anew.
func (k *knative) restates(t *testing.T, b, alone box.Box) {
	t.Helper()
	omit(t, filepath.Join(b.Datasets, "flights", "sample", "2001-02", "2001-02-20.csv.gz"), 100)
	run(t, alone, 0, "run", "--no-serve")
	want, err := reader.Releases(filepath.Join(alone.Data, "warehouse"))
	if err != nil {
		t.Fatal(err)
	}
	jobs := func() []string {
		return strings.Fields(k.kubectl(t, "-n", "almanac", "get", "jobs", "-l", "sinks.knative.dev/job-sink-name=deliver", "-o", "name"))
	}
	before := strings.Join(jobs(), " ")
	began := time.Now()
	run(t, b, 0, "datasets", "publish")
	// Sources of stored windows are looked at again soon, and not a day later.
	k.kubectl(t, "-n", "almanac", "patch", "ksvc", "calendar", "--type=json", "-p",
		`[{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "ALMANAC_RECHECK", "value": "30s"}}]`)
	victim, killed := "", 0
	for released := false; !released && time.Since(began) < patience; time.Sleep(300 * time.Millisecond) {
		for _, job := range jobs() {
			if victim == "" && !strings.Contains(before, job) {
				victim = strings.TrimPrefix(job, "job.batch/")
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
	state := k.kubectl(t, "-n", "almanac", "get", "job", victim, "-o", `jsonpath={.status.conditions[*].type}`)
	t.Logf("a day is restated in %.0fs; %d pods of the job %s were killed, it is %s", time.Since(began).Seconds(), killed, victim, state)
	if killed == 0 || !strings.Contains(state, "Failed") {
		t.Errorf("of the job %q %d pods were killed, and it is %s: want it to have failed", victim, killed, state)
	}
	got, err := reader.Releases(k.download(t))
	if err != nil {
		t.Fatal(err)
	}
	for version, release := range want {
		if got[version].Content != release.Content {
			t.Errorf("after a day was restated, the content of %s differs from that of one process", version)
		}
	}
}
