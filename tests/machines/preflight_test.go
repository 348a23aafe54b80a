package machines_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBadInventoriesAreRefused gives Ansible bad inputs, one at a time. Each must be refused with a sentence, and before anything is changed.
func TestBadInventoriesAreRefused(t *testing.T) {
	s := furnished(t)
	host := s.groups["secrets"].Hosts[0]
	tests := map[string]struct {
		inventory string // beside that of the site
		vars      string
		says      string
	}{
		"an even number of controllers": {"kafka_controllers: {hosts: {other.almanac.test: {ansible_host: 10.77.0.99, kafka_node_id: 99}}}", "",
			fmt.Sprintf("The group kafka_controllers has %d machines", len(s.groups["kafka_controllers"].Hosts)+1)},
		"two machines with one number": {"kafka_brokers: {hosts: {other.almanac.test: {ansible_host: 10.77.0.99, kafka_node_id: 1}}}", "",
			host + " and other.almanac.test have the same kafka_node_id"},
		"two machines with one address": {"strays: {hosts: {other.almanac.test: {ansible_host: " + s.machines[host].Address + "}}}", "",
			"have the same ansible_host"},
		"a broker without a number": {"kafka_brokers: {hosts: {other.almanac.test: {ansible_host: 10.77.0.99}}}", "",
			"other.almanac.test is in kafka_controllers or kafka_brokers and has no kafka_node_id"},
		"a name outside the domain":   {"", "almanac_domain=example.org", "is not a name directly in example.org"},
		"a variable that is misspelt": {"", "kafka_heep=1g", "kafka_heep is not an option of any role: did you mean kafka_heap?"},
		"a variable of another type":  {"", "openbao_port=https", "argument 'openbao_port' is of type str and we were unable to convert to int"},
		"a choice that is none":       {"", "base_ssh_root=yes", "value of base_ssh_root must be one of: no, prohibit-password"},
		"too little memory":           {"", `{"preflight_memory": {"kafka_brokers": 9000000}}`, "MiB of memory and needs 9000256 MiB for kafka_brokers"},
		"too little disk": {"", `{"preflight_disk": {"kafka_brokers": 900000000}, "__preflight_furnished": {"stat": {"exists": false}}}`,
			"needs 900001024 MiB for kafka_brokers. Give it more"},
		"one machine under two names": {fmt.Sprintf("strays: {hosts: {other.almanac.test: {ansible_host: 10.77.0.99, almanac_state: %q, "+
			"ansible_ssh_common_args: -o HostName=%s -o UserKnownHostsFile=%s}}}", s.dir, s.machines[host].Address, filepath.Join(s.dir, "ssh", "known_hosts")), "",
			"have the same /etc/machine-id: they are one machine, or copies of one. Correct ansible_host"},
		"WireGuard without addresses": {"", `{"base_wireguard": true, "base_wireguard_address": ""}`, "no base_wireguard_address. It is between all machines or none"},
		"WireGuard that carries nothing": {"", `{"base_wireguard": true, "base_wireguard_start": true, "base_wireguard_address": "{{ ansible_host | regex_replace('^10[.]77', '10.88') }}"}`,
			"nothing would be encrypted by it. Set almanac_address to"},
		"a disk that is not there":      {"", `{"base_luks_disks": [{"device": "/dev/disk/by-id/none", "name": "x", "path": "/srv/x"}]}`, "/dev/disk/by-id/none is not on "},
		"a disk that is a file":         {"", `{"base_luks_disks": [{"device": "/etc/passwd", "name": "x", "path": "/srv/x"}]}`, "/etc/passwd is no disk"},
		"a user who would be shut out":  {"", `{"base_ssh_root": "no"}`, "the next run would not get in"},
		"a checksum of another archive": {"", "jmx_exporter_version=9.9.9 jmx_exporter_checksum=sha512:" + strings.Repeat("0", 128), "is not the file that was pinned"},
		"a checksum of another kind":    {"", "jmx_exporter_version=9.9.9 jmx_exporter_checksum=sha256:00", "is not sha512: and 128 hexadecimal digits"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := []string{"--tags", "preflight,base,kafka"}
			if tt.inventory != "" {
				extra := filepath.Join(t.TempDir(), "extra.yml")
				if err := os.WriteFile(extra, []byte("all: {children: {almanac: {children: {"+tt.inventory+"}}}}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-i", extra)
			}
			if tt.vars != "" {
				args = append(args, "-e", tt.vars)
			}
			s.refused(t, tt.says, args...)
		})
	}
}

// TestAClockThatIsOffIsRefused lets a machine tell another time.
func TestAClockThatIsOffIsRefused(t *testing.T) {
	s := furnished(t)
	host := s.groups["secrets"].Hosts[0]
	s.on(t, host, "", `printf '#!/bin/sh\nexec /bin/date -d "1 minute ago" "$@"\n' > /usr/local/bin/date; chmod 755 /usr/local/bin/date`)
	defer s.on(t, host, "", "rm /usr/local/bin/date")
	if out, err := s.play(t, "site.yml", "-i", *inventory, "--tags", "preflight"); err == nil || !regexp.MustCompile(`clock of \S+ is off by about -(59|60|61|62) s`).MatchString(out) {
		t.Errorf("site.yml where a clock is a minute late = %v:\n%s", err, tail(out))
	}
}

