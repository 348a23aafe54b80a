// Package proc starts servers that outlive the command, and stops only those it started.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ID is one process for all time: process ids are used again, but not with the same start.
type ID struct {
	PID   int
	Start uint64 // in clock ticks since the machine's start: field 22 of /proc/<pid>/stat
}

// Spec is what to start.
type Spec struct {
	Args []string // the program and its arguments
	Env  []string // KEY=value, beside those of the caller
	Dir  string   // working folder
	Log  string   // file for both outputs; the log of the run before is kept beside it as <log>.1
	File string   // pid file
}

// ErrEnded says that a process has ended before it was of any use.
var ErrEnded = errors.New("ended")

// Start starts the process in a session of its own, so that it outlives the caller, and writes its pid file.
func Start(s Spec) (ID, error) {
	if err := os.Rename(s.Log, s.Log+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ID{}, err
	}
	out, err := os.OpenFile(s.Log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return ID{}, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), s.Env...), s.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return ID{}, fmt.Errorf("start %s: %w", s.Args[0], err)
	}
	id, err := Of(cmd.Process.Pid) // before anyone waits for it: until then its number is its own
	go func() { _ = cmd.Wait() }() // so that a child that ends while the caller runs is seen as gone
	if err != nil {
		return ID{}, fmt.Errorf("%s %w at once; its log: %s", s.Args[0], ErrEnded, s.Log)
	}
	return id, write(s.File, id)
}

// Of tells the identity of a running process, or an error that is fs.ErrNotExist.
func Of(pid int) (ID, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ID{}, err
	}
	state, start, err := parse(string(stat))
	if err != nil {
		return ID{}, err
	}
	if state == "Z" || state == "X" {
		return ID{}, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	return ID{PID: pid, Start: start}, nil
}

// parse reads state and start time.
func parse(stat string) (state string, start uint64, err error) {
	f, err := fields(stat)
	if err != nil {
		return "", 0, err
	}
	start, err = strconv.ParseUint(f[19], 10, 64)
	return f[0], start, err
}

// fields are those from the state on, which proc(5) counts as the third. The name before it, in brackets, may hold blanks and brackets itself.
func fields(stat string) ([]string, error) {
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 {
		return nil, fmt.Errorf("not a stat line: %q", stat)
	}
	return f, nil
}

// Read tells which process a pid file names, and whether that very process runs.
func Read(file string) (id ID, running bool, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return ID{}, false, nil
	}
	if err != nil {
		return ID{}, false, err
	}
	if _, err := fmt.Sscanf(string(b), "%d %d", &id.PID, &id.Start); err != nil {
		return ID{}, false, fmt.Errorf("pid file %s: %w", file, err)
	}
	return id, Running(id), nil
}

// Running reports whether the process runs, and not another with its number.
func Running(id ID) bool {
	now, err := Of(id.PID)
	return err == nil && now == id
}

func write(file string, id ID) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "%d %d\n", id.PID, id.Start), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// Kill sends SIGKILL to the process of a pid file and waits until it is gone. It is an error if it does not run.
func Kill(ctx context.Context, file string) (ID, error) {
	id, running, err := Read(file)
	if err != nil {
		return id, err
	}
	if !running {
		return id, errors.New("it does not run")
	}
	return id, end(ctx, id, syscall.SIGKILL, 10*time.Second)
}

// Signal sends a signal to the process of a pid file. It is an error if it does not run.
func Signal(file string, sig syscall.Signal) (ID, error) {
	id, running, err := Read(file)
	if err != nil {
		return id, err
	}
	if !running {
		return id, errors.New("it does not run")
	}
	return id, syscall.Kill(id.PID, sig)
}

// Stop ends the process of a pid file: SIGTERM, then SIGKILL after the grace. One that does not run counts as stopped.
func Stop(ctx context.Context, file string, grace time.Duration) error {
	id, running, err := Read(file)
	if err != nil {
		return err
	}
	if running {
		if err := end(ctx, id, syscall.SIGTERM, grace); err != nil {
			if err := end(ctx, id, syscall.SIGKILL, 10*time.Second); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func end(ctx context.Context, id ID, sig syscall.Signal, grace time.Duration) error {
	if err := syscall.Kill(id.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for Running(id) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d did not end within %s", id.PID, grace)
		case <-tick.C:
		}
	}
	return nil
}

// Under lists the running processes whose working folder lies under dir: the containers of a NodeManager, for example,
// whose ids nobody wrote down.
func Under(dir string) []ID {
	var ids []ID
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(cwd, dir+string(filepath.Separator)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			continue
		}
		if id, err := Of(pid); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// End kills the process, and waits until it is gone.
func End(ctx context.Context, id ID) error {
	if !Running(id) {
		return nil
	}
	return end(ctx, id, syscall.SIGKILL, 10*time.Second)
}

// Memory is the resident memory of a process in bytes, 0 if it does not run.
func Memory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// CPU is what a running process has used so far, all its threads together.
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f, err := fields(string(stat))
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(f[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	return time.Duration(user+system) * tick, err
}

// Tail is the end of a file: its last n lines, or why it cannot be read.
func Tail(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
