package shelf

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/window"
)

// Version is the parsed name of a release: <name>-<window>.<revision>.
type Version struct {
	Text     string
	Name     string
	Window   window.Window
	Revision int
}

// Parse reads a version of one of the dataset's releases, or of one that it had once.
func Parse(text string) (Version, bool) {
	front, rev, ok := cutLast(text, ".")
	revision, err := strconv.Atoi(rev)
	if !ok || err != nil || revision < 1 || strconv.Itoa(revision) != rev {
		return Version{}, false
	}
	// A window key holds up to two hyphens itself, so the shortest front that leaves a key is the name.
	for i, c := range front {
		if c != '-' || i == 0 {
			continue
		}
		if w, err := window.Parse(front[i+1:]); err == nil && plainName(front[:i]) {
			return Version{text, front[:i], w, revision}, true
		}
	}
	return Version{}, false
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" && s[0] != '-'
}

func byTime(a, b Version) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), a.Window.Start.Compare(b.Window.Start), cmp.Compare(a.Window.Key(), b.Window.Key()), cmp.Compare(a.Revision, b.Revision))
}
