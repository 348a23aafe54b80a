// Package deadletters has the commands for events that no function could handle, or nothing came of.
package deadletters

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/letters"
	"github.com/almanac-data/almanac/functions/internal/problem"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

// New is almanac deadletters.
func New(o *command.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletters", Short: "Look at the events that no function could handle or nothing came of, and send one again",
		Example: "  almanac deadletters list\n  almanac deadletters show 0/12\n  almanac deadletters resend 0/12",
	}
	cmd.AddCommand(
		deadLetter(o, "show", "Show one dead letter, its data included", showDeadLetter),
		deadLetter(o, "resend", "Send one dead letter to its function again, or ask for its aggregate or release anew", resendDeadLetter),
		newList(o),
	)
	return cmd
}

// letter is a dead letter, as --json prints it.
type letter struct {
	ID         string            `json:"id"` // partition/offset
	Time       time.Time         `json:"time"`
	Function   string            `json:"function"`         // that it was for, as far as that is known
	Detail     string            `json:"detail,omitempty"` // what happened, for a person
	Attributes map[string]string `json:"attributes"`
	Data       string            `json:"data,omitempty"`
}

func newLetter(d kafka.DeadLetter, data bool) letter {
	l := letter{ID: fmt.Sprintf("%d/%d", d.Partition, d.Offset), Time: d.Time, Function: functionOf(d), Detail: d.Attributes[letters.Detail], Attributes: d.Attributes}
	if answer, err := base64.StdEncoding.DecodeString(d.Attributes["knativeerrordata"]); err == nil && len(answer) > 0 {
		l.Detail = problem.Text(answer)
	}
	if data {
		l.Data = string(d.Data)
	}
	return l
}

// functionOf is the last element of the address that a dead letter was for, or the step of a due that was given up.
func functionOf(d kafka.DeadLetter) string {
	if due, ok := givenUp(d); ok {
		return due.Step
	}
	dest := d.Attributes["knativeerrordest"]
	return dest[strings.LastIndex(dest, "/")+1:]
}

// givenUp is the due of a dead letter that a calendar has written: nothing has come of it, and no address of a function is known.
func givenUp(d kafka.DeadLetter) (due events.Due, ok bool) {
	if d.Attributes["knativeerrordest"] != "" {
		return due, false
	}
	e, err := events.Decode(d.Attributes["type"], d.Data)
	if err != nil {
		return due, false
	}
	asked, ok := e.(*events.Due)
	if !ok || asked.Step == events.StepCollect {
		return due, false
	}
	return *asked, true
}

func newList(o *command.Options) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the dead letters, oldest first", Args: command.Args(cobra.NoArgs),
		Example: "  almanac deadletters list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				all := []letter{}
				for d, err := range s.Cluster.DeadLetters(ctx) {
					if err != nil {
						return err
					}
					all = append(all, newLetter(d, false))
				}
				if o.JSON {
					return o.PrintJSON(all)
				}
				if len(all) == 0 {
					o.Printf("no dead letters\n")
					return nil
				}
				tw := o.Columns()
				tw.Rowf("ID\tTIME\tTYPE\tSUBJECT\tCODE\tFUNCTION\tDETAIL")
				for _, l := range all {
					a := l.Attributes
					tw.Rowf("%s\t%s\t%s\t%s\t%s\t%s\t%s", l.ID, l.Time.UTC().Format(time.RFC3339), a["type"], a["subject"], a["knativeerrorcode"], l.Function,
						strings.Join(strings.Fields(l.Detail), " "))
				}
				return tw.Flush()
			})
		},
	}
}

