package serve

import (
	"net/http"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/serve/answer"
	"github.com/almanac-data/almanac/functions/internal/serve/listing"
	"github.com/almanac-data/almanac/functions/internal/serve/request"
)

func (s *Server) items(r *http.Request) ([]listing.Dataset, error) {
	all, err := s.visible(r.Context())
	if err != nil {
		return nil, err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return nil, err
	}
	items := make([]listing.Dataset, len(all))
	for i, d := range all {
		items[i] = listing.Of(d, v)
	}
	return items, nil
}

func (s *Server) datasets(w http.ResponseWriter, r *http.Request) error {
	items, err := s.items(r)
	if err != nil {
		return err
	}
	return answer.JSON(w, struct {
		Datasets []listing.Dataset `json:"datasets"`
	}{items})
}

func (s *Server) dataset(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	return answer.JSON(w, listing.DetailOf(d, v))
}

type quarantineItem struct {
	Window      string           `json:"window"`
	Generation  int              `json:"generation"`
	State       string           `json:"state"`
	Read        int64            `json:"read"`
	Quarantined int64            `json:"quarantined"`
	Reasons     map[string]int64 `json:"reasons"` // rows by rule or reason
}

func (s *Server) quarantine(w http.ResponseWriter, r *http.Request) error {
	d, err := s.datasetOf(r)
	if err != nil {
		return err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	items := []quarantineItem{}
	for _, wd := range windowsOf(v, d) {
		last := wd.Runs[0]
		if n := last.Sheet.Quarantined; n > 0 {
			items = append(items, quarantineItem{wd.Window, last.Generation, last.State, last.Sheet.Read, n, last.Reasons})
		}
	}
	total := events.Counts{}
	for _, item := range items {
		total.Quarantined += item.Quarantined
	}
	part, next, err := request.Page(r, items, func(i quarantineItem) string { return i.Window })
	if err != nil {
		return err
	}
	return answer.JSON(w, struct {
		Quarantined int64            `json:"quarantined"` // in all windows
		Windows     []quarantineItem `json:"windows"`
		Next        string           `json:"next,omitempty"`
	}{total.Quarantined, part, next})
}
