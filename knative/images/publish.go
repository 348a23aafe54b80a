package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/almanac-data/almanac/knative/images/internal/base"
	"github.com/almanac-data/almanac/knative/images/internal/catalog"
	"github.com/almanac-data/almanac/knative/images/internal/registry"
)

// publisher pushes what build has written, byte for byte.
type publisher struct {
	from     string
	registry string // host, port and prefix
	insecure bool
	out      string
}

const giveRegistry = "give HOST[:PORT]/PREFIX, such as registry.example.org/almanac"

// publish pushes each image and its bills of materials, tags the image with its version, and writes the kustomize file last.
func (p *publisher) publish(ctx context.Context, out io.Writer) error {
	if p.registry == "" {
		return errors.New("REGISTRY is not set: " + giveRegistry)
	}
	made, err := catalog.Read(p.from)
	if err != nil {
		return err
	}
	at, err := layout.ImageIndexFromPath(p.from)
	if err != nil {
		return fmt.Errorf("read the images in %s: %w", p.from, err)
	}
	pusher, err := remote.NewPusher(registry.Options(ctx, p.insecure)...)
	if err != nil {
		return err
	}
	for _, image := range made.Names() {
		repository, err := p.repository(image)
		if err != nil {
			return err
		}
		if err := push(ctx, pusher, at, made.Images[image], repository.Tag(made.Version)); err != nil {
			return fmt.Errorf("push %s: %w", repository, registry.Explain(err, repository.Registry))
		}
		if _, err := fmt.Fprintf(out, "%s@%s\n", repository, made.Images[image].Digest); err != nil {
			return err
		}
	}
	if p.out == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.out), 0o750); err != nil {
		return err
	}
	return catalog.WriteFile(p.out, p.component(made))
}

func (p *publisher) repository(image string) (name.Repository, error) {
	repository, err := name.NewRepository(p.target(image), append(registry.NameOptions(p.insecure), name.StrictValidation)...)
	if err == nil && strings.Contains(p.registry, "://") {
		err = errors.New("a URL is no name of a registry")
	}
	if err != nil {
		return repository, fmt.Errorf("REGISTRY=%s: %s: %w", p.registry, giveRegistry, err)
	}
	return repository, nil
}

// target is the name of an image in the registry.
func (p *publisher) target(image string) string {
	return strings.TrimSuffix(p.registry, "/") + "/" + strings.TrimPrefix(image, catalog.Prefix)
}

func push(ctx context.Context, pusher *remote.Pusher, at v1.ImageIndex, made catalog.Image, tag name.Tag) error {
	digest, err := v1.NewHash(made.Digest)
	if err != nil {
		return err
	}
	index, err := at.ImageIndex(digest)
	if err != nil {
		return err
	}
	if err := pusher.Push(ctx, tag.Context().Digest(made.Digest), index); err != nil {
		return err
	}
	for _, p := range base.Platforms {
		sbom := made.Platforms[p.String()].SBOM
		digest, err := v1.NewHash(sbom)
		if err != nil {
			return err
		}
		artifact, err := at.Image(digest)
		if err != nil {
			return err
		}
		if err := pusher.Push(ctx, tag.Context().Digest(sbom), artifact); err != nil {
			return err
		}
	}
	// Registries that clean up take what has no tag.
	return pusher.Push(ctx, tag, index)
}

// component is a kustomize component: an overlay that names it takes these images.
func (p *publisher) component(made *catalog.Catalog) string {
	var b strings.Builder
	b.WriteString("# Written by make publish, of " + made.Revision + "\n")
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n")
	for _, image := range made.Names() {
		fmt.Fprintf(&b, "  - name: %s\n    newName: %s\n    digest: %s\n", image, p.target(image), made.Images[image].Digest)
	}
	return b.String()
}
