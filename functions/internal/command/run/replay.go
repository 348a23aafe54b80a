package run

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/disk"
	"github.com/almanac-data/almanac/functions/internal/command/host"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
)

func hostUntilDone(ctx context.Context, o *command.Options, h *host.Host, l net.Listener, f *runFlags) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	ended := h.Serve(serving, l)
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	if err := announce(h, o.Data, f); err != nil {
		return err
	}
	if err := h.Start(working); err != nil {
		return err
	}
	after, err := replay(working, o, h)
	if err == nil && !f.noServe {
		invite(o, h, after)
		select {
		case <-ctx.Done():
		case err = <-ended:
			return errors.Join(err, errors.New("the server has ended"))
		}
	}
	stopWorking()
	h.Wait()
	stopServing()
	if e := <-ended; e != nil {
		err = errors.Join(err, e)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case ctx.Err() != nil && f.noServe:
		return ctx.Err()
	case survey.Attention(after):
		return command.Exit(command.Attention, nil)
	}
	return nil
}

// announce writes where this process can be reached, for the other commands.
func announce(h *host.Host, data string, f *runFlags) error {
	if h.Folder == nil {
		return nil // a cluster is found by its configuration
	}
	at := state.Endpoints{PID: os.Getpid(), Kafka: h.Cluster.Config.Brokers[0], HTTP: h.Base}
	if f.to != "" {
		at.Clock = h.Now().Format(time.RFC3339)
	}
	return at.Write(data)
}

const lookEach = 200 * time.Millisecond

// replay shows the work until nothing is left that goes on by itself.
func replay(ctx context.Context, o *command.Options, h *host.Host) ([]survey.Dataset, error) {
	p := progressOf(o)
	if err := h.Wake(ctx); err != nil {
		return nil, err
	}
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	began, worked := o.Now(), false
	for {
		if h.Folder != nil {
			if err := disk.Check(o.Data); err != nil {
				return nil, err
			}
		}
		all, idle, err := h.Look(ctx)
		if err != nil {
			return nil, err
		}
		if survey.Busy(all) {
			worked = true
		}
		if worked && !o.JSON {
			p.show(all, h.Troubles(), o.Now())
		}
		if idle {
			h.TrimLast(ctx)
			return all, summary(o, all, worked, o.Now().Sub(began))
		}
		select {
		case <-ctx.Done():
			return all, ctx.Err()
		case <-tick.C:
		}
	}
}

func progressOf(o *command.Options) *progress {
	file, ok := o.Out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return newProgress(o.Out, false, 0, o.Now())
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		width = 80
	}
	return newProgress(o.Out, true, width, o.Now())
}

func summary(o *command.Options, all []survey.Dataset, worked bool, took time.Duration) error {
	if o.JSON {
		return o.PrintJSON(all)
	}
	switch {
	case !worked && survey.Attention(all):
		o.Printf("nothing can be done until what waits below is mended\n")
	case !worked:
		o.Printf("nothing to do: everything is up to date\n")
	default:
		o.Printf("done in %.1fs\n", took.Seconds())
	}
	survey.Print(o, all, false)
	return nil
}

// invite says in three lines what to try.
func invite(o *command.Options, h *host.Host, all []survey.Dataset) {
	if o.JSON {
		return
	}
	name, version, most := "", "", int64(-1)
	for _, s := range all {
		for _, st := range s.States {
			if st.Version != "" && st.Rows > most {
				name, version, most = s.Dataset, st.Version, st.Rows
			}
		}
	}
	o.Printf("\nServing on %s (Ctrl-C ends).", h.Base)
	if version == "" {
		o.Printf(" There is no release yet.\n")
		return
	}
	o.Printf(" Try, in another terminal:\n")
	o.Printf("  curl %s/v1/datasets/%s/releases\n", h.Base, name)
	o.Printf("  curl '%s/v1/datasets/%s/releases/%s/rows?format=csv&limit=5'\n", h.Base, name, version)
	o.Printf("  bin/almanac releases verify %s\n", version)
}
