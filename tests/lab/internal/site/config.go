package site

import (
	"fmt"
	"strings"
)

// Config is a cluster.yaml for almanac --config: the lab's servers, as docs/cluster.md says it. Where Kafka is secured it names what the
// functions authenticate by.
func (s *Site) Config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The %s form of the lab.", s.Form())
	line("warehouse: %s/almanac", s.FS())
	line("pseudonym_key: %s", s.Path("keys", "pseudonym.key"))
	line("create_topics: true")
	line("# A server that was killed is back in less than a minute here.")
	line("grace_facts: 1m")
	line("retry: 1m")
	line("parallel: 16")
	line("kafka:")
	if s.Secure {
		line("  brokers: [%s]", s.Addr("kafka-scram"))
		line("  ca: %s", s.Path("keys", "ca.crt"))
		line("  user: almanac")
		line("  password_file: %s", s.Path("keys", "scram-almanac"))
	} else {
		line("  brokers: [%s]", s.Addr("kafka"))
	}
	line("hdfs:")
	line("  web: [%s]", s.URL("namenode-web"))
	line("  replication: 2")
	if s.Secure {
		line("  keytab: %s", s.Keytab("almanac"))
		line("  principal: %s", s.Principal("almanac"))
		line("  krb5_conf: %s", s.Path("conf", "krb5.conf"))
		line("  ca: %s", s.Path("keys", "ca.crt"))
		line("  hostnames: true")
	}
	line("spark:")
	line("  server: sc://%s", s.Named("spark"))
	if s.Secure {
		line("  ca: %s", s.Path("keys", "ca.crt"))
		line("  token_file: %s", s.Path("keys", "spark-token"))
	}
	return b.String()
}
