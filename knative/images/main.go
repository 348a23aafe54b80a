// Command images builds the container image of each function with ko, and publishes them to a registry.
//
// It needs no container engine. The same commit gives the same bytes on every machine: see docs/images.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  images build -root FOLDER -to FOLDER [-base IMAGE] FUNCTION…
  images publish -from FOLDER -registry HOST[:PORT]/PREFIX [-out FILE]`

func main() {
	log.SetOutput(io.Discard) // ko tells its progress there
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images: "+err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(progress)
	insecure := flags.Bool("insecure", false, "let registries speak plain HTTP")
	switch args[0] {
	case "build":
		b := builder{progress: progress}
		flags.StringVar(&b.root, "root", "", "`folder` of the repository")
		flags.StringVar(&b.to, "to", "", "`folder` to write; what is there is replaced")
		flags.StringVar(&b.base, "base", "", "`image` to build on, in place of our own")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		b.insecure = *insecure
		if b.root == "" || b.to == "" || flags.NArg() == 0 {
			return errors.New(usage)
		}
		made, err := b.build(ctx, flags.Args())
		if err != nil {
			return err
		}
		return made.Print(out)
	case "publish":
		p := publisher{}
		flags.StringVar(&p.from, "from", "", "`folder` that build has written")
		flags.StringVar(&p.registry, "registry", "", "`host[:port]/prefix` to push to")
		flags.StringVar(&p.out, "out", "", "kustomize `file` to write, which names the images by digest")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		p.insecure = *insecure
		return p.publish(ctx, out)
	default:
		return errors.New(usage)
	}
}
