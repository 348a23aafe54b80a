// Package command is what all commands of almanac have in common: their flags, where they find their variables, how they print and how they end.
package command

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/fn"
)

// Options are the flags of every command, and what main gives them. Out is for what was asked for, Err for what a person is told meanwhile.
type Options struct {
	Data     string // folder that holds the state, where Config is empty
	Config   string // file that names the servers of a cluster
	Datasets string // folder of the datasets' folders, or platform.Published
	JSON     bool
	Out, Err io.Writer
	Env      envconfig.Lookuper     // the process's own variables
	Now      func() time.Time       // in UTC
	Version  string                 // of this program
	Given    func(flag string) bool // whether a flag is on the command line

	secrets *fn.Secrets // variables of --config, once they were asked for
}

const rootHelp = `Almanac turns the data of each day into a training set each month, and can prove what is in it.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done but something waits for a person.`

// Root is almanac itself, of the commands that are given. Each of them ends its login to the secrets store when it ends.
func (o *Options) Root(commands ...func(*Options) *cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use: "almanac", Short: "Batch data for machine learning: collect, check, aggregate, deliver", Long: rootHelp,
		Version: o.Version, SilenceUsage: true, SilenceErrors: true,
		Example: "  almanac run --no-serve\n  almanac status\n  almanac releases verify training-2001-01.1\n  almanac run --config cluster.yaml",
	}
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	root.PersistentFlags().StringVar(&o.Data, "data", ".almanac", "folder that holds the state")
	root.PersistentFlags().StringVar(&o.Config, "config", "", "file that names the servers of a cluster, in place of --data")
	root.PersistentFlags().StringVar(&o.Datasets, "datasets", "spark-jobs", "folder that holds the datasets' folders; published: those in the warehouse")
	root.PersistentFlags().BoolVar(&o.JSON, "json", false, "print JSON")
	o.Given = func(flag string) bool { return root.PersistentFlags().Changed(flag) }
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if o.Given("data") && o.Given("config") {
			return Exit(Usage, errors.New("--data and --config exclude each other: state lies in a folder, or on the servers of a cluster"))
		}
		return nil
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Exit(Usage, fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
	})
	for _, command := range commands {
		root.AddCommand(command(o))
	}
	o.forgetAfter(root)
	return root
}

// forgetAfter makes each command end its login to the secrets store.
func (o *Options) forgetAfter(cmd *cobra.Command) {
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

// Args turns the errors of a check of arguments into wrong use.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return Exit(Usage, fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
		}
		return nil
	}
}
