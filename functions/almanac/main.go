// Command almanac is the operator's command, and all functions in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/command"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o := &command.Options{
		Out: os.Stdout, Err: os.Stderr, Env: envconfig.OsLookuper(), Now: func() time.Time { return time.Now().UTC() }, Version: version,
	}
	code := command.Report(os.Stderr, o.Root(commands...).ExecuteContext(ctx))
	stop()
	os.Exit(code)
}
