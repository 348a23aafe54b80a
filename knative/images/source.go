package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// source is what images are made of: a commit, and whether files have changed since.
type source struct {
	commit string
	dirty  bool
	when   time.Time // of the commit
}

// readSource asks git. Tags do not count: one that is set later, or missing in a clone, must not change an image.
func readSource(ctx context.Context, root string) (source, error) {
	commit, err := git(ctx, root, "rev-parse", "HEAD")
	if err != nil {
		return source{}, fmt.Errorf("read the commit, which images carry: %w: build them in a clone of the repository", err)
	}
	stamp, err := git(ctx, root, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return source{}, err
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("read the time of commit %s: %w", commit, err)
	}
	changes, err := git(ctx, root, "status", "--porcelain")
	if err != nil {
		return source{}, err
	}
	return source{commit: commit, dirty: changes != "", when: time.Unix(seconds, 0).UTC()}, nil
}

// revision is the commit, with -dirty behind it if files have changed since.
func (s source) revision() string { return s.commit + s.suffix() }

// version is a short form of the revision, of the same length in every clone. It is the code's version in the provenance of
// releases, and the tag of the images.
func (s source) version() string { return s.commit[:12] + s.suffix() }

func (s source) suffix() string {
	if s.dirty {
		return "-dirty"
	}
	return ""
}

// annotations are those of the OCI image specification, for labels too.
func (s source) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.source":   "https://" + repository,
		"org.opencontainers.image.revision": s.revision(),
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.created":  s.when.Format(time.RFC3339),
	}
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	return command(ctx, root, "git", args...)
}

// command is what a program prints, without spaces around it.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // git and go, with arguments of this program
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
