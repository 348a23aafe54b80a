package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/node"
	"github.com/almanac-data/almanac/tests/lab/internal/proc"
	"github.com/almanac-data/almanac/tests/lab/internal/server"
)

// Down stops every pod and process of the cluster and removes its mounts and its rules of the firewall. What Kubernetes and the
// registry know stays, and the bridge, on whose address the lab may listen; wipe removes these, too.
func (c *Cluster) Down(ctx context.Context, wipe bool) error {
	if _, err := os.Stat(c.path()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(c.path("env")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	firewall, forgotten := c.firewall(ctx)
	// Without these two nothing starts pods anew.
	failed := errors.Join(forgotten, c.host().Down(ctx, []server.Server{{Name: "kube-controller-manager"}, {Name: "kube-scheduler"}}))
	c.drain(ctx)
	failed = errors.Join(failed, c.host().Down(ctx, []server.Server{
		{Name: "registry", Stage: 0}, {Name: "etcd", Stage: 0}, {Name: "containerd", Stage: 0},
		{Name: "kube-apiserver", Stage: 1}, {Name: "kube-proxy", Stage: 2}, {Name: "coredns", Stage: 2}, {Name: "kubelet", Stage: 3}, {Name: "kube-router", Stage: 3},
	}))
	for _, id := range proc.Under(c.path("run", "containerd")) { // the shims of containers
		failed = errors.Join(failed, proc.End(ctx, id))
	}
	failed = errors.Join(failed, node.Unmount(c.path()), node.Ungroup(), firewall.Clear(ctx))
	if failed != nil || !wipe {
		return failed
	}
	return errors.Join(c.bridge().Down(ctx), os.RemoveAll(c.path()))
}

// drain ends all pods in the way of Kubernetes, so that the network of each is undone, and by force what did not go by then.
func (c *Cluster) drain(ctx context.Context) {
	_, running, _ := proc.Read(c.host().PIDFile("containerd"))
	if !running {
		return
	}
	if err := c.deletePods(ctx); err != nil {
		c.host().Sayf("pods are ended by force: %v", err)
	}
	deadline := time.Now().Add(40 * time.Second)
	for len(c.ids(ctx, "task")) > 0 && time.Now().Before(deadline) {
		time.Sleep(300 * time.Millisecond)
	}
	for _, id := range c.ids(ctx, "task") {
		_, _ = c.ctr(ctx, "task", "kill", "-s", "SIGKILL", id)
		_, _ = c.ctr(ctx, "task", "rm", "-f", id)
	}
	for _, id := range c.ids(ctx, "container") { // kubelet would come to it within a minute
		_, _ = c.ctr(ctx, "container", "rm", id)
	}
}

func (c *Cluster) deletePods(ctx context.Context) error {
	_, err := c.kubectl().Run(ctx, nil, "delete", "pods", "--all", "-A", "--grace-period=1", "--wait=false", "--request-timeout=20s")
	return err
}

// ids are those of the tasks or containers that containerd knows; none if nobody answers.
func (c *Cluster) ids(ctx context.Context, of string) []string {
	out, err := c.ctr(ctx, of, "ls", "-q")
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

func (c *Cluster) ctr(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, artifact.Program("ctr"), append([]string{"-a", c.path("run", "containerd.sock"), "-n", "k8s.io"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ctr: %w\n%s", err, bytes.TrimSpace(out))
	}
	return out, nil
}

// podMemory is what the pods of Kubernetes hold in memory, in bytes, by the control groups of either version.
func (c *Cluster) podMemory() int64 {
	for file, field := range map[string]string{
		"/sys/fs/cgroup/memory/kubepods/memory.stat": "total_rss",
		"/sys/fs/cgroup/kubepods/memory.stat":        "anon",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			var n int64
			if _, err := fmt.Sscanf(line, field+" %d", &n); err == nil {
				return n
			}
		}
	}
	return 0
}
