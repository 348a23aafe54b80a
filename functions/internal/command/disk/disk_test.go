package disk

import (
	"path/filepath"
	"testing"
)

func TestFreeSpaceOfAFolderThatIsNotThereYet(t *testing.T) {
	dir := t.TempDir()
	free, at, err := Free(filepath.Join(dir, "a", "b"))
	if err != nil || at != dir || free == 0 {
		t.Errorf("Free = %d at %s, %v, want that of %s", free, at, err, dir)
	}
}
