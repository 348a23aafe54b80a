package datasets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/folder"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/published"
)

const publishHelp = `Publish checks the folders of datasets, makes the topics that they need, copies the folders to the warehouse as they were checked, and
makes the copies current. Functions with ALMANAC_DATASETS=published go on to them within seconds.

Publishing what is current already changes nothing. Of two publishers at once the later one decides; the history has both.`

func newPublish(o *command.Options) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "publish [NAME...]", Short: "Check datasets, make their topics, and let functions read them from the warehouse", Long: publishHelp,
		Example: "  almanac datasets publish --config cluster.yaml\n  almanac datasets publish flights --config cluster.yaml --datasets ./spark-jobs --dry-run",
		RunE:    func(cmd *cobra.Command, args []string) error { return publish(cmd.Context(), o, args, dry) },
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// candidate is a dataset that is to be published, as a copy that nobody changes.
type candidate struct {
	dir      string
	manifest published.Manifest
	dataset  *dataset.Dataset
}

// publication is what came of one, as --json prints it.
type publication struct {
	Dataset           string            `json:"dataset"`
	Version           string            `json:"version"`
	Number            int               `json:"number"` // of the record in the history
	Contract          string            `json:"contract"`
	Files             int               `json:"files"`
	Bytes             int64             `json:"bytes"`
	Changed           bool              `json:"changed"` // false: it is current already
	DefinitionChanged bool              `json:"definition_changed"`
	Changes           published.Changes `json:"changes"`
	Replaces          *published.Record `json:"replaces,omitempty"`
	Note              string            `json:"note,omitempty"`
}

// publications are what the command prints.
type publications struct {
	DryRun   bool          `json:"dry_run"`
	Datasets []publication `json:"datasets"`
	Topics   []string      `json:"topics"` // that were made, or would be
	Shared   []string      `json:"shared"` // folders of HDFS that functions were let into, or would be
}

