package machines_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rule is the form of a line of audit.rules(7): a watch of a path, or a rule of system calls.
var rule = regexp.MustCompile(`^(-w /[\w./-]+ -p [rwxa]{1,4}|-a (always|never),exit( -F [a-z0-9]+(=|!=|>=|<=|>|<)[\w-]+)*( -S [a-z_]+(,[a-z_]+)*)( -F [a-z0-9]+(=|!=|>=|<=|>|<)[\w-]+)*) -k [\w-]+$`)

func TestFormsOfAuditRules(t *testing.T) {
	for line, want := range map[string]bool{
		"-w /etc/almanac -p wa -k almanac":                             true,
		"-a always,exit -F arch=b64 -S adjtimex,settimeofday -k clock": true,
		"-a always,exit -F arch=b64 -S execve -F auid!=unset -k root":  true,
		"-w etc/almanac -p wa -k almanac":                              false,
		"-w /etc/almanac -p wq -k almanac":                             false,
		"-w /etc/almanac -p wa":                                        false,
		"-a always,exit -F arch=b64 -S execve, -k root":                false,
		"-a exit -F arch=b64 -S execve -k root":                        false,
		"-a always,exit -F arch b64 -S execve -k root":                 false,
	} {
		if got := rule.MatchString(line); got != want {
			t.Errorf("%q is a rule: %v, want %v", line, got, want)
		}
	}
}

func TestAuditRulesHaveTheirForm(t *testing.T) {
	text, err := os.ReadFile(roles + "/base/templates/audit.rules.j2")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && !rule.MatchString(line) {
			t.Errorf("%q is no rule", line)
		}
	}
}

// TestAuditRulesAreWritten wants each rule on each machine to have its form, and to be among those that the audit loads; and the audit to run where it can.
func TestAuditRulesAreWritten(t *testing.T) {
	s := furnished(t)
	for _, host := range s.groups["almanac"].Hosts {
		loaded := strings.Split(s.on(t, host, "", "cat /etc/audit/audit.rules"), "\n")
		var rules int
		for line := range strings.Lines(s.on(t, host, "", "grep -v '^#' /etc/audit/rules.d/almanac.rules")) {
			rules++
			if line = strings.TrimSpace(line); !rule.MatchString(line) || !slices.Contains(loaded, line) {
				t.Errorf("%s: %q is no rule, or is not in audit.rules", host, line)
			}
		}
		if rules < 10 {
			t.Errorf("%s has %d rules of the audit, want 10 at least", host, rules)
		}
		want := "active"
		if s.on(t, host, "", "systemd-detect-virt --container || true") != "none" {
			want = "inactive" // its host's kernel is audited by its host
		}
		if got := s.on(t, host, "", "systemctl is-active auditd || true"); got != want {
			t.Errorf("auditd of %s is %s, want %s", host, got, want)
		}
		if mode := s.on(t, host, "", "stat --format %a:%U /etc/audit/rules.d/almanac.rules"); mode != "640:root" {
			t.Errorf("the rules of %s are %s, want 640:root", host, mode)
		}
	}
}

// TestWireGuardNamesTheOtherMachines compares the configuration of each machine with the inventory and with the keys of the others, and looks for the private ones on the
// controller.
func TestWireGuardNamesTheOtherMachines(t *testing.T) {
	s := furnished(t)
	hosts := s.groups["almanac"].Hosts
	public, private := map[string]string{}, map[string]string{}
	for _, host := range hosts {
		if !s.machines[host].WireGuard {
			t.Skip("the inventory has no base_wireguard")
		}
		private[host] = s.on(t, host, "", "cat /etc/wireguard/almanac.key")
		public[host] = s.on(t, host, "", "wg pubkey < /etc/wireguard/almanac.key")
	}
	state := strings.Join(slices.Collect(maps.Values(grown(t, s.dir))), "\n")
	for _, host := range hosts {
		var want []string
		for _, other := range hosts {
			if p := s.machines[other]; other != host {
				want = append(want, fmt.Sprintf("PublicKey = %s\nAllowedIPs = %s/32\nEndpoint = %s:51820", public[other], p.WireGuardAddress, p.Address))
			}
		}
		var got []string
		parts := strings.Split(s.on(t, host, "", "wg-quick strip almanac | sed '/^#/d'"), "[Peer]\n")
		for _, part := range parts[1:] {
			got = append(got, strings.TrimSpace(part))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the peers of %s are\n%s\nwant\n%s", host, strings.Join(got, "\n\n"), strings.Join(want, "\n\n"))
		}
		if strings.Contains(parts[0], "PrivateKey") || !strings.Contains(parts[0], "ListenPort = 51820") {
			t.Errorf("the part of %s itself is %q", host, parts[0])
		}
		if got := s.on(t, host, "", "stat --format %a:%U /etc/wireguard/almanac.conf /etc/wireguard/almanac.key"); got != "600:root\n600:root" {
			t.Errorf("configuration and key of %s are %q, want them for root alone", host, got)
		}
		if strings.Contains(state, private[host]) {
			t.Errorf("the private key of %s lies on the controller", host)
		}
		if found := s.on(t, host, private[host], "cat > /dev/shm/word; trap 'rm /dev/shm/word' EXIT; journalctl --quiet --no-pager -o cat | grep -qaFf /dev/shm/word && echo found; true"); found != "" {
			t.Errorf("the journal of %s holds its private key", host)
		}
	}
}

