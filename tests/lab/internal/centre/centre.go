// Package centre runs a data centre on one machine: Kafka, HDFS, YARN and Spark, in one of the two forms of its site.
package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/proc"
	"github.com/almanac-data/almanac/tests/lab/internal/server"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

// Centre is the data centre of one site. Its methods may be called again at any time: they do what is missing.
type Centre struct {
	Site    *site.Site
	Out     io.Writer // what a person reads
	Install bool      // may install Debian packages
	Only    []string  // names of the servers that Up starts; if none is named all of them, with the brokers that it was made with
}

// Fetch brings what the servers are started from onto this machine: Debian's packages, and archives.
func (c *Centre) Fetch(ctx context.Context) error {
	needs := []artifact.Need{artifact.Servers}
	if c.Site.Secure && !c.kafkaAlone() {
		needs = append(needs, artifact.Secured)
	}
	if err := artifact.Debian(ctx, needs, c.Install, c.Out); err != nil {
		return err
	}
	groups := artifact.Groups
	if c.kafkaAlone() {
		groups = []string{"kafka"}
	}
	return artifact.Fetch(ctx, c.Site.Cache, groups, c.Out)
}

// Up starts what does not run and waits until every server is healthy.
func (c *Centre) Up(ctx context.Context) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.count(); err != nil {
		return err
	}
	if err := c.Fetch(ctx); err != nil {
		return err
	}
	if err := c.furnish(ctx); err != nil {
		return err
	}
	servers, err := c.chosen() // again: some are told secrets that were made just now
	if err != nil {
		return err
	}
	if err := c.host().Up(ctx, servers); err != nil {
		return err
	}
	return c.Site.WriteEnv()
}

// Env returns the lines of the file env, as Up writes them.
func (c *Centre) Env() (string, error) { return c.told((*site.Site).EnvText) }

// Config returns a file for almanac run --config.
func (c *Centre) Config() (string, error) { return c.told((*site.Site).Config) }

func (c *Centre) told(text func(*site.Site) string) (string, error) {
	if err := c.count(); err != nil {
		return "", err
	}
	return text(c.Site), nil
}

// count tells the site of its brokers.
func (c *Centre) count() (err error) {
	c.Site.Brokers, err = c.brokers()
	return err
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
	failed := c.host().Down(ctx, c.all())
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
	id, err := proc.Kill(ctx, c.host().PIDFile(s.Name))
	if err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	c.host().Sayf("killed %s (process %d)", name, id.PID)
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
	id, err := proc.Signal(c.host().PIDFile(s.Name), sig)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.host().Sayf("%s %s (process %d)", done, name, id.PID)
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
	c.host().Sayf("killed %d processes of executors", n)
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
	return c.host().Start(ctx, s)
}

// Containers are the processes that the NodeManager started: they work in its folders.
func (c *Centre) Containers() []proc.ID { return proc.Under(c.Site.Path("data", "nodemanager")) }

// chosen are the servers that Up starts and Status looks at.
func (c *Centre) chosen() ([]server.Server, error) {
	if len(c.Only) == 0 {
		return slices.DeleteFunc(c.all(), func(s server.Server) bool {
			return slices.Contains(site.Kafkas[1:], s.Name) && !c.made(s.Name)
		}), nil
	}
	for _, name := range c.Only {
		if _, err := c.server(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(c.all(), func(s server.Server) bool { return !slices.Contains(c.Only, s.Name) }), nil
}

// kafkaAlone says that nothing of Hadoop, Spark and Kerberos is needed.
func (c *Centre) kafkaAlone() bool {
	return len(c.Only) > 0 && !slices.ContainsFunc(c.Only, func(name string) bool { return !slices.Contains(site.Kafkas, name) })
}

// brokers counts those of Kafka, that were there before, too: topics have a copy on each, without which nothing can be written.
func (c *Centre) brokers() (n int, err error) {
	chosen, err := c.chosen()
	if err != nil {
		return 0, err
	}
	for i, name := range site.Kafkas {
		switch wanted := slices.ContainsFunc(chosen, func(s server.Server) bool { return s.Name == name }); {
		case wanted && n < i:
			return 0, fmt.Errorf("%s is to be started without %s: name that, too", name, site.Kafkas[i-1])
		case wanted:
			n++
		case c.made(name) && n > 0:
			return 0, fmt.Errorf("this lab has a broker %s: name %s, too, or remove %s to begin anew", name, strings.Join(site.Kafkas[:i+1], ","), c.Site.Root)
		}
	}
	return n, nil
}

// made says whether a broker of that name was started here before.
func (c *Centre) made(name string) bool {
	_, err := os.Stat(c.Site.Path("made", name))
	return err == nil
}

func (c *Centre) server(name string) (server.Server, error) {
	var names []string
	for _, s := range c.all() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return server.Server{}, fmt.Errorf("no server is named %q; there are: %s", name, strings.Join(names, ", "))
}

// host keeps the servers' processes.
func (c *Centre) host() server.Host { return server.Host{Root: c.Site.Root, Out: c.Out} }

// lock keeps a second command off the same state.
func (c *Centre) lock() (unlock func(), err error) {
	if err := c.Site.Folders(); err != nil {
		return nil, err
	}
	return c.host().Lock()
}
