package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/ko/pkg/build"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/knative/images/internal/base"
	"github.com/almanac-data/almanac/knative/images/internal/catalog"
)

// repository is the module that the functions are in.
const repository = "github.com/almanac-data/almanac"

// builder builds images into an OCI layout.
type builder struct {
	root     string // of the repository
	to       string
	base     string // reference of another base image, or empty
	insecure bool
	progress io.Writer
}

// build builds one image for each function, and replaces the folder b.to as a whole: an OCI layout with the images and their
// bills of materials, those again as files in sbom/, and images.json.
func (b *builder) build(ctx context.Context, functions []string) (*catalog.Catalog, error) {
	from, err := readSource(ctx, b.root)
	if err != nil {
		return nil, err
	}
	goVersion, err := command(ctx, b.root, "go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	koVersion, err := versionOfKo()
	if err != nil {
		return nil, err
	}
	on, err := base.Open(ctx, b.base, b.insecure)
	if err != nil {
		return nil, err
	}
	fresh := b.to + ".new" // so that a build that is cut leaves the images before
	if err := os.RemoveAll(fresh); err != nil {
		return nil, err
	}
	at, err := layout.Write(fresh, empty.Index)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	j := job{root: b.root, from: from, on: on, at: at, options: options(from, koVersion, filepath.Join(fresh, "sbom"))}
	made := &catalog.Catalog{
		Revision: from.revision(), Version: from.version(), Go: goVersion, Ko: koVersion, Base: on.Name.Name(), Images: map[string]catalog.Image{},
	}
	for _, function := range functions {
		if _, err := fmt.Fprintf(b.progress, "building %s%s\n", catalog.Prefix, function); err != nil {
			return nil, err
		}
		one, err := j.build(ctx, function)
		if err != nil {
			return nil, fmt.Errorf("build the image of %s: %w", function, err)
		}
		made.Images[catalog.Prefix+function] = *one
	}
	if err := made.Write(fresh); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(b.to); err != nil {
		return nil, err
	}
	return made, os.Rename(fresh, b.to)
}

// versionOfKo is that which this program is built with.
func versionOfKo() (string, error) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/google/ko" {
				return dep.Version, nil
			}
		}
	}
	return "", errors.New("the version of ko is unknown: build this program as a module")
}

// options are how ko builds. What a person has set in the environment must not change an image, so all that go build looks at is
// set here.
func options(from source, koVersion, sboms string) []build.Option {
	list := []build.Option{
		build.WithTrimpath(true),
		build.WithDefaultEnv([]string{
			"CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off",
		}),
		// Without a build id, a program that does not hold its version is the same in every commit that does not touch it.
		build.WithDefaultLdflags([]string{"-s", "-w", "-buildid=", "-X", "main.version=" + from.version()}),
		build.WithCreationTime(v1.Time{Time: from.when}),
		build.WithUser(base.User),
		build.WithSPDX(koVersion),
		build.WithSBOMDir(sboms),
	}
	for key, value := range from.annotations() {
		list = append(list, build.WithLabel(key, value), build.WithAnnotation(key, value))
	}
	return list
}

// job is what the images of all functions have in common.
type job struct {
	root    string
	from    source
	on      base.Base
	at      layout.Path
	options []build.Option
}

// build builds an index of one image for each platform. ko could make the index as well, but would name a wrong digest for its
// base in it (as of v0.19.1).
func (j job) build(ctx context.Context, function string) (*catalog.Image, error) {
	built := make([]oci.SignedImage, len(base.Platforms))
	group, ctx := errgroup.WithContext(ctx)
	for i, platform := range base.Platforms {
		group.Go(func() (err error) {
			built[i], err = j.buildPlatform(ctx, platform, function)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	made := &catalog.Image{Platforms: map[string]catalog.Variant{}}
	for i, platform := range base.Platforms {
		digest, err := built[i].Digest()
		if err != nil {
			return nil, err
		}
		sbom, err := appendSBOM(j.at, built[i])
		if err != nil {
			return nil, err
		}
		size, err := packedSize(built[i])
		if err != nil {
			return nil, err
		}
		made.Platforms[platform.String()] = catalog.Variant{Digest: digest.String(), SBOM: sbom, Bytes: size}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: built[i], Descriptor: v1.Descriptor{Platform: &platform}})
	}
	annotations := j.from.annotations()
	annotations["org.opencontainers.image.base.name"] = j.on.Name.Name()
	annotations["org.opencontainers.image.base.digest"] = j.on.Name.DigestStr()
	index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return nil, err
	}
	made.Digest = digest.String()
	return made, j.at.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": catalog.Prefix + function}))
}

func (j job) buildPlatform(ctx context.Context, platform v1.Platform, function string) (oci.SignedImage, error) {
	image, err := j.on.Image(platform)
	if err != nil {
		return nil, err
	}
	ko, err := build.NewGo(ctx, j.root, append(slices.Clone(j.options), build.WithPlatforms(platform.String()),
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) { return j.on.Name, image, nil }))...)
	if err != nil {
		return nil, err
	}
	path := build.StrictScheme + repository + "/functions/" + function
	if err := ko.IsSupportedReference(path); err != nil {
		return nil, fmt.Errorf("functions/%s is no program: %w", function, err)
	}
	result, err := ko.Build(ctx, path)
	if err != nil {
		return nil, err
	}
	return result.(oci.SignedImage), nil
}

// appendSBOM writes the bill of materials beside its image, and returns the digest of the artifact that holds it.
func appendSBOM(at layout.Path, of oci.SignedImage) (string, error) {
	file, err := of.Attachment("sbom")
	if err != nil {
		return "", fmt.Errorf("find the bill of materials: %w", err)
	}
	text, err := file.Payload()
	if err != nil {
		return "", err
	}
	subject, err := partial.Descriptor(of)
	if err != nil {
		return "", err
	}
	artifact, err := newArtifact(spdx, text, *subject)
	if err != nil {
		return "", err
	}
	digest, err := artifact.Digest()
	if err != nil {
		return "", err
	}
	return digest.String(), at.AppendImage(artifact)
}

// packedSize is how many bytes are pulled: the layers as they travel.
func packedSize(i v1.Image) (int64, error) {
	manifest, err := i.Manifest()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, layer := range manifest.Layers {
		sum += layer.Size
	}
	return sum, nil
}
