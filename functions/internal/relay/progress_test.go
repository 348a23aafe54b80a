package relay

import (
	"testing"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// A commit passes over a partition that another member has (Member.Commit says nil), and meanwhile it is got again from what was committed before.
func TestWhatACommitPassedOverIsCommittedLater(t *testing.T) {
	p := progress{places: map[kafka.Place]*lane{}}
	place := kafka.Place{Topic: "t"}
	do := func(term int) (all []*ticket) {
		for o := range int64(10) {
			all = append(all, p.add(kafka.Record{Place: place, Offset: o, Term: term}))
		}
		return all
	}
	for _, tk := range do(1) {
		p.done(tk)
	}
	holds := func(kafka.Record) bool { return true }
	next, lanes := p.next(holds) // 10; the partition is another's now, so that nothing is committed for it, while others' commit takes its time
	again := do(2)
	p.committed(next, lanes)
	for _, tk := range again {
		p.done(tk)
	}
	if got, _ := p.next(holds); got[place] != 10 {
		t.Errorf("to be committed is %v, want 10: the group has committed nothing", got)
	}
}
