// Package site says where everything of a lab lies: folders, ports, names, and the configuration rendered from them.
package site

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Realm is that of Kerberos.
const Realm = "ALMANAC.TEST"

const loopback = "127.0.0.1"

// Site is one form of the lab: plain, or secured.
type Site struct {
	Secure bool
	IP     string // of Kafka, and what everything listens on
	Host   string // of HDFS, YARN and Spark, as certificates and Kerberos know it: localhost, or the address where another is given
	Root   string // state: data, configuration, keys, logs, pid files
	Cache  string // what was downloaded, shared by both forms
	above  int    // what is added to each port

	Brokers int // of Kafka, and copies of each topic where none are asked for; less than 2 is one
}

// New is the site of a form below the repository's folder. A cache named by the operator may be shared between checkouts; the state never is.
// The servers listen on loopback, or on another address of this machine: a lab of its own, beside that on loopback.
func New(repo, cache, address string, secure bool) *Site {
	lab := filepath.Join(repo, ".cache", "lab")
	if cache == "" {
		cache = filepath.Join(lab, "artifacts")
	}
	s := &Site{Secure: secure, Cache: cache, IP: loopback, Host: "localhost"}
	s.Root = filepath.Join(lab, s.Form())
	if address != "" && address != loopback {
		s.IP, s.Host, s.Root = address, address, s.Root+"-"+address
	}
	return s
}

// Beside is a second lab of the form beside the first, on the same address, with ports and state of its own.
func (s *Site) Beside() *Site {
	other := *s
	other.Root += "-beside"
	other.above = 1000
	return &other
}

// Form is the name of the form.
func (s *Site) Form() string {
	if s.Secure {
		return "secure"
	}
	return "plain"
}

// ports are offsets to the base of a form. All lie below the range from which the kernel takes ports for clients.
var ports = map[string]int{
	"spark":           15,
	"spark-backend":   16,
	"namenode":        20,
	"spark-ui":        25,
	"scheduler":       30,
	"tracker":         31,
	"resourcemanager": 32,
	"rm-admin":        33,
	"localizer":       40,
	"nodemanager":     41,
	"nodemanager-web": 42,
	"datanode1":       61,
	"datanode2":       62,
	"namenode-web":    70,
	"datanode1-web":   71,
	"datanode2-web":   72,
	"datanode1-ipc":   81,
	"datanode2-ipc":   82,
	"rm-web":          88,
	"kafka2":          50,
	"kafka2-scram":    51,
	"kafka2-mtls":     52,
	"kafka2-behind":   53,
	"kafka3":          55,
	"kafka3-scram":    56,
	"kafka3-mtls":     57,
	"kafka3-behind":   58,
	"kafka":           90,
	"kafka-scram":     91,
	"kafka-mtls":      92,
	"controller":      93,
	"kafka-behind":    94,
	"kafka-proxy":     95,
	"kdc":             99,
}

// Port is the port of a listener. An unknown name is a defect.
func (s *Site) Port(name string) int {
	offset, ok := ports[name]
	if !ok {
		panic("no port is named " + name)
	}
	if s.Secure {
		return 28000 + s.above + offset
	}
	return 18000 + s.above + offset
}

// Addr is host:port of a listener, for programs that take an address. What lies behind the proxy of Spark speaks in clear, and
// never leaves loopback.
func (s *Site) Addr(name string) string {
	ip := s.IP
	if name == "spark-backend" {
		ip = loopback
	}
	return fmt.Sprintf("%s:%d", ip, s.Port(name))
}

// Named is Addr with the host's name, which Kerberos and certificates go by.
func (s *Site) Named(name string) string { return fmt.Sprintf("%s:%d", s.Host, s.Port(name)) }

// Path is a path in the state folder.
func (s *Site) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Root}, elem...)...)
}

// Kafkas are the names of the servers of Kafka.
func (s *Site) Kafkas() []string { return Kafkas[:max(s.Brokers, 1)] }

// Kafkas are the names that servers of Kafka have; the first is the controller too.
var Kafkas = []string{"kafka", "kafka2", "kafka3"}

// Artifact is a path among what was downloaded.
func (s *Site) Artifact(elem ...string) string {
	return filepath.Join(append([]string{s.Cache}, elem...)...)
}

// Spark is the folder of the Spark distribution.
func (s *Site) Spark() string { return s.Artifact("spark", "pyspark") }

// Keytab is the keytab of one principal.
func (s *Site) Keytab(name string) string { return s.Path("keys", name+".keytab") }

// Principal is the Kerberos name of a server of this host, or of a person.
func (s *Site) Principal(name string) string { return name + "@" + Realm }

// FS is the root of the file system.
func (s *Site) FS() string { return "hdfs://" + s.Named("namenode") }

// URL is the root of a web listener of HDFS or YARN.
func (s *Site) URL(name string) string {
	if s.Secure {
		return "https://" + s.Named(name)
	}
	return "http://" + s.Named(name)
}

// Realm is here for templates.
func (s *Site) Realm() string { return Realm }

// Kerberos is the environment of Kerberos programs, and of clients that act as operator.
func (s *Site) Kerberos() []string {
	if !s.Secure {
		return nil
	}
	return []string{
		"KRB5_CONFIG=" + s.Path("conf", "krb5.conf"),
		"KRB5_KDC_PROFILE=" + s.Path("conf", "kdc.conf"),
		"KRB5_CLIENT_KTNAME=FILE:" + s.Keytab("operator"),
		"KRB5CCNAME=FILE:" + s.Path("run", "operator.ccache"),
	}
}

// Secret is a generated password, by name.
func (s *Site) Secret(name string) (string, error) {
	b, err := os.ReadFile(s.Path("keys", name))
	return strings.TrimSpace(string(b)), err
}

// Folders makes the folders of the state, for this user only.
func (s *Site) Folders() error {
	for _, dir := range []string{"conf", "data", "keys", "log", "made", "run"} {
		if err := os.MkdirAll(s.Path(dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}
