package machines_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	empty = flag.String("empty", "", "the `folder` of an inventory of the same site on machines that lab.yml has just made: a backup is restored onto them")
	lose  = flag.Bool("lose", false, "lose the machines, which lab.yml has made, with their disks, and what the controller holds of the site: a backup is restored onto new ones of the same names")
	kill  = flag.Duration("kill", 0, "the time after which restore.yml is killed, and started again; it is not if this is 0")
)

// TestARestoreNeverGoesOverData restores onto machines that are in use.
func TestARestoreNeverGoesOverData(t *testing.T) {
	s := furnished(t)
	s.repository(t)
	s.refusedBy(t, "restore.yml", "and a restore never goes over any")
}

// TestARestoreBringsAllBack backs a site up in the middle of a job, loses it a while later, and restores it onto empty machines that bear its names. What it holds is compared by
// the servers' own clients; then the job goes on to its releases, which must be those of one process, and collects nothing again that was stored.
func TestARestoreBringsAllBack(t *testing.T) {
	s := furnished(t)
	if *empty == "" && !*lose {
		t.Skip("neither -empty nor -lose is given")
	}
	if *almanac == "" {
		t.Skip("no -almanac is given")
	}
	host, kept := s.repository(t)
	at := s // where the job is, if anywhere
	var j job
	defer func() {
		if at == nil {
			return
		}
		at.everywhere(t, startWorkers)
		if j.Name != "" {
			at.on(t, at.groups["functions"].Hosts[0], "", "almanac-operator datasets withdraw "+j.Name)
		}
	}()
	s.everywhere(t, "systemctl stop almanac-source-store")
	j = s.begin(t)
	s.interrupt(t, j.Name)
	began := time.Now()
	run := s.backUp(t)
	t.Logf("backup.yml took %s", time.Since(began).Round(time.Second))
	point, want, served, letters := s.pieces(t, j.Name), s.holds(t), s.api().served(t), s.end(t, "almanac.deadletter")
	lost := s.goOn(t, j.Name, len(point["stored"])+5)

	at = nil
	to := s.lost(t, host, kept)
	to.restore(t, run)
	for what, got := range to.holds(t) {
		if got != want[what] {
			t.Errorf("%s is another after the restore:\n%s", what, difference(want[what], got))
		}
	}
	began = time.Now()
	if out, err := to.playbook(t, to.inventory, "functions.yml"); err != nil {
		t.Fatalf("functions.yml = %v:\n%s", err, tail(out))
	}
	t.Logf("functions.yml took %s", time.Since(began).Round(time.Second))
	at = to
	now := to.api().served(t)
	for dataset, releases := range served {
		if dataset != j.Name && now[dataset] != releases {
			t.Errorf("the releases of %s are served as\n%s\nand were\n%s", dataset, now[dataset], releases)
		}
	}
	j.end(t, to, func() {}, func() {})
	t.Logf("after functions.yml the job took %s", time.Since(began).Round(time.Second))
	point.again(t, to.pieces(t, j.Name), lost)
	if more := to.end(t, "almanac.deadletter") - letters; more != 0 {
		t.Errorf("%d events became dead letters", more)
	}
	if out, err := to.play(t, "status.yml", "-i", to.inventory); err != nil {
		t.Errorf("status.yml = %v:\n%s", err, tail(out))
	}
	if err := os.RemoveAll(filepath.Dir(s.aside())); err != nil {
		t.Error(err)
	}
}

// What starts and ends all that says facts; who wakes others ends first.
const (
	workers      = "almanac-calendar almanac-collect almanac-process almanac-validate almanac-store almanac-aggregate almanac-deliver"
	stopWakers   = "systemctl stop almanac-ticks 'almanac-source-*'"
	stopWorkers  = stopWakers + " && systemctl stop " + workers
	startWorkers = "systemctl start " + workers + " $(systemctl list-unit-files --plain --no-legend 'almanac-source-*' | cut -d ' ' -f 1) almanac-ticks"
)

// interrupt stops a job that is not stored yet where some windows are, and others are under way, which Kafka alone holds.
func (s *site) interrupt(t *testing.T, dataset string) {
	t.Helper()
	await := func(what string, is func(pieces) bool) {
		for began := time.Now(); !is(s.pieces(t, dataset)); time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > *patience {
				t.Fatalf("after %s %s", *patience, what)
			}
		}
	}
	await("5 windows are not validated", func(p pieces) bool { return len(p["validated"]) >= 5 }) // the calendar wants 8 at once
	s.everywhere(t, "systemctl start almanac-source-store")
	await("5 windows are not stored", func(p pieces) bool { return len(p["stored"]) >= 5 })
	s.everywhere(t, "systemctl stop almanac-source-store")
	await("no windows are under way", func(p pieces) bool { return len(p["validated"]) >= len(p["stored"])+5 })
	s.everywhere(t, stopWakers)
	s.everywhere(t, stopWorkers)
	p := s.pieces(t, dataset)
	t.Logf("interrupted where of 59 windows %d are collected, %d validated and %d stored", len(p["collected"]), len(p["validated"]), len(p["stored"]))
}

