package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Module is a Go module below tests/lab/modules, whose go.mod and go.sum pin the programs that are built of it.
type Module struct {
	Name     string
	Programs map[string]string // package by the name of the program
	stamp    string            // module whose version the programs of Kubernetes are told
}

// Modules are the programs of the cluster. Those of Knative run in containers, the others beside them.
var Modules = []Module{
	{Name: "registry", Programs: map[string]string{"registry": "."}},
	{Name: "etcd", Programs: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"}},
	{Name: "coredns", Programs: map[string]string{"coredns": "."}},
	{Name: "kubernetes", stamp: "k8s.io/kubernetes", Programs: map[string]string{
		"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
		"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
		"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
		"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
		"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
		"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
	}},
	{Name: "kube-router", Programs: map[string]string{"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"}},
	{Name: "knative", Programs: map[string]string{
		"eventing-controller": "knative.dev/eventing/cmd/controller",
		"eventing-jobsink":    "knative.dev/eventing/cmd/jobsink",
		"eventing-mtping":     "knative.dev/eventing/cmd/mtping",
		"eventing-webhook":    "knative.dev/eventing/cmd/webhook",
		"net-kourier":         "knative.dev/net-kourier/cmd/kourier",
		"serving-activator":   "knative.dev/serving/cmd/activator",
		"serving-autoscaler":  "knative.dev/serving/cmd/autoscaler",
		"serving-controller":  "knative.dev/serving/cmd/controller",
		"serving-queue":       "knative.dev/serving/cmd/queue",
		"serving-webhook":     "knative.dev/serving/cmd/webhook",
	}},
}

// patience is for the programs of one module on a busy machine: Kubernetes takes twenty minutes of processor time.
const patience = 2 * time.Hour

// Build builds the programs of a module into the cache, once for what its files pin, and returns their folder.
func Build(ctx context.Context, modules, cache string, m Module, out io.Writer) (string, error) {
	src := filepath.Join(modules, m.Name)
	sum, err := sources(src)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kube", m.Name+"-"+sum)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	return dir, once(dir, func(string) bool { return true }, func(tmp string) error {
		sayf(out, "building the programs of %s", m.Name)
		flags, err := m.linker(ctx, src)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(m.Programs)) {
			if err := Go(ctx, src, m.Programs[name], filepath.Join(tmp, name), flags); err != nil {
				return fmt.Errorf("build %s: %w", name, err)
			}
		}
		return nil
	})
}

// Go builds one package of the module in dir as a program that needs no library of the machine.
func Go(ctx context.Context, dir, pkg, program, linker string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w "+linker), "-o", program, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, b[max(0, len(b)-2000):])
	}
	return nil
}

// linker are the flags by which the programs of Kubernetes are told their version: they refuse one that is no number.
func (m Module) linker(ctx context.Context, src string) (string, error) {
	if m.stamp == "" {
		return "", nil
	}
	version, err := list(ctx, src, "{{.Version}}", m.stamp)
	if err != nil {
		return "", err
	}
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	const at = "-X k8s.io/component-base/version."
	return fmt.Sprintf("%sgitVersion=%s %sgitMajor=%s %sgitMinor=%s -X k8s.io/client-go/pkg/version.gitVersion=%s",
		at, version, at, major, at, minor, version), nil
}

// Source is the folder of a module's dependency in the module cache, which is filled if need be.
func Source(ctx context.Context, modules, module, dependency string) (string, error) {
	dir := filepath.Join(modules, module)
	at, err := list(ctx, dir, "{{.Dir}}", dependency)
	if err != nil || at != "" {
		return at, err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", dependency)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go mod download %s: %w\n%s", dependency, err, b)
	}
	return list(ctx, dir, "{{.Dir}}", dependency)
}

// list asks go list about one module that the module in dir needs.
func list(ctx context.Context, dir, format, dependency string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", format, dependency)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s in %s: %w", dependency, dir, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// sources is a digest of all that decides what a module's programs are: its files, tests aside.
func sources(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range entries {
		if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		sum, err := digest(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintln(h, sum, e.Name())
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}
