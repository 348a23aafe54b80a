package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// ErrDiffers says that a local folder is not what its list says.
var ErrDiffers = errors.New("it is not what the list of files says")

// Check compares a local folder with a list, to the last byte. The error wraps ErrDiffers and names the first few files that are missing, changed or too much.
func Check(ctx context.Context, dir string, list List) error {
	wanted := map[string]bool{".": true, mark: true}
	problems := make([]string, len(list.Entries))
	for _, e := range list.Entries {
		wanted[e.Path] = true
	}
	err := each(ctx, list.Entries, func(i int) error {
		if e := list.Entries[i]; !e.Folder {
			problems[i] = differs(dir, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var strays []string
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && !wanted[name] {
			strays = append(strays, name+" is not in the list")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("check %s: %w", dir, err)
	}
	return summary(dir, slices.Concat(problems, strays))
}

// told is how many problems are told by name.
const told = 5

func summary(dir string, problems []string) error {
	var all []error
	count := 0
	for _, p := range problems {
		if p == "" {
			continue
		}
		if count++; count <= told {
			all = append(all, errors.New(p))
		}
	}
	if count == 0 {
		return nil
	}
	return fmt.Errorf("check %s: %w, in %d places: %w", dir, ErrDiffers, count, errors.Join(all...))
}

// differs says how a local file differs from its entry, or "".
func differs(dir string, e Entry) string {
	f, err := os.Open(local(dir, e.Path))
	if err != nil {
		return e.Path + " is missing"
	}
	defer func() { _ = f.Close() }() // it is only read
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	switch {
	case err != nil:
		return fmt.Sprintf("%s cannot be read: %v", e.Path, err)
	case n != e.Bytes:
		return fmt.Sprintf("%s has %d bytes, not %d", e.Path, n, e.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != e.SHA256:
		return e.Path + " has other bytes"
	}
	return ""
}
