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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/tests/internal/box"
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

// program is a process that is started again when it has ended, as Kubernetes does.
type program struct {
	name    string
	command func() *exec.Cmd

	mu  sync.Mutex
	cmd *exec.Cmd
	log *os.File
}

// keep starts the program, and again whenever it ends, until ctx does.
func (p *program) keep(ctx context.Context) {
	for ctx.Err() == nil {
		cmd := p.command()
		cmd.Stdout, cmd.Stderr = p.log, p.log
		p.mu.Lock()
		err := cmd.Start()
		p.cmd = cmd
		p.mu.Unlock()
		if err != nil {
			_, _ = fmt.Fprintln(p.log, err)
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
		_ = cmd.Wait()
		stop()
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (p *program) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

// platform is every function, and every source, as a process of its own.
type platform struct {
	dir  string
	env  []string
	all  []*program
	work sync.WaitGroup
}

func (p *platform) start(ctx context.Context, t *testing.T, name string, command func() *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(p.dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	one := &program{name: name, command: command, log: log}
	p.all = append(p.all, one)
	p.work.Go(func() {
		one.keep(ctx)
		_ = log.Close() // what it says is read from the file
	})
}

// startAll starts the functions with the variables of the cluster's file, and sources that wake them.
func (p *platform) startAll(ctx context.Context, t *testing.T, b box.Box) {
	t.Helper()
	for _, name := range []string{"calendar", "collect", "process", "validate", "store", "aggregate", "deliver"} {
		port := freePort(t)
		url := "http://127.0.0.1:" + port
		p.start(ctx, t, name, func() *exec.Cmd {
			cmd := exec.Command(filepath.Join(absolute(t, *functions), name))
			cmd.Env = slices.Concat(os.Environ(), p.env, []string{"PORT=" + port, "ALMANAC_QUIET=0s", "ALMANAC_GRACE=5s"})
			return cmd
		})
		p.start(ctx, t, "source-"+name, func() *exec.Cmd {
			return exec.Command(b.Binary, "source", "--config", b.Config, "--name", "alone-"+name, "--topics", strings.Join(wakes[name], ","), "--sink", url)
		})
		if name == "calendar" {
			p.start(ctx, t, "ticks", func() *exec.Cmd {
				return exec.Command(b.Binary, "source", "--name", "ticks", "--schedule", "*/5 * * * * *", "--sink", url)
			})
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
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestFunctions does a month of the job by the functions as processes of their own, woken over HTTP by sources that read the lab's Kafka. Each
// of them is killed once on the way.
func TestFunctions(t *testing.T) {
	if *functions == "" {
		t.Skip("give the folder of the functions' programs: -functions bin, made by make functions")
	}
	c := running(t)
	r := random(t)
	datasets := firstMonths(t, "2001-02-01", "2001-02", "2001-03", "2001-04", "2001-05", "2001-06")
	want := inOneProcess(t, datasets).outcome
	b := c.box(t, datasets)
	p := &platform{dir: t.TempDir(), env: append(box.Lines(run(t, b, 0, "env").Out), "ALMANAC_DATASETS="+datasets)}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	began := time.Now()
	p.startAll(ctx, t, b)
	victims := slices.Clone(p.all)
	r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	killed := 0
	for !done(ctx, b) {
		select {
		case <-ctx.Done():
			t.Fatalf("not done after %s; the last of the logs:\n%s", patience, p.logs())
		case <-time.After(time.Second):
		}
		if killed < len(victims) {
			victims[killed].signal(syscall.SIGKILL)
			killed++
		}
	}
	t.Logf("%d functions and sources did it in %.0fs, %d of them killed", len(p.all), time.Since(began).Seconds(), killed)
	c.same(t, b, want, sources(t, datasets))
	p.well(t)
	stop()
	p.work.Wait()
	for _, one := range p.all {
		text, err := os.ReadFile(filepath.Join(p.dir, one.name+".log"))
		if err != nil || strings.Contains(string(text), "event invalid") {
			t.Errorf("%s: an event was refused for good: %v\n%s", one.name, err, text)
		}
	}
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

// well asks every function whether it is ready.
func (p *platform) well(t *testing.T) {
	t.Helper()
	for _, one := range p.all {
		for _, v := range one.command().Env {
			if port, ok := strings.CutPrefix(v, "PORT="); ok {
				response, err := http.Get("http://127.0.0.1:" + port + "/readyz")
				if err != nil {
					t.Errorf("%s: %v", one.name, err)
					continue
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("%s is not ready: %s", one.name, response.Status)
				}
			}
		}
	}
}

// logs is the end of every log.
func (p *platform) logs() string {
	var all strings.Builder
	for _, one := range p.all {
		text, _ := os.ReadFile(filepath.Join(p.dir, one.name+".log"))
		fmt.Fprintf(&all, "--- %s\n%s\n", one.name, lastLines(string(text), 6))
	}
	return all.String()
}
