package machines_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var unplugged = flag.Bool("cut", false, "kernel.sh cut has ended the machines amid what they did, since these tests were run, and they were started again")

// kernels are machines that share their kernel with nobody: what is tested here is not there in a container, or is its host's.
func kernels(t *testing.T) (*site, []string) {
	t.Helper()
	s := furnished(t)
	hosts := s.groups["almanac"].Hosts
	for _, host := range hosts {
		if s.on(t, host, "", "systemd-detect-virt --container || true") != "none" {
			t.Skipf("%s is a container", host)
		}
	}
	return s, hosts
}

// key is the name of a rule of the audit.
func key(rule string) string {
	for _, before := range []string{"-k ", "key="} {
		if _, after, found := strings.Cut(rule, before); found {
			return strings.TrimSpace(after)
		}
	}
	return ""
}

// TestTheKernelAudits wants the kernel to have each rule, and changes something, and has root do something, which the audit must tell of and of who it was.
func TestTheKernelAudits(t *testing.T) {
	s, hosts := kernels(t)
	for _, host := range hosts {
		keys := func(command string) (all []string) {
			for line := range strings.Lines(s.on(t, host, "", command)) {
				if k := key(line); k != "" {
					all = append(all, k)
				}
			}
			slices.Sort(all)
			return all
		}
		if written, has := keys("grep -v '^#' /etc/audit/rules.d/almanac.rules"), keys("auditctl -l"); !slices.Equal(written, has) {
			t.Errorf("%s: the kernel audits %q, want %q", host, has, written)
		}
		if state := s.on(t, host, "", "auditctl -s"); !strings.Contains(state, "enabled 1") {
			t.Errorf("%s does not audit: %s", host, state)
		}
		word := fmt.Sprintf("check-%d", time.Now().UnixNano())
		s.on(t, host, "", "touch /etc/almanac/"+word+" && rm /etc/almanac/"+word+" && /usr/bin/env true "+word)
		who := s.on(t, host, "", "cat /proc/self/loginuid")
		for k, says := range map[string]string{"almanac": `name="/etc/almanac/` + word + `"`, "root": `"` + word + `"`} {
			found := s.on(t, host, "", "sync; for i in 1 2 3 4 5; do ausearch --input-logs --raw -k "+k+" --start recent 2>/dev/null | grep -F '"+says+"' && break; sleep 1; done; true")
			if found == "" {
				t.Errorf("%s: the audit does not tell of %s by its rule %s", host, says, k)
			}
		}
		if told := s.on(t, host, "", "ausearch --input-logs --raw -k root --start recent | grep -c ' auid="+who+" ' || true"); who == "4294967295" || told == "0" {
			t.Errorf("%s: the audit does not tell that %s was root", host, who)
		}
	}
}

// TestTheKernelIsSet asks the kernel for each of its settings.
func TestTheKernelIsSet(t *testing.T) {
	s, hosts := kernels(t)
	for _, host := range hosts {
		var names, want []string
		for line := range strings.Lines(s.on(t, host, "", "grep -v '^#' /etc/sysctl.d/99-z-almanac.conf")) {
			if name, value, ok := strings.Cut(line, "="); ok {
				names, want = append(names, strings.TrimSpace(name)), append(want, strings.TrimSpace(value))
			}
		}
		if len(names) < 10 {
			t.Errorf("%s has %d settings of the kernel, want 10 at least", host, len(names))
		}
		got := strings.Split(s.on(t, host, "", "sysctl -n "+strings.Join(names, " ")), "\n")
		if !slices.Equal(got, want) {
			t.Errorf("%s: the kernel's %v are %v, want %v", host, names, got, want)
		}
	}
}

// TestTheClockAndUpdatesRun wants chrony to ask all servers of the inventory, and security updates to come by themselves.
func TestTheClockAndUpdatesRun(t *testing.T) {
	s, hosts := kernels(t)
	for _, host := range hosts {
		servers := count(t, s.on(t, host, "", "grep -cE '^(server|pool) ' /etc/chrony/chrony.conf"))
		asked := 0
		for line := range strings.Lines(s.on(t, host, "", "chronyc -n activity | grep -E 'sources? '")) {
			if n, err := strconv.Atoi(strings.Fields(line)[0]); err == nil {
				asked += n
			}
		}
		if servers == 0 || asked < servers {
			t.Errorf("%s: chrony knows %d sources, want %d at least", host, asked, servers)
		}
		if got := s.on(t, host, "", "systemctl is-active chrony auditd apt-daily.timer apt-daily-upgrade.timer || true"); got != "active\nactive\nactive\nactive" {
			t.Errorf("%s: of chrony, auditd and the timers of updates some do not run: %q", host, got)
		}
		if got := s.on(t, host, "", "systemctl is-enabled nftables; nft list chain inet almanac input | grep -o 'policy drop' || true"); got != "enabled\npolicy drop" {
			t.Errorf("%s: what nothing opens is not denied, or not at its next start: %q", host, got)
		}
		if failed := s.on(t, host, "", "systemctl list-units --failed --no-legend --plain"); failed != "" {
			t.Errorf("%s: units have failed: %s", host, failed)
		}
	}
}

