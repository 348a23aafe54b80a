package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// program is where a program that is pushed alone stands in its image, as ko has it.
const program = "/ko-app/app"

// push makes an image of one layer and pushes it. The same input has the same digest, which comes back as <registry>/<name>@sha256:….
func push(ctx context.Context, image, from, user, entrypoint string) (string, error) {
	ref, err := name.NewTag(image, name.Insecure, name.StrictValidation)
	if err != nil {
		return "", err
	}
	root, err := layer(from)
	if err != nil {
		return "", err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), root)
	if err != nil {
		return "", err
	}
	img, err = mutate.ConfigFile(img, config(img, user, entrypoint))
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

func config(img v1.Image, user, entrypoint string) *v1.ConfigFile {
	var rootfs v1.RootFS
	if now, err := img.ConfigFile(); err == nil {
		rootfs = now.RootFS
	}
	return &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", RootFS: rootfs,
		Config: v1.Config{User: user, Entrypoint: []string{entrypoint}, Env: []string{"PATH=/usr/local/bin:/ko-app"}},
	}
}

// layer packs a program, or a folder, beside an empty /tmp that everyone may write. It is not compressed: it travels within the machine only.
func layer(from string) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		err = folder(w, from)
	} else {
		err = file(w, from, program[1:])
	}
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer), nil
}

func folder(w *tar.Writer, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return file(w, path, rel)
	})
}

// file packs what path names, through links, as root's and readable by all.
func file(w *tar.Writer, path, as string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(as), Mode: mode, Size: info.Size(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
