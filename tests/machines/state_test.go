package machines_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// plant writes files into a folder.
func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// grown are the files of a folder.
func grown(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestAStateIsPutIntoItsPlace puts the state of a backup over another, ended at each of its moves and run again with other unseal keys, as after a refusal.
func TestAStateIsPutIntoItsPlace(t *testing.T) {
	script, err := filepath.Abs(roles + "/backup/files/put-state.sh")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{
		"ca/ca.pem": "kept", "openbao/approle/store/secret_id": "kept", "secrets/kafka/admin": "kept", "hdfs_namenode/formatted": "kept", "hdfs_namenode/cluster": "kept",
	}
	want := map[string]string{
		"ca/ca.pem": "kept", "openbao/approle/store/secret_id": "kept", "secrets/kafka/admin": "kept", "hdfs_namenode/cluster": "kept",
		"openbao/unseal-1.key": "right", "secrets/backup/key": "key", "ssh/id": "now",
	}
	for _, known := range []map[string]string{
		{"openbao/unseal-1.key": "wrong", "secrets/backup/key": "key", "ssh/id": "now"},
		{"openbao/unseal-1.key": "wrong", "openbao/approle/store/secret_id": "now", "secrets/backup/key": "key", "secrets/kafka/admin": "now", "ca/ca.pem": "now", "ssh/id": "now"},
	} {
		for ended := range 10 { // after so many programs
			dir := t.TempDir()
			state, aside := filepath.Join(dir, "state"), filepath.Join(dir, "state", "backup", "before")
			put := func(after int) {
				t.Helper()
				fresh, bin := filepath.Join(t.TempDir(), "new"), t.TempDir()
				plant(t, fresh, kept)
				for _, program := range []string{"mv", "cp", "rm"} {
					text := fmt.Sprintf("#!/bin/sh\necho >>%s/count\n[ $(wc -l <%s/count) -le %d ] || { kill -9 $PPID; exit 1; }\nPATH=/bin:/usr/bin exec %s \"$@\"\n", bin, bin, after, program)
					if err := os.WriteFile(filepath.Join(bin, program), []byte(text), 0o700); err != nil { //nolint:gosec // it is run
						t.Fatal(err)
					}
				}
				cmd := exec.CommandContext(t.Context(), script, filepath.Join(dir, "fresh"), state, aside)
				if err := os.RemoveAll(filepath.Join(dir, "fresh")); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(fresh, filepath.Join(dir, "fresh")); err != nil {
					t.Fatal(err)
				}
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil && after > 99 {
					t.Fatalf("%v: %s", err, out)
				}
			}
			plant(t, state, known)
			if err := os.MkdirAll(aside, 0o700); err != nil {
				t.Fatal(err)
			}
			put(ended)
			put(100)
			plant(t, state, map[string]string{"openbao/unseal-1.key": "right"})
			put(100)
			got, before := grown(t, state), map[string]string{}
			for name, text := range got {
				if inner, err := filepath.Rel("backup/before", name); err == nil && inner[0] != '.' {
					before[inner] = text
					delete(got, name)
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("ended after %d programs and run again, the state holds\n%v\nwant\n%v", ended, got, want)
			}
			delete(known, "ssh/id")
			for name, text := range known {
				if before[name] != text {
					t.Errorf("ended after %d programs: %s, which was there before, is not aside: %v", ended, name, before)
				}
			}
			known["ssh/id"] = "now"
		}
	}
}
