package box

import "context"

// Counts is the balance of rows, as almanac status --json prints it.
type Counts struct {
	Read        int64 `json:"read"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"`
	Duplicate   int64 `json:"duplicate"`
	Filtered    int64 `json:"filtered"`
}

// Balanced says whether every row that was read is accounted for.
func (c Counts) Balanced() bool { return c.Read == c.Stored+c.Quarantined+c.Duplicate+c.Filtered }

// Add is the sum.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Read + o.Read, c.Stored + o.Stored, c.Quarantined + o.Quarantined, c.Duplicate + o.Duplicate, c.Filtered + o.Filtered}
}

// Window is one window of one step.
type Window struct {
	Step       string            `json:"step"`
	Name       string            `json:"name"`
	Window     string            `json:"window"`
	Phase      string            `json:"phase"`
	Why        string            `json:"why"`
	Generation int               `json:"generation"`
	Visible    int               `json:"visible_generation"`
	Version    string            `json:"version"`
	Rows       int64             `json:"rows"`
	Sheet      map[string]Counts `json:"sheet"`
}

// Total is the sum of the window's sheet.
func (w Window) Total() Counts {
	var sum Counts
	for _, c := range w.Sheet {
		sum = sum.Add(c)
	}
	return sum
}

// Dataset is the status of one dataset.
type Dataset struct {
	Dataset string   `json:"dataset"`
	Windows []Window `json:"windows"`
}

// Find is the window of a step; name is empty for the collection.
func (d Dataset) Find(step, name, window string) Window {
	for _, w := range d.Windows {
		if w.Step == step && w.Name == name && w.Window == window {
			return w
		}
	}
	return Window{Phase: "missing"}
}

// Status asks for the status of all datasets; windows that wait or are stopped are no error.
func (b Box) Status(ctx context.Context) ([]Dataset, error) {
	const attention = 3
	var all []Dataset
	err := b.JSON(ctx, &all, []string{"status"}, 0, attention)
	return all, err
}

// Letter is a dead letter.
type Letter struct {
	ID         string            `json:"id"`
	Attributes map[string]string `json:"attributes"`
	Data       string            `json:"data"`
}

// DeadLetters lists the dead letters.
func (b Box) DeadLetters(ctx context.Context) ([]Letter, error) {
	var all []Letter
	err := b.JSON(ctx, &all, []string{"deadletters", "list"})
	return all, err
}
