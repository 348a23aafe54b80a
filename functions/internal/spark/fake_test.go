package spark_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/query/querytest"
	"github.com/almanac-data/almanac/functions/internal/spark"
	"github.com/almanac-data/almanac/functions/internal/spark/connect"
	"github.com/almanac-data/almanac/functions/internal/spark/sparktest"
	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

const oneLong = `{"schema": {"schema": {"struct": {"fields": [{"name": "v", "dataType": {"long": {}}}]}}}}`

// fake is a server whose results have a column v of longs, and an engine over it, which touches no session meanwhile.
func fake(t *testing.T) (*sparktest.Server, *spark.Engine, *bytes.Buffer) {
	t.Helper()
	return beating(t, 30*time.Minute)
}

// beating is a fake whose engine touches its sessions each beat.
func beating(t *testing.T, beat time.Duration) (*sparktest.Server, *spark.Engine, *bytes.Buffer) {
	t.Helper()
	s := sparktest.Start(t)
	s.On("AnalyzePlan", func(c *sparktest.Call) error { return c.Send(oneLong) })
	var log bytes.Buffer
	e, err := spark.Open(context.Background(), spark.Config{Server: "sc://" + s.Address, Heartbeat: beat},
		slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return s, e, &log
}

func longs(t *testing.T, json string) arrow.RecordBatch {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(json))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(batch.Release)
	return batch
}

var one = query.Query{Text: "SELECT v FROM rows", Views: []query.View{{Name: "rows", Schema: arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64}}, nil)}}}

func TestOneQueryTakesFourCalls(t *testing.T) {
	s, e, log := fake(t)
	batch := longs(t, `[{"v": 1}, {"v": null}]`)
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		return errors.Join(c.SendProgress(4, 1, 2), c.SendBatch(batch), c.SendProgress(4, 4, 0), c.SendBatch(batch))
	})
	got, err := querytest.Rows(t, e, one)
	if want := "{\"v\":1}\n{\"v\":null}\n{\"v\":1}\n{\"v\":null}"; err != nil || got != want {
		t.Errorf("rows are %s, %v, want %s", got, err, want)
	}
	e.Close(context.Background())
	if diff := cmp.Diff([]string{"Config", "AnalyzePlan", "ExecutePlan", "ReleaseSession"}, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if text := log.String(); !strings.Contains(text, `"tasks":4,"tasks_done":1,"tasks_running":2,"bytes_read":1000`) || strings.Count(text, "\n") != 2 {
		t.Errorf("the log says %s, want two steps", text)
	}
}

