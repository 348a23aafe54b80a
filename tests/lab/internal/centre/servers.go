package centre

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/client"
)

// Server is one process of the centre.
type Server struct {
	Name  string
	Reach string // address or URL that people use

	stage    int // servers of one stage start together, once those of the stage before are healthy
	args     []string
	env      []string
	ports    []string                    // that it listens on
	prepare  func(context.Context) error // before each start
	healthy  func(context.Context) error
	settle   func(context.Context) error // once healthy
	patience time.Duration
}

// Servers lists the servers of the form in the order of their start.
func (c *Centre) Servers() []Server {
	servers := []Server{c.kafka(), c.namenode(), c.datanode("datanode1"), c.datanode("datanode2"), c.resourceManager(), c.nodeManager(), c.spark()}
	if c.Site.Secure {
		return append(append([]Server{c.kdc()}, servers...), c.proxy())
	}
	return servers
}

// client asks the servers.
func (c *Centre) client() client.Client { return client.Client{Site: c.Site} }

// stages groups servers that start together.
func stages(servers []Server) [][]Server {
	var groups [][]Server
	for _, s := range servers {
		if n := len(groups); n == 0 || groups[n-1][0].stage != s.stage {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], s)
	}
	return groups
}

func (c *Centre) kdc() Server {
	return Server{
		Name: "kdc", Reach: c.Site.Addr("kdc"), stage: 0, ports: []string{"kdc"}, patience: 20 * time.Second,
		args:    []string{artifact.Program("krb5kdc"), "-n"},
		env:     c.Site.Kerberos(),
		healthy: func(ctx context.Context) error { return client.Dial(ctx, c.Site.Addr("kdc")) },
	}
}

func (c *Centre) kafka() Server {
	ports := []string{"kafka-scram", "kafka-mtls", "kafka-behind", "controller"}
	if !c.Site.Secure {
		ports = append(ports, "kafka")
	}
	return Server{
		Name: "kafka", Reach: c.Site.Addr("kafka-scram") + " (SCRAM), " + c.Site.Addr("kafka-mtls") + " (mTLS)",
		stage: 1, ports: ports, patience: 3 * time.Minute,
		args: c.java("512m", c.kafkaClasspath(), []string{"-Dlog4j2.configurationFile=file:" + c.Site.Path("conf", "kafka", "log4j2.yaml")},
			"kafka.Kafka", c.Site.Path("conf", "kafka", "server.properties")),
		prepare: c.formatKafka,
		healthy: c.client().Kafka,
		settle:  c.client().Permit,
	}
}

func (c *Centre) namenode() Server {
	return Server{
		Name: "namenode", Reach: c.Site.FS() + ", " + c.Site.URL("namenode-web"),
		stage: 1, ports: []string{"namenode", "namenode-web"}, patience: 4 * time.Minute,
		args:    c.java("256m", c.hadoopClasspath(), quick, "org.apache.hadoop.hdfs.server.namenode.NameNode"),
		env:     []string{"HADOOP_USER_NAME=hdfs"},
		prepare: c.formatNameNode,
		healthy: c.client().NameNode,
		settle: func(ctx context.Context) error {
			return c.once("folders", func() error { return c.client().MakeFolders(ctx) })
		},
	}
}

func (c *Centre) datanode(name string) Server {
	return Server{
		Name: name, Reach: c.Site.URL(name + "-web"), stage: 1, ports: []string{name, name + "-web", name + "-ipc"}, patience: 4 * time.Minute,
		args: c.java("192m", c.Site.Path("conf", name)+":"+c.hadoopClasspath(), quick, "org.apache.hadoop.hdfs.server.datanode.DataNode"),
		env:  []string{"HADOOP_USER_NAME=hdfs"},
		healthy: func(ctx context.Context) error {
			return c.client().DataNode(ctx, name)
		},
	}
}

