package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

func newDeadLetters(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletters", Short: "Look at the events that no function could handle, and send one again",
		Example: "  almanac deadletters list\n  almanac deadletters show 0/12\n  almanac deadletters resend 0/12",
	}
	cmd.AddCommand(
		o.deadLetter("show", "Show one dead letter, its data included", (*options).showDeadLetter),
		o.deadLetter("resend", "Send one dead letter to its function again", (*options).resendDeadLetter),
		newDeadLettersList(o),
	)
	return cmd
}

// letter is a dead letter, as --json prints it.
type letter struct {
	ID         string            `json:"id"` // partition/offset
	Time       time.Time         `json:"time"`
	Attributes map[string]string `json:"attributes"`
	Data       string            `json:"data,omitempty"`
}

func newLetter(d kafka.DeadLetter, data bool) letter {
	l := letter{ID: fmt.Sprintf("%d/%d", d.Partition, d.Offset), Time: d.Time, Attributes: d.Attributes}
	if data {
		l.Data = string(d.Data)
	}
	return l
}

func newDeadLettersList(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the dead letters, oldest first", Args: usage(cobra.NoArgs),
		Example: "  almanac deadletters list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withState(cmd.Context(), func(ctx context.Context, s *state) error {
				letters := []letter{}
				for d, err := range s.cluster.DeadLetters(ctx) {
					if err != nil {
						return err
					}
					letters = append(letters, newLetter(d, false))
				}
				if o.json {
					return o.printJSON(letters)
				}
				if len(letters) == 0 {
					o.printf("no dead letters\n")
					return nil
				}
				tw := o.columns()
				tw.rowf("ID\tTIME\tTYPE\tSUBJECT\tCODE\tFUNCTION")
				for _, l := range letters {
					a := l.Attributes
					tw.rowf("%s\t%s\t%s\t%s\t%s\t%s", l.ID, l.Time.UTC().Format(time.RFC3339), a["type"], a["subject"], a["knativeerrorcode"], functionOf(a))
				}
				return tw.Flush()
			})
		},
	}
}

// functionOf is the last element of the address that a dead letter was for.
func functionOf(attributes map[string]string) string {
	dest := attributes["knativeerrordest"]
	return dest[strings.LastIndex(dest, "/")+1:]
}

func (o *options) deadLetter(use, short string, do func(*options, context.Context, *state, kafka.DeadLetter) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " <id>", Short: short, Args: usage(cobra.ExactArgs(1)), Example: "  almanac deadletters " + use + " 0/12",
		RunE: func(cmd *cobra.Command, args []string) error {
			partition, offset, err := parseLetter(args[0])
			if err != nil {
				return &codedError{codeUsage, err}
			}
			return o.withState(cmd.Context(), func(ctx context.Context, s *state) error {
				d, err := s.cluster.DeadLetter(ctx, partition, offset)
				if err != nil {
					return err
				}
				return do(o, ctx, s, d)
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

func (o *options) showDeadLetter(_ context.Context, _ *state, d kafka.DeadLetter) error {
	if o.json {
		return o.printJSON(newLetter(d, true))
	}
	l := newLetter(d, true)
	tw := o.columns()
	for _, name := range sortedKeys(l.Attributes) {
		tw.rowf("%s\t%s", name, l.Attributes[name])
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	o.printf("\n%s\n", l.Data)
	return nil
}

func (o *options) resendDeadLetter(ctx context.Context, s *state, d kafka.DeadLetter) error {
	if s.http == "" && s.folder != nil {
		return errors.New("resend: no run holds the data folder, so no function is there to take the event; start almanac run and try again")
	}
	if s.http != "" { // the port may be another one than it was
		dest, err := url.Parse(d.Attributes["knativeerrordest"])
		if err != nil {
			return fmt.Errorf("resend: address of the dead letter: %w", err)
		}
		d.Attributes["knativeerrordest"] = s.http + dest.Path
	}
	if err := relay.Resend(ctx, relay.NewClient(nil), d); err != nil {
		return err
	}
	o.printf("delivered to %s\n", functionOf(d.Attributes))
	return nil
}
