package certs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/certs"
	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
)

func TestWhatWasReadCountsUntilTheFilesAreWholeAgain(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca := certstest.NewAuthority(t, "one")
	file := filepath.Join(dir, "ca.crt")
	authorities := &certs.Authorities{File: file}
	if _, err := authorities.Pool(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Pool of no file = %v", err)
	}
	overwrite(t, file, "no PEM")
	if _, err := authorities.Pool(); err == nil || !strings.Contains(err.Error(), "holds no certificate in PEM form") {
		t.Errorf("Pool of a file without certificates = %v", err)
	}
	ca.WriteCA(file)
	first, err := authorities.Pool()
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, file, "half of a fi")
	if again, err := authorities.Pool(); err != nil || !again.Equal(first) {
		t.Errorf("Pool while the file is written = %v, %v", again, err)
	}
	certstest.NewAuthority(t, "two").WriteCA(file)
	if next, err := authorities.Pool(); err != nil || next.Equal(first) {
		t.Errorf("Pool of the next authority = %v, %v", next, err)
	}

	cert, key, _ := ca.Issue(dir, "old", now.Add(-time.Hour), now.Add(time.Hour))
	pair := &certs.Pair{Cert: cert, Key: key + ".none"}
	if _, err := pair.Read(); err == nil || pair.Last() != nil {
		t.Errorf("Read without a key = %v", err)
	}
	pair = &certs.Pair{Cert: cert, Key: key}
	if _, err := pair.Read(); err != nil {
		t.Fatal(err)
	}
	_, nextKey, _ := ca.Issue(dir, "new", now.Add(-time.Hour), now.Add(time.Hour))
	text, err := os.ReadFile(nextKey)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, key, string(text))
	if got, err := pair.Read(); err != nil || got.Leaf.Subject.CommonName != "old" {
		t.Errorf("Read of an old certificate and a new key = %v", err)
	}
	next, err := os.ReadFile(filepath.Join(dir, "new.crt"))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, cert, string(next))
	if got, err := pair.Read(); err != nil || got.Leaf.Subject.CommonName != "new" {
		t.Errorf("Read of the new pair = %v", err)
	}
}

func overwrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestValid(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		from, to time.Duration
		want     string
	}{
		"now":     {-time.Hour, time.Hour, ""},
		"expired": {-2 * time.Hour, -time.Hour, "expired at "},
		"early":   {time.Hour, 2 * time.Hour, "is not valid before "},
	} {
		_, _, pair := certstest.NewAuthority(t, "ca").Issue(t.TempDir(), "x", now.Add(c.from), now.Add(c.to))
		if got := certs.Valid(pair.Leaf, now); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: Valid = %q, want %q", name, got, c.want)
		}
	}
}
