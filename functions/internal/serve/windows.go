package serve

import (
	"net/http"
	"slices"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
	"github.com/almanac-data/almanac/functions/internal/serve/runs"
	"github.com/almanac-data/almanac/functions/internal/window"
)

func windowsOf(v *facts.View, d *dataset.Dataset) []runs.Window {
	return runs.Of(v, d, listing.URL(d.Name)+"/windows/")
}

func (s *Server) windows(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	part, next, err := request.Page(r, windowsOf(v, d), func(i runs.Window) string { return i.Window })
	if err != nil {
		return err
	}
	return answer.JSON(w, struct {
		Windows []runs.Window `json:"windows"`
		Next    string        `json:"next,omitempty"`
	}{part, next})
}

// windowDetail is a window with what is visible of it.
type windowDetail struct {
	runs.Window

	Snapshot   int64                 `json:"snapshot,omitempty"` // of the rows table
	Definition string                `json:"definition,omitempty"`
	Digest     string                `json:"digest,omitempty"`
	Source     []sourceItem          `json:"source"`
	Days       map[string]runs.Sheet `json:"days"` // the sheet by event day
}

type sourceItem struct {
	URI    string `json:"uri"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (s *Server) window(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	key := r.PathValue("window")
	if _, err := window.Parse(key); err != nil {
		return request.Bad("window", "%s", err)
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	all := windowsOf(v, d)
	i := slices.IndexFunc(all, func(item runs.Window) bool { return item.Window == key })
	if i < 0 {
		return request.Missing("window", "nothing is known of window %s of %s: it is not due yet, or is no window of its schedule (every %s)", key, d.Name, d.Collect.Every)
	}
	detail := windowDetail{Window: all[i], Source: []sourceItem{}, Days: map[string]runs.Sheet{}}
	stored, ok := facts.Get[events.Stored](v, events.Piece{Dataset: d.Name, Window: key, Generation: all[i].Visible})
	if ok {
		detail.Snapshot, detail.Definition, detail.Digest = stored.Snapshot, stored.Entry.Definition, stored.Entry.Digest
		for _, f := range stored.Entry.Pin.Files {
			detail.Source = append(detail.Source, sourceItem{f.URI, f.Bytes, f.Digest})
		}
		for day, c := range stored.Entry.Sheet {
			detail.Days[day] = runs.NewSheet(c)
		}
	}
	return answer.JSON(w, detail)
}
