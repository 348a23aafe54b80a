package hdfs_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// lab is the plain lab whose env file ALMANAC_TEST_HDFS_LAB names: these tests hurt its servers, and heal them.
type lab map[string]string

func broken(t *testing.T, test func(t *testing.T, l lab, cfg hdfs.Config)) {
	t.Helper()
	name := os.Getenv("ALMANAC_TEST_HDFS_LAB")
	if name == "" {
		t.Skip("hurts servers: set ALMANAC_TEST_HDFS_LAB to the env file of a plain lab that runs")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := lab{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		l[key] = value
	}
	both(t, func(t *testing.T, cfg hdfs.Config) {
		cfg.Replication, cfg.Timeout, cfg.Patience = 2, 2*time.Second, 5*time.Second
		test(t, l, cfg)
	})
}

// java runs a program of Hadoop as the superuser, and returns what it says.
func (l lab) java(t *testing.T, class string, args ...string) string {
	t.Helper()
	cmd := exec.Command("java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", l["HADOOP_CLASSPATH"], class}, args...)...)
	cmd.Env = append(os.Environ(), "HADOOP_USER_NAME=operator")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", class, args, err, out)
	}
	return string(out)
}

// admin runs hdfs dfsadmin.
func (l lab) admin(t *testing.T, args ...string) {
	t.Helper()
	l.java(t, "org.apache.hadoop.hdfs.tools.DFSAdmin", args...)
}

// pid is the number of a server's process, by its pid file.
func (l lab) pid(t *testing.T, server string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l["LAB_ROOT"], "run", server+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	number, _, _ := strings.Cut(string(text), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid < 2 {
		t.Fatalf("pid file of %s: %q, %v", server, text, err)
	}
	return pid
}

// says holds that an error names each of some texts.
func says(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not name %q: %v", text, err)
		}
	}
}

// holds reads a file, which must have these bytes.
func holds(t *testing.T, f *hdfs.FS, name string, want []byte) {
	t.Helper()
	if got, err := fsys.ReadFile(f, name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, want %d as they were written: %v", name, len(got), len(want), err)
	}
}

// warehouse is a folder with a file in it.
func warehouse(t *testing.T, cfg hdfs.Config) (f *hdfs.FS, dir string, data []byte) {
	t.Helper()
	dir = folder(t, cfg)
	f = openAt(t, dir, cfg)
	data = []byte(rand.Text())
	if err := fsys.WriteFile(f, "old", data); err != nil {
		t.Fatal(err)
	}
	return f, dir, data
}

func TestAFullQuotaIsToldAtOnce(t *testing.T) {
	broken(t, func(t *testing.T, l lab, cfg hdfs.Config) {
		for name, c := range map[string]struct{ set, clear []string }{
			"of names": {[]string{"-setQuota", "2"}, []string{"-clrQuota"}},
			"of space": {[]string{"-setSpaceQuota", "1m"}, []string{"-clrSpaceQuota"}},
		} {
			t.Run(name, func(t *testing.T) {
				f, dir, old := warehouse(t, cfg)
				l.admin(t, append(c.set, dir)...)
				began := time.Now()
				err := fsys.WriteFile(f, "new", make([]byte, 6<<20))
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("it took %s to refuse what no retry helps", took)
				}
				says(t, err, dir+"/new", c.set[0], "hdfs dfsadmin")
				if _, err := f.Stat("new"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a file that did not fit is left behind: %v", err)
				}
				holds(t, f, "old", old)
				l.admin(t, append(c.clear, dir)...)
				if err := fsys.WriteFile(f, "new", old); err != nil {
					t.Errorf("once there is room: %v", err)
				}
			})
		}
	})
}

func TestSafeModeIsWaitedFor(t *testing.T) {
	broken(t, func(t *testing.T, l lab, cfg hdfs.Config) {
		f, dir, old := warehouse(t, cfg)
		l.admin(t, "-safemode", "enter")
		t.Cleanup(func() { l.admin(t, "-safemode", "leave") })
		says(t, fsys.WriteFile(f, "new", old), dir+"/new", "safe mode", "gave up after 5s", "hdfs dfsadmin -safemode get")
		holds(t, f, "old", old)
		cfg.Patience = time.Minute
		patient := openAt(t, dir, cfg)
		written := make(chan error, 1)
		go func() { written <- fsys.WriteFile(patient, "later", old) }()
		l.admin(t, "-safemode", "leave")
		if err := <-written; err != nil {
			t.Errorf("a write that began in safe mode: %v", err)
		}
		holds(t, f, "later", old)
	})
}

func TestASilentNameNodeIsNamed(t *testing.T) {
	broken(t, func(t *testing.T, l lab, cfg hdfs.Config) {
		f, dir, old := warehouse(t, cfg)
		pid := l.pid(t, "namenode")
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		awake := false
		wake := func() {
			if !awake {
				awake = true
				sound(t, syscall.Kill(pid, syscall.SIGCONT))
			}
		}
		t.Cleanup(wake)
		began := time.Now()
		says(t, fsys.WriteFile(f, "new", old), dir+"/new", "gave up after 5s")
		says(t, f.RenameNew("old", "moved"), dir+"/old", "gave up after 5s")
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("two operations took %s, want their patience", took)
		}
		_, err := hdfs.Open(t.Context(), f.URI("."), cfg)
		t.Logf("open: %v", err)
		cfg.Patience = time.Minute
		wake()
		// What was asked for may arrive late: the file has one of its names, and its bytes.
		patient := openAt(t, dir, cfg)
		time.Sleep(time.Second)
		_, there := patient.Stat("old")
		_, moved := patient.Stat("moved")
		if (there == nil) == (moved == nil) {
			t.Errorf("the file is at both names, or at none: %v, %v", there, moved)
		}
		name := "old"
		if moved == nil {
			name = "moved"
		}
		holds(t, patient, name, old)
	})
}

func sound(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestACorruptReplicaIsPassedOver(t *testing.T) {
	broken(t, func(t *testing.T, l lab, cfg hdfs.Config) {
		cfg.Timeout, cfg.Patience = 10*time.Second, 30*time.Second
		f := openAt(t, folder(t, cfg), cfg)
		for _, server := range []string{"datanode1", "datanode2"} {
			data := make([]byte, 3<<20)
			_, _ = rand.Read(data)
			if err := fsys.WriteFile(f, server, data); err != nil {
				t.Fatal(err)
			}
			replica := find(t, filepath.Join(l["LAB_ROOT"], "data", server), data)
			rot, err := os.OpenFile(replica, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = rot.WriteAt([]byte("rotten"), 2<<20)
			sound(t, errors.Join(err, rot.Close()))
			for range 4 { // the first DataNode is one of the two by chance
				holds(t, f, server, data)
			}
		}
	})
}

// find finds the block file of a DataNode that has these bytes.
func find(t *testing.T, dir string, data []byte) (found string) {
	t.Helper()
	sound(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasPrefix(e.Name(), "blk_") || strings.HasSuffix(e.Name(), ".meta") {
			return nil //nolint:nilerr // blocks come and go
		}
		if info, err := e.Info(); err == nil && info.Size() == int64(len(data)) {
			if text, err := os.ReadFile(name); err == nil && bytes.Equal(text, data) {
				found = name
			}
		}
		return nil
	}))
	if found == "" {
		t.Fatalf("no block below %s has the bytes", dir)
	}
	return found
}
