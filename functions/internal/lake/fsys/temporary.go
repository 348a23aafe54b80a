package fsys

import (
	"crypto/rand"
	"encoding/hex"
	"path"
	"slices"
	"strings"
)

const (
	// temporary begins the names of what is not published yet. A writer that was killed leaves them; nothing reads them.
	temporary = ".tmp-"
	// Staging is the folder of what is being made for the folders that lie deep in one table or archive, of which there is one for each window.
	Staging = ".staging"
	// shallow is how deep a folder may lie to hold what is being made for it. Folders up to there are few, so a sweep looks into each.
	shallow = 2
)

// Temporary is a new name for something that is being made, to be renamed into the folder. It lies in the folder itself, or in the staging
// folder of its table or archive if the folder lies deeper than a sweep looks: who may write there and nowhere else can make what it writes. What is
// being made for a temporary folder lies in that.
func Temporary(dir string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	name := temporary + hex.EncodeToString(b[:])
	if parts := strings.Split(dir, "/"); len(parts) > shallow && !slices.ContainsFunc(parts, IsTemporary) {
		return path.Join(parts[0], parts[1], Staging, name)
	}
	return path.Join(dir, name)
}

// IsTemporary says whether the last element of a path names something that is not published yet.
func IsTemporary(name string) bool { return strings.HasPrefix(path.Base(name), temporary) }

// IsHidden says whether a name is none of a user's: temporary, or a staging folder.
func IsHidden(name string) bool { return strings.HasPrefix(path.Base(name), ".") }