// said is an error as Spark sends it.
func said(class, state, message string) error {
	s, err := status.New(codes.Internal, message).WithDetails(&errdetails.ErrorInfo{
		Reason: "org.apache.spark.SparkException", Domain: "org.apache.spark", Metadata: map[string]string{"errorClass": class, "sqlState": state},
	})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

func TestErrorsSayWhetherARetryCanHelp(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		want    string
		mistake bool
	}{
		"a name that is not there": {
			said("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `dlay` cannot be resolved. SQLSTATE: 42703; line 2 pos 1;\n'Project [*]\n+- secret"),
			"line 2: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `dlay` cannot be resolved (SQLSTATE 42703)", true,
		},
		"a slip of the pen": {
			said("PARSE_SYNTAX_ERROR", "42601", "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'x'. SQLSTATE: 42601 (line 3, pos 26)\n\n== SQL ==\nsecret"),
			"line 3: [PARSE_SYNTAX_ERROR] Syntax error at or near 'x' (SQLSTATE 42601)", true,
		},
		"a division by zero": {
			said("DIVIDE_BY_ZERO", "22012", "[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012\n== SQL (line 1, position 23) ==\nsecret"),
			"line 1: [DIVIDE_BY_ZERO] Division by zero (SQLSTATE 22012)", true,
		},
		"a file that is gone": {
			said("PATH_NOT_FOUND", "42K03", "[PATH_NOT_FOUND] Path does not exist: hdfs://x/y.parquet. SQLSTATE: 42K03"),
			"spark: [PATH_NOT_FOUND] Path does not exist: hdfs://x/y.parquet (SQLSTATE 42K03)", false,
		},
		"a file that cannot be read": {
			said("FAILED_READ_FILE.NO_HINT", "KD001", "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file y. SQLSTATE: KD001"), "FAILED_READ_FILE", false,
		},
		"a session that has expired": {
			said("INVALID_HANDLE.SESSION_NOT_FOUND", "HY000", "[INVALID_HANDLE.SESSION_NOT_FOUND] The handle x is invalid. Session not found. SQLSTATE: HY000"), "SESSION_NOT_FOUND", false,
		},
		"a defect of Spark":     {said("INTERNAL_ERROR", "XX000", "[INTERNAL_ERROR] oops SQLSTATE: XX000"), "INTERNAL_ERROR", false},
		"no memory":             {said("UNABLE_TO_ACQUIRE_MEMORY", "53200", "[UNABLE_TO_ACQUIRE_MEMORY] oops SQLSTATE: 53200"), "53200", false},
		"a server that is gone": {status.Error(codes.Unavailable, "connection refused"), "spark: connection refused; see to the server that ALMANAC_SPARK names, and to the way there (Unavailable)", false},
		"an executor that died": {status.Error(codes.Internal, "Job aborted due to stage failure\n\tat org.secret"), "spark: Job aborted due to stage failure (Internal)", false},
		"an application that has ended": {
			status.Error(codes.Internal, "Cannot call methods on a stopped SparkContext.\nThis stopped SparkContext was created at:\n\nsecret"),
			"stopped SparkContext.; the server works, but its Spark application has ended", false,
		},
		"a result that is too large": {
			status.Error(codes.Internal, "Job aborted due to stage failure: Total size of serialized results of 3 tasks (65.0 MiB) is bigger than"+
				" spark.driver.maxResultSize (64.0 MiB)\n\tat org.secret"),
			"(64.0 MiB); the result is larger than what Spark's driver takes: let it be made in parts (part_by in pipeline.yaml", false,
		},
		"an application that ended long ago": {status.Error(codes.Unknown, "Application error processing RPC"), "start the server anew", false},
		"a token that is wrong":              {status.Error(codes.Unauthenticated, "Invalid token"), "ALMANAC_SPARK_TOKEN_FILE", false},
	} {
		for _, method := range []string{"AnalyzePlan", "ExecutePlan"} {
			s, e, _ := fake(t)
			s.On(method, func(*sparktest.Call) error { return c.err })
			_, err := querytest.Rows(t, e, one)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s in %s: error is %v, want %s", name, method, err, c.want)
			}
			_, mistake := errors.AsType[*query.Error](err)
			if mistake != c.mistake || errors.Is(err, events.ErrInvalid) != c.mistake {
				t.Errorf("%s in %s: a mistake of the text = %v, want %v", name, method, mistake, c.mistake)
			}
			if of, ok := errors.AsType[*connect.Error](err); !c.mistake && (!ok || !strings.Contains(err.Error(), of.Class)) {
				t.Errorf("%s in %s: error %v is no connect.Error", name, method, err)
			}
			if calls := s.Calls(); !slices.Contains(calls, "ReleaseSession") {
				t.Errorf("%s in %s: calls are %v: the session stays behind", name, method, calls)
			}
		}
	}
}

// TestAForgottenSessionIsNoOther makes sure that each call after the first names the session that has the settings: a server that was started
// anew would make another of the same id, without them.
func TestAForgottenSessionIsNoOther(t *testing.T) {
	s, e, _ := fake(t)
	for method, number := range map[string]protowire.Number{"AnalyzePlan": 17, "ExecutePlan": 8} {
		s.On(method, func(c *sparktest.Call) error {
			if got := string(wire.Unknown(c.Request, number)); got != sparktest.Session {
				return said("INVALID_HANDLE.SESSION_CHANGED", "HY000", fmt.Sprintf("session is %q", got))
			}
			if method == "AnalyzePlan" {
				return c.Send(oneLong)
			}
			return nil
		})
	}
	if _, err := querytest.Rows(t, e, one); err != nil {
		t.Error(err)
	}
}

