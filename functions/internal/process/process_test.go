package process

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

func TestHandleParsesASlice(t *testing.T) {
	w := newWorld(t)
	c := w.collect(events.Position{}, "day,n,text",
		raw{data: "\xef\xbb\xbfday,n,text\r\n2001-01-01,1,a\r\n2001-01-01,x,b\r\n"}, raw{data: "2001-02-01,2,c\r\n\r\n"}, raw{data: "2001-01-02,3,\"d\r\ne\""})
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	want := processed{
		Rows: []string{"2001-01-01|1|a|0", "2001-01-02|3|d\r\ne|3"},
		Rejects: []string{
			`2001-01-01,x,b|type||n|"x" is not an integer of 64 bits|2001-01-01|1|a.csv|0|1.2.0`,
			`2001-02-01,2,c|event_time_outside_window||day|2001-02-01T00:00:00Z does not lie in [2001-01-01T00:00:00Z, 2001-02-01T00:00:00Z)|(null)|2|a.csv|47|1.2.0`,
		},
		Blocks: []int{1, 0, 1},
		Sheet:  events.Sheet{"2001-01-01": {Read: 2, Stored: 1, Quarantined: 1}, "2001-01-02": {Read: 1, Stored: 1}, "unknown": {Read: 1, Quarantined: 1}},
	}
	if got := w.read(); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	fact := said[events.Processed](w)
	if fact.Piece != w.piece || fact.Inputs != c.Digest() || fact.Definition != "d1" || fact.Rows.Topic != "almanac.processed.readings" || fact.Quarantine.Topic != "almanac.quarantine.readings" {
		t.Errorf("the fact is %+v", fact)
	}
}

func TestHandleTakesTheHeaderFromTheFactWithinAFile(t *testing.T) {
	w := newWorld(t)
	w.collect(events.Position{File: 1, Offset: 1000}, "text,day,n", raw{data: "a,2001-01-01,1\nb,x,2\n"})
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	want := processed{
		Rows: []string{"2001-01-01|1|a|0"}, Rejects: []string{`b,x,2|type||day|"x" is not a date|(null)|1|b.csv|1000|1.2.0`}, Blocks: []int{1},
		Sheet: events.Sheet{"2001-01-01": {Read: 1, Stored: 1}, "unknown": {Read: 1, Quarantined: 1}},
	}
	if got := w.read(); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestHandleReadsFilesWithoutRecords(t *testing.T) {
	for name, raws := range map[string][]raw{
		"an empty file":        nil,
		"a header only":        {{data: "day,n,text\n"}},
		"a header, no newline": {{data: "day,n,text"}},
		"blank lines":          {{data: "\n\r\n\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.collect(events.Position{}, "", raws...)
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			got := w.read()
			if fact := said[events.Processed](w); fact.Inputs == "" || len(got.Rows)+len(got.Rejects)+len(got.Sheet) > 0 || len(got.Blocks) != len(raws) {
				t.Errorf("processed %+v as %+v", raws, got)
			}
		})
	}
}

func TestHandleStopsWhereTheFileIsNotOfTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		header, reason, detail string
		fragment               bool
	}{
		"a missing column":  {"day,text\n2001-01-01,a\n", "missing_column", `read a.csv: the header has no column "n", which line 8 of contract.yaml needs`, false},
		"an unknown column": {"day,n,text,more\n", "unknown_column", `read a.csv: the header names the column "more"`, false},
		"a column twice":    {"day,n,text,n\n", "duplicate_column", `read a.csv: the header names the column "n" twice`, false},
		"an open quote":     {"day,\"n,text\n2001-01-01,1,a\n", "bad_header", "read a.csv: the first record, the header, cannot be read", false},
		"an endless header": {strings.Repeat("day,", 1000), "bad_header", "read a.csv: the first record, the header, is longer than a block", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			collected := w.collect(events.Position{}, "", raw{data: c.header, fragment: c.fragment})
			for range 2 { // the second time nothing is said
				if err := w.handle(); err != nil {
					t.Fatal(err)
				}
			}
			stop := said[events.Stopped](w)
			if len(w.journal.Said()) != 2 || stop.Piece != w.piece.Whole() || stop.Step != "process" || stop.Reason != c.reason || !strings.HasPrefix(stop.Detail, c.detail) ||
				stop.Definition != "d1" || stop.Inputs != collected.Digest() || stop.Waiting {
				t.Errorf("said %+v", w.journal.Said()[1:])
			}
		})
	}
}

