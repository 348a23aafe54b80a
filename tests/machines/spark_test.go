package machines_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/sparksql"
)

// session is one of Spark's Connect server, over TLS if there is a configuration of it, which runs queries of some minutes and ends with the test.
func (s *site) session(t *testing.T, secured *tls.Config, token string) (sql func(query string) ([]string, error)) {
	t.Helper()
	host := s.groups["spark_connect"].Hosts[0]
	if secured != nil {
		secured = secured.Clone()
		secured.ServerName = host
	}
	session := sparksql.Open(net.JoinHostPort(s.machines[host].Address, "15002"), secured, token)
	t.Cleanup(session.Close)
	return func(query string) ([]string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		return session.SQL(ctx, query)
	}
}

// sql runs a query in a session of its own.
func (s *site) sql(t *testing.T, secured *tls.Config, token, query string) ([]string, error) {
	t.Helper()
	return s.session(t, secured, token)(query)
}

// TestSparkComputesOnYARN makes a table on HDFS, in tasks of an executor, and reads it.
func TestSparkComputesOnYARN(t *testing.T) {
	s := furnished(t)
	token := s.file(t, "secrets", "spark_connect", "token")
	space := fmt.Sprintf("scratch.check%d", time.Now().UnixNano())
	table := space + ".rows"
	for _, step := range []struct{ query, want string }{
		{"CREATE TABLE " + table + " (id BIGINT, part STRING) USING iceberg", ""},
		{"INSERT INTO " + table + " SELECT id, CAST(id % 7 AS STRING) FROM range(10000)", ""},
		{"SELECT count(*) + sum(id) FROM " + table, "50005000"},
		{"DROP TABLE " + table + " PURGE", ""},
		{"DROP NAMESPACE " + space, ""},
	} {
		got, err := s.sql(t, s.trusting(), token, step.query)
		if err != nil || strings.Join(got, ",") != step.want {
			t.Errorf("%s = %q, %v, want %q", step.query, got, err, step.want)
		}
	}
	apps := s.on(t, s.groups["spark_connect"].Hosts[0], "", "almanac-spnego /etc/almanac/keytabs/spark.keytab --cacert /etc/almanac/tls/spark-connect-tls/ca.pem 'https://"+
		s.groups["resourcemanagers"].Hosts[0]+":8090/ws/v1/cluster/apps?states=RUNNING&user=spark'")
	if !regexp.MustCompile(`"runningContainers":([2-9]|[1-9]\d)`).MatchString(apps) {
		t.Errorf("YARN runs no executor of spark's: %s", tail(apps))
	}
	if _, err := s.sql(t, s.trusting(), token, "CREATE TABLE lake.checks.t (id BIGINT) USING iceberg"); err == nil || !strings.Contains(err.Error(), "/almanac") {
		t.Errorf("Spark makes a table in the warehouse: %v, want it refused", err)
	}
}

func TestSparkRefusesOthers(t *testing.T) {
	s := furnished(t)
	token := s.file(t, "secrets", "spark_connect", "token")
	for name, tt := range map[string]struct {
		secured *tls.Config
		token   string
		says    string // a regular expression
	}{
		"without a token":      {s.trusting(), "", "gRPC status 16"},
		"with another's token": {s.trusting(), s.file(t, "secrets", "kafka", "almanac-store"), "gRPC status 16"},
		"by TLS 1.2":           {before13(s.trusting()), token, "protocol version"},
		"without TLS":          {nil, token, cut},
	} {
		if got, err := s.sql(t, tt.secured, tt.token, "SELECT 1"); err == nil || !regexp.MustCompile(tt.says).MatchString(err.Error()) {
			t.Errorf("%s: Spark answers %v, %v, want %s", name, got, err, tt.says)
		}
	}
}

// TestTheHistoryServerWantsACertificateOfAViewer asks it on its machine: nobody else may reach it.
func TestTheHistoryServerWantsACertificateOfAViewer(t *testing.T) {
	s := furnished(t)
	host := s.groups["spark_history"].Hosts[0]
	function, key := s.issue(t, "process")
	for name, tt := range map[string]struct{ pair, options, want string }{
		"a viewer":                 {"", "--cert /etc/almanac/tls/spark-history-tls/cert.pem --key /etc/almanac/tls/spark-history-tls/key.pem", "200"},
		"nobody's certificate":     {"", "", "000"},
		"a function's certificate": {function + "\n" + key + "\n", "--cert $pair", "403"},
	} {
		got := s.on(t, host, tt.pair, `pair=$(mktemp /dev/shm/pair.XXXXXX); trap 'rm "$pair"' EXIT; cat > "$pair"
			curl -s -o /dev/null -w '%{http_code}' --max-time 20 --cacert /etc/almanac/tls/spark-history-tls/ca.pem `+tt.options+` https://`+host+`:18480/api/v1/applications || true`)
		if got != tt.want {
			t.Errorf("%s: the history server answers %s, want %s", name, got, tt.want)
		}
	}
	if got := s.on(t, host, "", "curl -s -o /dev/null -w '%{http_code}' --max-time 20 http://"+s.machines[host].Address+":18080/ || true"); got != "000" {
		t.Errorf("the history server answers %s without TLS at the machine's address", got)
	}
}
