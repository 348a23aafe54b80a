package kube

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/pki"
)

//go:embed templates
var templates embed.FS

// files are the configuration files, by their path below the state, and their templates.
var files = map[string]string{
	"kubeconfig":                               "kubeconfig.tmpl",
	"conf/kubelet.yaml":                        "kubelet.yaml.tmpl",
	"conf/containerd.toml":                     "containerd.toml.tmpl",
	"conf/certs.d/" + Registry + "/hosts.toml": "hosts.toml.tmpl",
	"conf/cni/10-bridge.conflist":              "bridge.conflist.tmpl",
	"conf/resolv.conf":                         "resolv.conf.tmpl",
	"conf/Corefile":                            "Corefile.tmpl",
}

// view is what a template sees.
type view struct {
	*Cluster

	IP, Registry, Node, Subnet, Bridge string
}

// Path is here for templates.
func (c *Cluster) Path(elem ...string) string { return c.path(elem...) }

// furnish makes what must be there before the first process starts: keys, once, and configuration.
func (c *Cluster) furnish() error {
	if _, err := os.Stat(c.path("keys", "made")); err != nil {
		if err := c.keys(); err != nil {
			return fmt.Errorf("make keys: %w", err)
		}
	}
	if err := c.link("kubectl", c.program("kubernetes", "kubectl")); err != nil {
		return err
	}
	v := view{c, IP, Registry, Node, subnet, bridge}
	for path, name := range files {
		t, err := template.ParseFS(templates, "templates/"+name)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := t.Execute(&text, v); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(c.path(path)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(path), text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// link names a program of this cluster's versions, so that people and Down find it.
func (c *Cluster) link(name, program string) error {
	_ = os.Remove(c.path(name))
	return os.Symlink(program, c.path(name))
}

// keys makes the certificates of the API server, of the proxy that it is for its extensions, of the controller manager and the scheduler,
// and of the administrator. That of sa signs the tokens of service accounts.
func (c *Cluster) keys() error {
	ca, err := pki.New(c.path("keys"), time.Now())
	if err != nil {
		return err
	}
	if err := ca.Issue("apiserver", IP, "127.0.0.1", "10.96.0.1", "localhost", Node,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"); err != nil {
		return err
	}
	if err := ca.Issue("managers", "127.0.0.1"); err != nil {
		return err
	}
	for _, name := range []string{"front-proxy", "sa"} {
		if err := ca.Issue(name); err != nil {
			return err
		}
	}
	if err := ca.Member("admin", "system:masters"); err != nil {
		return err
	}
	return os.WriteFile(c.path("keys", "made"), nil, 0o600)
}

// run runs a program to its end; an error holds what it said last.
func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	return nil
}
