package machines_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	inventory = flag.String("inventory", "", "the `folder` of an inventory whose machines run: they are asked; without it only files are looked at")
	ansible   = flag.String("ansible", "ansible-inventory", "the `program` that reads it")
)

// group is one of an inventory.
type group struct {
	Hosts []string `json:"hosts"`
}

// site is what an inventory and its state say, as a stranger with the right files has it.
type site struct {
	dir       string
	groups    map[string]group
	addresses map[string]string
	ca        *x509.CertPool
}

// furnished is the site that the tests are told; a test of machines is skipped where none is.
func furnished(t *testing.T) *site {
	t.Helper()
	if *inventory == "" {
		t.Skip("no -inventory is given")
	}
	out, err := exec.CommandContext(t.Context(), *ansible, "-i", *inventory, "--list").Output()
	if err != nil {
		t.Fatalf("%s: %v", *ansible, err)
	}
	s := &site{dir: filepath.Join(*inventory, ".state"), addresses: map[string]string{}, ca: x509.NewCertPool()}
	var meta struct {
		Meta struct {
			Vars map[string]struct {
				Address string `json:"ansible_host"`
			} `json:"hostvars"`
		} `json:"_meta"`
	}
	var groups map[string]json.RawMessage
	if err := json.Unmarshal(out, &meta); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &groups); err != nil {
		t.Fatal(err)
	}
	delete(groups, "_meta")
	s.groups = map[string]group{}
	for name, raw := range groups {
		var g group
		if err := json.Unmarshal(raw, &g); err != nil {
			t.Fatal(err)
		}
		s.groups[name] = g
	}
	for host, vars := range meta.Meta.Vars {
		s.addresses[host] = vars.Address
	}
	s.ca.AppendCertsFromPEM([]byte(s.file(t, "ca", "ca.pem")))
	return s
}

// file is a file of the state.
func (s *site) file(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{s.dir}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// dial connects to a machine by its name, which only machines resolve.
func (s *site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if known, ok := s.addresses[host]; ok {
		host = known
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, net.JoinHostPort(host, port))
}

// trusting is TLS as clients of the site use it.
func (s *site) trusting(pairs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: s.ca, MinVersion: tls.VersionTLS13, Certificates: pairs}
}

// on runs a command on a machine.
func (s *site) on(t *testing.T, host, stdin, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-q", "-i", filepath.Join(s.dir, "ssh", "id_ed25519"), "-o", "UserKnownHostsFile="+filepath.Join(s.dir, "ssh", "known_hosts"),
		"root@"+s.addresses[host], command)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s on %s: %v\n%s", command, host, err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// secrets are all passwords, keys and tokens that the state holds.
func (s *site) secrets(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"secrets/*/*", "secrets/*/*/*", "openbao/unseal-*.key", "openbao/approle/*/secret_id"} {
		files, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				continue
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v, which others may read", file, info.Mode())
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, strings.TrimSpace(string(b)))
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d secrets are in %s", len(all), s.dir)
	}
	return all
}

// TestNoSecretLiesOpen looks for each secret of the site on each machine: in command lines, the journal, and files that others may read.
func TestNoSecretLiesOpen(t *testing.T) {
	s := furnished(t)
	words := strings.Join(s.secrets(t), "\n")
	for _, host := range s.groups["kafka_brokers"].Hosts {
		found := s.on(t, host, words, `cat > /dev/shm/words; trap 'rm /dev/shm/words' EXIT
			grep -lsaFf /dev/shm/words /proc/[0-9]*/cmdline
			grep -rlsaFf /dev/shm/words /etc /opt /root /home /srv /tmp /var/log /var/tmp /run --exclude-dir=journal | xargs -r -d '\n' stat -c '%A %n' | grep '^.......r'
			journalctl --quiet --no-pager -o cat | grep -qaFf /dev/shm/words && echo "the journal holds a secret"
			true`)
		if found != "" {
			t.Errorf("%s shows secrets:\n%s", host, found)
		}
	}
}

// TestOnlyOpenedPortsAnswer knocks from where no machine of the site is.
func TestOnlyOpenedPortsAnswer(t *testing.T) {
	s := furnished(t)
	for port, open := range map[string]bool{"22": true, "8200": true, "9092": true, "9094": true, "8201": false, "8210": false, "9091": false, "9093": false, "111": false} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		conn, err := s.dial(ctx, "tcp", net.JoinHostPort(s.groups["secrets"].Hosts[0], port))
		cancel()
		if err == nil {
			_ = conn.Close() // nothing was said
		}
		if (err == nil) != open {
			t.Errorf("port %s is open: %v, want %v", port, err == nil, open)
		}
	}
}

// TestUnitsAreSandboxed asks systemd how exposed each unit is.
func TestUnitsAreSandboxed(t *testing.T) {
	s := furnished(t)
	host := s.groups["secrets"].Hosts[0]
	for _, unit := range []string{"openbao", "kafka"} {
		if out := s.on(t, host, "", "systemctl is-active "+unit+"; systemd-analyze security --no-pager --threshold=25 "+unit+".service >/dev/null; echo $?"); out != "active\n0" {
			t.Errorf("%s: active, and exposed by 2.5 at most = %q", unit, out)
		}
	}
}
