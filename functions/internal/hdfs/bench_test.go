package hdfs_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// BenchmarkFile writes and reads 256 MiB, and tells the CPU seconds of this process, to be set beside `hdfs dfs -put` and `-get` of
// the same number of bytes.
func BenchmarkFile(b *testing.B) {
	for _, metadata := range []string{"rpc", "web"} {
		cfg := config(b)
		cfg.Metadata = metadata
		f := openAt(b, folder(b, cfg), cfg)
		data := make([]byte, 256<<20)
		_, _ = rand.Read(data)
		b.Run(metadata+"/write", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			measure(b, func(i int) { must(b, fsys.WriteFile(f, "w"+strconv.Itoa(i), data)) })
		})
		must(b, fsys.WriteFile(f, "r", data))
		buf := make([]byte, 1<<20)
		b.Run(metadata+"/read", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			measure(b, func(int) { must(b, read(f, buf, int64(len(data)))) })
		})
		b.Run(metadata+"/range", func(b *testing.B) { // of 1 MiB, as of a column of a Parquet file
			r, err := f.Open("r")
			must(b, err)
			defer r.Close()
			measure(b, func(i int) {
				off := int64(i*7919%255) << 20
				_, err := r.ReadAt(buf, off)
				must(b, err)
				if !bytes.Equal(buf, data[off:off+int64(len(buf))]) {
					b.Fatal("other bytes")
				}
			})
		})
	}
}

func read(f *hdfs.FS, buf []byte, want int64) error {
	r, err := f.Open("r")
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
	if err == nil && n != want {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return r.Close()
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// measure reports the CPU time of the process for each call.
func measure(b *testing.B, do func(i int)) {
	b.Helper()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for i := range b.N {
		do(i)
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := cpuOf(after) - cpuOf(before)
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
}

func cpuOf(u syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// BenchmarkPut copies the local file that ALMANAC_TEST_HDFS_FILE names to the name ALMANAC_TEST_HDFS_TO in /almanac, as `hdfs dfs -put -f` does. The file
// stays. tests/lab/bench runs it beside that.
func BenchmarkPut(b *testing.B) {
	from, to := os.Getenv("ALMANAC_TEST_HDFS_FILE"), os.Getenv("ALMANAC_TEST_HDFS_TO")
	if from == "" || to == "" {
		b.Skip("set ALMANAC_TEST_HDFS_FILE to a local file and ALMANAC_TEST_HDFS_TO to a name in /almanac")
	}
	f := openAt(b, "/almanac", config(b))
	measure(b, func(int) {
		in, err := os.Open(from)
		must(b, err)
		defer in.Close()
		out, err := f.Create(to)
		must(b, err)
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
		must(b, err)
		must(b, out.Sync())
		must(b, out.Close())
	})
}
