package vault_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

func TestRealDataKeys(t *testing.T) {
	b := vaulttest.Start(t)
	collect, _ := open(t, b.Config(t, "collect"), "collect")
	process, log := open(t, b.Config(t, "process"), "process")
	almanac, _ := open(t, b.Config(t, "almanac"), "almanac")
	data, wrapped, err := collect.DataKey(t.Context(), rows)
	if err != nil || len(data) != 32 || !strings.HasPrefix(wrapped, "vault:v1:") {
		t.Fatalf("DataKey() = %d bytes, %s, %v", len(data), wrapped, err)
	}
	same := func(what, wrapped string) {
		t.Helper()
		if got, err := process.Unwrap(t.Context(), rows, wrapped); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: Unwrap() gives another key: %v", what, err)
		}
	}
	same("at once", wrapped)
	b.Call(t, "POST", "transit/keys/almanac-rows/rotate", nil)
	same("after a rotation", wrapped)
	_, newer, err := collect.DataKey(t.Context(), rows)
	if err != nil || !strings.HasPrefix(newer, "vault:v2:") {
		t.Errorf("DataKey() after a rotation = %s, %v", newer, err)
	}
	again, err := almanac.Rewrap(t.Context(), rows, []string{wrapped, newer})
	if err != nil || len(again) != 2 || !strings.HasPrefix(again[0], "vault:v2:") || !strings.HasPrefix(again[1], "vault:v2:") {
		t.Fatalf("Rewrap() = %v, %v", again, err)
	}
	same("wrapped anew", again[0])
	b.Call(t, "POST", "transit/keys/almanac-rows/config", map[string]any{"min_decryption_version": 2})
	same("wrapped anew, and the old version is disallowed", again[0])
	_, err = process.Unwrap(t.Context(), rows, wrapped)
	wants(t, "a version that is disallowed", err, "below min_decryption_version", "almanac secrets rewrap")
	_, err = almanac.Rewrap(t.Context(), rows, []string{again[0], wrapped})
	wants(t, "one of a batch that is disallowed", err, "below min_decryption_version")
	b.Call(t, "POST", "transit/keys/almanac-rows/config", map[string]any{"min_decryption_version": 1})
	same("and it is allowed again", wrapped)

	flipped := []byte(again[0])
	flipped[len(flipped)-10] ^= 1
	for what, text := range map[string]string{"changed": string(flipped), "cut off": again[0][:20], "nothing": "vault:v2:"} {
		_, err = process.Unwrap(t.Context(), rows, text)
		wants(t, what, err, "use transit/almanac-rows", "wrapped by another key, or its file was changed")
	}
	_, err = process.Unwrap(t.Context(), rows, "file:v1:abc")
	wants(t, "one of a key file", err, `but by "file"`)
	b.Call(t, "POST", "sys/mounts/other", map[string]any{"type": "transit"})
	b.Call(t, "POST", "sys/policies/acl/process", map[string]any{"policy": `path "other/*" { capabilities = ["update"] } path "transit/*" { capabilities = ["update"] }`})
	for what, tt := range map[string]struct {
		key  reference.Key
		says string
	}{
		"a key that is not there":   {reference.Key{Mount: "other", Name: "almanac-rows"}, "bao write -f other/keys/almanac-rows type=aes256-gcm96"},
		"a mount that is not there": {reference.Key{Mount: "nowhere", Name: "almanac-rows"}, "nowhere"},
	} {
		_, err := process.Unwrap(t.Context(), tt.key, again[0])
		wants(t, what, err, tt.says)
	}
	b.Seal(t)
	_, _, err = collect.DataKey(t.Context(), rows)
	wants(t, "a sealed store", err, "make a data key with transit/almanac-rows", "is sealed")
	b.Unseal(t)
	same("unsealed again", again[0])
	for _, secret := range []string{string(data), wrapped} {
		if strings.Contains(log.text(), secret) {
			t.Error("a key stands in the log")
		}
	}
}
