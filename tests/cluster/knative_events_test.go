package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// event is a CloudEvent in binary mode.
type event struct {
	header map[string]string
	body   []byte
}

// fact reads the first fact of a topic as a source sends it.
func (k *knative) fact(t *testing.T, topic string) event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(k.kafka(t), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		for r := range client.PollFetches(ctx).RecordsAll() {
			if r.Value == nil {
				continue
			}
			e := event{map[string]string{}, r.Value}
			for _, h := range r.Headers {
				e.header[strings.Replace(h.Key, "ce_", "ce-", 1)] = string(h.Value)
			}
			return e
		}
	}
	t.Fatalf("no fact in %s", topic)
	return event{}
}

// with is the event with other headers; one that is empty is left out.
func (e event) with(header map[string]string) event {
	other := event{maps.Clone(e.header), e.body}
	maps.Copy(other.header, header)
	maps.DeleteFunc(other.header, func(_, value string) bool { return value == "" })
	return other
}

func (e event) replaced(before, after string) event {
	other := e.with(nil)
	other.body = bytes.ReplaceAll(other.body, []byte(before), []byte(after))
	for name, value := range other.header {
		other.header[name] = strings.ReplaceAll(value, before, after)
	}
	return other
}

// post sends an event to a function as sources do, by the way inside of the cluster.
func (k *knative) post(t *testing.T, method, function, path string, e event) (status int, kind, text string) {
	t.Helper()
	gateway := k.kubectl(t, "-n", "kourier-system", "get", "service", "kourier-internal", "-o", "jsonpath={.spec.clusterIP}")
	request, err := http.NewRequestWithContext(patient(t), method, "http://"+gateway+path, bytes.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = function + ".almanac.svc.cluster.local"
	for name, value := range e.header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), string(body)
}

// sleeps waits until no function is there that nothing wakes, and wakes one by an event that is sent again by hand.
func (k *knative) sleeps(t *testing.T, b box.Box) {
	t.Helper()
	began := time.Now()
	const idle = "app.kubernetes.io/component=function,app.kubernetes.io/name in (collect, process, validate)"
	for {
		text := k.kubectl(t, "-n", "almanac", "get", "pods", "-l", idle, "-o", "name")
		if text == "" {
			break
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("after five minutes without work there still are %s", text)
		}
		time.Sleep(time.Second)
	}
	t.Logf("without work, functions were gone after %.0fs", time.Since(began).Seconds())
	again := k.fact(t, "almanac.fact.collected")
	for _, how := range []string{"a cold start", "warm"} {
		began = time.Now()
		if status, _, text := k.post(t, http.MethodPost, "process", "/", again); status != http.StatusOK {
			t.Errorf("an event that is sent again by hand is answered by %d %s", status, text)
		}
		t.Logf("from an event to its answer, %s: %.2fs", how, time.Since(began).Seconds())
	}
	if !done(t.Context(), b) {
		t.Error("an event that was sent again has made work")
	}
}

// refuses sends what is no event, or one that nothing can be made of.
func (k *knative) refuses(t *testing.T) {
	t.Helper()
	sent := k.fact(t, "almanac.fact.collected")
	for name, tt := range map[string]struct {
		method, path string
		event        event
		want         int
	}{
		"a dataset that is unknown":        {http.MethodPost, "/", sent.replaced("flights", "nosuch"), http.StatusUnprocessableEntity},
		"data that are no JSON":            {http.MethodPost, "/", sent.with(map[string]string{"content-type": "text/plain"}), http.StatusUnprocessableEntity},
		"a type that is unknown":           {http.MethodPost, "/", sent.with(map[string]string{"ce-type": "dev.almanac.nosuch.v1"}), http.StatusUnprocessableEntity},
		"no event":                         {http.MethodPost, "/", event{map[string]string{"content-type": "text/plain"}, []byte("x")}, http.StatusUnsupportedMediaType},
		"a batch":                          {http.MethodPost, "/", event{map[string]string{"content-type": "application/cloudevents-batch+json"}, []byte("[]")}, http.StatusUnsupportedMediaType},
		"a body of two MiB":                {http.MethodPost, "/", event{sent.header, make([]byte, 2<<20)}, http.StatusRequestEntityTooLarge},
		"a question":                       {http.MethodGet, "/", event{}, http.StatusMethodNotAllowed},
		"a path outside":                   {http.MethodPost, "/nosuch", sent, http.StatusNotFound},
		"a window without the fact before": {http.MethodPost, "/", sent.replaced("2001-01-01", "2001-03-17"), http.StatusOK},
		"a forged fact of a real window":   {http.MethodPost, "/", sent.with(map[string]string{"ce-id": "forged"}).replaced(`"offset":0`, `"offset":7`), http.StatusOK},
	} {
		status, kind, text := k.post(t, tt.method, "process", tt.path, tt.event)
		if status != tt.want || tt.want >= http.StatusBadRequest && kind != "application/problem+json" {
			t.Errorf("%s: %d %s %.300s, want %d", name, status, kind, text, tt.want)
		}
	}
}

