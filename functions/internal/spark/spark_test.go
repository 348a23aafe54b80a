package spark_test

import (
	"context"
	"os"
	"testing"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// server is an engine over a real server, or skips the test.
func server(t testing.TB) *spark.Engine {
	t.Helper()
	address := os.Getenv("ALMANAC_TEST_SPARK")
	if address == "" {
		t.Skip("no Spark: set ALMANAC_TEST_SPARK=sc://host:port of a Spark 4 Connect server that sees this machine's files; make lab starts one")
	}
	var cfg spark.Config
	env := envconfig.MultiLookuper(envconfig.MapLookuper(map[string]string{"ALMANAC_SPARK": address}), envconfig.OsLookuper())
	if err := fn.Load(context.Background(), env, &cfg); err != nil {
		t.Fatal(err)
	}
	e, err := spark.Open(context.Background(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

func TestConformance(t *testing.T) { querytest.Run(t, server(t), t.TempDir()) }
