package machines_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestStatusKnowsEachService wants a line for each service of each machine, and that it is well.
func TestStatusKnowsEachService(t *testing.T) {
	s := furnished(t)
	out, err := s.play(t, "status.yml", "-i", *inventory)
	if err != nil || !strings.Contains(out, "changed=0") {
		t.Fatalf("status.yml = %v:\n%s", err, tail(out))
	}
	for group, service := range map[string]string{
		"secrets": "OpenBao", "kafka_brokers": "Kafka", "kafka_controllers": "Kafka", "kdc": "Kerberos", "namenodes": "NameNode", "secondary_namenodes": "secondary NameNode",
		"datanodes": "DataNode", "resourcemanagers": "ResourceManager", "nodemanagers": "NodeManager", "spark_connect": "Spark Connect", "spark_history": "Spark's history",
		"monitoring": "Prometheus", "almanac": "node exporter",
	} {
		for _, host := range s.groups[group].Hosts {
			name, _, _ := strings.Cut(host, ".")
			row := regexp.MustCompile(" " + name + " " + service + ` \d[\w.]* active \d{4}-\d\d-\d\d \d\d:\d\d \S+ (20\d\d-\d\d-\d\d|–) well `)
			if !row.MatchString(out) {
				t.Errorf("%s of %s is not shown as well:\n%s", service, host, tail(out))
			}
		}
	}
}
