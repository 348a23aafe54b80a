package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// role is whom Kafka and HDFS know a pod as: its function, and one name for all sources.
func (p pod) role() string {
	if p.component() == "source" {
		return "source"
	}
	return p.of.name()
}

// secrets are those that a pod is given, and whether it does not start without.
func (p pod) secrets() map[string]bool {
	given := map[string]bool{}
	for _, v := range list(p.template, "spec.volumes") {
		for _, s := range list(v, "projected.sources") {
			if name := text(s, "secret.name"); name != "" {
				given[name] = dotted(s, "secret.optional") != true
			}
		}
		if name := text(v, "secret.secretName"); name != "" {
			given[name] = dotted(v, "secret.optional") != true
		}
	}
	return given
}

// own holds that a pod is given its own keys and nobody else's, and that a setting for all names each as itself.
func own(all []object) (wrong []string) {
	for _, p := range pods(all) {
		given, role := p.secrets(), p.role()
		stands := role != "source" && role != "deadletter" // on a warehouse
		for name := range given {
			if _, whose, apart := strings.Cut(name, "-"); apart && whose != role {
				wrong = append(wrong, fmt.Sprintf("%s: it is given %s", p, name))
			}
		}
		for name, needed := range map[string]bool{"kafka-" + role: true, "hdfs-" + role: stands, "krb5": stands} {
			if _, there := given[name]; there != needed {
				wrong = append(wrong, fmt.Sprintf("%s: it is given the Secret %s: %t", p, name, there))
			}
		}
		env := p.env(all)
		if as, ok := env["ALMANAC_HDFS_PRINCIPAL"]; ok && stands && !strings.HasPrefix(as, "almanac-{function}") {
			wrong = append(wrong, fmt.Sprintf("%s: to HDFS it is %s, as are others", p, as))
		}
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if at, ok := strings.CutPrefix(env[name], "vault://kv/almanac/"); ok && !strings.HasPrefix(at, "{function}/") {
				wrong = append(wrong, fmt.Sprintf("%s: %s is what others may read", p, name))
			}
		}
	}
	return wrong
}

// TestSecretsThatAFunctionDoesNotStartWithout looks at what the components say of each Secret, by its place among the others.
func TestSecretsThatAFunctionDoesNotStartWithout(t *testing.T) {
	for dir, needs := range map[string]func(name string) bool{
		root + "/overlays/container-source": func(string) bool { return false },
		root + "/overlays/kafka-source":     func(string) bool { return false },
		root + "/overlays/production":       func(name string) bool { return name != "serve" },
		root + "/overlays/secrets-store":    func(name string) bool { return name == "ca" || name == "krb5" },
		"testdata/site":                     func(name string) bool { return name == "ca" || name == "krb5" },
	} {
		for _, p := range pods(build(t, dir)) {
			for name, needed := range p.secrets() {
				if needed != needs(name) {
					t.Errorf("%s: %s does not start without the Secret %s: %t", dir, p, name, needed)
				}
			}
		}
	}
}
