package machines_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/inventories"
)

var (
	inventory = flag.String("inventory", "", "the `folder` of an inventory whose machines run: they are asked; without it only files are looked at")
	ansible   = flag.String("ansible", "ansible-inventory", "the `program` that reads it")
)

// group is one of an inventory. Its machines are those of the groups in it, too.
type group struct {
	Hosts    []string `json:"hosts"`
	Children []string `json:"children"`
}

// grouped are the groups of a listed inventory, by name.
func grouped(t *testing.T, list []byte) map[string]group {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(list, &raw); err != nil {
		t.Fatal(err)
	}
	delete(raw, "_meta")
	all := map[string]group{}
	for name, text := range raw {
		var g group
		if err := json.Unmarshal(text, &g); err != nil {
			t.Fatal(err)
		}
		all[name] = g
	}
	var hosts func(name string) []string
	hosts = func(name string) []string {
		found := all[name].Hosts
		for _, child := range all[name].Children {
			for _, host := range hosts(child) {
				if !slices.Contains(found, host) {
					found = append(found, host)
				}
			}
		}
		return found
	}
	for name, g := range all {
		g.Hosts = hosts(name)
		all[name] = g
	}
	return all
}

// site is what an inventory and its state say, as a stranger with the right files has it.
type site struct {
	inventory string
	dir       string // of its state
	groups    map[string]group
	machines  map[string]inventories.Host
	ca        *x509.CertPool
}

// furnished is the site that the tests are told; a test of machines is skipped where none is.
func furnished(t *testing.T) *site {
	t.Helper()
	if *inventory == "" {
		t.Skip("no -inventory is given")
	}
	out := listed(t, *inventory)
	s := &site{inventory: *inventory, dir: filepath.Join(*inventory, ".state"), machines: machines(t, out), ca: x509.NewCertPool()}
	s.groups = grouped(t, out)
	if len(s.groups["almanac"].Hosts) == 0 {
		t.Fatalf("the group almanac of %s has no machine", *inventory)
	}
	s.ca.AppendCertsFromPEM([]byte(s.file(t, "ca", "ca.pem")))
	return s
}

// listed are inventories, as ansible-inventory lists them together.
func listed(t *testing.T, folders ...string) []byte {
	t.Helper()
	out, err := inventories.List(t.Context(), *ansible, folders...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// machines are those of a listed inventory, by name.
func machines(t *testing.T, list []byte) map[string]inventories.Host {
	t.Helper()
	hosts, err := inventories.Hosts(list)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
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
	if known, ok := s.machines[host]; ok {
		host = known.Address
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
	var out bytes.Buffer
	s.ssh(t, host, command, strings.NewReader(stdin), &out)
	return strings.TrimSpace(out.String())
}

// ssh runs a command on a machine, and gives it what it reads; when a test is cleaned up, too.
func (s *site) ssh(t *testing.T, host, command string, in io.Reader, out io.Writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	cmd := s.login(ctx, host, command)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s on %s: %v\n%s", command, host, err, errs.String())
	}
}

// login is the client of SSH that runs a command on a machine, as root.
func (s *site) login(ctx context.Context, host, command string) *exec.Cmd {
	to := s.machines[host]
	if to.User != "root" {
		command = "sudo -n bash -c '" + strings.ReplaceAll(command, "'", `'\''`) + "'"
	}
	return exec.CommandContext(ctx, "ssh", "-q", "-i", filepath.Join(s.dir, "ssh", "id_ed25519"), "-o", "UserKnownHostsFile="+filepath.Join(s.dir, "ssh", "known_hosts"),
		to.User+"@"+to.Address, command)
}

// through connects to a machine from another one, for what firewalls show to machines alone. The connection ends with the test.
func (s *site) through(t *testing.T, host, address string) net.Conn {
	t.Helper()
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := s.login(ctx, host, "bash -c 'exec 3<>/dev/tcp/"+name+"/"+port+" 4<&0; cat <&4 >&3 2>/dev/null & exec cat <&3'")
	near, far := net.Pipe()
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = far, far, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // whoever reads learns that it has ended
		_ = far.Close()
	}()
	t.Cleanup(func() {
		cancel()
		_ = near.Close()
		<-ended
	})
	return near
}

// retold runs a command on each machine of a group until nothing is missing from what it says of them all, since a log may come a moment late. It
// returns what still is.
func (s *site) retold(t *testing.T, group, command string, missing func(log string) []string) (left []string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		var log strings.Builder
		for _, host := range s.groups[group].Hosts {
			log.WriteString(s.on(t, host, "", command) + "\n")
		}
		if left = missing(log.String()); len(left) == 0 || time.Since(began) > 15*time.Second {
			return left
		}
	}
}

