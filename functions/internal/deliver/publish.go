package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/query"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// maxSplits bounds the values that a split column may have.
const maxSplits = 64

// publish makes the revision after the latest one.
func (j work) publish(ctx context.Context, pin *snapshot.Pin, latest *release.Manifest) (_ *release.Manifest, err error) {
	temp, err := j.Folders.MkTemp(ctx, j.folder())
	if err != nil {
		return nil, err
	}
	published := false
	defer func() {
		if !published {
			err = errors.Join(err, j.Folders.Discard(context.WithoutCancel(ctx), temp))
		}
	}()
	m := &release.Manifest{Content: contentOf(pin), Provenance: j.provenance(pin)}
	m.Content.Number(1)
	if latest != nil {
		m.Content.Number(latest.Content.Revision + 1)
	}
	if err := j.write(ctx, pin, temp, &m.Content); err != nil {
		return nil, err
	}
	data, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if err := j.Files.WriteFile(ctx, path.Join(temp, release.ManifestFile), data); err != nil {
		return nil, err
	}
	again, err := j.taker.Take(ctx, j.Tables, j.d, j.q, j.w)
	if err != nil {
		return nil, err
	}
	if again.Inputs != pin.Inputs {
		return nil, fmt.Errorf("inputs: %w", table.ErrMoved)
	}
	if latest != nil {
		if err := j.markStale(ctx, latest, m); err != nil {
			return nil, err
		}
	}
	err = j.Folders.Publish(ctx, temp, path.Join(j.folder(), m.Content.Version))
	if errors.Is(err, fs.ErrExist) {
		return nil, j.taken(ctx, m.Content)
	}
	published = err == nil
	return m, err
}

