package connect

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

func TestPlanNamesItsFiles(t *testing.T) {
	raw, err := Plan{SQL: "SELECT 'é'", Tables: []Table{
		{Name: "a", DDL: "`x` BIGINT", Files: []string{"file:///w/[1].parquet", "hdfs://n/2.parquet"}}, {Name: "b", DDL: "`y` DATE"},
	}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	root, err := wire.New("Relation")
	if err != nil {
		t.Fatal(err)
	}
	at, _, n := protowire.ConsumeField(raw)
	_, _, tag := protowire.ConsumeTag(raw)
	inner, _ := protowire.ConsumeBytes(raw[tag:])
	if err := proto.Unmarshal(inner, root); err != nil || at != 1 || n != len(raw) {
		t.Fatalf("the plan has root %d, %d bytes: %v", at, n, err)
	}
	with := wire.Unknown(root, 41)
	var parts []string
	wire.Fields(with, func(number protowire.Number, _ uint64, part []byte) {
		r, _ := wire.New("Relation")
		if err := proto.Unmarshal(part, r); err != nil {
			t.Error(err)
		}
		parts = append(parts, string(rune('0'+number)))
		for _, path := range [][]protoreflect.Name{{"sql", "query"}, {"subquery_alias", "alias"}} {
			if v, ok := wire.Get(r, path...); ok {
				parts = append(parts, v.String())
			}
		}
		if v, ok := wire.Get(r, "subquery_alias", "input", "read", "data_source", "paths"); ok {
			parts = append(parts, v.List().Get(0).String(), v.List().Get(1).String())
		}
		if v, ok := wire.Get(r, "subquery_alias", "input", "local_relation", "schema"); ok {
			parts = append(parts, v.String())
		}
	})
	if got, want := strings.Join(parts, " "), "1 SELECT 'é' 2 a file:///w/[1].parquet hdfs://n/2.parquet 2 b `y` DATE"; got != want {
		t.Errorf("the plan says %s, want %s", got, want)
	}
}

func TestTranslateKeepsTheCauseOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(context.DeadlineExceeded)
	err := translate(ctx, context.Canceled)
	if !strings.HasPrefix(err.Error(), "context deadline exceeded: spark: ") {
		t.Errorf("translate = %v", err)
	}
}

func TestARealServerRefusesAnotherSession(t *testing.T) {
	address, ok := strings.CutPrefix(os.Getenv("ALMANAC_TEST_SPARK"), "sc://")
	if !ok || os.Getenv("ALMANAC_SPARK_CA") != "" {
		t.Skip("no Spark in plain text: set ALMANAC_TEST_SPARK=sc://host:port of a Spark 4 Connect server; make lab starts one")
	}
	c, err := Open(t.Context(), &Builder{Address: address, UserName: "test"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s, err := c.Session(t.Context(), map[string]string{"spark.sql.session.timeZone": "UTC"})
	if err != nil || s.server == "" {
		t.Fatalf("Session = %+v, %v, want one with an id of the server", s, err)
	}
	if _, err := s.Schema(t.Context(), Plan{SQL: "SELECT 1 AS a"}); err != nil {
		t.Error(err)
	}
	s.server = newID() // as if the server had been started anew
	_, err = s.Schema(t.Context(), Plan{SQL: "SELECT 1 AS a"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Class != "INVALID_HANDLE.SESSION_CHANGED" || e.Mistake() {
		t.Errorf("Schema in a session that is another = %v, want INVALID_HANDLE.SESSION_CHANGED", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte{0x0a, 0x04, 0x10, 0x04, 0x18, 0x01, 0x10, 0x02})
	f.Add([]byte{0xff})
	f.Fuzz(func(_ *testing.T, raw []byte) { parseProgress(raw) })
}

func FuzzExplain(f *testing.F) {
	f.Add("[A.B] text. SQLSTATE: 42703; line 2 pos 1;\n'Project", "A.B", "42703")
	f.Fuzz(func(t *testing.T, message, class, state string) {
		if line, detail := explain(message, class, state); line < 0 || strings.Contains(detail, "\n") {
			t.Errorf("explain(%q) = %d, %q", message, line, detail)
		}
	})
}

// chain is a FetchErrorDetailsResponse: each error is caused by the next.
func chain(messages ...string) []byte {
	raw := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
	for i, message := range messages {
		e := wire.AppendBytes(wire.AppendBytes(wire.AppendBytes(nil, 1, []byte("org.x.Kind"+strconv.Itoa(i))), 1, []byte("java.lang.Exception")), 2, []byte(message))
		if i < len(messages)-1 {
			e = protowire.AppendVarint(protowire.AppendTag(e, 4, protowire.VarintType), uint64(i+1))
		}
		raw = wire.AppendBytes(raw, 2, e)
	}
	return raw
}

func TestTheCauseIsTheLastOfTheChain(t *testing.T) {
	loop := chain("a", "b")
	loop = append(loop, wire.AppendBytes(nil, 2, protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 2))...)
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"no answer":                  {nil, ""},
		"an error without a cause":   {chain("a"), ""},
		"a chain":                    {chain("a", "b", "Permission denied: user=spark\n\tat org.secret"), "Kind2: Permission denied: user=spark"},
		"a chain without last words": {chain("a", "b", ""), "Kind1: b"},
		"a cause that is its own":    {loop, "Kind1: b"},
		"no protocol":                {[]byte{0xff, 0xff}, ""},
	} {
		if got := cause(c.raw); got != c.want {
			t.Errorf("%s: cause = %q, want %q", name, got, c.want)
		}
	}
}

func FuzzCause(f *testing.F) {
	f.Add(chain("a", "b"))
	f.Fuzz(func(_ *testing.T, raw []byte) { cause(raw) })
}
