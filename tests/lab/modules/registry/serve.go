package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// serve answers by the distribution API until ctx ends. The library keeps manifests in memory only: those that come in are
// also written to disk, and told to it again at the next start.
func serve(ctx context.Context, address, dir string) error {
	manifests := filepath.Join(dir, "manifests")
	for _, d := range []string{manifests, filepath.Join(dir, "blobs")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(filepath.Join(dir, "blobs"))), registry.Logger(log.New(io.Discard, "", 0)))
	if err := replay(ctx, handler, manifests); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: keep(handler, manifests), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// manifest is a PUT of a manifest, as it came.
type manifest struct {
	Path string `json:"path"`
	Type string `json:"type"`
	Body []byte `json:"body"`
}

// keep passes requests on, and writes each manifest that was taken to a file before it answers.
func keep(next http.Handler, dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20)) // the limit that registries commonly set
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		m := manifest{Path: r.URL.Path, Type: r.Header.Get("Content-Type"), Body: body}
		answer := m.put(r.Context(), next)
		if answer.Code < 300 {
			if err := m.write(dir); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (m manifest) put(ctx context.Context, to http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPut, m.Path, bytes.NewReader(m.Body))
	r.Header.Set("Content-Type", m.Type)
	answer := httptest.NewRecorder()
	to.ServeHTTP(answer, r)
	return answer
}

func (m manifest) write(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(m.Path))
	file := filepath.Join(dir, hex.EncodeToString(sum[:]))
	if err := os.WriteFile(file+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// replay tells the handler what was kept. An index names the manifests of its images, so what is refused is told again after the rest.
func replay(ctx context.Context, handler http.Handler, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "????????????????????????????????????????????????????????????????"))
	if err != nil {
		return err
	}
	for len(files) > 0 {
		var refused []string
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var m manifest
			if err := json.Unmarshal(b, &m); err != nil {
				return fmt.Errorf("manifest %s: %w", file, err)
			}
			if m.put(ctx, handler).Code >= 300 {
				refused = append(refused, file)
			}
		}
		if len(refused) == len(files) {
			return fmt.Errorf("%d manifests are refused, %s among them: push their images again", len(refused), refused[0])
		}
		files = refused
	}
	return nil
}