func publish(ctx context.Context, o *command.Options, names []string, dry bool) (err error) {
	signed, err := signed(ctx, o)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "almanac-publish-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	all, err := candidates(ctx, o, names, temp)
	if err != nil {
		return err
	}
	loaded := make([]*dataset.Dataset, len(all))
	for i, c := range all {
		loaded[i] = c.dataset
	}
	to, err := openTarget(ctx, o, dry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	result := publications{DryRun: dry, Datasets: []publication{}, Topics: []string{}}
	if result.Topics, err = to.topics(ctx, dataset.NewCatalog(loaded...), dry); err != nil {
		return err
	}
	// Before they are current: functions find the folders that are theirs.
	as, err := users(ctx, o)
	if err == nil {
		result.Shared, err = share(ctx, o, as, loaded, dry, false)
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all {
		p, err := to.put(ctx, c, signed, dry)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		result.Datasets = append(result.Datasets, p)
	}
	return errors.Join(append(errs, printPublications(o, result))...)
}

// candidates copies the named datasets of the folder, or all, and checks the copies. The error names every mistake in every one.
func candidates(ctx context.Context, o *command.Options, names []string, temp string) ([]candidate, error) {
	cfg, err := followed(ctx, o)
	if err != nil {
		return nil, err
	}
	root, err := localFolder(ctx, o)
	if err != nil {
		return nil, err
	}
	folders, err := folder.List(root)
	if err != nil {
		return nil, err
	}
	there := make([]string, len(folders))
	for i, dir := range folders {
		there[i] = filepath.Base(dir)
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("there is no dataset in %s: a dataset is a folder with contract.yaml and pipeline.yaml, see docs/datasets.md", root)
	}
	for _, name := range names {
		if !slices.Contains(there, name) {
			return nil, command.Exit(command.Usage, fmt.Errorf("there is no dataset %q in %s; there are: %s", name, root, strings.Join(there, ", ")))
		}
	}
	var all []candidate
	var errs []error
	for i, dir := range folders {
		if len(names) > 0 && !slices.Contains(names, there[i]) {
			continue
		}
		c := candidate{dir: filepath.Join(temp, there[i])}
		if c.manifest, err = published.Copy(dir, c.dir, cfg.Bytes); err == nil {
			c.dataset, err = folder.Load(c.dir)
		}
		all, errs = append(all, c), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// target is where datasets are published.
type target struct {
	lake    *lake.Lake     // nil if there is none yet
	cluster *kafka.Cluster // nil if there is none yet
	wakes   []string
	close   func() error
}

// openTarget opens the warehouse and the topics of the cluster or of the data folder, which is made if it is missing. To look at a data folder
// its broker is not started.
func openTarget(ctx context.Context, o *command.Options, dry bool) (*target, error) {
	if o.Config != "" {
		return openClusterTarget(ctx, o)
	}
	if dry {
		if _, err := os.Stat(filepath.Join(o.Data, "warehouse")); errors.Is(err, fs.ErrNotExist) {
			return &target{close: func() error { return nil }}, nil
		}
		warehouse, done, err := open.Warehouse(ctx, o)
		return &target{lake: warehouse, close: func() error { done(); return nil }}, err
	}
	none := dataset.NewCatalog()
	s, err := state.Hold(ctx, o, &platform.Datasets{Catalog: none, Schedule: none}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return &target{lake: s.Lake, cluster: s.Cluster, close: s.Close}, nil
}

func openClusterTarget(ctx context.Context, o *command.Options) (*target, error) {
	env, err := o.Environment()
	if err != nil {
		return nil, err
	}
	var cfg kafka.Settings
	if err := fn.Load(ctx, env, &cfg); err != nil {
		return nil, err
	}
	warehouse, done, err := platform.Warehouse(ctx, env)
	if err != nil {
		return nil, err
	}
	cluster, err := kafka.Open(ctx, cfg.Config("almanac", o.Now))
	if err != nil {
		done()
		return nil, err
	}
	return &target{lake: warehouse, cluster: cluster, wakes: events.WakeTopics(), close: func() error { cluster.Close(); done(); return nil }}, nil
}

// topics makes the topics that are missing, or only lists them.
func (t *target) topics(ctx context.Context, datasets *dataset.Catalog, dry bool) ([]string, error) {
	missing := []string{}
	if t.cluster == nil {
		return missing, nil // a run makes what its data folder lacks
	}
	found, err := platform.CheckTopics(ctx, t.cluster, datasets)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.Missing() && (slices.Contains(t.wakes, f.Topic) || !slices.Contains(events.WakeTopics(), f.Topic)) {
			missing = append(missing, f.Topic)
		}
	}
	if dry {
		return missing, nil
	}
	return missing, platform.EnsureTopics(ctx, t.cluster, datasets, t.wakes...)
}

// put publishes one dataset, or says what that would change.
func (t *target) put(ctx context.Context, c candidate, signed published.Record, dry bool) (publication, error) {
	p := publication{
		Dataset: c.manifest.Dataset, Version: c.manifest.Version(), Contract: c.dataset.Version, Files: len(c.manifest.Files), Bytes: c.manifest.Bytes(), Number: 1,
	}
	signed.Contract, signed.Definition = c.dataset.Version, c.dataset.Definition
	var out published.Outcome
	var err error
	switch {
	case !dry:
		if out, err = published.Put(ctx, t.lake, c.dir, c.manifest, signed); err != nil {
			return p, err
		}
	case t.lake != nil:
		out, err = planned(t.lake.FS(published.Root), p)
		if err != nil {
			return p, err
		}
	default:
		out = published.Outcome{Record: published.Record{Number: 1}, Done: true}
	}
	p.Number, p.Changed = out.Record.Number, out.Done
	if !out.Done {
		return p, nil
	}
	var before published.Manifest
	if out.Before != nil {
		p.Replaces = out.Before
		p.DefinitionChanged = out.Before.Definition != c.dataset.Definition
		var wrong error
		if before, wrong = published.ReadManifest(t.lake.FS(published.Root), p.Dataset, out.Before.Version); wrong != nil {
			p.Note = "what it replaces cannot be compared with it: " + wrong.Error()
			return p, nil //nolint:nilerr // it is published all the same
		}
	}
	p.Changes = c.manifest.Since(before)
	if p.DefinitionChanged && out.Before.Contract == c.dataset.Version {
		p.Note = "other rows would be stored than before, and the contract's version is still " + c.dataset.Version + ": a new version would tell those who read the rows"
	}
	return p, nil
}

// planned is what publishing would do.
func planned(files fs.FS, p publication) (published.Outcome, error) {
	before, err := published.Last(files, p.Dataset)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return published.Outcome{Record: published.Record{Number: 1}, Done: true}, nil
	case err != nil:
		return published.Outcome{}, err
	case before.Version == p.Version && !before.Withdrawn():
		return published.Outcome{Record: before, Before: &before}, nil
	}
	return published.Outcome{Record: published.Record{Number: before.Number + 1}, Before: &before, Done: true}, nil
}

func printPublications(o *command.Options, all publications) error {
	if o.JSON {
		return o.PrintJSON(all)
	}
	printShared(o, all.Shared, all.DryRun)
	verb := "published"
	if all.DryRun {
		verb = "would be published"
	}
	for _, p := range all.Datasets {
		if !p.Changed {
			o.Printf("%s: version %s is current already (no. %d); nothing to do\n", p.Dataset, published.Short(p.Version), p.Number)
			continue
		}
		o.Printf("%s: version %s, contract %s, %s as no. %d: %d files, %s bytes\n",
			p.Dataset, published.Short(p.Version), p.Contract, verb, p.Number, p.Files, command.Thousands(p.Bytes))
		if b := p.Replaces; b != nil {
			o.Printf("  it replaces version %s, contract %s, of %s (no. %d, %s by %s)\n",
				published.Short(b.Version), b.Contract, b.At.Format(time.RFC3339), b.Number, b.Action, b.By)
			printPaths(o, "added", p.Changes.Added)
			printPaths(o, "changed", p.Changes.Changed)
			printPaths(o, "removed", p.Changes.Removed)
		}
		if p.DefinitionChanged {
			o.Printf("  it decides otherwise which rows are stored: stored windows are collected again, each as a new generation\n")
		}
		if p.Note != "" {
			o.Printf("  note: %s\n", p.Note)
		}
	}
	for _, topic := range all.Topics {
		if all.DryRun {
			o.Printf("topic %s would be made\n", topic)
		} else {
			o.Printf("made topic %s\n", topic)
		}
	}
	return nil
}

// shownPaths is how many paths are printed of one kind.
const shownPaths = 8

func printPaths(o *command.Options, what string, paths []string) {
	if len(paths) == 0 {
		return
	}
	more := ""
	if n := len(paths) - shownPaths; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	o.Printf("  %s: %s%s\n", what, strings.Join(paths[:min(shownPaths, len(paths))], ", "), more)
}
