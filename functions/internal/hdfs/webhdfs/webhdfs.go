// Package webhdfs speaks to HDFS by WebHDFS, which is HTTP: the verbs that the RPC library lacks, and all others for clusters whose
// networks may not see names in clear.
//
// It follows the redirections from NameNode to DataNode itself, logs in by SPNEGO, and never sends a change twice by itself.
// A Client is safe for concurrent use.
package webhdfs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/almanac-data/almanac/functions/internal/hdfs/deadline"
	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Config says how to reach the NameNodes and how files are made.
type Config struct {
	URLs        []string      // of NameNodes: http://host:port or https://host:port; the one that is not in standby is found
	TLS         *tls.Config   // nil for the system's certificate authorities
	User        string        // without Kerberos
	Kerberos    *krb.Client   // the service is HTTP/<host>
	Replication int           // of files
	BlockSize   int64         // of files, in bytes
	Modes       remote.Modes  // of what is made
	Timeout     time.Duration // of each connection, read and write
}

// Client reaches the NameNodes. Close ends its connections.
type Client struct {
	cfg    Config
	http   *http.Client
	dialer *deadline.Dialer
	active atomic.Int32 // index of the NameNode that answered last
}

// New returns a client; nothing is sent yet.
func New(cfg Config) *Client {
	d := &deadline.Dialer{Timeout: cfg.Timeout}
	return &Client{cfg: cfg, dialer: d, http: &http.Client{
		Transport: &http.Transport{
			DialContext:         d.Dial,
			TLSClientConfig:     cfg.TLS,
			MaxIdleConnsPerHost: 8,
			DisableCompression:  true,
			ForceAttemptHTTP2:   false, // Hadoop's servers speak HTTP/1.1
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends the connections.
func (c *Client) Close() { c.dialer.Close() }

// ask sends a request without a body to the active NameNode, and to the next one if it is in standby or cannot be reached.
// The caller closes the body of the answer, which is a success or a redirection.
func (c *Client) ask(ctx context.Context, method, name string, query url.Values) (*http.Response, error) {
	var earlier string
	first := c.active.Load()
	for i := range c.cfg.URLs {
		at := (int(first) + i) % len(c.cfg.URLs)
		resp, err := c.send(ctx, method, c.at(c.cfg.URLs[at], name, query), nil)
		if err == nil {
			c.active.Store(int32(at))
			return resp, nil
		}
		if _, answered := errors.AsType[*remote.Error](err); !answered {
			c.active.Store(int32((at + 1) % len(c.cfg.URLs))) // for the next request: this one may hang again
		}
		if !next(err) || i == len(c.cfg.URLs)-1 {
			// What the last one said decides; of those before it is known that they did nothing.
			return nil, fmt.Errorf("%w%s", err, earlier)
		}
		earlier += fmt.Sprintf(" (before that: %s)", err)
	}
	return nil, errors.New("no WebHDFS address is set")
}

// next says whether the request was certainly not done and another NameNode may do it.
func next(err error) bool {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e.Class == "StandbyException"
	}
	return !remote.Unclear(err)
}

func (c *Client) at(base, name string, query url.Values) string {
	if c.cfg.Kerberos == nil {
		query.Set("user.name", c.cfg.User)
	}
	path := &url.URL{Path: "/webhdfs/v1" + name, RawQuery: query.Encode()}
	return strings.TrimSuffix(base, "/") + path.String()
}

// send sends one request once.
func (c *Client) send(ctx context.Context, method, to string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, &remote.UnsentError{Err: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream") // CREATE demands it (HDFS-6143)
	}
	if c.cfg.Kerberos != nil && !req.URL.Query().Has("delegation") { // which a redirection carries
		if err := spnego.SetSPNEGOHeader(c.cfg.Kerberos, req, "HTTP/"+req.URL.Hostname()); err != nil {
			return nil, &remote.UnsentError{Err: fmt.Errorf("log in by Kerberos to HTTP/%s: %w", req.URL.Hostname(), err)}
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok { // its text holds the whole URL, which may hold a delegation token
			err = u.Err
		}
		err = fmt.Errorf("WebHDFS %s %s at %s: %w", method, req.URL.Query().Get("op"), req.URL.Host, err)
		if errors.Is(err, http.ErrSchemeMismatch) {
			return nil, &remote.UnsentError{Err: fmt.Errorf("%w; that port speaks HTTP: write http:// in ALMANAC_HDFS_WEB, or name the port of dfs.namenode.https-address", err)}
		}
		if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
			return nil, &remote.UnsentError{Err: fmt.Errorf("%w; see the clock of this machine, and the certificate of %s (ALMANAC_HDFS_WEB)", err, req.URL.Host)}
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nil, &remote.UnsentError{Err: err}
		}
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		err := exception(resp)
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

// exception reads what an error answer says.
func exception(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read answer of status %d: %w", resp.StatusCode, err)
	}
	var answer struct {
		RemoteException struct {
			Exception string `json:"exception"`
			Message   string `json:"message"`
		} `json:"RemoteException"`
	}
	if json.Unmarshal(data, &answer) == nil && answer.RemoteException.Exception != "" {
		return remote.NewError(answer.RemoteException.Exception, answer.RemoteException.Message)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return remote.NewError("AuthorizationException", fmt.Sprintf("WebHDFS answers %s; see the keytab, the principal and the clocks", resp.Status))
	}
	// Not from HDFS itself, as from a proxy: what happened behind it is not known.
	return fmt.Errorf("WebHDFS answers %s: %.200q", resp.Status, data)
}

// call asks and decodes the answer, if there is something to decode it into.
func (c *Client) call(method, name string, query url.Values, answer any) (err error) {
	// Each of them may take the whole time-out to be dialled.
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout*time.Duration(1+len(c.cfg.URLs)))
	defer cancel()
	resp, err := c.ask(ctx, method, name, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("read answer of %s: %w", query.Get("op"), err)
	}
	return nil
}
