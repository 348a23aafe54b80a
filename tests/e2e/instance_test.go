package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// instance is one process of one function.
type instance struct {
	name string
	url  string
	cmd  *exec.Cmd
	logs safeBuffer
}

// safeBuffer takes what a process writes while a test reads it.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// launch starts the program of a function. It ends with the test, and must end well.
func launch(t *testing.T, name string, env ...string) *instance {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(*functions, name))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	f := &instance{name: name, url: "http://127.0.0.1:" + port, cmd: exec.Command(program)}
	f.cmd.Env = append(append(os.Environ(), "PORT="+port, "ALMANAC_QUIET=0s"), env...)
	f.cmd.Stdout, f.cmd.Stderr = &f.logs, &f.logs
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.end(t) })
	return f
}

// startFunction starts the program of a function and waits until it is ready.
func startFunction(t *testing.T, name string, env ...string) *instance {
	t.Helper()
	f := launch(t, name, env...)
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if f.status("/readyz") == http.StatusOK {
			return f
		}
		if f.cmd.ProcessState != nil {
			break
		}
	}
	t.Fatalf("%s is not ready: %s", name, f.logs.String())
	return nil
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it is one
}

func (f *instance) status(path string) int {
	response, err := http.Get(f.url + path)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

func (f *instance) end(t *testing.T) {
	t.Helper()
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.AfterFunc(30*time.Second, func() { _ = f.cmd.Process.Kill() })
	defer limit.Stop()
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("%s should end well after SIGTERM: %v", f.name, err)
	}
	if t.Failed() {
		lines := strings.Split(f.logs.String(), "\n")
		t.Logf("the last of %s's log:\n%s", f.name, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
}

// post sends a CloudEvent in binary mode, and gives the answer's status and text.
func (f *instance) post(attributes map[string]string, data []byte) (int, string, error) {
	request, err := http.NewRequest(http.MethodPost, f.url, bytes.NewReader(data))
	if err != nil {
		return 0, "", err
	}
	for name, value := range attributes {
		if name == "content-type" {
			request.Header.Set("Content-Type", value)
		} else {
			request.Header.Set("ce-"+name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// ticks are what a PingSource sends.
var ticks = map[string]string{
	"specversion": "1.0", "id": "tick", "source": "/apis/v1/namespaces/default/pingsources/calendar", "type": "dev.knative.sources.ping",
	"content-type": "application/json",
}

func (f *instance) metric(t *testing.T, name string) string {
	t.Helper()
	response, err := http.Get(f.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			found = append(found, line)
		}
	}
	return fmt.Sprint(found)
}
