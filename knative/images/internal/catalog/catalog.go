// Package catalog says what was built, of what, by what, in images.json.
package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/almanac-data/almanac/knative/images/internal/base"
)

// Prefix stands before the functions' names in manifests.
const Prefix = "almanac/"

// Catalog is the content of images.json: what was built, of what, by what.
type Catalog struct {
	Revision string           `json:"revision"` // commit, with -dirty behind it if files had changed
	Version  string           `json:"version"`  // short form of it, which programs tell
	Go       string           `json:"go"`
	Ko       string           `json:"ko"`
	Base     string           `json:"base"`
	Images   map[string]Image `json:"images"` // by name in manifests
}

// Image is an index of one image for each platform.
type Image struct {
	Digest    string             `json:"digest"`
	Platforms map[string]Variant `json:"platforms"`
}

// Variant is the image of one platform.
type Variant struct {
	Digest string `json:"digest"`
	SBOM   string `json:"sbom"`  // digest of the artifact that holds the bill of materials
	Bytes  int64  `json:"bytes"` // of the layers, compressed
}

const fileName = "images.json"

// Write writes images.json into a folder.
func (c *Catalog) Write(folder string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(folder, fileName), string(text)+"\n")
}

// Read reads images.json of a folder.
func Read(folder string) (*Catalog, error) {
	text, err := os.ReadFile(filepath.Join(folder, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no images in %s, build them first: make images", folder)
	}
	if err != nil {
		return nil, err
	}
	var c Catalog
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(folder, fileName), err)
	}
	return &c, nil
}

// Names are those of the images, in order.
func (c *Catalog) Names() []string { return slices.Sorted(maps.Keys(c.Images)) }

// Print prints a table for people.
func (c *Catalog) Print(to io.Writer) error {
	var b strings.Builder
	b.WriteString("image")
	for _, p := range base.Platforms {
		b.WriteString("\t" + p.String())
	}
	b.WriteString("\tdigest\n")
	for _, name := range c.Names() {
		b.WriteString(name)
		for _, p := range base.Platforms {
			fmt.Fprintf(&b, "\t%.1f MB", float64(c.Images[name].Platforms[p.String()].Bytes)/1e6)
		}
		b.WriteString("\t" + c.Images[name].Digest + "\n")
	}
	fmt.Fprintf(&b, "\nof %s by %s, on %s\n", c.Revision, c.Go, c.Base)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return w.Flush()
}

// WriteFile writes a file that others may read, as far as the umask lets them.
func WriteFile(path, text string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}
