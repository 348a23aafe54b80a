package spark_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/query/querytest"
	"github.com/almanac-data/almanac/functions/internal/spark"
)

// real is an engine over a real server, or skips the test.
func real(t testing.TB) *spark.Engine {
	t.Helper()
	server := os.Getenv("ALMANAC_TEST_SPARK")
	if server == "" {
		t.Skip("no Spark: set ALMANAC_TEST_SPARK=sc://host:port of a Spark 4 Connect server that sees this machine's files; make lab starts one")
	}
	e, err := spark.Open(context.Background(), spark.Config{Server: server, User: "test", Heartbeat: time.Minute}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) { querytest.Run(t, real(t), t.TempDir()) }