// recorder takes events on an address that pods reach, and keeps their headers.
type recorder struct {
	url string
	got chan http.Header
}

func (k *knative) recorder(t *testing.T) recorder {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(k.env["CLUSTER_ADDRESS"], "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := recorder{"http://" + l.Addr().String(), make(chan http.Header, 1000)}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.got <- request.Header
		w.WriteHeader(http.StatusAccepted)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// varies are the values that differ between two events of one kind: digits, digests, and what is random.
var varies = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}|\d+`)

// attributes are the CloudEvents attributes of the next event, by name, without what differs from one to the next.
func (r recorder) attributes(t *testing.T) map[string]string {
	t.Helper()
	select {
	case header := <-r.got:
		all := map[string]string{}
		for name, values := range header {
			if strings.HasPrefix(name, "Ce-") || name == "Content-Type" {
				all[strings.ToLower(name)] = varies.ReplaceAllString(strings.Join(values, ","), "#")
			}
		}
		return all
	case <-time.After(3 * time.Minute):
		t.Fatal("no event came within three minutes")
		return nil
	}
}

const told = `apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: told, namespace: almanac}
spec:
  schedule: "*/2 * * * * *"
  sink: {uri: %s}
---
apiVersion: sources.knative.dev/v1
kind: ContainerSource
metadata: {name: told, namespace: almanac}
spec:
  sink: {uri: %s}
  ceOverrides: {extensions: {site: lab}}
  template:
    metadata:
      labels: {app.kubernetes.io/name: told, app.kubernetes.io/component: told}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: source
          image: %s
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          env:
            - {name: ALMANAC_KAFKA, value: %q}
            - {name: ALMANAC_SOURCE_NAME, value: told}
            - {name: ALMANAC_SOURCE_TOPICS, value: almanac.fact.released}
            - {name: NAMESPACE, value: almanac}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: told, namespace: almanac}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/component: told}}
  policyTypes: [Egress]
  egress: [{}]
`

// tells compares the events of Knative's own PingSource, and of a ContainerSource, with those of the sources of one process, attribute by attribute;
// and looks what the network lets through.
func (k *knative) tells(t *testing.T, b box.Box) {
	t.Helper()
	pings, facts, own := k.recorder(t), k.recorder(t), k.recorder(t)
	image := k.kubectl(t, "-n", "almanac", "get", "containersource", "collect", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	manifest := fmt.Sprintf(told, pings.url, facts.url, image, k.env["CLUSTER_ADDRESS"]+":18090")
	cmd := exec.CommandContext(patient(t), k.env["CLUSTER_KUBECTL"], "--kubeconfig", k.env["KUBECONFIG"], "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, tt := range map[string]struct {
		real recorder
		args []string
		more map[string]string
	}{
		"PingSource":      {pings, []string{"--name", "told", "--schedule", "*/2 * * * * *"}, nil},
		"ContainerSource": {facts, []string{"--name", "told-alone", "--topics", "almanac.fact.released"}, map[string]string{"ce-site": "lab"}},
	} {
		running, err := b.Start(append([]string{"source", "--namespace", "almanac", "--sink", own.url}, tt.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		want, got := own.attributes(t), tt.real.attributes(t)
		running.Stop()
		for len(own.got) > 0 {
			<-own.got
		}
		maps.Copy(want, tt.more)
		delete(want, "ce-traceparent")
		delete(got, "ce-traceparent")
		if !maps.Equal(got, want) {
			t.Errorf("%s sends %v, the source of one process %v", name, got, want)
		}
		t.Logf("%s: %v", name, slices.Sorted(maps.Keys(got)))
	}
	k.kubectl(t, "-n", "almanac", "delete", "pingsource/told", "containersource/told", "networkpolicy/told")
	k.looks(t)
}

// looks asks WebHDFS from a pod of a function, which may, and from one of a source, which may not once its rules are in force.
func (k *knative) looks(t *testing.T) {
	t.Helper()
	for component, want := range map[string]bool{"function": true, "source": false} {
		name := "look-" + component
		k.kubectl(t, "-n", "almanac", "run", name, "--image", k.env["CLUSTER_PROBE_IMAGE"], "--restart=Never",
			"--labels", "app.kubernetes.io/name=look,app.kubernetes.io/component="+component, "--override-type=strategic", "--overrides",
			`{"spec":{"securityContext":{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"`+name+
				`","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`)
		k.kubectl(t, "-n", "almanac", "wait", "--for=condition=Ready", "pod/"+name, "--timeout=60s")
		var err error
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second) {
			_, err = k.ask(patient(t), "-n", "almanac", "exec", name, "--", "/ko-app/app", "get", "http://"+k.env["CLUSTER_ADDRESS"]+":18070/")
			if (err == nil) == want {
				break
			}
		}
		if (err == nil) != want {
			t.Errorf("a pod of a %s asks WebHDFS: %v; want an answer: %t", component, err, want)
		}
		k.kubectl(t, "-n", "almanac", "delete", "pod", name, "--grace-period=0", "--force")
	}
}
