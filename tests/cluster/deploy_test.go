package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
)

var playbook = flag.String("playbook", "", "the `program` ansible-playbook; without it deploy.yml is not tested")

// deployment is a site whose functions deploy.yml puts on the lab's Kubernetes.
type deployment struct {
	*knative

	dir         string
	inventories []string       // of its machines, if it has any
	vars        map[string]any // of the controller
}

// told is what a person would write into an inventory for the lab's Kubernetes, whatever servers are beside it.
func (k *knative) told(t *testing.T, datasets ...string) map[string]any {
	t.Helper()
	var names []string
	for _, folder := range datasets {
		names = append(names, filepath.Base(folder))
	}
	return map[string]any{
		"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}",
		"deploy_kubeconfig": k.env["KUBECONFIG"], "deploy_context": strings.TrimSpace(k.kubectl(t, "config", "current-context")),
		"deploy_datasets": datasets, "deploy_schedule": "*/10 * * * * *", "deploy_images": filepath.Join(absolute(t, *published), "kustomization.yaml"),
		"deploy_almanac": absolute(t, *almanac), "deploy_dns": []string{k.env["CLUSTER_ADDRESS"]},
		"deploy_resources": map[string]any{"all": map[string]any{"requests": map[string]any{"cpu": "10m", "memory": "32Mi"}}},
		"deploy_readers":   []any{map[string]any{"subject": "system:serviceaccount:almanac:trainer", "datasets": names}},
	}
}

