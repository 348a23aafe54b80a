package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
)

// image is what an image is made of.
type image struct {
	from       string // program, or folder that becomes the root
	user       string
	entrypoint string
}

// pushed is what was pushed of an image: when its source is the same and the registry still has it, it is not pushed again.
type pushed struct {
	Source    string `json:"source"`
	Reference string `json:"reference"`
}

// images builds what the cluster needs, pushes it to the registry, and returns the references by name, with digests.
func (c *Cluster) images(ctx context.Context) (map[string]string, error) {
	began := time.Now()
	list, err := c.wanted(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]pushed{}
	if b, err := os.ReadFile(c.path("registry", "pushed.json")); err == nil {
		if err := json.Unmarshal(b, &known); err != nil {
			return nil, err
		}
	}
	references, n := map[string]string{}, 0
	for _, name := range slices.Sorted(maps.Keys(list)) {
		source, err := stamp(list[name].from)
		if err != nil {
			return nil, err
		}
		if k := known[name]; k.Source != source || !c.has(ctx, k.Reference) {
			if known[name], err = c.push(ctx, name, source, list[name]); err != nil {
				return nil, err
			}
			n++
		}
		references[name] = known[name].Reference
	}
	b, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	c.host().Sayf("%-24s %d of %d pushed in %.1fs", "images", n, len(list), time.Since(began).Seconds())
	return references, os.WriteFile(c.path("registry", "pushed.json"), b, 0o600)
}

// wanted are the images of the cluster: those of Knative's programs, Envoy, and two of the lab's own.
func (c *Cluster) wanted(ctx context.Context) (map[string]image, error) {
	list := map[string]image{}
	for _, m := range artifact.Modules {
		if m.Name != "knative" {
			continue
		}
		for name := range m.Programs {
			list[name] = image{from: c.program(m.Name, name), user: "65532", entrypoint: "/ko-app/app"}
		}
	}
	for _, name := range []string{"pause", "probe"} {
		program := c.path("data", "images", name)
		if err := artifact.Go(ctx, c.Repo, "./tests/lab/image/"+name, program, ""); err != nil {
			return nil, err
		}
		list[name] = image{from: program, user: "65532", entrypoint: "/ko-app/app"}
	}
	root, err := c.envoy(ctx)
	list["envoy"] = image{from: root, user: "65534", entrypoint: "/usr/local/bin/envoy"}
	return list, err
}

// libraries are those that Envoy is linked to, and that which finds names for it; all of them belong to glibc.
var libraries = []string{
	"libc.so.6", "libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2", "ld-linux-x86-64.so.2",
}

// envoy lays out a root folder with Envoy and this machine's glibc.
func (c *Cluster) envoy(ctx context.Context) (string, error) {
	program, err := artifact.Envoy(ctx, c.Cache, c.Out)
	if err != nil {
		return "", err
	}
	root := c.path("data", "images", "envoy")
	links := map[string]string{"usr/local/bin/envoy": program}
	for _, lib := range libraries {
		dir := "lib/x86_64-linux-gnu"
		if strings.HasPrefix(lib, "ld-") {
			dir = "lib64"
		}
		links[filepath.Join(dir, lib)] = filepath.Join("/", dir, lib)
	}
	for at, to := range links {
		path := filepath.Join(root, at)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.Symlink(to, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	etc := filepath.Join(root, "etc")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(etc, "passwd"), []byte("nobody:x:65534:65534::/:/sbin/nologin\n"), 0o644); err != nil {
		return "", err
	}
	return root, os.WriteFile(filepath.Join(etc, "nsswitch.conf"), []byte("hosts: files dns\n"), 0o644)
}

func (c *Cluster) push(ctx context.Context, name, source string, i image) (pushed, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program("registry", "registry"), "push", "-user", i.user, "-entrypoint", i.entrypoint, Registry+"/"+name+":lab", i.from)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return pushed{}, fmt.Errorf("push %s: %w\n%s", name, err, stderr.String())
	}
	return pushed{Source: source, Reference: strings.TrimSpace(string(out))}, nil
}

// has asks the registry for an image by its digest.
func (c *Cluster) has(ctx context.Context, reference string) bool {
	name, digest, ok := strings.Cut(strings.TrimPrefix(reference, Registry+"/"), "@")
	return ok && c.get("http://"+Registry+"/v2/"+name+"/manifests/"+digest)(ctx) == nil
}

// stamp changes whenever a program, or one of the files of a folder, was made anew.
func stamp(from string) (string, error) {
	text := ""
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		text += fmt.Sprintf("%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return text, err
}
