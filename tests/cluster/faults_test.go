package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/proxy"
)

// fault is something bad, and what it happens to.
type fault struct{ kind, victim string }

func (f fault) String() string { return f.kind + " " + f.victim }

// Kinds of faults.
const (
	kill    = "kill"    // SIGKILL; what was killed is started again
	pause   = "pause"   // SIGSTOP, and SIGCONT a while later
	cut     = "cut"     // every connection is reset, several times
	silence = "silence" // connections stay, but no byte passes, for a while
)

// Victims that are neither servers nor functions.
const (
	whole     = "run"       // a process that holds all functions
	source    = "source"    // one of those that wake functions
	executors = "executors" // Spark's; YARN starts others
)

// ways are the connections to servers that a test can break.
var ways = []string{"kafka", "namenode", "webhdfs", "spark"}

// suffers are the faults that the lab's servers, the ways to them, and what does the job can meet.
func (c *centre) suffers() (all []fault) {
	servers := []string{"kafka", "namenode", "datanode1", "datanode2", "resourcemanager", "nodemanager", "spark"}
	if c.secure() {
		servers = append(servers, "kdc", "spark-tls")
	}
	for _, victim := range slices.Concat(servers, names, []string{whole, source}) {
		all = append(all, fault{kill, victim}, fault{pause, victim})
	}
	for _, way := range ways {
		all = append(all, fault{cut, "way to " + way}, fault{silence, "way to " + way})
	}
	return append(all, fault{kill, executors})
}

// draw makes a plan of n faults. The first ones take each victim once; n of 0 means just those.
func draw(r *rand.Rand, all []fault, n int) []fault {
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var plan []fault
	seen := map[string]bool{}
	for _, f := range all {
		if !seen[f.victim] {
			seen[f.victim] = true
			plan = append(plan, f)
		}
	}
	for len(plan) < n {
		plan = append(plan, all[r.IntN(len(all))])
	}
	if n > 0 {
		plan = plan[:n]
	}
	return plan
}

// moment is a while up to a limit, and now and then one that outlasts what clients wait for an answer.
func moment(r *rand.Rand, limit time.Duration) time.Duration {
	if r.IntN(6) == 0 {
		return 30 * time.Second
	}
	return time.Duration(r.Int64N(int64(limit)))
}

// network is the way to the servers, on which connections can be broken.
type network struct {
	config string // file of the cluster that goes this way
	ways   map[string]*proxy.Proxy
}

// network puts proxies before the servers.
func (c *centre) network(t *testing.T) *network {
	t.Helper()
	web, err := url.Parse(c.env["WEBHDFS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	n := &network{config: filepath.Join(t.TempDir(), "cluster.yaml"), ways: map[string]*proxy.Proxy{}}
	for way, at := range map[string][2]string{
		"kafka":    {c.env["KAFKA_PROXY"], c.env["KAFKA_BEHIND"]},
		"namenode": {"127.0.0.1:0", c.env["HDFS_NAMENODE"]},
		"webhdfs":  {"127.0.0.1:0", web.Host},
		"spark":    {"127.0.0.1:0", c.env["SPARK_CONNECT"]},
	} {
		p, err := proxy.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		n.ways[way] = p
	}
	named := func(way string) string { // as Kerberos and certificates know it
		_, port, err := net.SplitHostPort(n.ways[way].Addr())
		if err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort("localhost", port)
	}
	text, err := os.ReadFile(filepath.Join(c.env["LAB_ROOT"], "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	broker := c.env["KAFKA_PLAIN"]
	if c.secure() {
		broker = c.env["KAFKA_SCRAM"]
	}
	through := string(text)
	for _, change := range [][2]string{
		{"brokers: [" + broker + "]", "brokers: [" + n.ways["kafka"].Addr() + "]"},
		{"web: [" + web.Scheme + "://" + web.Host + "]", "web: [" + web.Scheme + "://" + named("webhdfs") + "]\n  namenodes: [" + named("namenode") + "]"},
		{"server: sc://" + c.env["SPARK_CONNECT"], "server: sc://" + named("spark")},
	} {
		if !strings.Contains(through, change[0]) {
			t.Fatalf("the lab's cluster.yaml does not say %q:\n%s", change[0], through)
		}
		through = strings.Replace(through, change[0], change[1], 1)
	}
	if err := os.WriteFile(n.config, []byte(through), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// strike does a fault and mends what does not mend itself. It says whether there was a victim.
func (m *campaign) strike(ctx context.Context, t *testing.T, f fault, p *platform) bool {
	t.Helper()
	way, isWay := strings.CutPrefix(f.victim, "way to ")
	switch {
	case isWay:
		m.breaks(ctx, f.kind, m.network.ways[way])
		return true
	case f.victim == whole || f.victim == source || slices.Contains(names, f.victim):
		return m.strikes(ctx, f, p)
	}
	m.server(ctx, t, f)
	return true
}

// breaks breaks connections.
func (m *campaign) breaks(ctx context.Context, kind string, way *proxy.Proxy) {
	if kind == silence {
		speak := way.Silence()
		m.wait(ctx, moment(m.random, 8*time.Second))
		speak()
		return
	}
	for range 1 + m.random.IntN(4) {
		way.Cut()
		m.wait(ctx, time.Duration(m.random.Int64N(int64(time.Second))))
	}
}

// strikes hits a random process of those of the name.
func (m *campaign) strikes(ctx context.Context, f fault, p *platform) bool {
	var victims []*program
	for _, one := range p.all {
		if one.name == f.victim {
			victims = append(victims, one)
		}
	}
	if len(victims) == 0 {
		return false
	}
	victim := victims[m.random.IntN(len(victims))]
	if f.kind == kill {
		return victim.signal(syscall.SIGKILL) // keep starts it again
	}
	if !victim.signal(syscall.SIGSTOP) {
		return false
	}
	m.wait(ctx, moment(m.random, 8*time.Second))
	return victim.signal(syscall.SIGCONT)
}

// server hits a server of the lab. It is started again, or goes on, and is well before this returns.
func (m *campaign) server(ctx context.Context, t *testing.T, f fault) {
	t.Helper()
	m.lab(ctx, t, "start", "spark") // unless it runs: see supervise
	m.lab(ctx, t, f.kind, f.victim)
	switch {
	case f.victim == executors:
	case f.kind == pause:
		m.wait(ctx, moment(m.random, 8*time.Second))
		m.lab(ctx, t, "resume", f.victim)
	default:
		m.wait(ctx, time.Duration(m.random.Int64N(int64(3*time.Second))))
		began := time.Now()
		m.lab(ctx, t, "start", f.victim)
		m.logf(t, "%s was killed, and is well %.0fs after its start", f.victim, time.Since(began).Seconds())
	}
}

func (m *campaign) lab(ctx context.Context, t *testing.T, command, server string) {
	t.Helper()
	if out, err := m.centre.lab(ctx, command, server); err != nil && ctx.Err() == nil {
		t.Fatalf("%s %s: %v: %s", command, server, err, out)
	}
}

func (*campaign) wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (*campaign) logf(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("%s %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
