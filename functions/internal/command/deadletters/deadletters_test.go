package deadletters

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/commandtest"
	"github.com/almanac-data/almanac/functions/internal/command/run"
	"github.com/almanac-data/almanac/functions/internal/command/state"
	"github.com/almanac-data/almanac/functions/internal/command/status"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/kafka"
)

var almanac = commandtest.Almanac{New, run.New, status.New}

const tripsReleases = `releases:
  - {name: training, sql: releases/training.sql, every: day, delay: 0d, inputs: {rows: {back: 0d}}, order_by: [date, n]}
`

// TestAReleaseIsGivenUpAndAskedForAnew lets a calendar ask for releases that nobody makes, and looks with the commands at what comes of it.
func TestAReleaseIsGivenUpAndAskedForAnew(t *testing.T) {
	commandtest.Unset(t)
	root, write := commandtest.Trips(t)
	data := filepath.Join(t.TempDir(), "data")
	at := func(args ...string) []string { return append(args, "--data", data, "--datasets", root) }
	run := at("run", "--no-serve", "--to", "2001-02-01")
	if out, code, err := almanac.Call(t, run...); code != 0 {
		t.Fatalf("run: exit %d, %v: %s", code, err, out)
	}
	write("pipeline.yaml", commandtest.TripsPipeline+tripsReleases)
	write("releases/training.sql", "SELECT date, n FROM rows WHERE _event_time >= :start")
	piece := events.Piece{Dataset: "trips", Name: "training", Window: "2001-01-01"}
	g := &givingUp{t: t, o: commandtest.Options(nil), piece: piece}
	g.o.Data, g.o.Datasets = data, root
	g.tick(t, 2)
	g.tick(t, 1)

	const happened = "attempts without a result: 2"
	if out, code, _ := almanac.Call(t, at("status")...); code != command.Attention || !strings.Contains(out, "training 2001-01-01: waiting: "+happened) {
		t.Errorf("status: exit %d: %s", code, out)
	}
	all := commandtest.JSON[[]letter](t, almanac, at("deadletters", "list")...)
	if len(all) != 2 || all[0].Function != "deliver" || !strings.HasPrefix(all[0].Detail, happened) || all[0].Attributes["source"] != "/almanac/calendar" ||
		all[0].Attributes["subject"] != "trips/2001-01-01" || all[0].Attributes["type"] != events.TypeDue || !strings.HasSuffix(all[0].Attributes["id"], "/2") {
		t.Errorf("deadletters list = %+v", all)
	}
	if out, code, err := almanac.Call(t, at("deadletters", "list")...); code != 0 || !strings.Contains(out, "deliver") || !strings.Contains(out, happened) {
		t.Errorf("deadletters list: exit %d, %v: %s", code, err, out)
	}
	if out, code, err := almanac.Call(t, at("deadletters", "show", "0/0")...); code != 0 || !strings.Contains(out, happened) || !strings.Contains(out, `"try":2`) {
		t.Errorf("deadletters show: exit %d, %v: %s", code, err, out)
	}
	if out, code, err := almanac.Call(t, at("deadletters", "resend", "0/0")...); code != 1 || !strings.Contains(err.Error(), "start almanac run") {
		t.Errorf("resend without a run: exit %d, %v: %s", code, err, out)
	}
	g.resends("2001-01-01", "asked for anew, as attempt 3", "")
	if last := g.due(); last.Attempt != 3 || last.Try != 1 || last.Inputs == "" || last.Reason != "requested" {
		t.Errorf("what was asked for anew is %+v, want attempt 3, try 1", last)
	}
	g.resends("2001-01-01", "is running; nothing is sent", "")
	if last := g.due(); last.Attempt != 3 {
		t.Errorf("asked for twice, it is asked for as %+v", last)
	}
	g.resends("2001-03-01", "", "not due any more")
	g.refuses()

	if out, code, err := almanac.Call(t, run...); code != 0 || !strings.Contains(out, "latest training-2001-01-02.1") {
		t.Errorf("run: exit %d, %v: %s", code, err, out)
	}
	g.resends("2001-01-01", "is released; nothing is sent", "")
	if again := commandtest.JSON[[]letter](t, almanac, at("deadletters", "list")...); len(again) != len(all) {
		t.Errorf("there are %d dead letters in the end, want no more of them", len(again))
	}
}

