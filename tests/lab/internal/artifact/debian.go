package artifact

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// tool is a program that the lab runs, and the Debian package that holds it.
type tool struct {
	program, pkg string
	secure       bool // needed by the secured form only
}

var tools = []tool{
	{"java", "openjdk-17-jre-headless", false},
	{"mvn", "maven", false},
	{"python3", "python3-pip", false},
	{"curl", "curl", false},
	{"keytool", "openjdk-17-jre-headless", true},
	{"openssl", "openssl", true},
	{"krb5kdc", "krb5-kdc", true},
	{"kdb5_util", "krb5-kdc", true},
	{"kadmin.local", "krb5-admin-server", true},
	{"kinit", "krb5-user", true},
	{"haproxy", "haproxy", true},
}

// Debian checks that the programs are there. What is missing is installed if install is set, which needs root; else the
// error holds the line that does it.
func Debian(ctx context.Context, secure, install bool, out io.Writer) error {
	pkgs := missing(secure, look)
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
func missing(secure bool, look func(string) bool) []string {
	var pkgs []string
	for _, t := range tools {
		if (!t.secure || secure) && !look(t.program) && !slices.Contains(pkgs, t.pkg) {
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
