package envelope_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/lake"
	"github.com/almanac-data/almanac/functions/internal/secret/envelope"
	"github.com/almanac-data/almanac/functions/internal/secret/reference"
	"github.com/almanac-data/almanac/functions/internal/secret/vault"
	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

const windows = 12

// job is what a process of a test does until it is killed.
type job struct {
	Warehouse string   `json:"warehouse"`
	KeyFile   string   `json:"key_file"`
	Store     []string `json:"store"` // in place of the key file: URL, CA, role id and file of the secret id
	Rewrap    bool     `json:"rewrap"`
	Stop      int      `json:"stop"` // writes before the one at which it waits to be killed
}

// TestMain is that process, if a test has started it as such.
func TestMain(m *testing.M) {
	text := os.Getenv("ALMANAC_TEST_KILLED")
	if text == "" {
		os.Exit(m.Run())
	}
	var j job
	if err := errors.Join(json.Unmarshal([]byte(text), &j), j.run(context.Background())); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func (j job) open(ctx context.Context, stop int) (*envelope.Ring, func(), error) {
	warehouse, err := lake.Open(ctx, j.Warehouse)
	if err != nil {
		return nil, nil, err
	}
	ring := &envelope.Ring{Files: &stopping{Lake: warehouse, left: stop}}
	if j.Store == nil {
		ring.Wrapper, err = envelope.OpenFile(j.KeyFile)
		return ring, func() {}, err
	}
	cfg := vault.Config{
		Server: j.Store[0], CA: j.Store[1], RoleID: j.Store[2], SecretIDFile: j.Store[3], Refresh: vault.DefaultRefresh, Timeout: vault.DefaultTimeout,
	}
	store, err := vault.Open(ctx, cfg, "almanac", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	ring.Wrapper = envelope.Store{Transit: store, Of: reference.Key{Mount: "transit", Name: "almanac-rows"}}
	return ring, store.Close, nil
}

// login is as the operator.
func login(tb testing.TB, b *vaulttest.Bao) []string {
	tb.Helper()
	cfg := b.Config(tb, "almanac")
	return []string{cfg.Server, cfg.CA, cfg.RoleID, cfg.SecretIDFile}
}

func (j job) run(ctx context.Context) error {
	ring, done, err := j.open(ctx, j.Stop)
	if err != nil {
		return err
	}
	defer done()
	if j.Rewrap {
		_, err = ring.Rewrap(ctx, "shop")
		return err
	}
	_, err = ring.Ensure(ctx, "shop", "0")
	return err
}

// stopping says that it stops, and waits for ever, before one of its writes; less than 0 never.
type stopping struct {
	*lake.Lake

	left int
}

func (s *stopping) pass() {
	if s.left == 0 {
		fmt.Println("stopped")
		select {} // SIGKILL ends it
	}
	s.left--
}

func (s *stopping) WriteNew(ctx context.Context, name string, data []byte) error {
	s.pass()
	return s.Lake.WriteNew(ctx, name, data)
}

func (s *stopping) WriteFile(ctx context.Context, name string, data []byte) error {
	s.pass()
	return s.Lake.WriteFile(ctx, name, data)
}

// killed runs the job in a process of its own until it stops, and kills it.
func (j job) killed(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "ALMANAC_TEST_KILLED="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill() // SIGKILL
	_ = cmd.Wait()         // it was killed
	if line != "stopped\n" {
		t.Fatalf("the process says %q", line)
	}
}

// TestKilledBetweenTheDataKeyAndItsFile kills a process that has a data key and has not kept it: nothing was sealed by it, and the next makes another.
func TestKilledBetweenTheDataKeyAndItsFile(t *testing.T) {
	dir := t.TempDir()
	killedMaking(t, job{Warehouse: filepath.Join(dir, "warehouse"), KeyFile: filepath.Join(dir, "envelope.key")})
}

// TestRealKilledBetweenTheDataKeyAndItsFile has it from OpenBao.
func TestRealKilledBetweenTheDataKeyAndItsFile(t *testing.T) {
	b := vaulttest.Start(t)
	killedMaking(t, job{Warehouse: filepath.Join(t.TempDir(), "warehouse"), Store: login(t, b)})
	if made := strings.Count(b.Audit(t), `"path":"transit/datakey/plaintext/almanac-rows"`); made < 4 {
		t.Errorf("the audit log has %d lines of two data keys", made)
	}
}

func killedMaking(t *testing.T, j job) {
	t.Helper()
	j.killed(t)
	ring, done, err := j.open(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, err := ring.Key(t.Context(), "shop", "0"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Key after the kill: %v, want that there is none", err)
	}
	made, err := ring.Ensure(t.Context(), "shop", "0")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ring.Key(t.Context(), "shop", "0"); err != nil || again.Check() != made.Check() {
		t.Errorf("the key that was made then: %v", err)
	}
}

// TestKilledWhileKeysAreWrappedAnew kills the rewrapping at each of its writes.
func TestKilledWhileKeysAreWrappedAnew(t *testing.T) {
	dir := t.TempDir()
	j := job{Warehouse: filepath.Join(dir, "warehouse"), KeyFile: filepath.Join(dir, "envelope.key")}
	killedRewrapping(t, j, []int{0, 1, windows - 1}, func(turn int) {
		f, err := os.OpenFile(j.KeyFile, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintln(f, strings.Repeat(strconv.Itoa(turn), 64))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRealKilledWhileKeysAreWrappedAnew rotates a key of OpenBao, and disallows the version before in the end.
func TestRealKilledWhileKeysAreWrappedAnew(t *testing.T) {
	b := vaulttest.Start(t)
	j := job{Warehouse: filepath.Join(t.TempDir(), "warehouse"), Store: login(t, b)}
	killedRewrapping(t, j, []int{0, windows / 2}, func(int) { b.Call(t, "POST", "transit/keys/almanac-rows/rotate", nil) })
	ring, done, err := j.open(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	b.Call(t, "POST", "transit/keys/almanac-rows/config", map[string]any{"min_decryption_version": 3})
	for i := range windows {
		if _, err := ring.Key(t.Context(), "shop", strconv.Itoa(i)); err != nil {
			t.Errorf("the key of %d, with the old versions disallowed: %v", i, err)
		}
	}
}

func killedRewrapping(t *testing.T, j job, stops []int, rotate func(turn int)) {
	t.Helper()
	ring, done, err := j.open(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var checks []string
	for i := range windows {
		key, err := ring.Ensure(t.Context(), "shop", strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		checks = append(checks, key.Check())
	}
	same := func(when string) {
		t.Helper()
		for i, check := range checks {
			if key, err := ring.Key(t.Context(), "shop", strconv.Itoa(i)); err != nil || key.Check() != check {
				t.Fatalf("%s: the key of %d is another: %v", when, i, err)
			}
		}
	}
	for turn, stop := range stops {
		rotate(turn + 1)
		j.Rewrap, j.Stop = true, stop
		j.killed(t)
		same("killed")
		sum, err := ring.Rewrap(t.Context(), "shop")
		if want := (envelope.Rewrapped{Keys: windows, Changed: windows - stop, Version: turn + 2}); err != nil || sum != want {
			t.Errorf("killed after %d: Rewrap() = %+v, %v, want %+v", stop, sum, err, want)
		}
		same("gone on")
	}
}
