package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/pyiceberg"
	"github.com/almanac-data/almanac/tests/internal/reader"
	"github.com/almanac-data/almanac/tests/internal/sparksql"
)

// sql runs a statement in a session of Spark, and gives the values of the first column, as text.
func (c *centre) sql(t *testing.T, text string) []string {
	t.Helper()
	var secured *tls.Config
	token := ""
	if c.secure() {
		authority, err := os.ReadFile(c.env["SPARK_CA"])
		if err != nil {
			t.Fatal(err)
		}
		word, err := os.ReadFile(c.env["SPARK_TOKEN_FILE"])
		if err != nil {
			t.Fatal(err)
		}
		token = strings.TrimSpace(string(word))
		secured = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
		secured.RootCAs.AppendCertsFromPEM(authority)
	}
	s := sparksql.Open(c.env["SPARK_CONNECT"], secured, token)
	defer s.Close()
	values, err := s.SQL(patient(t), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return values
}

// others reads every table where it lies by Spark SQL, through its catalog, and by PyIceberg, where HDFS lets it in without Kerberos, and compares
// that with what the tests' own reader finds in a copy.
func (c *centre) others(t *testing.T, datasets ...string) {
	t.Helper()
	warehouse := c.download(t)
	want := map[string]*reader.Table{}
	for _, dataset := range datasets {
		tables, err := reader.Tables(warehouse, dataset)
		if err != nil {
			t.Fatal(err)
		}
		for name, table := range tables {
			relative, err := filepath.Rel(warehouse, table.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			want[c.env["HDFS_WAREHOUSE"]+"/"+relative] = table
			rows, err := table.Rows()
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("SELECT concat(count(*), ' rows, ', count(DISTINCT struct(*)), ' different') FROM lake.%s.`%s`", dataset, name)
			if got, whole := c.sql(t, text), fmt.Sprintf("%d rows, %d different", rows.Len(), len(rows)); len(got) != 1 || got[0] != whole {
				t.Errorf("Spark SQL finds %v in %s.%s, want %s", got, dataset, name, whole)
			}
		}
	}
	if len(want) < 2*len(datasets) {
		t.Errorf("there are %d tables of %v", len(want), datasets)
	}
	if c.secure() {
		return
	}
	metadata := make([]string, 0, len(want))
	for name := range want {
		metadata = append(metadata, name)
	}
	web := strings.TrimSuffix(strings.TrimPrefix(c.env["WEBHDFS_URL"], "http://"), "/webhdfs/v1")
	got := pyiceberg.Read(t, root, web, metadata...)
	for name, table := range want {
		pyiceberg.Same(t, name, got[name], table)
	}
}
