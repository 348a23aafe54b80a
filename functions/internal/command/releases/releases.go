// Package releases has the commands that list, show and verify releases.
package releases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// New is almanac releases.
func New(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "releases", Short: "List, show and verify releases",
		Example: "  almanac releases list flights\n  almanac releases show training-2001-01.1\n  almanac releases verify training-2001-01.1",
	}
	cmd.AddCommand(newList(o), newShow(o), newVerify(o))
	return cmd
}

// listed is a release, as releases list prints it.
type listed struct {
	Dataset string          `json:"dataset"`
	Version string          `json:"version"`
	Window  release.Window  `json:"window"`
	Rows    int64           `json:"rows"`
	Bytes   int64           `json:"bytes"`
	Content string          `json:"content_sha256"`
	Stale   json.RawMessage `json:"stale,omitempty"`
}

// warehouse opens the folder of releases of a data folder.
func warehouse(o *command.Options) (fs.FS, error) {
	dir := o.Data + "/warehouse/releases"
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there are no releases in %s yet; make some with: almanac run --data %s", o.Data, o.Data)
	}
	return os.DirFS(dir), nil
}

// withReleases gives the folder of releases. They never change, so a data folder need not be taken for that.
func withReleases(ctx context.Context, o *command.Options, do func(fs.FS) error) error {
	if o.Config == "" {
		releases, err := warehouse(o)
		if err != nil {
			return err
		}
		return do(releases)
	}
	env, err := o.Environment()
	if err != nil {
		return err
	}
	warehouse, done, err := platform.Warehouse(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	return do(warehouse.FS("releases"))
}

// releasePaths lists <dataset>/<version> of every release, in order.
func releasePaths(releases fs.FS, dataset string) ([]string, error) {
	found, err := fs.Glob(releases, "*/*/manifest.json")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, manifest := range found {
		p := path.Dir(manifest)
		if strings.HasPrefix(path.Base(p), ".") || dataset != "" && path.Dir(p) != dataset {
			continue
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// findRelease finds a version in any dataset; <dataset>/<version> names it where two have the same.
func findRelease(releases fs.FS, name string) (string, error) {
	all, err := releasePaths(releases, "")
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range all {
		if p == name || path.Base(p) == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", command.Exit(command.Usage, fmt.Errorf("there is no release %q; see almanac releases list", name))
	}
	return "", command.Exit(command.Usage, fmt.Errorf("%q is in several datasets: name one of %s", name, strings.Join(found, ", ")))
}

func manifestOf(releases fs.FS, path string) (m release.Manifest, err error) {
	raw, err := fs.ReadFile(releases, path+"/manifest.json")
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("read manifest of %s: %w", path, err)
	}
	return m, nil
}

func newList(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "list [dataset]", Short: "List the releases", Args: command.Args(cobra.MaximumNArgs(1)),
		Example: "  almanac releases list\n  almanac releases list flights --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withReleases(cmd.Context(), o, func(releases fs.FS) error {
				list, err := listReleases(releases, strings.Join(args, ""))
				if err != nil {
					return err
				}
				return printReleases(o, list)
			})
		},
	}
}

func listReleases(releases fs.FS, dataset string) ([]listed, error) {
	paths, err := releasePaths(releases, dataset)
	if err != nil {
		return nil, err
	}
	list := []listed{}
	for _, p := range paths {
		m, err := manifestOf(releases, p)
		if err != nil {
			return nil, err
		}
		l := listed{Dataset: m.Content.Dataset, Version: m.Content.Version, Window: m.Content.Window, Rows: m.Content.Rows.Total, Content: m.ContentSHA256}
		for _, f := range m.Content.Files {
			l.Bytes += f.Bytes
		}
		if raw, err := fs.ReadFile(releases, p+".stale.json"); err == nil {
			l.Stale = raw
		}
		list = append(list, l)
	}
	return list, nil
}

