// Package edit changes files that tests have copied.
package edit

import (
	"bytes"
	"fmt"
	"os"
)

// Replace puts a text in place of another wherever a file holds that, which it must.
func Replace(path, old, with string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(old)) {
		return fmt.Errorf("%s holds no %q", path, old)
	}
	return os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(with)), 0o600)
}
