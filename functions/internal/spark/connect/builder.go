package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/apache/spark-connect-go/v35/spark/client/channel"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Builder makes connections to a Spark Connect server. The library's own builder cannot: it turns TLS on by a token and off without, drops a
// token that ends in "=", and leaves gRPC's limit of 4 MiB for a message, where Spark's batches may be larger.
type Builder struct {
	Address string      // host:port
	TLS     *tls.Config // nil for plain text
	// TokenFile holds the bearer token of each call, read anew each time so that it may be changed; empty for none. A token goes over plain
	// text only to this very machine.
	TokenFile string
	UserName  string
}

var _ channel.Builder = (*Builder)(nil)

// maxMessage is the largest message that Spark's own servers and clients take.
const maxMessage = 128 << 20

// Build makes the connection, which dials when it is first used. The caller closes it.
func (b *Builder) Build(context.Context) (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(b.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to spark: %w", err)
	}
	options := []grpc.DialOption{
		grpc.WithUserAgent(b.UserAgent()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
	}
	if b.TLS != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(b.TLS)))
	} else {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	if b.TokenFile != "" {
		if b.TLS == nil && !Loopback(host) {
			return nil, fmt.Errorf("connect to spark: a token must not go to %s in plain text", host)
		}
		options = append(options, grpc.WithPerRPCCredentials(token{b.TokenFile, b.TLS != nil}))
	}
	conn, err := grpc.NewClient(b.Address, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to spark at %s: %w", b.Address, err)
	}
	return conn, nil
}

// User is the name that Spark shows beside a query.
func (b *Builder) User() string { return b.UserName }

// Headers are none: the library does not send them with each kind of call.
func (b *Builder) Headers() map[string]string { return nil }

// SessionId is none: each query makes a session of its own.
func (b *Builder) SessionId() string { return "" }

// UserAgent names the client in Spark's log.
func (b *Builder) UserAgent() string { return "almanac" }

// Loopback says whether a host is this very machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token adds the bearer token to each call.
type token struct {
	file   string
	secure bool
}

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	text, err := ReadToken(t.file)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + text}, nil
}

func (t token) RequireTransportSecurity() bool { return t.secure }

// ReadToken reads the token in a file, without the white space around it.
func ReadToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		return "", errors.New("read token: " + file + " must hold one word, the token")
	}
	return text, nil
}
