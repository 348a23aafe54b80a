// Package relay wakes functions over HTTP, as the sources of Knative do: for each record of Kafka topics, or on a schedule; and keeps what they do
// not take as dead letters.
package relay

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

// Retry is post.Retry.
type Retry = post.Retry

// Patient is how often an event is sent again where servers may be started again: for two minutes and more.
var Patient = Retry{Count: 8, Base: 250 * time.Millisecond}

// NewClient is post.NewClient.
func NewClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return post.NewClient(dial)
}
