package kerberos

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// programs are what a key distribution centre with a clock of its own needs.
func programs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{"gcc", "kdb5_util", "kadmin.local", "krb5kdc"} {
		at, err := exec.LookPath(name)
		if err != nil {
			if at = "/usr/sbin/" + name; !there(at) {
				t.Skipf("needs %s (Debian: gcc, krb5-kdc, krb5-admin-server)", name)
			}
		}
		found[name] = at
	}
	return found
}

func there(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// centre is a key distribution centre in a folder.
type centre struct {
	t        *testing.T
	dir      string
	programs map[string]string
	env      []string
}

func (c *centre) run(name string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(c.programs[name], args...)
	cmd.Env = c.env
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

func (c *centre) path(name string) string { return filepath.Join(c.dir, name) }

// newCentre makes a realm with the user almanac, whose keytab is in the folder.
func newCentre(t *testing.T) *centre {
	t.Helper()
	c := &centre{t: t, dir: t.TempDir(), programs: programs(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	for name, text := range map[string]string{
		"krb5.conf": fmt.Sprintf("[libdefaults]\ndefault_realm = SKEW.TEST\ndns_lookup_kdc = false\nudp_preference_limit = 1\n[realms]\nSKEW.TEST = {\n kdc = %s\n}\n", address),
		"kdc.conf": fmt.Sprintf("[kdcdefaults]\nkdc_listen = 127.0.0.1:%s\nkdc_tcp_listen = 127.0.0.1:%s\n[realms]\nSKEW.TEST = {\n database_name = %s\n key_stash_file = %s\n"+
			" default_principal_flags = +preauth\n}\n", port, port, c.path("db"), c.path("stash")),
	} {
		if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.env = append(os.Environ(), "KRB5_CONFIG="+c.path("krb5.conf"), "KRB5_KDC_PROFILE="+c.path("kdc.conf"))
	c.run("gcc", "-shared", "-fPIC", "-o", c.path("skew.so"), "testdata/skew.c", "-ldl")
	c.run("kdb5_util", "-r", "SKEW.TEST", "create", "-s", "-P", "master")
	c.run("kadmin.local", "-r", "SKEW.TEST", "-q", "addprinc -randkey +requires_preauth almanac")
	c.run("kadmin.local", "-r", "SKEW.TEST", "-q", "ktadd -k "+c.path("keytab")+" almanac")
	return c
}

// start starts the server, whose clock is off by so much.
func (c *centre) start(skew time.Duration) {
	c.t.Helper()
	cmd := exec.Command(c.programs["krb5kdc"], "-n", "-r", "SKEW.TEST", "-P", c.path("pid"))
	cmd.Env = append(slices.Clone(c.env), "LD_PRELOAD="+c.path("skew.so"), fmt.Sprintf("SKEW=%d", int(skew.Seconds())))
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	for range 100 {
		if there(c.path("pid")) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatal("the KDC does not start")
}

// TestClocksThatDiffer logs in at a real KDC whose clock goes before or after this machine's.
func TestClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			c := newCentre(t)
			c.start(skew)
			login, err := Login(c.path("krb5.conf"), c.path("keytab"), "almanac@SKEW.TEST")
			if err == nil {
				issued, end := Validity(login)
				if since := time.Since(issued); since < -time.Minute || since > time.Minute || end.Sub(issued) < time.Hour {
					t.Errorf("the ticket is valid from %s to %s", issued, end)
				}
				login.Destroy()
				if _, end := Validity(login); !end.IsZero() {
					t.Errorf("a ticket that was destroyed ends at %s", end)
				}
			}
			t.Logf("%v", err)
			if skew == 0 {
				if err != nil {
					t.Errorf("with equal clocks: %v", err)
				}
				return
			}
			for _, want := range []string{"almanac@SKEW.TEST", "clock", c.path("krb5.conf"), "NTP"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not name %q: %v", want, err)
				}
			}
		})
	}
}
