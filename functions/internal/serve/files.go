package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/serve/access"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
	"github.com/almanac-data/almanac/functions/internal/serve/rows"
	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
)

// manifestOf reads the manifest of the release that a request names: its bytes, and what they say.
func (s *Server) manifestOf(r *http.Request) (d *dataset.Dataset, v shelf.Version, text []byte, doc shelf.Manifest, err error) {
	if d, v, err = s.versionOf(r); err != nil {
		return d, v, nil, doc, err
	}
	text, doc, err = s.openManifest(r.Context(), d.Name, v)
	return d, v, text, doc, err
}

// manifest sends the bytes of manifest.json as they are.
func (s *Server) manifest(w http.ResponseWriter, r *http.Request) error {
	d, v, text, _, err := s.manifestOf(r)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(text)
	access.Download(r.Context(), d.Name, v.Text, "manifest", hex.EncodeToString(digest[:]))
	answer.Pin(w.Header(), digest[:])
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return nil
}

// file sends one data file that the manifest names, whole or in ranges.
func (s *Server) file(w http.ResponseWriter, r *http.Request) error {
	d, v, _, doc, err := s.manifestOf(r)
	if err != nil {
		return err
	}
	digest, ok := strings.CutSuffix(r.PathValue("file"), ".parquet")
	i := slices.IndexFunc(doc.Content.Files, func(f shelf.File) bool { return ok && f.SHA256 == digest })
	sum, notHex := hex.DecodeString(digest)
	if i < 0 || notHex != nil {
		return request.Missing("file", "release %s has no file %s; its manifest lists those it has", v.Text, r.PathValue("file"))
	}
	f, err := s.Files.Open(r.Context(), shelf.Path(d.Name, v, doc.Content.Files[i].Path))
	if err != nil {
		return fmt.Errorf("open file of release %s: %w", v.Text, err)
	}
	defer func() { _ = f.Close() }()
	seeker, ok := f.(io.ReadSeeker)
	if !ok {
		return errors.New("open file of release " + v.Text + ": cannot seek in it")
	}
	access.Download(r.Context(), d.Name, v.Text, "file", digest)
	answer.Pin(w.Header(), sum)
	w.Header().Set("Content-Type", "application/vnd.apache.parquet")
	w.Header().Set("Content-Disposition", `attachment; filename="`+digest+`.parquet"`)
	http.ServeContent(w, r, "", time.Time{}, seeker)
	return nil
}

// rows streams the rows of a release.
func (s *Server) rows(w http.ResponseWriter, r *http.Request) error {
	d, v, _, doc, err := s.manifestOf(r)
	if err != nil {
		return err
	}
	sel, err := rows.Select(r, d.Name, v, doc)
	if err != nil {
		return err
	}
	access.Download(r.Context(), d.Name, v.Text, "rows", "")
	return sel.Send(w, r, s.Files)
}
