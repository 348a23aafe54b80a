package events

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestDecodeRefuses(t *testing.T) {
	const piece = `"dataset":"flights","window":"2001-01-05"`
	tests := map[string]struct{ ceType, data string }{
		"a type of nobody":                  {"dev.almanac.unknown.v1", `{` + piece + `}`},
		"no type":                           {"", `{` + piece + `}`},
		"a later version":                   {"dev.almanac.stored.v2", `{` + piece + `}`},
		"a type in other letters":           {"DEV.ALMANAC.STORED.V1", `{` + piece + `}`},
		"no data":                           {TypeStored, ``},
		"null":                              {TypeStored, `null`},
		"a list":                            {TypeStored, `[]`},
		"a text":                            {TypeStored, `"stored"`},
		"torn data":                         {TypeStored, `{` + piece + `,"entry":{"gener`},
		"something after the data":          {TypeStored, `{` + piece + `}{}`},
		"a generation that is no number":    {TypeStored, `{` + piece + `,"generation":"2"}`},
		"a generation with a fraction":      {TypeStored, `{` + piece + `,"generation":1.5}`},
		"a generation that is too great":    {TypeStored, `{` + piece + `,"generation":99999999999999999999}`},
		"a negative generation":             {TypeStored, `{` + piece + `,"generation":-1}`},
		"a negative slice":                  {TypeStaged, `{` + piece + `,"slice":-1}`},
		"no dataset":                        {TypeStored, `{"window":"2001-01-05"}`},
		"no window":                         {TypeStored, `{"dataset":"flights"}`},
		"a dataset that is a path":          {TypeStored, `{"dataset":"../flights","window":"2001-01-05"}`},
		"a window with a slash":             {TypeStored, `{"dataset":"flights","window":"2001/01"}`},
		"a name with a backslash":           {TypeAggregated, `{` + piece + `,"name":"a\\b"}`},
		"a window with a zero byte":         {TypeStored, `{"dataset":"flights","window":"2001\u0000"}`},
		"a due of no step":                  {TypeDue, `{` + piece + `,"attempt":1}`},
		"a due of a step that is never due": {TypeDue, `{` + piece + `,"step":"store","attempt":1}`},
		"a claim that is a list":            {TypeCollected, `{` + piece + `,"raw":[]}`},
		"an offset beyond 64 bits":          {TypeCollected, `{` + piece + `,"raw":{"from":9223372036854775808}}`},
		"a sheet that is a list":            {TypeProcessed, `{` + piece + `,"sheet":[]}`},
	}
	for name, tt := range tests {
		e, err := Decode(tt.ceType, []byte(tt.data))
		if !errors.Is(err, ErrInvalid) || e != nil {
			t.Errorf("%s: Decode(%q, %s) = %v, %v, want nil and an error that wraps ErrInvalid", name, tt.ceType, tt.data, e, err)
		}
	}
}

