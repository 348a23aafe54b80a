// Package base makes the image that functions stand on, or reads another one.
package base

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/almanac-data/almanac/knative/images/internal/registry"
)

// User is whom functions run as, by number, so that Kubernetes can see that it is not root.
const User = "65532:65532"

// Platforms are those that every image is built for.
var Platforms = []v1.Platform{
	{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64"},
}

// own is how images name the base that newBase makes. It is in no registry.
const own = "almanac.local/base"

// Base is an image to build on, for each platform.
type Base struct {
	Name  name.Digest
	index v1.ImageIndex
}

// Open makes our own base, or reads the one of a registry that reference names.
func Open(ctx context.Context, reference string, insecure bool) (Base, error) {
	var index v1.ImageIndex
	repository := own
	if reference == "" {
		made, err := newBase()
		if err != nil {
			return Base{}, err
		}
		index = made
	} else {
		ref, err := name.ParseReference(reference, registry.NameOptions(insecure)...)
		if err != nil {
			return Base{}, fmt.Errorf("BASE: %w", err)
		}
		found, err := remote.Get(ref, registry.Options(ctx, insecure)...)
		if err != nil {
			return Base{}, fmt.Errorf("read the base image %s: %w", reference, registry.Explain(err, ref.Context().Registry))
		}
		if index, err = found.ImageIndex(); err != nil {
			return Base{}, fmt.Errorf("BASE=%s must have an image for each of %s: %w", reference, Platforms, err)
		}
		repository = ref.Context().Name()
	}
	digest, err := index.Digest()
	if err != nil {
		return Base{}, err
	}
	ref, err := name.NewDigest(repository + "@" + digest.String())
	return Base{Name: ref, index: index}, err
}

// Image is that of one platform.
func (b Base) Image(platform v1.Platform) (v1.Image, error) {
	images, err := partial.FindImages(b.index, func(d v1.Descriptor) bool { return d.Platform != nil && d.Platform.Satisfies(platform) })
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("the base image %s has none for %s", b.Name, platform)
	}
	return images[0], nil
}

// newBase makes the image that functions stand on: a user, the root certificates of Mozilla, and /tmp. There is no shell, no
// library and no package manager: functions are static programs that hold the time zones. Its bytes depend on nothing but the
// certificates.
func newBase() (v1.ImageIndex, error) {
	layer, err := baseLayer()
	if err != nil {
		return nil, fmt.Errorf("make the base image: %w", err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range Platforms {
		image, err := mutate.ConfigFile(
			mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
			&v1.ConfigFile{
				OS: platform.OS, Architecture: platform.Architecture, RootFS: v1.RootFS{Type: "layers"},
				Config: v1.Config{User: User, WorkingDir: "/"},
			})
		if err != nil {
			return nil, fmt.Errorf("make the base image of %s: %w", platform, err)
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer: layer, History: v1.History{CreatedBy: "knative/images", Comment: "user, certificates, /tmp"},
		})
		if err != nil {
			return nil, fmt.Errorf("make the base image of %s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return index, nil
}

func baseLayer() (v1.Layer, error) {
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	folder := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode}
	}
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o444} }
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, entry := range []struct {
		header tar.Header
		bytes  []byte
	}{
		{folder("etc", 0o755), nil},
		{file("etc/group"), []byte("root:x:0:\nnonroot:x:65532:\n")},
		{file("etc/passwd"), []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{folder("etc/ssl", 0o755), nil},
		{folder("etc/ssl/certs", 0o755), nil},
		{file("etc/ssl/certs/ca-certificates.crt"), roots},
		{folder("tmp", 0o1777), nil},
	} {
		entry.header.Size = int64(len(entry.bytes))
		entry.header.ModTime = time.Unix(0, 0)
		entry.header.Format = tar.FormatUSTAR
		if err := w.WriteHeader(&entry.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(entry.bytes); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// certificates are Mozilla's roots, as PEM. A root that is only trusted for certificates of before a day is left out, because a
// file of certificates cannot say so.
func certificates() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteString("# Root certificates of Mozilla, from golang.org/x/crypto/x509roots/fallback\n")
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), nil
}
