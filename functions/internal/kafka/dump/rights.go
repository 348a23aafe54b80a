package dump

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// rightsOf lists all access rules of a cluster; one without any checks has none.
func rightsOf(ctx context.Context, c *link.Cluster) (map[Right]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	filter := kadm.NewACLs().AnyResource().Allow().AllowHosts().Deny().DenyHosts().Operations(kadm.OpAny).ResourcePatternType(kadm.ACLPatternAny)
	described, err := c.Admin.DescribeACLs(ctx, filter)
	for _, d := range described {
		err = errors.Join(err, d.Err)
	}
	if errors.Is(err, kerr.SecurityDisabled) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the access rules: %w", c.Explain(err, "Describe", ""))
	}
	all := map[Right]bool{}
	for _, d := range described {
		for _, a := range d.Described {
			all[Right{a.Principal, a.Host, a.Type.String(), a.Name, a.Pattern.String(), a.Operation.String(), a.Permission.String()}] = true
		}
	}
	return all, nil
}

func compareRights(a, b Right) int {
	return cmp.Or(cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Pattern, b.Pattern),
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Permission, b.Permission), cmp.Compare(a.Host, b.Host))
}

// grant makes one rule.
func (r Right) grant(ctx context.Context, c *link.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	kind, kindErr := kmsg.ParseACLResourceType(r.Kind)
	pattern, patternErr := kmsg.ParseACLResourcePatternType(r.Pattern)
	operation, opErr := kmsg.ParseACLOperation(r.Operation)
	permission, permErr := kmsg.ParseACLPermissionType(r.Permission)
	if err := errors.Join(kindErr, patternErr, opErr, permErr); err != nil {
		return fmt.Errorf("make the rule %v: %w", r, err)
	}
	req := kmsg.NewPtrCreateACLsRequest()
	made := kmsg.NewCreateACLsRequestCreation()
	made.ResourceType, made.ResourceName, made.ResourcePatternType = kind, r.Name, pattern
	made.Principal, made.Host, made.Operation, made.PermissionType = r.Principal, r.Host, operation, permission
	req.Creations = append(req.Creations, made)
	resp, err := req.RequestWith(ctx, c.Facts)
	if err == nil && len(resp.Results) == 1 {
		err = kerr.ErrorForCode(resp.Results[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("make the rule %v: %w", r, c.Explain(err, "Alter", ""))
	}
	return nil
}
