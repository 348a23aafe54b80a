package access

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// part is a writer that counts its deadlines, and fails after so many bytes.
type part struct {
	*httptest.ResponseRecorder

	deadlines int
	sizes     []int
	left      int
}

func (p *part) SetWriteDeadline(time.Time) error { p.deadlines++; return nil }

func (p *part) Write(b []byte) (int, error) {
	n, err := p.ResponseRecorder.Write(b[:min(len(b), p.left)])
	p.sizes = append(p.sizes, n)
	if p.left -= n; n < len(b) && err == nil {
		err = io.ErrClosedPipe
	}
	return n, err
}

func TestEachPartHasADeadline(t *testing.T) {
	data := bytes.Repeat([]byte("almanac!"), 3<<17) // 3 MiB
	for name, send := range map[string]func(w http.ResponseWriter) error{
		"written": func(w http.ResponseWriter) error { _, err := w.Write(data); return err },
		"read": func(w http.ResponseWriter) error {
			_, err := w.(io.ReaderFrom).ReadFrom(bytes.NewReader(data))
			return err
		},
		"a part of a reader": func(w http.ResponseWriter) error {
			_, err := io.CopyN(w, io.MultiReader(bytes.NewReader(data), strings.NewReader("more")), int64(len(data)))
			return err
		},
	} {
		inner := &part{ResponseRecorder: httptest.NewRecorder(), left: 10 << 20}
		s := newSent(inner, time.Now, true)
		err := send(s)
		if err != nil || s.bytes != int64(len(data)) || inner.deadlines < 3 || !bytes.Equal(inner.Body.Bytes(), data) || s.status != 200 || s.failed {
			t.Errorf("%s: %v, %d bytes, %d deadlines, status %d", name, err, s.bytes, inner.deadlines, s.status)
		}
		if got := inner.Header().Get("Cache-Control"); got != "private" {
			t.Errorf("%s: Cache-Control %q, want private", name, got)
		}
		inner = &part{ResponseRecorder: httptest.NewRecorder(), left: 1 << 20}
		if s = newSent(inner, time.Now, false); send(s) == nil || !s.failed || s.bytes != 1<<20 {
			t.Errorf("%s: cut off after 1 MiB, and %d bytes, failed %v", name, s.bytes, s.failed)
		}
	}
}
