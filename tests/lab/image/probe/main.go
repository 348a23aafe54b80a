// Command probe stands in for a function in tests of the cluster.
//
//	probe         answers HTTP at PORT: GET / says hello, POST / takes an event, GET /events lists those it took,
//	              GET /reach?kafka=…&web=…&spark=… asks servers outside, GET /file?path=… reads a file
//	probe send    sends an event each second to K_SINK
//	probe get     asks a URL, and says whether it answers within three seconds
//	probe job     prints the event that a JobSink hands to its job
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return serve(ctx, os.Getenv("PORT"))
	case args[0] == "send":
		return send(ctx, os.Getenv("K_SINK"), os.Getenv("HOSTNAME"))
	case args[0] == "get" && len(args) == 2:
		return get(ctx, args[1])
	case args[0] == "job":
		b, err := os.ReadFile("/etc/jobsink-event/event")
		if err == nil {
			_, err = os.Stdout.Write(append(b, '\n'))
		}
		return err
	default:
		return fmt.Errorf("%s is not a command", args[0])
	}
}
