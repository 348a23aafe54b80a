package machines_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sshd is what the role base sets, as sshd tells it. Whether root may log in is the inventory's.
var sshd = map[string]string{
	"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "authenticationmethods": "publickey", "permitemptypasswords": "no",
	"x11forwarding": "no", "allowagentforwarding": "no", "allowtcpforwarding": "no", "allowstreamlocalforwarding": "no", "permittunnel": "no",
	"permituserenvironment": "no", "maxauthtries": "3", "maxsessions": "10", "logingracetime": "20", "clientaliveinterval": "60", "clientalivecountmax": "5",
	"usedns": "no", "loglevel": "VERBOSE", "kexalgorithms": "sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org",
	"ciphers": "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com",
	"macs":    "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com",
}

// TestSSHDIsWhatTheRoleSets compares with the file that the role writes.
func TestSSHDIsWhatTheRoleSets(t *testing.T) {
	text, err := os.ReadFile(roles + "/base/templates/sshd.conf.j2")
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" && name != "PermitRootLogin" {
			set[strings.ToLower(name)] = value
		}
	}
	if !maps.Equal(set, sshd) {
		t.Errorf("machines are asked for\n%v, and the role sets\n%v", sshd, set)
	}
}

// root says for each machine whether root may log in, as sshd tells it.
func (s *site) root(t *testing.T) map[string]string {
	t.Helper()
	may := map[string]string{}
	for _, host := range s.groups["almanac"].Hosts {
		if may[host] = "no"; s.machines[host].Root == "prohibit-password" {
			may[host] = "without-password" // its older name, which sshd goes on to use
		}
	}
	return may
}

// TestSSHDIsHardened asks each machine's sshd what counts, for whoever comes from afar.
func TestSSHDIsHardened(t *testing.T) {
	s := furnished(t)
	root := s.root(t)
	for _, host := range s.groups["almanac"].Hosts {
		told := map[string]string{}
		for line := range strings.Lines(s.on(t, host, "", "sshd -T -C user=root,host=afar,addr=192.0.2.1")) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			told[name] = value
		}
		want := maps.Clone(sshd)
		want["permitrootlogin"] = root[host]
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if told[name] != want[name] {
				t.Errorf("%s: %s is %q, want %q", host, name, told[name], want[name])
			}
		}
	}
}

// TestSSHDTakesKeysAlone tries to log in as a stranger with no proof, with a key that nobody knows, and with a password, in a single connection to each machine, since
// sshd may shut out who fails often.
func TestSSHDTakesKeysAlone(t *testing.T) {
	s := furnished(t)
	from := stray(t, s.machines[s.groups["almanac"].Hosts[0]].Address)
	dir := t.TempDir()
	word, key := filepath.Join(dir, "word"), filepath.Join(dir, "key")
	if err := os.WriteFile(word, []byte("#!/bin/sh\necho guessed\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	for _, host := range s.groups["almanac"].Hosts {
		cmd := exec.CommandContext(ctx, "ssh", "-v", "-F", "none", "-b", from.String(), "-i", key, "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10",
			"-o", "UserKnownHostsFile="+filepath.Join(s.dir, "ssh", "known_hosts"), "-o", "StrictHostKeyChecking=yes",
			"-o", "PreferredAuthentications=publickey,password,keyboard-interactive", "root@"+s.machines[host].Address, "true")
		cmd.Env = append(os.Environ(), "SSH_ASKPASS="+word, "SSH_ASKPASS_REQUIRE=force", "SSH_AUTH_SOCK=")
		text, err := cmd.CombinedOutput()
		out := string(text)
		if err == nil || !strings.Contains(out, "Permission denied (publickey).") {
			t.Errorf("%s lets a stranger in, or refuses him otherwise: %v\n%s", host, err, tail(out))
		}
		for line := range strings.Lines(out) {
			if _, methods, ok := strings.Cut(line, "Authentications that can continue: "); ok && strings.TrimSpace(methods) != "publickey" {
				t.Errorf("%s would take %s", host, methods)
			}
		}
		for _, step := range []string{"Authentications that can continue: publickey", "Offering public key: " + key, "No more authentication methods to try"} {
			if !strings.Contains(out, step) {
				t.Errorf("%s was not tried as far as %q:\n%s", host, step, tail(out))
			}
		}
	}
}
