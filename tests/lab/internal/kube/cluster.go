// Package kube runs a Kubernetes of one node on this machine, from programs that were built of pinned Go modules.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/knative"
	"github.com/almanac-data/almanac/tests/lab/internal/node"
	"github.com/almanac-data/almanac/tests/lab/internal/proc"
	"github.com/almanac-data/almanac/tests/lab/internal/server"
)

// Where the cluster is. There is one on a machine at a time.
const (
	IP       = "10.244.0.1"    // of the node: that of the bridge, which pods and this machine reach alike
	Registry = IP + ":5000"    // of images, without TLS
	Ingress  = IP + ":31080"   // Kourier's
	Node     = "almanac-lab"   // the node's name
	subnet   = "10.244.0.0/24" // of pods
	services = "10.96.0.0/16"
	bridge   = "almanac0"
)

// Cluster is the Kubernetes of one checkout. Its methods may be called again at any time: they do what is missing.
type Cluster struct {
	Repo    string // the checkout
	Cache   string // programs, shared between checkouts
	Out     io.Writer
	Install bool // may install Debian packages

	bin map[string]string // folder of the programs of each module
}

// New is the cluster of a checkout.
func New(repo, cache string, out io.Writer, install bool) *Cluster {
	if cache == "" {
		cache = filepath.Join(repo, ".cache", "lab", "artifacts")
	}
	return &Cluster{Repo: repo, Cache: cache, Out: out, Install: install, bin: map[string]string{}}
}

// Up starts what does not run, and waits until Kubernetes and Knative are healthy.
func (c *Cluster) Up(ctx context.Context) error {
	if err := node.Suitable(os.Getuid(), "/"); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := artifact.Debian(ctx, []artifact.Need{artifact.Cluster}, c.Install, c.Out); err != nil {
		return err
	}
	if err := c.build(ctx); err != nil {
		return err
	}
	if _, err := c.firewall(ctx); err != nil {
		return err
	}
	if err := c.bridge().Up(ctx); err != nil {
		return err
	}
	if err := c.furnish(); err != nil {
		return err
	}
	if err := c.host().Start(ctx, c.registry()); err != nil {
		return err
	}
	images, err := c.images(ctx)
	if err != nil {
		return err
	}
	if err := c.host().Up(ctx, c.Servers()); err != nil {
		return err
	}
	return c.knative(ctx, images)
}

// Ready tells the user of the cluster how to reach it.
func (c *Cluster) Ready() {
	c.host().Sayf("kubectl        %s --kubeconfig %s", c.path("kubectl"), c.Kubeconfig())
	c.host().Sayf("services       http://%s with the header Host: <service>.<namespace>.%s", Ingress, knative.Domain)
	c.host().Sayf("registry       %s; %s push %s/<name>:<tag> <program or folder>", Registry, c.program("registry", "registry"), Registry)
	c.host().Sayf("source files   %s, for volumes of the type hostPath", c.path("files"))
}

// Status prints a line for each process of the cluster and each deployment in it. It is an error if one of them is not healthy.
func (c *Cluster) Status(ctx context.Context) error {
	if _, err := os.Stat(c.path("env")); err != nil {
		return errors.New("the cluster is not up: make cluster")
	}
	if err := c.build(ctx); err != nil {
		return err
	}
	ill, memory, err := c.host().Status(ctx, append([]server.Server{c.registry()}, c.Servers()...))
	if err != nil {
		return err
	}
	c.host().Sayf("%d MB in these processes, %d MB in pods", memory>>20, c.podMemory()>>20)
	if ill > 0 {
		return fmt.Errorf("%d of the processes are not healthy", ill)
	}
	if err := c.deployments(ctx); err != nil {
		return err
	}
	c.Ready()
	return nil
}