func TestHandleRefusesARecordLongerThanABlock(t *testing.T) {
	w := newWorld(t)
	raws := []raw{{data: "day,n,text\n2001-01-01,1,a\n"}}
	for range 100 {
		raws = append(raws, raw{data: strings.Repeat("x", block.MaxRaw), fragment: true})
	}
	w.collect(events.Position{}, "", append(raws, raw{data: "end\r\n"}, raw{data: "2001-01-02,2,b\n"})...)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	got := w.read()
	want := strings.Repeat("x", block.KeptOfLong) + "|record_too_long|||the record has 104857603 bytes, more than a block of 1048576; its first 65536 are kept here, all of it in the raw blocks|(null)|1|a.csv|26|1.2.0"
	if len(got.Rejects) != 1 || got.Rejects[0] != want {
		t.Errorf("refused %d records: %.200q", len(got.Rejects), got.Rejects)
	}
	if diff := cmp.Diff([]string{"2001-01-01|1|a|0", "2001-01-02|2|b|2"}, got.Rows); diff != "" || len(got.Blocks) != 103 {
		t.Error(diff, len(got.Blocks))
	}
}

func TestHandleRefusesALongRecordAtTheEnd(t *testing.T) {
	for name, last := range map[string]raw{"ended by the file": {data: "xyz"}, "ended by a newline, with records behind": {data: "xyz\n2001-01-01,1,a"}, "never ended": {data: "xyz", fragment: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.collect(events.Position{Offset: 500}, "day,n,text", raw{data: "abc", fragment: true}, last)
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			got := w.read()
			if len(got.Rejects) != 1 || !strings.HasPrefix(got.Rejects[0], "abcxyz|record_too_long|||the record has 6 bytes") || !strings.Contains(got.Rejects[0], "|0|a.csv|500|") || len(got.Rows) != strings.Count(last.data, ",1,") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHandleTwiceSaysOnce(t *testing.T) {
	w := newWorld(t)
	w.file("day,n,text\n2001-01-01,1,a\nbad\n", 1<<20)
	for range 3 {
		if err := w.handle(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.journal.Said()); n != 2 {
		t.Errorf("said %d facts, want the collected and one processed", n)
	}
}

// late is a journal whose first view is from before the work of another instance.
type late struct {
	facts.Journal

	view *facts.View
}

func (l late) View(context.Context) (*facts.View, error) { return l.view, nil }

func TestTwoInstancesSayFactsOfOneDigest(t *testing.T) {
	w := newWorld(t)
	c := w.file("day,n,text\n2001-01-01,1,a\nbad\n\n2001-01-02,2,\"b\nc\"\n", 20)
	var digests []string
	for range 2 {
		before := factstest.Memory{}
		if err := before.Say(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		view, _ := before.View(t.Context())
		p := w.process()
		p.Journal = late{&w.journal, view}
		if err := p.Handle(t.Context(), &events.Collected{Piece: w.piece}); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, said[events.Processed](w).Digest())
		w.read()
	}
	if digests[0] != digests[1] || len(w.journal.Said()) != 3 {
		t.Errorf("the digests are %q", digests)
	}
}

func TestHandleWorksAgainForOtherInputs(t *testing.T) {
	w := newWorld(t)
	w.file("day,n,text\n2001-01-01,1,a\n", 1<<20)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.file("day,n,text\n2001-01-01,2,a\n", 1<<20)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	if got := w.read().Rows; !cmp.Equal(got, []string{"2001-01-01|2|a|0"}) {
		t.Errorf("the rows are %q", got)
	}
}

func TestHandleTakesBackWhatIsCollectedForAnotherDefinition(t *testing.T) {
	w := newWorld(t)
	w.file("day,n,text\n2001-01-01,1,a\n", 1<<20)
	w.d.Definition = "d2"
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	view, _ := w.journal.View(t.Context())
	if _, ok := facts.Get[events.Collected](view, w.piece); ok || len(w.journal.Said()) != 1 {
		t.Errorf("said %+v", w.journal.Said())
	}
}

// behind is a catalog that has read a dataset before its definition became d1.
type behind struct {
	catalog

	away error
}

func (b behind) Dataset(name string) (*dataset.Dataset, error) {
	d, err := b.catalog.Dataset(name)
	if err != nil {
		return nil, err
	}
	old := *d
	old.Definition = "d0"
	return &old, nil
}

func (b behind) Latest(ctx context.Context, name string) (*dataset.Dataset, error) {
	if b.away != nil {
		return nil, b.away
	}
	return b.catalog.Latest(ctx, name)
}

func TestHandleTakesNothingBackThatANewerDefinitionHasCollected(t *testing.T) {
	w := newWorld(t)
	c := w.file("day,n,text\n2001-01-01,1,a\n", 1<<20)
	p := w.process()
	errAway := errors.New("warehouse away")
	p.Datasets = behind{catalog{w.d.Name: w.d}, errAway}
	if err := p.Handle(t.Context(), &events.Collected{Piece: w.piece}); !errors.Is(err, errAway) || errors.Is(err, events.ErrInvalid) {
		t.Errorf("Handle() while nobody can tell = %v, want %v", err, errAway)
	}
	view, _ := w.journal.View(t.Context())
	if _, ok := facts.Get[events.Collected](view, w.piece); !ok {
		t.Error("what nobody can judge is taken back")
	}
	p.Datasets = behind{catalog{w.d.Name: w.d}, nil}
	for range 2 { // the second time it is done
		if err := p.Handle(t.Context(), &events.Collected{Piece: w.piece}); err != nil {
			t.Fatal(err)
		}
	}
	if f := said[events.Processed](w); f.Definition != "d1" || f.Inputs != c.Digest() || len(w.journal.Said()) != 2 {
		t.Errorf("said %+v, want it processed by the definition it was collected by", w.journal.Said())
	}
}

func TestHandleLeavesAStoredGenerationAlone(t *testing.T) {
	w := newWorld(t)
	w.file("day,n,text\n2001-01-01,1,a\n", 1<<20)
	if err := w.journal.Say(t.Context(), events.Stored{Piece: w.piece.Whole()}); err != nil {
		t.Fatal(err)
	}
	w.blocks.Drop(block.RawTopic("readings"))
	if err := w.handle(); err != nil || len(w.journal.Said()) != 2 {
		t.Errorf("Handle() = %v, said %+v", err, w.journal.Said())
	}
}

func TestHandleTakesBackAFactWithoutItsBlocks(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"the topic is gone":        func(w *world) { w.blocks.Drop(block.RawTopic("readings")) },
		"a block is another":       func(w *world) { w.say(func(c *events.Collected) { c.Raw.Digest = strings.Repeat("0", 64) }) },
		"a block is missing":       func(w *world) { w.say(func(c *events.Collected) { c.Raw.Blocks++ }) },
		"another wrote the blocks": func(w *world) { w.say(func(c *events.Collected) { c.Raw.Writer = "other" }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.file("day,n,text\n2001-01-01,1,a\n", 1<<20)
			lose(w)
			before := len(w.journal.Said())
			if err := w.handle(); !errors.Is(err, block.ErrAbsent) || errors.Is(err, events.ErrInvalid) {
				t.Errorf("Handle() = %v, want absent blocks", err)
			}
			view, _ := w.journal.View(t.Context())
			if _, ok := facts.Get[events.Collected](view, w.piece); ok || len(w.journal.Said()) != before {
				t.Errorf("said %+v, and the collected fact stands: %v", w.journal.Said()[before:], ok)
			}
		})
	}
}

func (w *world) say(change func(c *events.Collected)) {
	c := said[events.Collected](w)
	change(&c)
	if err := w.journal.Say(w.Context(), c); err != nil {
		w.Fatal(err)
	}
}

func TestHandleRefusesBrokenFrames(t *testing.T) {
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{"a bomb": bomb.Bytes(), "no frame": []byte("day,n,text\n"), "half a frame": bomb.Bytes()[:bomb.Len()/2]} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.collect(events.Position{}, "", raw{data: "day,n,text\n"}, raw{value: value})
			err := w.handle()
			if !errors.Is(err, events.ErrInvalid) || !strings.Contains(err.Error(), "process readings//2001-01/1/1: invalid: raw block 1, offset 11 of a.csv: decode raw block") {
				t.Errorf("Handle() = %v", err)
			}
			w.say(func(c *events.Collected) { c.Raw.Digest = "other" })
			if err := w.handle(); !errors.Is(err, block.ErrAbsent) || errors.Is(err, events.ErrInvalid) {
				t.Errorf("Handle() of another digest = %v, want absent blocks", err)
			}
			if len(w.journal.Said()) != 2 {
				t.Errorf("said %+v", w.journal.Said())
			}
		})
	}
}

