package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/almanac-data/almanac/functions/internal/certs"
)

// Client is logged in to the store, and stays so: its token is renewed while it can be, and when that ends it logs in again, with what the
// files of its credentials hold then. It is safe for concurrent use.
type Client struct {
	cfg  Config
	name string
	log  *slog.Logger
	api  *api.Client
	pool *http.Transport

	mu     sync.Mutex       // of logging in
	fresh  chan *api.Secret // a login that was not the keeper's
	broken error            // why the last login failed
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Open logs in under the name of a function. Close ends it.
func Open(ctx context.Context, cfg Config, name string, log *slog.Logger) (*Client, error) {
	if err := cfg.required(); err != nil {
		return nil, err
	}
	servers, malformed := cfg.servers()
	if malformed {
		return nil, cfg.Check()
	}
	transport, err := newTransport(cfg, cfg.Timeout/time.Duration(len(servers)))
	if err != nil {
		return nil, err
	}
	conf := &api.Config{
		Address: servers[0].String(), Timeout: cfg.Timeout, MaxRetries: 2, MinRetryWait: 100 * time.Millisecond, MaxRetryWait: time.Second,
		HttpClient: &http.Client{
			Transport:     &several{next: transport, servers: servers},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the library follows those of a standby
		},
	}
	client, err := api.NewClient(conf)
	if err != nil {
		return nil, fmt.Errorf("open the secrets store: %w", err)
	}
	client.ClearToken() // that of a person's environment is not the function's
	client.ClearNamespace()
	c := &Client{cfg: cfg, name: name, log: log, api: client, pool: transport, fresh: make(chan *api.Secret, 1)}
	login, err := c.login(ctx)
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.ended.Go(func() { c.keep(background, login) })
	return c, nil
}

// newTransport reads the authorities again with each new connection, which takes no longer than reach.
func newTransport(cfg Config, reach time.Duration) (*http.Transport, error) {
	t := &http.Transport{DialContext: (&net.Dialer{Timeout: reach}).DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: cfg.Timeout}
	authorities := &certs.Authorities{File: cfg.CA}
	conf := func() (*tls.Config, error) {
		of := &tls.Config{MinVersion: tls.VersionTLS13}
		if cfg.CA == "" {
			return of, nil
		}
		var err error
		if of.RootCAs, err = authorities.Pool(); err != nil {
			return nil, fmt.Errorf("read ALMANAC_VAULT_CA: %w", err)
		}
		return of, nil
	}
	if _, err := conf(); err != nil {
		return nil, err
	}
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		of, err := conf()
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: reach}, Config: of}).DialContext(ctx, network, address)
	}
	return t, nil
}

// pauses between attempts to log in again.
const (
	firstPause = time.Second
	longPause  = 30 * time.Second
)

// keep renews the token of a login while that works, and then logs in again, until ctx ends.
func (c *Client) keep(ctx context.Context, login *api.Secret) {
	for login != nil {
		watcher, err := c.api.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: login})
		if err != nil {
			c.log.Error("secrets store token not renewed", "error", err.Error())
			return
		}
		c.ended.Go(watcher.Start)
		select {
		case <-ctx.Done():
			watcher.Stop()
			return
		case login = <-c.fresh:
		case <-watcher.DoneCh(): //nolint:errcheck // whatever ended it, another login is next
			login = c.again(ctx)
		}
		watcher.Stop()
	}
}

// again logs in, and tries until it works; it gives nil when ctx has ended.
func (c *Client) again(ctx context.Context) *api.Secret {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		login, err := c.next(ctx)
		if err == nil {
			return login
		}
		c.log.Warn("cannot log in to the secrets store again", "error", err.Error())
		select {
		case <-ctx.Done():
			return nil
		case login := <-c.fresh:
			return login
		case <-time.After(pause):
		}
	}
}

// next takes a login that was made meanwhile, or logs in.
func (c *Client) next(ctx context.Context) (*api.Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case login := <-c.fresh:
		return login, nil
	default:
		return c.login(ctx)
	}
}

// ask makes a request, and if the token has ended once more with a new one.
func (c *Client) ask(ctx context.Context, request func() (*api.Secret, error)) (*api.Secret, error) {
	used := c.api.Token()
	answer, err := request()
	if !status(err, http.StatusForbidden) {
		return answer, err
	}
	alive, lost := c.revive(ctx, used)
	if lost != nil {
		return nil, lost
	}
	if alive {
		return answer, err
	}
	return request()
}

// revive logs in again if the token that was used has ended, which the store answers as it does what a policy forbids.
func (c *Client) revive(ctx context.Context, used string) (alive bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api.Token() != used {
		return false, nil // another did
	}
	if _, err := c.api.Auth().Token().LookupSelfWithContext(ctx); !status(err, http.StatusForbidden) {
		return true, nil
	}
	login, err := c.login(ctx)
	if err != nil {
		return false, err
	}
	select {
	case c.fresh <- login:
	default: // the keeper logs in itself
	}
	return false, nil
}

// Ready says why the store cannot be asked now.
func (c *Client) Ready(ctx context.Context) error {
	seal, err := c.api.Sys().SealStatusWithContext(ctx)
	if err != nil {
		return c.explain(err)
	}
	if seal.Sealed {
		return c.sealed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Close ends the token, and lets go of the store. It takes at most a few seconds.
func (c *Client) Close() {
	c.stop()
	c.ended.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c.api.SetMaxRetries(0)
	if err := c.api.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		c.log.Debug("secrets store token not revoked: it ends by itself", "error", err.Error())
	}
	c.pool.CloseIdleConnections()
}

// errNoLogin is an answer to a login without a token.
var errNoLogin = errors.New("the store answered without a token")