// TestNamesThatDoNotResolveAreRefused takes a machine's names away.
func TestNamesThatDoNotResolveAreRefused(t *testing.T) {
	s := furnished(t)
	host := s.groups["secrets"].Hosts[0]
	s.on(t, host, "", `[ -e /etc/hosts.kept ] || cp -p /etc/hosts /etc/hosts.kept; echo "127.0.0.1 localhost" > /etc/hosts`)
	defer s.on(t, host, "", "mv /etc/hosts.kept /etc/hosts")
	s.refused(t, "do not resolve to each other, both ways", "--tags", "preflight", "-e", "base_hosts=false")
}

// TestAnotherSystemIsRefused has Ansible remember facts of another system than that of the machines.
func TestAnotherSystemIsRefused(t *testing.T) {
	s := furnished(t)
	facts := t.TempDir()
	for _, host := range s.groups["almanac"].Hosts {
		told, err := json.Marshal(map[string]string{"__payload__": `{"_ansible_facts_gathered": true, "ansible_distribution": "Ubuntu", "ansible_distribution_major_version": "24",
			"ansible_distribution_version": "24.04", "ansible_architecture": "aarch64", "ansible_service_mgr": "systemd"}`})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(facts, "s1_"+host), told, 0o600); err != nil { // as the plugin names and wraps it
			t.Fatal(err)
		}
	}
	t.Setenv("ANSIBLE_CACHE_PLUGIN", "jsonfile")
	t.Setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", facts)
	s.refused(t, "runs Ubuntu 24.04 on aarch64 with systemd. Install Debian 12 for x86-64 on it", "--tags", "preflight") // no more, lest it goes on with wrong facts
}

// TestAnotherAuthorityIsRefused runs site.yml with a state that the machines were not furnished from: one that is empty, and one with an authority of its own.
func TestAnotherAuthorityIsRefused(t *testing.T) {
	s := furnished(t)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for says, files := range map[string]map[string]string{
		"where there is none":             {},
		"which the machine does not know": {"ca/key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))},
	} {
		for _, tags := range []string{"all", "node_exporter"} {
			state := t.TempDir()
			plant(t, state, files)
			s.refused(t, says+". Set almanac_state to the folder that it was furnished from", "--tags", tags, "-e", "almanac_state="+state,
				"-e", "ansible_ssh_private_key_file="+filepath.Join(s.dir, "ssh", "id_ed25519"),
				"-e", fmt.Sprintf(`{"ansible_ssh_common_args": "-o UserKnownHostsFile=%s"}`, filepath.Join(s.dir, "ssh", "known_hosts")))
			if left := grown(t, state); !maps.Equal(left, files) {
				t.Errorf("the state holds %v, want %v as it was", slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(files)))
			}
		}
	}
}

// changes says in the last lines of a playbook that it has changed something.
var changes = regexp.MustCompile(`changed=[1-9]`)

// refused wants site.yml to end with a sentence, and to have changed nothing.
func (s *site) refused(t *testing.T, says string, args ...string) {
	t.Helper()
	s.refusedBy(t, "site.yml", says, args...)
}

// refusedBy is refused for any playbook.
func (s *site) refusedBy(t *testing.T, book, says string, args ...string) {
	t.Helper()
	out, err := s.play(t, book, append([]string{"-i", *inventory}, args...)...)
	if err == nil || !strings.Contains(out, says) {
		t.Errorf("%s %q = %v, want it to say %q:\n%s", book, args, err, says, tail(out))
	}
	if changed := changes.FindString(out); changed != "" {
		t.Errorf("it was refused after something was changed: %s\n%s", changed, tail(out))
	}
}

// play runs a playbook, and returns what it said in one line.
func (s *site) play(t *testing.T, book string, args ...string) (string, error) {
	t.Helper()
	return s.playFor(t, 5*time.Minute, book, args...)
}

// played is what a playbook said that takes its time, and must end well.
func (s *site) played(t *testing.T, book string, args ...string) string {
	t.Helper()
	out, err := s.playFor(t, time.Hour, book, args...)
	if err != nil {
		t.Fatalf("%s %q = %v:\n%s", book, args, err, tail(out))
	}
	return out
}

// playFor is play for a playbook that takes its time, and is killed after that.
func (s *site) playFor(t *testing.T, limit time.Duration, book string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(*ansible), "ansible-playbook"), append(args, book)...)
	cmd.Dir, cmd.WaitDelay = "../../ansible", 10*time.Second // its workers outlive it
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return strings.Join(strings.Fields(string(out)), " "), err
}

// tail is what was said last.
func tail(out string) string { return out[max(0, len(out)-1500):] }
