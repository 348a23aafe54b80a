package feed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// patience is how long a group may be without a coordinator.
const patience = 30 * time.Second

// settling are what a broker says of a group while it starts, makes the topic of offsets, or hands groups over.
var settling = []error{kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}

// committed is how far a group has got in topics; a group that is not known has got nowhere. It waits until the group has a coordinator.
func committed(ctx context.Context, c *link.Cluster, group string, topics []string) (kadm.OffsetResponses, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		offsets, err := c.Admin.FetchOffsetsForTopics(ctx, group, topics...)
		if err == nil {
			err = offsets.Error()
		}
		switch {
		case err == nil, errors.Is(err, kerr.GroupIDNotFound):
			return offsets, nil
		case !slices.ContainsFunc(settling, func(s error) bool { return errors.Is(err, s) }):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
