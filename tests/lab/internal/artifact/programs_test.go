package artifact

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// What go.mod pins as tools is what is built, no more and no less; a module with a main package of its own is built from it.
func TestModulesBuildTheToolsThatTheyPin(t *testing.T) {
	tool := regexp.MustCompile(`(?m)^(?:tool |\t)([\w./-]+)$`)
	for _, m := range Modules {
		dir := filepath.Join("..", "..", "modules", m.Name)
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		var pinned []string
		for _, match := range tool.FindAllStringSubmatch(string(b), -1) {
			pinned = append(pinned, match[1])
		}
		if _, err := os.Stat(filepath.Join(dir, "main.go")); err == nil {
			pinned = append(pinned, ".")
		}
		slices.Sort(pinned)
		if built := slices.Sorted(maps.Values(m.Programs)); !slices.Equal(built, pinned) {
			t.Errorf("%s: built are %q, pinned %q", m.Name, built, pinned)
		}
	}
}

func TestProgramsAreBuiltAnewWhenTheirModuleChanges(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := func() string {
		s, err := sources(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write("go.mod", "module m")
	first := sum()
	write("main_test.go", "package main")
	if got := sum(); got != first {
		t.Errorf("a test changes the digest")
	}
	write("go.sum", "a v1 h1:x")
	if got := sum(); got == first {
		t.Errorf("a version changes nothing")
	}
}
