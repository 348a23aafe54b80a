package access

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Line is one line of the audit trail: a download, or a refusal.
type Line struct {
	Time       time.Time `json:"time"`
	Audit      bool      `json:"audit"` // true, to tell these lines from others
	Event      string    `json:"event"` // "download" or "refusal"
	Credential string    `json:"credential,omitempty"`
	Issuer     string    `json:"issuer,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Dataset    string    `json:"dataset,omitempty"`
	Release    string    `json:"release,omitempty"`
	What       string    `json:"what,omitempty"`   // "file", "manifest" or "rows"
	SHA256     string    `json:"sha256,omitempty"` // of the whole file or manifest
	Range      string    `json:"range,omitempty"`
	Status     int       `json:"status"`
	Bytes      int64     `json:"bytes"`
	Whole      bool      `json:"whole"`            // the answer was sent to its end
	Reason     string    `json:"reason,omitempty"` // of a refusal
	From       string    `json:"from"`             // address of the other end of the connection
	Forwarded  string    `json:"forwarded,omitempty"`
	Request    string    `json:"request,omitempty"`
	Trace      string    `json:"trace,omitempty"`
	Millis     int64     `json:"millis"`
}

// newLine begins the line of a request. What its sender chose is cut short.
func newLine(r *http.Request, now time.Time) *Line {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	l := &Line{
		Time: now.UTC(), Audit: true, Method: short(r.Method), Path: short(r.URL.Path), Range: short(r.Header.Get("Range")), From: from,
		Forwarded: short(strings.Join(r.Header.Values("X-Forwarded-For"), ", ")), Request: short(r.Header.Get("X-Request-ID")),
	}
	if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
		l.Trace = span.TraceID().String()
	}
	return l
}

const shortest = 200

func short(s string) string {
	if len(s) > shortest {
		return strings.ToValidUTF8(s[:shortest], "") + "…"
	}
	return s
}

type lineKey struct{}

// Download says in the audit trail what a request downloads: "file", "manifest" or "rows" of a release. The digest is in hexadecimal, empty
// for rows.
func Download(ctx context.Context, dataset, release, what, digest string) {
	if l, ok := ctx.Value(lineKey{}).(*Line); ok {
		l.Event, l.Dataset, l.Release, l.What, l.SHA256 = "download", dataset, release, what, digest
	}
}

// Trail writes the audit trail. It is safe for concurrent use.
type Trail struct {
	write func([]byte) error

	mu   sync.Mutex
	owed [][]byte // lines that could not be written yet
}

// NewTrail appends lines to a file, which is opened for each of them so that it may be moved away at any time, or writes them to out if no
// file is named.
func NewTrail(file string, out io.Writer) *Trail {
	if file == "" {
		return &Trail{write: func(line []byte) error {
			_, err := out.Write(line)
			return err
		}}
	}
	return &Trail{write: func(line []byte) error { return appendTo(file, line) }}
}

// appendTo writes a line whole or takes it back, as the disk may be full in the middle of it.
func appendTo(file string, line []byte) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := f.Write(line)
	if err != nil && n > 0 {
		if info, stat := f.Stat(); stat == nil {
			_ = f.Truncate(info.Size() - int64(n)) // else half a line stays, which a reader sees
		}
	}
	if end := f.Close(); err == nil {
		err = end
	}
	return err
}

// say writes a line, or keeps it until it can.
func (t *Trail) say(ctx context.Context, l *Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.owed = append(t.owed, append(bytes.ReplaceAll(text, []byte("\n"), nil), '\n'))
	t.mu.Unlock()
	return t.Ready(ctx)
}

// Ready writes what is owed, and says why it cannot. Nothing is handed out until it can.
func (t *Trail) Ready(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.owed) > 0 {
		if err := t.write(t.owed[0]); err != nil {
			return fmt.Errorf("write the audit trail (ALMANAC_SERVE_AUDIT): %w", err)
		}
		t.owed = t.owed[1:]
	}
	return nil
}

// owes says whether lines wait to be written.
func (t *Trail) owes() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.owed) > 0
}

// Try says why the trail's file could not be written, without writing to it.
func (t *Trail) Try() error { return t.write(nil) }
