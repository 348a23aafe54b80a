package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/acl"
)

const aclsHelp = `Acls knows what each function may do in Kafka, and nothing more: which topics it reads and writes, and which consumer group is its
source's. The cluster is the one that --config or ALMANAC_KAFKA names; ALMANAC_KAFKA_CA, _CERT, _KEY, _USER and _PASSWORD_FILE let in whoever may alter
access rules there.`

type aclFlags struct {
	principal string
	prune     bool
}

// NewACLs is almanac acls.
func NewACLs(o *command.Options) *cobra.Command {
	f := &aclFlags{}
	cmd := &cobra.Command{
		Use: "acls", Short: "Print or make the access rules of Kafka that the functions need", Long: aclsHelp,
		Example: "  almanac acls print\n  almanac acls apply process validate\n  almanac acls apply --prune",
	}
	cmd.PersistentFlags().StringVar(&f.principal, "principal", acl.DefaultPrincipal, "how the brokers name the user of a role; %s is the name of the role")
	show := &cobra.Command{
		Use: "print [role...]", Short: "Print the rules as commands of Kafka's own tool", Example: "  almanac acls print process",
		RunE: func(cmd *cobra.Command, args []string) error { return printACLs(cmd.Context(), o, f, args) },
	}
	apply := &cobra.Command{
		Use: "apply [role...]", Short: "Make the rules, and say what the users may do beyond them", Example: "  almanac acls apply --prune",
		RunE: func(cmd *cobra.Command, args []string) error { return applyACLs(cmd.Context(), o, f, args) },
	}
	apply.Flags().BoolVar(&f.prune, "prune", false, "take away what the users may do beyond the rules")
	cmd.AddCommand(show, apply)
	return cmd
}

// roles checks what a person asked for.
func (f *aclFlags) roles(names []string) ([]acl.Role, error) {
	if strings.Count(f.principal, "%s") != 1 || strings.Count(f.principal, "%") != 1 || !strings.HasPrefix(f.principal, "User:") {
		return nil, command.Exit(command.Usage, fmt.Errorf("--principal %q is not of a form such as %s", f.principal, acl.DefaultPrincipal))
	}
	roles, err := acl.Choose(names)
	if err != nil {
		return nil, command.Exit(command.Usage, err)
	}
	return roles, nil
}

func printACLs(ctx context.Context, o *command.Options, f *aclFlags, names []string) error {
	roles, err := f.roles(names)
	if err != nil {
		return err
	}
	if o.JSON {
		return o.PrintJSON(roles)
	}
	s, err := open.KafkaSettings(ctx, o)
	if err != nil {
		return err
	}
	for _, r := range roles {
		o.Printf("# %s: %s\n%s\n", r.Name, r.About, strings.Join(r.Commands(r.Principal(f.principal), strings.Join(s.Brokers, ",")), "\n"))
	}
	return nil
}

func applyACLs(ctx context.Context, o *command.Options, f *aclFlags, names []string) error {
	roles, err := f.roles(names)
	if err != nil {
		return err
	}
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		for _, r := range roles {
			principal := r.Principal(f.principal)
			beyond, err := c.Allow(ctx, r, principal, f.prune)
			if err != nil {
				return err
			}
			o.Printf("%s: %d rules hold\n", principal, len(r.Rules))
			for _, right := range beyond {
				if f.prune {
					o.Printf("  took away: %s\n", right)
				} else {
					o.Printf("  has more than it needs: %s; --prune takes it away\n", right)
				}
			}
		}
		return nil
	})
}
