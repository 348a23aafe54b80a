package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// centre is a lab that runs.
type centre struct {
	env  map[string]string
	tool string // the program tests/lab
	late bool   // servers are away for longer than an event is sent again
}

// running is the lab that -lab names, emptied of what an earlier test has left; or the test is skipped.
func running(t *testing.T) *centre {
	t.Helper()
	if *almanac == "" || *lab == "" {
		t.Skip("no cluster: make check-servers starts one")
	}
	f, err := os.Open(*lab)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &centre{env: map[string]string{}, tool: filepath.Join(t.TempDir(), "lab")}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		c.env[key] = value
	}
	c.empty(t)
	return c
}

// box is the command over the lab's servers.
func (c *centre) box(t *testing.T, datasets string) box.Box {
	t.Helper()
	return box.Box{Binary: absolute(t, *almanac), Datasets: datasets, Config: filepath.Join(c.env["LAB_ROOT"], "cluster.yaml")}
}

func (c *centre) secure() bool { return c.env["LAB_FORM"] == "secure" }

// empty removes Almanac's topics, and with them how far groups have read, and the warehouse.
func (c *centre) empty(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(c.kafka(t)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, name := range topics.Names() {
			if strings.HasPrefix(name, "almanac.") {
				ours = append(ours, name)
			}
		}
		if len(ours) == 0 {
			break
		}
		if _, err := admin.DeleteTopics(ctx, ours...); err != nil {
			t.Fatal(err)
		}
	}
	c.hdfs(t, "-rm", "-r", "-f", "-skipTrash", c.env["HDFS_WAREHOUSE"]+"/*")
}

// kafka is how the lab's administrator reaches Kafka.
func (c *centre) kafka(t *testing.T) []kgo.Opt {
	t.Helper()
	if plain := c.env["KAFKA_PLAIN"]; plain != "" {
		return []kgo.Opt{kgo.SeedBrokers(plain)}
	}
	pem, err := os.ReadFile(c.env["KAFKA_CA"])
	if err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(c.env["KAFKA_SCRAM_ADMIN_PASSWORD_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return []kgo.Opt{
		kgo.SeedBrokers(c.env["KAFKA_SCRAM"]), kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}),
		kgo.SASL(scram.Auth{User: c.env["KAFKA_SCRAM_ADMIN_USER"], Pass: strings.TrimSpace(string(password))}.AsSha512Mechanism()),
	}
}

// hdfs runs a command of Hadoop's own client, as almanac.
func (c *centre) hdfs(t *testing.T, args ...string) {
	t.Helper()
	c.hadoop(t, "almanac", "org.apache.hadoop.fs.FsShell", args...)
}

// hadoop runs a program of Hadoop and gives what it prints. In the secured form the user is almanac, whoever is named.
func (c *centre) hadoop(t *testing.T, user, class string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute) // also while the test is cleaned up
	defer cancel()
	env := append(os.Environ(), "HADOOP_USER_NAME="+user)
	java := []string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"}
	if c.secure() {
		tickets := filepath.Join(t.TempDir(), "tickets")
		env = append(os.Environ(), "KRB5_CONFIG="+c.env["KRB5_CONFIG"], "KRB5CCNAME="+tickets)
		login := exec.CommandContext(ctx, "kinit", "-k", "-t", c.env["HDFS_KEYTAB"], c.env["HDFS_PRINCIPAL"])
		login.Env = env
		if out, err := login.CombinedOutput(); err != nil {
			t.Fatalf("kinit: %v: %s", err, out)
		}
		java = append(java, "-Djava.security.krb5.conf="+c.env["KRB5_CONFIG"])
	}
	cmd := exec.CommandContext(ctx, "java", append(append(java, "-cp", c.env["HADOOP_CLASSPATH"], class), args...)...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", class, args, err, out)
	}
	return string(out)
}

// download copies the warehouse to local files by Hadoop's own client.
func (c *centre) download(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "warehouse")
	c.hdfs(t, "-get", c.env["HDFS_WAREHOUSE"], dir)
	return dir
}

// lab runs a command of the lab, such as kill or start, for a server.
func (c *centre) lab(ctx context.Context, command, server string) ([]byte, error) {
	if _, err := os.Stat(c.tool); err != nil {
		build := exec.CommandContext(ctx, "go", "build", "-o", c.tool, "./tests/lab")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return out, err
		}
	}
	args := []string{command}
	if c.secure() {
		args = append(args, "-secure")
	}
	cmd := exec.CommandContext(ctx, c.tool, append(args, server)...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}
