package artifact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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
	whole := func(string) bool { return true }
	if err := once(dir, whole, func(string) error { return os.ErrDeadlineExceeded }); err == nil {
		t.Error("once gave no error")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder that could not be filled is there")
	}
	filled := 0
	for range 2 {
		if err := once(dir, whole, func(tmp string) error {
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

func TestAFolderOfOtherVersionsIsFilledAnew(t *testing.T) {
	cache := t.TempDir()
	list, err := pinned.ReadFile("jars.sha256")
	if err != nil {
		t.Fatal(err)
	}
	want, err := parse(list, "kafka")
	if err != nil {
		t.Fatal(err)
	}
	jars, extracted, packages := filepath.Join(cache, "jars"), filepath.Join(cache, "webroot"), filepath.Join(cache, "packages")
	fill := func(dir string, holds func(string) bool, files map[string][]byte) (filled bool) {
		t.Helper()
		if err := once(dir, holds, func(tmp string) error {
			filled = true
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(tmp, name), text, 0o600); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return filled
	}
	pinnedNow := map[string][]byte{}
	for name := range want {
		pinnedNow[name] = nil
	}
	requirements, err := pinned.ReadFile("bao.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		says   string
		dir    string
		holds  func(string) bool
		files  map[string][]byte
		filled bool
	}{
		{"jars of another version", jars, ofGroup("kafka"), map[string][]byte{"kafka_2.13-1.0.0.jar": nil}, true},
		{"those are replaced", jars, ofGroup("kafka"), pinnedNow, true},
		{"those that are pinned stay", jars, ofGroup("kafka"), nil, false},
		{"what is made of them", extracted, after(jars), nil, true},
		{"what is younger stays", extracted, after(jars), nil, false},
		{"packages of another list", packages, ofList("bao.txt"), map[string][]byte{"requirements.txt": []byte("bao==1\n")}, true},
		{"packages of the list", packages, ofList("bao.txt"), map[string][]byte{"requirements.txt": requirements}, true},
		{"packages of the list stay", packages, ofList("bao.txt"), nil, false},
	} {
		if filled := fill(step.dir, step.holds, step.files); filled != step.filled {
			t.Errorf("%s: filled is %t", step.says, filled)
		}
	}
	if err := os.Chtimes(jars, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if !fill(extracted, after(jars), nil) {
		t.Error("what is older than what it is made of was left alone")
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*.*")); len(left) != 0 {
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
