package machines_test

import (
	"fmt"
	"testing"
	"time"
)

// audit is a command that shows the lines with a word that the audit log of a server has since then, be the file full meanwhile or not.
func audit(server string, began time.Time, word string) string {
	return fmt.Sprintf(`since=$(date --date @%d '+%%F %%T'); zcat --force /var/log/almanac/%s/audit.log* | awk -v since="$since" '$0 >= since' | grep -F '%s' || true`,
		began.Unix(), server, word)
}

// TestAuditLogsAreFilesOfTheirOwn wants each server's audit log in its file, which its user writes and the group adm reads, with lines of what the server does all day,
// and none of those in the journal, which forgets sooner. No file is above the size at which another one is begun.
func TestAuditLogsAreFilesOfTheirOwn(t *testing.T) {
	s := furnished(t)
	for _, server := range []struct{ group, name, user, says string }{
		{"kafka_brokers", "kafka", "kafka", ""}, // it says what it refuses alone
		{"namenodes", "hdfs-namenode", "hdfs", "allowed=true"},
		{"datanodes", "hdfs-datanode", "hdfs", "clienttrace"},
		{"resourcemanagers", "yarn-resourcemanager", "yarn", "Auth successful for"},
	} {
		for _, host := range s.groups[server.group].Hosts {
			log := "/var/log/almanac/" + server.name
			if got, want := s.on(t, host, "", "stat --format %a:%U:%G "+log+" "+log+"/audit.log"), "2750:"+server.user+":adm\n640:"+server.user+":adm"; got != want {
				t.Errorf("%s: the folder and file of the audit log in %s are %q, want %q", host, log, got, want)
			}
			if full := s.on(t, host, "", "find "+log+" -name 'audit.log*' -size +5500k"); full != "" { // 5 MB, as the inventories of this host say
				t.Errorf("%s: audit logs that should have been ended: %s", host, full)
			}
			if server.says == "" {
				continue
			}
			if s.on(t, host, "", "zcat --force "+log+"/audit.log* | grep -c '"+server.says+"' || true") == "0" {
				t.Errorf("%s: no audit log in %s says %q", host, log, server.says)
			}
			unit := "almanac-" + server.name
			since := s.on(t, host, "", "systemctl show --property ActiveEnterTimestamp --value --timestamp unix "+unit)
			if said := s.on(t, host, "", "journalctl --quiet --no-pager --unit "+unit+" --since '"+since+"' | grep -c '"+server.says+"' || true"); said != "0" {
				t.Errorf("%s: the journal of %s has %s lines of the audit, too", host, unit, said)
			}
		}
	}
}
