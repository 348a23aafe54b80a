package fn_test

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

// credentials are settings of each kind.
type credentials struct {
	Inner

	User string `env:"ALMANAC_T_USER"`
	Key  string `env:"ALMANAC_T_KEY"  secret:"key"`
}

// Inner is embedded, as shared settings are.
type Inner struct {
	Password string `env:"ALMANAC_T_PASSWORD_FILE" secret:"file"`
}

func secrets(t *testing.T, f *vaulttest.Fake, env map[string]string) *fn.Secrets {
	t.Helper()
	all := f.Env(t)
	maps.Copy(all, env)
	s := fn.NewSecrets(envconfig.MapLookuper(all), "process", slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestLoadPutsFilesInPlaceOfReferences(t *testing.T) {
	f := vaulttest.NewFake(t)
	f.Put("almanac/process/kafka", map[string]string{"password": "hidden"})
	f.Put("almanac/process/pseudonym", map[string]string{"key": strings.Repeat("0f", 32)})
	plain := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(plain, []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ password, key, wantPassword, wantKey string }{
		"a path":           {plain, "pseudonym.key", "plain", "pseudonym.key"},
		"a file":           {"file://" + plain, "file:///k", "plain", "/k"},
		"the store":        {"vault://kv/almanac/process/kafka#password", "vault://transit/almanac-pseudonym", "hidden", "vault://transit/almanac-pseudonym"},
		"the function's":   {"vault://kv/almanac/{function}/kafka#password", "pseudonym.key", "hidden", "pseudonym.key"},
		"a key file there": {plain, "vault://kv/almanac/process/pseudonym#key", "plain", "/proc/self/fd/"},
	} {
		t.Run(name, func(t *testing.T) {
			var got credentials
			s := secrets(t, f, map[string]string{"ALMANAC_T_PASSWORD_FILE": c.password, "ALMANAC_T_KEY": c.key})
			if err := fn.Load(t.Context(), s, &got); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(got.Password)
			if err != nil || string(text) != c.wantPassword || !strings.HasPrefix(got.Key, c.wantKey) {
				t.Errorf("Load() = %+v, holding %q, %v", got, text, err)
			}
		})
	}
}

func TestLoadPutsTheNameOfTheFunctionWhereItIsAskedFor(t *testing.T) {
	f := vaulttest.NewFake(t)
	env := map[string]string{"ALMANAC_T_PRINCIPAL": "almanac-{function}/m1@X", "ALMANAC_T_USERS": "almanac-{function}"}
	type inner struct {
		Principal string `each:"name" env:"ALMANAC_T_PRINCIPAL"`
	}
	var got struct {
		Users string `env:"ALMANAC_T_USERS"`
		Of    inner
	}
	if err := fn.Load(t.Context(), secrets(t, f, env), &got); err != nil || got.Of.Principal != "almanac-process/m1@X" || got.Users != "almanac-{function}" {
		t.Errorf("Load() = %+v, %v", got, err)
	}
	if err := fn.Load(t.Context(), envconfig.MapLookuper(env), &got); err != nil || got.Of.Principal != "almanac-{function}/m1@X" {
		t.Errorf("Load() of an environment that is nobody's = %+v, %v", got, err)
	}
}

func TestLoadWithoutReferencesAsksNoStore(t *testing.T) {
	var got credentials
	f := vaulttest.NewFake(t)
	if err := fn.Load(t.Context(), secrets(t, f, map[string]string{"ALMANAC_T_PASSWORD_FILE": "/p"}), &got); err != nil || f.Logins() != 0 {
		t.Errorf("Load() = %v after %d logins", err, f.Logins())
	}
}

func TestLoadTellsWhatIsWrongWithReferences(t *testing.T) {
	f := vaulttest.NewFake(t)
	f.Put("almanac/process/kafka", map[string]string{"password": "hidden"})
	f.Answer("kv/data/almanac/store/kafka", 403)
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"a setting that is no secret": {map[string]string{"ALMANAC_T_USER": "vault://kv/almanac/process/kafka#password"}, "ALMANAC_T_USER: takes no reference"},
		"a form that is none":         {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/almanac/process/kafka"}, "ALMANAC_T_PASSWORD_FILE: must be vault://<mount>/<path>#<key>"},
		"a key that is missing":       {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/almanac/process/kafka#pass"}, `no key "pass", but password`},
		"another's secret": {
			map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/almanac/store/kafka#password"},
			`ALMANAC_T_PASSWORD_FILE: read kv/almanac/store/kafka: permission denied for the role of ALMANAC_VAULT_ROLE_ID`,
		},
		"no store":                {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b", "ALMANAC_VAULT": ""}, "ALMANAC_VAULT is not set"},
		"a half login":            {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b", "ALMANAC_VAULT_ROLE_ID": ""}, "must be set together"},
		"a plain store":           {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b", "ALMANAC_VAULT": "http://vault.example.org:8200"}, "must be https://"},
		"a user in it":            {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b", "ALMANAC_VAULT": "https://me:hidden@vault:8200"}, "https://host:port"},
		"both methods":            {map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b", "ALMANAC_VAULT_ROLE": "process"}, "one or the other"},
		"a file that is relative": {map[string]string{"ALMANAC_T_PASSWORD_FILE": "file://etc/password"}, "file:///"},
	} {
		t.Run(name, func(t *testing.T) {
			var got credentials
			err := fn.Load(t.Context(), secrets(t, f, c.env), &got)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("Load() = %v, want %q", err, c.want)
			}
		})
	}
	var got credentials
	err := fn.Load(t.Context(), envconfig.MapLookuper(map[string]string{"ALMANAC_T_PASSWORD_FILE": "vault://kv/a#b"}), &got)
	if err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("Load() from an environment without a store = %v", err)
	}
}

// TestAProcessWaitsForASealedStore unseals it once the process has said what it waits for.
func TestAProcessWaitsForASealedStore(t *testing.T) {
	f := vaulttest.NewFake(t)
	f.Put("almanac/process/kafka", map[string]string{"password": "hidden"})
	f.SealAfter(0)
	env := f.Env(t)
	env["ALMANAC_T_PASSWORD_FILE"] = "vault://kv/almanac/process/kafka#password"
	p, err := fn.New(t.Context(), "process", envconfig.MapLookuper(env), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	said := make(chan string, 10)
	if err := p.Patient(t.Context(), func(text string) { said <- text }); err != nil {
		t.Fatal(err)
	}
	go func() {
		for text := range said { // at first it may say that nothing has answered yet
			if strings.Contains(text, "is sealed") && strings.Contains(text, "ALMANAC_VAULT") {
				break
			}
		}
		f.SealAfter(-1)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got credentials
	if err := fn.Load(ctx, p.Env, &got); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(got.Password); err != nil || string(text) != "hidden" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
