// Package backup has the commands that write the parts of a backup, judge one and bring it back.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/hdfs/mirror"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/dump"
	"github.com/almanac-data/almanac/functions/internal/platform/restored"
)

const backupHelp = `Backup writes the parts of a backup that only Almanac knows how to take; backup.yml of ansible/ takes the others, encrypts and keeps them.
The order makes them fit together: first kafka, then a snapshot of HDFS, then warehouse with the name of that snapshot. So nothing that facts say is done is
missing in the tables. Tables that are ahead are no harm: the calendar says again what only they know.`

// New is almanac backup.
func New(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Write the parts of a backup: what Kafka says, and the files of the warehouse", Long: backupHelp,
		Example: "  almanac backup kafka /backup/kafka.jsonl\n  almanac backup warehouse /backup/warehouse --snapshot s1 --list /backup/files.jsonl\n" +
			"  almanac backup check /backup/warehouse --list /backup/files.jsonl --kafka /backup/kafka.jsonl",
	}
	cmd.AddCommand(newBackupKafka(o), newBackupWarehouse(o), newBackupCheck(o))
	return cmd
}

// NewRestore is almanac restore.
func NewRestore(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore", Short: "Bring the parts of a backup into a Kafka and a HDFS that are empty",
		Long: "Restore brings back what backup has written. What is not empty is left as it is; a restore that was killed goes on. No function may run meanwhile.",
		Example: "  almanac restore warehouse /backup/warehouse --list /backup/files.jsonl\n" +
			"  almanac restore kafka /backup/kafka.jsonl",
	}
	cmd.AddCommand(newRestoreKafka(o), newRestoreWarehouse(o))
	return cmd
}

func newBackupKafka(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "kafka FILE", Short: "Write down topics, access rules, facts, dues and dead letters", Args: command.Args(cobra.ExactArgs(1)),
		Example: "  almanac backup kafka /backup/kafka.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			return open.Kafka(cmd.Context(), o, func(c *kafka.Cluster) error {
				var totals dump.Totals
				err := whole(args[0], func(f *os.File) (err error) {
					totals, err = c.Dump(cmd.Context(), f)
					return err
				})
				if err != nil {
					return err
				}
				return printDump(o, totals)
			})
		},
	}
}

func newRestoreKafka(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "kafka FILE", Short: "Make topics and access rules, and say facts, dues and dead letters again", Args: command.Args(cobra.ExactArgs(1)),
		Example: "  almanac restore kafka /backup/kafka.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			return open.Kafka(cmd.Context(), o, func(c *kafka.Cluster) (err error) {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, f.Close()) }()
				totals, err := c.Undump(cmd.Context(), f)
				if err != nil {
					return err
				}
				return printDump(o, totals)
			})
		},
	}
}

func printDump(o *command.Options, t dump.Totals) error {
	if o.JSON {
		return o.PrintJSON(t)
	}
	records := 0
	for _, n := range t.Records {
		records += n
	}
	o.Printf("%d topics, %d access rules, %d records\n", t.Topics, t.Rights, records)
	return nil
}

func newBackupWarehouse(o *command.Options) *cobra.Command {
	var snapshot, list string
	cmd := &cobra.Command{
		Use: "warehouse FOLDER --snapshot NAME --list FILE", Short: "Copy the files of a snapshot of the warehouse on HDFS into a local folder",
		Args: command.Args(cobra.ExactArgs(1)),
		Long: "The folder must be empty, or the copy of an earlier time: then only what is new is copied, and what is gone is deleted. The list says what the " +
			"copy holds, with owners, modes and digests; it is read first, and written when the copy is whole. It takes a user who may read all files.",
		Example: "  almanac backup warehouse /backup/warehouse --snapshot s1 --list /backup/files.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			if snapshot == "" || list == "" {
				return command.Exit(command.Usage, errors.New("--snapshot and --list must be given"))
			}
			return open.HDFS(cmd.Context(), o, func(f *hdfs.FS) error { return backupWarehouse(cmd.Context(), o, f, snapshot, args[0], list) })
		},
	}
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "name of the snapshot")
	cmd.Flags().StringVar(&list, "list", "", "file of what the copy holds")
	return cmd
}