// deployed describes the site for the plain lab, which has no machines of its own.
func (k *knative) deployed(t *testing.T, b box.Box) *deployment {
	t.Helper()
	address := k.env["CLUSTER_ADDRESS"]
	folders, err := filepath.Glob(filepath.Join(b.Datasets, "*", "contract.yaml"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no datasets in %s: %v", b.Datasets, err)
	}
	for i, contract := range folders {
		folders[i] = filepath.Dir(contract)
	}
	servers := []string{address + "/32"}
	port := func(first, last int) []any {
		return []any{map[string]any{"protocol": "TCP", "port": first, "endPort": last}}
	}
	d := &deployment{knative: k, dir: t.TempDir(), vars: k.told(t, folders...)}
	maps.Copy(d.vars, map[string]any{
		"almanac_state": filepath.Join(d.dir, "state"), "deploy_secured": false,
		"deploy_kafka_bootstrap": []string{k.centre.env["KAFKA_PLAIN"]}, "deploy_namenode": address, "deploy_spark": address,
		"hadoop_namenode_port": portOf(t, k.centre.env["HDFS_NAMENODE"]), "spark_connect_port": portOf(t, k.centre.env["SPARK_CONNECT"]),
		"deploy_settings_extra": map[string]any{"ALMANAC_HDFS_WEB": strings.TrimSuffix(k.centre.env["WEBHDFS_URL"], "/webhdfs/v1"), "ALMANAC_HDFS_REPLICATION": 2,
			"ALMANAC_GRACE_FACTS": "10m", "ALMANAC_RETRY": "1m"},
		"deploy_networks":      map[string]any{"kafka": servers, "hdfs": servers, "spark": servers},
		"deploy_ports":         map[string]any{"kafka": port(18090, 18099), "hdfs": port(18020, 18089), "spark": port(18015, 18015)},
		"deploy_pseudonym_key": filepath.Join(k.centre.env["LAB_ROOT"], "keys", "pseudonym.key"),
	})
	return d
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// play runs deploy.yml, with some variables in place of the site's, and gives what it printed.
func (d *deployment) play(t *testing.T, vars map[string]any, args ...string) (string, error) {
	t.Helper()
	all := maps.Clone(d.vars)
	maps.Copy(all, vars)
	text, err := json.Marshal(map[string]any{"all": map[string]any{"hosts": map[string]any{"localhost": all}}})
	if err != nil {
		t.Fatal(err)
	}
	inventory := filepath.Join(d.dir, "hosts.yml")
	if err := os.WriteFile(inventory, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var command []string
	for _, each := range append(slices.Clone(d.inventories), inventory) {
		command = append(command, "-i", each)
	}
	cmd := exec.CommandContext(ctx, absolute(t, *playbook), slices.Concat(command, []string{"deploy.yml"}, args)...)
	cmd.Dir = filepath.Join(root, "ansible")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err = cmd.Run()
	// What Ansible prints is folded.
	said := regexp.MustCompile(`\s+`).ReplaceAllString(out.String(), " ")
	t.Logf("deploy.yml %v took %.0fs and changed %d things", args, time.Since(began).Seconds(), changes(said))
	return said, err
}

var recap = regexp.MustCompile(`\S+ : ok=\d+ changed=(\d+) unreachable=\d+ failed=\d+`)

// changes is how many tasks say that they changed something, on all machines together; -1 if the run does not come to that.
func changes(out string) (n int) {
	hosts := recap.FindAllStringSubmatch(out, -1)
	if len(hosts) == 0 {
		return -1
	}
	for _, host := range hosts {
		changed, _ := strconv.Atoi(host[1]) // digits
		n += changed
	}
	return n
}

// must runs deploy.yml, which must not fail, and gives how many tasks changed something.
func (d *deployment) must(t *testing.T, vars map[string]any, args ...string) (out string, changed int) {
	t.Helper()
	out, err := d.play(t, vars, args...)
	if err != nil {
		t.Fatalf("deploy.yml %v: %v\n%s", args, err, ending(out))
	}
	return out, changes(out)
}

func ending(out string) string { return out[max(0, len(out)-4000):] }

// onAnsible is the lab's Kubernetes, for deploy.yml.
func onAnsible(t *testing.T) *knative {
	t.Helper()
	if *playbook == "" {
		t.Skip("no Ansible: make deploy-check has it")
	}
	return onKnative(t)
}

// TestDeploy puts the functions on Knative by Ansible, and takes them away again.
func TestDeploy(t *testing.T) {
	k := onAnsible(t)
	datasets := firstMonths(t, "2001-02-01")
	want := inOneProcess(t, datasets)
	b := k.box(t, datasets)
	d := k.deployed(t, b)
	if out, _ := d.must(t, nil, "--check", "--diff"); !strings.Contains(out, "The namespace almanac would be made") || k.there(t) {
		t.Errorf("check mode made the namespace, or does not say that it would be: %s", ending(out))
	}
	d.must(t, nil)
	for _, name := range []string{"trainer", "stranger"} {
		k.kubectl(t, "-n", "almanac", "create", "serviceaccount", name)
	}
	if _, changed := d.must(t, nil); changed != 0 {
		t.Errorf("the second run changes %d things", changed)
	}
	for began := time.Now(); !done(t.Context(), b); time.Sleep(2 * time.Second) {
		if time.Since(began) > patience {
			t.Fatal("the job was not done in time: ", run(t, b, 0, "status").Out)
		}
	}
	k.same(t, b, want.outcome, sources(t, datasets))
	k.guards(t)
	d.follows(t)
	d.tells(t)
	d.leaves(t)
}

// there says whether the namespace is.
func (k *knative) there(t *testing.T) bool {
	t.Helper()
	return k.kubectl(t, "get", "namespace", "almanac", "--ignore-not-found", "-o", "name") != ""
}

// TestDeployRefuses gives deploy.yml bad input, one at a time. Each must be refused with a sentence, and before anything is changed.
func TestDeployRefuses(t *testing.T) {
	k := onAnsible(t)
	d := k.deployed(t, k.box(t, shipped(t, "flights")))
	tests := map[string]struct {
		vars map[string]any
		says string
	}{
		"another cluster":          {map[string]any{"deploy_context": "production"}, `is "lab", and deploy_context is "production"`},
		"no kubeconfig":            {map[string]any{"deploy_kubeconfig": "/nowhere"}, "and there is no such file"},
		"a cluster that is away":   {map[string]any{"deploy_kubeconfig": d.away(t)}, "does not answer: "},
		"no KafkaSource":           {map[string]any{"deploy_source": "kafka"}, "The cluster has no KafkaSource of sources.knative.dev/v1beta1"},
		"images not published":     {map[string]any{"deploy_images": "/nowhere/kustomization.yaml"}, "/nowhere/kustomization.yaml is not on the controller: run make images"},
		"images without digests":   {map[string]any{"deploy_images": d.file(t, "images.yaml", "images: [{name: almanac/calendar, newTag: latest}]")}, "names no digest of almanac/aggregate, almanac/calendar"},
		"an unknown component":     {map[string]any{"deploy_components": []string{"kafka-sorce"}}, "deploy_components names kafka-sorce, and there is no"},
		"production as component":  {map[string]any{"deploy_components": []string{"production"}}, "Set deploy_source, deploy_secured and deploy_secrets_store instead"},
		"a dataset that is not":    {map[string]any{"deploy_datasets": []string{"/nowhere/flights"}}, "there is no /nowhere/flights/contract.yaml"},
		"a minute of 61":           {map[string]any{"deploy_schedule": "61 * * * *"}, `the minute "61" is not from 0 to 59`},
		"a schedule of four":       {map[string]any{"deploy_schedule": "* * * *"}, "it has 4 fields, not five or six"},
		"a site not furnished":     {map[string]any{"deploy_secured": true}, "run site.yml first"},
		"nobody who may read":      {map[string]any{"deploy_readers": []any{}}, "deploy_readers is empty"},
		"a variable misspelt":      {map[string]any{"deploy_contxt": "lab"}, "deploy_contxt is not an option of any role: did you mean deploy_context?"},
		"a secret in the settings": {map[string]any{"deploy_settings_extra": map[string]string{"ALMANAC_SPARK_TOKEN_FILE": "hunter2"}}, "would stand in a ConfigMap in clear"},
		"a namespace of others":    {map[string]any{"deploy_namespace": "default"}, "was not made for this"},
		"a namespace to take away": {map[string]any{"deploy_state": "absent"}, "-e deploy_confirm=almanac"},
		"others' to take away":     {map[string]any{"deploy_state": "absent", "deploy_namespace": "default", "deploy_confirm": "default"}, "was not made for this"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := d.play(t, tt.vars)
			if err == nil || !strings.Contains(out, tt.says) || changes(out) != 0 {
				t.Errorf("%v, want it to say %q and to change nothing:\n%s", err, tt.says, ending(out))
			}
		})
	}
	if d.there(t) {
		t.Error("what was refused has made the namespace")
	}
}

// away is a kubeconfig of a cluster that does not run.
func (d *deployment) away(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(d.env["KUBECONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	return d.file(t, "away", regexp.MustCompile(`server: [^\s,}]+`).ReplaceAllString(string(text), "server: https://127.0.0.1:1"))
}

func (d *deployment) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// follows changes what the site says: check mode tells it, a run does it, and what is no longer said goes.
func (d *deployment) follows(t *testing.T) {
	t.Helper()
	component := filepath.Dir(d.file(t, "extra/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\n"))
	d.file(t, "extra/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: almanac}\ndata: {a: b}\n")
	d.vars["deploy_schedule"] = "*/20 * * * * *"
	more := map[string]any{"deploy_components": []string{component}}
	if out, _ := d.must(t, more, "--check", "--diff"); !strings.Contains(out, "*/20 * * * * *") || d.has(t, "configmap", "more") {
		t.Errorf("check mode does not show the schedule, or did it: %s", ending(out))
	}
	d.must(t, more)
	if schedule := d.kubectl(t, "-n", "almanac", "get", "pingsource", "ticks", "-o", "jsonpath={.spec.schedule}"); schedule != "*/20 * * * * *" || !d.has(t, "configmap", "more") {
		t.Errorf("the calendar is woken by %q, and the component was applied: %v", schedule, d.has(t, "configmap", "more"))
	}
	d.kubectl(t, "-n", "almanac", "create", "configmap", "foreign")
	d.must(t, nil)
	if d.has(t, "configmap", "more") || !d.has(t, "configmap", "foreign") {
		t.Error("what is no longer said is there, or what was never said is not")
	}
}

func (d *deployment) has(t *testing.T, kind, name string) bool {
	t.Helper()
	return d.kubectl(t, "-n", "almanac", "get", kind, name, "--ignore-not-found", "-o", "name") != ""
}

// tells deploys an image that is nowhere: the run must say which function is not ready, and why.
func (d *deployment) tells(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(d.vars["deploy_images"].(string))
	if err != nil {
		t.Fatal(err)
	}
	broken := regexp.MustCompile(`(almanac/collect\n\s+digest: )sha256:\w+`).ReplaceAllString(string(text), "${1}sha256:"+strings.Repeat("0", 64))
	out, err := d.play(t, map[string]any{"deploy_images": d.file(t, "broken/kustomization.yaml", broken), "deploy_patience": 30})
	if err == nil || !regexp.MustCompile(`Service collect: .*(ErrImagePull|ImagePullBackOff|Unable to fetch image)`).MatchString(out) {
		t.Errorf("with an image that is nowhere: %v, want it to say that collect is not ready: %s", err, ending(out))
	}
	d.must(t, nil)
}

// leaves takes everything away, once it was confirmed.
func (d *deployment) leaves(t *testing.T) {
	t.Helper()
	for _, confirm := range []string{"", "default"} {
		if out, err := d.play(t, map[string]any{"deploy_state": "absent", "deploy_confirm": confirm}); err == nil || !d.has(t, "ksvc", "store") {
			t.Fatalf("with deploy_confirm=%q it was taken away: %s", confirm, ending(out))
		}
	}
	gone := map[string]any{"deploy_state": "absent", "deploy_confirm": "almanac"}
	d.must(t, gone)
	if d.there(t) {
		t.Error("the namespace is there after it was taken away")
	}
	if _, changed := d.must(t, gone); changed != 0 {
		t.Errorf("taken away twice, it changes %d things", changed)
	}
}
