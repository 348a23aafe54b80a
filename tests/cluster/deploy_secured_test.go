package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/flights"
	"github.com/almanac-data/almanac/tests/internal/inventories"
	"github.com/almanac-data/almanac/tests/internal/served"
)

var inventory = flag.String("inventory", "", "the `folder` of an inventory whose machines run, furnished by site.yml; without it deploy.yml is not tested on a secured site")

// trial is a month of flights as a dataset of a name that no site has.
func trial(t *testing.T, n int) flights.Trial {
	t.Helper()
	r, err := flights.Try(patient(t), absolute(t, *almanac), filepath.Join(root, "spark-jobs", "flights"), t.TempDir(), fmt.Sprintf("trial%d%d", time.Now().Unix(), n), "2001-02-01", 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSecuredDeploy puts the functions on Knative beside machines that site.yml has furnished, so that all goes over TLS and Kerberos: with Secrets of Kubernetes, then with
// those of OpenBao. Each time a month of flights is done, serve hands out what one process makes, and a second run changes nothing.
func TestSecuredDeploy(t *testing.T) {
	if *inventory == "" || *playbook == "" {
		t.Skip("no machines: make deploy-check-secured asks for those of an inventory")
	}
	k := onKubernetes(t)
	first, second := trial(t, 1), trial(t, 2)
	d := k.beside(t, first, second)
	if out, _ := d.must(t, map[string]any{"deploy_datasets": []string{first.Folder()}}, "--check", "--diff"); !strings.Contains(out, "The namespace almanac would be made") || k.there(t) {
		t.Errorf("check mode made the namespace, or does not say that it would be: %s", ending(out))
	}
	own := []string{"hdfs-store", "kafka-store", "pseudonym", "spark"}
	d.does(t, first, false)
	for _, name := range own {
		if !d.has(t, "secret", name) {
			t.Errorf("there is no Secret %s", name)
		}
	}
	d.does(t, second, true)
	for _, name := range own {
		if d.has(t, "secret", name) {
			t.Errorf("the Secret %s is there, and OpenBao has what it holds", name)
		}
	}
	gone := map[string]any{"deploy_state": "absent", "deploy_confirm": "almanac"}
	if d.must(t, gone); d.there(t) {
		t.Error("the namespace is there after it was taken away")
	}
}

// beside describes the site: machines of the inventory, whose own functions rest until the test ends, and pods that know them by name.
func (k *knative) beside(t *testing.T, trials ...flights.Trial) *deployment {
	t.Helper()
	var folders []string
	for _, r := range trials {
		folders = append(folders, r.Folder())
	}
	d := &deployment{knative: k, dir: t.TempDir(), inventories: []string{absolute(t, *inventory)}, vars: k.told(t, folders...)}
	d.vars["deploy_settings_extra"] = map[string]any{"ALMANAC_GRACE_FACTS": "10m", "ALMANAC_RETRY": "1m"}
	d.vars["deploy_almanac"] = d.named(t)
	t.Cleanup(func() {
		k.shows(t)
		k.kubectl(t, "delete", "namespace", "almanac", "--ignore-not-found", "--wait")
		for _, r := range trials {
			if result, err := d.box().Run(context.WithoutCancel(t.Context()), "datasets", "withdraw", r.Name); err != nil || result.Code != 0 && !t.Failed() {
				t.Errorf("withdraw %s: %v, %s", r.Name, err, result)
			}
		}
		d.units(t, startUnits)
		if err := os.Remove(k.env["CLUSTER_HOSTS"]); err != nil {
			t.Error(err)
		}
	})
	d.units(t, stopUnits)
	return d
}

// named tells pods the names of the machines, and gives a command almanac that knows them too: who runs deploy.yml on a site has them from DNS.
func (d *deployment) named(t *testing.T) string {
	t.Helper()
	list, err := inventories.List(patient(t), tool(t, "ansible-inventory"), d.inventories...)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := inventories.Hosts(list)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		if address := machines[name].Address; address != "" {
			fmt.Fprintf(&lines, "%s %s\n", address, name)
		}
	}
	hosts := d.env["CLUSTER_HOSTS"]
	if err := os.WriteFile(hosts, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// It has a view of its own of the files of this machine, in which that file is the machine's.
	const script = "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind \"$0\" /etc/hosts && exec \"$@\"' '%s' '%s' \"$@\"\n"
	command := filepath.Join(d.dir, "almanac")
	if err := os.WriteFile(command, fmt.Appendf(nil, script, hosts, absolute(t, *almanac)), 0o700); err != nil {
		t.Fatal(err)
	}
	return command
}

// tool is a program of Ansible, beside ansible-playbook.
func tool(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(absolute(t, *playbook)), name)
}

// The functions of functions.yml, which work on the same topics, and where a machine notes those that ran. Who wakes others ends first.
const (
	stopUnits = `[ -e /run/almanac-paused ] || systemctl list-units --plain --no-legend --state=active almanac-calendar.service almanac-collect.service almanac-process.service ` +
		`almanac-validate.service almanac-store.service almanac-aggregate.service almanac-deliver.service 'almanac-source-*' almanac-ticks.service | cut -d ' ' -f 1 > /run/almanac-paused; ` +
		`systemctl stop 'almanac-ticks*' 'almanac-source-*' && xargs -r systemctl stop < /run/almanac-paused`
	startUnits = `[ ! -e /run/almanac-paused ] || { xargs -r systemctl start < /run/almanac-paused && rm /run/almanac-paused; }`
)

// units runs a command on each machine of the functions, of which there may be none.
func (d *deployment) units(t *testing.T, command string) {
	t.Helper()
	d.on(t, "functions", command)
}

// on runs a command on machines of the site, and gives what Ansible prints of it.
func (d *deployment) on(t *testing.T, machines, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // also while the test is cleaned up
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "ansible"), machines, "-i", d.inventories[0], "-m", "ansible.builtin.shell", "-a", command)
	cmd.Dir = filepath.Join(root, "ansible")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// owner is that of an entry which is not in the making, as WebHDFS writes it: by the names of its fields.