// goOn lets the job go on until so many windows are stored, and returns what was said by then.
func (s *site) goOn(t *testing.T, dataset string, stored int) pieces {
	t.Helper()
	s.everywhere(t, startWorkers)
	for began := time.Now(); ; time.Sleep(2 * time.Second) {
		p := s.pieces(t, dataset)
		if len(p["stored"]) >= stored {
			t.Logf("the site is lost where %d windows are stored", len(p["stored"]))
			return p
		}
		if time.Since(began) > *patience {
			t.Fatalf("after the backup %d windows are stored within %s, want %d", len(p["stored"]), *patience, stored)
		}
	}
}

// pieces is what facts say of the days of a dataset: their values by their keys, by fact.
type pieces map[string]map[string]string

func (s *site) pieces(t *testing.T, dataset string) pieces {
	t.Helper()
	p := pieces{}
	for _, fact := range []string{"collected", "validated", "stored"} {
		p[fact] = s.records(t, "almanac.fact."+fact)
		maps.DeleteFunc(p[fact], func(key, _ string) bool { return !strings.HasPrefix(key, "almanac.fact."+fact+" "+dataset+"//") })
	}
	return p
}

// again holds what is collected in the end to what was at the point: the same where a window was stored. Of those that were under way some are collected again, and
// some go on, where their rows were in the warehouse already. What was stored between the point and the loss was under way at the point.
func (p pieces) again(t *testing.T, after, lost pieces) {
	t.Helper()
	same, again, late := 0, 0, 0
	for key, value := range p["collected"] {
		window := strings.Replace(key[:strings.LastIndexByte(key, '/')]+"/0", ".collected ", ".stored ", 1)
		_, done := p["stored"][window]
		unchanged := after["collected"][key] == value
		switch {
		case done && !unchanged:
			t.Errorf("%s was stored, and is collected again", key)
		case done:
			same++
		case !unchanged:
			again++
		}
		if lost["stored"][window] != "" && !done {
			late++
		}
	}
	if same == 0 || again == 0 || late == 0 {
		t.Error("nothing was stored at the point, nothing under way, or nothing stored after it, so that nothing is shown")
	}
	t.Logf("of %d slices that were collected, %d were stored, and stayed; %d of the others are collected again; %d were stored after the point", len(p["collected"]), same, again, late)
}

// restore runs restore.yml, killed once if a flag says so.
func (s *site) restore(t *testing.T, run string) {
	t.Helper()
	if *kill > 0 {
		out, err := s.playFor(t, *kill, "restore.yml", "-i", s.inventory)
		tasks := regexp.MustCompile(`TASK \[([^\]]*)\]`).FindAllStringSubmatch(out, -1)
		if err == nil || len(tasks) == 0 {
			t.Fatalf("restore.yml = %v before it was killed after %s:\n%s", err, *kill, tail(out))
		}
		t.Logf("restore.yml is killed after %s in its task %d: %s", *kill, len(tasks), tasks[len(tasks)-1][1])
	}
	began := time.Now()
	out, err := s.playbook(t, s.inventory, "restore.yml")
	if err != nil || !strings.Contains(out, "Backup "+run+" is restored") {
		t.Fatalf("restore.yml = %v:\n%s", err, tail(out))
	}
	t.Logf("restore.yml took %s: %s", time.Since(began).Round(time.Second), regexp.MustCompile(`Backup \S+ is restored[^.]*\.`).FindString(out))
}

// aside is where the state of a site is that was lost, until its restore was seen.
func (s *site) aside() string { return filepath.Join(s.inventory, ".lost", filepath.Base(s.dir)) }

