package validate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/block"
	"github.com/almanac-data/almanac/functions/internal/block/blocktest"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/facts/factstest"
)

var ctx = context.Background()

var piece = events.Piece{Dataset: "flights", Window: "2001-01-05", Generation: 1, Slice: 2}

// world has a slice that is processed. It is also the port that finds the dataset.
type world struct {
	t         testing.TB
	d         *dataset.Dataset
	journal   *factstest.Memory
	blocks    *blocktest.Memory
	validate  *Validate
	collected events.Collected
	processed events.Processed
}

func (w *world) Dataset(name string) (*dataset.Dataset, error) {
	if name != w.d.Name {
		return nil, fmt.Errorf("%w: no dataset %s", events.ErrInvalid, name)
	}
	return w.d, nil
}

// raw is a raw block as a test writes it: records with their line ends, as they are cut. A record that begins with ! was
// refused by process, one that begins with ~ was filtered.
type raw struct {
	records  []string
	fragment bool
}

func records(list ...string) raw { return raw{records: list} }

// newWorld makes the facts and blocks of a slice. The first block starts a file if header is not empty.
func newWorld(t testing.TB, header string, blocks ...raw) *world {
	t.Helper()
	w := &world{t: t, journal: new(factstest.Memory), blocks: new(blocktest.Memory), d: &dataset.Dataset{
		Name: "flights", Version: "1.2.0", Definition: "d1",
		Columns: []dataset.Column{{Name: "date", Type: dataset.Timestamp}, {Name: "delay", Type: dataset.Integer}, {Name: "origin", Type: dataset.String}},
		Rules: []dataset.Rule{
			{Name: "late", Kind: "range", Column: "delay", Max: new(100.0), Scope: "row", Severity: "warning"},
			{Name: "delay-range", Kind: "range", Column: "delay", Min: new(-60.0), Max: new(1440.0), Scope: "row", Severity: "error"},
			{Name: "origin-code", Kind: "regex", Column: "origin", Pattern: "[A-Z]{3}", Scope: "row", Severity: "error"},
			{Name: "origin-there", Kind: "required", Column: "origin", Scope: "row", Severity: "error"},
			{Name: "enough", Kind: "row_count", Min: new(1.0), Scope: "window", Severity: "error"},
		},
		Collect: dataset.Collect{EventTime: "date", Format: dataset.Format{Kind: "csv", Delimiter: ',', Quote: '"', Header: true}},
	}}
	w.validate = &Validate{Journal: w.journal, Blocks: w.blocks, Datasets: w}
	w.collected = events.Collected{Piece: piece, Inputs: "i", Pin: events.Pin{Files: []events.PinnedFile{{URI: "a.csv"}, {URI: "b.csv"}}}, From: events.Position{File: 1}}
	if header == "" {
		w.collected.From.Offset = 1000
	}
	w.processed = events.Processed{Piece: piece, Definition: "d1", Sheet: events.Sheet{}}
	w.fill(header, blocks)
	w.processed.Inputs = w.collected.Digest()
	if err := w.journal.Say(ctx, w.collected, w.processed); err != nil {
		t.Fatal(err)
	}
	return w
}

// fill does the work of collect and process.
func (w *world) fill(header string, blocks []raw) {
	rawOut, rowsOut, refused := w.open(block.RawTopic("flights")), w.open(block.ProcessedTopic("flights")), w.open(block.QuarantineTopic("flights"))
	at, ordinal, inside := w.collected.From, int64(0), false
	for i, b := range blocks {
		rows := array.NewRecordBuilder(memory.DefaultAllocator, block.Schema(w.d))
		bad := array.NewRecordBuilder(memory.DefaultAllocator, block.Quarantine)
		var text strings.Builder
		if i == 0 {
			text.WriteString(header)
		}
		for n, r := range b.records {
			if continues := inside && n == 0; !continues {
				w.row(rows, bad, r, ordinal)
				ordinal++
			}
			text.WriteString(strings.TrimLeft(r, "!~"))
		}
		value, err := block.EncodeRaw([]byte(text.String()))
		w.must(err)
		w.must(rawOut.Append(ctx, block.Block{Index: i, From: at, Fragment: b.fragment, Value: value}))
		at.Offset += int64(text.Len())
		inside = b.fragment
		w.batch(rowsOut, rows, i)
		w.batch(refused, bad, i)
	}
	w.collected.Raw, w.processed.Rows, w.processed.Quarantine = w.claim(rawOut), w.claim(rowsOut), w.claim(refused)
}

