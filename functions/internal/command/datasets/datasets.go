// Package datasets has the commands that publish datasets into the warehouse, and list and withdraw them.
package datasets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/published"
	"github.com/almanac-data/almanac/functions/internal/published/follow"
)

// New is almanac datasets.
func New(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "datasets", Short: "List the datasets that are published in the warehouse, publish and withdraw them", Args: command.Args(cobra.NoArgs),
		Example: "  almanac datasets --config cluster.yaml\n  almanac datasets --config cluster.yaml --datasets ./spark-jobs --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return listDatasets(cmd.Context(), o) },
	}
	cmd.AddCommand(newPublish(o), newShare(o),
		&cobra.Command{
			Use: "withdraw NAME", Short: "Let nothing more be due of a dataset; what is stored of it stays", Args: command.Args(cobra.ExactArgs(1)),
			Example: "  almanac datasets withdraw flights --config cluster.yaml",
			RunE:    func(cmd *cobra.Command, args []string) error { return withdrawDataset(cmd.Context(), o, args[0]) },
		},
		&cobra.Command{
			Use: "history NAME", Short: "Show who published a dataset and when", Args: command.Args(cobra.ExactArgs(1)),
			Example: "  almanac datasets history flights --config cluster.yaml",
			RunE:    func(cmd *cobra.Command, args []string) error { return datasetHistory(cmd.Context(), o, args[0]) },
		})
	return cmd
}

// localFolder is the folder that is published from: that of --datasets or of the configuration, unless that says published.
func localFolder(ctx context.Context, o *command.Options) (string, error) {
	where, err := open.Place(ctx, o)
	if err == nil && where == platform.Published && !o.Given("datasets") {
		where = o.Datasets
	}
	if err == nil && where == platform.Published {
		err = command.Exit(command.Usage, errors.New("--datasets published names no folder: name the one that holds the datasets' folders"))
	}
	return where, err
}

// followed are the settings of published datasets.
func followed(ctx context.Context, o *command.Options) (follow.Config, error) {
	var cfg follow.Config
	env, err := o.Variables()
	if err == nil {
		err = fn.Load(ctx, env, &cfg)
	}
	return cfg, err
}

// signed is a record with who does something now, and by which code: the principal where there is Kerberos, else the user of this machine.
func signed(ctx context.Context, o *command.Options) (published.Record, error) {
	r := published.Record{At: o.Now().UTC().Truncate(time.Second), Code: o.Version}
	if o.Config != "" {
		env, err := o.Environment()
		if err != nil {
			return r, err
		}
		var who struct {
			Principal string `env:"ALMANAC_HDFS_PRINCIPAL"`
		}
		if err := fn.Load(ctx, env, &who); err != nil {
			return r, err
		}
		r.By = who.Principal
	}
	if r.By == "" {
		u, err := user.Current()
		if err != nil {
			return r, fmt.Errorf("find out who publishes: %w", err)
		}
		host, err := os.Hostname()
		if err != nil {
			return r, fmt.Errorf("find out where this is: %w", err)
		}
		r.By = u.Username + "@" + host
	}
	return r, nil
}

// listedDataset is a dataset as the list prints it.
type listedDataset struct {
	published.Record

	Withdrawn bool   `json:"withdrawn"`
	Local     string `json:"local,omitempty"` // same, differs, or why the folder cannot be read; empty if there is none
}

