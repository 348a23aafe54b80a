package site

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func open(t *testing.T, secure bool) *Site {
	t.Helper()
	s := New(t.TempDir(), "", "", secure)
	if err := s.Folders(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path("keys", "store"), []byte("store-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Render(); err != nil {
		t.Fatal(err)
	}
	return s
}

// settings reads a file of Hadoop as Hadoop would.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Property []struct {
			Name  string `xml:"name"`
			Value string `xml:"value"`
		} `xml:"property"`
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, p := range doc.Property {
		m[p.Name] = p.Value
	}
	return m
}

func TestRenderSecured(t *testing.T) {
	s := open(t, true)
	for file, want := range map[string]map[string]string{
		"hadoop/core-site.xml": {
			"fs.defaultFS": "hdfs://localhost:28020", "hadoop.security.authentication": "kerberos", "hadoop.rpc.protection": "privacy",
		},
		"datanode2/hdfs-site.xml": {
			"dfs.data.transfer.protection": "privacy", "dfs.encrypt.data.transfer": "true", "dfs.http.policy": "HTTPS_ONLY",
			"dfs.datanode.https.address": "127.0.0.1:28072", "dfs.datanode.http.address": "",
		},
		"hadoop/ssl-server.xml": {"ssl.server.keystore.password": "store-password"},
	} {
		got := settings(t, s.Path("conf", file))
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s = %q, want %q", file, key, got[key], value)
			}
		}
	}
}

func TestRenderPlain(t *testing.T) {
	s := open(t, false)
	if got := settings(t, s.Path("conf", "hadoop/core-site.xml"))["hadoop.security.authentication"]; got != "" {
		t.Errorf("hadoop.security.authentication = %q, want none", got)
	}
	if _, err := os.Stat(s.Path("conf", "krb5.conf")); err == nil {
		t.Error("the plain form has a krb5.conf")
	}
}

func TestWhatClientsReadHoldsNoKeyOfAServer(t *testing.T) {
	s := open(t, true)
	names, err := filepath.Glob(s.Path("conf", "client", "*"))
	if err != nil || len(names) != 4 {
		t.Fatalf("the clients' configuration has %d files (%v), want 4", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "https.p12") {
			t.Errorf("%s names the key of the web servers", name)
		}
	}
}

func TestTheFormsShareNoPort(t *testing.T) {
	plain, secure := New("", "", "", false), New("", "", "", true)
	owner := map[int]string{}
	for _, s := range []*Site{plain, secure} {
		for name := range ports {
			port := s.Port(name)
			if other, taken := owner[port]; taken {
				t.Errorf("port %d is that of %s and of %s %s", port, other, s.Form(), name)
			}
			owner[port] = s.Form() + " " + name
		}
	}
}

func TestHadoopEscapesAndRefuses(t *testing.T) {
	b, err := hadoop("# a comment\n\na.b = x < y & z\nempty =\n")
	if err != nil || !strings.Contains(string(b), "<value>x &lt; y &amp; z</value>") || !strings.Contains(string(b), "<name>empty</name>") {
		t.Errorf("hadoop = %s, %v", b, err)
	}
	if _, err := hadoop("a.b\n"); err == nil {
		t.Error("a line without a value gave no error")
	}
}

func TestEnvNamesEachKeyOnce(t *testing.T) {
	line := regexp.MustCompile(`^[A-Z][A-Z0-9_]*=\S+$`)
	for _, s := range []*Site{New("/repo", "", "", false), New("/repo", "/cache", "", true)} {
		seen := map[string]bool{}
		for text := range strings.Lines(s.EnvText()) {
			text = strings.TrimSuffix(text, "\n")
			key, _, _ := strings.Cut(text, "=")
			if !line.MatchString(text) || seen[key] {
				t.Errorf("%s: line %q is not KEY=value, or its key stands twice", s.Form(), text)
			}
			seen[key] = true
		}
	}
}

func TestACacheMayBeSharedAndTheStateMayNot(t *testing.T) {
	s := New("/repo", "/cache", "", true)
	if s.Spark() != "/cache/spark/pyspark" || s.Root != "/repo/.cache/lab/secure" {
		t.Errorf("Spark() = %s, Root = %s", s.Spark(), s.Root)
	}
}

func TestALabBesideHasPortsAndStateOfItsOwn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := New("/repo", "/cache", "", secure)
		other := s.Beside()
		if other.Root == s.Root || other.Cache != s.Cache || other.EnvText() == s.EnvText() {
			t.Errorf("Root = %s and %s, Cache = %s and %s", s.Root, other.Root, s.Cache, other.Cache)
		}
		for name := range ports {
			if s.Port(name)+1000 != other.Port(name) {
				t.Errorf("%s has the ports %d and %d", name, s.Port(name), other.Port(name))
			}
		}
	}
}

func TestOnAnotherAddressNothingOfTheLabIsOnLoopback(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := New(t.TempDir(), "", "10.244.0.1", secure)
		if err := s.Folders(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.Path("keys", "store"), []byte("store-password\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Render(); err != nil {
			t.Fatal(err)
		}
		if want := s.Form() + "-10.244.0.1"; filepath.Base(s.Root) != want {
			t.Errorf("Root = %s, want a folder of its own: %s", s.Root, want)
		}
		text := s.EnvText() + s.Config()
		for _, f := range files {
			if b, err := os.ReadFile(s.Path("conf", f.path)); err == nil {
				text += string(b)
			}
		}
		for line := range strings.Lines(text) {
			// Spark's own listener has no TLS: in the secured form only the proxy on this machine reaches it.
			behind := secure && (strings.Contains(line, ":28016") || strings.HasPrefix(line, "spark.connect.grpc.binding.address"))
			if strings.Contains(line, "localhost") || strings.Contains(line, loopback) != behind {
				t.Errorf("secured %v: %s", secure, line)
			}
		}
	}
}

func TestConfigNamesTheServersOfItsForm(t *testing.T) {
	for secure, want := range map[bool][]string{
		false: {"warehouse: hdfs://localhost:18020/almanac", "brokers: [127.0.0.1:18090]", "web: [http://localhost:18070]", "server: sc://localhost:18015"},
		true: {
			"warehouse: hdfs://localhost:28020/almanac", "brokers: [127.0.0.1:28091]", "password_file: /repo/", "web: [https://localhost:28070]",
			"principal: almanac@ALMANAC.TEST", "server: sc://localhost:28015", "token_file: /repo/",
		},
	} {
		text := New("/repo", "", "", secure).Config()
		for _, line := range want {
			if !strings.Contains(text, line) {
				t.Errorf("secured %v: the configuration lacks %q:\n%s", secure, line, text)
			}
		}
	}
}
