package events

import (
	"reflect"
	"strings"
	"testing"
)

func hexOf(c string) string { return strings.Repeat(c, 64) }

func claimOf(topic, c string) Claim {
	return Claim{
		Topic: topic, TopicID: "0123456789abcdef0123456789abcdef", Partition: 3, From: 120, To: 140, Writer: "w-" + c,
		Blocks: 16, Rows: 4200, Bytes: 8 << 20, Digest: hexOf(c),
	}
}

func fileOf(path, c string) File {
	return File{Path: path + "/" + hexOf(c) + ".parquet", Bytes: 1234, Rows: 4199, Digest: hexOf(c)}
}

// full holds an event of each kind with no field left zero, and least one with nothing but what it must have.
func full() map[string]Event {
	whole := Piece{Dataset: "flights", Window: "2001-01-05", Generation: 2}
	slice := whole.At(3)
	week := Piece{Dataset: "flights", Name: "origin_weekly", Window: "2001-W01"}
	pin := Pin{Files: []PinnedFile{{URI: "sample/2001-01/2001-01-05.csv.gz", Bytes: 77, Digest: hexOf("9"), Version: "77-1700000000"}}}
	sheet := Sheet{
		"2001-01-05": {Read: 4202, Stored: 4199, Quarantined: 1, Duplicate: 1, Filtered: 1, Hash: "f00"},
		UnknownDay:   {Read: 1, Quarantined: 1},
	}
	reasons := map[string]int64{"delay.range": 1, "type": 1}
	collected := Collected{
		Piece: slice, Definition: hexOf("d"), Inputs: hexOf("1"), Pin: pin, Header: "date,delay", From: Position{File: 1, Offset: 5},
		To: Position{File: 1, Offset: 900}, Last: true, Raw: claimOf("almanac.raw.flights", "2"), Reason: "schedule",
		Plain: hexOf("3"), Archive: hexOf("4"),
	}
	processed := Processed{
		Piece: slice, Definition: hexOf("d"), Inputs: hexOf("3"), Rows: claimOf("almanac.processed.flights", "4"),
		Quarantine: claimOf("almanac.quarantine.flights", "5"), Sheet: sheet,
	}
	validated := Validated{
		Piece: slice, Definition: hexOf("d"), Inputs: hexOf("6"), Rows: claimOf("almanac.clean.flights", "7"),
		Quarantine: []Claim{claimOf("almanac.quarantine.flights", "5"), claimOf("almanac.quarantine.flights", "8")}, Sheet: sheet, Reasons: reasons,
	}
	staged := Staged{
		Piece: slice, Definition: hexOf("d"), Inputs: hexOf("6"), Last: true, Rows: []File{fileOf("flights/rows/data/2001-01-05", "a")},
		Quarantine: []File{fileOf("flights/quarantine/data/2001-01-05", "b")}, Raw: fileOf("flights/raw/2001-01-05/2", "c"), Plain: hexOf("f"),
		Keys: []File{fileOf("flights/staging/2001-01-05", "e")}, Sheet: sheet, Newest: "2001-01-05T23:59:00Z", Nulls: map[string]int64{"delay": 2}, Reasons: reasons,
	}
	entry := Entry{
		Generation: 2, Definition: hexOf("d"), Digest: hexOf("e"), Slices: 3, Pin: pin, Sheet: sheet, Changed: []string{"2001-01-05"}, Reasons: reasons, Reason: "restated",
	}
	return map[string]Event{
		"collected": collected, "processed": processed, "validated": validated, "staged": staged,
		"stored": Stored{Piece: whole, Entry: entry, Snapshot: 8123456789012345678},
		"stopped": Stopped{Piece: whole, Step: "store", Definition: hexOf("d"), Inputs: hexOf("e"), Attempt: 4, Waiting: true, Reason: "source_missing",
			Detail: "sample/2001-01/2001-01-05.csv.gz does not exist"},
		"restated": Restated{Piece: whole, Pin: pin},
		"aggregated": Aggregated{Piece: week, Inputs: hexOf("1"), Tables: []Input{{Table: "rows", Snapshot: 42, Signature: hexOf("2")}}, Rows: 300,
			Files: []File{fileOf("flights/origin_weekly/data/2001-W01", "3")}, Digest: hexOf("4"), Snapshot: 43, Provisional: true},
		"released": Released{Piece: Piece{Dataset: "flights", Name: "training", Window: "2001-01"}, Version: "training-2001-01.2", Revision: 2,
			Inputs: hexOf("1"), Content: hexOf("2"), Rows: 30000, Bytes: 123456, Provisional: true},
		"due": Due{Piece: week, Step: StepAggregate, Attempt: 2, Try: 2, Reason: "inputs", Detail: "2001-01-05 is generation 2 (restated)", Inputs: hexOf("1")},
	}
}

func least() map[string]Event {
	whole := Piece{Dataset: "flights", Window: "2001-01-05"}
	return map[string]Event{
		"collected": Collected{Piece: whole}, "processed": Processed{Piece: whole}, "validated": Validated{Piece: whole}, "staged": Staged{Piece: whole},
		"stored": Stored{Piece: whole}, "stopped": Stopped{Piece: whole}, "restated": Restated{Piece: whole}, "aggregated": Aggregated{Piece: whole},
		"released": Released{Piece: whole}, "due": Due{Piece: whole, Step: StepCollect},
	}
}

func TestSamplesAreFull(t *testing.T) {
	for name, e := range full() {
		leaves(reflect.ValueOf(e), "", func(path string, v reflect.Value) {
			// Only a piece of an aggregate or release has a name, and only facts of ingest have generation and slice.
			// A day on which nothing was stored has few counts.
			if v.IsZero() && !strings.HasPrefix(path, "Piece.") && !strings.Contains(path, "["+UnknownDay+"]") {
				t.Errorf("the full sample of %s has no %s", name, path)
			}
		})
	}
}

// leaves calls f with each field of plain type below v; f may set it if v can be set.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), f)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			f(path, v)
		}
		for i := range v.Len() {
			leaves(v.Index(i), path, f)
		}
	case reflect.Map:
		if v.Len() == 0 {
			f(path, v)
		}
		for _, k := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(k))
			leaves(value, path+"["+k.String()+"]", f)
			v.SetMapIndex(k, value)
		}
	default:
		f(path, v)
	}
}
