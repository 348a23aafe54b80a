package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/almanac-data/almanac/tests/lab/internal/kube"
)

// cluster runs Kubernetes with Knative.
func cluster(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do with the cluster: up, status or down")
	}
	flags := flag.NewFlagSet("lab cluster "+args[0], flag.ContinueOnError)
	wipe := flags.Bool("wipe", false, "with down: remove what Kubernetes and the registry know, too")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	repo, err := os.Getwd()
	if err != nil {
		return err
	}
	c := kube.New(repo, os.Getenv("ALMANAC_LAB_CACHE"), os.Stdout, os.Getenv("CI") == "true")
	switch args[0] {
	case "up":
		if err := c.Up(ctx); err != nil {
			return err
		}
		c.Ready()
		return nil
	case "status":
		return c.Status(ctx)
	case "down":
		return c.Down(ctx, *wipe)
	default:
		return fmt.Errorf("%s is not a command of the cluster", args[0])
	}
}
