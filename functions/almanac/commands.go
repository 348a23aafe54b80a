package main

import (
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
)

// newRoot puts the commands together.
func newRoot(o *command.Options) *cobra.Command {
	return o.Root(newRun(o), newStatus(o), newPlan(o), newReleases(o), newQuarantine(o), newDeadLetters(o), newDoctor(o), newDatasets(o), newSweep(o),
		newArchive(o), newSecrets(o), newTopics(o), newACLs(o), newUsers(o), newBrokers(o), newBackup(o), newRestore(o), newSource(o), newEnv(o))
}
