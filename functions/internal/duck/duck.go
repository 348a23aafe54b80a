// Package duck runs SQL over pinned Parquet files with DuckDB, in this process.
//
// It is the only importer of DuckDB's client. It uses DuckDB's chunks rather than its Arrow interface, since that one needs a build tag and
// keeps a whole result in memory; here results are streamed.
package duck

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// Options of an engine. The zero value of each stands for DuckDB's own default.
type Options struct {
	MemoryLimit string // such as 256MB; what does not fit is spilled to TempDir
	Threads     int
	TempDir     string // folder for what is spilled
	// Dirs are the only folders that SQL may read. None stands for all, which is for tests.
	Dirs []string
}

// Engine is an in-memory DuckDB. It holds no data of its own, and is safe for concurrent use.
type Engine struct{ db mapping.Database }

// Open starts an engine. The caller closes it, after the last reader of a result is released.
func Open(o Options) (*Engine, error) {
	settings := map[string]string{
		"autoinstall_known_extensions": no,
		"autoload_known_extensions":    no,
		"preserve_insertion_order":     no, // results are ordered by all of their columns
	}
	if o.MemoryLimit != "" {
		settings["memory_limit"] = o.MemoryLimit
	}
	if o.Threads > 0 {
		settings["threads"] = strconv.Itoa(o.Threads)
	}
	if o.TempDir != "" {
		settings["temp_directory"] = o.TempDir
	}
	e := &Engine{}
	if err := e.open(settings); err != nil {
		return nil, fmt.Errorf("open duckdb: %w", err)
	}
	if err := e.lock(o.Dirs); err != nil {
		e.Close()
		return nil, fmt.Errorf("open duckdb: %w", err)
	}
	return e, nil
}

func (e *Engine) open(settings map[string]string) error {
	var config mapping.Config
	if mapping.CreateConfig(&config) == mapping.StateError {
		return errors.New("no memory for its configuration")
	}
	defer mapping.DestroyConfig(&config)
	for name, value := range settings {
		if mapping.SetConfig(config, name, value) == mapping.StateError {
			return fmt.Errorf("setting %s cannot be %q", name, value)
		}
	}
	var message string
	if mapping.OpenExt(":memory:", &e.db, config, &message) == mapping.StateError {
		return errors.New(message)
	}
	return nil
}

// lock keeps SQL from reading other files than the given folders hold, and from changing settings.
func (e *Engine) lock(dirs []string) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	statements := []string{"SET GLOBAL TimeZone = 'UTC'"}
	if len(dirs) > 0 {
		quoted := make([]string, len(dirs))
		for i, dir := range dirs {
			quoted[i] = text(strings.TrimSuffix(dir, "/") + "/")
		}
		statements = append(statements, "SET allowed_directories = ["+strings.Join(quoted, ", ")+"]", "SET enable_external_access = false")
	}
	for _, sql := range append(statements, "SET lock_configuration = true") {
		if err := s.exec(sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// Close ends the engine.
func (e *Engine) Close() { mapping.Close(&e.db) }

// session is one connection, for one query. Its views are seen by nobody else.
type session struct {
	conn mapping.Connection
	stop func() // ends watching the context
}

func (e *Engine) connect() (*session, error) {
	s := &session{stop: func() {}}
	if mapping.Connect(e.db, &s.conn) == mapping.StateError {
		return nil, errors.New("connect to duckdb: no connection")
	}
	return s, nil
}

func (s *session) close() {
	s.stop()
	mapping.Disconnect(&s.conn)
}

// watch interrupts whatever the session does once ctx ends, again and again, since DuckDB forgets an interrupt between two steps.
func (s *session) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			mapping.Interrupt(s.conn)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	s.stop = func() {
		close(done)
		<-ended
		s.stop = func() {}
	}
}

func (s *session) exec(sql string) error {
	var res mapping.Result
	defer mapping.DestroyResult(&res)
	if mapping.Query(s.conn, sql, &res) == mapping.StateError {
		return errors.New(mapping.ResultError(&res))
	}
	return nil
}

// mistakes begin DuckDB's messages about a text, or about what it does with the rows it meets.
var mistakes = []string{
	"Parser Error", "Syntax Error", "Binder Error", "Catalog Error", "Conversion Error", "Out of Range Error", "Invalid Input Error",
	"Mismatch Type Error", "Invalid type Error", "Divide by Zero Error", "Not implemented Error", "Permission Error", "Expression Error",
	"Parameter Not Resolved Error", "Dependency Error",
}

var lineMark = regexp.MustCompile(`\s*\n\s*LINE (\d+): [^\n]*\n[ \t]*\^`)

// explain makes a query.Error of a message that speaks of the text.
func explain(message string) error {
	for _, m := range mistakes {
		if strings.HasPrefix(message, m) {
			e := &query.Error{Detail: strings.TrimSpace(lineMark.ReplaceAllString(message, ""))}
			if mark := lineMark.FindStringSubmatch(message); mark != nil {
				e.Line, _ = strconv.Atoi(mark[1])
			}
			return e
		}
	}
	return errors.New(message)
}

const no = "false"

// text and name quote for SQL.
func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