func listDatasets(ctx context.Context, o *command.Options) error {
	warehouse, done, err := open.Published(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	local, err := describeLocal(ctx, o)
	if err != nil {
		return err
	}
	files := warehouse.FS(published.Root)
	heads, err := published.Heads(files)
	if err != nil {
		return err
	}
	listed := []listedDataset{}
	for _, name := range slices.Sorted(maps.Keys(heads)) {
		r, err := published.Read(files, name, heads[name])
		if err != nil {
			return err
		}
		l := listedDataset{Record: r, Withdrawn: r.Withdrawn()}
		switch version, ok := local[name]; {
		case ok && version == r.Version:
			l.Local = "same"
		case ok:
			l.Local = "differs"
		}
		listed = append(listed, l)
	}
	for _, name := range slices.Sorted(maps.Keys(local)) {
		if _, ok := heads[name]; !ok {
			listed = append(listed, listedDataset{Record: published.Record{Dataset: name}, Local: "not published"})
		}
	}
	if o.JSON {
		return o.PrintJSON(listed)
	}
	if len(listed) == 0 {
		o.Printf("no dataset is published; almanac datasets publish does it\n")
		return nil
	}
	tw := o.Columns()
	tw.Rowf("DATASET\tVERSION\tNO.\tCONTRACT\tPUBLISHED\tBY\tCODE\tFOLDER")
	for _, l := range listed {
		if l.Number == 0 {
			tw.Rowf("%s\t\t\t\t\t\t\t%s", l.Dataset, l.Local)
			continue
		}
		version := published.Short(l.Version)
		if l.Withdrawn {
			version = "withdrawn"
		}
		tw.Rowf("%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s", l.Dataset, version, l.Number, l.Contract, l.At.Format(time.RFC3339), l.By, l.Code, l.Local)
	}
	return tw.Flush()
}

// describeLocal gives the versions of the datasets in the local folder; none if there is no folder. One that cannot be read counts as another version.
func describeLocal(ctx context.Context, o *command.Options) (map[string]string, error) {
	cfg, err := followed(ctx, o)
	if err != nil {
		return nil, err
	}
	dir, err := localFolder(ctx, o)
	if err != nil {
		return nil, err
	}
	folders, err := folder.List(dir)
	if errors.Is(err, fs.ErrNotExist) && !o.Given("datasets") {
		return nil, nil
	}
	versions := map[string]string{}
	for _, folder := range folders {
		m, err := published.Describe(folder, cfg.Bytes)
		if err != nil {
			versions[filepath.Base(folder)] = ""
			continue
		}
		versions[m.Dataset] = m.Version()
	}
	return versions, err
}

func datasetHistory(ctx context.Context, o *command.Options, name string) error {
	warehouse, done, err := open.Published(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	records, err := published.History(warehouse.FS(published.Root), name)
	if err != nil && len(records) == 0 {
		return unknownDataset(warehouse.FS(published.Root), err)
	}
	if o.JSON {
		return errors.Join(o.PrintJSON(records), err)
	}
	tw := o.Columns()
	tw.Rowf("NO.\tWHEN\tWHAT\tVERSION\tCONTRACT\tFILES\tBYTES\tBY\tCODE")
	for _, r := range slices.Backward(records) {
		tw.Rowf("%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s", r.Number, r.At.Format(time.RFC3339), r.Action, published.Short(r.Version), r.Contract, r.Files, r.Bytes, r.By, r.Code)
	}
	return errors.Join(tw.Flush(), err)
}

// unknownDataset says beside an error which datasets there are, if it is that a dataset is none of them.
func unknownDataset(files fs.FS, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, published.ErrName) {
		return err
	}
	heads, listErr := published.Heads(files)
	if listErr != nil {
		return listErr
	}
	return command.Exit(command.Usage, fmt.Errorf("%w; published are: %v", err, slices.Sorted(maps.Keys(heads))))
}

func withdrawDataset(ctx context.Context, o *command.Options, name string) error {
	signed, err := signed(ctx, o)
	if err != nil {
		return err
	}
	warehouse, done, err := open.Published(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	out, err := published.Take(ctx, warehouse, name, signed)
	if err != nil {
		return unknownDataset(warehouse.FS(published.Root), err)
	}
	if o.JSON {
		return o.PrintJSON(struct {
			published.Record

			Done bool `json:"done"`
		}{out.Record, out.Done})
	}
	if !out.Done {
		o.Printf("%s was withdrawn already, at %s by %s\n", name, out.Record.At.Format(time.RFC3339), out.Record.By)
		return nil
	}
	o.Printf("%s is withdrawn (no. %d): nothing more of it is due; its tables, releases and versions stay\nalmanac datasets publish %s brings it back\n",
		name, out.Record.Number, name)
	return nil
}
