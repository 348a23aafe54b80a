// Package server starts the servers of a lab in their order, waits until each is healthy, and stops those that it started.
package server

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

	"github.com/almanac-data/almanac/tests/lab/internal/proc"
)

// Server is one process of a lab.
type Server struct {
	Name  string
	Reach string // address or URL that people use

	Stage    int // servers of one stage start together, once those of the stage before are healthy
	Args     []string
	Env      []string
	Listens  []string                    // addresses that nobody else may hold
	Prepare  func(context.Context) error // before each start
	Healthy  func(context.Context) error
	Settle   func(context.Context) error // once healthy
	Patience time.Duration
	// Race is what the log says of a start that failed by a race within the server itself: it is started anew. Empty for none.
	Race string
}

// Host keeps the servers of one lab below a folder: pid files in run, logs in log.
type Host struct {
	Root string
	Out  io.Writer // what a person reads
}

// Up starts what does not run, stage by stage, and waits until all of it is healthy.
func (h Host) Up(ctx context.Context, servers []Server) error {
	for _, stage := range Stages(servers) {
		g, ctx := errgroup.WithContext(ctx)
		for _, s := range stage {
			g.Go(func() error { return h.Start(ctx, s) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// Down stops the servers, those of the last stage first.
func (h Host) Down(ctx context.Context, servers []Server) error {
	var failed error
	for _, stage := range slices.Backward(Stages(servers)) {
		var g errgroup.Group
		for _, s := range stage {
			g.Go(func() error {
				if err := proc.Stop(ctx, h.PIDFile(s.Name), 30*time.Second); err != nil {
					return fmt.Errorf("stop %s: %w", s.Name, err)
				}
				return nil
			})
		}
		failed = errors.Join(failed, g.Wait())
	}
	return failed
}

// Stages groups servers that start together.
func Stages(servers []Server) [][]Server {
	var groups [][]Server
	for _, s := range servers {
		if n := len(groups); n == 0 || groups[n-1][0].Stage != s.Stage {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], s)
	}
	return groups
}

// Start prepares and starts one server if it does not run, waits for its health, and settles what it needs to be of use.
func (h Host) Start(ctx context.Context, s Server) error {
	began := time.Now()
	_, running, err := proc.Read(h.PIDFile(s.Name))
	if err != nil {
		return err
	}
	if err := h.begin(ctx, s, running); err != nil {
		return err
	}
	if s.Settle != nil {
		if err := s.Settle(ctx); err != nil {
			return fmt.Errorf("settle %s: %w", s.Name, err)
		}
	}
	if running {
		h.Sayf("%-24s runs", s.Name)
	} else {
		h.Sayf("%-24s started in %.1fs", s.Name, time.Since(began).Seconds())
	}
	return nil
}

// begin launches a server that does not run, and waits until it is well.
func (h Host) begin(ctx context.Context, s Server, running bool) error {
	for n := 0; ; n++ {
		var err error
		if n > 0 || !running {
			err = h.launch(ctx, s)
		}
		switch {
		case err == nil:
			err = h.await(ctx, s)
		case errors.Is(err, proc.ErrEnded): // before it could be waited for
			err = h.ended(s)
		default:
			return fmt.Errorf("start %s: %w", s.Name, err)
		}
		if !errors.Is(err, proc.ErrEnded) || n == retries || !h.raced(s) {
			return err
		}
		h.Sayf("%-24s lost a race against itself (%s) and is started anew", s.Name, s.Race)
	}
}

const retries = 3

// ended is the error of a server that has ended, with the end of its log.
func (h Host) ended(s Server) error {
	return fmt.Errorf("%s %w. The end of %s:\n%s", s.Name, proc.ErrEnded, h.LogFile(s.Name), proc.Tail(h.LogFile(s.Name), 20))
}

// raced says whether the log of a server that ended tells of its race.
func (h Host) raced(s Server) bool {
	log, err := os.ReadFile(h.LogFile(s.Name))
	return err == nil && s.Race != "" && strings.Contains(string(log), s.Race)
}

func (h Host) launch(ctx context.Context, s Server) error {
	for _, addr := range s.Listens {
		if err := free(ctx, addr); err != nil {
			return err
		}
	}
	if s.Prepare != nil {
		if err := s.Prepare(ctx); err != nil {
			return err
		}
	}
	_, err := proc.Start(proc.Spec{Args: s.Args, Env: s.Env, Dir: h.Root, Log: h.LogFile(s.Name), File: h.PIDFile(s.Name)})
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
		switch {
		case err == nil:
			return l.Close()
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return fmt.Errorf("this machine has no address %s; that of the bridge is there while the cluster is up: make cluster", addr)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another program listens on %s: the lab of another checkout, perhaps", addr)
		case <-tick.C:
		}
	}
}

// await asks the server how it is until it is well. One that ended, or takes too long, is an error with the end of its log.
func (h Host) await(ctx context.Context, s Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Healthy(ctx)
		if err == nil {
			return nil
		}
		_, running, _ := proc.Read(h.PIDFile(s.Name))
		if !running {
			return h.ended(s)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not healthy after %s: %w. The end of %s:\n%s",
				s.Name, s.Patience, err, h.LogFile(s.Name), proc.Tail(h.LogFile(s.Name), 20))
		case <-tick.C:
		}
	}
}

// Sayf tells a person what goes on. Whether it is read changes nothing.
func (h Host) Sayf(format string, args ...any) { _, _ = fmt.Fprintf(h.Out, format+"\n", args...) }

// PIDFile is the pid file of a server.
func (h Host) PIDFile(name string) string { return filepath.Join(h.Root, "run", name+".pid") }

// LogFile is the log of a server.
func (h Host) LogFile(name string) string { return filepath.Join(h.Root, "log", name+".log") }

// Lock keeps a second command off the same state.
func (h Host) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(h.Root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("another command is starting or stopping this lab")
	}
	return func() { _ = f.Close() }, nil
}
