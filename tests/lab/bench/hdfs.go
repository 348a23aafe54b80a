package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"

	"github.com/almanac-data/almanac/tests/internal/gauge"
)

const fileBytes = 256 << 20

// put: a local file of random bytes to HDFS, beside hdfs dfs -put. Both are whole processes; what it takes Java to start is told beside.
func (b *bench) put(ctx context.Context) error {
	program := filepath.Join(b.dir, "hdfs.test")
	if _, err := command(ctx, nil, "go", "test", "-c", "-o", program, "./functions/internal/hdfs"); err != nil {
		return err
	}
	local := filepath.Join(b.dir, "random")
	if err := random(local); err != nil {
		return err
	}
	const ours, theirs = "/almanac/bench-ours", "/almanac/bench-theirs"
	env := []string{
		"ALMANAC_TEST_HDFS=" + b.lab.env["HDFS_NAMENODE"], "ALMANAC_TEST_WEBHDFS=" + b.lab.env["WEBHDFS_URL"][:len(b.lab.env["WEBHDFS_URL"])-len("/webhdfs/v1")],
		"ALMANAC_HDFS_REPLICATION=2", "ALMANAC_TEST_HDFS_FILE=" + local, "ALMANAC_TEST_HDFS_TO=" + path.Base(ours),
	}
	c := compared{Name: "256 MiB file to HDFS, 2 replicas", Peer: "hdfs dfs -put", Units: fileBytes / 1e6, Unit: "MB", Goal: 0.9}
	for round := range b.rounds {
		progress(c.Name, round, b.rounds)
		if _, err := b.lab.hdfs(ctx, "-rm", "-f", "-skipTrash", ours, theirs); err != nil {
			return err
		}
		result, err := command(ctx, env, program, "-test.run", "^$", "-test.bench", "^BenchmarkPut$", "-test.benchtime", "1x")
		if err != nil {
			return err
		}
		c.Ours = append(c.Ours, gauge.Of(result))
		if result, err = b.lab.hdfs(ctx, "-test", "-d", "/almanac"); err != nil {
			return err
		}
		c.TheirStart = append(c.TheirStart, gauge.Of(result))
		if result, err = b.lab.hdfs(ctx, "-put", local, theirs); err != nil {
			return err
		}
		c.Theirs = append(c.Theirs, gauge.Of(result))
		if err := b.sameFile(ctx, ours, theirs); err != nil {
			return err
		}
	}
	bare := c
	bare.Name, bare.Theirs = c.Name+", less Java's start", nil
	for i, f := range c.Theirs {
		f.Wall -= c.TheirStart[i].Wall
		f.CPU -= c.TheirStart[i].CPU
		bare.Theirs = append(bare.Theirs, f)
	}
	b.report.Compared = append(b.report.Compared, c, bare)
	return nil
}

func random(name string) error {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, fileBytes)
	_, _ = source.Read(data) // never fails
	return os.WriteFile(name, data, 0o644)
}

// sameFile holds that HDFS has two files of the same bytes, in the same form.
func (b *bench) sameFile(ctx context.Context, ours, theirs string) error {
	var sums [2]string
	var stats [2]status
	for i, name := range []string{ours, theirs} {
		var err error
		if stats[i], err = b.lab.stat(ctx, name); err != nil {
			return err
		}
		if sums[i], err = b.lab.web(ctx, name, "GETFILECHECKSUM"); err != nil {
			return err
		}
	}
	if stats[0] != stats[1] || sums[0] != sums[1] || stats[0].Length != fileBytes {
		return fmt.Errorf("the files differ: ours %+v %s, theirs %+v %s", stats[0], sums[0], stats[1], sums[1])
	}
	return nil
}
