package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	spdx       types.MediaType = "application/spdx+json"
	emptyMedia types.MediaType = "application/vnd.oci.empty.v1+json"
)

// emptyConfig is the config of what is no container (OCI image specification 1.1, guidelines for artifacts).
var emptyConfig = []byte("{}")

// artifact is one file about an image, in the form that registries list as a referrer of it.
type artifact struct {
	manifest []byte
	file     v1.Layer
}

// newArtifact wraps a file about subject.
func newArtifact(media types.MediaType, file []byte, subject v1.Descriptor) (v1.Image, error) {
	a := artifact{file: static.NewLayer(file, media)}
	content, err := partial.Descriptor(a.file)
	if err != nil {
		return nil, err
	}
	config, size, err := v1.SHA256(bytes.NewReader(emptyConfig))
	if err != nil {
		return nil, err
	}
	a.manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: string(media),
		Config:  v1.Descriptor{MediaType: emptyMedia, Digest: config, Size: size},
		Layers:  []v1.Descriptor{*content},
		Subject: &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(a)
}

func (artifact) RawConfigFile() ([]byte, error) { return emptyConfig, nil }

func (artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

func (a artifact) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, layer := range []partial.CompressedLayer{a.file, static.NewLayer(emptyConfig, emptyMedia)} {
		if digest, err := layer.Digest(); err == nil && digest == h {
			return layer, nil
		}
	}
	return nil, fmt.Errorf("no blob %s", h)
}
