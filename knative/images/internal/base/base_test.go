package base

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestBaseIsTheSameEachTime(t *testing.T) {
	var digests [2]v1.Hash
	for i := range digests {
		index, err := newBase()
		if err != nil {
			t.Fatal(err)
		}
		if digests[i], err = index.Digest(); err != nil {
			t.Fatal(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two bases have digests %s and %s", digests[0], digests[1])
	}
}

func TestBaseOfARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	push := func(repository string, image remote.Taggable) string {
		ref, err := name.ParseReference(host + "/" + repository)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(ref, image); err != nil {
			t.Fatal(err)
		}
		return ref.String()
	}
	one, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	// As bases do that also serve other machines, this one says the variant of arm64.
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}})
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	both, alone := push("both:1", index), push("alone:1", one)

	got, err := Open(context.Background(), both, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/both@" + digest.String(); got.Name.Name() != want {
		t.Errorf("base %s, want %s", got.Name.Name(), want)
	}
	for _, platform := range Platforms {
		if _, err := got.Image(platform); err != nil {
			t.Errorf("image of %s: %v", platform, err)
		}
	}
	if _, err := got.Image(v1.Platform{OS: "linux", Architecture: "s390x"}); err == nil {
		t.Error("a base without s390x gave an image for it")
	}
	for what, c := range map[string]struct {
		base     string
		insecure bool
		want     string
	}{
		"an image of one platform": {alone, true, "must have an image for each of"},
		"one that is not there":    {host + "/none:1", true, "NAME_UNKNOWN"},
		"plain HTTP unasked":       {both, false, "INSECURE=1"},
		"no name":                  {"A b", true, "BASE: "},
	} {
		if _, err := Open(context.Background(), c.base, c.insecure); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", what, err, c.want)
		}
	}
}
