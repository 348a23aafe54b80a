package spark_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
)

// TestSQLThatOnlyDuckDBUnderstands is refused by a real server with the line, and for good.
func TestSQLThatOnlyDuckDBUnderstands(t *testing.T) {
	e := server(t)
	view := querytest.Numbers(t, t.TempDir(), 3)
	for text, want := range map[string]string{
		"SELECT i\n// 2 AS half FROM numbers":              "line 2: [PARSE_SYNTAX_ERROR]",
		"SELECT quantile_cont(i, 0.5) AS q FROM numbers":   "line 1: [UNRESOLVED_ROUTINE]",
		"SELECT i,\n  i / (i - i) AS x\nFROM numbers":      "[DIVIDE_BY_ZERO]",
		"SELECT * EXCLUDE (k) FROM numbers QUALIFY i = 10": "[",
	} {
		_, err := querytest.Rows(t, e, query.Query{Text: text, Views: []query.View{view}})
		if _, mistake := errors.AsType[*query.Error](err); !mistake || !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want a mistake of the text with %q", text, err, want)
		}
	}
}

// TestAFileThatSparkMayNotRead is told with the file, and tried again: rights are mended on the server, not in the text.
func TestAFileThatSparkMayNotRead(t *testing.T) {
	web, warehouse := os.Getenv("ALMANAC_TEST_WEBHDFS"), os.Getenv("ALMANAC_TEST_SPARK_HDFS")
	if web == "" || warehouse == "" {
		t.Skip("set ALMANAC_TEST_WEBHDFS=http://host:port of HDFS without Kerberos, and ALMANAC_TEST_SPARK_HDFS=hdfs://host:port, as Spark names it")
	}
	e := server(t)
	view := querytest.Numbers(t, t.TempDir(), 3)
	data, err := os.ReadFile(strings.TrimPrefix(view.Files[0], "file://"))
	if err != nil {
		t.Fatal(err)
	}
	const name = "/almanac-test-hidden.parquet"
	as(t, web+"/webhdfs/v1"+name+"?user.name=operator&op=CREATE&overwrite=true&permission=600", data)
	view.Files = []string{warehouse + name}
	one := query.Query{Text: "SELECT sum(i) AS s FROM numbers", Views: []query.View{view}}
	_, err = querytest.Rows(t, e, one)
	t.Logf("error: %v", err)
	if err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "ermission") {
		t.Errorf("a file without rights: error is %v, want one that names the file and the permission, and may pass", err)
	}
	as(t, web+"/webhdfs/v1"+name+"?user.name=operator&op=SETPERMISSION&permission=644", nil)
	if _, err := querytest.Rows(t, e, one); err != nil {
		t.Errorf("once Spark may read it: %v", err)
	}
}

// as puts something to WebHDFS, which names a DataNode to be asked in its place.
func as(t *testing.T, url string, data []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		t.Fatalf("%s: %s", url, response.Status)
	}
}
