package machines_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// as runs a command on a machine as a user of it who has a ticket by a keytab, and returns all that it said.
func (s *site) as(t *testing.T, host, user, keytab, command string) string {
	t.Helper()
	return s.on(t, host, `set -eu
		cd /
		KRB5CCNAME=FILE:$(mktemp)
		export KRB5CCNAME
		trap 'rm -f "${KRB5CCNAME#FILE:}"' EXIT
		keytab=/etc/almanac/keytabs/`+keytab+`.keytab
		kinit -k -t "$keytab" "$(klist -k "$keytab" | awk 'NR == 4 {print $2}')"
		(`+command+`) 2>&1 || true`, "runuser -u "+user+" -- sh -s")
}

// TestFsckAnswersOnTheNameNode runs what runbooks say.
func TestFsckAnswersOnTheNameNode(t *testing.T) {
	s := furnished(t)
	said := s.as(t, s.groups["namenodes"].Hosts[0], "root", "nn", "almanac-hadoop fsck / -list-corruptfileblocks")
	if !strings.Contains(said, "has 0 CORRUPT") {
		t.Errorf("fsck says %s", said)
	}
}

// TestHDFSTakesFilesByTicket writes rows, and reads them: both ways the data are encrypted by AES.
func TestHDFSTakesFilesByTicket(t *testing.T) {
	s := furnished(t)
	file := fmt.Sprintf("/scratch/check-%d", time.Now().UnixNano())
	said := s.as(t, s.groups["spark_connect"].Hosts[0], "spark", "spark", `
		log=/etc/almanac/hadoop-client/log4j.properties
		made=$(mktemp -d)
		{ cat $log; echo log4j.logger.org.apache.hadoop.hdfs.protocol.datatransfer.sasl=DEBUG; } > $made/log4j.properties
		export JAVA_TOOL_OPTIONS=-Dlog4j.configuration=file:$made/log4j.properties
		head -c 3000000 /dev/urandom > $made/rows
		almanac-hadoop dfs -put $made/rows `+file+`
		almanac-hadoop dfs -get `+file+` $made/back
		cmp $made/rows $made/back && echo the rows are the same
		almanac-hadoop dfs -stat 'owned by %u:%g' `+file+`
		almanac-hadoop dfs -rm -skipTrash `+file+`
		rm -r $made`)
	for what, times := range map[string]int{"the rows are the same": 1, "owned by spark:almanac": 1, "using cipher suite AES/CTR/NoPadding": 2, "Deleted " + file: 1} {
		if strings.Count(said, what) < times {
			t.Errorf("it is not said %d times: %s\n%s", times, what, tail(said))
		}
	}
}

func TestHDFSRefusesOthers(t *testing.T) {
	s := furnished(t)
	host := s.groups["spark_connect"].Hosts[0]
	without := s.on(t, host, "", "cd / && runuser -u nobody -- almanac-hadoop dfs -ls / 2>&1 || true")
	if !strings.Contains(without, "Client cannot authenticate via:[TOKEN, KERBEROS]") {
		t.Errorf("without a ticket HDFS answers %s", tail(without))
	}
	for folder, says := range map[string]string{
		"/almanac/check":      "Permission denied: user=spark, access=WRITE", // the warehouse: functions alone write to it
		"/user/almanac/check": "Permission denied: user=spark, access=EXECUTE",
		"/check":              "Permission denied: user=spark, access=WRITE",
	} {
		if said := s.as(t, host, "spark", "spark", "almanac-hadoop dfs -mkdir "+folder); !strings.Contains(said, says) {
			t.Errorf("spark makes %s: %s", folder, tail(said))
		}
	}
	if said := s.as(t, host, "spark", "spark", "almanac-hadoop dfsadmin -refreshNodes"); !strings.Contains(said, "is not authorized for protocol") &&
		!strings.Contains(said, "Superuser privilege is required") {
		t.Errorf("spark administers HDFS: %s", tail(said))
	}
}

