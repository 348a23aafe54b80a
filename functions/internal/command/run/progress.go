package run

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/calendar"
	"github.com/almanac-data/almanac/functions/internal/command"
	"github.com/almanac-data/almanac/functions/internal/command/survey"
)

// progress shows how far a run is: a block of lines that is drawn again on a terminal, plain lines elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	width    int
	began    time.Time
	drawn    int            // lines of the block on the terminal
	said     map[string]int // plain: what was said last, by step
	base     events.Counts  // rows that were there before this run
	started  bool
	shown    time.Time
	warned   time.Time
}

func newProgress(out io.Writer, terminal bool, width int, now time.Time) *progress {
	return &progress{out: out, terminal: terminal, width: width, began: now, said: map[string]int{}}
}

// show draws the states of all datasets, and what goes wrong.
func (p *progress) show(all []survey.Dataset, troubles []string, now time.Time) {
	total := ingested(all)
	if !p.started {
		p.base, p.started = total, true
	}
	if p.terminal {
		lines := p.block(all, total, now)
		for _, t := range troubles {
			lines = append(lines, cut("  "+t, p.width))
		}
		p.draw(lines)
		return
	}
	p.plain(all, total, now)
	p.warn(troubles, now)
}

func ingested(all []survey.Dataset) events.Counts {
	var total events.Counts
	for _, s := range all {
		for _, st := range s.States {
			if st.Phase == calendar.Stored {
				total = total.Add(st.Sheet.Total())
			}
		}
	}
	return total
}

func (p *progress) rate(total events.Counts, now time.Time) string {
	seconds := now.Sub(p.began).Seconds()
	if seconds < 0.5 {
		return ""
	}
	return fmt.Sprintf("  %s rows/s", command.Thousands(int64(float64(total.Read-p.base.Read)/seconds)))
}

func (p *progress) block(all []survey.Dataset, total events.Counts, now time.Time) []string {
	lines := []string{fmt.Sprintf("%6.1fs  %s rows read, %s refused%s", now.Sub(p.began).Seconds(),
		command.Thousands(total.Read), command.Thousands(total.Quarantined), p.rate(total, now))}
	for _, s := range all {
		for _, group := range survey.Grouped(s.States) {
			finished, busy := 0, []string{}
			for _, st := range group {
				switch st.Phase {
				case calendar.Stored, calendar.Aggregated, calendar.Released:
					finished++
				case calendar.Due, calendar.Blocked:
				default:
					busy = append(busy, st.Piece.Window+" "+string(st.Phase))
				}
			}
			line := fmt.Sprintf("  %-8s %-15s %s %4d/%-4d %s", s.Dataset, survey.StepName(group[0]), bar(finished, len(group)), finished, len(group), strings.Join(busy, ", "))
			lines = append(lines, cut(line, p.width))
		}
	}
	return lines
}

func bar(done, all int) string {
	const cells = 20
	n := cells
	if all > 0 {
		n = cells * done / all
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", cells-n) + "]"
}

// cut shortens a line to the width of the terminal, so that it does not wrap. Lines are ASCII.
func cut(line string, width int) string {
	if width > 0 && len(line) > width {
		return line[:width-1] + "~"
	}
	return line
}

// draw puts the block over the one before it.
func (p *progress) draw(lines []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + line + "\n")
	}
	for i := len(lines); i < p.drawn; i++ {
		b.WriteString("\x1b[2K\n") // a trouble that is over
	}
	p.drawn = max(len(lines), p.drawn)
	p.printf("%s", b.String())
}

// warn prints a trouble when it is new, and again every half minute.
func (p *progress) warn(troubles []string, now time.Time) {
	if len(troubles) == 0 || now.Sub(p.warned) < 30*time.Second {
		return
	}
	p.warned = now
	for _, t := range troubles {
		p.printf("%6.1fs  %s\n", now.Sub(p.began).Seconds(), t)
	}
}

func (p *progress) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...) // as that of Options
}

// plain prints a line for each release as it is published, and one for each step at most every two seconds while it moves.
func (p *progress) plain(all []survey.Dataset, total events.Counts, now time.Time) {
	for _, s := range all {
		for _, st := range s.States {
			key := "release " + s.Dataset + " " + st.Version
			if st.Phase == calendar.Released && p.said[key] == 0 {
				p.said[key] = 1
				if p.shown.IsZero() {
					continue // it was there before
				}
				p.printf("%6.1fs  %s released %s, %s rows\n", now.Sub(p.began).Seconds(), s.Dataset, st.Version, command.Thousands(st.Rows))
			}
		}
	}
	if now.Sub(p.shown) < 2*time.Second {
		return
	}
	p.shown = now
	for _, s := range all {
		var parts []string
		moved := false
		for _, group := range survey.Grouped(s.States) {
			finished := 0
			for _, st := range group {
				if st.Phase == calendar.Stored || st.Phase == calendar.Aggregated || st.Phase == calendar.Released {
					finished++
				}
			}
			key := s.Dataset + " " + survey.StepName(group[0])
			if last, ok := p.said[key]; !ok || last != finished {
				moved = true
			}
			p.said[key] = finished
			parts = append(parts, fmt.Sprintf("%s %d/%d", survey.StepName(group[0]), finished, len(group)))
		}
		if moved {
			p.printf("%6.1fs  %s: %s; in all %s rows read, %s refused%s\n", now.Sub(p.began).Seconds(), s.Dataset, strings.Join(parts, ", "),
				command.Thousands(total.Read), command.Thousands(total.Quarantined), p.rate(total, now))
		}
	}
}
