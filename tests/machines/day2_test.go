package machines_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestStatusKnowsEachService wants a line for each service of each machine, and that it is well.
func TestStatusKnowsEachService(t *testing.T) {
	s := furnished(t)
	out, err := s.play(t, "status.yml", "-i", *inventory)
	if err != nil || changes.MatchString(out) {
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

// TestStatusShowsWhatIsNotWell stops a service that nobody needs for a moment.
func TestStatusShowsWhatIsNotWell(t *testing.T) {
	s := furnished(t)
	host := s.groups["monitoring"].Hosts[0]
	s.on(t, host, "", "systemctl stop prometheus-blackbox-exporter")
	defer s.on(t, host, "", "systemctl start prometheus-blackbox-exporter")
	name, _, _ := strings.Cut(host, ".")
	if out, err := s.play(t, "status.yml", "-i", *inventory); err == nil || !strings.Contains(out, "Not well: blackbox exporter of "+name+" (its unit is inactive).") {
		t.Errorf("status.yml where a service is stopped = %v:\n%s", err, tail(out))
	}
}

// TestSmokeLeavesNothing has each service write, read and compute, and looks for what was made.
func TestSmokeLeavesNothing(t *testing.T) {
	s := furnished(t)
	out, err := s.play(t, "smoke.yml", "-i", *inventory)
	if err != nil {
		t.Fatalf("smoke.yml = %v:\n%s", err, tail(out))
	}
	for _, did := range []string{
		"a secret was kept, read and forgotten; a pseudonym and a certificate were made", " records were written and read; the topic is gone",
		"4194304 bytes were written, read and removed", "a table of 100000 rows was made, summed up and removed", "the application of the Connect server was found",
		"all of its targets are up",
	} {
		if !strings.Contains(out, did) {
			t.Errorf("smoke.yml does not say: %s\n%s", did, tail(out))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	topics, err := kadm.NewClient(s.client(t, "9092", s.trusting(), password("admin", s.file(t, "secrets", "kafka", "admin")))).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, "almanac.try.") {
			t.Errorf("the topic %s is left", name)
		}
	}
	if left := s.as(t, s.groups["spark_connect"].Hosts[0], "spark", "spark", "almanac-hadoop dfs -ls / /tmp /scratch"); strings.Contains(left, "smoke") || !strings.Contains(left, "/tmp") {
		t.Errorf("in HDFS there is still: %s", left)
	}
}

// TestPlaybooksRefuse gives the playbooks what they cannot do. Each must say so, and change nothing.
func TestPlaybooksRefuse(t *testing.T) {
	s := furnished(t)
	tests := map[string]struct{ book, vars, says string }{
		"a service that is none":           {"restart.yml", "restart_services=kafak", "There is no service kafak. Name some of krb5_kdc,"},
		"no step":                          {"passwords.yml", "", "Say -e kafka_passwords_step=make"},
		"a user who is none":               {"passwords.yml", "kafka_passwords_step=set kafka_passwords_users=bob", "bob is no user of this Kafka"},
		"the second step before the first": {"passwords.yml", "kafka_passwords_step=set kafka_passwords_users=almanac-deadletter", "has no new password of almanac-deadletter"},
		"no secrets":                       {"secrets.yml", "", "Nothing is asked for. Say which to make anew: -e secrets_of= and some of spark,monitoring,"},
		"secrets that there are none of":   {"secrets.yml", "secrets_of=spark,kafak", "There are no secrets kafak."},
		"to shut applications out":         {"secrets.yml", "secrets_of=applications,applications_old", "Applications would be shut out."},
		"a machine that is none":           {"scale.yml", "scale_drain=m9.example.org", "There is no machine m9.example.org in the inventory"},
		"a machine that has more":          {"scale.yml", "scale_drain=" + s.groups["secrets"].Hosts[0], "which this does not take off a machine"},
		"another domain":                   {"destroy.yml", "destroy_domain=example.org", `Nothing was removed: the answer was "example.org"`},
		"no answer":                        {"destroy.yml", "destroy_domain=", `Nothing was removed: the answer was ""`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var args []string
			if tt.vars != "" {
				args = []string{"-e", tt.vars}
			}
			s.refusedBy(t, tt.book, tt.says, args...)
		})
	}
}

// TestAPasswordChangesInTwoSteps follows the password of a user whose function this inventory does not run.
func TestAPasswordChangesInTwoSteps(t *testing.T) {
	s := furnished(t)
	const user = "almanac-deadletter"
	enters := func(word string) bool {
		_, err := facts(t, s.client(t, "9092", s.trusting(), password(user, word)))
		return err == nil
	}
	step := func(which string) {
		t.Helper()
		if out, err := s.play(t, "passwords.yml", "-i", *inventory, "-e", "kafka_passwords_step="+which+" kafka_passwords_users="+user); err != nil {
			t.Fatalf("passwords.yml, %s = %v:\n%s", which, err, tail(out))
		}
	}
	old := s.file(t, "secrets", "kafka", user)
	step("make")
	next := s.file(t, "secrets", "kafka-next", user)
	if next == old || !enters(old) || enters(next) {
		t.Errorf("after the first step: the password is new: %v, the old one enters: %v, the new one enters: %v, want true, true, false", next != old, enters(old), enters(next))
	}
	step("make") // makes no other
	step("set")
	if s.file(t, "secrets", "kafka", user) != next || enters(old) || !enters(next) {
		t.Errorf("after the second step: the old one enters: %v, the new one enters: %v, want false, true", enters(old), enters(next))
	}
	if _, err := os.Stat(filepath.Join(s.dir, "secrets", "kafka-next", user)); err == nil {
		t.Error("the new password still lies beside the others")
	}
}
