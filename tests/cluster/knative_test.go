package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/outcome"
)

var (
	kube      = flag.String("kube", "", "the env `file` of the lab's Kubernetes (.cache/lab/kube/env); without it functions are not tested on Knative")
	published = flag.String("published", "", "`folder` of the kustomize component that make publish has written")
)

// knative is Kubernetes with Knative, beside a lab that its pods reach.
type knative struct {
	*centre

	env map[string]string
}

// onKnative is the Kubernetes that -kube names, beside an emptied lab; or the test is skipped.
func onKnative(t *testing.T) *knative {
	t.Helper()
	k := onKubernetes(t)
	k.centre = running(t)
	return k
}

// onKubernetes is the Kubernetes that -kube names, without functions; or the test is skipped.
func onKubernetes(t *testing.T) *knative {
	t.Helper()
	if *kube == "" || *published == "" {
		t.Skip("no Kubernetes: make check-cluster starts one")
	}
	k := &knative{env: map[string]string{}}
	text, err := os.ReadFile(*kube)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		k.env[key] = value
	}
	// What is left of an earlier test would write to the emptied lab. Knative lets a function end for as long as an event may take.
	k.kubectl(t, "delete", "namespace", "almanac", "--ignore-not-found", "--wait=false")
	k.kubectl(t, "-n", "almanac", "delete", "pods", "--all", "--force", "--grace-period=0")
	k.kubectl(t, "delete", "namespace", "almanac", "--ignore-not-found", "--wait")
	return k
}

// kubectl runs a command of kubectl, which must succeed.
func (k *knative) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // also while the test is cleaned up
	defer cancel()
	out, err := k.ask(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (k *knative) ask(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.env["CLUSTER_KUBECTL"], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.env["KUBECONFIG"])
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %v: %w: %s", args, err, errs.String())
	}
	return string(out), nil
}

// site is the overlay of this test: the shipped one with the lab's addresses and what make publish has pushed, woken each ten seconds. A node of
// two cores holds no pod's reservation for it, and the lab's servers have ports of their own; its DNS is no pod.
const site = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: almanac
resources: [%[1]s]
components: [%[2]s]
configMapGenerator:
  - {name: almanac, behavior: merge, envs: [site.env]}
patches:
  - target: {group: serving.knative.dev, kind: Service}
    patch: |
      - {op: replace, path: /spec/template/spec/containers/0/resources/requests, value: {cpu: 10m, memory: 32Mi}}
  - target: {group: sinks.knative.dev, kind: JobSink}
    patch: |
      - {op: replace, path: /spec/job/spec/template/spec/containers/0/resources/requests, value: {cpu: 10m, memory: 32Mi}}
  - target: {group: sources.knative.dev, kind: ContainerSource}
    patch: |
      - {op: replace, path: /spec/template/spec/containers/0/resources/requests, value: {cpu: 10m, memory: 32Mi}}
  - target: {group: sources.knative.dev, kind: PingSource}
    patch: |
      - {op: replace, path: /spec/schedule, value: "*/10 * * * * *"}
  - target: {kind: NetworkPolicy, name: all-to-dns}
    patch: |
      - {op: add, path: /spec/egress/0/to/-, value: {ipBlock: {cidr: %[3]s/32}}}
  - target: {kind: NetworkPolicy, labelSelector: almanac-servers}
    patch: |
      - {op: replace, path: /spec/egress/0/to/0/ipBlock/cidr, value: %[3]s/32}
  - target: {kind: NetworkPolicy, labelSelector: almanac-servers=kafka}
    patch: |
      - {op: replace, path: /spec/egress/0/ports, value: [{protocol: TCP, port: 18090, endPort: 18099}]}
  - target: {kind: NetworkPolicy, labelSelector: almanac-servers=hdfs}
    patch: |
      - {op: replace, path: /spec/egress/0/ports, value: [{protocol: TCP, port: 18020, endPort: 18089}]}
  - target: {kind: NetworkPolicy, labelSelector: almanac-servers=spark}
    patch: |
      - {op: replace, path: /spec/egress/0/ports, value: [{protocol: TCP, port: 18015}]}
`

// install applies the overlay and waits until everything is ready.
func (k *knative) install(t *testing.T, b box.Box) {
	t.Helper()
	// Read before t's folders are made, so that relative paths hold wherever those lie.
	dir := t.TempDir()
	from := func(path string) string {
		rel, err := filepath.Rel(dir, absolute(t, path))
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	overlay := fmt.Sprintf(site, from(filepath.Join(root, "knative/overlays/container-source")), from(*published), k.env["CLUSTER_ADDRESS"])
	settings := map[string]string{}
	for line := range strings.Lines(run(t, b, 0, "env").Out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		settings[key] = value
	}
	// A fact whose event was lost is announced again soon, and not after the half hour that a slow job may take; nor is a query given up whose jobs
	// are killed for long.
	maps.Copy(settings, map[string]string{"ALMANAC_DATASETS": "published", "ALMANAC_GRACE_FACTS": "2m", "ALMANAC_RETRY": "30s", "ALMANAC_ATTEMPTS": "0",
		"ALMANAC_SERVE_OIDC_ISSUER": issuer, "ALMANAC_SERVE_OIDC_AUDIENCE": audience, "ALMANAC_SERVE_OIDC_KEYS": "/etc/almanac/keys.json"})
	var env strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&env, "%s=%s\n", key, settings[key])
	}
	for name, text := range map[string]string{"kustomization.yaml": overlay, "site.env": env.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, b, 0, "topics", "apply")
	run(t, b, 0, "datasets", "publish")
	k.kubectl(t, "apply", "-f", filepath.Join(root, "knative/base/namespace.yaml"))
	k.readers(t)
	k.kubectl(t, "apply", "--server-side", "-k", dir)
	t.Cleanup(func() { k.shows(t) })
	for _, kind := range []string{"ksvc", "containersource", "jobsink", "pingsource"} {
		k.kubectl(t, "-n", "almanac", "wait", "--for=condition=Ready", kind, "--all", "--timeout=10m")
	}
}

// shows what there is, and what pods logged last, if the test has failed.
func (k *knative) shows(t *testing.T) {
	t.Helper()
	if t.Failed() {
		t.Log(k.kubectl(t, "-n", "almanac", "get", "ksvc,containersource,jobsink,pingsource,pods,jobs"))
		t.Log(k.kubectl(t, "-n", "almanac", "logs", "--all-containers", "--prefix", "--tail=15", "-l", "app.kubernetes.io/part-of=almanac", "--max-log-requests=50"))
	}
}

// Kubernetes itself issues the tokens that readers show: those of its service accounts.
const (
	issuer   = "https://kubernetes.default.svc"
	audience = "almanac"
	policy   = `readers:
  - subject: system:serviceaccount:almanac:trainer
    datasets: [flights]
