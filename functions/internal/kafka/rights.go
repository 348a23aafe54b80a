package kafka

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
)

// Allow makes the rules that a role needs for a principal, and returns what that may do beyond them; with prune it is taken away.
func (c *Cluster) Allow(ctx context.Context, r acl.Role, principal string, prune bool) (beyond []string, err error) {
	return acl.Apply(ctx, c.Cluster, r, principal, prune)
}
