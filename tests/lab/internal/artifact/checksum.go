package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// verify compares the files of a folder with the digests listed for the group: each must be listed, and each listed one there.
func verify(list []byte, group, dir string) error {
	want, err := parse(list, group)
	if err != nil {
		return err
	}
	got, err := digests(dir)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		switch sum, listed := want[name]; {
		case !listed:
			return fmt.Errorf("%s is not in jars.sha256; see docs/lab.md for how the list is made anew", name)
		case sum != got[name]:
			return fmt.Errorf("%s has SHA-256 %s, and %s in jars.sha256", name, got[name], sum)
		}
		delete(want, name)
	}
	for name := range want {
		return fmt.Errorf("%s is in jars.sha256, but was not fetched", name)
	}
	return nil
}

// parse reads the lines "<sha256>  <group>/<file>" of one group.
func parse(list []byte, group string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		sum, path, ok := strings.Cut(line, "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("not a line of jars.sha256: %q", line)
		}
		if name, ok := strings.CutPrefix(path, group+"/"); ok {
			sums[name] = sum
		}
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("jars.sha256 lists nothing of %s", group)
	}
	return sums, nil
}

// format is what parse reads, sorted by name.
func format(group string, sums map[string]string) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		b = fmt.Appendf(b, "%s  %s/%s\n", sums[name], group, name)
	}
	return b
}

// digests are the SHA-256 of the files of a folder, by name.
func digests(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, e := range entries {
		if sums[e.Name()], err = digest(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
