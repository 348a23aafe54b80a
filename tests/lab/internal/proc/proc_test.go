package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseReadsPastANameWithBrackets(t *testing.T) {
	stat := "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"
	state, start, err := parse(stat)
	if err != nil || state != "S" || start != 987654 {
		t.Fatalf("parse = %q, %d, %v, want S, 987654, nil", state, start, err)
	}
	if _, _, err := parse("42 (a) S 1"); err == nil {
		t.Error("parse of a short line gave no error")
	}
}

func start(t *testing.T, args ...string) (ID, Spec) {
	t.Helper()
	dir := t.TempDir()
	s := Spec{Args: args, Dir: dir, Log: filepath.Join(dir, "log"), File: filepath.Join(dir, "pid")}
	id, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Stop(t.Context(), s.File, time.Second) })
	return id, s
}

func TestStopEndsWhatWasStarted(t *testing.T) {
	id, s := start(t, "sleep", "60")
	got, running, err := Read(s.File)
	if err != nil || !running || got != id {
		t.Fatalf("Read = %v, %v, %v, want %v, true, nil", got, running, err, id)
	}
	if Memory(id.PID) == 0 {
		t.Error("Memory of a running process is 0")
	}
	if err := Stop(t.Context(), s.File, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if Running(id) {
		t.Error("the process runs after Stop")
	}
	if err := Stop(t.Context(), s.File, time.Second); err != nil {
		t.Errorf("a second Stop = %v, want nil", err)
	}
}

func TestCPUCountsWhatAProcessComputes(t *testing.T) {
	busy, _ := start(t, "sh", "-c", "while true; do :; done")
	idle, _ := start(t, "sleep", "60")
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		used, err := CPU(busy.PID)
		if err != nil {
			t.Fatal(err)
		}
		if used >= 100*time.Millisecond {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("CPU of a process that computes all the time is %s after a minute", used)
		}
	}
	if used, err := CPU(idle.PID); err != nil || used >= 100*time.Millisecond {
		t.Errorf("CPU of a process that sleeps = %s, %v", used, err)
	}
}

func TestSignalReachesWhatWasStarted(t *testing.T) {
	id, s := start(t, "sleep", "60")
	for _, want := range []struct {
		signal syscall.Signal
		state  string
	}{{syscall.SIGSTOP, "T"}, {syscall.SIGCONT, "S"}} {
		if got, err := Signal(s.File, want.signal); err != nil || got != id {
			t.Fatalf("Signal = %v, %v, want %v", got, err, id)
		}
		for limit := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			state, _, err := parse(string(stat))
			if err == nil && state == want.state {
				break
			}
			if err != nil || time.Now().After(limit) {
				t.Fatalf("after %v its state is %s, %v, want %s", want.signal, state, err, want.state)
			}
		}
	}
	if _, err := Signal(filepath.Join(t.TempDir(), "none"), syscall.SIGCONT); err == nil {
		t.Error("Signal to what does not run gave no error")
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	id, s := start(t, "sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.05; done")
	for !strings.Contains(Tail(s.Log, 1), "ready") {
		time.Sleep(10 * time.Millisecond)
	}
	if err := Stop(t.Context(), s.File, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if Running(id) {
		t.Error("the process runs after Stop")
	}
}

func TestAProcessThatTookOverTheNumberIsLeftAlone(t *testing.T) {
	id, s := start(t, "sleep", "60")
	stale := filepath.Join(s.Dir, "stale")
	if err := write(stale, ID{PID: id.PID, Start: id.Start - 1}); err != nil {
		t.Fatal(err)
	}
	if _, running, err := Read(stale); running || err != nil {
		t.Errorf("Read = %v, %v, want false, nil", running, err)
	}
	if _, err := Kill(t.Context(), stale); err == nil {
		t.Error("Kill of a process that was not started gave no error")
	}
	if err := Stop(t.Context(), stale, time.Second); err != nil {
		t.Fatal(err)
	}
	if !Running(id) {
		t.Error("Stop ended a process that it had not started")
	}
}

func TestReadOfABrokenPIDFileIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(file); err == nil {
		t.Error("Read of a pid file without a start time gave no error")
	}
}

func TestUnderFindsProcessesByTheirFolder(t *testing.T) {
	_, s := start(t, "sleep", "60")
	if err := Stop(t.Context(), s.File, time.Second); err != nil {
		t.Fatal(err)
	}
	s.Dir = filepath.Join(s.Dir, "in", "here")
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	got := Under(filepath.Dir(s.Dir))
	if len(got) != 1 || got[0] != id {
		t.Fatalf("Under = %v, want %v alone", got, id)
	}
	if err := End(t.Context(), got[0]); err != nil || Running(id) {
		t.Errorf("End = %v, running %v, want nil, false", err, Running(id))
	}
}

func TestTheLogOfTheRunBeforeIsKept(t *testing.T) {
	_, s := start(t, "sh", "-c", "echo one; exec sleep 60")
	for !strings.Contains(Tail(s.Log, 1), "one") {
		time.Sleep(10 * time.Millisecond)
	}
	if err := Stop(t.Context(), s.File, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Spec{Args: []string{"sleep", "60"}, Dir: s.Dir, Log: s.Log, File: s.File}); err != nil {
		t.Fatal(err)
	}
	if got := Tail(s.Log+".1", 5); got != "one" {
		t.Errorf("the log of the run before holds %q, want one", got)
	}
}