func TestHandleOfNothingToDo(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		ev   events.Event
		want error
	}{
		"an event without a fact": {&events.Collected{Piece: w.piece}, nil},
		"another event":           {&events.Stored{Piece: w.piece}, events.ErrInvalid},
		"no event":                {nil, events.ErrInvalid},
		"another dataset":         {&events.Collected{Piece: events.Piece{Dataset: "other", Window: "2001-01"}}, events.ErrInvalid},
		"a window of no form":     {&events.Collected{Piece: events.Piece{Dataset: "readings", Window: "soon"}}, events.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.process().Handle(t.Context(), c.ev); !errors.Is(err, c.want) {
				t.Errorf("Handle() = %v, want %v", err, c.want)
			}
		})
	}
	if said := w.journal.Said(); len(said) > 0 {
		t.Errorf("said %+v", said)
	}
}

// failing is a store whose blocks are not taken.
type failing struct {
	block.Store

	topic string
	claim bool
}

var errBroker = errors.New("broker away")

func (f failing) Open(ctx context.Context, topic string, p events.Piece) (block.Appender, error) {
	out, err := f.Store.Open(ctx, topic, p)
	if err != nil || topic != f.topic {
		return out, err
	}
	return refusing{out, f.claim}, nil
}

type refusing struct {
	block.Appender

	claim bool
}

