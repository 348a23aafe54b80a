package machines_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// judged gives what the role upgrade says of a service that runs a version, where the inventory names another.
func judged(t *testing.T, step string, answer map[string]any, begun ...string) []string {
	t.Helper()
	var vars struct {
		Known    map[string]any            `yaml:"_upgrade_known"`
		Products map[string]map[string]any `yaml:"_upgrade_products"`
	}
	read(t, roles+"/upgrade/vars/main.yml", &vars)
	for _, product := range vars.Products {
		product["version"] = answer["wants"]
	}
	in, err := json.Marshal(map[string]any{"answers": []any{answer}, "known": vars.Known, "products": vars.Products, "step": step, "begun": begun})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs(roles + "/upgrade/filter_plugins")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-B", "-c", `import json, sys
sys.path.insert(0, sys.argv[1])
import upgrade
told = json.load(sys.stdin)
rows = upgrade.upgrade_rows(told["answers"], "m1", told["known"], told["products"], "", {}, told["begun"])
print(json.dumps(upgrade.upgrade_refusals(rows, told["step"], told["products"])))`, folder)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	return said
}

func TestUpgradesThatServersDoNotTakeAreRefused(t *testing.T) {
	tests := map[string]struct {
		role, runs, wants, health string
		step                      string // "run again" is run after a run that was killed with the service in hand
		says                      string // the empty text if it is let through
	}{
		"a later patch":                       {"kafka", "4.3.0", "4.3.1", "well", "run", ""},
		"a later minor version":               {"hdfs_namenode", "3.4.3", "3.5.0", "well", "run", ""},
		"the tenth after the ninth":           {"hdfs_datanode", "3.9.2", "3.10.0", "well", "run", ""},
		"the same":                            {"openbao", "2.7.2", "2.7.2", "well", "run", ""},
		"Kafka across a major version":        {"kafka", "3.9.1", "4.4.0", "well", "run", ""},
		"Kafka before KRaft was meant for it": {"kafka", "3.2.3", "4.4.0", "well", "run", "versions before 3.3.0 do not go to 4.4.0 in one step"},
		"Kafka that is not known yet":         {"kafka", "4.4.0", "5.0.0", "well", "run", "nothing is known here of Kafka 5.0.0"},
		"HDFS across a major version":         {"hdfs_namenode", "3.5.0", "4.0.0", "well", "run", "nothing is known here of Hadoop 4.0.0"},
		"HDFS before that":                    {"hdfs_namenode", "2.10.2", "3.5.0", "well", "run", "versions before 3.0.0 do not go to 3.5.0"},
		"OpenBao to an older one":             {"openbao", "2.7.2", "2.6.2", "well", "run", "nobody promises that an older OpenBao reads"},
		"OpenBao back":                        {"openbao", "2.7.2", "2.6.2", "well", "back", "restore a backup of before"},
		"Kafka to an older one by accident":   {"kafka", "4.4.0", "4.3.1", "well", "run", "which is older. Name 4.4.0 or a later one; or, if this is the way back"},
		"Kafka back":                          {"kafka", "4.4.0", "4.3.1", "well", "back", ""},
		"back to a newer one":                 {"kafka", "4.3.1", "4.4.0", "well", "back", "put the versions of before into the inventory to go back"},
		"one that is not well":                {"yarn_nodemanager", "3.4.3", "3.5.0", "its unit is failed", "run", "NodeManager of m1 is not well (its unit is failed): mend that first"},
		"one that a killed run has left":      {"hdfs_datanode", "3.5.0", "3.5.0", "its unit is inactive", "run again", ""},
		"one that is down, and no run was":    {"hdfs_datanode", "3.5.0", "3.5.0", "its unit is inactive", "run", "is not well"},
		"one that is not there":               {"kafka", "", "4.4.0", "its unit is inactive", "run", "Kafka of m1 is not there: site.yml makes it."},
	}
	names := map[string]string{"kafka": "Kafka", "openbao": "OpenBao", "yarn_nodemanager": "NodeManager", "hdfs_namenode": "NameNode", "hdfs_datanode": "DataNode"}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			begun := []string{}
			step, again := strings.CutSuffix(tt.step, " again")
			if again {
				begun = append(begun, tt.role)
			}
			said := strings.Join(judged(t, step, map[string]any{
				"name": names[tt.role], "role": tt.role, "runs": tt.runs, "installed": tt.runs, "wants": tt.wants, "health": tt.health, "replaced": false,
			}, begun...), " ")
			if (said != "") != (tt.says != "") || !strings.Contains(said, tt.says) {
				t.Errorf("from %s to %s (%s) is judged %q, want it to say %q", tt.runs, tt.wants, tt.step, said, tt.says)
			}
		})
	}
}

// service is what the roles upgrade and restart know of one.
type service struct {
	Tags     []string `yaml:"tags"`
	Packages []string `yaml:"packages"`
}

// knownTo are the services that a role knows, by their roles.
func knownTo(t *testing.T, role string) (services map[string]service) {
	t.Helper()
	var vars map[string]yaml.Node
	read(t, roles+"/"+role+"/vars/main.yml", &vars)
	known := vars["_"+role+"_known"]
	if err := known.Decode(&services); err != nil || len(services) == 0 {
		t.Fatalf("%s knows %d services: %v", role, len(services), err)
	}
	return services
}

// TestWhatIsRestartedCanBeUpgraded holds the services of upgrade.yml to those of restart.yml: functions and Grafana have playbooks and archives of their own.
func TestWhatIsRestartedCanBeUpgraded(t *testing.T) {
	upgrades, restarts := knownTo(t, "upgrade"), knownTo(t, "restart")
	delete(restarts, "functions")
	delete(restarts, "grafana")
	if !maps.EqualFunc(upgrades, restarts, func(a, b service) bool { return slices.Equal(a.Tags, b.Tags) }) {
		t.Errorf("upgrade.yml knows %v, and restart.yml %v", slices.Sorted(maps.Keys(upgrades)), slices.Sorted(maps.Keys(restarts)))
	}
	var plays []struct {
		Roles []struct {
			Service string `yaml:"upgrade_service"`
			Turn    string `yaml:"upgrade_turn"`
		} `yaml:"roles"`
		Serial int `yaml:"serial"`
	}
	read(t, "../../ansible/upgrade.yml", &plays)
	played := map[string]bool{}
	for _, play := range plays {
		for _, role := range play.Roles {
			played[role.Service] = played[role.Service] || role.Turn == "run"
			if play.Serial != 1 {
				t.Errorf("%s is upgraded on several machines at once", role.Service)
			}
		}
	}
	for service := range upgrades {
		if !played[service] {
			t.Errorf("upgrade.yml has no play that upgrades %s", service)
		}
	}
}

// TestUpgradesAreRefused asks the site for what it cannot do, and wants nothing to be changed.
func TestUpgradesAreRefused(t *testing.T) {
	s := furnished(t)
	file := filepath.Join(t.TempDir(), "kafka.tar")
	for name, tt := range map[string]struct{ book, vars, says string }{
		"a service that is none": {"upgrade.yml", `{"upgrade_services": "kafak"}`, "There is no service kafak that this upgrades"},
		"a step that is none":    {"upgrade.yml", `{"upgrade_step": "forward"}`, "value of upgrade_step must be one of: run, back, finalize"},
		"an older version":       {"upgrade.yml", `{"upgrade_services": "kafka", "kafka_version": "4.0.0"}`, "which is older"},
		"an older OpenBao":       {"upgrade.yml", `{"upgrade_step": "back", "openbao_version": "2.0.0"}`, "nobody promises that an older OpenBao reads"},
		"a version too far":      {"upgrade.yml", `{"hadoop_version": "4.0.0"}`, "nothing is known here of Hadoop 4.0.0"},
		"no checksum":            {"upgrade.yml", `{"kafka_version": "4.99.0", "kafka_artefact_checksum": ""}`, "kafka_artefact_checksum is not sha512:"},
		"no archive": {
			"upgrade.yml", `{"kafka_version": "4.99.0", "kafka_artefact_url": "` + file + `", "kafka_artefact_checksum": "sha512:` + strings.Repeat("0", 128) + `"}`,
			"is not on the controller. Put the archive of Kafka 4.99.0 there",
		},
		"finalizing what does not run":  {"upgrade.yml", `{"upgrade_step": "finalize", "kafka_version": "4.99.0"}`, "Nothing was finalized"},
		"another version, by site.yml":  {"site.yml", `{"kafka_version": "4.99.0"}`, "upgrade.yml changes versions"},
		"another, by certificates.yml":  {"certificates.yml", `{"hadoop_version": "3.99.0"}`, "upgrade.yml changes versions"},
		"a way back where there is one": {"upgrade.yml", `{"upgrade_step": "back", "upgrade_services": "kafka", "kafka_version": "4.99.0"}`, "put the versions of before into the inventory"},
	} {
		t.Run(name, func(t *testing.T) {
			s.refusedBy(t, tt.book, tt.says, "-e", tt.vars)
		})
	}
}

// TestNothingIsToBeUpgraded wants a site that runs what its inventory names to be left alone, and the old versions to be told.
func TestNothingIsToBeUpgraded(t *testing.T) {
	s := furnished(t)
	out, err := s.play(t, "upgrade.yml", "-i", *inventory)
	if err != nil || changes.MatchString(out) {
		t.Fatalf("upgrade.yml where there is nothing to do = %v:\n%s", err, tail(out))
	}
	for _, product := range []string{"Kafka", "OpenBao"} {
		if !regexp.MustCompile(` ` + product + ` \d[\w.]* in use /opt/`).MatchString(out) {
			t.Errorf("no version of %s is told to be in use:\n%s", product, tail(out))
		}
	}
}
