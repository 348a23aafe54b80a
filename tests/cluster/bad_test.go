package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/edit"
)

// admin runs hdfs dfsadmin as the superuser of the plain form.
func (c *centre) admin(t *testing.T, args ...string) {
	t.Helper()
	c.hadoop(t, "operator", "org.apache.hadoop.hdfs.tools.DFSAdmin", args...)
}

// TestAFullQuotaAndSafeModeOnTheWay does the job while HDFS takes nothing: for want of space, then in safe mode.
// The run says what to do, and goes on by itself once that is done.
func TestAFullQuotaAndSafeModeOnTheWay(t *testing.T) {
	c := running(t)
	if c.secure() {
		t.Skip("the superuser is known in the plain form")
	}
	datasets, want := january(t)
	b := c.box(t, datasets)
	b.Env = []string{"ALMANAC_RETRY=15s", "ALMANAC_GRACE_FACTS=20s"}
	c.admin(t, "-setSpaceQuota", "1m", "/almanac")
	t.Cleanup(func() {
		c.admin(t, "-safemode", "leave")
		c.admin(t, "-clrSpaceQuota", "/almanac")
	})
	running, err := b.Start("run", "--no-serve", "--logs")
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	told, err := running.Await(`.*DSQuotaExceededException.*/almanac.*hdfs dfsadmin -setSpaceQuota.*`, 2*time.Minute)
	if err != nil {
		t.Fatalf("the run does not say how the quota is raised: %v", err)
	}
	t.Logf("it says: %s", told[0])
	c.admin(t, "-clrSpaceQuota", "/almanac")
	c.admin(t, "-safemode", "enter")
	time.Sleep(20 * time.Second) // that long HDFS takes nothing
	select {
	case <-running.Ended():
		t.Fatalf("the run ended in safe mode: %s", running.Result())
	default:
	}
	c.admin(t, "-safemode", "leave")
	result, err := running.Within(patient(t))
	if err != nil || result.Code != 0 {
		t.Fatalf("the run with room again: %v, %s", err, result)
	}
	for line := range strings.Lines(result.Err) {
		if strings.Contains(line, `"msg":"event invalid"`) {
			t.Errorf("an event was refused for good: %s", line)
		}
	}
	c.same(t, b, want.outcome, sources(t, datasets))
}

// TestSparkWithoutIceberg runs the job's SQL on a Spark server that has no jar of Iceberg, no catalog and no YARN.
func TestSparkWithoutIceberg(t *testing.T) {
	c := running(t)
	if c.secure() {
		t.Skip("the server is started without Kerberos")
	}
	datasets, want := january(t)
	b := c.box(t, datasets)
	b.Env = []string{"ALMANAC_SPARK=" + c.bareSpark(t)}
	run(t, b, 0, "run", "--no-serve")
	c.same(t, b, want.outcome, sources(t, datasets))
}

// bareSpark starts a Spark Connect server of one process, and returns how it is reached.
func (c *centre) bareSpark(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	address := net.JoinHostPort("127.0.0.1", port)
	dir := t.TempDir()
	// Its configuration is empty, as the lab's holds the jar.
	cmd := exec.Command(filepath.Join(c.env["SPARK_HOME"], "bin", "spark-submit"), "--master", "local[2]", "--driver-memory", "768m",
		"--conf", "spark.connect.grpc.binding.address=127.0.0.1", "--conf", "spark.connect.grpc.binding.port="+port, "--conf", "spark.ui.enabled=false",
		"--conf", "spark.sql.shuffle.partitions=4", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal")
	cmd.Env = append(os.Environ(), "HADOOP_USER_NAME=spark", "SPARK_HOME="+c.env["SPARK_HOME"], "SPARK_CONF_DIR="+dir,
		"HADOOP_CONF_DIR="+c.env["HADOOP_CONF_DIR"], "SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_HOSTNAME=localhost")
	cmd.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // says that it was killed
		_ = log.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return "sc://" + address
		}
		time.Sleep(200 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("Spark does not listen: %s", text)
	return ""
}

// replaced changes a text of a file of the datasets.
func replaced(t *testing.T, name, before, after string) {
	t.Helper()
	if err := edit.Replace(name, before, after); err != nil {
		t.Fatal(err)
	}
}

// TestSQLThatOneEngineRefuses is named by doctor with engine, file and line, and stops its window where that engine is to run it.
func TestSQLThatOneEngineRefuses(t *testing.T) {
	c := running(t)
	for engine, condition := range map[string]string{"Spark": "7 // 2 = 3", "DuckDB": "7 DIV 2 = 3"} {
		t.Run("not by "+engine, func(t *testing.T) {
			datasets := firstMonths(t, "2001-02-01")
			replaced(t, filepath.Join(datasets, "flights", "aggregates", "origin_weekly.sql"), "WHERE w.this_week", "WHERE w.this_week\n  AND "+condition)
			b := c.box(t, datasets)
			found := run(t, b, 1, "doctor", "--sql")
			wrong := fmt.Sprintf("FAIL  flights aggregates/origin_weekly.sql on %s: line 27", engine)
			right := "ok    flights aggregates/origin_weekly.sql on " + map[string]string{"Spark": "DuckDB", "DuckDB": "Spark"}[engine]
			if !strings.Contains(found.Out, wrong) || !strings.Contains(found.Out, right) {
				t.Errorf("doctor --sql says %s, want %q and %q", found, wrong, right)
			}
			if engine == "Spark" {
				c.stops(t, b, "flights/aggregates/origin_weekly.sql: line 27")
			}
		})
	}
}

// stops runs, and sees that what could not be done stands in the status with the message.
func (c *centre) stops(t *testing.T, b box.Box, text string) {
	t.Helper()
	result := run(t, b, 3, "run", "--no-serve")
	if !strings.Contains(result.Out, text) {
		t.Errorf("the run does not say %q: %s", text, result)
	}
}
