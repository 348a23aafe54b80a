package machines_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestARestartMendsCopiesThatAreBehind writes a file while two DataNodes are restarted, after which theirs are copies that the NameNode neither takes nor makes anew until they
// tell of all their blocks. restart.yml, which stops no DataNode while a block is short of copies, must see to that.
func TestARestartMendsCopiesThatAreBehind(t *testing.T) {
	s := furnished(t)
	writer, nodes := s.groups["spark_connect"].Hosts[0], s.groups["datanodes"].Hosts
	others := slices.DeleteFunc(slices.Clone(nodes), func(host string) bool { return host == writer })
	if len(nodes) != 3 || len(others) != 2 {
		t.Skip("needs three DataNodes, one of which is on the machine of Spark's Connect server")
	}
	file := fmt.Sprintf("/scratch/behind-%d", time.Now().UnixNano())
	defer s.as(t, writer, "spark", "spark", "almanac-hadoop dfs -rm -f -skipTrash "+file)
	cmd := s.login(t.Context(), writer, `runuser -u spark -- sh -c 'cd / && KRB5CCNAME=FILE:$(mktemp) && export KRB5CCNAME && trap "rm \${KRB5CCNAME#FILE:}" EXIT &&
		kinit -k -t /etc/almanac/keytabs/spark.keytab "spark/$(hostname -f)" && almanac-hadoop dfs -put - `+file+`'`)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		rows := make([]byte, 1<<20)
		_, _ = rand.Read(rows) // it never fails
		if _, err := in.Write(rows); err != nil {
			t.Fatal(err)
		}
	}
	// All three receive it by then.
	write()
	receives := "find /var/lib/almanac/hdfs-datanode -path '*/rbw/blk_*' ! -name '*.meta' -newermt @" + fmt.Sprint(time.Now().Unix()-1) + " | head -n 1"
	for _, host := range nodes {
		s.until(t, host, receives+" | grep -q .")
	}
	for _, host := range others {
		s.on(t, host, "", "systemctl restart almanac-hdfs-datanode")
		write()
		s.until(t, host, "curl -s -o /dev/null --max-time 5 --cacert /etc/almanac/tls/hadoop/ca.pem https://"+host+":9865/")
	}
	write()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, tail(said.String()))
	}
	short := func() string {
		return s.as(t, s.groups["namenodes"].Hosts[0], "root", "nn", "almanac-hadoop fsck "+file+" | grep -E 'Under-replicated blocks|Missing replicas'")
	}
	if got := short(); !strings.Contains(got, "Missing replicas:\t\t2") {
		t.Errorf("the file is short of no copies, so that nothing is shown: %s", got)
	}
	s.played(t, "restart.yml", "-i", *inventory, "-e", "restart_services=hdfs_datanode,spark_connect") // whose event log is open meanwhile, and would not be readable
	got := short()
	for began := time.Now(); !strings.Contains(got, "Missing replicas:\t\t0"); got = short() { // the last DataNode tells of its blocks a moment later
		if time.Since(began) > time.Minute {
			t.Fatalf("after restart.yml fsck says %s", got)
		}
	}
}

// until waits until a command on a machine succeeds.
func (s *site) until(t *testing.T, host, command string) {
	t.Helper()
	if said := s.on(t, host, "", "for try in $(seq 120); do if "+command+"; then exit; fi; sleep 1; done; echo never"); strings.Contains(said, "never") {
		t.Fatalf("on %s this never succeeds: %s", host, command)
	}
}
