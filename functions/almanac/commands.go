package main

import (
	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/admin"
	"github.com/almanac-data/almanac/functions/internal/command/backup"
	"github.com/almanac-data/almanac/functions/internal/command/datasets"
	"github.com/almanac-data/almanac/functions/internal/command/deadletters"
	"github.com/almanac-data/almanac/functions/internal/command/doctor"
	"github.com/almanac-data/almanac/functions/internal/command/quarantine"
	"github.com/almanac-data/almanac/functions/internal/command/releases"
	"github.com/almanac-data/almanac/functions/internal/command/run"
	"github.com/almanac-data/almanac/functions/internal/command/standalone"
	"github.com/almanac-data/almanac/functions/internal/command/status"
	"github.com/almanac-data/almanac/functions/internal/command/warehouse"
)

// commands are all that there are.
var commands = []func(*command.Options) *cobra.Command{
	run.New, status.New, status.NewPlan, releases.New, quarantine.New, quarantine.NewArchive, deadletters.New, doctor.New, datasets.New,
	warehouse.NewSweep, warehouse.NewSecrets, admin.NewTopics, admin.NewACLs, admin.NewUsers, admin.NewBrokers, backup.New, backup.NewRestore,
	standalone.NewSource, standalone.NewEnv,
}
