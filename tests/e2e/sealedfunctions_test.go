package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/tests/internal/reader"
)

const envelopeKey = "ALMANAC_ENVELOPE_KEY=vault://transit/almanac-rows"

// as makes the environment in which a function logs in to OpenBao under a role, with the policy that Ansible gives that.
func (i *issuer) as(t *testing.T, role string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "ansible", "roles", "openbao", "files", "policies", role+".hcl"))
	if err != nil {
		t.Fatal(err)
	}
	i.call(t, rootToken, "POST", "sys/policies/acl/"+role, map[string]any{"policy": string(text)})
	i.call(t, rootToken, "POST", "auth/approle/role/"+role, map[string]any{"token_policies": []string{role}, "token_ttl": "1h"})
	id, _ := i.call(t, rootToken, "GET", "auth/approle/role/"+role+"/role-id", nil)["data"].(map[string]any)
	secret, _ := i.call(t, rootToken, "POST", "auth/approle/role/"+role+"/secret-id", nil)["data"].(map[string]any)
	file := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte(fmt.Sprint(secret["secret_id"])), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"ALMANAC_VAULT=http://" + i.backend, fmt.Sprint("ALMANAC_VAULT_ROLE_ID=", id["role_id"]), "ALMANAC_VAULT_SECRET_ID_FILE=" + file}
}

// startKeys starts OpenBao with the keys that functions use.
func startKeys(t *testing.T) *issuer {
	t.Helper()
	if *bao == "" {
		t.Skip("give the program of OpenBao: -bao, or make secrets-check")
	}
	i := startBao(t)
	i.call(t, rootToken, "POST", "sys/mounts/transit", map[string]any{"type": "transit"})
	i.call(t, rootToken, "POST", "transit/keys/almanac-rows", map[string]any{"type": "aes256-gcm96"})
	i.call(t, rootToken, "POST", "transit/keys/almanac-pseudonym", map[string]any{"type": "hmac", "key_size": 32})
	i.call(t, rootToken, "POST", "sys/auth/approle", map[string]any{"type": "approle"})
	return i
}

// TestRealSealedFunctions has the functions as processes of their own, each with its own rights in OpenBao: only collect and process are told of
// the key, validate and store pass on what they cannot read. A process with the rights of validate is refused.
func TestRealSealedFunctions(t *testing.T) {
	command(t)
	store := startKeys(t)
	s := newPersonalShop(t, "", refusedLines...)
	s.replace(t, "pipeline.yaml", "reject: {share: 0.1, rows: 1}", "reject: {share: 0.5, rows: 10}")
	p := startPlatformOf(t, s, func(function string) []string {
		switch function {
		case "collect", "process":
			return append(store.as(t, function), envelopeKey, "ALMANAC_PSEUDONYM_KEY=vault://transit/almanac-pseudonym")
		}
		return nil
	})
	env := []string{"ALMANAC_KAFKA=" + p.broker.ListenAddrs()[0], "ALMANAC_WAREHOUSE=" + p.warehouse, "ALMANAC_DATASETS=" + p.Datasets,
		"ALMANAC_PSEUDONYM_KEY=" + filepath.Join(t.TempDir(), "pseudonym.key")}
	intruder := startFunction(t, "process", append(append(env, envelopeKey), store.as(t, "validate")...)...)

	source := p.listen(t, [2]uint64{1, 2})
	working := source.sinks[events.Collected{}.Topic()]
	source.sinks[events.Collected{}.Topic()] = []*instance{intruder}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { source.run(first) })
	const denial = `permission denied for the role of ALMANAC_VAULT_ROLE_ID at`
	for !strings.Contains(intruder.logs.String(), denial) {
		p.tick(t)
		select {
		case <-ctx.Done():
			t.Fatalf("a process with the rights of validate is not refused: %s", intruder.logs.String())
		case <-time.After(300 * time.Millisecond):
		}
	}
	contains(t, "its log", intruder.logs.String(), `path \"transit/decrypt/almanac-rows\" { capabilities = [\"update\"] }`)
	stop()
	running.Wait()
	if source.answers[http.StatusUnprocessableEntity] > 0 {
		t.Errorf("an event was refused for good where the right was missing: %v", source.refused)
	}
	source.sinks[events.Collected{}.Topic()] = working
	second, stop := context.WithCancel(ctx)
	running.Go(func() { source.run(second) })
	p.untilStored(ctx, t)
	stop()
	running.Wait()

	table, err := reader.Open(filepath.Join(p.warehouse, "shop", "rows"))
	if err != nil {
		t.Fatal(err)
	}
	if names, err := table.Rows("shop"); err != nil || len(names) != 2 {
		t.Errorf("the personal column holds %d pseudonyms, %v; want 2", len(names), err)
	}
	if places := holding(t, filepath.Dir(p.warehouse), canary); len(places) > 0 {
		t.Errorf("personal values stand in clear in %v", places)
	}
	p.rewrapped(t, store)
}

// rewrapped rotates the key, wraps the data keys anew, disallows the old version, and looks at the archive.
func (p *platform) rewrapped(t *testing.T, store *issuer) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "cluster.yaml")
	text := fmt.Sprintf("kafka: {brokers: \"%s\"}\nwarehouse: %s\ndatasets: %s\nenvelope_key: vault://transit/almanac-rows\n", p.broker.ListenAddrs()[0], p.warehouse, p.Datasets)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := p.Box
	b.Config, b.Data, b.Env = config, "", store.as(t, "almanac")
	store.call(t, rootToken, "POST", "transit/keys/almanac-rows/rotate", nil)
	contains(t, "secrets rewrap", run(t, b, 0, "secrets", "rewrap").Out, fmt.Sprintf("%d of %d data keys were wrapped anew; all are wrapped by version 2", shopDays, shopDays))
	store.call(t, rootToken, "POST", "transit/keys/almanac-rows/config", map[string]any{"min_decryption_version": 2})
	source, err := os.ReadFile(filepath.Join(p.dir, file(bad)))
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, b, 0, "archive", "show", "shop", key(bad)).Out; got != string(source) {
		t.Errorf("archive show gives %d bytes, want the %d of the source", len(got), len(source))
	}
	shown := run(t, b, 0, "quarantine", "show", "shop", key(bad)).Out
	for _, line := range refusedLines {
		contains(t, "quarantine show", shown, fmt.Sprintf("%q", line))
	}
	b.Env = store.as(t, "store")
	contains(t, "archive show with the rights of store", run(t, b, 1, "archive", "show", "shop", key(bad)).Text(), "permission denied", "transit/decrypt/almanac-rows")
	contains(t, "secrets rewrap with the rights of store", run(t, b, 1, "secrets", "rewrap").Text(), "permission denied", "transit/rewrap/almanac-rows")
}
