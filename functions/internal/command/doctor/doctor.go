// Package doctor has the command that checks configuration, servers, disk, port and datasets.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/disk"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/glob"
	"github.com/almanac-data/almanac/functions/internal/onebox"
	"github.com/almanac-data/almanac/functions/internal/platform"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// New is almanac doctor.
func New(o *command.Options) *cobra.Command {
	var address string
	var sql bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check configuration, data folder or servers, free space, port, and the contract and SQL of each dataset", Args: command.Args(cobra.NoArgs),
		Example: "  almanac doctor\n  almanac doctor --datasets ./my-datasets --json\n  almanac doctor --config cluster.yaml\n  almanac doctor --sql --config cluster.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := examine(cmd.Context(), o, address, sql)
			if o.JSON {
				if err := o.PrintJSON(found); err != nil {
					return err
				}
			}
			sick := 0
			for _, f := range found {
				mark := "ok  "
				if !f.OK {
					mark = "FAIL"
					sick++
				}
				if !o.JSON {
					o.Printf("%s  %s: %s\n", mark, f.Check, strings.ReplaceAll(f.Detail, "\n", "\n      "))
				}
			}
			if sick > 0 {
				return command.Exit(command.Failed, fmt.Errorf("%d of %d checks failed", sick, len(found)))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:8080", "address that run is to listen on")
	cmd.Flags().BoolVar(&sql, "sql", false, "check nothing but the SQL of each dataset, with DuckDB, and with Spark where one is configured")
	return cmd
}

func examine(ctx context.Context, o *command.Options, address string, sqlAlone bool) []finding {
	var found []finding
	switch {
	case sqlAlone:
	case o.Config == "":
		found = append([]finding{examineFolder(o), examineSpace(o)}, examineKafka(ctx, o)...)
	default:
		var ok bool
		if found, ok = examineCluster(ctx, o); !ok {
			return found
		}
	}
	if !sqlAlone {
		found = append(found, examinePort(ctx, o, address))
	}
	all, done, none := examineDatasets(ctx, o)
	if none != nil {
		return append(found, *none)
	}
	defer done()
	engines, wrong := openEngines(ctx, o)
	defer engines.close(ctx)
	found = append(found, wrong...)
	for _, d := range all {
		if !sqlAlone {
			contract := fmt.Sprintf("version %s, %d columns, %d rules", d.Version, len(d.Columns), len(d.Rules))
			found = append(found, finding{d.Name + " contract", true, contract}, examineSource(d, o.Now()))
		}
		for _, e := range engines {
			found = append(found, e.examine(ctx, d)...)
		}
	}
	return found
}

// examineDatasets reads the datasets of the folder, or those that are published; or it says why there are none. The caller calls what it
// returns when it has done with them.
func examineDatasets(ctx context.Context, o *command.Options) (all []*dataset.Dataset, done func(), wrong *finding) {
	where, err := open.Place(ctx, o)
	if err != nil {
		return nil, nil, &finding{"configuration", false, err.Error()}
	}
	check := "datasets in " + where
	if where == platform.Published {
		check = "published datasets"
	}
	catalog, err := open.Datasets(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, &finding{check, false, err.Error()}
	}
	all, _ = catalog.Datasets()
	done = func() { _ = catalog.Close() } // what it leaves is removed at the next start
	if len(all) > 0 {
		return all, done, nil
	}
	done()
	if where == platform.Published {
		return nil, nil, &finding{check, false, "there are none in the warehouse; almanac datasets publish puts them there, see docs/datasets.md"}
	}
	return nil, nil, &finding{check, false, "there are none; a dataset is a folder with contract.yaml and pipeline.yaml, see docs/datasets.md"}
}

func examineFolder(o *command.Options) finding {
	check := "data folder " + o.Data
	if _, err := os.Stat(o.Data); errors.Is(err, os.ErrNotExist) {
		return finding{check, true, "not there yet; run makes it"}
	}
	f, err := onebox.OpenFolder(o.Data)
	if errors.Is(err, onebox.ErrHeld) {
		return finding{check, true, err.Error()}
	}
	if err != nil {
		return finding{check, false, err.Error()}
	}
	if err := f.Close(); err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, "can be opened and written"}
}

const wantFree = 1 << 30

// examineSpace looks at the disk of the data folder, or of the nearest folder above it that exists.
func examineSpace(o *command.Options) finding {
	const check = "free space"
	free, dir, err := disk.Free(o.Data)
	if err != nil {
		return finding{check, false, err.Error()}
	}
	detail := fmt.Sprintf("%.1f GiB on the disk of %s", float64(free)/(1<<30), dir)
	if free < wantFree {
		return finding{check, false, detail + "; at least 1 GiB is wanted: make room, or choose another disk with --data"}
	}
	return finding{check, true, detail}
}

func examinePort(ctx context.Context, o *command.Options, address string) finding {
	check := "port " + address
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		if raw, err := os.ReadFile(filepath.Join(o.Data, state.EndpointsFile)); err == nil && strings.Contains(string(raw), address) {
			return finding{check, true, "in use, by the run that holds this data folder or the one before it"}
		}
		return finding{check, false, "another program uses it; choose another with run --listen 127.0.0.1:0"}
	}
	if err != nil {
		return finding{check, false, err.Error()}
	}
	if err := l.Close(); err != nil {
		return finding{check, false, err.Error()}
	}
	return finding{check, true, "free"}
}

// examineSource looks for the files of the windows that are over: a glob that matches nothing at all is most likely a mistake.
func examineSource(d *dataset.Dataset, now time.Time) finding {
	check := d.Name + " source"
	there, missing, first := 0, 0, ""
	for _, w := range d.Collect.Windows(now) {
		files, err := filepath.Glob(glob.Of(d, w))
		switch {
		case err != nil:
			return finding{check, false, err.Error()}
		case len(files) > 0:
			there++
		default:
			if missing++; first == "" {
				first = glob.Of(d, w)
			}
		}
	}
	if missing > 0 {
		return finding{check, there > 0, fmt.Sprintf("files of %d windows are there, those of %d are not, the first %s", there, missing, first)}
	}
	return finding{check, true, fmt.Sprintf("files of all %d windows are there", there)}
}