func (w *world) row(rows, bad *array.RecordBuilder, r string, ordinal int64) {
	day := "2001-01-05"
	fields := strings.SplitN(strings.Trim(r, "\r\n"), ",", 3)
	if fields[0] == "" {
		day = events.UnknownDay
	}
	switch {
	case strings.HasPrefix(r, "~"):
		w.processed.Sheet.Add(day, events.Counts{Read: 1, Filtered: 1})
		return
	case strings.HasPrefix(r, "!"):
		w.processed.Sheet.Add(events.UnknownDay, events.Counts{Read: 1, Quarantined: 1})
		for i, f := range bad.Fields() {
			switch b := f.(type) {
			case *array.BinaryBuilder:
				b.AppendString(r[1:])
			case *array.StringBuilder:
				b.Append(map[bool]string{true: "ragged"}[i == 1])
			case *array.Int64Builder:
				b.Append(ordinal)
			}
		}
		return
	}
	w.processed.Sheet.Add(day, events.Counts{Read: 1, Stored: 1})
	rows.Field(3).(*array.Int64Builder).Append(ordinal)
	for i, v := range fields {
		if v = strings.Trim(v, `"`); v == "" {
			rows.Field(i).AppendNull()
			continue
		}
		w.must(rows.Field(i).AppendValueFromString(v))
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open(topic string) block.Appender {
	a, err := w.blocks.Open(ctx, topic, piece)
	w.must(err)
	return a
}

func (w *world) claim(a block.Appender) events.Claim {
	c, err := a.Claim(ctx)
	w.must(err)
	return c
}

func (w *world) batch(out block.Appender, b *array.RecordBuilder, index int) {
	batch := b.NewRecordBatch()
	defer batch.Release()
	if batch.NumRows() == 0 && batch.Schema().Equal(block.Quarantine) {
		return
	}
	value, err := block.Encode(batch)
	w.must(err)
	w.must(out.Append(ctx, block.Block{Index: index, Rows: batch.NumRows(), Value: value}))
}

// handle must succeed and leave a fact, whose sheet balances.
func (w *world) handle() events.Validated {
	w.t.Helper()
	if err := w.validate.Handle(ctx, &w.processed); err != nil {
		w.t.Fatalf("Handle: %v", err)
	}
	view, _ := w.journal.View(ctx)
	f, ok := facts.Get[events.Validated](view, piece)
	if !ok || f.Inputs != w.processed.Digest() || f.Definition != "d1" || len(f.Quarantine) != 2 || f.Quarantine[0] != w.processed.Quarantine {
		w.t.Fatalf("said %+v", f)
	}
	rows, refused := w.values(f.Rows), 0
	for _, c := range f.Quarantine {
		refused += int(c.Rows)
	}
	sum := f.Sheet.Total()
	for day, c := range f.Sheet {
		if !c.Balanced() {
			w.t.Errorf("%s: %+v does not balance", day, c)
		}
	}
	if sum.Stored != int64(len(rows)) || sum.Stored != f.Rows.Rows || sum.Quarantined != int64(refused) || sum.Read != w.processed.Sheet.Total().Read {
		w.t.Errorf("sheet says %+v of %d rows and %d refused", sum, len(rows), refused)
	}
	return f
}

// values lists the rows of a claim as text.
func (w *world) values(c events.Claim) []string {
	w.t.Helper()
	schema := block.Schema(w.d)
	if c.Topic == block.QuarantineTopic("flights") {
		schema = block.Quarantine
	}
	var all []string
	if c.Blocks == 0 {
		return nil
	}
	for b, err := range w.blocks.Read(ctx, c) {
		w.must(err)
		batch, err := block.Decode(b.Value, schema)
		w.must(err)
		if batch.NumRows() != b.Rows {
			w.t.Errorf("block %d says %d rows and has %d", b.Index, b.Rows, batch.NumRows())
		}
		for row := range int(batch.NumRows()) {
			var fields []string
			for _, column := range batch.Columns() {
				if bytes, ok := column.(*array.Binary); ok {
					fields = append(fields, string(bytes.Value(row)))
				} else {
					fields = append(fields, column.ValueStr(row))
				}
			}
			all = append(all, strings.Join(fields, "|"))
		}
	}
	return all
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n%v, want\n%v", what, got, want)
	}
}

// TestBlocksBeforeABadRowAreWrittenAgain holds that a bad row in the last block loses none before it.
func TestBlocksBeforeABadRowAreWrittenAgain(t *testing.T) {
	w := newWorld(t, "date,delay,origin\n",
		records(at+",1,ABC\n", at+",2,ABC\n"), records(at+",3,ABC\n"), records(at+",99999,ABC\n", at+",5,ABC\n"))
	f := w.handle()
	if f.Rows.Topic != "almanac.clean.flights" || f.Rows.Blocks != 3 || f.Rows.Rows != 4 || f.Quarantine[1].Rows != 1 {
		t.Errorf("said %+v, want three clean blocks of four rows, and one row refused", f)
	}
}

const at = "2001-01-05T10:00:00Z"

func TestASliceWithoutABadRowIsClaimedWhereProcessWroteIt(t *testing.T) {
	w := newWorld(t, "date,delay,origin\n",
		records(at+",1,ABC\n", at+",,ABC\n"), records(at+",1440,ABC\n", "!a,b\n"), records("~"+at+",5,XXX\n"))
	f := w.handle()
	if f.Rows != w.processed.Rows || f.Rows.Blocks != 3 || f.Quarantine[1].Blocks != 0 {
		t.Errorf("said %+v, want the blocks of process", f)
	}
	equal(t, "reasons", f.Reasons, map[string]int64{"ragged": 1, "late": 1})
	equal(t, "sheet", f.Sheet, w.processed.Sheet)
}

func TestBadRowsGoToQuarantineWithTheirOriginalBytes(t *testing.T) {
	long := strings.Repeat("x", 100)
	w := newWorld(t, "\xef\xbb\xbfdate,delay,origin\r\n",
		records(at+",1,ABC\r\n", "!ragged\r\n", at+",1441,ABC\r\n", "\r\n"+at+",2,ABC\n"),
		records(at+",1,ABC\n", "~"+at+",1,ABC\n"),
		raw{[]string{"!" + long}, true}, raw{[]string{long}, true}, records(long+"\n", "!more\n"), // one record in three blocks
		records("~"+at+",3,ABC\n", at+`,9999,"a`+"\n"+`b"`+"\n", ",101,ABC\n", ",-61,ABC\n"),
		records(at+",5,", "\n"+at+",6,A"),
	)
	f := w.handle()
	equal(t, "rows", w.values(f.Rows), []string{
		"2001-01-05T10:00:00Z|1|ABC|0", "2001-01-05T10:00:00Z|2|ABC|3", "2001-01-05T10:00:00Z|1|ABC|4", "(null)|101|ABC|10",
	})
	header := len("\xef\xbb\xbfdate,delay,origin\r\n")
	second := header + len(at+",1,ABC\r\nragged\r\n"+at+",1441,ABC\r\n\r\n"+at+",2,ABC\n")
	fourth := second + len(at+",1,ABC\n"+at+",1,ABC\n") + 301 + len("more\n")
	fifth := fourth + len(at+",3,ABC\n"+at+`,9999,"a`+"\n"+`b"`+"\n,101,ABC\n,-61,ABC\n")
	line := func(original, kind, name, column, detail, day string, ordinal, offset int) string {
		return fmt.Sprintf("%s|%s|%s|%s|%s|%s|%d|b.csv|%d|1.2.0", original, kind, name, column, detail, day, ordinal, offset)
	}
	equal(t, "quarantine", w.values(f.Quarantine[1]), []string{
		line(at+",1441,ABC", "range", "delay-range", "delay", "delay is 1441, must be -60 to 1440", "2001-01-05", 2, 0),
		line(at+`,9999,"a`+"\n"+`b"`, "range", "delay-range", "delay", "delay is 9999, must be -60 to 1440", "2001-01-05", 9, fourth),
		line(",-61,ABC", "range", "delay-range", "delay", "delay is -61, must be -60 to 1440", "(null)", 11, fourth),
		line(at+",5,", "required", "origin-there", "origin", "origin is missing", "2001-01-05", 12, fifth),
		line(at+",6,A", "regex", "origin-code", "origin", `origin is "A", must match [A-Z]{3}`, "2001-01-05", 13, fifth),
	})
	equal(t, "reasons", f.Reasons, map[string]int64{"ragged": 3, "delay-range": 3, "origin-there": 1, "origin-code": 1, "late": 1})
	equal(t, "sheet", f.Sheet, events.Sheet{
		"2001-01-05":      {Read: 9, Stored: 3, Quarantined: 4, Filtered: 2},
		events.UnknownDay: {Read: 5, Stored: 1, Quarantined: 4},
	})
}

func TestABlockOfBadRowsIsEmptyAndStays(t *testing.T) {
	w := newWorld(t, "", records(at+",5000,ABC\n", at+",5000,ABC\n"), records(at+",1,ABC\n"))
	f := w.handle()
	equal(t, "rows", w.values(f.Rows), []string{"2001-01-05T10:00:00Z|1|ABC|2"})
	if f.Rows.Blocks != 2 || f.Quarantine[1].Rows != 2 {
		t.Errorf("said %+v, want 2 blocks and 2 refused rows", f)
	}
}

func TestManyBadRowsMakeSeveralBlocks(t *testing.T) {
	bad := make([]string, 30_000)
	for i := range bad {
		bad[i] = fmt.Sprintf("%s,%d,ABC\n", at, 2000+i)
	}
	w := newWorld(t, "", records(bad...))
	f := w.handle()
	got := w.values(f.Quarantine[1])
	if len(got) != len(bad) || !strings.HasPrefix(got[29_999], strings.TrimSpace(bad[29_999])+"|range") {
		t.Fatalf("%d rows in quarantine, the last %s, want %d", len(got), got[len(got)-1], len(bad))
	}
	for b, err := range w.blocks.Read(ctx, f.Quarantine[1]) {
		w.must(err)
		if len(b.Value) > 1<<20 {
			t.Errorf("a quarantine block has %d bytes", len(b.Value))
		}
	}
}

func TestOnceMoreSaysNothing(t *testing.T) {
	w := newWorld(t, "", records(at+",5000,ABC\n", at+",1,ABC\n"))
	first := w.handle()
	said := len(w.journal.Said())
	if again := w.handle(); again.Digest() != first.Digest() || len(w.journal.Said()) != said {
		t.Errorf("the second time %d facts were said", len(w.journal.Said())-said)
	}
	other := newWorld(t, "", records(at+",5000,ABC\n", at+",1,ABC\n"))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() { _ = other.validate.Handle(ctx, &other.processed) })
	}
	wait.Wait()
	if got := other.handle(); got.Digest() != first.Digest() {
		t.Errorf("four at once: said %+v, want what one says", got)
	}
}