func deadLetter(o *command.Options, use, short string, do func(context.Context, *command.Options, *state.State, kafka.DeadLetter) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " <id>", Short: short, Args: command.Args(cobra.ExactArgs(1)), Example: "  almanac deadletters " + use + " 0/12",
		RunE: func(cmd *cobra.Command, args []string) error {
			partition, offset, err := parseLetter(args[0])
			if err != nil {
				return command.Exit(command.Usage, err)
			}
			return state.With(cmd.Context(), o, func(ctx context.Context, s *state.State) error {
				d, err := s.Cluster.DeadLetter(ctx, partition, offset)
				if err != nil {
					return err
				}
				return do(ctx, o, s, d)
			})
		},
	}
}

func parseLetter(id string) (partition int32, offset int64, err error) {
	p, at, ok := strings.Cut(id, "/")
	n, err1 := strconv.ParseInt(p, 10, 32)
	offset, err2 := strconv.ParseInt(at, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 0 || offset < 0 {
		return 0, 0, fmt.Errorf("%q is not the id of a dead letter such as 0/12; see almanac deadletters list", id)
	}
	return int32(n), offset, nil
}

func showDeadLetter(_ context.Context, o *command.Options, _ *state.State, d kafka.DeadLetter) error {
	if o.JSON {
		return o.PrintJSON(newLetter(d, true))
	}
	l := newLetter(d, true)
	tw := o.Columns()
	for _, name := range slices.Sorted(maps.Keys(l.Attributes)) {
		tw.Rowf("%s\t%s", name, l.Attributes[name])
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	o.Printf("\n%s\n", l.Data)
	return nil
}

func resendDeadLetter(ctx context.Context, o *command.Options, s *state.State, d kafka.DeadLetter) error {
	if s.HTTP == "" && s.Folder != nil {
		return errors.New("resend: no run holds the data folder, so no function is there to take the event; start almanac run and try again")
	}
	if due, ok := givenUp(d); ok {
		return askAgain(ctx, o, s, due)
	}
	if d.Attributes["knativeerrordest"] == "" {
		return fmt.Errorf("resend: the dead letter does not name the function that it was for (knativeerrordest), and is no due of an aggregate or release; "+
			"see almanac deadletters show %d/%d", d.Partition, d.Offset)
	}
	if s.HTTP != "" { // the port may be another one than it was
		dest, err := url.Parse(d.Attributes["knativeerrordest"])
		if err != nil {
			return fmt.Errorf("resend: address of the dead letter: %w", err)
		}
		d.Attributes["knativeerrordest"] = s.HTTP + dest.Path
	}
	if err := relay.Resend(ctx, relay.NewClient(nil), d); err != nil {
		return err
	}
	o.Printf("delivered to %s\n", functionOf(d))
	return nil
}

// askAgain announces the aggregate or release anew that a due was given up of, if it still waits. The next attempt is an event of another id, so that
// it is not taken for the one before.
func askAgain(ctx context.Context, o *command.Options, s *state.State, due events.Due) error {
	surveys, err := s.Survey(ctx, []string{due.Dataset})
	if err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	name := fmt.Sprintf("%s %s of %s", due.Name, due.Window, due.Dataset)
	i := slices.IndexFunc(surveys[0].States, func(st calendar.State) bool { return st.Step == due.Step && st.Piece == due.Piece })
	if surveys[0].Withdrawn || i < 0 {
		return fmt.Errorf("resend: %s is not due any more: the dataset is withdrawn, or has no such window now", name)
	}
	st := surveys[0].States[i]
	switch {
	case st.GivenUp():
	case st.Phase == calendar.Stopped:
		return fmt.Errorf("resend: %s is stopped, and sending it again does not help: %s", name, st.Why)
	default:
		o.Printf("%s is %s; nothing is sent, nor needs to be\n", name, survey.Phase(st))
		return nil
	}
	again := st.Asked
	again.Attempt, again.Try, again.Reason, again.Detail = again.Attempt+1, 1, "requested", "its dead letter was sent again"
	if err := s.Journal.Say(ctx, again); err != nil {
		return fmt.Errorf("resend: %w", err)
	}
	o.Printf("%s is asked for anew, as attempt %d\n", name, again.Attempt)
	return nil
}
