package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	run := func(args ...string) {
		t.Helper()
		if _, err := git(ctx, dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readSource(ctx, dir); err == nil || !strings.Contains(err.Error(), "clone of the repository") {
		t.Errorf("outside of a repository: error %v, want one that says where to build", err)
	}
	t.Setenv("GIT_COMMITTER_DATE", "2026-11-01T12:00:00+02:00")
	run("init", "--quiet")
	run("-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--allow-empty", "--message", "first")
	clean, err := readSource(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if clean.dirty || len(clean.commit) != 40 || clean.version() != clean.commit[:12] {
		t.Errorf("fresh commit: %+v with version %s", clean, clean.version())
	}
	if got := clean.annotations()["org.opencontainers.image.created"]; got != "2026-11-01T10:00:00Z" {
		t.Errorf("created %s, want the time of the commit in UTC", got)
	}
	run("tag", "v1.0.0")
	if tagged, err := readSource(ctx, dir); err != nil || tagged != clean {
		t.Errorf("a tag made %+v of %+v, error %v", tagged, clean, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readSource(ctx, dir); err != nil || got.revision() != clean.commit+"-dirty" || got.version() != clean.version()+"-dirty" {
		t.Errorf("with a new file: revision %s, version %s, error %v", got.revision(), got.version(), err)
	}
}
