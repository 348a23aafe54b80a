package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var known = []string{"ALMANAC_KAFKA", "ALMANAC_KAFKA_CA", "ALMANAC_WAREHOUSE", "ALMANAC_HDFS_KRB5_CONF", "ALMANAC_SPARK", "ALMANAC_SPARK_TOKEN_FILE", "ALMANAC_RETRY"}

func read(t *testing.T, text string) (File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path, known)
	if err != nil {
		return f, &shortened{strings.ReplaceAll(err.Error(), path, "cluster.yaml")}
	}
	return f, nil
}

type shortened struct{ text string }

func (s *shortened) Error() string { return s.text }

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		env  string
	}{
		"sections":          {"kafka: {brokers: [a:1, b:2], ca: ca.pem}\nspark: {server: sc://s}", "ALMANAC_KAFKA=a:1,b:2 ALMANAC_KAFKA_CA=ca.pem ALMANAC_SPARK=sc://s"},
		"flat":              {"kafka: a:1\nspark_token_file: t\nwarehouse: hdfs://n/w", "ALMANAC_KAFKA=a:1 ALMANAC_SPARK_TOKEN_FILE=t ALMANAC_WAREHOUSE=hdfs://n/w"},
		"deeper":            {"hdfs:\n  krb5:\n    conf: /etc/krb5.conf", "ALMANAC_HDFS_KRB5_CONF=/etc/krb5.conf"},
		"plain values":      {"retry: 5\nwarehouse: true", "ALMANAC_RETRY=5 ALMANAC_WAREHOUSE=true"},
		"null is not set":   {"retry:\nwarehouse: w", "ALMANAC_WAREHOUSE=w"},
		"comments are free": {"# a cluster\nwarehouse: w # here", "ALMANAC_WAREHOUSE=w"},
	} {
		f, err := read(t, c.text)
		if got := strings.Join(f.Env(), " "); err != nil || got != c.env {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.env)
		}
	}
}

func TestEnvHidesSecretsInClear(t *testing.T) {
	for name, c := range map[string]struct {
		value, want string
		hidden      bool
	}{
		"a token of Spark":          {"sc://spark:15002/;token=s3cr3t;user_id=me", "sc://spark:15002/;token=***;user_id=me", true},
		"one in another parameter":  {"sc://spark/;use_ssl=true;Access_Token=s3cr3t", "sc://spark/;use_ssl=true;Access_Token=***", true},
		"a password in a URL":       {"https://me:s3cr3t@spark/x", "https://me:***@spark/x", true},
		"a password as a parameter": {"jdbc:x?user=me&password=s3cr3t&x=1", "jdbc:x?user=me&password=***&x=1", true},
		"a reference":               {"vault://kv/almanac/aggregate/spark?encoding=base64#token", "vault://kv/almanac/aggregate/spark?encoding=base64#token", false},
		"a plain address":           {"sc://spark:15002", "sc://spark:15002", false},
		"two brokers":               {"a:9092,b:9092", "a:9092,b:9092", false},
	} {
		f, err := read(t, "spark: {server: \""+c.value+"\"}\nwarehouse: w")
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Env()[0]; got != "ALMANAC_SPARK="+c.want {
			t.Errorf("%s: Env() = %s, want %s", name, got, c.want)
		}
		if got := slices.Equal(f.Hidden(), []string{"ALMANAC_SPARK"}); got != c.hidden || !got && len(f.Hidden()) > 0 {
			t.Errorf("%s: Hidden() = %v", name, f.Hidden())
		}
		if got, _ := f.Lookup("ALMANAC_SPARK"); got != c.value {
			t.Errorf("%s: Lookup() = %s, want %s", name, got, c.value)
		}
	}
}

func TestReadTellsEveryMistake(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":     {"warehouse: w\nkafka:\n  brokers: a\n  cacert: x", "cluster.yaml:4: kafka.cacert: is not a key; did you mean kafka.ca, "},
		"an unknown word":    {"warehuose: w", "cluster.yaml:1: warehuose: is not a key; did you mean warehouse"},
		"one variable twice": {"kafka: {ca: x}\nkafka_ca: y", "cluster.yaml:2: kafka_ca: sets ALMANAC_KAFKA_CA, as kafka.ca does; remove one"},
		"no mapping":         {"- a", "cluster.yaml:1: the file holds a list"},
		"nothing":            {"", "cluster.yaml:1: the file is empty"},
		"no YAML":            {"a: [", "the file is not YAML"},
		"all at once":        {"x: 1\ny: 2", "cluster.yaml:1: x: is not a key"},
	} {
		_, err := read(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if name == "all at once" && !strings.Contains(err.Error(), "cluster.yaml:2: y:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read("/nowhere", known); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("Read(/nowhere) = %v", err)
	}
}

func TestKeysAreThoseOfTheVariables(t *testing.T) {
	for _, v := range known {
		if got := variableOf(Key(v)); got != v {
			t.Errorf("variableOf(%s) = %s, want %s", Key(v), got, v)
		}
	}
	if !slices.Contains([]string{"hdfs.krb5_conf"}, Key("ALMANAC_HDFS_KRB5_CONF")) {
		t.Error(Key("ALMANAC_HDFS_KRB5_CONF"))
	}
}

func TestDistance(t *testing.T) {
	for words, want := range map[string]int{"a a": 0, "kitten sitting": 3, "ab ba": 2, "abc abcd": 1} {
		a, b, _ := strings.Cut(words, " ")
		if got := distance(a, b); got != want {
			t.Errorf("distance(%s, %s) = %d, want %d", a, b, got, want)
		}
	}
}
