package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/protobuf/encoding/protowire"
)

// connect speaks as much of Spark Connect as one SQL text and its answer need, over HTTP/2 by hand: it shares no code with the product.
type connect struct {
	http           *http.Client
	address, token string
	session        string
}

func (p place) connect(t *testing.T, token string) *connect {
	t.Helper()
	var protocols http.Protocols
	transport := &http.Transport{Protocols: &protocols}
	c := &connect{http: &http.Client{Transport: transport}, address: "http://" + p["SPARK_CONNECT"], token: token}
	protocols.SetUnencryptedHTTP2(true)
	if p["LAB_FORM"] == "secure" {
		protocols.SetUnencryptedHTTP2(false)
		protocols.SetHTTP2(true)
		transport.TLSClientConfig = p.tls(t)
		c.address = "https://" + p["SPARK_CONNECT"]
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	c.session = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

// sql runs a query and gives the first column of its answer as text.
func (c *connect) sql(ctx context.Context, query string) ([]string, error) {
	relation := message(nil, 10, text(nil, 1, query)) // Relation.sql
	plan := message(nil, 1, relation)                 // Plan.root
	request := text(nil, 1, c.session)
	request = message(request, 2, text(nil, 1, "lab"))
	request = message(request, 3, plan)
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address+"/spark.connect.SparkConnectService/ExecutePlan", bytes.NewReader(frame))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	status, said := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
	if status == "" { // an answer of headers only
		status, said = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
	}
	if status != "0" {
		said, _ = url.PathUnescape(said)
		return nil, fmt.Errorf("gRPC status %s: %s", status, said)
	}
	return column(body)
}

// column reads the Arrow batches of a stream of answers.
func column(body []byte) (values []string, err error) {
	for len(body) >= 5 {
		n := int(binary.BigEndian.Uint32(body[1:5]))
		answer := body[5 : 5+n]
		body = body[5+n:]
		data := field(field(answer, 2), 2) // ExecutePlanResponse.arrow_batch.data
		if data == nil {
			continue
		}
		r, err := ipc.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		for r.Next() {
			if r.RecordBatch().NumCols() == 0 {
				continue
			}
			for i := range int(r.RecordBatch().NumRows()) {
				values = append(values, r.RecordBatch().Column(0).ValueStr(i))
			}
		}
		r.Release()
	}
	return values, nil
}

// field is the last value of a field of bytes in a message, nil if there is none.
func field(m []byte, want protowire.Number) (value []byte) {
	for len(m) > 0 {
		num, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return nil
		}
		m = m[n:]
		if num == want && kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(m)
		}
		if n = protowire.ConsumeFieldValue(num, kind, m); n < 0 {
			return nil
		}
		m = m[n:]
	}
	return value
}

func (c *connect) must(t *testing.T, query string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	values, err := c.sql(ctx, query)
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
	_, err := p.connect(t, p.token(t)).sql(t.Context(), "CREATE TABLE lake.lab.t (id BIGINT) USING iceberg")
	if err == nil || !strings.Contains(err.Error(), p["HDFS_WAREHOUSE"]) {
		t.Errorf("CREATE TABLE in the warehouse = %v, want that the file cannot be made", err)
	}
}

func TestSparkRefuses(t *testing.T) {
	p := secured(t)
	for name, token := range map[string]string{"no token": "", "a wrong token": "wrong"} {
		_, err := p.connect(t, token).sql(t.Context(), "SELECT 1")
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
