package cluster

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// TestStartedBeforeTheServers starts a run while a server of the lab is down, and the server a little later: the run goes on by itself.
// Where the server never comes, the run gives up and says which. Commands that only look fail at once.
func TestStartedBeforeTheServers(t *testing.T) {
	c := running(t)
	if c.secure() {
		t.Skip("the addresses are those of the plain lab")
	}
	datasets := firstMonths(t, "2001-01-10")
	b := c.box(t, datasets)
	for server, says := range map[string]string{
		"kafka":    `waiting for Kafka at \S+ \(ALMANAC_KAFKA\), up to \S+ \(ALMANAC_START_PATIENCE\): `,
		"namenode": `waiting for the warehouse at hdfs://\S+ \(ALMANAC_WAREHOUSE, ALMANAC_HDFS_NAMENODES, ALMANAC_HDFS_WEB\), up to `,
		"spark":    `waiting for Spark at sc://\S+ \(ALMANAC_SPARK\), up to `,
	} {
		t.Run(server, func(t *testing.T) {
			c.command(t, "kill", server)
			began := time.Now()
			gone := start(t, box.Box{Binary: b.Binary, Datasets: b.Datasets, Config: b.Config, Env: []string{"ALMANAC_START_PATIENCE=8s"}}, "run", "--no-serve")
			result, err := gone.Within(patient(t))
			if err != nil || result.Code != 1 || !regexp.MustCompile(says+"(?s:.*)refused").MatchString(result.Err) ||
				!strings.Contains(result.Err, "gave up waiting for") || time.Since(began) > time.Minute {
				t.Errorf("without %s, after %s: %v, %s", server, time.Since(began), err, result)
			}
			if looked := c.looks(t, b, server); looked > 30*time.Second {
				t.Errorf("a command that looks took %s to say that %s is away", looked, server)
			}
			waits := start(t, b, "run", "--no-serve")
			time.Sleep(4 * time.Second)
			c.command(t, "start", server)
			result, err = waits.Within(patient(t))
			if err != nil || result.Code != 0 || !regexp.MustCompile(says).MatchString(result.Err) {
				t.Errorf("%s came 4s later: %v, %s", server, err, result)
			}
			t.Logf("ended after %.0fs; it said\n%s", result.Wall.Seconds(), result.Err)
		})
	}
	if n := run(t, b, 0, "releases", "list"); !strings.Contains(run(t, b, 0, "status").Out, "9 stored") {
		t.Errorf("the days are not stored: %s", n)
	}
}

// looks times a command that needs a server, which must fail.
func (c *centre) looks(t *testing.T, b box.Box, server string) time.Duration {
	t.Helper()
	began := time.Now()
	if server == "spark" {
		run(t, b, 1, "doctor", "--listen", "127.0.0.1:0")
	} else {
		run(t, b, 1, "status")
	}
	return time.Since(began)
}

func (c *centre) command(t *testing.T, command, server string) {
	t.Helper()
	if out, err := c.lab(patient(t), command, server); err != nil {
		t.Fatalf("%s %s: %v: %s", command, server, err, out)
	}
}

// TestAFunctionIsNotReadyBeforeItsServers starts a function and a source of it while Kafka is down.
func TestAFunctionIsNotReadyBeforeItsServers(t *testing.T) {
	c := running(t)
	if *functions == "" || c.secure() {
		t.Skip("needs the functions' programs and the plain lab")
	}
	datasets := firstMonths(t, "2001-01-10")
	b := c.box(t, datasets)
	env := append(box.Lines(run(t, b, 0, "env").Out), "ALMANAC_DATASETS="+datasets)
	run(t, b, 0, "topics", "apply") // a source does not wait for topics that nobody has made
	c.command(t, "kill", "kafka")
	port := freePort(t)
	cmd := exec.Command(filepath.Join(absolute(t, *functions), "process"))
	cmd.Env = slices.Concat(cmd.Environ(), env, []string{"PORT=" + port, "ALMANAC_QUIET=0s"})
	function, err := box.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer function.Stop()
	source := start(t, b, "source", "--name", "process", "--topics", "almanac.fact.collected", "--sink", "http://127.0.0.1:"+port)
	defer source.Stop()
	status := 0
	for deadline := time.Now().Add(30 * time.Second); status != http.StatusServiceUnavailable; time.Sleep(100 * time.Millisecond) {
		status = ready(port)
		if time.Now().After(deadline) {
			t.Fatalf("/readyz answers %d, want 503", status)
		}
	}
	time.Sleep(5 * time.Second)
	c.command(t, "start", "kafka")
	for deadline := time.Now().Add(time.Minute); ready(port) != http.StatusOK; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the function does not become ready: %s", function.Stop())
		}
	}
	select {
	case <-source.Ended():
		t.Errorf("the source ended: %s", source.Result())
	case <-time.After(3 * time.Second):
	}
	if said := source.Stop(); !strings.Contains(said.Err, "waiting for Kafka at ") || said.Code != 0 {
		t.Errorf("the source says %s", said)
	}
}

// ready asks a function whether it is; 0 if it does not answer.
func ready(port string) int {
	response, err := http.Get("http://127.0.0.1:" + port + "/readyz")
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
