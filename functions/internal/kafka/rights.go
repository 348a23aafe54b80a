package kafka

import (
	"context"
	"io"

	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
	"github.com/almanac-data/almanac/functions/internal/kafka/brokers"
	"github.com/almanac-data/almanac/functions/internal/kafka/dump"
	"github.com/almanac-data/almanac/functions/internal/kafka/reassign"
	"github.com/almanac-data/almanac/functions/internal/kafka/users"
)

// Allow makes the rules that a role needs for a principal, and returns what that may do beyond them; with prune it is taken away.
func (c *Cluster) Allow(ctx context.Context, r acl.Role, principal string, prune bool) (beyond []string, err error) {
	return acl.Apply(ctx, c.Cluster, r, principal, prune)
}

// SetPasswords gives each user its password for SCRAM-SHA-512, and returns those that had none or another.
func (c *Cluster) SetPasswords(ctx context.Context, passwords map[string]string) (changed []string, err error) {
	return users.Apply(ctx, c.Cluster, passwords)
}

// Servers tells how brokers, controllers and partitions are; the expected brokers must be there.
func (c *Cluster) Servers(ctx context.Context, expected []int32) (brokers.Report, error) {
	return brokers.Look(ctx, c.Cluster, expected)
}

// Dump writes down topics, access rules, facts, dues and dead letters; see dump.Write.
func (c *Cluster) Dump(ctx context.Context, out io.Writer) (dump.Totals, error) {
	return dump.Write(ctx, c.Cluster, out)
}

// Undump brings back what Dump has written; see dump.Restore.
func (c *Cluster) Undump(ctx context.Context, in io.ReadSeeker) (dump.Totals, error) {
	return dump.Restore(ctx, c.Cluster, in)
}

// Try writes a record to each broker, in a topic of its own, reads it and removes the topic; see brokers.Try.
func (c *Cluster) Try(ctx context.Context) (records int, err error) {
	return brokers.Try(ctx, c.Cluster)
}

// Features tells what features the servers know and use; see brokers.Features.
func (c *Cluster) Features(ctx context.Context) ([]brokers.Feature, error) {
	return brokers.Features(ctx, c.Cluster)
}

// RaiseFeatures puts features into use up to the levels that are named; see brokers.Raise.
func (c *Cluster) RaiseFeatures(ctx context.Context, levels map[string]int16) (raised []brokers.Feature, err error) {
	return brokers.Raise(ctx, c.Cluster, levels)
}

// BalanceBrokers gives brokers with few replicas those of brokers with many; see reassign.Balance.
func (c *Cluster) BalanceBrokers(ctx context.Context, how reassign.How) ([]reassign.Move, error) {
	return reassign.Balance(ctx, c.Cluster, how)
}

// EmptyBrokers takes all replicas off brokers; see reassign.Empty.
func (c *Cluster) EmptyBrokers(ctx context.Context, off []int32, how reassign.How) ([]reassign.Move, error) {
	return reassign.Empty(ctx, c.Cluster, off, how)
}

// ForgetBrokers removes stopped and empty brokers from the cluster's memory; see reassign.Forget.
func (c *Cluster) ForgetBrokers(ctx context.Context, brokers []int32) (known []int32, err error) {
	return reassign.Forget(ctx, c.Cluster, brokers)
}
