package reader

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Release is a published release as it lies on disk.
type Release struct {
	Content string            // the content part of the manifest, byte for byte
	Files   map[string]string // every file but the manifest: path and SHA-256 of its bytes
}

// Releases reads every release of a warehouse, by dataset/version.
func Releases(warehouse string) (map[string]Release, error) {
	names, err := filepath.Glob(filepath.Join(warehouse, "releases", "*", "*", "manifest.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]Release{}
	for _, name := range names {
		dir := filepath.Dir(name)
		version := filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir)
		if all[version], err = release(dir); err != nil {
			return nil, fmt.Errorf("read release %s: %w", version, err)
		}
	}
	return all, nil
}

func release(dir string) (Release, error) {
	r := Release{Files: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return r, err
	}
	var manifest struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return r, err
	}
	if len(manifest.Content) == 0 {
		return r, errors.New("its manifest has no content")
	}
	r.Content = string(manifest.Content)
	return r, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "manifest.json" {
			return err
		}
		data, err := os.ReadFile(name)
		digest := sha256.Sum256(data)
		r.Files[strings.TrimPrefix(name, dir+"/")] = hex.EncodeToString(digest[:])
		return err
	})
}

// Listing is every file below a folder with its size and the time of its last change.
func Listing(dir string) (map[string]string, error) {
	all := map[string]string{}
	return all, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			all[strings.TrimPrefix(name, dir+"/")] = fmt.Sprintf("%d bytes, %s", info.Size(), info.ModTime().Format("15:04:05.000000000"))
		}
		return err
	})
}
