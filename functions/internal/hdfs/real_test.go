package hdfs_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
	"github.com/almanac-data/almanac/functions/internal/lake/laketest"
)

var _ fsys.FS = (*hdfs.FS)(nil)

// config is how to reach the real cluster that ALMANAC_TEST_HDFS (host:port of its NameNode) and ALMANAC_TEST_WEBHDFS (URL) name;
// the variables ALMANAC_HDFS_… say what else it needs.
func config(tb testing.TB) hdfs.Config {
	tb.Helper()
	nameNode, web := os.Getenv("ALMANAC_TEST_HDFS"), os.Getenv("ALMANAC_TEST_WEBHDFS")
	if nameNode == "" || web == "" {
		tb.Skip("needs a real HDFS: set ALMANAC_TEST_HDFS=host:port and ALMANAC_TEST_WEBHDFS=http(s)://host:port of a NameNode")
	}
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_HDFS_NAMENODES": nameNode, "ALMANAC_HDFS_WEB": web}), envconfig.OsLookuper())
	var cfg hdfs.Config
	if err := fn.Load(context.WithoutCancel(tb.Context()), env, &cfg); err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// openAt opens a folder of the real cluster.
func openAt(tb testing.TB, dir string, cfg hdfs.Config) *hdfs.FS {
	tb.Helper()
	f, err := hdfs.Open(context.WithoutCancel(tb.Context()), "hdfs://"+cfg.NameNodes[0]+dir, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Close)
	return f
}

// folder names a folder that is new, and deleted at the end of the test.
func folder(tb testing.TB, cfg hdfs.Config) string {
	tb.Helper()
	dir := "/tmp/almanac-test/" + rand.Text()
	tb.Cleanup(func() {
		f, err := hdfs.Open(context.Background(), "hdfs://"+cfg.NameNodes[0]+"/tmp/almanac-test", cfg)
		if err != nil {
			tb.Error(err)
			return
		}
		defer f.Close()
		if err := f.RemoveAll(strings.TrimPrefix(dir, "/tmp/almanac-test/")); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// both runs a test over RPC and over WebHDFS.
func both(t *testing.T, test func(t *testing.T, cfg hdfs.Config)) {
	t.Helper()
	for _, metadata := range []string{"rpc", "web"} {
		t.Run(metadata, func(t *testing.T) {
			cfg := config(t)
			cfg.Metadata = metadata
			test(t, cfg)
		})
	}
}

// By WebHDFS each step takes the DataNode a client of its own.
func TestConformance(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		run := laketest.Run
		if cfg.Metadata == "web" {
			run = laketest.RunSlow
		}
		conform(t, cfg, run)
	})
}

// conform runs the conformance suite of a warehouse.
func conform(t *testing.T, cfg hdfs.Config, run func(*testing.T, laketest.Open)) {
	t.Helper()
	root := folder(t, cfg)
	run(t, func(tb testing.TB, dir string) *lake.Lake {
		tb.Helper()
		return lake.OpenOn(openAt(tb, root+strings.ReplaceAll(dir, ":", ""), cfg))
	})
}
