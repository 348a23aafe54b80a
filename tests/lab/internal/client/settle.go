package client

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Permit lets almanac do what it likes with what begins with its name. Without an authorizer there is nothing to permit.
func (c Client) Permit(ctx context.Context) error {
	if !c.Site.Secure {
		return nil
	}
	all := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:almanac").AllowHosts("*").Operations(kadm.OpAll)
	}
	prefixed := all().Topics("almanac.").Groups("almanac.", "almanac-").TransactionalIDs("almanac.").ResourcePatternType(kadm.ACLPatternPrefixed)
	cluster := kadm.NewACLs().Allow("User:almanac").AllowHosts("*").Clusters().
		Operations(kmsg.ACLOperationDescribe, kmsg.ACLOperationIdempotentWrite).ResourcePatternType(kadm.ACLPatternLiteral)
	return c.asAdmin(ctx, "kafka", func(ctx context.Context, admin *kadm.Client) error {
		for _, acls := range []*kadm.ACLBuilder{prefixed, cluster} {
			results, err := admin.CreateACLs(ctx, acls)
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// folder is one folder of HDFS: whose it is, and who may what.
type folder struct{ path, owner, group, mode string }

var folders = []folder{
	{"/tmp", "hdfs", "supergroup", "1777"},
	{"/user", "hdfs", "supergroup", "755"},
	{"/user/almanac", "almanac", "almanac", "700"},
	{"/user/spark", "spark", "spark", "700"},
	{"/almanac", "almanac", "almanac", "750"}, // the warehouse: only Go commits, Spark reads
	{"/scratch", "spark", "almanac", "775"},
}

// MakeFolders makes the folders of HDFS, and says whose they are.
func (c Client) MakeFolders(ctx context.Context) error {
	for _, f := range folders {
		for _, op := range []string{
			"op=MKDIRS&permission=" + f.mode,
			"op=SETOWNER&owner=" + f.owner + "&group=" + f.group,
			"op=SETPERMISSION&permission=" + f.mode,
		} {
			if !c.Site.Secure {
				op += "&user.name=operator"
			}
			if _, err := c.curl(ctx, "PUT", c.Site.URL("namenode-web")+"/webhdfs/v1"+f.path+"?"+op); err != nil {
				return err
			}
		}
	}
	return nil
}
