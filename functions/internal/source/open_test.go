package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
)

func gzipped(parts ...string) string {
	var buf bytes.Buffer
	for _, part := range parts {
		w := gzip.NewWriter(&buf)
		_, _ = w.Write([]byte(part))
		_ = w.Close()
	}
	return buf.String()
}

func zstded(parts ...string) string {
	var all []byte
	w, _ := zstd.NewWriter(nil)
	for _, part := range parts {
		all = w.EncodeAll([]byte(part), all)
	}
	return string(all)
}

func rows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2001-01-05 %02d:%02d:00,%d,ABC\n", i/60%24, i%60, i*7919%1000)
	}
	return b.String()
}

func open(t *testing.T, f *Files, compression, content string, offset int64) (string, error) {
	t.Helper()
	d := folder(t, "in.csv", map[string]string{"in.csv": content})
	d.Collect.Format.Compression = compression
	r, err := f.Open(context.Background(), d, events.PinnedFile{URI: "in.csv"}, offset)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var out strings.Builder
	n, err := io.Copy(&out, r)
	if n > 1<<30 {
		t.Fatalf("%d bytes came out", n)
	}
	return out.String(), err
}

func TestOpenUnpacks(t *testing.T) {
	text := rows(20_000)
	tests := map[string]struct{ compression, content, want string }{
		"plain":                          {"none", text, text},
		"plain, found out":               {"auto", text, text},
		"gzip":                           {"gzip", gzipped(text), text},
		"gzip of two members, found out": {"auto", gzipped(text, "tail\n"), text + "tail\n"},
		"zstd":                           {"zstd", zstded(text), text},
		"zstd of two frames, found out":  {"auto", zstded(text, "tail\n"), text + "tail\n"},
		"zstd behind a skippable frame":  {"auto", "\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstded(text), text},
		"empty":                          {"auto", "", ""},
		"one byte":                       {"auto", "x", "x"},
		"an empty file in gzip":          {"auto", gzipped(""), ""},
		"an empty file in zstd":          {"auto", zstded(""), ""},
		"gzip declared as none is bytes": {"none", gzipped("x"), gzipped("x")},
	}
	for name, tt := range tests {
		for _, offset := range []int{0, 1, len(tt.want) / 2, len(tt.want)} {
			if offset > len(tt.want) {
				continue
			}
			got, err := open(t, new(Files), tt.compression, tt.content, int64(offset))
			if err != nil || got != tt.want[offset:] {
				t.Errorf("%s, from %d: %d bytes, %v, want %d", name, offset, len(got), err, len(tt.want)-offset)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	text := rows(20_000)
	zeros := strings.Repeat("\x00", 80<<20)
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	var long bytes.Buffer
	wide.Reset(&long)
	if _, err := wide.Write([]byte(strings.Repeat(text, 10))); err != nil {
		t.Fatal(err)
	}
	if err := wide.Close(); err != nil {
		t.Fatal(err)
	}
	packed := gzipped(text)
	damaged := []byte(packed)
	damaged[len(damaged)/2] ^= 0xff
	tests := map[string]struct {
		files                      Files
		compression, content, says string
	}{
		"gzip cut off":                    {compression: "auto", content: packed[:len(packed)/2], says: "truncated"},
		"gzip cut off in its last byte":   {compression: "auto", content: packed[:len(packed)-1], says: "truncated"},
		"gzip cut off in its header":      {compression: "auto", content: packed[:5], says: "truncated"},
		"gzip cut off in a second header": {compression: "auto", content: packed + packed[:5], says: "truncated"},
		"gzip declared, empty":            {compression: "gzip", content: "", says: "truncated"},
		"zstd cut off":                    {compression: "auto", content: zstded(text)[:1000], says: "truncated"},
		"gzip damaged":                    {compression: "auto", content: string(damaged), says: "damaged"},
		"gzip with other bytes behind":    {compression: "auto", content: packed + "other bytes", says: "not gzip"},
		"gzip declared, plain":            {compression: "gzip", content: text, says: "not gzip"},
		"zstd declared, plain":            {compression: "zstd", content: text, says: "not zstd"},
		"a zip archive":                   {compression: "auto", content: "PK\x03\x04", says: "zip archive"},
		"an unknown compression":          {compression: "rar", content: "", says: "rar"},
		"a zstd bomb":                     {compression: "auto", content: zstded(zeros), says: "made to fill memory"},
		"a gzip bomb":                     {compression: "auto", content: gzipped(zeros), says: "made to fill memory"},
		"a zstd window too large":         {compression: "auto", content: long.String(), says: "window"},
		"more than the most bytes":        {files: Files{MaxBytes: 1000}, compression: "auto", content: packed, says: "1000 bytes"},
	}
	for name, tt := range tests {
		if name == "a gzip bomb" {
			tt.files.MaxRatio = 500
		}
		_, err := open(t, &tt.files, tt.compression, tt.content, 0)
		if !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "in.csv") {
			t.Errorf("%s: error = %v, want ErrInvalid that names in.csv and %q", name, err, tt.says)
		}
	}
}

func TestOpenTellsTheFileFromItsContent(t *testing.T) {
	d := folder(t, "in.csv", nil)
	_, err := new(Files).Open(context.Background(), d, events.PinnedFile{URI: "in.csv"}, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a missing file: %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := open(t, new(Files), "gzip", gzipped("short"), 100); err == nil || errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "ends at byte 5") {
		t.Errorf("Open behind the end: %v, want an error that a retry can help", err)
	}
	d = folder(t, "in.csv", map[string]string{"in.csv": gzipped(rows(200_000))})
	ctx, cancel := context.WithCancel(context.Background())
	r, err := new(Files).Open(ctx, d, events.PinnedFile{URI: "in.csv"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) || errors.Is(err, events.ErrInvalid) {
		t.Errorf("Read after cancel: %v, want %v", err, context.Canceled)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(gzipped(rows(3), rows(2))))
	f.Add([]byte(zstded(rows(3), rows(2))))
	f.Add([]byte(rows(3)))
	f.Fuzz(func(t *testing.T, content []byte) {
		files := &Files{MaxBytes: 1 << 20}
		whole, err := open(t, files, "auto", string(content), 0)
		if err != nil {
			if !errors.Is(err, events.ErrInvalid) {
				t.Fatalf("error = %v, want one that wraps ErrInvalid", err)
			}
			return
		}
		half := len(whole) / 2
		tail, err := open(t, files, "auto", string(content), int64(half))
		if err != nil || tail != whole[half:] {
			t.Fatalf("from %d: %d bytes, %v, want %d", half, len(tail), err, len(whole)-half)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	text := rows(500_000)
	for name, content := range map[string]string{"plain": text, "gzip": gzipped(text), "zstd": zstded(text)} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			d := benchFolder(b, dir, content)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r, err := new(Files).Open(context.Background(), d, events.PinnedFile{URI: "in.csv"}, 0)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(text)) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}

func benchFolder(b *testing.B, dir, content string) *dataset.Dataset {
	b.Helper()
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
	return &dataset.Dataset{Name: "flights", Dir: dir, Collect: dataset.Collect{Path: "in.csv"}}
}
