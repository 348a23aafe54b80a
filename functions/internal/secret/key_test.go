package secret

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestPseudonymIsTheHMAC(t *testing.T) {
	// RFC 4231, test case 2.
	out, err := NewKey([]byte("Jefe")).Append(t.Context(), []byte("x:"), [][]byte{[]byte("what do ya want for nothing?")})
	got := string(out)
	if want := "x:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; err != nil || got != want {
		t.Errorf("Append() = %s, %v, want %s", got, err, want)
	}
}

func TestKeyFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pseudonym.key")
	var wait sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wait.Go(func() {
			k, err := KeyFile(path)
			if err != nil {
				t.Errorf("KeyFile: %v", err)
				return
			}
			out, _ := k.Append(t.Context(), nil, [][]byte{[]byte("value")})
			got[i] = string(out)
		})
	}
	wait.Wait()
	for _, g := range got {
		if g != got[0] || len(g) != 64 {
			t.Fatalf("the pseudonyms of one value are %q", got)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(path + ".new-*"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestKeyFileRefuses(t *testing.T) {
	hex := strings.Repeat("0f", keyBytes)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"a file that the group can read":     {hex, 0o640, "chmod 600"},
		"a file that the world can read":     {hex, 0o604, "chmod 600"},
		"a short key":                        {hex[2:], 0o600, "64 hexadecimal digits"},
		"an empty file":                      {"", 0o600, "64 hexadecimal digits"},
		"something that is no key":           {strings.Repeat("zz", keyBytes), 0o600, "64 hexadecimal digits"},
		"nothing, with white space around":   {" " + hex + "\n", 0o600, ""},
		"nothing, where the user reads only": {hex, 0o400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := KeyFile(path)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("KeyFile() = %v, want %q", err, c.want)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := KeyFile(t.TempDir()); err == nil {
			t.Error("KeyFile(folder) = nil, want an error")
		}
	})
	t.Run("a path in no folder", func(t *testing.T) {
		if _, err := KeyFile(filepath.Join(t.TempDir(), "no", "key")); err == nil {
			t.Error("KeyFile() = nil, want an error")
		}
	})
}

func BenchmarkPseudonym(b *testing.B) {
	k := NewKey([]byte("key"))
	values := [][]byte{[]byte("N12345")}
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf, _ = k.Append(b.Context(), buf[:0], values)
	}
}