func TestDecodePassesOverWhatALaterVersionAdds(t *testing.T) {
	e, err := Decode(TypeDue, []byte(`{"dataset":"flights","window":"2001-01-05","step":"collect","attempt":3,"added":{"later":true}}`))
	want := &Due{Piece: Piece{Dataset: "flights", Window: "2001-01-05"}, Step: StepCollect, Attempt: 3}
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("Decode = %+v, %v, want %+v", e, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	for _, samples := range []map[string]Event{full(), least()} {
		for _, e := range samples {
			data, err := json.Marshal(e)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(e.Type(), data)
			f.Add(e.Type(), data[:len(data)/2])
		}
	}
	f.Fuzz(func(t *testing.T, ceType string, data []byte) {
		e, err := Decode(ceType, data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || e != nil {
				t.Fatalf("Decode = %v, %v, want nil and an error that wraps ErrInvalid", e, err)
			}
			return
		}
		if e.Type() != ceType || strings.Count(e.Of().Key(), "/") != 4 {
			t.Fatalf("Decode of %s gave a %s of key %q", ceType, e.Type(), e.Of().Key())
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		back, err := Decode(ceType, again)
		if err != nil || back.ID() != e.ID() || back.Of() != e.Of() || back.Topic() != e.Topic() {
			t.Fatalf("Decode of what was encoded = %v, %v, want %v", back, err, e)
		}
	})
}

// The fields that say where something lies or who did it, or that follow from another field.
var notContent = regexp.MustCompile(`(Raw|Rows|Quarantine)\.(Topic|TopicID|Partition|From|To|Writer|Blocks|Rows|Bytes)$` +
	`|(Rows|Quarantine|Raw|Keys)\.(Path|Bytes|Rows)$|Pin\.Files\.(Bytes|Version)$|^Reason$` +
	`|^Raw\.Digest$|^Archive$`) // the blocks are sealed: Plain tells what they hold

type digested interface {
	Event
	Digest() string
}

func TestDigestIsOfTheContentAlone(t *testing.T) {
	for name, e := range full() {
		fact, ok := e.(digested)
		if !ok {
			continue
		}
		before := fact.Digest()
		count := 0
		leaves(copyOf(fact), "", func(path string, _ reflect.Value) {
			changed := copyOf(fact)
			at := 0
			leaves(changed, "", func(p string, v reflect.Value) {
				if p == path && at == 0 {
					alter(v)
					at++
				}
			})
			count++
			content := !notContent.MatchString(path) && (name != "collected" || path != "Definition")
			if got := changed.Interface().(digested).Digest(); content != (got != before) {
				t.Errorf("%s: the digest with another %s: changed %t, want %t", name, path, got != before, content)
			}
		})
		if count < 10 {
			t.Errorf("%s has %d fields, want them all", name, count)
		}
	}
}

// copyOf is a copy that can be changed without touching the original.
func copyOf(e Event) reflect.Value {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	back, err := Decode(e.Type(), data)
	if err != nil {
		panic(err)
	}
	return reflect.ValueOf(back).Elem()
}

func alter(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	default:
		panic("no way to alter a " + v.Kind().String())
	}
}

func TestDigestOfSealedBlocksIsThatOfBlocksInClear(t *testing.T) {
	collected, staged := full()["collected"].(Collected), full()["staged"].(Staged)
	clear1, clear2 := collected, staged
	clear1.Raw.Digest, clear1.Plain, clear1.Archive = collected.Plain, "", ""
	clear2.Raw.Digest, clear2.Plain = staged.Plain, ""
	if clear1.Digest() != collected.Digest() || clear2.Digest() != staged.Digest() {
		t.Error("the same blocks have another digest when they are sealed")
	}
	clear1.Raw.Digest, clear2.Raw.Digest = hexOf("0"), hexOf("0")
	if clear1.Digest() == collected.Digest() || clear2.Digest() == staged.Digest() {
		t.Error("other blocks in clear have the digest of those before")
	}
}

func TestDigestTellsListsApart(t *testing.T) {
	s := full()["staged"].(Staged)
	moved := s
	moved.Quarantine, moved.Keys = s.Keys, s.Quarantine
	if moved.Digest() == s.Digest() {
		t.Error("files moved from one list to another give the same digest")
	}
	if Digest("ab", "c") == Digest("a", "bc") || Digest("a") == Digest("a", "") {
		t.Error("Digest does not tell where a part ends")
	}
}

func TestDigestOfNothingRefusedIsOne(t *testing.T) {
	with, without := full()["validated"].(Validated), full()["validated"].(Validated)
	with.Reasons, without.Reasons = map[string]int64{}, nil
	if with.Digest() != without.Digest() {
		t.Error("a map without reasons and no map give two digests, though the wire does not tell them apart")
	}
}

func TestSheet(t *testing.T) {
	s := Sheet{}
	s.Merge(Sheet{"2001-01-05": {Read: 3, Stored: 2, Quarantined: 1, Hash: "f"}, UnknownDay: {Read: 1, Filtered: 1}})
	s.Merge(Sheet{"2001-01-05": {Read: 2, Duplicate: 1, Filtered: 1}})
	if got, want := s["2001-01-05"], (Counts{Read: 5, Stored: 2, Quarantined: 1, Duplicate: 1, Filtered: 1}); got != want {
		t.Errorf("the day holds %+v, want %+v", got, want)
	}
	if got := s.Total(); got.Read != 6 || !got.Balanced() {
		t.Errorf("Total() = %+v, want 6 read, balanced", got)
	}
	for name, c := range map[string]Counts{
		"one lost": {Read: 2, Stored: 1}, "one too many": {Read: 1, Stored: 1, Duplicate: 1}, "made of nothing": {Quarantined: 1},
	} {
		if c.Balanced() {
			t.Errorf("%s: Balanced() = true of %+v", name, c)
		}
	}
}