// count is the number that a command said.
func count(t *testing.T, said string) int {
	t.Helper()
	n, err := strconv.Atoi(said)
	if err != nil {
		t.Fatal(err)
	}
	return n
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
			if errors.Is(err, fs.ErrNotExist) {
				continue // a playbook has just put it in its place
			}
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

// TestNoSecretLiesOpen looks for each secret of the site on each machine: in command lines, the journal, and files that the user nobody can read.
func TestNoSecretLiesOpen(t *testing.T) {
	s := furnished(t)
	const control = "a-word-that-lies-open"
	words := strings.Join(append(s.secrets(t), control), "\n")
	for _, host := range s.groups["almanac"].Hosts {
		found := s.on(t, host, words, `cat > /dev/shm/words; control=$(tail -n 1 /dev/shm/words)
			echo "$control" > /tmp/control; logger "$control"; journalctl --sync
			bash -c 'exec -a "$0" sleep 300' "$control" >/dev/null 2>&1 </dev/null & shown=$!
			trap 'rm /dev/shm/words /tmp/control; kill '$shown EXIT
			grep -lsaFf /dev/shm/words /proc/[0-9]*/cmdline | sed "s,/proc/$shown/,/proc/control/,"
			(cd / && runuser -u nobody -- find /etc /opt /root /home /srv /tmp /var /run -type f -readable -print0 2>/dev/null) | xargs -r0 grep -lsaFf /dev/shm/words
			journalctl --quiet --no-pager -o cat | grep -aFf /dev/shm/words | sed "s/.*$control.*/the journal has the control/; t; s/.*/the journal has a secret/" | sort -u
			true`)
		if want := "/proc/control/cmdline\n/tmp/control\nthe journal has the control"; found != want {
			t.Errorf("%s shows\n%s\nwant no more than is there to be found:\n%s", host, found, want)
		}
	}
}

// TestOnlyOpenedPortsAnswer knocks at all ports of each machine, as a client that the inventory lets in, and as a stranger, which may try sshd alone.
func TestOnlyOpenedPortsAnswer(t *testing.T) {
	s := furnished(t)
	from := stray(t, s.machines[s.groups["secrets"].Hosts[0]].Address)
	for _, host := range s.groups["almanac"].Hosts {
		t.Run(host, func(t *testing.T) {
			var listening []string
			for line := range strings.Lines(s.on(t, host, "", "ss -Hltn | awk '{print $4}'")) {
				address, port := line[:strings.LastIndex(line, ":")], strings.TrimSpace(line[strings.LastIndex(line, ":")+1:])
				if !strings.HasPrefix(address, "127.") && address != "[::1]" {
					listening = append(listening, port)
				}
			}
			if len(listening) < 5 {
				t.Fatalf("%s listens at %q alone", host, listening)
			}
			open := []string{"22"}
			if serves := "8443"; slices.Contains(s.groups["functions"].Hosts, host) && slices.Contains(listening, serves) { // functions.yml comes after site.yml
				open = append(open, serves)
			}
			for group, ports := range reached {
				if slices.Contains(s.groups[group].Hosts, host) {
					open = append(open, ports...)
				}
			}
			knock(t, s.machines[host].Address, slices.Concat(listening, open, []string{"111"}), nil, open)
			knock(t, s.machines[host].Address, slices.Concat(listening, open, []string{"111"}), from, []string{"22"})
		})
	}
}

// reached are the ports that clients of a service may reach, by its group.
var reached = map[string][]string{
	"secrets": {"8200"}, "kafka_brokers": {"9092", "9094"}, "kdc": {"88"}, "namenodes": {"8020", "9871"}, "datanodes": {"9866", "9865", "9867"}, "spark_connect": {"15002"},
}

// knock tries ports of an address, from an address of this host's if one is given, and wants those alone to answer that are to be open.
func knock(t *testing.T, address string, ports []string, from net.IP, open []string) {
	t.Helper()
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	var knocks sync.WaitGroup
	for _, port := range slices.Compact(slices.Sorted(slices.Values(ports))) {
		knocks.Go(func() {
			conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(address, port))
			if err == nil {
				_ = conn.Close() // nothing was said
			}
			if want := slices.Contains(open, port); (err == nil) != want {
				t.Errorf("port %s is open to %v: %v, want %v", port, dialer.LocalAddr, err == nil, want)
			}
		})
	}
	knocks.Wait()
}

