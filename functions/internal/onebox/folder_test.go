package onebox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/onebox"
)

func TestAFolderIsHeldByOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	first, err := onebox.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = onebox.OpenFolder(dir)
	if !errors.Is(err, onebox.ErrHeld) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second: %v, want that the folder is held by this process", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := onebox.OpenFolder(dir)
	if err != nil {
		t.Fatalf("after it was let go: %v", err)
	}
	defer again.Close()
	if !strings.HasPrefix(again.Broker(), dir) || !strings.HasPrefix(again.Warehouse(), dir) {
		t.Errorf("paths %s and %s lie elsewhere", again.Broker(), again.Warehouse())
	}
}

func TestAFolderThatDoesNotFitIsRefused(t *testing.T) {
	tests := map[string]struct{ file, holds, says string }{
		"of another version":       {"almanac.json", `{"format": 2}`, "format 2"},
		"with a torn almanac.json": {"almanac.json", `{"form`, "almanac.json cannot be read"},
		"of somebody else":         {"thesis.tex", `x`, "thesis.tex"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.holds), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := onebox.OpenFolder(dir); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("OpenFolder says %v, want %q", err, tt.says)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := onebox.OpenFolder(file); err == nil {
		t.Error("a file is taken for a folder")
	}
}

func TestAFolderThatWasMovedIsRefusedUntilItsOldNameLeadsThere(t *testing.T) {
	old, moved := filepath.Join(t.TempDir(), "old"), filepath.Join(t.TempDir(), "moved")
	f, err := onebox.OpenFolder(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Rename(old, moved)); err != nil {
		t.Fatal(err)
	}
	if _, err := onebox.OpenFolder(moved); err == nil || !strings.Contains(err.Error(), "it was made as "+old) {
		t.Errorf("OpenFolder of a moved folder = %v", err)
	}
	if err := os.Symlink(moved, old); err != nil {
		t.Fatal(err)
	}
	again, err := onebox.OpenFolder(old)
	if err != nil {
		t.Fatalf("by a link at its old name: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
