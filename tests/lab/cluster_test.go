package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	onCluster = flag.Bool("cluster", false, "test the cluster that runs: make cluster, then make cluster-check")
	outside   = flag.String("outside", "", "the `form` of the lab that the cluster's pods are to reach: plain-10.244.0.1")
)

// kubernetes is the env file of the cluster, and the namespace of one test.
type kubernetes map[string]string

const namespace = "NAMESPACE"

// running finds the cluster, and a namespace in it that is there for this test alone.
func running(t *testing.T) kubernetes {
	t.Helper()
	if !*onCluster {
		t.Skip("no cluster: make cluster, then make cluster-check")
	}
	k := kubernetes(pairs(t, "kube"))
	k[namespace] = fmt.Sprintf("check-%d", time.Now().UnixMilli())
	k.kubectl(t, "", "create", "namespace", k[namespace])
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := k.try(context.Background(), "", "-n", k[namespace], "get", "ksvc,revisions,pods,jobs,jobsinks,pingsources,containersources,events")
			t.Logf("what there is:\n%s", out)
		}
		if out, err := k.try(context.Background(), "", "delete", "namespace", k[namespace], "--wait=false"); err != nil {
			t.Errorf("delete the namespace: %v\n%s", err, out)
		}
	})
	return k
}

// pairs reads the env file below a folder of the lab.
func pairs(t *testing.T, folder string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", ".cache", "lab", folder, "env"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		p[key] = value
	}
	return p
}

func (k kubernetes) try(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k["CLUSTER_KUBECTL"], append([]string{"--kubeconfig", k["KUBECONFIG"]}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (k kubernetes) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := k.try(ctx, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (k kubernetes) apply(t *testing.T, manifest string) {
	t.Helper()
	k.kubectl(t, manifest, "-n", k[namespace], "apply", "-f", "-")
}

// deploy makes a service of the probe and waits until it is ready. more is added to its pod, indented by six.
func (k kubernetes) deploy(t *testing.T, name, more string) {
	t.Helper()
	k.apply(t, fmt.Sprintf(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: %s}
spec:
  template:
    spec:
      timeoutSeconds: 60
      containers:
        - image: %s
%s`, name, k["CLUSTER_PROBE_IMAGE"], more))
	k.kubectl(t, "", "-n", k[namespace], "wait", "--for=condition=Ready", "ksvc/"+name, "--timeout=120s")
}

// get asks a service by its host name through Kourier.
func (k kubernetes) get(t *testing.T, name, path string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+k["CLUSTER_INGRESS"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name + "." + k[namespace] + "." + k["CLUSTER_DOMAIN"]
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(b))
}

// until asks again and again, and fails the test when the time is up.
func until(t *testing.T, what string, patience time.Duration, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %s still not: %s", patience, what)
		case <-tick.C:
		}
	}
}

func (k kubernetes) pods(t *testing.T, selector string) int {
	t.Helper()
	return len(strings.Fields(k.kubectl(t, "", "-n", k[namespace], "get", "pods", "-l", selector, "-o", "name")))
}

func (k kubernetes) asleep(t *testing.T, name string) {
	t.Helper()
	until(t, name+" has no pod", 2*time.Minute, func() bool { return k.pods(t, "serving.knative.dev/service="+name) == 0 })
}

// took are the events of a type that a service took.
func (k kubernetes) took(t *testing.T, name, kind string) int {
	t.Helper()
	status, body := k.get(t, name, "/events")
	var events []struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal([]byte(body), &events); err != nil {
		t.Fatalf("GET /events of %s: %d %s", name, status, body)
	}
	n := 0
	for _, e := range events {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func TestAServiceScalesToZeroAndBack(t *testing.T) {
	k := running(t)
	k.deploy(t, "hello", "")
	if status, body := k.get(t, "hello", "/"); status != http.StatusOK || !strings.HasPrefix(body, "hello from hello-") {
		t.Fatalf("GET / = %d %s, want 200 and a greeting", status, body)
	}
	began := time.Now()
	k.asleep(t, "hello")
	t.Logf("no pod %.0f s after the last request", time.Since(began).Seconds())
	began = time.Now()
	status, body := k.get(t, "hello", "/")
	cold := time.Since(began)
	if status != http.StatusOK {
		t.Fatalf("GET / from zero = %d %s, want 200", status, body)
	}
	began = time.Now()
	if status, _ = k.get(t, "hello", "/"); status != http.StatusOK {
		t.Errorf("GET / again = %d, want 200", status)
	}
	t.Logf("cold start %.2f s, warm %d ms", cold.Seconds(), time.Since(began).Milliseconds())
	if status, _ := k.get(t, "nobody", "/"); status != http.StatusNotFound {
		t.Errorf("GET / of a service that is not there = %d, want 404", status)
	}
}

func TestAPingSourceWakesAService(t *testing.T) {
	k := running(t)
	k.deploy(t, "pinged", "")
	k.asleep(t, "pinged")
	began := time.Now()
	k.apply(t, `
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: tick}
spec:
  schedule: "*/10 * * * * *"
  contentType: application/json
  data: '{"tick": true}'
  sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: pinged}}
`)
	until(t, "the source wakes the service", 2*time.Minute, func() bool { return k.pods(t, "serving.knative.dev/service=pinged") > 0 })
	t.Logf("awake %.0f s after the source was made", time.Since(began).Seconds())
	until(t, "two ticks are there", time.Minute, func() bool { return k.took(t, "pinged", "dev.knative.sources.ping") >= 2 })
}

func TestAContainerSourceReachesItsSink(t *testing.T) {
	k := running(t)
	k.deploy(t, "sink", "")
	k.apply(t, fmt.Sprintf(`
apiVersion: sources.knative.dev/v1
kind: ContainerSource
metadata: {name: sender}
spec:
  template: {spec: {containers: [{name: probe, image: "%s", args: [send]}]}}
  sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: sink}}