func backupWarehouse(ctx context.Context, o *command.Options, f *hdfs.FS, snapshot, dir, listFile string) error {
	last, err := mirror.ReadFile(listFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, mirror.ErrPartial) { // without it everything is copied
		return err
	}
	list, err := mirror.Save(ctx, f, snapshot, dir, last)
	if err != nil {
		return err
	}
	if err := whole(listFile, func(out *os.File) error { return list.Write(out) }); err != nil {
		return err
	}
	return printTotals(o, list.Totals())
}

func newRestoreWarehouse(o *command.Options) *cobra.Command {
	var list string
	cmd := &cobra.Command{
		Use: "warehouse FOLDER --list FILE", Short: "Bring a copy of the warehouse back to HDFS, with owners and modes", Args: command.Args(cobra.ExactArgs(1)),
		Example: "  almanac restore warehouse /backup/warehouse --list /backup/files.jsonl",
		Long:    "It takes a superuser of HDFS. The warehouse must have the address that it had, because its tables name their files by that.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if list == "" {
				return command.Exit(command.Usage, errors.New("--list must be given"))
			}
			holds, err := mirror.ReadFile(list)
			if err != nil {
				return err
			}
			return open.HDFS(cmd.Context(), o, func(f *hdfs.FS) error {
				if err := mirror.Load(cmd.Context(), args[0], holds, f); err != nil {
					return err
				}
				return printTotals(o, holds.Totals())
			})
		},
	}
	cmd.Flags().StringVar(&list, "list", "", "file of what the copy holds")
	return cmd
}

func printTotals(o *command.Options, t mirror.Totals) error {
	if o.JSON {
		return o.PrintJSON(t)
	}
	o.Printf("%s files, %s bytes\n", command.Thousands(int64(t.Files)), command.Thousands(t.Bytes))
	return nil
}

func newBackupCheck(o *command.Options) *cobra.Command {
	var list, facts string
	cmd := &cobra.Command{
		Use: "check FOLDER --list FILE --kafka FILE", Short: "Judge a backup by its files alone, without any server", Args: command.Args(cobra.ExactArgs(1)),
		Long: "It looks whether every file is there to its last byte, whether tables name only what is there, verifies each release by its manifest, and sees that " +
			"all that facts say is stored, aggregated or released is there.",
		Example: "  almanac backup check /backup/warehouse --list /backup/files.jsonl --kafka /backup/kafka.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			if list == "" || facts == "" {
				return command.Exit(command.Usage, errors.New("--list and --kafka must be given"))
			}
			report, err := restored.Check(cmd.Context(), args[0], list, facts)
			if err != nil {
				return err
			}
			return printRestored(o, report)
		},
	}
	cmd.Flags().StringVar(&list, "list", "", "file of what the copy holds")
	cmd.Flags().StringVar(&facts, "kafka", "", "file of what Kafka said")
	return cmd
}

func printRestored(o *command.Options, r restored.Report) error {
	if o.JSON {
		if err := o.PrintJSON(r); err != nil {
			return err
		}
	} else {
		for _, p := range r.Problems {
			o.Printf("%s\n", p)
		}
		o.Printf("%s files, %d tables with %d windows and %s rows, %d releases, %d facts, the last of %s\n",
			command.Thousands(int64(r.Files)), r.Tables, r.Windows, command.Thousands(r.Rows), r.Releases, r.Facts, r.Newest.Format("2006-01-02 15:04:05"))
	}
	if n := len(r.Problems); n > 0 {
		return command.Exit(command.Failed, fmt.Errorf("%d things are not as they must be: do not restore this backup, take an older one", n))
	}
	return nil
}

// whole writes a file under another name first, so that one of the final name is whole.
func whole(name string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after the rename there is none
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
