package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
)

// definition is the digest of what decides which rows are stored from given raw bytes, and how. What only says where the
// bytes come from, when something runs, or what a thing is for stays out of it.
func definition(d *dataset.Dataset) (string, error) {
	type column struct {
		Name, Source, Type string
		Precision, Scale   int
		Required, Personal bool
		Default            *string
		Formats            []string
	}
	var form struct {
		Version   int // of this form, and of what process and validate make of it
		Columns   []column
		Key       []string
		Rules     []dataset.Rule
		EventTime string
		Lateness  time.Duration
		Format    dataset.Format
		Trim      bool
		Location  string
		Drop      []string
		Filters   []dataset.Filter
		Reject    dataset.Reject
	}
	form.Version = 1
	for _, c := range d.Columns {
		form.Columns = append(form.Columns, column{
			c.Name, c.Source, string(c.Type), c.Precision, c.Scale, c.Required, c.Personal(), c.Default, c.Formats,
		})
	}
	form.Key = d.Key
	for _, r := range d.Rules {
		r.Line, r.Dimension = 0, ""
		form.Rules = append(form.Rules, r)
	}
	form.EventTime, form.Lateness, form.Format = d.Collect.EventTime, d.Collect.Lateness, d.Collect.Format
	form.Format.Compression = "" // raw blocks hold the bytes unpacked
	form.Format.Null = sorted(form.Format.Null)
	form.Trim, form.Filters, form.Reject = d.Process.Trim, d.Process.Filters, d.Reject
	form.Drop = sorted(d.Process.Drop)
	form.Location = d.Process.Location.String()
	text, err := json.Marshal(form) //nolint:musttag // nobody reads the form
	if err != nil {
		return "", fmt.Errorf("digest definition of %s: %w", d.Name, err) // the loader refuses bounds that are not finite
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
