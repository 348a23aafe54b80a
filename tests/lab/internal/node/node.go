// Package node makes this machine a node of Kubernetes and undoes it: the bridge of the pods, mounts, control groups, rules of the firewall.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// Suitable tells what a machine lacks to be a node, all at once. root is / but in tests.
func Suitable(uid int, root string) error {
	var lacks []error
	if uid != 0 {
		lacks = append(lacks, errors.New("a node is run by root: sudo make cluster"))
	}
	read := func(path string) string {
		b, _ := os.ReadFile(filepath.Join(root, path))
		return string(b)
	}
	if !strings.Contains(read("proc/filesystems"), "\toverlay\n") {
		lacks = append(lacks, errors.New("the kernel has no overlay file system: modprobe overlay"))
	}
	if read("proc/sys/net/bridge/bridge-nf-call-iptables") == "" {
		lacks = append(lacks, errors.New("the kernel does not show bridged packets to iptables: modprobe br_netfilter"))
	}
	mounts := read("proc/self/mounts")
	for _, controller := range []string{"cpu", "memory", "pids", "cpuset"} {
		if !controls(mounts, read("sys/fs/cgroup/cgroup.controllers"), controller) {
			lacks = append(lacks, fmt.Errorf("the control group controller %s is not mounted, neither by version 1 nor by version 2 at /sys/fs/cgroup", controller))
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("this machine cannot be a node of Kubernetes:\n%w", errors.Join(lacks...))
	}
	return nil
}

// controls reports whether a controller is in the unified hierarchy, or mounted by version 1.
func controls(mounts, unified, controller string) bool {
	if slices.Contains(strings.Fields(unified), controller) {
		return true
	}
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) > 3 && f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), controller) {
			return true
		}
	}
	return false
}

// settings of the kernel without which pods reach nobody: packets are forwarded, and those on the bridge shown to iptables.
var settings = []string{"proc/sys/net/ipv4/ip_forward", "proc/sys/net/bridge/bridge-nf-call-iptables"}

// Bridge is that of the pods.
type Bridge struct {
	Name    string
	Address string // of the node on it, with the length of its prefix
	Notes   string // folder of a file for each setting of the kernel, which remembers what it was before
	Root    string // / but in tests
	// Services is the network of the services' addresses. What is sent to one that has no rules yet must not leave the machine, where something else
	// may answer: a proxy that keeps such a connection would go on asking there.
	Services string
}

// Up makes the bridge and lets packets be forwarded.
func (b Bridge) Up(ctx context.Context) error {
	if !b.there() {
		if err := run(ctx, "ip", "link", "add", b.Name, "type", "bridge"); err != nil {
			return err
		}
	}
	if err := run(ctx, "ip", "addr", "replace", b.Address, "dev", b.Name); err != nil {
		return err
	}
	if err := run(ctx, "ip", "link", "set", b.Name, "up"); err != nil {
		return err
	}
	if err := run(ctx, "ip", "route", "replace", b.Services, "dev", b.Name); err != nil {
		return err
	}
	for _, setting := range settings {
		if err := b.set(setting); err != nil {
			return err
		}
	}
	return nil
}

// set turns a setting on, and remembers what it was, unless that is remembered already.
func (b Bridge) set(setting string) error {
	note, path := filepath.Join(b.Notes, filepath.Base(setting)), filepath.Join(b.Root, setting)
	if _, err := os.Stat(note); err != nil {
		was, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := keep(note, was); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte("1"), 0o600)
}

// reset undoes set. A setting that is gone with its module needs nothing.
func (b Bridge) reset(setting string) error {
	note := filepath.Join(b.Notes, filepath.Base(setting))
	was, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(b.Root, setting), was, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(note)
}

// Down undoes Up.
func (b Bridge) Down(ctx context.Context) error {
	var failed error
	if b.there() {
		failed = run(ctx, "ip", "link", "del", b.Name)
	}
	for _, setting := range settings {
		failed = errors.Join(failed, b.reset(setting))
	}
	return failed
}

func (b Bridge) there() bool {
	_, err := os.Stat(filepath.Join(b.Root, "sys/class/net", b.Name))
	return err == nil
}

// Ungroup removes the control groups of pods, which are empty by then, from every hierarchy.
func Ungroup() error {
	var groups []string
	tops, err := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	if err != nil {
		return err
	}
	for _, top := range append(tops, "/sys/fs/cgroup/kubepods") {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
	}
	var failed error
	for _, group := range slices.Backward(groups) {
		if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// Unmount unmounts what is mounted below a folder, the innermost first. One that is still in use goes once nobody uses it.
func Unmount(dir string) error {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var failed error
	for _, path := range slices.Backward(below(string(b), dir)) {
		if err := unix.Unmount(path, 0); err != nil {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				failed = errors.Join(failed, fmt.Errorf("unmount %s: %w", path, err))
			}
		}
	}
	return failed
}

// below are the mount points under a folder, in the order of their mounting.
func below(mounts, dir string) []string {
	var paths []string
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(f[1])
		if strings.HasPrefix(path, dir+"/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// run runs a program to its end; an error holds what it said last.
func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, artifact.Program(name), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	return nil
}
