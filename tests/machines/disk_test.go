package machines_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// searched is what was found on a machine's disk.
type searched struct {
	files, bytes int
	open         map[string]string // a word that stands in a file, by the file
	sources      int               // files that are those that were published, byte for byte
}

// disk looks for words in all files of a machine that were written since a time (seconds since 1970), as they are and in all that zstd has packed in them. Files that are
// one of the sources are counted, and no more.
func (s *site) disk(t *testing.T, host, since string, words []string, sources map[[32]byte]bool) searched {
	t.Helper()
	found, p := searched{open: map[string]string{}}, newPacks(t)
	s.written(t, host, since, "/ -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -path /run -prune -o", func(name string, data []byte) {
		found.files, found.bytes = found.files+1, found.bytes+len(data)
		if sources[sha256.Sum256(data)] {
			found.sources++
			return
		}
		if word := p.standing(data, words); word != "" {
			found.open[name] = word
		}
	})
	return found
}

// written gives what the files of a machine hold that were written since a time (seconds since 1970), of those places that find is told.
func (s *site) written(t *testing.T, host, since, places string, each func(name string, data []byte)) {
	t.Helper()
	cmd := s.login(t.Context(), host, "find "+places+" -type f -size -256M -newermt @"+since+" -print0 | tar --create --null --files-from=- --ignore-failed-read --sparse --warning=none || true")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(out); ; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(files)
		if err != nil {
			t.Fatalf("%s: %v", head.Name, err)
		}
		each(head.Name, data)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// magic begins each frame of zstd (RFC 8878).
var magic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// standing is a word that stands in data, or in what is packed in it.
func (p *packs) standing(data []byte, words []string) string {
	if word := among(data, words); word != "" {
		return word
	}
	for rest := data; ; {
		at := bytes.Index(rest, magic)
		if at < 0 {
			return ""
		}
		rest = rest[at:]
		size := frame(rest)
		text, err := p.decoder.DecodeAll(rest[:size], nil)
		if word := among(text, words); word != "" {
			return word
		}
		if err != nil { // no frame, or a part of one
			size = len(magic)
		}
		rest = rest[size:]
	}
}

func among(data []byte, words []string) string {
	for _, word := range words {
		if bytes.Contains(data, []byte(word)) {
			return word
		}
	}
	return ""
}

// packs opens what zstd has packed.
type packs struct{ decoder *zstd.Decoder }

func newPacks(t *testing.T) *packs {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &packs{d}
}

// frame is the length of the frame that data begins with, by the headers of its blocks; that of data if it is no whole frame.
func frame(data []byte) int {
	var head zstd.Header
	if head.Decode(data) != nil {
		return len(data)
	}
	for at := head.HeaderSize; at+3 <= len(data); {
		block := int(data[at]) | int(data[at+1])<<8 | int(data[at+2])<<16
		size := block >> 3
		if block>>1&3 == 1 { // a byte that is repeated
			size = 1
		}
		at += 3 + size
		if block&1 == 1 {
			if head.HasCheckSum {
				at += 4
			}
			return min(at, len(data))
		}
	}
	return len(data)
}

// TestAWordIsFoundWhereverItStands is the control of the search itself.
func TestAWordIsFoundWhereverItStands(t *testing.T) {
	noise := make([]byte, 1000)
	_, _ = rand.Read(noise)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := w.EncodeAll([]byte(strings.Repeat("some text, ", 1000)+"the word"), nil)
	p := newPacks(t)
	for name, data := range map[string][]byte{
		"as it is":                   append(bytes.Clone(noise), "the word"...),
		"packed":                     packed,
		"packed, amid other bytes":   append(append(bytes.Clone(noise), packed...), noise...),
		"of one that is cut off":     append(bytes.Clone(packed[:20]), packed...),
		"in the second of two packs": append(w.EncodeAll([]byte("nothing"), nil), packed...),
	} {
		if p.standing(data, []string{"no", "the word"}) == "" {
			t.Errorf("the word is not found %s", name)
		}
	}
	if word := p.standing(append(bytes.Clone(noise), w.EncodeAll([]byte("nothing"), nil)...), []string{"the word"}); word != "" {
		t.Errorf("%q is found where it is not", word)
	}
}

// plant leaves a word, packed amid other bytes, on a machine's disk, and gives the file and what removes it.
func (s *site) plant(t *testing.T, host, word string) (file string, remove func()) {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	file = "var/lib/almanac/" + word
	s.on(t, host, "bytes before it "+string(w.EncodeAll([]byte(word), nil))+" and after", "cat > /"+file)
	return file, func() { s.on(t, host, "", "rm -f /"+file) }
}

// originals are the digests of a dataset's files.
func originals(t *testing.T, folder string) map[[32]byte]bool {
	t.Helper()
	all := map[[32]byte]bool{}
	files, err := filepath.Glob(filepath.Join(folder, "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[sha256.Sum256(b)] = true
	}
	return all
}

// restsSealed holds what lies on the machines' disks after a job: names stand in the published files alone, which hold them in clear, and whoever may can still see them.
func (s *site) restsSealed(t *testing.T, host, since, name string, canaries []string, sources map[[32]byte]bool) {
	t.Helper()
	copies := 0
	for _, machine := range s.groups["almanac"].Hosts {
		copies += s.restSealed(t, machine, since, name, canaries, sources)
	}
	if copies < len(sources) {
		t.Errorf("%d of the %d published files were found: the blocks of HDFS were not searched", copies, len(sources))
	}
	for _, show := range []string{"archive show " + name + " 2024-01-01", "quarantine show " + name + " 2024-01-01"} {
		if out := s.on(t, host, "", "almanac-operator "+show); !strings.Contains(out, fmt.Sprintf("%s-2024-01-01-19", name)) {
			t.Errorf("almanac-operator %s does not show what was sealed: %s", show, out)
		}
	}
	web := "https://" + s.groups["namenodes"].Hosts[0] + ":9871/webhdfs/v1/almanac/" + name
	for path, want := range map[string]string{"": "403", "/data-keys": "200", "/raw": "403", "/quarantine": "403"} {
		if got := s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/almanac-process.keytab --cacert /etc/almanac/functions/ca.pem --output /dev/null "+
			"--write-out '%{http_code}' '"+web+path+"?op=LISTSTATUS' || true"); got != want {
			t.Errorf("process lists %s%s = %s, want %s: it needs the data keys and no more", name, path, got, want)
		}
	}
}

// restSealed holds what lies on the disk of one machine, and counts the published files there.
func (s *site) restSealed(t *testing.T, machine, since, name string, canaries []string, sources map[[32]byte]bool) int {
	t.Helper()
	control := name + "-control"
	planted, remove := s.plant(t, machine, control)
	defer remove()
	found := s.disk(t, machine, since, append([]string{control}, canaries...), sources)
	if found.open[planted] == "" {
		t.Errorf("what was left in /%s of %s is not among %d files with %d bytes: nothing was searched", planted, machine, found.files, found.bytes)
	}
	delete(found.open, planted)
	for file, word := range found.open {
		t.Errorf("/%s of %s holds %s", file, machine, word)
	}
	t.Logf("%s: %d names are in none of %d files with %d MB that were written, but in the %d that were published", machine, len(canaries), found.files, found.bytes>>20, found.sources)
	return found.sources
}