// TestADataNodeSpeaksNoClearText asks each for a block as a client without encryption does: version, operation, length of a request, and the request. It must hang up because
// the handshake of encryption is missing, which its log tells: one that speaks in clear hangs up as well, on this request.
func TestADataNodeSpeaksNoClearText(t *testing.T) {
	s := furnished(t)
	hosts, began := s.groups["datanodes"].Hosts, strconv.FormatInt(time.Now().Unix(), 10)
	for _, host := range hosts {
		conn, err := s.dial(t.Context(), "tcp", net.JoinHostPort(host, "9866"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Write([]byte{0, 28, 81, 2, 0, 0}); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if len(answer) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the DataNode of %s answers %q, %v, want that it hangs up", host, answer, err)
		}
	}
	const says = "Failed to read expected"
	command := "journalctl -u almanac-hdfs-datanode -o cat --no-pager --since @" + began + " | grep '" + says + "' | head -n 1 || true"
	if silent := s.retold(t, "datanodes", command, func(log string) []string { return hosts[min(strings.Count(log, says), len(hosts)):] }); len(silent) > 0 {
		t.Errorf("%d DataNodes did not miss the handshake of encryption", len(silent))
	}
}

// TestHDFSWantsBlockTokens asks each server which settings it runs with.
func TestHDFSWantsBlockTokens(t *testing.T) {
	s := furnished(t)
	for group, port := range map[string]string{"namenodes": "9871", "datanodes": "9865"} {
		for _, host := range s.groups[group].Hosts {
			for name, want := range map[string]string{
				"dfs.block.access.token.enable": "true", "dfs.encrypt.data.transfer": "true", "dfs.data.transfer.protection": "privacy",
				"dfs.encrypt.data.transfer.cipher.key.bitlength": "256",
				"hadoop.security.authentication":                 "kerberos", "hadoop.security.authorization": "true", "hadoop.rpc.protection": "privacy",
			} {
				said := s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/HTTP.keytab --cacert /etc/almanac/tls/hadoop/ca.pem 'https://"+host+":"+port+"/conf?name="+name+"'")
				if !strings.Contains(said, "<name>"+name+"</name><value>"+want+"</value>") {
					t.Errorf("%s of %s:%s is not %s: %s", name, host, port, want, said)
				}
			}
		}
	}
}

// TestWebPagesOfHadoopWantATicket asks the pages of each server on each machine with a ticket, without one, by a name that anybody may write, and without TLS.
func TestWebPagesOfHadoopWantATicket(t *testing.T) {
	s := furnished(t)
	for group, page := range map[string]string{
		"namenodes":           ":9871/webhdfs/v1/?op=LISTSTATUS",
		"secondary_namenodes": ":9869/jmx",
		"datanodes":           ":9865/jmx",
		"resourcemanagers":    ":8090/ws/v1/cluster/apps",
		"nodemanagers":        ":8044/ws/v1/node/info",
	} {
		for _, host := range s.groups[group].Hosts {
			s.wantsATicket(t, host, page)
		}
	}
}

// wantsATicket asks a machine for its page.
func (s *site) wantsATicket(t *testing.T, host, page string) {
	t.Helper()
	curl := "curl -s -o /dev/null -w '%{http_code}' --max-time 20 --cacert /etc/almanac/tls/hadoop/ca.pem "
	mark := "?"
	if strings.Contains(page, mark) {
		mark = "&"
	}
	for how, want := range map[string]string{
		"https://" + host + page:                                "401",
		"https://" + host + page + mark + "user.name=hdfs":      "401",
		"https://" + host + page + mark + "delegation=aGVsbG8K": "401 403 400",
		"http://" + host + page:                                 "000",
		"--tls-max 1.2 https://" + host + page:                  "000",
	} {
		if got := s.on(t, host, "", curl+strings.ReplaceAll(how, "&", `\&`)+" || true"); !slices.Contains(strings.Fields(want), got) {
			t.Errorf("%s = %s, want %s", how, got, want)
		}
	}
	if got := s.on(t, host, "", "almanac-spnego /etc/almanac/keytabs/HTTP.keytab --cacert /etc/almanac/tls/hadoop/ca.pem -o /dev/null -w '%{http_code}' 'https://"+host+page+"'"); got != "200" {
		t.Errorf("%s of %s with a ticket = %s, want 200", page, host, got)
	}
}
