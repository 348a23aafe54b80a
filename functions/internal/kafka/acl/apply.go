package acl

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Apply makes the rules of a role for a principal. Making what is there does nothing. It returns what the principal may do beyond the
// role; with prune that is taken from it.
func Apply(ctx context.Context, c *link.Cluster, r Role, principal string, prune bool) (beyond []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	wanted := map[rule]bool{}
	for _, each := range r.Rules {
		b := each.builder(principal)
		if b == nil {
			return nil, fmt.Errorf("rules of %s: %v is not a rule that Kafka has", r.Name, each)
		}
		made, err := c.Admin.CreateACLs(ctx, b)
		for _, m := range made {
			err = errors.Join(err, m.Err)
			wanted[rule{m.Type, m.Name, m.Pattern, m.Operation}] = true
		}
		if err != nil {
			return nil, fmt.Errorf("make rules of %s: %w", principal, c.Explain(err, "Alter", ""))
		}
	}
	return surplus(ctx, c, principal, wanted, prune)
}

// rule is what makes a right of a principal.
type rule struct {
	kind    kmsg.ACLResourceType
	name    string
	pattern kadm.ACLPattern
	op      kadm.ACLOperation
}

func (r Rule) builder(principal string) *kadm.ACLBuilder {
	var ops []kadm.ACLOperation
	for _, name := range r.Operations {
		op, err := kmsg.ParseACLOperation(name)
		if err != nil {
			return nil
		}
		ops = append(ops, op)
	}
	b := kadm.NewACLs().Allow(principal).AllowHosts("*").Operations(ops...).ResourcePatternType(kadm.ACLPatternLiteral)
	if r.Prefix {
		b.ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	switch r.Kind {
	case "topic":
		return b.Topics(r.Name)
	case "group":
		return b.Groups(r.Name)
	}
	return nil
}

func surplus(ctx context.Context, c *link.Cluster, principal string, wanted map[rule]bool, prune bool) (beyond []string, err error) {
	filter := func() *kadm.ACLBuilder {
		return kadm.NewACLs().AnyResource().Allow(principal).AllowHosts().Operations(kadm.OpAny).ResourcePatternType(kadm.ACLPatternAny)
	}
	described, err := c.Admin.DescribeACLs(ctx, filter())
	if err != nil {
		return nil, fmt.Errorf("look at the rules of %s: %w", principal, c.Explain(err, "Describe", ""))
	}
	for _, d := range described {
		if d.Err != nil {
			return nil, fmt.Errorf("look at the rules of %s: %w", principal, d.Err)
		}
		for _, a := range d.Described {
			if wanted[rule{a.Type, a.Name, a.Pattern, a.Operation}] {
				continue
			}
			beyond = append(beyond, fmt.Sprintf("%s %s %s (%s)", a.Operation, a.Type, a.Name, a.Pattern))
			if prune {
				err = errors.Join(err, take(ctx, c, a))
			}
		}
	}
	return beyond, err
}

// take deletes one rule.
func take(ctx context.Context, c *link.Cluster, a kadm.DescribedACL) error {
	b := kadm.NewACLs().Allow(a.Principal).AllowHosts(a.Host).Operations(a.Operation).ResourcePatternType(a.Pattern)
	switch a.Type {
	case kmsg.ACLResourceTypeTopic:
		b.Topics(a.Name)
	case kmsg.ACLResourceTypeGroup:
		b.Groups(a.Name)
	case kmsg.ACLResourceTypeCluster:
		b.Clusters()
	case kmsg.ACLResourceTypeTransactionalId:
		b.TransactionalIDs(a.Name)
	default:
		return fmt.Errorf("rule on %s %s is of a kind that is not taken away here: use kafka-acls.sh --remove", a.Type, a.Name)
	}
	deleted, err := c.Admin.DeleteACLs(ctx, b)
	for _, d := range deleted {
		err = errors.Join(err, d.Err)
	}
	return err
}
