package command

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
	"github.com/almanac-data/almanac/functions/internal/settings"
)

// TestEveryVariableHasAKey looks for the env tags of all functions: each variable must be one that a file can set.
func TestEveryVariableHasAKey(t *testing.T) {
	tag := regexp.MustCompile("env:\"(ALMANAC_[A-Z0-9_]+)")
	known, tags := Settable(), 0
	err := filepath.WalkDir("../..", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, found := range tag.FindAllStringSubmatch(string(text), -1) {
			tags++
			of := strings.HasPrefix(found[1], "ALMANAC_SOURCE_") // of one source, where a cluster has many
			if !of && !slices.Contains(known, found[1]) {
				t.Errorf("%s: %s is in no configuration that Settable lists, so --config would call %s unknown", name, found[1], settings.Key(found[1]))
			}
		}
		return err
	})
	if err != nil || tags < 20 {
		t.Errorf("%d tags are found: %v", tags, err)
	}
}

func TestWhatIsGivenGoesBeforeTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte("warehouse: from-file\ndatasets: from-file\nretry: 5s\nquiet: 3s\nhdfs: {user: from-file}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALMANAC_WAREHOUSE", "from-environment")
	t.Setenv("ALMANAC_RETRY", "")
	o := &Options{Config: path, Datasets: "from-flag", Env: envconfig.OsLookuper(), Given: func(flag string) bool { return flag == "datasets" }}
	env, err := o.Environment()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ALMANAC_WAREHOUSE": "from-environment", "ALMANAC_DATASETS": "from-flag", "ALMANAC_HDFS_USER": "from-file", "ALMANAC_RETRY": "5s",
		"ALMANAC_QUIET": "3s", "ALMANAC_GRACE": "10s",
	} {
		if got, _ := env.Lookup(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestACommandReadsSecretsOfTheStore has a command that has no process, and needs a password that lies there.
func TestACommandReadsSecretsOfTheStore(t *testing.T) {
	for _, v := range os.Environ() { // which goes before the file
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ALMANAC_") {
			t.Setenv(name, "")
		}
	}
	store := vaulttest.NewFake(t)
	store.Put("almanac/almanac/operator", map[string]string{"password": "word"})
	env := store.Env(t)
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	text := fmt.Sprintf("warehouse: w\nkafka: {user: u, password_file: 'vault://kv/almanac/{function}/operator#password'}\nvault: {server: '%s', role_id: %s, secret_id_file: '%s'}\n",
		env["ALMANAC_VAULT"], env["ALMANAC_VAULT_ROLE_ID"], env["ALMANAC_VAULT_SECRET_ID_FILE"])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Config: path, Env: envconfig.OsLookuper(), Given: func(string) bool { return false }}
	var file string
	cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error {
		variables, err := o.Variables()
		if err != nil {
			return err
		}
		var s kafka.Settings
		if err := fn.Load(cmd.Context(), variables, &s); err != nil {
			return err
		}
		file = s.PasswordFile
		word, err := os.ReadFile(file)
		if string(word) != "word" {
			t.Errorf("the password is %q, want that of the store", word)
		}
		return err
	}}
	cmd.SetArgs(nil)
	o.forgetAfter(cmd)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(file); err == nil || store.Logins() != 1 {
		t.Errorf("after the command the password can be read: %v; it logged in %d times", err == nil, store.Logins())
	}
}