// deaf is a journal that cannot say.
type deaf struct{ facts.Journal }

var errDead = errors.New("dead")

func (deaf) Say(context.Context, ...events.Event) error { return errDead }

func TestBlocksWithoutAFactDoNotCount(t *testing.T) {
	w := newWorld(t, "", records(at+",5000,ABC\n", at+",1,ABC\n"))
	w.validate.Journal = deaf{w.journal}
	if err := w.validate.Handle(ctx, &w.processed); !errors.Is(err, errDead) {
		t.Fatalf("Handle error = %v, want %v", err, errDead)
	}
	w.validate.Journal = w.journal
	f := w.handle()
	if f.Rows.From != 1 || f.Quarantine[1].Blocks != 1 {
		t.Errorf("said %+v, want the blocks of the second try only", f)
	}
}

func TestDoesNothing(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"without a fact":              func(w *world) { w.must(w.journal.Retract(ctx, w.processed)) },
		"without the fact before":     func(w *world) { w.must(w.journal.Retract(ctx, w.collected)) },
		"for other inputs":            func(w *world) { w.collected.Raw.Digest = "x"; w.must(w.journal.Say(ctx, w.collected)) },
		"for another definition":      func(w *world) { w.d.Definition = "d2" },
		"for a generation long since": func(w *world) { w.must(w.journal.Say(ctx, events.Stored{Piece: piece.Whole()})) },
	} {
		w := newWorld(t, "", records(at+",1,ABC\n"))
		change(w)
		said := len(w.journal.Said())
		if err := w.validate.Handle(ctx, &w.processed); err != nil || len(w.journal.Said()) != said {
			t.Errorf("%s: %v, said %+v, want nothing", name, err, w.journal.Said()[said:])
		}
	}
}

