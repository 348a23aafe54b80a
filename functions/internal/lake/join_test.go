package lake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/lake"
)

var numbered = arrow.NewSchema([]arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int64}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// numbers is a file of some numbers from a first one on.
func numbers(t *testing.T, l *lake.Lake, first, n int) events.File {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, numbered)
	defer b.Release()
	for i := first; i < first+n; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%5 == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("text ", i*7919%10007))
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	w := l.NewParquet(context.Background(), "small", numbered)
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	files, err := w.Finish()
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

func rows(t *testing.T, l *lake.Lake, files []events.File) string {
	t.Helper()
	var out bytes.Buffer
	for _, f := range files {
		r, err := l.ReadParquet(context.Background(), f.Path)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for r.Next() {
			n += r.RecordBatch().NumRows()
			if err := array.RecordToJSON(r.RecordBatch(), &out); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(r.Err(), r.Close()); err != nil || n != f.Rows {
			t.Fatalf("%s has %d rows, want %d: %v", f.Path, n, f.Rows, err)
		}
	}
	return out.String()
}

func TestJoinKeepsRowsAndTheirOrder(t *testing.T) {
	for name, target := range map[string]int64{"into one": 1 << 30, "into some": 40_000, "into none": 1} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			l, err := lake.Open(ctx, t.TempDir(), lake.TargetFileSize(target))
			if err != nil {
				t.Fatal(err)
			}
			whole, err := lake.Open(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var small []events.File
			var total int64
			for i := range 12 {
				small = append(small, numbers(t, whole, i*1000, 1000+i))
				copied(t, whole, l, small[i])
				total += small[i].Bytes
			}
			joined, err := l.Join(ctx, "large", small)
			if err != nil {
				t.Fatal(err)
			}
			again, err := l.Join(ctx, "large", small)
			if diff := cmp.Diff(joined, again); err != nil || diff != "" {
				t.Errorf("joined once more: %v (-first +second):\n%s", err, diff)
			}
			if diff := cmp.Diff(rows(t, l, small), rows(t, l, joined)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			want := min((total+target-1)/target, 12)
			if int64(len(joined)) != want {
				t.Errorf("%d bytes are %d files, want %d", total, len(joined), want)
			}
			for _, f := range joined {
				if want < 12 && (f.Bytes < target/2 && total > target || f.Bytes > target+target/4) {
					t.Errorf("a file has %d bytes, the target is %d", f.Bytes, target)
				}
			}
			if want == 12 {
				if diff := cmp.Diff(small, joined); diff != "" {
					t.Errorf("large files were made anew (-want +got):\n%s", diff)
				}
				return
			}
			if _, err := l.Join(ctx, "larger", joined); err != nil { // what was joined can be joined again
				t.Error(err)
			}
		})
	}
}

// copied puts a file of one warehouse into another.
func copied(t *testing.T, from, to *lake.Lake, f events.File) {
	t.Helper()
	data, err := from.ReadFile(context.Background(), f.Path)
	if err == nil {
		err = to.WriteFile(context.Background(), f.Path, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestJoinRefuses(t *testing.T) {
	ctx := context.Background()
	l, err := lake.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := numbers(t, l, 0, 100)
	fewer, gone := good, good
	fewer.Rows--
	gone.Path = "small/gone.parquet"
	if err := l.WriteFile(ctx, "small/torn.parquet", []byte("PAR1 and no more")); err != nil {
		t.Fatal(err)
	}
	torn := events.File{Path: "small/torn.parquet", Bytes: 16, Rows: 1}
	w := l.NewParquet(ctx, "small", arrow.NewSchema(numbered.Fields()[:1], nil))
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(numbered.Fields()[:1], nil))
	b.Field(0).(*array.Int64Builder).Append(1)
	batch := b.NewRecordBatch()
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	narrow, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file events.File
		want string
	}{
		"another number of rows": {fewer, "has 100 rows, want 99"}, "a file that is gone": {gone, "gone.parquet"},
		"a torn file": {torn, "torn.parquet"}, "other columns": {narrow[0], "equal schemas"},
	} {
		_, err := l.Join(ctx, "large", []events.File{good, c.file})
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, fs.ErrNotExist) != (c.file == gone) {
			t.Errorf("%s: Join = %v, want %q", name, err, c.want)
		}
	}
	if files, err := l.Join(ctx, "large", nil); err != nil || len(files) != 0 {
		t.Errorf("Join of nothing = %v, %v", files, err)
	}
	if names, err := l.Names(ctx, "large"); err == nil && len(names) != 0 {
		t.Errorf("what failed has left %v", names)
	}
}
