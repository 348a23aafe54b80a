// Command registry keeps container images on disk, and pushes programs as images: all that the lab's cluster runs comes from here.
//
//	registry serve -address 10.244.0.1:5000 -dir <folder>
//	registry push [-user 65532] [-entrypoint /ko-app/app] <registry>/<name>:<tag> <program or root folder>
package main

import (
	"context"
	"errors"
	"flag"
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
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: serve or push")
	}
	flags := flag.NewFlagSet("registry "+args[0], flag.ContinueOnError)
	address := flags.String("address", "127.0.0.1:5000", "the `host:port` to listen on")
	dir := flags.String("dir", "", "the `folder` of the images")
	user := flags.String("user", "65532", "the `user` id that the image runs as")
	entrypoint := flags.String("entrypoint", program, "the `path` of the program in the image")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "serve":
		if *dir == "" {
			return errors.New("-dir is missing: the folder of the images")
		}
		return serve(ctx, *address, *dir)
	case "push":
		if flags.NArg() != 2 {
			return errors.New("push takes an image's name and a program, or the folder that becomes its root")
		}
		digest, err := push(ctx, flags.Arg(0), flags.Arg(1), *user, *entrypoint)
		if err != nil {
			return fmt.Errorf("push %s: %w", flags.Arg(0), err)
		}
		_, err = fmt.Println(digest)
		return err
	default:
		return fmt.Errorf("%s is not a command", args[0])
	}
}