func TestAnOldResultIsDoneAgain(t *testing.T) {
	w := newWorld(t, "", records(at+",1,ABC\n"))
	f := w.handle()
	for _, spoil := range []func(){func() { f.Inputs = "other" }, func() { f.Inputs, f.Definition = w.processed.Digest(), "d0" }} {
		spoil()
		w.must(w.journal.Say(ctx, f))
		w.handle()
	}
}

func TestAFactWithoutItsBlocksIsTakenBack(t *testing.T) {
	for topic, gone := range map[string]events.Event{
		block.ProcessedTopic("flights"):  events.Processed{},
		block.QuarantineTopic("flights"): events.Processed{},
		block.RawTopic("flights"):        events.Collected{},
	} {
		w := newWorld(t, "", records(at+",5000,ABC\n", "!x\n"), records(at+",1,ABC\n"))
		w.blocks.Drop(topic)
		if err := w.validate.Handle(ctx, &w.processed); !errors.Is(err, block.ErrAbsent) {
			t.Errorf("%s: error = %v, want %v", topic, err, block.ErrAbsent)
		}
		view, _ := w.journal.View(ctx)
		_, collected := facts.Get[events.Collected](view, piece)
		_, processed := facts.Get[events.Processed](view, piece)
		if collected == (gone.Type() == events.TypeCollected) || processed == (gone.Type() == events.TypeProcessed) {
			t.Errorf("%s: collected %v, processed %v, want %s taken back", topic, collected, processed, gone.Type())
		}
		if _, ok := facts.Get[events.Validated](view, piece); ok {
			t.Errorf("%s: said validated", topic)
		}
	}
}

