package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/fn"
)

// options are the flags of every command.
type options struct {
	data     string
	config   string
	datasets string
	json     bool
	out, err io.Writer
	given    func(flag string) bool // whether a flag is on the command line
	secrets  *fn.Secrets            // variables of --config, once they were asked for
}

// codedError ends the process with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// Exit codes.
const (
	codeUsage     = 2
	codeAttention = 3
)

const rootHelp = `Almanac turns the data of each day into a training set each month, and can prove what is in it.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something waits for a person.`

func newRoot(out, errs io.Writer) *cobra.Command {
	o := &options{out: out, err: errs}
	root := &cobra.Command{
		Use: "almanac", Short: "Batch data for machine learning: collect, check, aggregate, deliver", Long: rootHelp,
		Version: version, SilenceUsage: true, SilenceErrors: true,
		Example: "  almanac run --no-serve\n  almanac status\n  almanac releases verify training-2001-01.1\n  almanac run --config cluster.yaml",
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.PersistentFlags().StringVar(&o.data, "data", ".almanac", "folder that holds the state")
	root.PersistentFlags().StringVar(&o.config, "config", "", "file that names the servers of a cluster, in place of --data")
	root.PersistentFlags().StringVar(&o.datasets, "datasets", "spark-jobs", "folder that holds the datasets' folders; published: those in the warehouse")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	o.given = func(flag string) bool { return root.PersistentFlags().Changed(flag) }
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if o.given("data") && o.given("config") {
			return &codedError{codeUsage, errors.New("--data and --config exclude each other: state lies in a folder, or on the servers of a cluster")}
		}
		return nil
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &codedError{codeUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newRun(o), newStatus(o), newPlan(o), newReleases(o), newQuarantine(o), newDeadLetters(o), newDoctor(o), newDatasets(o), newSweep(o),
		newArchive(o), newSecrets(o), newTopics(o), newACLs(o), newUsers(o), newBrokers(o), newBackup(o), newRestore(o), newSource(o), newEnv(o))
	o.forgetAfter(root)
	return root
}

// forgetAfter makes each command end its login to the secrets store.
func (o *options) forgetAfter(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		o.forgetAfter(c)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) (err error) {
			defer func() {
				if end := o.forget(); err == nil {
					err = end
				}
			}()
			return run(c, args)
		}
	}
}

// usage turns the errors of argument checks into wrong use.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &codedError{codeUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}

// printJSON writes a value, indented.
func (o *options) printJSON(v any) error {
	enc := json.NewEncoder(o.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printf prints for a person. Where nobody reads any more, there is nobody to tell.
func (o *options) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.out, format, args...)
}

// columns are lines whose cells, parted by tabs, stand below each other. Flush prints them.
type columns struct{ *tabwriter.Writer }

func (o *options) columns() columns { return columns{tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)} }

func (c columns) rowf(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format+"\n", args...) // Flush tells
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
