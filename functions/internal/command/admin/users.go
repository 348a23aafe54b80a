package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/open"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

const usersHelp = `Apply reads a JSON object of passwords by the names of users from standard input, and gives each user of Kafka its password, for
SCRAM-SHA-512. Users whose password is right already stay as they are: that is tried by logging in. The cluster is the one that --config or ALMANAC_KAFKA
names, by a listener for passwords; ALMANAC_KAFKA_CA, _USER and _PASSWORD_FILE let in whoever may alter users there.`

// NewUsers is almanac users.
func NewUsers(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{Use: "users", Short: "Give users of Kafka their passwords", Example: "  almanac users apply < passwords.json"}
	cmd.AddCommand(&cobra.Command{
		Use: "apply", Short: "Set the passwords that are new, and say whose", Long: usersHelp, Args: command.Args(cobra.NoArgs), Example: "  almanac users apply < passwords.json",
		RunE: func(cmd *cobra.Command, _ []string) error { return applyUsers(cmd.Context(), o, cmd.InOrStdin()) },
	})
	return cmd
}

func applyUsers(ctx context.Context, o *command.Options, in io.Reader) error {
	var passwords map[string]string
	if err := json.NewDecoder(in).Decode(&passwords); err != nil {
		return command.Exit(command.Usage, errors.New(`standard input is not a JSON object of passwords by user, such as {"almanac-process": "…"}`))
	}
	for user, password := range passwords {
		if user == "" || password == "" {
			return command.Exit(command.Usage, fmt.Errorf("user %q has no name or no password", user))
		}
	}
	return open.Kafka(ctx, o, func(c *kafka.Cluster) error {
		changed, err := c.SetPasswords(ctx, passwords)
		if o.JSON {
			return errors.Join(err, o.PrintJSON(map[string][]string{"changed": changed}))
		}
		for _, user := range changed {
			o.Printf("%s has a new password\n", user)
		}
		if err == nil {
			o.Printf("%d users have their passwords\n", len(passwords))
		}
		return err
	})
}