`
)

// readers lets the service account trainer read flights, and makes another, stranger, that may read nothing.
func (k *knative) readers(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"policy.yaml": policy, "keys.json": k.kubectl(t, "get", "--raw", "/openid/v1/jwks")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.kubectl(t, "-n", "almanac", "create", "secret", "generic", "serve", "--from-file="+dir)
	for _, name := range []string{"trainer", "stranger"} {
		k.kubectl(t, "-n", "almanac", "create", "serviceaccount", name)
	}
}

// pod is one of the pods of the functions, jobs and sources.
type pod struct {
	namespace, name, component string
	since                      time.Time
}

func (k *knative) pods(ctx context.Context, namespace, selector string) ([]pod, error) {
	text, err := k.ask(ctx, "-n", namespace, "get", "pods", "-l", selector, "--field-selector=status.phase=Running", "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
				Since  time.Time         `json:"creationTimestamp"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	var all []pod
	for _, item := range list.Items {
		all = append(all, pod{namespace, item.Metadata.Name, item.Metadata.Labels["app.kubernetes.io/component"], item.Metadata.Since})
	}
	return all, nil
}

// kill ends a pod at once, as SIGKILL does.
func (k *knative) kill(ctx context.Context, p pod) error {
	_, err := k.ask(ctx, "-n", p.namespace, "delete", "pod", p.name, "--grace-period=0", "--force", "--wait=false")
	return err
}

// once are the pods of Knative that the job loses once each, and a source.
var once = []struct{ namespace, selector string }{
	{"knative-serving", "app=activator"},
	{"knative-eventing", "eventing.knative.dev/source=ping-source-controller,sources.knative.dev/role=adapter"},
	{"almanac", "app.kubernetes.io/component=source"},
	{"kourier-system", "app=3scale-kourier-gateway"},
}

// most is how many pods are killed: a slow machine would never do jobs that are killed for as long as they take.
const most = 24

// harass kills pods at random moments until ctx ends, most of them at most: one of each of Knative's that events pass, and functions and jobs.
func (k *knative) harass(ctx context.Context, t *testing.T, r *rand.Rand) (killed map[string]int) {
	killed = map[string]int{}
	strike := func(namespace, selector string) bool {
		all, err := k.pods(ctx, namespace, selector)
		// A function that is killed whenever it has just started does nothing at all: the calendar is woken each ten seconds.
		all = slices.DeleteFunc(all, func(p pod) bool { return p.component == "function" && time.Since(p.since) < 20*time.Second })
		if err != nil || len(all) == 0 {
			return false
		}
		p := all[r.IntN(len(all))]
		if err := k.kill(ctx, p); err != nil {
			return false
		}
		t.Logf("killed %s/%s", p.namespace, p.name)
		killed[namespace]++
		return true
	}
	rest := slices.Clone(once)
	for n := 0; killed["almanac"] < most || len(rest) > 0; n++ {
		select {
		case <-ctx.Done():
			return killed
		case <-time.After(time.Duration(3000+r.IntN(6000)) * time.Millisecond):
		}
		if (n%3 == 2 || killed["almanac"] >= most) && len(rest) > 0 {
			if strike(rest[0].namespace, rest[0].selector) {
				rest = rest[1:]
			}
			continue
		}
		strike("almanac", "app.kubernetes.io/component in (function, job)")
	}
	return killed
}

// TestKnative does the job of two months on Knative while pods are killed, and compares it with what one process makes.
func TestKnative(t *testing.T) {
	k := onKnative(t)
	r := random(t)
	datasets := firstMonths(t, "2001-03-01")
	want := inOneProcess(t, datasets)
	b := k.box(t, datasets)
	k.install(t, b)
	k.job(t, r, b, want.outcome)
	k.guards(t)
	k.learns(t)
	k.sleeps(t, b)
	k.refuses(t)
	k.same(t, b, want.outcome, sources(t, datasets)) // none of it changed anything
	k.tells(t, b)
	k.restates(t, b, want.box)
	k.givesUp(t, b, want.box)
}

// job waits until everything is done.
func (k *knative) job(t *testing.T, r *rand.Rand, b box.Box, want *outcome.Outcome) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	killed := make(chan map[string]int, 1)
	go func() { killed <- k.harass(ctx, t, r) }()
	for !done(ctx, b) {
		if time.Since(began) > patience {
			t.Error("the job was not done in time: ", run(t, b, 0, "status").Out)
			break
		}
		time.Sleep(2 * time.Second)
	}
	took := time.Since(began)
	cancel()
	t.Logf("the job took %.0fs, while pods were killed: %v", took.Seconds(), <-killed)
	k.late = true
	k.same(t, b, want, sources(t, b.Datasets))
}