func (c *Centre) resourceManager() Server {
	return Server{
		Name: "resourcemanager", Reach: c.Site.URL("rm-web"), stage: 1, patience: 4 * time.Minute,
		ports:   []string{"resourcemanager", "scheduler", "tracker", "rm-admin", "rm-web"},
		args:    c.java("256m", c.hadoopClasspath(), slices.Concat(quick, opens), "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"),
		env:     []string{"HADOOP_USER_NAME=yarn"},
		healthy: c.client().ResourceManager,
	}
}

func (c *Centre) nodeManager() Server {
	return Server{
		Name: "nodemanager", Reach: c.Site.URL("nodemanager-web"), stage: 1, patience: 4 * time.Minute,
		ports:   []string{"nodemanager", "localizer", "nodemanager-web"},
		args:    c.java("256m", c.hadoopClasspath(), slices.Concat(quick, opens), "org.apache.hadoop.yarn.server.nodemanager.NodeManager"),
		env:     []string{"HADOOP_USER_NAME=yarn", "JAVA_HOME=" + javaHome()},
		healthy: c.client().NodeManager,
	}
}

func (c *Centre) spark() Server {
	port, env := "spark", []string{"HADOOP_USER_NAME=spark"}
	if c.Site.Secure {
		port, env = "spark-backend", []string{"SPARK_CONNECT_AUTHENTICATE_TOKEN=" + c.secret("spark-token")}
	}
	return Server{
		Name: "spark", Reach: "sc://" + c.Site.Named("spark"), stage: 2, ports: []string{port}, patience: 5 * time.Minute,
		args: []string{
			filepath.Join(c.Site.Spark(), "bin", "spark-submit"),
			"--properties-file", c.Site.Path("conf", "spark", "spark.conf"),
			"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal",
		},
		env: append(env, "SPARK_HOME="+c.Site.Spark(), "SPARK_CONF_DIR="+c.Site.Path("conf", "spark"), "HADOOP_CONF_DIR="+c.Site.Path("conf", "client"),
			"SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_HOSTNAME=localhost", "JAVA_HOME="+javaHome()),
		healthy: func(ctx context.Context) error { return c.client().Spark(ctx, port) },
	}
}

func (c *Centre) proxy() Server {
	return Server{
		Name: "spark-tls", Reach: "sc://" + c.Site.Named("spark") + "/;use_ssl=true", stage: 3, ports: []string{"spark"}, patience: 20 * time.Second,
		args:    []string{artifact.Program("haproxy"), "-db", "-f", c.Site.Path("conf", "haproxy.cfg")},
		healthy: c.client().Proxy,
	}
}

var (
	// quick spares memory and the compiler's time in servers that do little.
	quick = []string{"-XX:TieredStopAtLevel=1"}
	// opens are what YARN's web server needs of Java 17.
	opens = []string{
		"--add-opens", "java.base/java.lang=ALL-UNNAMED",
		"--add-opens", "java.base/java.util=ALL-UNNAMED",
		"--add-opens", "java.base/java.net=ALL-UNNAMED",
	}
)

// java is the command line of a Java program.
func (c *Centre) java(heap, classpath string, options []string, main string, args ...string) []string {
	line := append([]string{artifact.Program("java"), "-Xmx" + heap}, strings.Fields(c.Site.JavaOptions())...)
	line = append(append(line, options...), "-cp", classpath, main)
	return append(line, args...)
}

func (c *Centre) kafkaClasspath() string { return c.Site.Artifact("jars", "kafka") + "/*" }

func (c *Centre) hadoopClasspath() string {
	return c.Site.Path("conf", "hadoop") + ":" + c.Site.Artifact("webroot") + ":" + c.Site.Artifact("jars", "hadoop") + "/*"
}

// javaHome is the folder of the java on the path.
func javaHome() string {
	java, err := exec.LookPath("java")
	if err != nil {
		return ""
	}
	if java, err = filepath.EvalSymlinks(java); err != nil {
		return ""
	}
	return filepath.Dir(filepath.Dir(java))
}
