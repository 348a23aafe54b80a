package artifact

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// A Need is what programs are there for.
type Need int

// What a lab may be asked for.
const (
	Servers Need = iota // the servers of the lab
	Secured             // their secured form
	Cluster             // Kubernetes
)

// tool is a program that the lab runs, and the Debian package that holds it.
type tool struct {
	program, pkg string
	need         Need
}

var tools = []tool{
	{"java", "openjdk-17-jre-headless", Servers},
	{"mvn", "maven", Servers},
	{"python3", "python3-pip", Servers},
	{"curl", "curl", Servers},
	{"keytool", "openjdk-17-jre-headless", Secured},
	{"openssl", "openssl", Secured},
	{"krb5kdc", "krb5-kdc", Secured},
	{"kdb5_util", "krb5-kdc", Secured},
	{"kadmin.local", "krb5-admin-server", Secured},
	{"kinit", "krb5-user", Secured},
	{"haproxy", "haproxy", Secured},
	{"python3", "python3-pip", Cluster},
	{"containerd", "containerd", Cluster},
	{"ctr", "containerd", Cluster},
	{"runc", "runc", Cluster},
	{"/usr/lib/cni/bridge", "containernetworking-plugins", Cluster},
	{"iptables", "iptables", Cluster},
	{"conntrack", "conntrack", Cluster},
	{"ipset", "ipset", Cluster},
	{"ip", "iproute2", Cluster},
}

// Debian checks that the programs that are needed are there. What is missing is installed if install is set, which needs root; else the
// error holds the line that does it.
func Debian(ctx context.Context, needs []Need, install bool, out io.Writer) error {
	pkgs := missing(needs, look)
	if len(pkgs) == 0 {
		return nil
	}
	line := "apt-get install -y --no-install-recommends " + strings.Join(pkgs, " ")
	if !install {
		return errors.New("programs are missing: sudo " + line)
	}
	sayf(out, "%s", line)
	if err := run(ctx, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	args := append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"}, pkgs...)
	return run(ctx, "env", args...)
}

// missing lists the packages of the programs that look does not find, each once.
func missing(needs []Need, look func(string) bool) []string {
	var pkgs []string
	for _, t := range tools {
		if slices.Contains(needs, t.need) && !look(t.program) && !slices.Contains(pkgs, t.pkg) {
			pkgs = append(pkgs, t.pkg)
		}
	}
	return pkgs
}

// look finds a program on the path, or where Debian keeps those of root.
func look(program string) bool { return Program(program) != "" }

// Program is the path of a program, "" if it is missing.
func Program(name string) string {
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	return ""
}