// disks are what makes a disk of a file hold something: the start of it, printed.
var disks = map[string]string{
	"dos":  `dd if=/dev/zero bs=446 count=1 status=none; printf '\0\0\0\0\203\0\0\0\0\010\0\0\144\0\0\0'; dd if=/dev/zero bs=48 count=1 status=none; printf '\125\252'`,
	"ext4": `truncate --size 8M /var/tmp/disk.new; mkfs.ext4 -q /var/tmp/disk.new; cat /var/tmp/disk.new; rm /var/tmp/disk.new`,
}

// TestDisksThatHoldSomethingAreRefused has a file of a machine be a disk that holds a table of partitions or a file system, and wants nothing to be done to it.
func TestDisksThatHoldSomethingAreRefused(t *testing.T) {
	s := furnished(t)
	host := s.groups["almanac"].Hosts[0]
	for holds, start := range disks {
		t.Run(holds, func(t *testing.T) {
			device := s.on(t, host, "", `{ `+start+`; } > /var/tmp/disk; truncate --size 32M /var/tmp/disk
				[ -e /dev/loop-control ] || mknod -m 600 /dev/loop-control c 10 237 || exit 0
				free=$(losetup --find) || exit 0
				[ -e "$free" ] || mknod -m 600 "$free" b 7 "${free#/dev/loop}" || exit 0
				losetup "$free" /var/tmp/disk && echo "$free"; true`)
			defer s.on(t, host, "", "rm -f /var/tmp/disk")
			if device == "" {
				t.Skip("the machine has no loop devices")
			}
			defer s.on(t, host, "", "losetup --detach "+device+"; ! systemd-detect-virt --quiet --container || rm -f "+device)
			before := s.on(t, host, "", "sha256sum < "+device)
			s.refused(t, device+" holds "+holds+", and nothing is done to it", "--tags", "base", "--limit", host,
				"-e", `{"base_luks_disks": [{"device": "`+device+`", "name": "trial", "path": "/srv/trial"}]}`)
			if after := s.on(t, host, "", "sha256sum < "+device); after != before {
				t.Errorf("%s holds something else now", device)
			}
			if left := s.on(t, host, "", "ls -d /etc/almanac/disks /srv/trial 2>/dev/null; true"); left != "" {
				t.Errorf("%s was made", left)
			}
		})
	}
}

// TestTheJournalKeepsWhatIsSaidFast has a unit say more than journald lets by itself in half a minute, on a disk that is empty: audit logs of servers go there.
func TestTheJournalKeepsWhatIsSaidFast(t *testing.T) {
	s := furnished(t)
	const lines = 100_000
	host := s.groups["almanac"].Hosts[0]
	unit := fmt.Sprintf("almanac-check-%d", time.Now().UnixNano())
	s.on(t, host, "", fmt.Sprintf("systemd-run --quiet --wait --unit=%s seq %d && journalctl --sync", unit, lines))
	kept := s.on(t, host, "", fmt.Sprintf("journalctl --output=cat --no-pager --unit=%s | grep -cxE '[0-9]+'", unit))
	if n, err := strconv.Atoi(strings.TrimSpace(kept)); err != nil || n != lines {
		t.Errorf("the journal has %s of %d lines (%v)", strings.TrimSpace(kept), lines, err)
	}
}
