package machines_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wrongKey changes an unseal key of a state, so that it still looks like one.
func wrongKey(state string) error {
	name := filepath.Join(state, "openbao", "unseal-1.key")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	key[0] ^= 1
	return os.WriteFile(name, []byte(base64.StdEncoding.EncodeToString(key)), 0o600)
}

// twoKeys leaves two unseal keys in a state.
func twoKeys(state string) error {
	keys, err := filepath.Glob(filepath.Join(state, "openbao", "unseal-*.key"))
	for _, key := range keys[min(2, len(keys)):] {
		if err := os.Remove(key); err != nil {
			return err
		}
	}
	return err
}

// TestUnsealKeysThatAreNotTheServers seals a server of OpenBao, and has it opened by too few keys, by a wrong one, and by the right ones.
func TestUnsealKeysThatAreNotTheServers(t *testing.T) {
	s := furnished(t)
	s.repository(t) // these tests may change the site
	all := s.groups["secrets"].Hosts
	host := all[len(all)-1]
	sealed := func() any {
		t.Helper()
		_, status := s.baoOn(t, host, http.MethodGet, "sys/seal-status", "", nil)
		return status["sealed"]
	}
	furnish := func(args ...string) (string, error) {
		t.Helper()
		return s.playbook(t, *inventory, "site.yml", append(args, "--tags", "openbao")...)
	}
	data := func() string {
		t.Helper()
		return s.on(t, host, "", "stat -c '%n %i' /var/lib/openbao/vault.db /var/lib/openbao/raft/raft.db")
	}
	before := data()
	defer func() {
		if out, err := furnish(); err != nil || sealed() != false {
			t.Errorf("site.yml --tags openbao with the right keys = %v, sealed %v:\n%s", err, sealed(), tail(out))
		}
		if now := data(); now != before {
			t.Errorf("the data of OpenBao are %s, and were %s", now, before)
		}
		if status, key := s.baoOn(t, host, http.MethodGet, "transit/keys/almanac-pseudonym", s.token(t, "ansible"), nil); status != http.StatusOK {
			t.Errorf("after it the key of pseudonyms = %d, %v", status, key)
		}
	}()
	s.on(t, host, "", `systemctl restart openbao; for _ in $(seq 60); do ss -Hltn sport = 8200 | grep -q . && exit; sleep 0.5; done; exit 1`)

	s.refused(t, "is sealed and wants 3 unseal keys; ", "--tags", "openbao", "-e", "almanac_state="+s.otherState(t, twoKeys))
	if sealed() != true {
		t.Errorf("after two keys it is not sealed: %v", sealed())
	}
	out, err := furnish("-e", "almanac_state="+s.otherState(t, wrongKey))
	if err == nil || !strings.Contains(out, "are not those of the OpenBao on "+host+", which stays sealed: nothing was changed.") || sealed() != true {
		t.Errorf("site.yml --tags openbao with a wrong key = %v, sealed %v:\n%s", err, sealed(), tail(out))
	}
}