func TestRawBlocksThatAreNotWholeAreNotTrusted(t *testing.T) {
	w := newWorld(t, "", records(at+",5000,ABC\n"), records(at+",1,ABC\n"))
	w.collected.Raw.Blocks++ // one that is gone, behind all that is asked for
	w.must(w.journal.Say(ctx, w.collected))
	if err := w.validate.Handle(ctx, &w.processed); !errors.Is(err, block.ErrAbsent) {
		t.Errorf("Handle error = %v, want %v", err, block.ErrAbsent)
	}
}

func TestRefuses(t *testing.T) {
	tests := map[string]func(w *world) events.Event{
		"nothing":            func(*world) events.Event { return nil },
		"another fact":       func(w *world) events.Event { return &w.collected },
		"an unknown dataset": func(w *world) events.Event { w.processed.Dataset = "other"; return &w.processed },
		"a rule that cannot be": func(w *world) events.Event {
			w.d.Rules = append(w.d.Rules, dataset.Rule{Kind: "magic", Column: "delay", Scope: "row"})
			return &w.processed
		},
		"no event time": func(w *world) events.Event { w.d.Collect.EventTime = "x"; return &w.processed },
		"rows of another schema": func(w *world) events.Event {
			w.d.Columns = append(w.d.Columns, dataset.Column{Name: "more", Type: dataset.String})
			return &w.processed
		},
		"rows that are not those of the raw blocks": func(w *world) events.Event {
			out := w.open(block.RawTopic("flights"))
			value, err := block.EncodeRaw([]byte(at + ",1,ABC\n"))
			w.must(err)
			w.must(out.Append(ctx, block.Block{From: w.collected.From, Value: value}))
			return w.say(w.claim(out))
		},
		"fewer raw blocks than blocks of rows": func(w *world) events.Event {
			return w.say(w.claim(w.open(block.RawTopic("flights"))))
		},
		"raw blocks that are not packed": func(w *world) events.Event {
			out := w.open(block.RawTopic("flights"))
			w.must(out.Append(ctx, block.Block{Value: []byte("plain")}))
			return w.say(w.claim(out))
		},
	}
	for name, event := range tests {
		w := newWorld(t, "", records(at+",1,ABC\n", at+",5000,ABC\n"))
		if err := w.validate.Handle(ctx, event(w)); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%s: error = %v, want one that wraps ErrInvalid", name, err)
		}
	}
}