func printReleases(o *command.Options, list []listed) error {
	if o.JSON {
		return o.PrintJSON(list)
	}
	tw := o.Columns()
	tw.Rowf("DATASET\tVERSION\tROWS\tBYTES\tCONTENT\tSTALE")
	for _, l := range list {
		stale := ""
		if l.Stale != nil {
			stale = "yes"
		}
		tw.Rowf("%s\t%s\t%s\t%s\t%.12s\t%s", l.Dataset, l.Version, command.Thousands(l.Rows), command.Thousands(l.Bytes), l.Content, stale)
	}
	return tw.Flush()
}

func newShow(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "show <version>", Short: "Show the manifest of a release", Args: command.Args(cobra.ExactArgs(1)),
		Example: "  almanac releases show training-2001-01.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withReleases(cmd.Context(), o, func(releases fs.FS) error { return showRelease(o, releases, args[0]) })
		},
	}
}

func showRelease(o *command.Options, releases fs.FS, name string) error {
	p, err := findRelease(releases, name)
	if err != nil {
		return err
	}
	m, err := manifestOf(releases, p)
	if err != nil {
		return err
	}
	if o.JSON {
		return o.PrintJSON(m)
	}
	printManifest(o, m)
	if raw, err := fs.ReadFile(releases, p+".stale.json"); err == nil {
		o.Printf("stale: %s\n", strings.TrimSpace(string(raw)))
	}
	return nil
}

func printManifest(o *command.Options, m release.Manifest) {
	c := m.Content
	o.Printf("%s %s: %s, contract %s, %s to %s\n", c.Dataset, c.Version, c.Title, c.Contract, c.Window.Start, c.Window.End)
	o.Printf("content %s, made %s by %s\n", m.ContentSHA256, m.Provenance.PublishedAt.UTC().Format("2006-01-02 15:04:05"), m.Provenance.Code)
	tw := o.Columns()
	for _, f := range c.Files {
		tw.Rowf("  %s\t%s rows\t%s bytes\t%s", f.Path, command.Thousands(f.Rows), command.Thousands(f.Bytes), f.Split)
	}
	_ = tw.Flush() // see Printf
	names := make([]string, len(c.Schema))
	for i, col := range c.Schema {
		names[i] = col.Name + " " + col.Type
	}
	o.Printf("columns: %s\n", strings.Join(names, ", "))
	for _, in := range c.Inputs {
		o.Printf("made of %s: %d windows\n", in.Table, len(in.Windows))
	}
	for _, a := range c.Provisional {
		o.Printf("PROVISIONAL: %s\n", a)
	}
}

func newVerify(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "verify <version>...", Short: "Recompute all that the manifest of a release says, from its files alone", Args: command.Args(cobra.MinimumNArgs(1)),
		Example: "  almanac releases verify training-2001-01.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withReleases(cmd.Context(), o, func(releases fs.FS) error { return verifyAll(cmd.Context(), o, releases, args) })
		},
	}
}

func verifyAll(ctx context.Context, o *command.Options, releases fs.FS, names []string) error {
	reports, bad := []release.Report{}, 0
	for _, name := range names {
		r, err := verify(ctx, releases, name)
		if err != nil {
			return err
		}
		if len(r.Problems) > 0 {
			bad++
		}
		reports = append(reports, r)
	}
	if err := printReports(o, reports); err != nil {
		return err
	}
	if bad > 0 {
		return command.Exit(command.Failed, fmt.Errorf("%d of %d releases are not what their manifest says", bad, len(reports)))
	}
	return nil
}

func verify(ctx context.Context, releases fs.FS, name string) (release.Report, error) {
	p, err := findRelease(releases, name)
	if err != nil {
		return release.Report{}, err
	}
	folder, err := fs.Sub(releases, p)
	if err != nil {
		return release.Report{}, err
	}
	return release.Verify(ctx, folder)
}

func printReports(o *command.Options, reports []release.Report) error {
	if o.JSON {
		return o.PrintJSON(reports)
	}
	for _, r := range reports {
		if len(r.Problems) == 0 {
			o.Printf("%s: verified: %d files, %s rows, %s bytes, content %s\n", r.Version, r.Files, command.Thousands(r.Rows), command.Thousands(r.Bytes), r.Content)
			continue
		}
		o.Printf("%s: NOT what its manifest says\n", r.Version)
		for _, p := range r.Problems {
			o.Printf("  %s\n", p)
		}
	}
	return nil
}
