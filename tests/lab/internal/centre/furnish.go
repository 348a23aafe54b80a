package centre

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/pki"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

// furnish makes what must be there before the first server starts: keys, passwords, the Kerberos database, configuration.
func (c *Centre) furnish(ctx context.Context) error {
	if err := c.once("passwords", c.passwords); err != nil {
		return err
	}
	if err := c.once("cluster-id", c.cluster); err != nil {
		return err
	}
	if err := c.once("certificates", c.certificates); err != nil {
		return err
	}
	if err := c.Site.Render(); err != nil {
		return err
	}
	if !c.Site.Secure || c.kafkaAlone() {
		return nil
	}
	if err := c.once("stores", func() error { return c.stores(ctx) }); err != nil {
		return err
	}
	return c.once("kerberos", func() error { return c.realm(ctx) })
}

// once does a thing that must be done once, and remembers that it was done to its end. What is left half done is done anew.
func (c *Centre) once(name string, do func() error) error {
	mark := c.Site.Path("made", name)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := do(); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	return os.WriteFile(mark, nil, 0o600)
}

func (c *Centre) passwords() error {
	for _, name := range []string{"scram-admin", "scram-almanac", "scram-stranger", "store", "kdc-master", "http-signature", "spark-token"} {
		if err := os.WriteFile(c.Site.Path("keys", name), []byte(random(24)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cluster makes the id of the cluster of Kafka's servers, or takes that of one which is there.
func (c *Centre) cluster() error {
	id := random(16)
	if _, err := os.Stat(c.Site.Path("made", "kafka")); err == nil {
		text, err := os.ReadFile(c.Site.Path("data", "kafka", "meta.properties"))
		if err != nil {
			return err
		}
		_, after, _ := strings.Cut(string(text), "cluster.id=")
		if id, _, _ = strings.Cut(after, "\n"); id == "" {
			return errors.New("data/kafka/meta.properties names no cluster.id")
		}
	}
	return os.WriteFile(c.Site.Path("keys", "cluster-id"), []byte(strings.TrimSpace(id)), 0o600)
}

// random is a text of n random bytes that needs no quoting anywhere: not in URLs, not in Kafka's or Spark's settings.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return strings.NewReplacer("-", "x", "_", "y").Replace(base64.RawURLEncoding.EncodeToString(b))
}

// secret is a generated password; it is empty until passwords are made.
func (c *Centre) secret(name string) string {
	s, _ := c.Site.Secret(name)
	return s
}

func (c *Centre) certificates() error {
	ca, err := pki.New(c.Site.Path("keys"), time.Now())
	if err != nil {
		return err
	}
	return errors.Join(
		ca.Issue("broker", c.Site.Host, c.Site.IP),
		ca.Issue("https", c.Site.Host, c.Site.IP),
		ca.Issue("admin"), ca.Issue("almanac"), ca.Issue("stranger"), ca.Expired("expired"),
	)
}

// stores packs the web servers' key, and the authority, into the stores that Hadoop reads.
func (c *Centre) stores(ctx context.Context) error {
	keys := func(name string) string { return c.Site.Path("keys", name) }
	_ = os.Remove(keys("trust.p12"))
	err := c.run(ctx, nil, "", "openssl", "pkcs12", "-export", "-name", "https", "-inkey", keys("https.key"), "-in", keys("https.crt"),
		"-certfile", keys("ca.crt"), "-out", keys("https.p12"), "-passout", "file:"+keys("store"))
	if err != nil {
		return err
	}
	return c.run(ctx, nil, "", "keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", keys("ca.crt"),
		"-keystore", keys("trust.p12"), "-storetype", "PKCS12", "-storepass:file", keys("store"))
}

// principals are those of the servers, by the name of their keytab, and of people.
func principals(host string) map[string]string {
	return map[string]string{
		"nn": "nn/" + host, "dn": "dn/" + host, "rm": "rm/" + host, "nm": "nm/" + host, "HTTP": "HTTP/" + host,
		"operator": "operator", "almanac": "almanac", "spark": "spark", "stranger": "stranger",
	}
}

// realm makes the Kerberos database, and a keytab for each principal.
func (c *Centre) realm(ctx context.Context) error {
	dir := c.Site.Path("data", "kdc")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	master := c.secret("kdc-master")
	if err := c.run(ctx, c.Site.Kerberos(), master+"\n"+master+"\n", artifact.Program("kdb5_util"), "create", "-s", "-r", site.Realm); err != nil {
		return err
	}
	var commands strings.Builder
	for name, principal := range principals(c.Site.Host) {
		_ = os.Remove(c.Site.Keytab(name))
		fmt.Fprintf(&commands, "addprinc -randkey %s\nktadd -k %s %s\n", principal, c.Site.Keytab(name), principal)
	}
	if err := c.run(ctx, c.Site.Kerberos(), commands.String(), artifact.Program("kadmin.local"), "-r", site.Realm); err != nil {
		return err
	}
	for name := range principals(c.Site.Host) { // kadmin.local ends well whatever it was told
		if _, err := os.Stat(c.Site.Keytab(name)); err != nil {
			return fmt.Errorf("no keytab was made: %w", err)
		}
	}
	return nil
}

// formatKafka formats the log folder of a server of Kafka, once. The passwords travel in a file, not on the command line.
func (c *Centre) formatKafka(ctx context.Context, name string) error {
	return c.once(name, func() error {
		if err := os.RemoveAll(c.Site.Path("data", name)); err != nil {
			return err
		}
		args := []string{"format", "-t", c.secret("cluster-id"), "-c", c.Site.Path("conf", name, "server.properties")}
		if name == "kafka" {
			args = append(args, "--standalone")
			for _, user := range []string{"admin", "almanac", "stranger"} {
				args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", user, c.secret("scram-"+user)))
			}
		}
		file := c.Site.Path("keys", "format-"+name+".args")
		if err := os.WriteFile(file, []byte(strings.Join(args, "\n")+"\n"), 0o600); err != nil {
			return err
		}
		defer func() { _ = os.Remove(file) }()
		line := c.java("256m", c.kafkaClasspath(), quick, "kafka.tools.StorageTool", "@"+file)
		return c.run(ctx, nil, "", line[0], line[1:]...)
	})
}

func (c *Centre) formatNameNode(ctx context.Context) error {
	return c.once("namenode", func() error {
		for _, name := range []string{"namenode", "datanode1", "datanode2"} {
			if err := os.RemoveAll(c.Site.Path("data", name)); err != nil {
				return err
			}
		}
		line := c.java("256m", c.hadoopClasspath(), quick, "org.apache.hadoop.hdfs.server.namenode.NameNode",
			"-format", "-nonInteractive", "-clusterid", "almanac-lab")
		return c.run(ctx, []string{"HADOOP_USER_NAME=hdfs"}, "", line[0], line[1:]...)
	})
}

// run runs a program to its end; an error holds what it said last.
func (c *Centre) run(ctx context.Context, env []string, stdin, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Site.Root, append(os.Environ(), env...), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	return nil
}