// say says that the slice has these raw blocks.
func (w *world) say(c events.Claim) events.Event {
	w.collected.Raw = c
	w.processed.Inputs = w.collected.Digest()
	w.must(w.journal.Say(ctx, w.collected, w.processed))
	return &w.processed
}

func TestWithout(t *testing.T) {
	schema := block.Schema(&dataset.Dataset{Columns: []dataset.Column{
		{Name: "s", Type: dataset.String}, {Name: "b", Type: dataset.Boolean}, {Name: "c", Type: dataset.Decimal, Precision: 9, Scale: 2},
		{Name: "f", Type: dataset.Number}, {Name: "d", Type: dataset.Date},
	}})
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range 20 {
		for n, v := range []string{fmt.Sprint("s", i), fmt.Sprint(i%3 == 0), fmt.Sprintf("%d.25", i), fmt.Sprint(i), "2001-01-05", fmt.Sprint(i)} {
			if n < 5 && (i+n)%4 == 0 {
				b.Field(n).AppendNull()
			} else if err := b.Field(n).AppendValueFromString(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	batch := b.NewRecordBatch()
	for _, bad := range [][]int{{0}, {19}, {0, 1, 2}, {5, 7, 9, 18, 19}} {
		got, err := without(batch, bad)
		if err != nil {
			t.Fatal(err)
		}
		value, err := block.Encode(got)
		if err != nil {
			t.Fatal(err)
		}
		back, err := block.Decode(value, schema)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint("without ", bad), texts(back, nil), texts(batch, bad))
	}
}

func texts(batch arrow.RecordBatch, but []int) []string {
	var all []string
	for row := range int(batch.NumRows()) {
		line := ""
		for _, c := range batch.Columns() {
			line += c.ValueStr(row) + "|"
		}
		if len(but) > 0 && but[0] == row {
			but = but[1:]
			continue
		}
		all = append(all, line)
	}
	return all
}
