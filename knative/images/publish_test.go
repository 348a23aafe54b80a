package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/almanac-data/almanac/knative/images/internal/base"
	"github.com/almanac-data/almanac/knative/images/internal/catalog"
)

const bill = `{"spdxVersion":"SPDX-2.3"}`

// built writes a folder as build does, with images of two functions that hold random bytes.
func built(t *testing.T) (string, *catalog.Catalog) {
	t.Helper()
	dir := t.TempDir()
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	on, err := base.Open(context.Background(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	made := &catalog.Catalog{Revision: "0123", Version: "0123", Images: map[string]catalog.Image{}}
	for _, function := range []string{"calendar", "store"} {
		index := v1.ImageIndex(empty.Index)
		one := catalog.Image{Platforms: map[string]catalog.Variant{}}
		for _, platform := range base.Platforms {
			layer, err := random.Layer(1000, types.OCILayer)
			if err != nil {
				t.Fatal(err)
			}
			under, err := on.Image(platform)
			if err != nil {
				t.Fatal(err)
			}
			content, err := mutate.AppendLayers(under, layer)
			if err != nil {
				t.Fatal(err)
			}
			subject, err := partial.Descriptor(content)
			if err != nil {
				t.Fatal(err)
			}
			sbom, err := newArtifact(spdx, []byte(bill), *subject)
			if err != nil {
				t.Fatal(err)
			}
			if err := at.AppendImage(sbom); err != nil {
				t.Fatal(err)
			}
			digest, err := sbom.Digest()
			if err != nil {
				t.Fatal(err)
			}
			one.Platforms[platform.String()] = catalog.Variant{Digest: subject.Digest.String(), SBOM: digest.String()}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: content, Descriptor: v1.Descriptor{Platform: &platform}})
		}
		if err := at.AppendIndex(index); err != nil {
			t.Fatal(err)
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		one.Digest = digest.String()
		made.Images[catalog.Prefix+function] = one
	}
	if err := made.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir, made
}

// serve starts a registry, with Basic authentication if a password is given, and returns its host.
func serve(t *testing.T, password string, options ...registry.Option) string {
	t.Helper()
	inner := registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestPublishedImagesAreThoseThatWereBuilt(t *testing.T) {
	for what, options := range map[string][]registry.Option{
		"a registry that lists referrers":       {registry.WithReferrersSupport(true)},
		"a registry that knows nothing of them": nil,
	} {
		t.Run(what, func(t *testing.T) {
			dir, made := built(t)
			host := serve(t, "", options...)
			out := filepath.Join(t.TempDir(), "new", "kustomization.yaml")
			var said bytes.Buffer
			p := publisher{from: dir, registry: host + "/team/", insecure: true, out: out}
			for range 2 { // the second time nothing is left to do
				said.Reset()
				if err := p.publish(context.Background(), &said); err != nil {
					t.Fatal(err)
				}
			}
			want := "# Written by make publish, of 0123\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n"
			for _, function := range []string{"calendar", "store"} {
				one := made.Images[catalog.Prefix+function]
				checkPublished(t, host+"/team/"+function, one)
				want += "  - name: almanac/" + function + "\n    newName: " + host + "/team/" + function + "\n    digest: " + one.Digest + "\n"
				if line := host + "/team/" + function + "@" + one.Digest + "\n"; !strings.Contains(said.String(), line) {
					t.Errorf("said\n%swithout %s", said.String(), line)
				}
			}
			if got, err := os.ReadFile(out); err != nil || string(got) != want {
				t.Errorf("%s, error %v:\n%s\nwant\n%s", out, err, got, want)
			}
		})
	}
}

// checkPublished pulls an image, and finds the bill of materials of each platform as a client does.
func checkPublished(t *testing.T, repository string, made catalog.Image) {
	t.Helper()
	tag, err := name.NewTag(repository + ":0123")
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := index.Digest(); err != nil || digest.String() != made.Digest {
		t.Errorf("%s is %s, want %s, error %v", tag, digest, made.Digest, err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("%s: %v", tag, err)
	}
	for platform, one := range made.Platforms {
		about, err := remote.Referrers(tag.Context().Digest(one.Digest))
		if err != nil {
			t.Fatal(err)
		}
		list, err := about.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Manifests) != 1 || list.Manifests[0].Digest.String() != one.SBOM {
			t.Errorf("%s of %s is referred to by %v, want %s", platform, repository, list.Manifests, one.SBOM)
			continue
		}
		sbom, err := remote.Image(tag.Context().Digest(one.SBOM))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := sbom.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, error %v", len(layers), err)
		}
		text, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(text); err != nil || string(got) != bill {
			t.Errorf("bill of materials %s, error %v", got, err)
		}
	}
}

func TestPublishSaysWhatToDo(t *testing.T) {
	dir, _ := built(t)
	plain, guarded := serve(t, ""), serve(t, "secret")
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for what, c := range map[string]struct {
		p    publisher
		want string
	}{
		"no registry":             {publisher{from: dir}, "REGISTRY is not set: give HOST[:PORT]/PREFIX"},
		"a registry without host": {publisher{from: dir, registry: "team"}, "REGISTRY=team: give HOST[:PORT]/PREFIX"},
		"a URL":                   {publisher{from: dir, registry: "https://registry.example.org/team"}, "give HOST[:PORT]/PREFIX"},
		"no images":               {publisher{from: t.TempDir(), registry: plain + "/team"}, "build them first: make images"},
		"plain HTTP unasked":      {publisher{from: dir, registry: plain + "/team"}, "set INSECURE=1"},
		"no password":             {publisher{from: dir, registry: guarded + "/team", insecure: true}, "docker login " + guarded},
		"nobody there": {
			publisher{from: dir, registry: strings.TrimPrefix(gone.URL, "http://") + "/team", insecure: true}, "is its name right?",
		},
	} {
		t.Run(what, func(t *testing.T) {
			c.p.out = filepath.Join(t.TempDir(), "kustomization.yaml")
			err := c.p.publish(context.Background(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if _, err := os.Stat(c.p.out); err == nil {
				t.Error("the file for kustomize was written all the same")
			}
		})
	}
}

func TestPublishTakesThePasswordOfDockerLogin(t *testing.T) {
	dir, _ := built(t)
	host := serve(t, "secret")
	home := t.TempDir()
	t.Setenv("DOCKER_CONFIG", home)
	login := `{"auths": {"` + host + `": {"auth": "dXNlcjpzZWNyZXQ="}}}` // user:secret
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	p := publisher{from: dir, registry: host + "/team", insecure: true}
	if err := p.publish(context.Background(), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestWrongUseSaysHow(t *testing.T) {
	for _, args := range [][]string{nil, {"make"}, {"build"}, {"build", "-root", "."}, {"build", "-root", ".", "-to", "x"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); err == nil || !strings.HasPrefix(err.Error(), "usage:") {
			t.Errorf("images %v: error %v, want the usage", args, err)
		}
	}
}
