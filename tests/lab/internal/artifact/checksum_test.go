package artifact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // SHA-256 of "abc"

func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		list  string
		files map[string]string
		want  string // part of the error, "" for none
	}{
		"what is listed is there":           {abc + "  g/a.jar\n" + abc + "  other/b.jar\n", map[string]string{"a.jar": "abc"}, ""},
		"a jar with other bytes":            {abc + "  g/a.jar\n", map[string]string{"a.jar": "abd"}, "a.jar has SHA-256"},
		"a jar that nobody listed":          {abc + "  g/a.jar\n", map[string]string{"a.jar": "abc", "b.jar": "abc"}, "b.jar is not in"},
		"a listed jar that is missing":      {abc + "  g/a.jar\n" + abc + "  g/b.jar\n", map[string]string{"a.jar": "abc"}, "b.jar is in jars.sha256, but"},
		"a list without this group":         {abc + "  other/a.jar\n", map[string]string{"a.jar": "abc"}, "lists nothing of g"},
		"a line that is none":               {"abc g/a.jar\n", map[string]string{"a.jar": "abc"}, "not a line"},
		"comments and blank lines are well": {"# jars\n\n" + abc + "  g/a.jar\n", map[string]string{"a.jar": "abc"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := verify([]byte(c.list), "g", dir)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("verify = %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheCommittedListHoldsEveryGroup(t *testing.T) {
	list, err := pinned.ReadFile("jars.sha256")
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	for _, group := range slices.Concat(Groups, peers, before) {
		sums, err := parse(list, group)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, format(group, sums)...)
	}
	if string(again) != string(list) {
		t.Error("jars.sha256 is not as `lab sums` writes it")
	}
}

func TestAFolderIsThereWholeOrNotAtAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jars")
	if err := once(dir, func(string) error { return os.ErrDeadlineExceeded }); err == nil {
		t.Error("once gave no error")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder that could not be filled is there")
	}
	filled := 0
	for range 2 {
		if err := once(dir, func(tmp string) error {
			filled++
			return os.WriteFile(filepath.Join(tmp, "a"), nil, 0o600)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if filled != 1 {
		t.Errorf("the folder was filled %d times, want once", filled)
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) != 0 {
		t.Errorf("temporary folders were left: %v", left)
	}
}

func TestMissingNamesEachPackageOnceAndThoseOfTheForm(t *testing.T) {
	none := func(string) bool { return false }
	plain, secure := missing([]Need{Servers}, none), missing([]Need{Servers, Secured}, none)
	if got := strings.Join(plain, " "); got != "openjdk-17-jre-headless maven python3-pip curl" {
		t.Errorf("missing(plain) = %s", got)
	}
	if got := strings.Join(secure, " "); !strings.HasSuffix(got, "openssl krb5-kdc krb5-admin-server krb5-user haproxy") {
		t.Errorf("missing(secure) = %s", got)
	}
	if got := missing([]Need{Servers, Secured, Cluster}, func(string) bool { return true }); got != nil {
		t.Errorf("missing = %v, want none", got)
	}
}
