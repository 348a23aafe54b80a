// Command lab runs a data centre on this machine for tests and trials: Kafka, HDFS, YARN and Spark, on loopback or on the
// address of a cluster, and a Kubernetes with Knative. See docs/lab.md.
//
//	go run ./tests/lab up|status [-secure] [-address <ip>] [-beside] [-only kafka,…]
//	go run ./tests/lab down|env|config|sums [-secure] [-address <ip>] [-beside]
//	go run ./tests/lab kill|start|pause|resume [-secure] [-address <ip>] [-beside] <server>
//	go run ./tests/lab bao
//	go run ./tests/lab cluster up|status|down [-wipe]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/centre"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "cluster" {
		return cluster(ctx, args[1:])
	}
	if len(args) == 0 {
		return errors.New("say what to do: up, status, down, env, config, kill, start, pause, resume, fetch, bao, before, sums or cluster")
	}
	flags := flag.NewFlagSet("lab "+args[0], flag.ContinueOnError)
	secure := flags.Bool("secure", false, "the secured form: Kerberos, TLS, access rules")
	address := flags.String("address", "", "the `address` of this machine to listen on, loopback if empty; 10.244.0.1 is reached by the pods of the cluster")
	beside := flags.Bool("beside", false, "a second lab, beside the first of its form: ports are higher by 1000")
	only := flags.String("only", "", "the `names` of the servers to start, or to look at, parted by commas; all of them if empty")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *address != "" && net.ParseIP(*address).To4() == nil {
		return fmt.Errorf("-address %s is no IPv4 address", *address)
	}
	if ip := net.ParseIP(*address); ip.IsLoopback() && !ip.Equal(net.IPv4(127, 0, 0, 1)) {
		return fmt.Errorf("-address %s: connections there come from 127.0.0.1, by which HDFS names its DataNodes; -beside is a second lab on loopback", *address)
	}
	repo, err := os.Getwd()
	if err != nil {
		return err
	}
	s := site.New(repo, os.Getenv("ALMANAC_LAB_CACHE"), *address, *secure)
	if *beside {
		s = s.Beside()
	}
	c := &centre.Centre{
		Site:    s,
		Out:     os.Stdout,
		Install: os.Getenv("CI") == "true" && os.Getuid() == 0,
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	switch args[0] {
	case "up":
		if err := c.Up(ctx); err != nil {
			return err
		}
		return c.Status(ctx)
	case "status":
		return c.Status(ctx)
	case "down":
		return c.Down(ctx)
	case "kill":
		return c.Kill(ctx, flags.Arg(0))
	case "start":
		return c.Start(ctx, flags.Arg(0))
	case "pause":
		return c.Pause(flags.Arg(0))
	case "resume":
		return c.Resume(flags.Arg(0))
	case "env":
		return write(c.Env())
	case "config":
		return write(c.Config())
	case "fetch":
		if flags.NArg() == 0 {
			return c.Fetch(ctx)
		}
		return artifact.Fetch(ctx, c.Site.Cache, flags.Args(), os.Stderr)
	case "bao":
		program, err := artifact.Bao(ctx, c.Site.Cache, os.Stderr)
		if err == nil {
			_, err = fmt.Println(program)
		}
		return err
	case "before":
		return artifact.Before(ctx, c.Site.Cache, os.Stderr)
	case "sums":
		list, err := artifact.Sums(ctx, os.Stderr)
		if err == nil {
			_, err = os.Stdout.Write(list)
		}
		return err
	default:
		return fmt.Errorf("%s is not a command", args[0])
	}
}

// write prints what was made, if it was.
func write(text string, err error) error {
	if err == nil {
		_, err = os.Stdout.WriteString(text)
	}
	return err
}
