package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPortTaken(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address := l.Addr().String()
	contains(t, "run", run(t, s.Box, 1, "run", "--listen", address).Err, address, "another program uses this port", "--listen")
	contains(t, "doctor", run(t, s.Box, 1, "doctor", "--listen", address).Out, "FAIL", address)
	s.run(t, 0)
	s.finished(t, all(nil))
}

func TestFolderOfAnotherVersion(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(t, 0)
	name := filepath.Join(s.Data, "almanac.json")
	mine, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(`{"format": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "--no-serve"}, {"status"}} {
		contains(t, args[0], run(t, s.Box, 1, args...).Err, s.Data, "format 99", "use the version that made it")
	}
	contains(t, "doctor", run(t, s.Box, 1, "doctor", "--listen", "127.0.0.1:0").Out, "FAIL", "format 99")
	if err := os.WriteFile(name, mine, 0o644); err != nil {
		t.Fatal(err)
	}
	idle(t, s)
	s.finished(t, all(nil))
}

func TestFolderOfSomethingElse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if err := os.MkdirAll(s.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Data, "thesis.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, "run", run(t, s.Box, 1, "run", "--no-serve").Err, s.Data, "thesis.txt", "empty folder")
}

// TestFolderInUse starts a second run beside one that serves; the commands that only look go through the first.
func TestFolderInUse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first, err := s.Start("run", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()
	if _, err := first.Await(`Serving on (\S+)`, patience); err != nil {
		t.Fatal(err)
	}
	contains(t, "a second run", run(t, s.Box, 1, "run", "--no-serve").Err, s.Data, "in use", "process", "stop it")
	s.finished(t, all(nil))
	run(t, s.Box, 0, "doctor", "--listen", "127.0.0.1:0")
	if result := first.Stop(); result.Code != 0 {
		t.Errorf("Ctrl-C while serving should end with 0: %s", result)
	}
	s.finished(t, all(nil))
}

// TestInterrupted presses Ctrl-C during the work, and goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for {
		running, err := s.Start("run", "--no-serve")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = running.Await(`collect \d`, time.Minute) // it minds Ctrl-C by then
		select {
		case <-running.Ended():
			if result := running.Result(); result.Code != 0 {
				t.Fatalf("run: %s", result)
			}
			s.finished(t, all(nil))
			return
		case <-time.After(700 * time.Millisecond):
		}
		if result := running.Stop(); result.Code == 1 {
			contains(t, "an interrupted run", result.Err, "interrupted", "goes on where this one was")
		} else if result.Code != 0 {
			t.Fatalf("an interrupted run: %s", result)
		}
	}
}

// TestFullDisk replays on a small file system that something else fills meanwhile, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	command(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	s := newShop(t)
	disk := filepath.Dir(s.Data) + "/disk"
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s.Data = filepath.Join(disk, "data")
	running, err := s.Start("run", "--no-serve")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := running.Await("collect 0/14", patience); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(disk, "filler")
	err = os.WriteFile(filler, make([]byte, size), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk should be full: %v", err)
	}
	result, err := running.Within(patient(t))
	if err != nil || result.Code != 1 {
		t.Fatalf("want exit 1: %v: %s", err, result)
	}
	contains(t, "the run", result.Err, "no space left on device", disk, "make room")
	contains(t, "a run on the full disk", run(t, s.Box, 1, "run", "--no-serve").Err, "no space left on device", disk, "make room")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0)
	s.finished(t, all(nil))
}

// TestBrokenDefinition has a mistake in each file of a dataset: the message names file and line, and what is to be done.
func TestBrokenDefinition(t *testing.T) {
	for name, c := range map[string]struct {
		file, old, text string
		tells           []string
	}{
		"a rule that is not supported": {
			"contract.yaml", "logicalTypeOptions: {minimum: 0, maximum: 1000}", "logicalTypeOptions: {minimum: 0, multipleOf: 5}",
			[]string{"shop/contract.yaml:21", "multipleOf", "not supported"},
		},
		"a slip of the pen in the pipeline": {
			"pipeline.yaml", "lateness: 0d", "latenes: 0d", []string{"shop/pipeline.yaml:7", "latenes", "use one of"},
		},
		"YAML that is none": {
			"pipeline.yaml", "collect:", "collect: [", []string{"shop/pipeline.yaml:"},
		},
		"a query that is missing": {
			"pipeline.yaml", "sql: releases/training.sql", "sql: releases/trainings.sql", []string{"shop/pipeline.yaml:21", "trainings.sql"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.replace(t, c.file, c.old, c.text)
			contains(t, "run", run(t, s.Box, 1, "run", "--no-serve").Err, c.tells...)
			contains(t, "doctor", run(t, s.Box, 1, "doctor", "--listen", "127.0.0.1:0").Out, append(c.tells, "FAIL")...)
			s.replace(t, c.file, c.text, c.old)
			s.run(t, 0)
			s.finished(t, all(nil))
		})
	}
}

// TestBrokenSQL has a query that the engine does not understand: what does not need it goes on.
func TestBrokenSQL(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.replace(t, "aggregates/shop_weekly.sql", "sum(units)", "sum(unitts)")
	contains(t, "doctor", run(t, s.Box, 1, "doctor", "--listen", "127.0.0.1:0").Out, "FAIL", "shop_weekly.sql", "unitts")
	s.run(t, 3)
	week := status(t, s.Box).Find("aggregate", "shop_weekly", "2024-W01")
	if week.Phase != "stopped" {
		t.Errorf("the week is %s, want stopped", week.Phase)
	}
	contains(t, "the reason", week.Why, "shop_weekly.sql", "unitts")
	s.holds(t, all(nil))
	s.replace(t, "aggregates/shop_weekly.sql", "sum(unitts)", "sum(units)")
	s.run(t, 0)
	s.finished(t, all(nil))
}

// TestWrongUse has exit code 2 and a way to help for what cannot be meant.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, args := range [][]string{{"run", "--too", "2024-01-01"}, {"run", "--to", "yesterday"}, {"releases", "show"}, {"run", "more"}, {"quarantine", "show", "shop"}} {
		result := run(t, s.Box, 2, args...)
		if !strings.Contains(result.Err, "almanac: ") || len(strings.Split(strings.TrimSpace(result.Err), "\n")) > 2 {
			t.Errorf("almanac %v should say in a line what is wrong: %s", args, result)
		}
	}
	contains(t, "status", run(t, s.Box, 1, "status").Err, s.Data, "almanac run --data")
}