// deployments prints those of Knative and Kourier, and is an error if one lacks pods.
func (c *Cluster) deployments(ctx context.Context) error {
	out, err := c.kubectl().Run(ctx, nil, "get", "deployments", "-A", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Replicas int `json:"replicas"`
			} `json:"spec"`
			Status struct {
				Available int `json:"availableReplicas"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	lacking := 0
	for _, d := range list.Items {
		if !slices.Contains(knative.Namespaces, d.Metadata.Namespace) {
			continue
		}
		c.host().Sayf("%-44s %d of %d", d.Metadata.Namespace+"/"+d.Metadata.Name, d.Status.Available, d.Spec.Replicas)
		if d.Status.Available < d.Spec.Replicas {
			lacking++
		}
	}
	if lacking > 0 {
		return fmt.Errorf("%d deployments lack pods", lacking)
	}
	return nil
}

// Kubeconfig is the file by which kubectl and others administer the cluster.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// knative applies what runs in the cluster, and writes the env file last: who finds it finds everything.
func (c *Cluster) knative(ctx context.Context, images map[string]string) error {
	began := time.Now()
	k := knative.Knative{
		Kubectl: c.kubectl(), Modules: filepath.Join(c.Repo, "tests", "lab", "modules"), Images: images,
		Folder: c.path("conf", "knative"), IngressPort: 31080,
	}
	if err := k.Up(ctx); err != nil {
		return fmt.Errorf("knative: %w", err)
	}
	c.host().Sayf("%-24s ready in %.1fs", "knative", time.Since(began).Seconds())
	return os.WriteFile(c.path("env"), []byte(c.env(images)), 0o600)
}

// env says where everything is, one KEY=value a line.
func (c *Cluster) env(images map[string]string) string {
	var text strings.Builder
	for _, pair := range [][2]string{
		{"KUBECONFIG", c.Kubeconfig()},
		{"CLUSTER_KUBECTL", c.path("kubectl")},
		{"CLUSTER_ADDRESS", IP},
		{"CLUSTER_REGISTRY", Registry},
		{"CLUSTER_PUSH", c.program("registry", "registry")},
		{"CLUSTER_INGRESS", Ingress},
		{"CLUSTER_DOMAIN", knative.Domain},
		{"CLUSTER_FILES", c.path("files")},
		{"CLUSTER_HOSTS", c.Hosts()},
		{"CLUSTER_PROBE_IMAGE", images["probe"]},
	} {
		fmt.Fprintf(&text, "%s=%s\n", pair[0], pair[1])
	}
	return text.String()
}

// Hosts is a file in the form of /etc/hosts, of machines that pods are to know by name. It need not be there, and is read again when it changes.
func (c *Cluster) Hosts() string { return c.path("hosts") }

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.Repo, ".cache", "lab", "kube"}, elem...)...)
}

func (c *Cluster) bridge() node.Bridge {
	return node.Bridge{Name: bridge, Address: IP + "/24", Services: services, Notes: c.path("run"), Root: "/"}
}

// firewall remembers the rules of this machine from before the cluster.
func (c *Cluster) firewall(ctx context.Context) (node.Firewall, error) {
	f := node.Firewall{Note: c.path("run", "firewall")}
	_, runs, err := proc.Read(c.host().PIDFile("kubelet"))
	if err != nil {
		return f, err
	}
	return f, f.Remember(ctx, runs)
}

func (c *Cluster) host() server.Host { return server.Host{Root: c.path(), Out: c.Out} }

func (c *Cluster) kubectl() knative.Kubectl {
	return knative.Kubectl{Program: c.path("kubectl"), Kubeconfig: c.Kubeconfig()}
}

func (c *Cluster) program(module, name string) string { return filepath.Join(c.bin[module], name) }

// lock makes the folders of the state, and keeps a second command off it.
func (c *Cluster) lock() (unlock func(), err error) {
	for _, dir := range []string{"conf", "data", "keys", "log", "run", "registry"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(c.path("files"), 0o755); err != nil {
		return nil, err
	}
	return c.host().Lock()
}

func (c *Cluster) build(ctx context.Context) error {
	for _, m := range artifact.Modules {
		dir, err := artifact.Build(ctx, filepath.Join(c.Repo, "tests", "lab", "modules"), c.Cache, m, c.Out)
		if err != nil {
			return err
		}
		c.bin[m.Name] = dir
	}
	return nil
}
