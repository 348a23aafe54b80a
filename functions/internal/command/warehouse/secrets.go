package warehouse

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/platform"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
)

// NewSecrets is almanac secrets.
func NewSecrets(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secrets", Short: "Keep the keys by which raw bytes are sealed",
		Example: "  almanac secrets rewrap --config cluster.yaml",
	}
	cmd.AddCommand(&cobra.Command{
		Use: "rewrap", Short: "Wrap the data keys by the newest version of the key that wraps them", Args: command.Args(cobra.NoArgs),
		Long: "Wrap the data key of each window by the newest version of the key that ALMANAC_ENVELOPE_KEY names, as is to be done after that was rotated and " +
			"before min_decryption_version is raised. What the data keys have sealed stays as it is, and functions may be at work. It may be ended at any " +
			"moment, also by kill -9: again it does what is left.",
		Example: "  almanac secrets rewrap --config cluster.yaml\n  almanac secrets rewrap --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return rewrap(cmd.Context(), o) },
	})
	return cmd
}

func rewrap(ctx context.Context, o *command.Options) error {
	env, err := o.Variables()
	if err != nil {
		return err
	}
	warehouse, done, err := open.Warehouse(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	ring, err := platform.EnvelopeOf(ctx, o.Login(env), warehouse)
	if err != nil {
		return err
	}
	if ring == nil {
		return command.Exit(command.Usage, errors.New("ALMANAC_ENVELOPE_KEY is not set: nothing is sealed"))
	}
	datasets, err := sealedDatasets(ctx, warehouse)
	if err != nil {
		return err
	}
	sum, err := ring.Rewrap(ctx, datasets...)
	if o.JSON {
		return errors.Join(o.PrintJSON(sum), err)
	}
	o.Printf("%d of %d data keys were wrapped anew", sum.Changed, sum.Keys)
	if sum.Keys > 0 && err == nil {
		o.Printf("; all are wrapped by version %d", sum.Version)
	}
	o.Printf("\n")
	return err
}

// sealedDatasets lists the datasets of a warehouse that have data keys, those that are withdrawn included.
func sealedDatasets(ctx context.Context, warehouse *lake.Lake) (all []string, err error) {
	names, err := warehouse.Names(ctx, ".")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		_, err := warehouse.Names(ctx, envelope.Folder(name))
		switch {
		case err == nil:
			all = append(all, name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return all, nil
}
