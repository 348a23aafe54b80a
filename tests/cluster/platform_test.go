package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
	"github.com/almanac-data/almanac/tests/internal/proxy"
)

// wakes says which topics wake which function; the calendar is also woken by time.
var wakes = map[string][]string{
	"calendar":  {"almanac.fact.stored", "almanac.fact.aggregated", "almanac.fact.released", "almanac.fact.restated", "almanac.fact.stopped"},
	"collect":   {"almanac.due.collect"},
	"process":   {"almanac.fact.collected"},
	"validate":  {"almanac.fact.processed"},
	"store":     {"almanac.fact.validated"},
	"aggregate": {"almanac.due.aggregate"},
	"deliver":   {"almanac.due.deliver"},
}

// names are those of the functions.
var names = []string{"calendar", "collect", "process", "validate", "store", "aggregate", "deliver"}

// program is a process that is started again when it has ended, as Kubernetes does. A run is not once it has come to its end.
type program struct {
	name    string // of the function, source or run
	port    string // that a function listens on
	command func() *exec.Cmd
	ends    bool // with code 0 it is done
	log     *os.File

	mu    sync.Mutex
	cmd   *exec.Cmd
	lives int
	alive bool
}

// keep starts the program, and again whenever it ends, until ctx does.
func (p *program) keep(ctx context.Context) {
	for ctx.Err() == nil {
		cmd := p.command()
		cmd.Stdout, cmd.Stderr = p.log, p.log
		p.mu.Lock()
		err := cmd.Start()
		p.cmd, p.alive = cmd, err == nil
		p.lives++
		p.mu.Unlock()
		if err != nil {
			_, _ = fmt.Fprintln(p.log, err)
			return
		}
		stop := context.AfterFunc(ctx, func() {
			p.signal(syscall.SIGCONT)
			p.signal(syscall.SIGTERM)
		})
		_ = cmd.Wait()
		stop()
		p.mu.Lock()
		p.alive = false
		p.mu.Unlock()
		if p.ends && cmd.ProcessState.Success() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// signal sends a signal, and says whether there was a process to get it.
func (p *program) signal(s syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive && p.cmd.Process.Signal(s) == nil
}

// platform is what does the job: either every function, and every source, as processes of their own, or runs.
type platform struct {
	dir      string
	all      []*program
	balanced []*proxy.Proxy
	work     sync.WaitGroup
}

func (p *platform) start(ctx context.Context, t *testing.T, one *program) {
	t.Helper()
	var err error
	if one.log, err = os.Create(filepath.Join(p.dir, fmt.Sprintf("%02d-%s.log", len(p.all), one.name))); err != nil {
		t.Fatal(err)
	}
	p.all = append(p.all, one)
	p.work.Go(func() {
		one.keep(ctx)
		_ = one.log.Close() // what it says is read from the file
	})
}

// function starts an instance of a function, and returns its address.
func (p *platform) function(ctx context.Context, t *testing.T, name string, env []string) (address string) {
	t.Helper()
	port := freePort(t)
	p.start(ctx, t, &program{name: name, port: port, command: func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(absolute(t, *functions), name))
		cmd.Env = slices.Concat(os.Environ(), env, []string{"PORT=" + port})
		return cmd
	}})
	return net.JoinHostPort("127.0.0.1", port)
}

// source starts a source of events.
func (p *platform) source(ctx context.Context, t *testing.T, b box.Box, args ...string) {
	t.Helper()
	p.start(ctx, t, &program{name: source, command: func() *exec.Cmd {
		return exec.Command(b.Binary, append([]string{"source"}, args...)...)
	}})
}

// functions starts instances of every function with the variables of the cluster's file, each function behind one address, and the sources
// that wake them.
func (p *platform) functions(ctx context.Context, t *testing.T, b box.Box, instances int) {
	t.Helper()
	env := append(box.Lines(run(t, b, 0, "env").Out), "ALMANAC_DATASETS="+b.Datasets, "ALMANAC_QUIET=0s", "ALMANAC_GRACE=5s")
	for _, name := range names {
		var addresses []string
		for range instances {
			addresses = append(addresses, p.function(ctx, t, name, env))
		}
		balancer, err := proxy.Listen("127.0.0.1:0", addresses...)
		if err != nil {
			t.Fatal(err)
		}
		p.balanced = append(p.balanced, balancer)
		url := "http://" + balancer.Addr()
		p.source(ctx, t, b, "--config", b.Config, "--name", "apart-"+name, "--topics", strings.Join(wakes[name], ","), "--in-flight", "8", "--sink", url)
		if name == "calendar" {
			p.source(ctx, t, b, "--name", "ticks", "--schedule", "*/5 * * * * *", "--sink", url)
		}
	}
}

// runs starts processes that hold all functions.
func (p *platform) runs(ctx context.Context, t *testing.T, b box.Box, instances int) {
	t.Helper()
	for range instances {
		p.start(ctx, t, &program{name: whole, ends: true, command: func() *exec.Cmd {
			return exec.Command(b.Binary, "run", "--no-serve", "--logs", "--listen", "127.0.0.1:0", "--config", b.Config, "--datasets", b.Datasets)
		}})
	}
}

// close stops what works by itself; the context of start has ended by then.
func (p *platform) close(t *testing.T) {
	t.Helper()
	p.work.Wait()
	for _, balancer := range p.balanced {
		if err := balancer.Close(); err != nil {
			t.Error(err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // as asked for
}

// done says whether every window is done. A server that was just killed may not answer.
func done(ctx context.Context, b box.Box) bool {
	all, err := b.Status(ctx)
	if err != nil || len(all) == 0 {
		return false
	}
	for _, d := range all {
		for _, w := range d.Windows {
			if !slices.Contains([]string{"stored", "aggregated", "released"}, w.Phase) {
				return false
			}
		}
	}
	return true
}

// ready waits until every function says that it is ready.
func (p *platform) ready(t *testing.T, within time.Duration) {
	t.Helper()
	limit := time.Now().Add(within)
	for _, one := range p.all {
		for one.port != "" {
			response, err := http.Get("http://127.0.0.1:" + one.port + "/readyz")
			if err == nil {
				_ = response.Body.Close()
			}
			if err == nil && response.StatusCode == http.StatusOK {
				break
			}
			if time.Now().After(limit) {
				t.Errorf("%s is not ready: %v, %v", one.name, response, err)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// logs is the end of every log.
func (p *platform) logs() string {
	var all strings.Builder
	for _, one := range p.all {
		text, _ := os.ReadFile(one.log.Name())
		fmt.Fprintf(&all, "--- %s\n%s\n", one.name, lastLines(string(text), 6))
	}
	return all.String()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