// lost is the site to restore onto: that of -empty, or new machines in the place of those of this one. It has what lies in safe places, and no more: the keys, and the
// backups.
func (s *site) lost(t *testing.T, host, kept string) *site {
	t.Helper()
	to, keys := *s, t.TempDir()
	backups, err := os.Create(filepath.Join(t.TempDir(), "backups.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backups.Close() }()
	s.ssh(t, host, "tar -C / -cf - ."+kept, strings.NewReader(""), backups)
	s.copyKeys(t, keys)
	if *empty != "" {
		to.inventory = *empty
		to.dir, to.machines = filepath.Join(*empty, ".state"), machines(t, listed(t, *empty))
	} else {
		if _, err := os.Stat(s.aside()); err == nil {
			t.Fatalf("%s is left of a site whose restore failed: see whether anybody needs it, and move it away", s.aside())
		}
		for _, state := range []string{"absent", "started"} {
			if out, err := s.playbook(t, s.inventory, "lab.yml", "-e", "nspawn_state="+state); err != nil {
				t.Fatalf("lab.yml, %s = %v:\n%s", state, err, tail(out))
			}
			if state == "started" {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(s.aside()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(s.dir, s.aside()); err != nil {
				t.Fatal(err)
			}
		}
	}
	(&site{dir: keys}).copyKeys(t, to.dir)
	if _, err := backups.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	to.ssh(t, host, "tar -C / -xf -", backups, &strings.Builder{})
	return &to
}

// copyKeys copies what a restore asks for and no backup holds.
func (s *site) copyKeys(t *testing.T, to string) {
	t.Helper()
	for _, pattern := range []string{"secrets/backup/key", "openbao/unseal-*.key"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range found {
			copied := filepath.Join(to, filepath.Dir(pattern), filepath.Base(file))
			data, err := os.ReadFile(file)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(copied), 0o700)
			}
			if err == nil {
				err = os.WriteFile(copied, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// holds is what a site holds, as others than Almanac read it.
func (s *site) holds(t *testing.T) map[string]string {
	t.Helper()
	namenode, kdc := s.groups["namenodes"].Hosts[0], s.groups["kdc"].Hosts[0]
	hadoop := `set -o pipefail; export KRB5CCNAME=FILE:$(mktemp); trap 'rm -f ${KRB5CCNAME#FILE:}' EXIT; kinit -k -t /etc/almanac/keytabs/nn.keytab nn/$(hostname -f); `
	status, key := s.bao(t, http.MethodGet, "transit/keys/almanac-pseudonym", s.token(t, "ansible"), nil)
	if status != http.StatusOK {
		t.Errorf("OpenBao tells of its key: %d", status)
	}
	said := s.records(t, "almanac.fact.collected", "almanac.fact.stored", "almanac.fact.aggregated", "almanac.fact.released")
	var facts strings.Builder
	for _, key := range slices.Sorted(maps.Keys(said)) {
		facts.WriteString(key + " " + said[key] + "\n")
	}
	held := map[string]string{
		"files of HDFS": s.on(t, namenode, "", hadoop+
			`almanac-hadoop dfs -ls -R /almanac | grep -v '/[.]tmp-' | awk '{print $1, $3, $4, $1 ~ /^d/ ? "-" : $5, $8}' | sort`),
		"rights of HDFS": s.on(t, namenode, "", hadoop+
			`almanac-hadoop dfs -getfacl -R /almanac | awk 'BEGIN {RS = ""} !/\/[.]tmp-/ {gsub(/\n/, " "); print}' | sort`),
		"bytes of HDFS": s.on(t, namenode, "", hadoop+
			`almanac-hadoop dfs -ls -R /almanac | grep -v '/[.]tmp-' | awk '$1 ~ /^-/ {print $8}' | xargs almanac-hadoop dfs -checksum | sort`),
		"principals":       s.on(t, kdc, "", "kadmin.local listprincs | sort"),
		"facts":            facts.String(),
		"a key of OpenBao": fmt.Sprint(status, key["name"], key["keys"], key["latest_version"]),
	}
	for what, text := range held {
		if text == "" {
			t.Errorf("of %s nothing can be read", what)
		}
	}
	return held
}

// difference are the first lines that only one of two texts has.
func difference(was, is string) string {
	var said strings.Builder
	lines := map[string]int{}
	for line := range strings.Lines(was) {
		lines[line]++
	}
	for line := range strings.Lines(is) {
		lines[line]--
	}
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		if n := lines[line]; n != 0 && said.Len() < 3000 {
			said.WriteString(map[bool]string{true: "gone: ", false: "new: "}[n > 0] + strings.TrimSpace(line) + "\n")
		}
	}
	return said.String()
}

// records are the latest values of topics by the topic and the key of each.
func (s *site) records(t *testing.T, topics ...string) map[string]string {
	t.Helper()
	latest := map[string]string{}
	s.each(t, topics, func(r *kgo.Record) {
		if latest[r.Topic+" "+string(r.Key)] = string(r.Value); r.Value == nil {
			delete(latest, r.Topic+" "+string(r.Key))
		}
	})
	return latest
}

// served is the list of releases of each dataset, as serve gives it.
func (a *api) served(t *testing.T) map[string]string {
	t.Helper()
	status, body := a.get(t, "/v1/datasets", a.renewed(t))
	var list struct {
		Datasets []struct {
			Name string `json:"name"`
		} `json:"datasets"`
	}
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK || len(list.Datasets) == 0 {
		t.Fatalf("/v1/datasets = %d, %v: %s", status, err, body)
	}
	all := map[string]string{}
	for _, d := range list.Datasets {
		status, body := a.get(t, "/v1/datasets/"+d.Name+"/releases", a.renewed(t))
		if status != http.StatusOK {
			t.Fatalf("releases of %s = %d: %s", d.Name, status, body)
		}
		all[d.Name] = string(body)
	}
	return all
}