// givingUp stands where a run holds a data folder.
type givingUp struct {
	t     *testing.T
	o     *command.Options
	piece events.Piece
}

// hold opens the data folder.
func (g *givingUp) hold(do func(ctx context.Context, s *state.State) error) {
	g.t.Helper()
	if err := state.With(g.t.Context(), g.o, do); err != nil {
		g.t.Fatal(err)
	}
}

// tick wakes a calendar so often that two attempts of each release have had their time, and a grace of no time is over.
func (g *givingUp) tick(t *testing.T, times int) {
	t.Helper()
	g.hold(func(ctx context.Context, s *state.State) error {
		c := &calendar.Calendar{
			Journal: s.Journal, Datasets: s.Datasets.Schedule, Tables: s.Lake, Letters: s.Cluster.LetterBox("calendar"), Now: s.Now, Wall: g.o.Now,
			Pace: calendar.Pace{Attempts: 2},
		}
		var errs []error
		for range times {
			errs = append(errs, c.Handle(ctx, nil))
		}
		return errors.Join(errs...)
	})
}

// due is what asked for the release last.
func (g *givingUp) due() (last events.Due) {
	g.t.Helper()
	g.hold(func(ctx context.Context, s *state.State) error {
		view, err := s.Journal.View(ctx)
		if err == nil {
			last, _, _ = facts.LatestDue(view, events.StepDeliver, g.piece)
		}
		return err
	})
	return last
}

// resend sends a letter again as where a run is there to take it, and returns what is printed.
func (g *givingUp) resend(d kafka.DeadLetter) (text string, resent error) {
	g.t.Helper()
	var out bytes.Buffer
	g.o.Out = &out
	g.hold(func(ctx context.Context, s *state.State) error {
		s.HTTP = "http://127.0.0.1:1"
		resent = resendDeadLetter(ctx, g.o, s, d)
		return nil
	})
	return out.String(), resent
}

// resends sends the first letter again, as that of a window.
func (g *givingUp) resends(window, want, wantErr string) {
	g.t.Helper()
	var d kafka.DeadLetter
	g.hold(func(ctx context.Context, s *state.State) (err error) {
		d, err = s.Cluster.DeadLetter(ctx, 0, 0)
		return err
	})
	d.Data = bytes.ReplaceAll(d.Data, []byte(g.piece.Window), []byte(window))
	out, err := g.resend(d)
	if !strings.Contains(out, want) || (wantErr == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), wantErr) {
		g.t.Errorf("resend says %q, %v; want %q, %q", out, err, want, wantErr)
	}
}

// refuses holds what is said of letters that name no function.
func (g *givingUp) refuses() {
	g.t.Helper()
	for name, d := range map[string]kafka.DeadLetter{
		"a fact":               {Attributes: map[string]string{"type": events.TypeStored}, Data: []byte(`{"dataset":"trips","window":"2001-01-01"}`)},
		"a due of collect":     {Attributes: map[string]string{"type": events.TypeDue}, Data: []byte(`{"dataset":"trips","window":"2001-01-01","step":"collect"}`)},
		"nothing of Almanac's": {Attributes: map[string]string{"type": "x"}, Data: []byte("x")},
	} {
		if out, err := g.resend(d); err == nil || !strings.Contains(err.Error(), "does not name the function") {
			g.t.Errorf("%s: resend says %q, %v", name, out, err)
		}
	}
	unknown := kafka.DeadLetter{Attributes: map[string]string{"type": events.TypeDue}, Data: []byte(`{"dataset":"nobody","name":"x","window":"2001-01-01","step":"deliver"}`)}
	if _, err := g.resend(unknown); err == nil || !strings.Contains(err.Error(), "trips") {
		g.t.Errorf("resend of an unknown dataset says %v, want the datasets that there are", err)
	}
}