// taken says what to do about a name that is taken: another instance was quicker, so look at what it has published.
func (j work) taken(ctx context.Context, c release.Content) error {
	found, err := j.manifest(ctx, c.Revision)
	if err == nil && found == nil {
		err = fmt.Errorf("a folder without a manifest stands at %s in the warehouse: move it away", path.Join(j.folder(), c.Version))
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("revision %d: %w", c.Revision, table.ErrMoved)
}

func (j work) provenance(pin *snapshot.Pin) release.Provenance {
	p := release.Provenance{PublishedAt: j.Now().UTC(), Code: j.Code, Snapshots: map[string]string{}, Reason: j.due.Reason, Attempt: j.due.Attempt}
	for name, head := range pin.Heads {
		p.Snapshots[name] = strconv.FormatInt(head.Snapshot, 10) // as text: JSON numbers do not hold 64 bits
	}
	return p
}

// write makes the data files and enters them into the content.
func (j work) write(ctx context.Context, pin *snapshot.Pin, temp string, c *release.Content) error {
	ordered := *pin
	if j.q.Split != "" { // so that the rows of each value come together, and one file is open at a time
		ordered.Query.OrderBy = append([]string{j.q.Split}, j.q.OrderBy...)
	}
	r, err := ordered.Run(ctx, j.Tables, j.Engine, j.Log)
	if err != nil {
		return err
	}
	defer r.Release()
	c.Schema = release.Columns(r.Schema())
	s := &splitter{content: c, column: -1, open: func() table.Writer {
		return j.Files.Parquet(ctx, path.Join(temp, release.DataDir), r.Schema())
	}}
	if j.q.Split != "" {
		found := r.Schema().FieldIndices(j.q.Split)
		if len(found) == 0 {
			return snapshot.Explain(j.d, j.q, &query.Error{Detail: fmt.Sprintf("the result has no column %s, by which it is to be split", j.q.Split)})
		}
		s.column = found[0]
		c.Rows.Splits = map[string]int64{}
	}
	for r.Next() {
		if err := s.add(r.RecordBatch()); err != nil {
			return errors.Join(snapshot.Explain(j.d, j.q, err), s.abort())
		}
	}
	if err := r.Err(); err != nil {
		return errors.Join(snapshot.Explain(j.d, j.q, err), s.abort())
	}
	return s.finish()
}

// splitter routes rows, which come ordered by the split column, to files of their own for each value.
type splitter struct {
	content *release.Content
	column  int // -1 for none
	open    func() table.Writer
	out     table.Writer
	value   string
	values  int
}

func (s *splitter) add(batch arrow.RecordBatch) error {
	if s.column < 0 {
		return s.write(batch)
	}
	values := batch.Column(s.column)
	if values.NullN() > 0 {
		return &query.Error{Detail: fmt.Sprintf("the split column %s is null in some rows", s.content.Split)}
	}
	for from := 0; from < values.Len(); {
		value := values.ValueStr(from)
		to := from + 1
		for to < values.Len() && values.ValueStr(to) == value {
			to++
		}
		if s.out == nil || value != s.value {
			if err := s.next(value); err != nil {
				return err
			}
		}
		part := batch.NewSlice(int64(from), int64(to))
		err := s.write(part)
		part.Release()
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (s *splitter) next(value string) error {
	if err := s.finish(); err != nil {
		return err
	}
	if s.values++; s.values > maxSplits {
		return &query.Error{Detail: fmt.Sprintf("the split column %s has more than %d values", s.content.Split, maxSplits)}
	}
	s.value = value
	return nil
}

func (s *splitter) write(batch arrow.RecordBatch) error {
	if s.out == nil {
		s.out = s.open()
	}
	return s.out.Write(batch)
}

// finish ends the files of the present value.
func (s *splitter) finish() error {
	if s.out == nil {
		return nil
	}
	files, err := s.out.Finish()
	if err != nil {
		return err
	}
	s.out = nil
	for _, f := range files {
		s.content.Files = append(s.content.Files, release.File{
			Path: path.Join(release.DataDir, path.Base(f.Path)), Bytes: f.Bytes, Rows: f.Rows, SHA256: f.Digest, Split: s.value,
		})
		s.content.Rows.Total += f.Rows
		if s.column >= 0 {
			s.content.Rows.Splits[s.value] += f.Rows
		}
	}
	return nil
}

func (s *splitter) abort() error {
	if s.out == nil {
		return nil
	}
	return s.out.Abort()
}

func (j work) mark(version string) string { return path.Join(j.folder(), version+".stale.json") }

// markStale marks the latest release before the next one is published. If that then fails, the mark is still true, and it stays so: the next
// revision is made whatever the inputs are then.
func (j work) markStale(ctx context.Context, latest, next *release.Manifest) error {
	s := release.Stale{Version: latest.Content.Version, Changed: changes(latest.Content, next.Content), SupersededBy: next.Content.Version}
	switch {
	case j.due.Detail != "":
		s.Cause = j.due.Detail
	case j.due.Reason != "":
		s.Cause = j.due.Reason
	default:
		s.Cause = "its inputs have changed"
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return j.Files.WriteFile(ctx, j.mark(s.Version), append(data, '\n'))
}

// changes lists what a release was made from and that is not the same any more.
func changes(before, after release.Content) []string {
	all := []string{}
	if before.SQL != after.SQL {
		all = append(all, "sql "+after.SQL.File)
	}
	if len(before.Provisional) > 0 && len(after.Provisional) == 0 {
		all = append(all, "it was provisional")
	}
	was, is := seen(before), seen(after)
	for window, content := range is {
		if was[window] != content {
			all = append(all, window)
		}
	}
	for window := range was {
		if _, ok := is[window]; !ok {
			all = append(all, window)
		}
	}
	slices.Sort(all)
	return all
}

func seen(c release.Content) map[string]string {
	windows := map[string]string{}
	for _, in := range c.Inputs {
		for _, w := range in.Windows {
			windows[in.Table+" "+w.Window] = w.Digest + " " + strconv.Itoa(w.Generation)
		}
	}
	return windows
}
