// Package centre runs a data centre on one machine: Kafka, HDFS, YARN and Spark, in one of the two forms of its site.
package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/proc"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

// Centre is the data centre of one site. Its methods may be called again at any time: they do what is missing.
type Centre struct {
	Site    *site.Site
	Out     io.Writer // what a person reads
	Install bool      // may install Debian packages
	Only    []string  // names of the servers that Up starts; all of them if none is named
}

// Up starts what does not run and waits until every server is healthy.
func (c *Centre) Up(ctx context.Context) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.chosen(); err != nil {
		return err
	}
	if err := artifact.Debian(ctx, c.Site.Secure && !c.kafkaAlone(), c.Install, c.Out); err != nil {
		return err
	}
	groups := artifact.Groups
	if c.kafkaAlone() {
		groups = []string{"kafka"}
	}
	if err := artifact.Fetch(ctx, c.Site.Cache, groups, c.Out); err != nil {
		return err
	}
	if err := c.furnish(ctx); err != nil {
		return err
	}
	servers, err := c.chosen() // again: some are told secrets that were made just now
	if err != nil {
		return err
	}
	for _, stage := range stages(servers) {
		g, ctx := errgroup.WithContext(ctx)
		for _, s := range stage {
			g.Go(func() error { return c.start(ctx, s) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return c.Site.WriteEnv()
}

// Down stops every server, the last started first, and what their containers left behind. The data stays.
func (c *Centre) Down(ctx context.Context) error {
	if _, err := os.Stat(c.Site.Root); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	var failed error
	for _, stage := range slices.Backward(stages(c.Servers())) {
		var g errgroup.Group
		for _, s := range stage {
			g.Go(func() error {
				if err := proc.Stop(ctx, c.pidFile(s.Name), 30*time.Second); err != nil {
					return fmt.Errorf("stop %s: %w", s.Name, err)
				}
				return nil
			})
		}
		failed = errors.Join(failed, g.Wait())
	}
	for _, id := range c.Containers() {
		failed = errors.Join(failed, proc.End(ctx, id))
	}
	return failed
}

// executors is what Kill takes for Spark's executors. YARN starts others in their place.
const executors = "executors"

// Kill ends one server by SIGKILL, as a crash would.
func (c *Centre) Kill(ctx context.Context, name string) error {
	if name == executors {
		return c.killExecutors(ctx)
	}
	s, err := c.server(name)
	if err != nil {
		return err
	}
	id, err := proc.Kill(ctx, c.pidFile(s.Name))
	if err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	c.sayf("killed %s (process %d)", name, id.PID)
	return nil
}

// Pause stops one server where it stands, by SIGSTOP: its connections stay, and nobody answers on them. Resume lets it go on.
func (c *Centre) Pause(name string) error { return c.signal(name, "paused", syscall.SIGSTOP) }

// Resume lets a paused server go on, by SIGCONT.
func (c *Centre) Resume(name string) error { return c.signal(name, "resumed", syscall.SIGCONT) }

func (c *Centre) signal(name, done string, sig syscall.Signal) error {
	s, err := c.server(name)
	if err != nil {
		return err
	}
	id, err := proc.Signal(c.pidFile(s.Name), sig)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.sayf("%s %s (process %d)", done, name, id.PID)
	return nil
}

func (c *Centre) killExecutors(ctx context.Context) error {
	var failed error
	n := 0
	for _, id := range c.Containers() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.PID))
		if err == nil && strings.Contains(string(line), "ExecutorBackend") {
			failed = errors.Join(failed, proc.End(ctx, id))
			n++
		}
	}
	c.sayf("killed %d processes of executors", n)
	return failed
}

// Start starts one server of a centre that was up before, and waits until it is healthy.
func (c *Centre) Start(ctx context.Context, name string) error {
	s, err := c.server(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Site.Path("env")); err != nil {
		return fmt.Errorf("start %s: the lab has never been up in its %s form", name, c.Site.Form())
	}
	return c.start(ctx, s)
}

// Containers are the processes that the NodeManager started: they work in its folders.
func (c *Centre) Containers() []proc.ID { return proc.Under(c.Site.Path("data", "nodemanager")) }

// chosen are the servers that Up starts and Status looks at.
func (c *Centre) chosen() ([]Server, error) {
	if len(c.Only) == 0 {
		return c.Servers(), nil
	}
	for _, name := range c.Only {
		if _, err := c.server(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(c.Servers(), func(s Server) bool { return !slices.Contains(c.Only, s.Name) }), nil
}

// kafkaAlone says that nothing of Hadoop, Spark and Kerberos is needed.
func (c *Centre) kafkaAlone() bool { return slices.Equal(c.Only, []string{"kafka"}) }

func (c *Centre) server(name string) (Server, error) {
	var names []string
	for _, s := range c.Servers() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Server{}, fmt.Errorf("no server is named %q; there are: %s", name, strings.Join(names, ", "))
}

// start prepares and starts one server if it does not run, waits for its health, and settles what it needs to be of use.
func (c *Centre) start(ctx context.Context, s Server) error {
	began := time.Now()
	_, running, err := proc.Read(c.pidFile(s.Name))
	if err != nil {
		return err
	}
	if !running {
		if err := c.launch(ctx, s); err != nil {
			return fmt.Errorf("start %s: %w", s.Name, err)
		}
	}
	if err := c.await(ctx, s); err != nil {
		return err
	}
	if s.settle != nil {
		if err := s.settle(ctx); err != nil {
			return fmt.Errorf("settle %s: %w", s.Name, err)
		}
	}
	if running {
		c.sayf("%-16s runs", s.Name)
	} else {
		c.sayf("%-16s started in %.1fs", s.Name, time.Since(began).Seconds())
	}
	return nil
}

func (c *Centre) launch(ctx context.Context, s Server) error {
	for _, port := range s.ports {
		if err := free(ctx, c.Site.Addr(port)); err != nil {
			return err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return err
		}
	}
	_, err := proc.Start(proc.Spec{Args: s.args, Env: s.env, Dir: c.Site.Root, Log: c.logFile(s.Name), File: c.pidFile(s.Name)})
	return err
}

// free waits a little until nothing listens on the address: the threads of a killed process let go of it one by one.
func free(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return l.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another program listens on %s: the lab of another checkout, perhaps", addr)
		case <-tick.C:
		}
	}
}

// await asks the server how it is until it is well. One that ended, or takes too long, is an error with the end of its log.
func (c *Centre) await(ctx context.Context, s Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.healthy(ctx)
		if err == nil {
			return nil
		}
		_, running, _ := proc.Read(c.pidFile(s.Name))
		if !running {
			return fmt.Errorf("%s ended. The end of %s:\n%s", s.Name, c.logFile(s.Name), proc.Tail(c.logFile(s.Name), 20))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not healthy after %s: %w. The end of %s:\n%s",
				s.Name, s.patience, err, c.logFile(s.Name), proc.Tail(c.logFile(s.Name), 20))
		case <-tick.C:
		}
	}
}

// sayf tells a person what goes on. Whether it is read changes nothing.
func (c *Centre) sayf(format string, args ...any) { _, _ = fmt.Fprintf(c.Out, format+"\n", args...) }

func (c *Centre) pidFile(name string) string { return c.Site.Path("run", name+".pid") }
func (c *Centre) logFile(name string) string { return c.Site.Path("log", name+".log") }

// lock keeps a second command off the same state.
func (c *Centre) lock() (unlock func(), err error) {
	if err := c.Site.Folders(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(c.Site.Root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("another command is starting or stopping this lab")
	}
	return func() { _ = f.Close() }, nil
}