func TestBytesThatAreNoBatch(t *testing.T) {
	other, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.BinaryTypes.String}}, nil), strings.NewReader(`[{"v": "x"}]`))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	for name, send := range map[string]func(c *sparktest.Call) error{
		"garbage": func(c *sparktest.Call) error { return c.SendBytes([]byte("garbage, and more of it")) },
		"a length too long": func(c *sparktest.Call) error {
			return c.SendBytes([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1})
		},
		"another type": func(c *sparktest.Call) error { return c.SendBatch(other) },
	} {
		s, e, _ := fake(t)
		s.On("ExecutePlan", send)
		if got, err := querytest.Rows(t, e, one); err == nil {
			t.Errorf("%s is read as %q", name, got)
		}
	}
}

func TestEndOfTheContextInterruptsTheOperation(t *testing.T) {
	s, e, _ := fake(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	batch := longs(t, `[{"v": 1}]`)
	operations := make(chan string, 2)
	operation := func(c *sparktest.Call) string {
		id, _ := wire.Get(c.Request, "operation_id")
		return id.String()
	}
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		operations <- operation(c)
		err := c.SendBatch(batch)
		<-c.Context.Done() // as long as the client holds on
		return err
	})
	s.On("Interrupt", func(c *sparktest.Call) error {
		operations <- operation(c)
		return c.Send("{}")
	})
	r, err := e.Run(ctx, one)
	if err != nil || !r.Next() {
		t.Fatal("no batch", err)
	}
	cause := errors.New("the pod must go")
	cancel(cause)
	if r.Next() || !errors.Is(r.Err(), cause) {
		t.Errorf("reading ended with %v, want %v", r.Err(), cause)
	}
	r.Release()
	if started, interrupted := <-operations, <-operations; started == "" || started != interrupted {
		t.Errorf("operation %q was started, %q interrupted", started, interrupted)
	}
	if calls := s.Calls(); calls[len(calls)-1] != "ReleaseSession" {
		t.Errorf("calls are %v, want the session released at the end", calls)
	}
}

func TestASessionAtWorkIsTouched(t *testing.T) {
	s, e, _ := beating(t, 20*time.Millisecond)
	touched := make(chan struct{})
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		for range 3 {
			select {
			case <-touched:
			case <-c.Context.Done():
				return nil
			}
		}
		return nil
	})
	s.On("Config", func(c *sparktest.Call) error {
		if _, ok := wire.Get(c.Request, "operation", "get"); ok {
			touched <- struct{}{}
		}
		return c.Send("{}")
	})
	if _, err := querytest.Rows(t, e, one); err != nil {
		t.Error(err)
	}
}

func TestAServerThatNoLongerAnswersEndsTheQuery(t *testing.T) {
	s, e, _ := beating(t, 20*time.Millisecond)
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		<-c.Context.Done()
		return nil
	})
	var calls atomic.Int32
	s.On("Config", func(c *sparktest.Call) error {
		if calls.Add(1) == 1 {
			return c.Send("{}")
		}
		return status.Error(codes.Unavailable, "gone")
	})
	_, err := querytest.Rows(t, e, one)
	if err == nil || !strings.Contains(err.Error(), "spark does not answer") || errors.Is(err, events.ErrInvalid) {
		t.Errorf("error is %v, want that Spark does not answer", err)
	}
}

func TestPing(t *testing.T) {
	for version, want := range map[string]string{"4.1.4": "", "5.0.0": "", "3.5.5": "must be 4.0 or later", "": "must be 4.0"} {
		s, e, _ := fake(t)
		s.On("AnalyzePlan", func(c *sparktest.Call) error {
			return c.Send(fmt.Sprintf(`{"sparkVersion": {"version": %q}}`, version))
		})
		err := e.Ping(context.Background())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Ping of version %q = %v, want %q", version, err, want)
		}
	}
}
