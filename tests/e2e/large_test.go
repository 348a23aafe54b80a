package e2e

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unordered writes a day's file of sales at times of the day in no order. It keeps none of them: the peak of memory that a process is said to
// have had is at least that of the process that has started it.
func (s *shop) unordered(t *testing.T, n int) {
	t.Helper()
	f, err := os.Create(filepath.Join(s.dir, file(1)))
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriter(f)
	_, _ = b.WriteString("at,shop,units\n")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		at := firstDay.Add(time.Duration(random.IntN(86_400_000)) * time.Millisecond)
		_, _ = b.WriteString(at.Format("2006-01-02T15:04:05.000Z") + "," + []string{"north", "south"}[i%2] + "," + strconv.Itoa(random.IntN(1000)) + "\n")
	}
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// parquets are the sizes of the data files of a table's day that are larger than a size, and in all.
func (s *shop) parquets(t *testing.T, day, larger int) (large []int64, all int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "shop", "rows", "data", key(day), "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > int64(larger) {
			large = append(large, info.Size())
		}
	}
	slices.Sort(large)
	return large, len(names)
}

// TestLargeWindow has a day of many slices: its data files are large all the same, and the releases are those of a day of one slice.
func TestLargeWindow(t *testing.T) {
	const rows = 1_000_000
	var releases [][]string
	for _, slice := range []int{1 << 20, 64 << 20} {
		s := newShop(t)
		s.Env = []string{"ALMANAC_FILE_BYTES=2000000", "ALMANAC_SLICE_BYTES=" + strconv.Itoa(slice)}
		s.replace(t, "pipeline.yaml", "part_rows: 50", "part_rows: 400000")
		s.unordered(t, rows)
		s.run(t, 0)
		if day := status(t, s.Box).Find("collect", "", key(1)); day.Total().Stored != rows {
			t.Errorf("%d rows of the day are stored, want %d", day.Total().Stored, rows)
		}
		large, all := s.parquets(t, 1, 1_000_000)
		if slices := all - len(large); slice == 1<<20 && slices < 20 || len(large) < 2 {
			t.Errorf("there are data files of %d slices, and %v, want those of more than 20 and some that are joined", slices, large)
		}
		if large[len(large)-1] > 2_500_000 {
			t.Errorf("a data file has %d bytes, the target is 2000000", large[len(large)-1])
		}
		names, err := filepath.Glob(filepath.Join(s.Data, "warehouse", "releases", "shop", "*", "data", "*.parquet"))
		if err != nil || len(names) < 3 {
			t.Fatalf("releases have the files %v, %v", names, err)
		}
		for i := range names {
			names[i] = filepath.Base(names[i])
		}
		releases = append(releases, names)
	}
	if diff := cmp.Diff(releases[0], releases[1]); diff != "" {
		t.Errorf("the releases differ (-many slices +one):\n%s", diff)
	}
}

// TestMemoryOfALargeWindow has four times as many rows of a day in about the same memory.
func TestMemoryOfALargeWindow(t *testing.T) {
	peak := map[int]int64{}
	for _, rows := range []int{1_200_000, 4_800_000} {
		s := newShop(t)
		s.Env = []string{"ALMANAC_FILE_BYTES=2000000", "ALMANAC_SLICE_BYTES=1048576"}
		s.unordered(t, rows)
		result, err := s.Run(t.Context(), "run", "--no-serve", "--to", key(2))
		if err != nil || result.Code != 0 {
			t.Fatal(err, result)
		}
		if day := status(t, s.Box).Find("collect", "", key(1)); day.Total().Stored != int64(rows) {
			t.Errorf("%d rows of the day are stored, want %d", day.Total().Stored, rows)
		}
		peak[rows] = result.PeakRSS
	}
	t.Logf("peak is %d MB with 1,200,000 rows, %d MB with 4,800,000", peak[1_200_000]>>20, peak[4_800_000]>>20)
	if peak[4_800_000] > peak[1_200_000]+64<<20 {
		t.Errorf("peak is %d MB with 4,800,000 rows and %d MB with 1,200,000, want about the same", peak[4_800_000]>>20, peak[1_200_000]>>20)
	}
}
