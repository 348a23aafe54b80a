package machines_test

import (
	"bytes"
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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	backups = flag.Bool("backups", false, "take backups, drill them, and harm copies of them, which takes its time")
	empty   = flag.String("empty", "", "the `folder` of an inventory of the same site on machines that lab.yml has just made: a backup is restored onto them; without it none is")
)

// playbook runs one on the inventory, and returns what it said in one line.
func (s *site) playbook(t *testing.T, inventory, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(*ansible), "ansible-playbook"), append([]string{"-i", inventory, name}, args...)...)
	cmd.Dir = "../../ansible"
	out, err := cmd.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}

// repository is the folder on the NameNode's machine where the inventory keeps backups.
func (s *site) repository(t *testing.T) (host, folder string) {
	t.Helper()
	if !*backups {
		t.Skip("no -backups is given")
	}
	host = s.groups["namenodes"].Hosts[0]
	out, err := exec.CommandContext(t.Context(), *ansible, "-i", *inventory, "--host", host, "--yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^backup_repository: (/\S+)$`).FindSubmatch(out)
	if found == nil {
		t.Skip("backup_repository of the inventory is no folder, of which a copy could be harmed")
	}
	return host, string(found[1])
}

// backUp takes a backup, and returns its name.
func (s *site) backUp(t *testing.T) string {
	t.Helper()
	out, err := s.playbook(t, *inventory, "backup.yml")
	found := regexp.MustCompile(`Backup (\d{8}T\d{6}Z) is whole`).FindStringSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("backup.yml = %v:\n%s", err, tail(out))
	}
	return found[1]
}

// TestABackupIsWholeOrRefused takes a backup, drills it, and harms copies of the repository.
func TestABackupIsWholeOrRefused(t *testing.T) {
	s := furnished(t)
	host, kept := s.repository(t)
	run := s.backUp(t)
	if left := s.on(t, host, "", "ls -d /run/almanac-backup /var/lib/almanac/backup/parts 2>/dev/null; true"); left != "" {
		t.Errorf("what opens the backups, or parts of one, lie on the machine after it: %s", left)
	}
	if note := s.on(t, host, "", "cat /var/lib/prometheus/node-exporter/backup.prom"); !strings.Contains(note, `almanac_backup_completed_timestamp_seconds{backup="site"} 1`) {
		t.Errorf("Prometheus is told %s", note)
	}
	if names := s.on(t, host, "", "find "+kept+" -type f | xargs grep -lsaE 'almanac.fact|BEGIN (EC )?PRIVATE KEY|krbtgt' | head -n 3"); names != "" {
		t.Errorf("these files of the repository can be read by anybody: %s", names)
	}
	began := time.Now()
	out, err := s.playbook(t, *inventory, "drill.yml")
	if err != nil || !strings.Contains(out, "Backup "+run+" can be restored") {
		t.Fatalf("drill.yml = %v:\n%s", err, tail(out))
	}
	t.Logf("drill.yml took %s: %s", time.Since(began).Round(time.Second), regexp.MustCompile(`Backup \S+ can be restored.*? old\.`).FindString(out))

	harmed := kept + "-harmed"
	other := t.TempDir()
	if err := os.MkdirAll(filepath.Join(other, "secrets", "backup"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "secrets", "backup", "key"), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	newest := `$(ls -t ` + harmed + `/snapshots/* | head -n 1)`
	tests := map[string]struct {
		harm string // to a copy of the repository
		args []string
		says string
	}{
		"a byte of the data is another": {`f=$(ls -S ` + harmed + `/data/*/* | head -n 1); chmod u+w $f
			printf X | dd of=$f bs=1 seek=1000 conv=notrunc status=none; rm -rf /var/cache/almanac-backup`, nil, "is damaged"},
		"a file of the data is gone":        {`rm -f $(ls -S ` + harmed + `/data/*/* | head -n 1); rm -rf /var/cache/almanac-backup`, nil, "is damaged"},
		"it ended before its manifest":      {"rm -f " + newest, []string{"-e", "backup_run=" + run}, "Backup " + run + " is partial"},
		"there is none of that name":        {"true", []string{"-e", "backup_run=20010105T120000Z"}, "Backup 20010105T120000Z is not in the repository"},
		"it is another site's":              {"true", []string{"-e", "almanac_realm=OTHER.TEST"}, "this inventory is almanac.test, realm OTHER.TEST"},
		"the key is another":                {"true", []string{"-e", "almanac_state=" + other}, "it is the key of other backups"},
		"the second place is not mounted":   {"rm -rf " + harmed + "; mkdir " + harmed, nil, "the place holds none"},
		"the second place is another's too": {"sed -i s/./x/ " + harmed + "/config 2>/dev/null || { chmod u+w " + harmed + "/config; sed -i s/./x/ " + harmed + "/config; }", nil, "cannot be opened"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.on(t, host, "", "rm -rf "+harmed+"; cp -a "+kept+" "+harmed+"; "+tt.harm)
			defer s.on(t, host, "", "rm -rf "+harmed)
			out, err := s.playbook(t, *inventory, "drill.yml", append(tt.args, "-e", "backup_repository="+harmed)...)
			if err == nil || !strings.Contains(out, tt.says) {
				t.Errorf("drill.yml = %v, want it to say %q:\n%s", err, tt.says, tail(out))
			}
		})
	}
	if note := s.on(t, host, "", "cat /var/lib/prometheus/node-exporter/drill.prom"); !strings.Contains(note, "almanac_drill_success 0") {
		t.Errorf("after a drill that failed Prometheus is told %s", note)
	}
	if out, err := s.playbook(t, *inventory, "drill.yml"); err != nil {
		t.Errorf("drill.yml of what was not harmed = %v:\n%s", err, tail(out))
	}
}

