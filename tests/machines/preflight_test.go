package machines_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
		"two machines with one address": {"almanac: {hosts: {other.almanac.test: {ansible_host: " + s.addresses[host] + "}}}", "",
			"have the same ansible_host"},
		"a broker without a number": {"kafka_brokers: {hosts: {other.almanac.test: {ansible_host: 10.77.0.99}}}", "",
			"other.almanac.test is in kafka_controllers or kafka_brokers and has no kafka_node_id"},
		"a name outside the domain":     {"", "almanac_domain=example.org", "is not a name directly in example.org"},
		"a variable that is misspelt":   {"", "kafka_heep=1g", "kafka_heep is not an option of any role: did you mean kafka_heap?"},
		"a variable of another type":    {"", "openbao_port=https", "argument 'openbao_port' is of type str and we were unable to convert to int"},
		"a choice that is none":         {"", "base_ssh_root=yes", "value of base_ssh_root must be one of: no, prohibit-password"},
		"too little memory":             {"", `{"preflight_memory": {"kafka_brokers": 9000000}}`, "MiB of memory and needs 9000256 MiB for kafka_brokers"},
		"a user who would be shut out":  {"", `{"base_ssh_root": "no"}`, "the next run would not get in"},
		"a checksum of another archive": {"", "jmx_exporter_version=9.9.9 jmx_exporter_checksum=sha512:" + strings.Repeat("0", 128), "is not the file that was pinned"},
		"a checksum of another kind":    {"", "jmx_exporter_version=9.9.9 jmx_exporter_checksum=sha256:00", "is not sha512: and 128 hexadecimal digits"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := []string{"-i", *inventory, "--tags", "preflight,base,kafka"}
			if tt.inventory != "" {
				extra := filepath.Join(t.TempDir(), "extra.yml")
				if err := os.WriteFile(extra, []byte("all: {children: {almanac: {children: {"+strings.Replace(tt.inventory, "almanac: {hosts", "strays: {hosts", 1)+"}}}}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-i", extra)
			}
			if tt.vars != "" {
				args = append(args, "-e", tt.vars)
			}
			out, err := s.play(t, "site.yml", args...)
			if err == nil || !strings.Contains(out, tt.says) {
				t.Errorf("site.yml = %v, want it to say %q:\n%s", err, tt.says, tail(out))
			}
			if changed := regexp.MustCompile(`changed=[1-9]`).FindString(out); changed != "" {
				t.Errorf("it was refused after something was changed: %s\n%s", changed, tail(out))
			}
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
	s.on(t, host, "", `cp /etc/hosts /etc/hosts.kept; echo "127.0.0.1 localhost" > /etc/hosts`)
	defer s.on(t, host, "", "mv /etc/hosts.kept /etc/hosts")
	if out, err := s.play(t, "site.yml", "-i", *inventory, "--tags", "preflight", "-e", "base_hosts=false"); err == nil || !strings.Contains(out, "do not resolve to each other, both ways") {
		t.Errorf("site.yml where names do not resolve = %v:\n%s", err, tail(out))
	}
}

// play runs a playbook, and returns what it said in one line.
func (s *site) play(t *testing.T, book string, args ...string) (string, error) {
	t.Helper()
	return s.playFor(t, 5*time.Minute, book, args...)
}

// playFor is play for a playbook that takes its time.
func (s *site) playFor(t *testing.T, patience time.Duration, book string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(*ansible), "ansible-playbook"), append(args, book)...)
	cmd.Dir = "../../ansible"
	out, err := cmd.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}

// tail is what was said last.
func tail(out string) string { return out[max(0, len(out)-1500):] }
