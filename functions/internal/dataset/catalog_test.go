package dataset

import (
	"errors"
	"sync"
	"testing"

	"github.com/almanac-data/almanac/events"
)

func TestACatalogMayBeReplacedWhileItIsRead(t *testing.T) {
	old, young := &Dataset{Name: "flights", Version: "1"}, &Dataset{Name: "flights", Version: "2"}
	c := NewCatalog(old)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 1000 {
				if d, err := c.Dataset("flights"); err != nil || d.Version != "1" && d.Version != "2" {
					t.Errorf("Dataset(flights) = %v, %v", d, err)
					return
				}
			}
		})
	}
	for range 500 {
		c.Replace([]*Dataset{young, {Name: "births"}})
		c.Replace([]*Dataset{old})
	}
	readers.Wait()
	c.Replace([]*Dataset{young, {Name: "births"}})
	if all, _ := c.Datasets(); len(all) != 2 || all[0].Name != "births" || all[1] != young {
		t.Errorf("Datasets() = %v, want births and flights, in this order", all)
	}
	if _, err := c.Dataset("trips"); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("Dataset(trips) = %v, want events.ErrInvalid", err)
	}
}

func TestAdaptChangesWhatIsReadAndWhatComes(t *testing.T) {
	old, young := &Dataset{Name: "flights"}, &Dataset{Name: "flights"}
	c := NewCatalog(old)
	c.Adapt(func(d *Dataset) { d.Title = "Adapted" })
	for _, d := range []*Dataset{old, young} {
		c.Replace([]*Dataset{d})
		if got, err := c.Dataset("flights"); err != nil || got.Title != "Adapted" || d.Title != "" {
			t.Errorf("Dataset(flights) = %+v, %v; want a copy with the title Adapted, and the original %+v as it was", got, err, d)
		}
	}
}