`, k["CLUSTER_PROBE_IMAGE"]))
	until(t, "five events are there", 2*time.Minute, func() bool { return k.took(t, "sink", "dev.almanac.lab.sent") >= 5 })
}

func TestASinkBindingTellsADeploymentItsSink(t *testing.T) {
	k := running(t)
	k.deploy(t, "bound", "")
	k.apply(t, fmt.Sprintf(`
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {name: bind}
spec:
  subject: {apiVersion: apps/v1, kind: Deployment, name: sender}
  sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: bound}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: sender}
spec:
  selector: {matchLabels: {app: sender}}
  template:
    metadata: {labels: {app: sender}}
    spec: {containers: [{name: probe, image: "%s", args: [send]}]}
`, k["CLUSTER_PROBE_IMAGE"]))
	until(t, "five events are there", 2*time.Minute, func() bool { return k.took(t, "bound", "dev.almanac.lab.sent") >= 5 })
}

func TestAJobSinkRunsOneJobForEachEvent(t *testing.T) {
	k := running(t)
	k.apply(t, fmt.Sprintf(`
apiVersion: sinks.knative.dev/v1alpha1
kind: JobSink
metadata: {name: once}
spec:
  job:
    spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: probe, image: "%s", args: [job]}]}}}
`, k["CLUSTER_PROBE_IMAGE"]))
	k.kubectl(t, "", "-n", k[namespace], "wait", "--for=condition=Ready", "jobsink/once", "--timeout=60s")
	address := "http://" + k.kubectl(t, "", "-n", "knative-eventing", "get", "service", "job-sink", "-o", "jsonpath={.spec.clusterIP}") + "/" + k[namespace] + "/once"
	began := time.Now()
	first := accepted(t, address, "id-1", "the first")
	if again := accepted(t, address, "id-1", "another text"); again != first {
		t.Errorf("the same source and id: Location %s, want %s", again, first)
	}
	k.kubectl(t, "", "-n", k[namespace], "wait", "--for=condition=Complete", "job", "--all", "--timeout=90s")
	t.Logf("the job was done after %.1f s", time.Since(began).Seconds())
	if log := k.kubectl(t, "", "-n", k[namespace], "logs", "-l", "batch.kubernetes.io/job-name", "--tail=-1"); strings.Count(log, "id-1") != 1 || !strings.Contains(log, "the first") {
		t.Errorf("the jobs read %q, want the first event once", log)
	}
	if other := accepted(t, address, "id-2", "the second"); other == first {
		t.Errorf("another id: Location %s again", other)
	}
	until(t, "there are two jobs", 30*time.Second, func() bool {
		return len(strings.Fields(k.kubectl(t, "", "-n", k[namespace], "get", "jobs", "-o", "name"))) == 2
	})
}

// accepted posts an event and gives the Location of what was made for it.
func accepted(t *testing.T, address, id, text string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(fmt.Sprintf("%q", text)))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": id, "ce-source": "/almanac/lab/check", "ce-type": "dev.almanac.lab.job", "content-type": "application/json",
	} {
		r.Header.Set(key, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted || answer.Header.Get("Location") == "" {
		t.Fatalf("event %s: %s, Location %q, want 202 and a Location", id, answer.Status, answer.Header.Get("Location"))
	}
	return answer.Header.Get("Location")
}

func TestAVolumeShowsAFolderOfThisMachine(t *testing.T) {
	k := running(t)
	dir := filepath.Join(k["CLUSTER_FILES"], k[namespace])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "day.csv"), []byte("a,b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = k.try(context.Background(), "", "delete", "persistentvolume", k[namespace], "--wait=false")
	})
	k.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  claimRef: {namespace: %[1]s, name: source}
  hostPath: {path: "%[2]s", type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: source}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: %[1]s
  resources: {requests: {storage: 1Gi}}
`, k[namespace], dir))
	k.deploy(t, "reader", `
          volumeMounts: [{name: source, mountPath: /source, readOnly: true}]
      volumes: [{name: source, persistentVolumeClaim: {claimName: source, readOnly: true}}]
`)
	if status, body := k.get(t, "reader", "/file?path=/source/day.csv"); status != http.StatusOK || body != "a,b" {
		t.Errorf("the pod reads %d %q, want 200 and the file's text", status, body)
	}
}

