package datasets

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/rights"
)

const shareHelp = `Share makes the folders of the warehouse and of the datasets that are published, and lets each function write and read there what is its own, by
access control lists of HDFS. It is for sites where functions are users of HDFS of their own, which ALMANAC_HDFS_USERS names. Publish does the same for
what it publishes. What users may who are no functions stays as it is, but that the group may not write.`

// sharing is what share prints.
type sharing struct {
	DryRun bool     `json:"dry_run"`
	Shared []string `json:"shared"` // folders that functions were let into, or would be
}

func newShare(o *command.Options) *cobra.Command {
	var dry, all bool
	cmd := &cobra.Command{
		Use: "share", Short: "Let each function write and read what is its own on HDFS", Long: shareHelp, Args: command.Args(cobra.NoArgs),
		Example: "  almanac datasets share --config cluster.yaml\n  almanac datasets share --config cluster.yaml --dry-run",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shareAll(cmd.Context(), o, dry, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "go through all that lies in the folders, also where they let functions in already")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func shareAll(ctx context.Context, o *command.Options, dry, all bool) error {
	cfg, err := users(ctx, o)
	switch {
	case err != nil:
		return err
	case cfg.Users == "":
		return command.Exit(command.Usage, errors.New("nobody is to be let in: name the users of HDFS that functions are by ALMANAC_HDFS_USERS, "+
			"which is hdfs.users in the file of --config, such as almanac-{function}"))
	}
	found, err := open.Datasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = found.Close() }()
	datasets, err := found.Datasets()
	if err != nil {
		return err
	}
	shared, err := share(ctx, o, cfg, datasets, dry, all)
	if err != nil {
		return err
	}
	if o.JSON {
		return o.PrintJSON(sharing{dry, shared})
	}
	printShared(o, shared, dry)
	if len(shared) == 0 {
		o.Printf("each function may write and read what is its own already; nothing to do\n")
	}
	return nil
}

func printShared(o *command.Options, shared []string, dry bool) {
	verb := "let functions into"
	if dry {
		verb = "functions would be let into"
	}
	for _, folder := range shared {
		o.Printf("%s %s\n", verb, folder)
	}
}

// users is how HDFS is reached, and which users of it functions are: none if Users is empty.
func users(ctx context.Context, o *command.Options) (hdfs.Config, error) {
	var common fn.Common
	var cfg hdfs.Config
	env, err := o.Variables()
	if err != nil {
		return cfg, err
	}
	if o.Config == "" {
		return cfg, nil
	}
	if err := fn.Load(ctx, env, &common); err != nil || !strings.HasPrefix(common.Warehouse, "hdfs://") {
		return cfg, err
	}
	return cfg, fn.Load(ctx, env, &cfg)
}

// share lets functions into the folders of datasets, where they are users of HDFS of their own, and lists those that it changed, or would.
func share(ctx context.Context, o *command.Options, cfg hdfs.Config, datasets []*dataset.Dataset, dry, all bool) ([]string, error) {
	shared := []string{}
	if cfg.Users == "" {
		return shared, nil
	}
	err := open.HDFS(ctx, o, func(f *hdfs.FS) error { //nolint:contextcheck // calls of WebHDFS have deadlines of their own
		change := func(g hdfs.Grant) (bool, error) { return f.Grant(g, all) }
		if dry {
			change = f.Lacks
		}
		var errs []error
		for _, folder := range rights.Of(datasets...) {
			changed, err := change(hdfs.Grant{
				Folder: folder.Path, Closed: folder.Closed,
				Pass: named(cfg, folder.Pass), Read: named(cfg, folder.Read), Write: named(cfg, folder.Write),
			})
			if changed {
				shared = append(shared, folder.Path)
			}
			if errs = append(errs, err); err != nil && !errors.Is(err, fs.ErrPermission) {
				break
			}
		}
		return errors.Join(errs...)
	})
	return shared, err
}

// named are the users that functions are.
func named(cfg hdfs.Config, functions []string) []string {
	all := make([]string, len(functions))
	for i, name := range functions {
		all[i] = cfg.UserOf(name)
	}
	return all
}
