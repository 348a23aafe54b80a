package onebox

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// snapshot is kfake's snapshot.json of a partition, version 1.
type snapshot struct {
	Version          int       `json:"version"`
	HighWatermark    int64     `json:"high_watermark"`
	LastStableOffset int64     `json:"last_stable_offset"`
	LogStartOffset   int64     `json:"log_start_offset"`
	MaxTimestamp     int64     `json:"max_timestamp"`
	CreatedAt        time.Time `json:"created_at"`
	Segments         []segment `json:"segments"`
}

type segment struct {
	Base int64 `json:"base_offset"`
	Size int64 `json:"size"`

	first, next int64 // offsets of its batches
}

// mend checks the log of one partition and writes a snapshot that fits it.
//
// kfake believes a snapshot whose sizes fit without looking at what the segments hold, and then writes after a torn batch as if it
// were whole. Where no snapshot fits it reads all logs into memory at once, and forgets where the log of a trimmed partition had
// got to. So each batch is checked here first, by its length and its CRC, with little memory: a segment is cut off at the first one
// that is torn; what is claimed of it counts as absent.
func mend(dir string, log *slog.Logger) error {
	var old snapshot // tells where a log that is empty now had got to
	if data, err := os.ReadFile(filepath.Join(dir, "snapshot.json")); err == nil {
		_ = json.Unmarshal(data, &old) // torn: nothing is known
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	s := snapshot{Version: 1, CreatedAt: old.CreatedAt, LogStartOffset: -1}
	var segments []segment
	for _, e := range entries {
		base, isLog := strings.CutSuffix(e.Name(), ".dat")
		if first, err := strconv.ParseInt(base, 10, 64); isLog && err == nil {
			segments = append(segments, segment{Base: first})
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.Base, b.Base) })
	for _, seg := range segments {
		if err := seg.check(filepath.Join(dir, fmt.Sprintf("%d.dat", seg.Base)), s.HighWatermark, log); err != nil {
			return err
		}
		if seg.Size == 0 {
			if err := seg.remove(dir); err != nil {
				return err
			}
			continue
		}
		if s.LogStartOffset < 0 {
			s.LogStartOffset = seg.first
		}
		s.HighWatermark = seg.next
		s.Segments = append(s.Segments, seg)
	}
	if len(s.Segments) == 0 {
		return s.empty(dir, old.HighWatermark)
	}
	return s.write(dir) // what was trimmed of the first segment comes back, which does no harm
}

// empty keeps the place of a log that holds nothing, in a segment of no length.
func (s snapshot) empty(dir string, next int64) error {
	if next == 0 {
		return nil
	}
	s.LogStartOffset, s.HighWatermark, s.Segments = next, next, []segment{{Base: next}}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.dat", next)), nil, 0o600); err != nil {
		return err
	}
	return s.write(dir)
}

func (s snapshot) write(dir string) error {
	s.LastStableOffset = s.HighWatermark
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "snapshot.json")
	if err := os.WriteFile(name+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

func (g *segment) remove(dir string) error {
	for _, suffix := range []string{"dat", "idx"} {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%d.%s", g.Base, suffix))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// check reads a segment and cuts it off after the last batch that is whole. Offsets must not run backwards.
func (g *segment) check(name string, from int64, log *slog.Logger) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	g.first, g.next = -1, from
	in := bufio.NewReaderSize(f, 256<<10)
	for {
		size, first, next, ok := batch(in, info.Size()-g.Size)
		if !ok || first < g.next {
			break
		}
		if g.first < 0 {
			g.first = first
		}
		g.Size, g.next = g.Size+size, next
	}
	if g.Size == info.Size() {
		return nil
	}
	log.Warn("end of a log is torn and cut off", "segment", name, "bytes", info.Size()-g.Size, "kept", g.Size)
	return f.Truncate(g.Size)
}

// Fields of a record batch of version 2 (Kafka protocol, message format).
const (
	batchHead   = 61 // up to the records
	batchLength = 8  // of what follows the length
	batchMagic  = 16
	batchCRC    = 17 // of what follows the CRC
	batchDelta  = 23 // of the last offset
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch reads one record batch of at most left bytes.
func batch(in io.Reader, left int64) (size, first, next int64, ok bool) {
	var head [batchHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, 0, 0, false
	}
	size = 12 + int64(int32(binary.BigEndian.Uint32(head[batchLength:])))
	if size < batchHead || size > left || head[batchMagic] != 2 {
		return 0, 0, 0, false
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(head[batchCRC+4:]) // never fails
	if _, err := io.CopyN(sum, in, size-batchHead); err != nil || sum.Sum32() != binary.BigEndian.Uint32(head[batchCRC:]) {
		return 0, 0, 0, false
	}
	first = int64(binary.BigEndian.Uint64(head[:]))
	delta := int32(binary.BigEndian.Uint32(head[batchDelta:]))
	return size, first, first + int64(delta) + 1, first >= 0 && delta >= 0
}