func TestANetworkPolicyIsEnforced(t *testing.T) {
	k := running(t)
	k.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: guarded, labels: {app: guarded}}
spec: {containers: [{name: probe, image: "%[1]s"}]}
---
apiVersion: v1
kind: Service
metadata: {name: guarded}
spec: {selector: {app: guarded}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {app: friend}}
spec: {containers: [{name: probe, image: "%[1]s"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, labels: {app: stranger}}
spec: {containers: [{name: probe, image: "%[1]s"}]}
`, k["CLUSTER_PROBE_IMAGE"]))
	k.kubectl(t, "", "-n", k[namespace], "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	guarded := "http://guarded." + k[namespace] + ".svc.cluster.local/"
	for _, from := range []string{"friend", "stranger"} {
		until(t, from+" reaches the pod while there is no policy", 30*time.Second, func() bool { return k.reaches(t, from, guarded) })
	}
	k.apply(t, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends-only}
spec:
  podSelector: {matchLabels: {app: guarded}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
`)
	began := time.Now()
	until(t, "the stranger is kept out", time.Minute, func() bool { return !k.reaches(t, "stranger", guarded) })
	t.Logf("enforced within %.1f s", time.Since(began).Seconds())
	if !k.reaches(t, "friend", guarded) {
		t.Error("the friend is kept out, too")
	}
}

// reaches lets a pod of the probe ask a URL.
func (k kubernetes) reaches(t *testing.T, pod, url string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := k.try(ctx, "", "-n", k[namespace], "exec", pod, "--", "/ko-app/app", "get", url)
	return err == nil
}

func TestPodsReachTheServersOutside(t *testing.T) {
	k := running(t)
	if *outside == "" {
		t.Skip("-outside names the form of the lab to reach: make lab ADDRESS=10.244.0.1")
	}
	lab := pairs(t, *outside)
	k.deploy(t, "outward", "")
	query := "?kafka=" + lab["KAFKA_PLAIN"] + "&hdfs=" + lab["HDFS_NAMENODE"] + "&web=" + lab["WEBHDFS_URL"] + "&spark=" + lab["SPARK_CONNECT"]
	status, body := k.get(t, "outward", "/reach"+query)
	t.Log(body)
	if status != http.StatusOK || strings.Count(body, "\n") != 3 {
		t.Errorf("GET /reach = %d %s, want a line each of kafka, hdfs, web and spark", status, body)
	}
}