// TestWireGuardCarriesWhatPasses sends a word from machine to machine, and has one speak to the other by its name, while all that passes between them is listened to.
// It must be in no packet, and those must all be WireGuard's; what is sent around it must be heard, or nothing was proved.
func TestWireGuardCarriesWhatPasses(t *testing.T) {
	s, hosts := kernels(t)
	if !*capture {
		t.Skip("no -capture is given")
	}
	from, to := hosts[0], hosts[1]
	if !s.machines[from].WireGuard {
		t.Skip("the inventory has no base_wireguard")
	}
	heard := overhear(t, "tcpdump", "-i", "almanac-lab", "host", s.machines[from].Address, "and", "host", s.machines[to].Address)
	sealed, open := []byte("almanac-is-shut."), []byte("almanac-in-clear")
	ping := func(address string, word []byte) {
		s.on(t, from, "", fmt.Sprintf("ping -c 3 -i 0.3 -s 64 -p %s %s", hex.EncodeToString(word), address))
	}
	ping(s.machines[to].WireGuardAddress, sealed)
	ping(s.machines[to].Address, open)
	if banner := s.on(t, to, "", "exec 3<>/dev/tcp/"+from+"/22; head -c 7 <&3"); banner != "SSH-2.0" {
		t.Errorf("%s hears %q of sshd of %s", to, banner, from)
	}
	packets := heard()
	if !bytes.Contains(packets, open) {
		t.Fatal("what was sent around WireGuard was not heard")
	}
	if bytes.Contains(packets, sealed) {
		t.Error("what was sent through WireGuard passes in clear")
	}
	file := filepath.Join(t.TempDir(), "packets")
	if err := os.WriteFile(file, packets, 0o600); err != nil {
		t.Fatal(err)
	}
	others, err := exec.Command("tcpdump", "-Z", "root", "-n", "-r", file, "not udp port 51820 and not icmp and not arp").Output()
	if err != nil || len(others) > 0 {
		t.Errorf("beside WireGuard there pass %q, %v", others, err)
	}
	if ours, err := exec.Command("tcpdump", "-Z", "root", "-n", "-r", file, "udp port 51820").Output(); err != nil || bytes.Count(ours, []byte("\n")) < 6 {
		t.Errorf("of WireGuard there pass %d packets: %v", bytes.Count(ours, []byte("\n")), err)
	}
	for _, host := range hosts {
		for line := range strings.Lines(s.on(t, host, "", "wg show almanac latest-handshakes")) {
			if f := strings.Fields(line); len(f) != 2 || f[1] == "0" {
				t.Errorf("%s has not shaken hands with %q", host, line)
			}
		}
	}
}

// TestTheDiskIsSealed writes a word to an encrypted disk, and looks for it on the device. With -cut it wants what was written before the cut.
func TestTheDiskIsSealed(t *testing.T) {
	s, hosts := kernels(t)
	if *emptied {
		t.Skip("the disks were erased")
	}
	const kept = "what was written before the plug was pulled"
	for _, host := range hosts {
		if got := s.on(t, host, "", "findmnt --noheadings --output SOURCE,FSTYPE /srv/data | tr -s ' '"); got != "/dev/mapper/data ext4" {
			t.Fatalf("%s: /srv/data is %q", host, got)
		}
		options := s.on(t, host, "", "findmnt --noheadings --output OPTIONS /srv/data")
		for _, option := range []string{"nodev", "nosuid", "noatime"} {
			if !strings.Contains(options, option) {
				t.Errorf("%s: /srv/data is mounted with %s, want %s", host, options, option)
			}
		}
		if got := s.on(t, host, "", "stat --format %a:%U /etc/almanac/disks /etc/almanac/disks/*; cryptsetup luksDump /dev/disk/by-id/virtio-data | awk '/^Version/ {print $2}'"); got != "700:root\n400:root\n2" {
			t.Errorf("%s: the key is %q, want it for root alone, and LUKS of version 2", host, got)
		}
		word := fmt.Sprintf("sealed-%d-by-%s", time.Now().UnixNano(), host)
		found := s.on(t, host, word, `cat > /srv/data/word && sync && echo 3 > /proc/sys/vm/drop_caches
			for device in /dev/mapper/data /dev/disk/by-id/virtio-data; do grep -acF "$(cat /srv/data/word)" $device || true; done; rm /srv/data/word`)
		if found != "1\n0" {
			t.Errorf("%s: a word is %q times on what is opened and on the device, want once and never", host, found)
		}
		if *unplugged {
			if got := s.on(t, host, "", "cat /srv/data/kept"); got != kept {
				t.Errorf("%s: of what was written before the cut %q is left", host, got)
			}
		}
		s.on(t, host, kept, "cat > /srv/data/kept && sync")
	}
}

// TestTheDiskIsErased asks machines that destroy.yml has emptied for their disk: nothing opens it any more, and no start looks for it.
func TestTheDiskIsErased(t *testing.T) {
	s, hosts := kernels(t)
	if !*emptied {
		t.Skip("no -bare is given")
	}
	for _, host := range hosts {
		if left := s.on(t, host, "", `blkid --probe --match-tag TYPE /dev/disk/by-id/virtio-data; cryptsetup isLuks /dev/disk/by-id/virtio-data && echo LUKS
			ls -d /dev/mapper/data /srv/data/* /etc/almanac/disks 2>/dev/null; grep -hE 'data' /etc/crypttab /etc/fstab; ip -brief link show almanac 2>/dev/null; true`); left != "" {
			t.Errorf("%s still has %s", host, left)
		}
	}
}
