// Package spark runs SQL over pinned Parquet files on a Spark 4 cluster, through Spark Connect.
//
// It answers what package duck answers, with the same rows in the same order, for the SQL that both understand. Each query has a session on the
// server for itself, and leaves nothing in it.
package spark

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/spark/connect"
	"github.com/almanac-data/almanac/functions/internal/spark/vector"
)

// Engine runs queries on a server. It holds no data of its own, and is safe for concurrent use.
type Engine struct {
	client   *connect.Client
	sessions *sessions
	log      *slog.Logger
}

// Open makes an engine, which connects with its first query. Progress of queries goes to the log, if there is one. The caller closes the
// engine, after the last reader of a result is released.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Engine, error) {
	if c.Server == "" {
		return nil, errors.New("ALMANAC_SPARK is not set")
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	_, address, err := c.address()
	if err != nil {
		return nil, err
	}
	secured, err := c.tls()
	if err != nil {
		return nil, err
	}
	client, err := connect.Open(ctx, &connect.Builder{Address: address, TLS: secured, TokenFile: c.TokenFile, UserName: c.User}, c.Heartbeat)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engine{client: client, sessions: &sessions{client: client, log: log}, log: log}, nil
}

// Close ends the sessions and the connection. It does so also after ctx has ended.
func (e *Engine) Close(ctx context.Context) {
	e.sessions.close(ctx)
	_ = e.client.Close()
}

const (
	yes = "true"
	no  = "false"
)

// settings of each session make Spark read a text as DuckDB does. What an operator says for the cluster does not change what a text means.
var settings = map[string]string{
	"spark.sql.session.timeZone":                      "UTC",
	"spark.sql.timestampType":                         "TIMESTAMP_LTZ",
	"spark.sql.ansi.enabled":                          yes,
	"spark.sql.ansi.doubleQuotedIdentifiers":          yes,
	"spark.sql.caseSensitive":                         no,
	"spark.sql.adaptive.advisoryPartitionSizeInBytes": "16MB",
	"spark.sql.execution.arrow.compression.codec":     "zstd",
	"spark.sql.parser.escapedStringLiterals":          no,
	"spark.sql.variable.substitute":                   no,
	"spark.sql.runSQLOnFiles":                         no, // SQL sees its views, not other files
	"spark.sql.files.ignoreMissingFiles":              no,
	"spark.sql.files.ignoreCorruptFiles":              no,
	"spark.sql.execution.arrow.maxRecordsPerBatch":    "16384",
	"spark.sql.execution.arrow.useLargeVarTypes":      no,
	"spark.sql.legacy.ctePrecedencePolicy":            "CORRECTED",
	"spark.sql.decimalOperations.allowPrecisionLoss":  yes,
	"spark.sql.parquet.fieldId.read.enabled":          no,
}

// Passing says whether Ping may succeed a little later, by itself; else a person must mend what is wrong.
func Passing(err error) bool { return connect.Passing(err) }

// Ping makes a session and says whether the server is there and new enough.
func (e *Engine) Ping(ctx context.Context) error {
	s, err := e.client.Session(ctx, nil)
	if err != nil {
		return err
	}
	defer e.sessions.end(ctx, s)
	version, err := s.Version(ctx)
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 4 {
		return fmt.Errorf("spark is version %s, and must be 4.0 or later", version)
	}
	return nil
}

// Check binds a query without running it, and returns the schema of its result. Files of its views are looked at, but need not be there
// if the views name none.
func (e *Engine) Check(ctx context.Context, q query.Query) (*arrow.Schema, error) {
	p, err := planOf(q)
	if err != nil {
		return nil, err
	}
	s, schema, err := e.begin(ctx, p, q)
	if err != nil {
		return nil, err
	}
	e.sessions.giveBack(ctx, s)
	return schema, nil
}

// begin binds a query, and gives the session that it is bound in.
func (e *Engine) begin(ctx context.Context, p *plan, q query.Query) (*connect.Session, *arrow.Schema, error) {
	s, rested, err := e.sessions.borrow(ctx)
	if err != nil {
		return nil, nil, err
	}
	schema, err := bind(ctx, s, p, q)
	if rested && unknown(err) {
		if s, err = e.sessions.open(ctx); err != nil {
			return nil, nil, err
		}
		schema, err = bind(ctx, s, p, q)
	}
	if err != nil {
		e.sessions.end(ctx, s)
		return nil, nil, err
	}
	return s, schema, nil
}

// Run answers a query. The result is ordered by the query's OrderBy and then by all other columns, nulls last, so that it is one and
// the same sequence of rows whenever it is run; it is read while Spark computes it, and never held as a whole. The caller releases the reader,
// which ends what Spark still does for it.
//
// A mistake of the query's text is a query.Error, also when it shows only while the result is read; everything else is a connect.Error.
// Ending ctx ends the query, on the server too.
func (e *Engine) Run(ctx context.Context, q query.Query) (array.RecordReader, error) {
	p, err := planOf(q)
	if err != nil {
		return nil, err
	}
	s, schema, err := e.begin(ctx, p, q)
	if err != nil {
		return nil, err
	}
	p.order(q, schema)
	w := &watcher{log: e.log}
	stream, err := s.Execute(ctx, p.Plan, func(at connect.Progress) { w.report(ctx, at) })
	if err != nil {
		e.sessions.end(ctx, s)
		return nil, judged(err)
	}
	return newReader(ctx, e, s, stream, schema), nil
}

// bind asks Spark for the columns of the result.
func bind(ctx context.Context, s *connect.Session, p *plan, q query.Query) (*arrow.Schema, error) {
	columns, err := s.Schema(ctx, p.Plan)
	if err != nil {
		return nil, judged(err)
	}
	fields := make([]arrow.Field, len(columns))
	seen := map[string]bool{}
	for i, c := range columns {
		t, err := vector.Type(c)
		if err != nil {
			return nil, &query.Error{Detail: fmt.Sprintf("column %s: %v", c.Name, err)}
		}
		if seen[strings.ToLower(c.Name)] {
			return nil, &query.Error{Detail: fmt.Sprintf("two columns are named %s: name one otherwise", c.Name)}
		}
		seen[strings.ToLower(c.Name)] = true
		fields[i] = arrow.Field{Name: c.Name, Type: t, Nullable: true}
	}
	for _, by := range q.OrderBy {
		if !seen[strings.ToLower(by)] {
			return nil, &query.Error{Detail: fmt.Sprintf("order_by names %s, which the result does not have", by)}
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

// judged makes a query.Error of what is a mistake of the text.
func judged(err error) error {
	said, ok := errors.AsType[*connect.Error](err)
	if !ok || !said.Mistake() {
		return err
	}
	return &query.Error{Line: said.Line, Detail: fmt.Sprintf("[%s] %s (SQLSTATE %s)", said.Class, said.Detail, said.State)}
}
