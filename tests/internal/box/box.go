// Package box runs the almanac command on a data folder, as a user does, and reads what it prints.
package box

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Box is an almanac command, a folder of datasets, and a data folder or a cluster.
type Box struct {
	Binary   string
	Datasets string
	Data     string
	Config   string   // file of a cluster, in place of a data folder
	Env      []string // added to the environment
}

// Result is how a command ended.
type Result struct {
	Out, Err string
	Code     int // -1 if a signal ended it
	Wall     time.Duration
	CPU      time.Duration
	PeakRSS  int64 // bytes
}

// Text is all that was printed.
func (r Result) Text() string { return r.Out + r.Err }

// String is for messages of tests.
func (r Result) String() string {
	return fmt.Sprintf("exit %d after %.1fs\n%s%s", r.Code, r.Wall.Seconds(), r.Out, r.Err)
}

// Running is a command that runs, in a process group of its own.
type Running struct {
	cmd    *exec.Cmd
	began  time.Time
	out    lines
	errs   bytes.Buffer
	ended  chan struct{}
	result Result
}

// Start starts a command of almanac.
func (b Box) Start(args ...string) (*Running, error) {
	where := []string{"--data", b.Data, "--datasets", b.Datasets}
	if b.Config != "" {
		where = []string{"--config", b.Config, "--datasets", b.Datasets}
	}
	cmd := exec.Command(b.Binary, append(args, where...)...)
	cmd.Env = append(os.Environ(), b.Env...)
	return Start(cmd)
}

// Start starts any command. On Linux it is killed when this process ends, whatever ends that: it would share the groups of the next test's.
func Start(cmd *exec.Cmd) (*Running, error) {
	r := &Running{began: time.Now(), ended: make(chan struct{}), cmd: cmd}
	r.out.more = make(chan struct{}, 1)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(r.cmd.SysProcAttr)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go r.wait()
	return r, nil
}

func (r *Running) wait() {
	err := r.cmd.Wait()
	state := r.cmd.ProcessState
	r.result = Result{Out: r.out.text(), Err: r.errs.String(), Code: state.ExitCode(), Wall: time.Since(r.began), CPU: state.UserTime() + state.SystemTime()}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.result.PeakRSS = usage.Maxrss << 10
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		r.result.Err += err.Error()
	}
	r.out.end()
	close(r.ended)
}

// PID is the number of the command's process.
func (r *Running) PID() int { return r.cmd.Process.Pid }

// Ended is closed once the command has ended.
func (r *Running) Ended() <-chan struct{} { return r.ended }

// Result waits for the end.
func (r *Running) Result() Result {
	<-r.ended
	return r.result
}

// Signal sends a signal to the command's process group. SIGKILL is what kill -9 sends.
func (r *Running) Signal(s syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, s) }

// Stop interrupts the command as Ctrl-C does, and waits; after ten seconds it kills.
func (r *Running) Stop() Result {
	r.Signal(syscall.SIGINT)
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.Signal(syscall.SIGKILL)
	}
	return r.Result()
}

// Await waits until what is printed matches, and gives the submatches.
func (r *Running) Await(pattern string, within time.Duration) ([]string, error) {
	re := regexp.MustCompile(pattern)
	limit := time.After(within)
	for {
		if found := re.FindStringSubmatch(r.out.text()); found != nil {
			return found, nil
		}
		select {
		case <-r.out.more:
		case <-r.ended:
			if found := re.FindStringSubmatch(r.out.text()); found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("it ended without printing %q: %s", pattern, r.Result())
		case <-limit:
			return nil, fmt.Errorf("it has not printed %q within %s: %s", pattern, within, r.out.text())
		}
	}
}

// Run runs a command of almanac to its end. When ctx ends first, it is killed.
func (b Box) Run(ctx context.Context, args ...string) (Result, error) {
	r, err := b.Start(args...)
	if err != nil {
		return Result{}, err
	}
	return r.Within(ctx)
}

// Within waits for the end. When ctx ends first, the command is killed.
func (r *Running) Within(ctx context.Context) (Result, error) {
	select {
	case <-r.ended:
		return r.Result(), nil
	case <-ctx.Done():
		r.Signal(syscall.SIGKILL)
		return r.Result(), fmt.Errorf("%s: %w: %s", strings.Join(r.cmd.Args, " "), context.Cause(ctx), r.Result())
	}
}

// JSON runs a command that must end with one of the codes (0 if none is given), and decodes what it prints.
func (b Box) JSON(ctx context.Context, into any, args []string, codes ...int) error {
	result, err := b.Run(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	ok := len(codes) == 0 && result.Code == 0
	for _, c := range codes {
		ok = ok || c == result.Code
	}
	if !ok {
		return fmt.Errorf("almanac %s: %s", strings.Join(args, " "), result)
	}
	d := json.NewDecoder(strings.NewReader(result.Out))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("almanac %s --json: %w: %s", strings.Join(args, " "), err, result)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("almanac %s --json prints more than one document: %s", strings.Join(args, " "), result.Out)
	}
	return nil
}

// lines is what a command has printed so far.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.buf.Write(p)
	l.mu.Unlock()
	l.end()
	return len(p), nil
}

// end wakes whoever waits for more.
func (l *lines) end() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Lines splits what was printed, without empty lines.
func Lines(text string) (all []string) {
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			all = append(all, line)
		}
	}
	return all
}
