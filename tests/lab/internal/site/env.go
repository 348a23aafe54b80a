package site

import (
	"fmt"
	"os"
	"strings"
)

// Pair is one line of the env file.
type Pair struct{ Key, Value string }

// Env says where everything is, for tests and people: one KEY=value a line, no quotes.
func (s *Site) Env() []Pair {
	pairs := []Pair{
		{"LAB_FORM", s.Form()},
		{"LAB_ROOT", s.Root},
		{"LAB_HOST", s.Host},
		{"KAFKA_SCRAM", s.Addr("kafka-scram")},
		{"KAFKA_MTLS", s.Addr("kafka-mtls")},
		{"KAFKA_BEHIND", s.Addr("kafka-behind")}, // who comes here is sent to KAFKA_PROXY, where a test may listen
		{"KAFKA_PROXY", s.Addr("kafka-proxy")},
		{"KAFKA_CA", s.Path("keys", "ca.crt")},
		{"KAFKA_SCRAM_USER", "almanac"},
		{"KAFKA_SCRAM_PASSWORD_FILE", s.Path("keys", "scram-almanac")},
		{"KAFKA_SCRAM_ADMIN_USER", "admin"},
		{"KAFKA_SCRAM_ADMIN_PASSWORD_FILE", s.Path("keys", "scram-admin")},
		{"KAFKA_SCRAM_STRANGER_USER", "stranger"},
		{"KAFKA_SCRAM_STRANGER_PASSWORD_FILE", s.Path("keys", "scram-stranger")},
		{"KAFKA_CERT", s.Path("keys", "almanac.crt")},
		{"KAFKA_KEY", s.Path("keys", "almanac.key")},
		{"KAFKA_ADMIN_CERT", s.Path("keys", "admin.crt")},
		{"KAFKA_ADMIN_KEY", s.Path("keys", "admin.key")},
		{"KAFKA_EXPIRED_CERT", s.Path("keys", "expired.crt")},
		{"KAFKA_EXPIRED_KEY", s.Path("keys", "expired.key")},
		{"KAFKA_STRANGER_CERT", s.Path("keys", "stranger.crt")},
		{"KAFKA_STRANGER_KEY", s.Path("keys", "stranger.key")},
		{"ALMANAC_KAFKA", strings.Join(s.brokers(), ",")}, // how the functions reach Kafka as almanac, in both forms
		{"ALMANAC_KAFKA_CA", s.Path("keys", "ca.crt")},
		{"ALMANAC_KAFKA_USER", "almanac"},
		{"ALMANAC_KAFKA_PASSWORD_FILE", s.Path("keys", "scram-almanac")},
		{"HDFS_NAMENODE", s.Named("namenode")},
		{"HDFS_URL", s.FS()},
		{"HDFS_WAREHOUSE", s.FS() + "/almanac"},
		{"HDFS_SCRATCH", s.FS() + "/scratch"},
		{"HDFS_USER", "almanac"},
		{"WEBHDFS_URL", s.URL("namenode-web") + "/webhdfs/v1"},
		{"DATANODE1_URL", s.URL("datanode1-web")},
		{"DATANODE2_URL", s.URL("datanode2-web")},
		{"YARN_RESOURCEMANAGER_URL", s.URL("rm-web")},
		{"YARN_NODEMANAGER_URL", s.URL("nodemanager-web")},
		{"HADOOP_CONF_DIR", s.Path("conf", "client")},
		{"HADOOP_CLASSPATH", s.Path("conf", "hadoop") + ":" + s.Artifact("jars", "hadoop") + "/*"},
		{"SPARK_CONNECT", s.Named("spark")},
		{"SPARK_CATALOG", "lake"},
		{"SPARK_SCRATCH_CATALOG", "scratch"},
		{"SPARK_HOME", s.Spark()},
	}
	if s.Secure {
		return append(pairs, s.secured()...)
	}
	return append(pairs,
		Pair{"KAFKA_PLAIN", s.Addr("kafka")},
		Pair{"SPARK_REMOTE", "sc://" + s.Named("spark")},
		Pair{"SPARK_UI", "http://" + s.Addr("spark-ui")},
	)
}

// brokers are where the functions reach Kafka.
func (s *Site) brokers() []string {
	var all []string
	for _, name := range s.Kafkas() {
		all = append(all, s.Addr(name+"-scram"))
	}
	return all
}

func (s *Site) secured() []Pair {
	return []Pair{
		{"CA", s.Path("keys", "ca.crt")},
		{"KRB5_CONFIG", s.Path("conf", "krb5.conf")},
		{"KRB5_REALM", Realm},
		{"KRB5_KDC", s.Addr("kdc")},
		{"HDFS_PRINCIPAL", s.Principal("almanac")},
		{"HDFS_KEYTAB", s.Keytab("almanac")},
		{"HDFS_NAMENODE_PRINCIPAL", s.Principal("nn/" + s.Host)},
		{"HDFS_DATANODE_PRINCIPAL", s.Principal("dn/" + s.Host)},
		{"HDFS_OPERATOR_PRINCIPAL", s.Principal("operator")},
		{"HDFS_OPERATOR_KEYTAB", s.Keytab("operator")},
		{"HDFS_STRANGER_PRINCIPAL", s.Principal("stranger")},
		{"HDFS_STRANGER_KEYTAB", s.Keytab("stranger")},
		{"SPARK_PRINCIPAL", s.Principal("spark")},
		{"SPARK_KEYTAB", s.Keytab("spark")},
		{"SPARK_REMOTE", "sc://" + s.Named("spark") + "/;use_ssl=true"},
		{"SPARK_TOKEN_FILE", s.Path("keys", "spark-token")},
		{"SPARK_CA", s.Path("keys", "ca.crt")},
		{"SPARK_BACKEND", s.Addr("spark-backend")},
	}
}

// EnvText is the env file's text.
func (s *Site) EnvText() string {
	var b strings.Builder
	for _, p := range s.Env() {
		fmt.Fprintf(&b, "%s=%s\n", p.Key, p.Value)
	}
	return b.String()
}

// WriteEnv writes the env file, and cluster.yaml for almanac --config beside it.
func (s *Site) WriteEnv() error {
	if err := os.WriteFile(s.Path("cluster.yaml"), []byte(s.Config()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.Path("env"), []byte(s.EnvText()), 0o600)
}
