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
	"github.com/almanac-data/almanac/tests/lab/internal/server"
)

// Servers lists the servers of the form in the order of their start.
func (c *Centre) Servers() []server.Server {
	servers := []server.Server{c.kafka("kafka"), c.namenode(), c.datanode("datanode1"), c.datanode("datanode2"), c.resourceManager(), c.nodeManager(), c.spark()}
	if c.Site.Secure {
		return append(append([]server.Server{c.kdc()}, servers...), c.proxy())
	}
	return servers
}

// all are the servers of the form, and those that are started only where they are named, or were made before.
func (c *Centre) all() []server.Server {
	return append(c.Servers(), c.kafka("kafka2"), c.kafka("kafka3"))
}

// client asks the servers.
func (c *Centre) client() client.Client { return client.Client{Site: c.Site} }

func (c *Centre) kdc() server.Server {
	return server.Server{
		Name: "kdc", Reach: c.Site.Addr("kdc"), Stage: 0, Listens: c.addrs("kdc"), Patience: 20 * time.Second,
		Args:    []string{artifact.Program("krb5kdc"), "-n"},
		Env:     c.Site.Kerberos(),
		Healthy: func(ctx context.Context) error { return client.Dial(ctx, c.Site.Addr("kdc")) },
	}
}

func (c *Centre) kafka(name string) server.Server {
	ports := []string{name + "-scram", name + "-mtls", name + "-behind"}
	if !c.Site.Secure {
		ports = append(ports, name)
	}
	one := server.Server{
		Name: name, Reach: c.Site.Addr(name+"-scram") + " (SCRAM), " + c.Site.Addr(name+"-mtls") + " (mTLS)",
		Stage: 1, Listens: c.addrs(ports...), Patience: 3 * time.Minute,
		Args: c.java("512m", c.kafkaClasspath(), []string{"-Dlog4j2.configurationFile=file:" + c.Site.Path("conf", "kafka", "log4j2.yaml")},
			"kafka.Kafka", c.Site.Path("conf", name, "server.properties")),
		Prepare: func(ctx context.Context) error { return c.formatKafka(ctx, name) },
		Healthy: func(ctx context.Context) error { return c.client().Kafka(ctx, name) },
	}
	if name == "kafka" {
		one.Listens = append(one.Listens, c.Site.Addr("controller"))
		one.Settle = c.client().Permit
	}
	return one
}

func (c *Centre) namenode() server.Server {
	return server.Server{
		Name: "namenode", Reach: c.Site.FS() + ", " + c.Site.URL("namenode-web"),
		Stage: 1, Listens: c.addrs("namenode", "namenode-web"), Patience: 4 * time.Minute,
		Args:    c.java("256m", c.hadoopClasspath(), quick, "org.apache.hadoop.hdfs.server.namenode.NameNode"),
		Env:     []string{"HADOOP_USER_NAME=hdfs"},
		Prepare: c.formatNameNode,
		Healthy: c.client().NameNode,
		Settle: func(ctx context.Context) error {
			return c.once("folders", func() error { return c.client().MakeFolders(ctx) })
		},
	}
}

func (c *Centre) datanode(name string) server.Server {
	return server.Server{
		Name: name, Reach: c.Site.URL(name + "-web"), Stage: 1, Listens: c.addrs(name, name+"-web", name+"-ipc"), Patience: 4 * time.Minute,
		Args: c.java("192m", c.Site.Path("conf", name)+":"+c.hadoopClasspath(), quick, "org.apache.hadoop.hdfs.server.datanode.DataNode"),
		Env:  []string{"HADOOP_USER_NAME=hdfs"},
		Healthy: func(ctx context.Context) error {
			return c.client().DataNode(ctx, name)
		},
	}
}

func (c *Centre) resourceManager() server.Server {
	return server.Server{
		Name: "resourcemanager", Reach: c.Site.URL("rm-web"), Stage: 1, Patience: 4 * time.Minute,
		Listens: c.addrs("resourcemanager", "scheduler", "tracker", "rm-admin", "rm-web"),
		Args:    c.java("256m", c.hadoopClasspath(), slices.Concat(quick, opens), "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"),
		Env:     []string{"HADOOP_USER_NAME=yarn"},
		Healthy: c.client().ResourceManager,
	}
}

func (c *Centre) nodeManager() server.Server {
	return server.Server{
		Name: "nodemanager", Reach: c.Site.URL("nodemanager-web"), Stage: 1, Patience: 4 * time.Minute,
		Listens: c.addrs("nodemanager", "localizer", "nodemanager-web"),
		Args:    c.java("256m", c.hadoopClasspath(), slices.Concat(quick, opens), "org.apache.hadoop.yarn.server.nodemanager.NodeManager"),
		Env:     []string{"HADOOP_USER_NAME=yarn", "JAVA_HOME=" + javaHome()},
		Healthy: c.client().NodeManager,
	}
}

func (c *Centre) spark() server.Server {
	port, env := "spark", []string{"HADOOP_USER_NAME=spark"}
	if c.Site.Secure {
		port, env = "spark-backend", []string{"SPARK_CONNECT_AUTHENTICATE_TOKEN=" + c.secret("spark-token")}
	}
	return server.Server{
		Name: "spark", Reach: "sc://" + c.Site.Named("spark"), Stage: 2, Listens: c.addrs(port), Patience: 5 * time.Minute,
		Race: "ConcurrentModificationException", // its pages are attached while YARN's filter is added to them
		Args: []string{
			filepath.Join(c.Site.Spark(), "bin", "spark-submit"),
			"--properties-file", c.Site.Path("conf", "spark", "spark.conf"),
			"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal",
		},
		Env: append(env, "SPARK_HOME="+c.Site.Spark(), "SPARK_CONF_DIR="+c.Site.Path("conf", "spark"), "HADOOP_CONF_DIR="+c.Site.Path("conf", "client"),
			"SPARK_LOCAL_IP="+c.Site.IP, "SPARK_LOCAL_HOSTNAME="+c.Site.Host, "JAVA_HOME="+javaHome()),
		Healthy: func(ctx context.Context) error { return c.client().Spark(ctx, port) },
	}
}

func (c *Centre) proxy() server.Server {
	return server.Server{
		Name: "spark-tls", Reach: "sc://" + c.Site.Named("spark") + "/;use_ssl=true", Stage: 3, Listens: c.addrs("spark"), Patience: 20 * time.Second,
		Args:    []string{artifact.Program("haproxy"), "-db", "-f", c.Site.Path("conf", "haproxy.cfg")},
		Healthy: c.client().Proxy,
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

// addrs are the addresses of listeners.
func (c *Centre) addrs(names ...string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = c.Site.Addr(name)
	}
	return list
}

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
