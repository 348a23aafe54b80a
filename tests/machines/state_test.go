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

// mortal is a folder of programs, as a shell finds them, that kill the shell instead of the one after so many of them.
func mortal(t *testing.T, after int) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"mv", "cp", "rm"} {
		text := fmt.Sprintf("#!/bin/sh\necho >>%[1]s/count\n[ $(wc -l <%[1]s/count) -le %[2]d ] || { kill -9 $PPID; exit 1; }\nPATH=/bin:/usr/bin exec %[3]s \"$@\"\n",
			dir, after, program)
		if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// putState puts a state of a backup over another, and says whether it came to its end.
func putState(t *testing.T, kept map[string]string, state, aside string, ending int) bool {
	t.Helper()
	script, err := filepath.Abs(roles + "/backup/files/put-state.sh")
	if err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	plant(t, fresh, kept)
	cmd := exec.CommandContext(t.Context(), script, fresh, state, aside)
	cmd.Env = append(os.Environ(), "PATH="+mortal(t, ending)+":"+os.Getenv("PATH"))
	return cmd.Run() == nil
}

// TestAStateIsPutIntoItsPlace puts the state of a backup over another, ends that at each of its steps, runs it again, and once more with another unseal key, as after a
// refusal.
func TestAStateIsPutIntoItsPlace(t *testing.T) {
	const never = 1000
	kept := map[string]string{
		"ca/ca.pem": "kept", "openbao/approle/store/secret_id": "kept", "secrets/kafka/admin": "kept", "hdfs_namenode/formatted": "kept", "hdfs_namenode/cluster": "kept",
	}
	want := map[string]string{
		"ca/ca.pem": "kept", "openbao/approle/store/secret_id": "kept", "secrets/kafka/admin": "kept", "hdfs_namenode/cluster": "kept",
		"openbao/unseal-1.key": "right", "secrets/backup/key": "key", "ssh/id": "now",
	}
	for name, known := range map[string]map[string]string{
		"keys alone":    {"openbao/unseal-1.key": "wrong", "secrets/backup/key": "key"},
		"all of a site": {"openbao/unseal-1.key": "wrong", "secrets/backup/key": "key", "openbao/approle/store/secret_id": "now", "secrets/kafka/admin": "now", "ca/ca.pem": "now"},
	} {
		ended := 0
		whole := false
		for ; !whole && ended < 100; ended++ {
			state := t.TempDir()
			aside := filepath.Join(state, "backup", "before")
			plant(t, state, known)
			plant(t, state, map[string]string{"ssh/id": "now"})
			if err := os.MkdirAll(aside, 0o700); err != nil {
				t.Fatal(err)
			}
			whole = putState(t, kept, state, aside, ended)
			again := putState(t, kept, state, aside, never)
			plant(t, state, map[string]string{"openbao/unseal-1.key": "right"})
			if !putState(t, kept, state, aside, never) || !again {
				t.Errorf("ended after %d programs, it does not come to its end when it is run again", ended)
			}
			before := grown(t, aside)
			for name, text := range known {
				if before[name] != text {
					t.Errorf("ended after %d programs: %s, which was there before, is not aside: %v", ended, name, before)
				}
			}
			if err := os.RemoveAll(filepath.Dir(aside)); err != nil {
				t.Fatal(err)
			}
			if got := grown(t, state); !maps.Equal(got, want) {
				t.Errorf("ended after %d programs and run again, the state holds\n%v\nwant\n%v", ended, got, want)
			}
		}
		if !whole || ended < 5 {
			t.Errorf("%s: it came to its end after %d programs, so that it was hardly ever ended", name, ended-1)
		}
	}
}