// TestARestoreNeverGoesOverData restores onto machines that are in use.
func TestARestoreNeverGoesOverData(t *testing.T) {
	s := furnished(t)
	s.repository(t)
	out, err := s.playbook(t, *inventory, "restore.yml")
	if err == nil || !strings.Contains(out, "and a restore never goes over any") {
		t.Errorf("restore.yml = %v, want it refused:\n%s", err, tail(out))
	}
	if changed := regexp.MustCompile(`changed=[1-9]`).FindString(out); changed != "" {
		t.Errorf("it was refused after something was changed: %s", changed)
	}
}

// TestARestoreBringsAllBack backs up one site, restores it onto empty machines that bear its names, and compares both by the servers' own clients.
func TestARestoreBringsAllBack(t *testing.T) {
	s := furnished(t)
	if *empty == "" {
		t.Skip("no -empty is given")
	}
	host, kept := s.repository(t)
	run := s.backUp(t)
	want := s.holds(t)
	state := filepath.Join(*empty, ".state")
	for _, pattern := range []string{"secrets/backup/key", "openbao/unseal-*.key"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range found {
			to := filepath.Join(state, filepath.Dir(pattern), filepath.Base(file))
			data, err := os.ReadFile(file)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(to), 0o700)
			}
			if err == nil {
				err = os.WriteFile(to, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	to := &site{dir: state, groups: s.groups, addresses: addresses(t, listed(t, *empty)), ca: s.ca}
	s.pour(t, to, host, kept)
	began := time.Now()
	out, err := s.playbook(t, *empty, "restore.yml")
	if err != nil || !strings.Contains(out, "Backup "+run+" is restored") {
		t.Fatalf("restore.yml = %v:\n%s", err, tail(out))
	}
	t.Logf("restore.yml took %s: %s", time.Since(began).Round(time.Second), regexp.MustCompile(`Backup \S+ is restored[^.]*\.`).FindString(out))
	for what, got := range to.holds(t) {
		if got != want[what] {
			t.Errorf("%s is another after the restore:\n%s\nwas\n%s", what, got, want[what])
		}
	}
}

// pour copies a folder from a machine of one site to the machine of the same name of another, by way of this one.
func (s *site) pour(t *testing.T, to *site, host, folder string) {
	t.Helper()
	ssh := func(s *site, command string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "ssh", "-q", "-i", filepath.Join(s.dir, "ssh", "id_ed25519"), "-o", "UserKnownHostsFile="+filepath.Join(s.dir, "ssh", "known_hosts"),
			"root@"+s.addresses[host], command)
	}
	out, in := ssh(s, "tar -C / -cf - ."+folder), ssh(to, "tar -C / -xf -")
	var errs bytes.Buffer
	pipe, err := out.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in.Stdin, in.Stderr, out.Stderr = pipe, &errs, &errs
	if err := out.Start(); err != nil {
		t.Fatal(err)
	}
	if err := in.Run(); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, errs.String()))
	}
	if err := out.Wait(); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, errs.String()))
	}
}

// holds is what a site holds, as others than Almanac read it.
func (s *site) holds(t *testing.T) map[string]string {
	t.Helper()
	namenode, kdc := s.groups["namenodes"].Hosts[0], s.groups["kdc"].Hosts[0]
	hadoop := `export KRB5CCNAME=FILE:$(mktemp); trap 'rm -f ${KRB5CCNAME#FILE:}' EXIT; kinit -k -t /etc/almanac/keytabs/nn.keytab nn/$(hostname -f); `
	status, key := s.bao(t, http.MethodGet, "transit/keys/almanac-pseudonym", s.token(t, "ansible"), nil)
	return map[string]string{
		"files of HDFS": s.on(t, namenode, "", hadoop+
			`almanac-hadoop dfs -ls -R /almanac | grep -v '/[.]tmp-' | awk '{print $1, $3, $4, $1 ~ /^d/ ? "-" : $5, $8}' | sort`),
		"bytes of HDFS": s.on(t, namenode, "", hadoop+
			`almanac-hadoop dfs -find /almanac -name '*.*' | grep -v '/[.]' | sort | xargs -r almanac-hadoop dfs -checksum 2>/dev/null | sort`),
		"principals":       s.on(t, kdc, "", "kadmin.local listprincs | sort"),
		"facts":            s.records(t, "almanac.fact.collected", "almanac.fact.stored", "almanac.fact.aggregated", "almanac.fact.released"),
		"a key of OpenBao": fmt.Sprint(status, key["name"], key["keys"], key["latest_version"]),
	}
}

// records are the latest of each key of topics.
func (s *site) records(t *testing.T, topics ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := s.client(t, "9092", s.trusting(), password("admin", s.file(t, "secrets", "kafka", "admin")), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	latest, left := map[string]string{}, map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Topic] = o.Offset
		}
	})
	for len(left) > 0 {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			if latest[r.Topic+" "+string(r.Key)] = string(r.Value); r.Value == nil {
				delete(latest, r.Topic+" "+string(r.Key))
			}
			if r.Offset+1 >= left[r.Topic] {
				delete(left, r.Topic)
			}
		})
	}
	var all strings.Builder
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		all.WriteString(key + " " + latest[key] + "\n")
	}
	return all.String()
}
