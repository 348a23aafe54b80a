package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// start serves a folder until the function it returns is called.
func start(t *testing.T, dir string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, address, dir) }()
	for range 100 {
		if answer, err := http.Get("http://" + address + "/v2/"); err == nil {
			_ = answer.Body.Close()
			return address, func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the registry does not answer")
	return "", nil
}

func TestAnImageSurvivesARestart(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(file, []byte("#!/bin/true\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	address, stop := start(t, dir)
	digest, err := push(t.Context(), address+"/some/tool:v1", file, "65532", program)
	if err != nil {
		t.Fatal(err)
	}
	again, err := push(t.Context(), address+"/some/tool:v2", file, "65532", program)
	if err != nil || again != digest {
		t.Errorf("push of the same = %s, %v, want %s", again, err, digest)
	}
	stop()

	address, stop = start(t, dir)
	defer stop()
	_, sum, _ := strings.Cut(digest, "@")
	for _, as := range []string{":v1", ":v2", "@" + sum} {
		ref, err := name.ParseReference(address+"/some/tool"+as, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(ref)
		if err != nil {
			t.Fatalf("%s after the restart: %v", as, err)
		}
		got, err := img.Digest()
		if err != nil || got.String() != sum {
			t.Errorf("%s has digest %s, %v, want %s", as, got, err, sum)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Config.User != "65532" || config.Config.Entrypoint[0] != program {
			t.Errorf("%s: its config is %+v, %v", as, config, err)
		}
	}
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	if _, err := push(t.Context(), "127.0.0.1:1/x:v1", filepath.Join(t.TempDir(), "none"), "1", program); err == nil {
		t.Error("push of a missing file gave no error")
	}
	if _, err := push(t.Context(), "no tag", "/dev/null", "1", program); err == nil {
		t.Error("push to a name that is none gave no error")
	}
}
