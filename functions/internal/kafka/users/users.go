// Package users gives users of Kafka their passwords.
package users

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// iterations are Kafka's own default. More would only help passwords that can be guessed.
const iterations = 4096

// Apply gives each user its password for SCRAM-SHA-512, and returns those that had none or another. Brokers keep no passwords: whether one is right is
// known by logging in with it. The cluster must be reached by a listener that takes passwords.
func Apply(ctx context.Context, c *link.Cluster, passwords map[string]string) (changed []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	var upsert []kadm.UpsertSCRAM
	for _, user := range slices.Sorted(maps.Keys(passwords)) {
		right, err := c.LetsIn(ctx, user, passwords[user])
		if err != nil {
			return nil, fmt.Errorf("log in as %s, to see whether its password is right: %w", user, err)
		}
		if !right {
			upsert = append(upsert, kadm.UpsertSCRAM{User: user, Mechanism: kadm.ScramSha512, Iterations: iterations, Password: passwords[user]})
		}
	}
	if len(upsert) == 0 {
		return nil, nil
	}
	altered, err := c.Admin.AlterUserSCRAMs(ctx, nil, upsert)
	if err != nil {
		return nil, fmt.Errorf("set passwords: %w", c.Explain(err, "Alter", ""))
	}
	for _, user := range slices.Sorted(maps.Keys(altered)) {
		if a := altered[user]; a.Err != nil {
			err = errors.Join(err, fmt.Errorf("set the password of %s: %w: %s", user, fault.Explain(a.Err, fault.On{Do: "Alter", User: c.User()}), a.ErrMessage))
			continue
		}
		changed = append(changed, user)
	}
	return changed, err
}
