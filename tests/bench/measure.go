package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the engine that is measured beside ours

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/gauge"
)

// ours runs almanac on a data folder until nothing is left to do.
func (b *bench) ours(ctx context.Context, data, datasets string) (gauge.Figure, error) {
	one := box.Box{Binary: b.almanac, Datasets: datasets, Data: data}
	result, err := one.Run(ctx, "run", "--no-serve")
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("almanac run: %s", result)
	}
	return gauge.Of(result), err
}

// theirs runs statements in DuckDB, in a process of its own.
func (b *bench) theirs(ctx context.Context, statements []string) (gauge.Figure, error) {
	name := filepath.Join(b.dir, "statements.sql")
	text := strings.Join(append([]string{"SET threads = 2", "SET preserve_insertion_order = false"}, statements...), between)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return gauge.Figure{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return gauge.Figure{}, err
	}
	running, err := box.Start(exec.Command(self, "-sql", name))
	if err != nil {
		return gauge.Figure{}, err
	}
	result, err := running.Within(ctx)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("DuckDB: %s", result)
	}
	return gauge.Of(result), err
}

// between stands between two statements.
const between = "\n;;\n"

// execute runs the statements of a file.
func execute(ctx context.Context, name string) (err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for statement := range strings.SplitSeq(string(text), between) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.200s: %w", statement, err)
		}
	}
	return nil
}

// ask gives the one row that a query has, as text.
func ask(ctx context.Context, query string) (_ string, err error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var text string
	if err := db.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return "", fmt.Errorf("%.300s: %w", query, err)
	}
	return text, nil
}

// same checks that two queries give the same answer.
func same(ctx context.Context, what, ours, theirs string) error {
	a, err := ask(ctx, ours)
	if err != nil {
		return err
	}
	b, err := ask(ctx, theirs)
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("%s differ: ours %s, theirs %s", what, a, b)
	}
	return nil
}
