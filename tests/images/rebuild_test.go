package images

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cold = flag.String("cold", "", "`name` of a function to compile from nothing, with an empty build cache")

func TestAnotherCheckoutGivesTheSameImages(t *testing.T) {
	l := open(t)
	there := checkout(t)
	// What a person has set must not matter.
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("CGO_ENABLED", "1")
	t.Run("with what is compiled already", func(t *testing.T) {
		makeImages(t, there, *functions)
		if diff := cmp.Diff(l.catalog(t), there.images().catalog(t)); diff != "" {
			t.Errorf("images.json (- here, + there):\n%s", diff)
		}
	})
	t.Run("with an empty build cache", func(t *testing.T) {
		if *cold == "" {
			t.Skip("name a function by -cold")
		}
		t.Setenv("GOCACHE", t.TempDir())
		makeImages(t, there, *cold)
		name := "almanac/" + *cold
		if diff := cmp.Diff(l.catalog(t).Images[name], there.images().catalog(t).Images[name]); diff != "" {
			t.Errorf("%s (- here, + there):\n%s", name, diff)
		}
	})
}

// clone is a copy of the repository in another folder.
type clone string

func (c clone) images() layout { return layout(filepath.Join(string(c), ".cache", "images")) }

// checkout clones the repository, with what is not committed, as a user whose files nobody else may read.
func checkout(t *testing.T) clone {
	t.Helper()
	root, err := filepath.Abs(*repository)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "elsewhere")
	private(t, "", "git", "clone", "--quiet", root, dir)
	changes, err := exec.Command("git", "-C", root, "diff", "--binary", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) > 0 {
		apply := exec.Command("git", "-C", dir, "apply")
		apply.Stdin = bytes.NewReader(changes)
		if out, err := apply.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for name := range strings.FieldsFuncSeq(git(t, root, "ls-files", "-z", "--others", "--exclude-standard"), func(r rune) bool { return r == 0 }) {
		private(t, root, "cp", "--parents", "--target-directory", dir, name)
	}
	return clone(dir)
}

func makeImages(t *testing.T, there clone, functions string) {
	t.Helper()
	private(t, string(there), "make", "--no-print-directory", "images", "FUNCTIONS="+functions)
}

// private runs a program with umask 077.
func private(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `umask 077; exec "$@"`, "sh"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}