var owner = regexp.MustCompile(`"owner":"([^"]*)","pathSuffix":"[^."]`)

// owners are the users of HDFS whose a folder's entries are.
func (d *deployment) owners(t *testing.T, folder string) (users []string) {
	t.Helper()
	const list = "almanac-spnego /etc/almanac/keytabs/nn.keytab --cacert /etc/almanac/tls/hadoop/ca.pem 'https://{{ inventory_hostname }}:9871/webhdfs/v1/almanac/%s?op=LISTSTATUS'"
	for _, match := range owner.FindAllStringSubmatch(d.on(t, "namenodes[0]", fmt.Sprintf(list, folder)), -1) {
		users = append(users, match[1])
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// box is the operator's command over the site, as deploy.yml has set it up.
func (d *deployment) box() box.Box {
	return box.Box{Binary: d.vars["deploy_almanac"].(string), Datasets: "published", Config: filepath.Join(d.inventories[0], ".state", "knative", "almanac", "cluster.yaml")}
}

// does has the pods do a trial, with secrets of Kubernetes or of OpenBao, and compares what serve hands out.
func (d *deployment) does(t *testing.T, r flights.Trial, store bool) {
	t.Helper()
	vars := map[string]any{"deploy_datasets": []string{r.Folder()}, "deploy_secrets_store": store}
	d.must(t, vars)
	began := time.Now()
	for _, name := range []string{"trainer", "stranger"} {
		if !d.has(t, "serviceaccount", name) {
			d.kubectl(t, "-n", "almanac", "create", "serviceaccount", name)
		}
	}
	if out, changed := d.must(t, vars); changed != 0 {
		t.Errorf("the second run changes %d things: %s", changed, ending(out))
	}
	trainer := d.token(t, "trainer", audience)
	get := func(path string) (int, []byte) {
		status, _, body := d.fetch(t, path, trainer)
		return status, body
	}
	for {
		versions, err := served.Versions(get, r.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(versions) >= len(r.Releases) {
			break
		}
		if time.Since(began) > 2*patience {
			t.Fatalf("%s is not released in time: %s", r.Name, d.status(t))
		}
		time.Sleep(2 * time.Second)
	}
	t.Logf("%s, secrets of OpenBao %v: 31 days, their weeks and a release in %.0fs after deploy.yml", r.Name, store, time.Since(began).Seconds())
	for version, release := range r.Releases {
		files, wrong := served.Differences(get, r.Name, strings.TrimPrefix(version, r.Name+"/"), release)
		for _, text := range wrong {
			t.Error(text)
		}
		t.Logf("%s: content and %d files are compared with those of one process", version, files)
	}
	if users := d.owners(t, "releases/"+r.Name); !slices.Equal(users, []string{"almanac-deliver"}) {
		t.Errorf("releases of %s are owned by %v, want almanac-deliver alone", r.Name, users)
	}
	letters, err := d.box().DeadLetters(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Attributes["dataset"] == r.Name {
			t.Errorf("an event became a dead letter: %v", l)
		}
	}
	for name, tt := range map[string]struct {
		token string
		want  int
	}{"nobody": {"", http.StatusUnauthorized}, "a stranger": {d.token(t, "stranger", audience), http.StatusForbidden}} {
		if status, _, body := d.fetch(t, "/v1/datasets/"+r.Name+"/releases", tt.token); status != tt.want {
			t.Errorf("%s gets %d %.200s, want %d", name, status, body, tt.want)
		}
	}
}

// status is what the operator is told, if anything.
func (d *deployment) status(t *testing.T) string {
	t.Helper()
	result, err := d.box().Run(context.WithoutCancel(t.Context()), "status")
	return fmt.Sprint(result, err)
}