// stray gives this host a second address on the machines' network, which no inventory names.
func stray(t *testing.T, near string) net.IP {
	t.Helper()
	ip := net.ParseIP(near).To4()
	ip[3] ^= 128 // another for each site of the network
	if os.Geteuid() != 0 {
		t.Skip("it takes root to be a stranger")
	}
	route, err := exec.CommandContext(t.Context(), "ip", "-o", "route", "get", near).Output()
	_, rest, found := strings.Cut(string(route), " dev ")
	if err != nil || !found {
		t.Fatalf("ip route get %s: %v: %s", near, err, route)
	}
	device := strings.Fields(rest)[0]
	if out, err := exec.CommandContext(t.Context(), "ip", "address", "replace", ip.String()+"/32", "dev", device).CombinedOutput(); err != nil {
		t.Fatalf("be a stranger: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "ip", "address", "del", ip.String()+"/32", "dev", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return ip
}

// units of the machines of each group.
var units = map[string][]string{
	"secrets": {"openbao"}, "kafka_controllers": {"kafka"}, "kafka_brokers": {"kafka"}, "kdc": {"almanac-kdc"}, "namenodes": {"almanac-hdfs-namenode"},
	"secondary_namenodes": {"almanac-hdfs-secondary"}, "datanodes": {"almanac-hdfs-datanode"}, "resourcemanagers": {"almanac-yarn-resourcemanager"},
	"nodemanagers": {"almanac-yarn-nodemanager"}, "spark_connect": {"almanac-spark-connect", "almanac-spark-connect-tls"},
	"spark_history": {"almanac-spark-history", "almanac-spark-history-tls"}, "almanac": {"prometheus-node-exporter"},
	"monitoring": {"prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"},
}

// TestUnitsAreSandboxed asks systemd how exposed each unit is, and whether its process is root's.
func TestUnitsAreSandboxed(t *testing.T) {
	s := furnished(t)
	for group, names := range units {
		for _, host := range s.groups[group].Hosts {
			for _, unit := range names {
				out := s.on(t, host, "", "systemctl is-active "+unit+"; systemd-analyze security --no-pager "+unit+
					".service | tail -1; ps -o user= -p $(systemctl show --property=MainPID --value "+unit+")")
				lines := strings.Split(out, "\n")
				if len(lines) != 3 || lines[0] != "active" || lines[2] == "root" {
					t.Errorf("%s of %s: %q, want it active, and not root's", unit, host, out)
					continue
				}
				level := exposure(out)
				if !(level <= 2.5) {
					t.Errorf("%s of %s is exposed by %.1f, want 2.5 at most", unit, host, level)
				}
				t.Logf("%s runs as %s, exposed by %.1f", unit, lines[2], level)
			}
		}
	}
}

// exposure is how exposed a unit is, of 10, as systemd-analyze security said; not a number if it did not.
func exposure(said string) float64 {
	found := regexp.MustCompile(`level for \S+: ([\d.]+)`).FindStringSubmatch(said)
	if found == nil {
		return math.NaN()
	}
	return number(found[1])
}
