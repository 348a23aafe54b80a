package machines_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var emptied = flag.Bool("bare", false, "destroy.yml has just emptied the machines: ask what is left")

// leftovers prints what of Almanac is on a machine, in a line each, but for what stays so that it can be reached: sshd, people, the clock, the audit, and packages that apt has kept. Backups are kept in
// KEPT, which a site has elsewhere.
const leftovers = `
	systemctl list-unit-files --no-legend --plain 'almanac*' 'openbao*' 'kafka*' 'prometheus*' 'grafana*' 'haproxy*' 'krb5-*' | sed 's/^/unit file: /'
	systemctl list-units --all --no-legend --plain 'almanac*' 'openbao*' 'kafka*' 'prometheus*' 'grafana*' 'haproxy*' 'krb5-*' | sed 's/^/unit: /'
	systemctl list-units --failed --no-legend --plain | sed 's/^/failed: /'
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /usr/share -o -path /var/cache/apt -o -path KEPT \) -prune -o \
		\( -iname '*almanac*' -o -iname '*openbao*' -o -iname '*kafka*' -o -iname '*hadoop*' -o -iname '*prometheus*' -o -name 'spark*' -o -name '*.keytab' \) -print |
		grep -vE '^(/etc/ssh/sshd_config.d/10-almanac.conf|/etc/sudoers.d/almanac)$' | sed 's/^/file: /'
	find /run /tmp /dev/shm -iname '*almanac*' | grep -v '^/run/host' | sed 's/^/file: /'
	find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o \( -nouser -o -nogroup \) -print | head -n 10 | sed 's/^/nobody owns: /'
	getent passwd | grep -E '^(almanac-.*|haproxy|hdfs|kafka|krb5kdc|openbao|prometheus|spark|yarn|grafana):' | sed 's/^/user: /'
	getent group | grep -E '^(almanac.*|hadoop|haproxy|hdfs|kafka|krb5kdc|openbao|prometheus|spark|yarn|grafana):' | sed 's/^/group: /'
	nft list tables 2>/dev/null | grep -w almanac | sed 's/^/firewall: /'
	grep -n almanac /etc/hosts /etc/fstab /etc/crypttab 2>/dev/null
	ss -Hltn | awk '$4 !~ /:22$/ {print "listens: " $4}'
	ps -eo user:20=,comm= | grep -E ' (java|bao|almanac.*|prometheus.*|haproxy|krb5kdc|grafana.*)$' | sed 's/^/runs: /'
	true`

// TestNothingIsLeft asks machines that were destroyed what they hold, and knocks at their doors.
func TestNothingIsLeft(t *testing.T) {
	s := furnished(t)
	if !*emptied {
		t.Skip("no -bare is given")
	}
	kept := "/srv/almanac-backup"
	if *backups {
		_, kept = s.repository(t)
	}
	for _, host := range s.groups["almanac"].Hosts {
		if left := s.on(t, host, "", strings.ReplaceAll(leftovers, "KEPT", kept)); left != "" {
			t.Errorf("%s still has:\n%s", host, left)
		}
		knock(t, s.machines[host].Address, []string{"22", "88", "7071", "8020", "8200", "8443", "9091", "9092", "9093", "9094", "9100", "9866", "9871", "15002"}, nil, []string{"22"})
	}
}

// TestABadBackupIsNotRestored has machines that were destroyed take backups that are harmed, and unseal keys that do not fit. Each must be refused, and leave the machines without
// data and the controller with its state.
func TestABadBackupIsNotRestored(t *testing.T) {
	s := furnished(t)
	if !*emptied {
		t.Skip("no -bare is given")
	}
	s.repository(t)
	holds := func() string {
		t.Helper()
		var all strings.Builder
		for _, host := range s.groups["almanac"].Hosts {
			all.WriteString(s.on(t, host, "", `ls -d /etc/almanac /var/lib/almanac-restoring /var/lib/almanac-drill /etc/systemd/system/almanac-* /run/systemd/system/almanac-* /run/almanac-* \
				/var/lib/openbao/* /var/lib/kafka /var/lib/krb5kdc /var/lib/hdfs 2>/dev/null; ss -Hltn | awk '$4 !~ /:22$/ {print $4}'; true`))
		}
		return all.String()
	}
	if there := holds(); there != "" {
		t.Fatalf("the machines were not emptied: %s", there)
	}
	state := s.digests(t)
	refused := func(t *testing.T, says string, args ...string) {
		t.Helper()
		out, err := s.playbook(t, *inventory, "restore.yml", args...)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("restore.yml = %v, want it to say %q:\n%s", err, says, tail(out))
		}
		if there := holds(); there != "" {
			t.Errorf("after it was refused the machines hold %s", there)
		}
		if now := s.digests(t); now != state {
			t.Errorf("after it was refused the state of the controller is another:\n%s", difference(state, now))
		}
	}
	out, _ := s.playbook(t, *inventory, "restore.yml", "-e", "backup_run=20010105T120000Z") // it is refused below
	runs := regexp.MustCompile(`Whole are: ([\dTZ, ]+)\.`).FindStringSubmatch(out)
	if runs == nil {
		t.Fatalf("restore.yml does not say what backups there are:\n%s", tail(out))
	}
	s.harmed(t, runs[1][strings.LastIndexByte(runs[1], ' ')+1:], refused)
	t.Run("too few unseal keys", func(t *testing.T) {
		refused(t, "3 unseal keys open the OpenBao of the backup, which does not hold them, and ", "-e", "almanac_state="+s.otherState(t, twoKeys))
		if s.on(t, s.groups["secrets"].Hosts[0], "", "ls -d /opt/openbao* 2>/dev/null; true") != "" {
			t.Error("they were refused after OpenBao was installed")
		}
	})
	t.Run("a wrong unseal key", func(t *testing.T) {
		other := *s
		other.dir = s.otherState(t, wrongKey)
		was := other.digests(t)
		refused(t, "are not those of the OpenBao that was backed up. Put those there that were made when its data was, and run this again. "+
			"Neither the controller's state nor data of the machines were changed.", "-e", "almanac_state="+other.dir)
		if now := other.digests(t); now != was {
			t.Errorf("after it was refused the state of the controller is another:\n%s", difference(was, now))
		}
	})
}

// digests are those of all files of the state, in a line each.
func (s *site) digests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files := grown(t, s.dir)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&all, "%s %x\n", name, sha256.Sum256([]byte(files[name])))
	}
	return all.String()
}
