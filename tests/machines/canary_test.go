package machines_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/edit"
)

var capture = flag.Bool("capture", false, "listen by tcpdump to all that passes on the machines, which run on this host; takes root")

// people is a folder with sales of a week as a dataset, whose buyers are personal; and the names of those.
func people(t *testing.T) (name, folder string, canaries []string) {
	t.Helper()
	name, folder = fmt.Sprintf("canary%d", time.Now().Unix()), t.TempDir()
	dir := filepath.Join(folder, name)
	if err := os.CopyFS(dir, os.DirFS("../e2e/testdata/shop")); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ file, old, with string }{
		{"contract.yaml", "id: shop\n", "id: " + name + "\n"},
		{"contract.yaml", `logicalTypeOptions: {pattern: "[a-z]+"}`, "classification: personal"},
		{"pipeline.yaml", "end: 2024-01-15\n", "end: 2024-01-08\n"},
	} {
		if err := edit.Replace(filepath.Join(dir, change.file), change.old, change.with); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o750); err != nil {
		t.Fatal(err)
	}
	for day := 1; day <= 7; day++ {
		date := fmt.Sprintf("2024-01-%02d", day)
		text := "at,shop,units\n"
		for hour := range 20 {
			who := fmt.Sprintf("%s-%s-%02d", name, date, hour)
			canaries = append(canaries, who)
			units := hour
			if hour == 19 {
				units = 5000 // goes to quarantine, with its original bytes
			}
			text += fmt.Sprintf("%sT%02d:00:00Z,%s,%d\n", date, hour, who, units)
		}
		if err := os.WriteFile(filepath.Join(dir, "files", date+".csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return name, folder, canaries
}

// namespace is that of the network of a machine on this host.
func (s *site) namespace(t *testing.T, host string) string {
	t.Helper()
	all, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatalf("ip netns list: %v", err)
	}
	for line := range strings.Lines(string(all)) {
		name := strings.Fields(line)[0]
		addresses, err := exec.Command("ip", "-n", name, "-o", "address").Output()
		if err == nil && strings.Contains(string(addresses), " "+s.machines[host].Address+"/") {
			return name
		}
	}
	t.Fatalf("no network namespace on this host has the address %s of %s", s.machines[host].Address, host)
	return ""
}

// listen records what passes on a machine, and gives what ends it.
func (s *site) listen(t *testing.T, host string) (recorded func() []byte) {
	t.Helper()
	return overhear(t, "ip", "netns", "exec", s.namespace(t, host), "tcpdump", "-i", "any")
}

// overhear records what a command of tcpdump hears, and gives what ends it.
func overhear(t *testing.T, command ...string) (recorded func() []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "packets")
	cmd := exec.Command(command[0], append(command[1:], "-s", "0", "-U", "-B", "65536", "-Z", "root", "-w", file)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("tcpdump does not listen: %s", said.String())
		}
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGINT)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	return func() []byte {
		end()
		t.Logf("tcpdump: %s", bytes.ReplaceAll(bytes.TrimSpace(said.Bytes()), []byte("\n"), []byte("; ")))
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// TestNoPersonalValueIsOpen publishes a dataset whose rows hold names, and looks for each of the names on the disks of all machines once its release is served; and with -capture, for
// them and for each of the site's secrets, in all that passed on the machines until then.
func TestNoPersonalValueIsOpen(t *testing.T) {
	s, host := withFunctions(t)
	if *almanac == "" && !*capture {
		t.Skip("neither -almanac nor -capture is given: make check-machines does the job")
	}
	name, folder, canaries := people(t)
	sources, since := originals(t, filepath.Join(folder, name, "files")), s.on(t, host, "", "date +%s")
	recorded := map[string]func() []byte{}
	for _, machine := range s.groups["almanac"].Hosts {
		if *capture {
			recorded[machine] = s.listen(t, machine)
		}
	}
	s.publish(t, host, folder)
	defer s.on(t, host, "", "almanac-operator datasets withdraw "+name)
	a := s.api()
	for began := time.Now(); len(a.versions(t, name)) == 0; time.Sleep(time.Second) {
		if time.Since(began) > *patience {
			t.Fatalf("after %s there is no release of %s", *patience, name)
		}
	}
	version := a.versions(t, name)[0]
	status, rows := a.get(t, "/v1/datasets/"+name+"/releases/"+version+"/rows?format=csv", a.renewed(t))
	if lines := bytes.Count(rows, []byte("\n")); status != http.StatusOK || lines != 1+7*19 {
		t.Errorf("the release is served with %d lines, want %d: %d", lines, 1+7*19, status)
	}
	if who := among(rows, canaries); who != "" {
		t.Errorf("the release holds %s", who)
	}
	heard := map[string]bool{}
	for machine, packets := range recorded {
		s.passedSealed(t, name, machine, packets(), canaries, heard)
	}
	if *capture && len(heard) < 2 {
		t.Errorf("of what travels in clear only %v was heard", heard)
	}
	for _, machine := range s.groups["almanac"].Hosts {
		if found := s.on(t, machine, name+"-2024-01-01-00", `read -r who; journalctl --quiet --no-pager -o cat | grep -acF "$who"; grep -rlsaF "$who" /var/log --exclude-dir=journal || true`); found != "0" {
			t.Errorf("logs of %s hold a name: %s", machine, found)
		}
	}
	s.restsSealed(t, host, since, name, canaries, sources)
}

// passedSealed holds what passed on a machine, as packets and as streams, which a name may be split or packed in, and notes what was heard of that which travels in clear: paths
// of HDFS' requests, and events on loopback.
func (s *site) passedSealed(t *testing.T, name, machine string, packets []byte, canaries []string, heard map[string]bool) {
	t.Helper()
	passed, p := streamed(t, packets), newPacks(t)
	for _, data := range passed {
		lower := bytes.ToLower(data)
		for _, open := range []string{"/almanac/" + name, "ce-type"} {
			if bytes.Contains(lower, []byte(open)) {
				heard[open] = true
			}
		}
	}
	for _, who := range canaries {
		if at := bytes.Index(packets, []byte(who)); at >= 0 {
			t.Errorf("%s travels in clear on %s: %q", who, machine, packets[max(0, at-100):at+len(who)])
			break
		}
	}
	secrets := s.secrets(t)
	if among(packets, secrets) != "" {
		t.Errorf("a secret of the site travels in clear on %s", machine)
	}
	for stream, who := range passed.standing(p, canaries) {
		t.Errorf("%s travels from %s on %s", who, stream, machine)
	}
	for stream := range passed.standing(p, secrets) {
		t.Errorf("a secret of the site travels from %s on %s", stream, machine)
	}
	t.Logf("%s: %d names and the site's secrets were looked for in %d MB of packets, which are %d streams with %d MB", machine, len(canaries), len(packets)>>20, len(passed), passed.size()>>20)
}
