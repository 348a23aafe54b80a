package machines_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var backups = flag.Bool("backups", false, "take backups, drill them, and harm copies of them, which takes its time")

// playbook runs one on the inventory, and returns what it said in one line.
func (s *site) playbook(t *testing.T, inventory, name string, args ...string) (string, error) {
	t.Helper()
	return s.playFor(t, 50*time.Minute, name, append([]string{"-i", inventory}, args...)...)
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
	began := time.Now()
	run := s.backUp(t)
	ended := time.Now()
	for _, machine := range s.groups["almanac"].Hosts {
		if left := s.on(t, machine, "", "ls -d /run/almanac-backup /var/lib/almanac/backup/parts 2>/dev/null; true"); left != "" {
			t.Errorf("what opens the backups, or parts of one, lie on %s after it: %s", machine, left)
		}
	}
	if note := s.on(t, host, "", "cat /var/lib/prometheus/node-exporter/backup.prom"); !strings.Contains(note, `almanac_backup_completed_timestamp_seconds{backup="site"} 1`) {
		t.Errorf("Prometheus is told %s", note)
	}
	if names := s.on(t, host, "", "find "+kept+" -type f | xargs grep -lsaE 'almanac.fact|BEGIN (EC )?PRIVATE KEY|krbtgt' | head -n 3"); names != "" {
		t.Errorf("these files of the repository can be read by anybody: %s", names)
	}
	s.drilled(t, host, run, began, ended)

	s.harmed(t, run, func(t *testing.T, says string, args ...string) {
		t.Helper()
		out, err := s.playbook(t, *inventory, "drill.yml", args...)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("drill.yml = %v, want it to say %q:\n%s", err, says, tail(out))
		}
	})
	if note := s.on(t, host, "", "cat /var/lib/prometheus/node-exporter/drill.prom"); !strings.Contains(note, "almanac_drill_success 0") {
		t.Errorf("after a drill that failed Prometheus is told %s", note)
	}
	s.drilled(t, host, run, began, ended)
}

// harm is what is done to a copy of a repository, and what is said of it.
type harm struct {
	harm string
	args []string
	says string
}

// harmed harms copies of the repository, in which the backup run is the newest, one after the other, and has each met by what uses it with these arguments.
func (s *site) harmed(t *testing.T, run string, meets func(t *testing.T, says string, args ...string)) {
	t.Helper()
	host, kept := s.repository(t)
	harmed := kept + "-harmed"
	for name, tt := range s.harms(t, run, harmed) {
		t.Run(name, func(t *testing.T) {
			s.on(t, host, "", "rm -rf "+harmed+"; cp -a "+kept+" "+harmed+"; "+tt.harm)
			defer s.on(t, host, "", "rm -rf "+harmed)
			meets(t, tt.says, append(tt.args, "-e", "backup_repository="+harmed)...)
		})
	}
}

// harms are those of a copy of a repository, in which the backup run is the newest.
func (s *site) harms(t *testing.T, run, harmed string) map[string]harm {
	t.Helper()
	other := s.otherState(t, func(state string) error {
		return os.WriteFile(filepath.Join(state, "secrets", "backup", "key"), []byte("another\n"), 0o600)
	})
	largest := "$(ls -S " + harmed + "/data/*/* | head -n 1)"
	// A file may also hold what only older backups need, so a byte of each large one is turned round, and of the largest; the manifest lies in a small one.
	turned := `for f in $({ find ` + harmed + `/data -type f -size +256k; echo ` + largest + `; } | sort -u); do
		at=$(($(stat --format %s $f) / 2)); was=$(od -An -tu1 -j $at -N 1 $f)
		chmod u+w $f; printf "\\$(printf %o $((255 - was)))" | dd of=$f bs=1 seek=$at conv=notrunc status=none; done`
	return map[string]harm{
		"bytes of the data are others":  {turned, nil, "is damaged"},
		"a file of the data is gone":    {"rm -f " + largest, nil, "is damaged"},
		"it ended before its manifest":  {"rm -f $(ls -t " + harmed + "/snapshots/* | head -n 1)", []string{"-e", "backup_run=" + run}, "Backup " + run + " is partial"},
		"there is none of that name":    {"true", []string{"-e", "backup_run=20010105T120000Z"}, "Backup 20010105T120000Z is not in the repository"},
		"it is another site's":          {"true", []string{"-e", "almanac_realm=OTHER.TEST"}, "this inventory is almanac.test, realm OTHER.TEST"},
		"the key is another":            {"true", []string{"-e", "almanac_state=" + other}, "it is the key of other backups"},
		"the second place is not there": {"rm -rf " + harmed + "; mkdir " + harmed, nil, "the place holds none"},
		"its configuration is damaged":  {"chmod u+w " + harmed + "/config; sed -i s/./x/ " + harmed + "/config", nil, "cannot be opened"},
	}
}

// otherState is a copy of the controller's state in which something is changed.
func (s *site) otherState(t *testing.T, change func(state string) error) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", s.dir, state).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := change(state); err != nil {
		t.Fatal(err)
	}
	return state
}
