package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// layout is a folder in the form of the OCI image layout, read by its specification.
type layout string

// descriptor names a blob.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Platform     *platform         `json:"platform"`
	Annotations  map[string]string `json:"annotations"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// manifest is an index, an image, or a file about an image.
type manifest struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Manifests    []descriptor      `json:"manifests"`
	Config       descriptor        `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type config struct {
	platform

	Created string `json:"created"`
	RootFS  struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		User, WorkingDir string
		Entrypoint, Cmd  []string
		Env              []string
		Labels           map[string]string
	} `json:"config"`
}

// catalog is what images.json says.
type catalog struct {
	Revision, Version, Go, Base string
	Images                      map[string]struct {
		Digest    string
		Platforms map[string]struct {
			Digest, SBOM string
			Bytes        int64
		}
	}
}

func (l layout) catalog(t *testing.T) (c catalog) {
	t.Helper()
	l.file(t, "images.json", &c)
	return c
}

func (l layout) index(t *testing.T) (m manifest) {
	t.Helper()
	l.file(t, "index.json", &m)
	return m
}

func (l layout) file(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(string(l), name))
	if err != nil {
		t.Fatalf("%v; build the images first: make images", err)
	}
	decode(t, text, to)
}

// blob is what a descriptor names; its size and digest must be right.
func (l layout) blob(t *testing.T, d descriptor) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(string(l), "blobs", strings.Replace(d.Digest, ":", "/", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := sum(text); got != d.Digest || int64(len(text)) != d.Size {
		t.Fatalf("blob %s of %d bytes has %d bytes and digest %s", d.Digest, d.Size, len(text), got)
	}
	return text
}

func (l layout) manifest(t *testing.T, d descriptor) (m manifest) {
	t.Helper()
	decode(t, l.blob(t, d), &m)
	if m.MediaType != d.MediaType {
		t.Errorf("%s says media type %q, and is named as %q", d.Digest, m.MediaType, d.MediaType)
	}
	return m
}

func (l layout) config(t *testing.T, m manifest) (c config) {
	t.Helper()
	decode(t, l.blob(t, m.Config), &c)
	return c
}

// entry is a file or folder of an image.
type entry struct {
	tar.Header

	bytes []byte
}

// entries are those of all layers, in order. Each layer must be what the config says.
func (l layout) entries(t *testing.T, m manifest, c config) []entry {
	t.Helper()
	if len(m.Layers) != len(c.RootFS.DiffIDs) {
		t.Fatalf("%d layers and %d diff ids", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	var list []entry
	for i, d := range m.Layers {
		unzip, err := gzip.NewReader(bytes.NewReader(l.blob(t, d)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(unzip)
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(text); got != c.RootFS.DiffIDs[i] {
			t.Errorf("layer %d holds %s, the config says %s", i, got, c.RootFS.DiffIDs[i])
		}
		for r := tar.NewReader(bytes.NewReader(text)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			h.Name = strings.Trim(h.Name, "/")
			list = append(list, entry{*h, content})
		}
	}
	return list
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(s[:])
}

func decode(t *testing.T, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%v in %.100s", err, text)
	}
}
