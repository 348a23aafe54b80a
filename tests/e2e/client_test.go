package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/internal/box"
)

// client asks the API, and knows nothing of it but HTTP.
type client struct {
	base string
	http http.Client
}

// answered is an answer, read whole.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// serving starts a run that serves, and gives a client of it.
func serving(t *testing.T, b box.Box) *client {
	t.Helper()
	running, err := b.Start("run", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if result := running.Stop(); result.Code != 0 {
			t.Errorf("the server should end well after Ctrl-C: %s", result)
		}
	})
	found, err := running.Await(`Serving on (http://\S+)`, patience)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: found[1]}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// do sends a request with headers given as name and value in turn.
func (c *client) do(t *testing.T, method, path string, headers ...string) answered {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answered{response.StatusCode, response.Header, body}
}

// get asks for what must be there.
func (c *client) get(t *testing.T, path string, headers ...string) answered {
	t.Helper()
	a := c.do(t, http.MethodGet, path, headers...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s is answered by %d: %s", path, a.status, a.body)
	}
	return a
}

// into decodes the JSON at a path.
func (c *client) into(t *testing.T, path string, value any) {
	t.Helper()
	a := c.get(t, path, "Accept", "application/json")
	if err := json.Unmarshal(a.body, value); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, a.body)
	}
}

// problem asks for what must be refused, as a problem detail (RFC 9457) that names the field.
func (c *client) problem(t *testing.T, method, path string, status int, field string, headers ...string) {
	t.Helper()
	a := c.do(t, method, path, headers...)
	var p struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Field  string `json:"field"`
	}
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Status != status || p.Field != field || p.Detail == "" || p.Title == "" {
		t.Errorf("%s %s is answered by %d: %s; want a problem with status %d and field %q", method, path, a.status, a.body, status, field)
	}
	if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "application/problem+json") {
		t.Errorf("%s %s: Content-Type %q, want application/problem+json", method, path, got)
	}
}
