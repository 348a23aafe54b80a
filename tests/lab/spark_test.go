package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/sparksql"
	"github.com/almanac-data/almanac/tests/lab/internal/centre"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

func (p place) connect(t *testing.T, token string) connect {
	t.Helper()
	var secured *tls.Config
	if p["LAB_FORM"] == "secure" {
		secured = p.tls(t)
	}
	c := connect{sparksql.Open(p["SPARK_CONNECT"], secured, token)}
	t.Cleanup(c.Close)
	return c
}

// connect is a session of the lab's Spark.
type connect struct{ *sparksql.Session }

func (c connect) must(t *testing.T, query string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	values, err := c.SQL(ctx, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return values
}

func (p place) token(t *testing.T) string {
	t.Helper()
	if p["SPARK_TOKEN_FILE"] == "" {
		return ""
	}
	return p.secret(t, "SPARK_TOKEN_FILE")
}

func TestSparkOnYARNMakesAnIcebergTableOnHDFS(t *testing.T) {
	p := lab(t)
	c := p.connect(t, p.token(t))
	table := fmt.Sprintf("scratch.lab.t%d", time.Now().UnixNano())
	c.must(t, "CREATE TABLE "+table+" (id BIGINT, part STRING) USING iceberg")
	defer c.must(t, "DROP TABLE "+table+" PURGE")
	c.must(t, "INSERT INTO "+table+" SELECT id, CAST(id % 7 AS STRING) FROM range(100000)")
	if got := c.must(t, "SELECT count(*) FROM "+table); len(got) != 1 || got[0] != "100000" {
		t.Errorf("count = %v, want 100000", got)
	}
	files := c.must(t, "SELECT file_path FROM "+table+".files")
	for _, file := range files {
		if !strings.HasPrefix(file, p["HDFS_SCRATCH"]) {
			t.Errorf("a data file lies at %s, want it under %s", file, p["HDFS_SCRATCH"])
		}
	}
	if len(files) == 0 {
		t.Error("the table has no data files")
	}
}

func TestSparkMayNotWriteTheWarehouse(t *testing.T) {
	p := lab(t)
	_, err := p.connect(t, p.token(t)).SQL(t.Context(), "CREATE TABLE lake.lab.t (id BIGINT) USING iceberg")
	if err == nil || !strings.Contains(err.Error(), p["HDFS_WAREHOUSE"]) {
		t.Errorf("CREATE TABLE in the warehouse = %v, want that the file cannot be made", err)
	}
}

func TestSparkRefuses(t *testing.T) {
	p := secured(t)
	for name, token := range map[string]string{"no token": "", "a wrong token": "wrong"} {
		_, err := p.connect(t, token).SQL(t.Context(), "SELECT 1")
		if err == nil || !strings.Contains(err.Error(), "gRPC status 16") {
			t.Errorf("%s: %v, want gRPC status 16 (unauthenticated)", name, err)
		}
	}
}

// A task that runs for five minutes and then writes outlives its delegation token: that is renewed for a minute at a time, and for four in all.
func TestAJobOutlivesItsDelegationTokens(t *testing.T) {
	p := secured(t)
	if !*long {
		t.Skip("-long runs it")
	}
	c := p.connect(t, p.token(t))
	table := fmt.Sprintf("scratch.lab.slow%d", time.Now().UnixNano())
	c.must(t, "CREATE TABLE "+table+" (id BIGINT, slept STRING) USING iceberg")
	defer c.must(t, "DROP TABLE "+table+" PURGE")
	began := time.Now()
	c.must(t, "INSERT INTO "+table+" SELECT id, java_method('java.lang.Thread', 'sleep', 2000L) FROM range(0, 150, 1, 1)")
	if took := time.Since(began); took < 4*time.Minute {
		t.Errorf("the job took %s: too short to tell", took)
	}
	if got := c.must(t, "SELECT count(*) FROM "+table); len(got) != 1 || got[0] != "150" {
		t.Errorf("count = %v, want 150", got)
	}
}

// A NameNode that is away for as long as a token can be used is away at some attempt to renew it. Spark must try again.
func TestTokensOutlastANameNodeThatIsAway(t *testing.T) {
	p := secured(t)
	if !*long {
		t.Skip("-long runs it")
	}
	c := p.connect(t, p.token(t))
	table := fmt.Sprintf("scratch.lab.away%d", time.Now().UnixNano())
	c.must(t, "CREATE TABLE "+table+" (id BIGINT) USING iceberg")
	defer c.must(t, "DROP TABLE "+table+" PURGE")
	c.must(t, "INSERT INTO "+table+" SELECT id FROM range(1000)")

	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	servers := &centre.Centre{Site: site.New(repo, os.Getenv("ALMANAC_LAB_CACHE"), "", true), Out: t.Output()}
	if err := servers.Kill(t.Context(), "namenode"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(75 * time.Second)
	if err := servers.Start(t.Context(), "namenode"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(75 * time.Second) // the token of before has expired
	if got := c.must(t, "SELECT count(*) FROM "+table); len(got) != 1 || got[0] != "1000" {
		t.Errorf("count = %v, want 1000", got)
	}
}
