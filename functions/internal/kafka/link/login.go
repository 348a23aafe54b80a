package link

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// LetsIn tells whether the brokers let a user in by SCRAM-SHA-512 with a password. The connection is otherwise as that of c.
func (c *Cluster) LetsIn(ctx context.Context, user, password string) (bool, error) {
	dial := c.Config.Dialer
	if c.door != nil {
		dial = c.door.Dial
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Config.Brokers...), kgo.ClientID(c.Config.ClientID), kgo.RequestRetries(0), kgo.DialTimeout(5 * time.Second),
		kgo.DisableClientMetrics(), kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()),
	}
	if dial != nil {
		opts = append(opts, kgo.Dialer(dial))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	// Some brokers answer a wrong password by hanging up.
	if _, err = metadata(ctx, cl); errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}