func (r refusing) Append(ctx context.Context, b block.Block) error {
	if r.claim {
		return r.Appender.Append(ctx, b)
	}
	return errBroker
}

func (refusing) Claim(context.Context) (events.Claim, error) { return events.Claim{}, errBroker }

func TestHandleSaysNothingOfBlocksThatAreNotWritten(t *testing.T) {
	for _, topic := range []string{block.ProcessedTopic("readings"), block.QuarantineTopic("readings")} {
		for _, claim := range []bool{false, true} {
			w := newWorld(t)
			w.file("day,n,text\n2001-01-01,1,a\nbad\n", 1<<20)
			p := w.process()
			p.Blocks = failing{&w.blocks, topic, claim}
			err := p.Handle(t.Context(), &events.Collected{Piece: w.piece})
			if !errors.Is(err, errBroker) || errors.Is(err, events.ErrInvalid) || len(w.journal.Said()) != 1 {
				t.Errorf("%s: Handle() = %v, said %+v", topic, err, w.journal.Said()[1:])
			}
			if err := w.handle(); err != nil || len(w.read().Rows) != 1 {
				t.Errorf("%s: then Handle() = %v", topic, err)
			}
		}
	}
}

func TestHandleWritesManyRefusedRecordsInSeveralBlocks(t *testing.T) {
	w := newWorld(t)
	w.file("day,n,text\n"+strings.Repeat("x\n", 20000), 1<<20)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	if got := w.read(); len(got.Rejects) != 20000 || said[events.Processed](w).Quarantine.Blocks < 3 {
		t.Errorf("%d records in %d blocks", len(got.Rejects), said[events.Processed](w).Quarantine.Blocks)
	}
}
