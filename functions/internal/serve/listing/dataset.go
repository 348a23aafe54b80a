// Package listing is how the API shows datasets and releases.
package listing

import (
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/facts"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// Dataset is a dataset in a list.
type Dataset struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Version string `json:"version"` // of the contract
	Owner   string `json:"owner"`
	Stored  int    `json:"stored_windows"`
	Newest  string `json:"newest_window,omitempty"` // stored
	Rows    int64  `json:"stored_rows"`
	URL     string `json:"url"`
}

// URL is where a dataset is found.
func URL(name string) string { return "/v1/datasets/" + name }

// Of is what a list shows of a dataset.
func Of(d *dataset.Dataset, v *facts.View) Dataset {
	item := Dataset{Name: d.Name, Title: d.Title, Version: d.Version, Owner: d.Owner, URL: URL(d.Name)}
	var newest time.Time
	for key, f := range facts.LatestStored(v, d.Name) {
		item.Stored++
		item.Rows += f.Entry.Sheet.Total().Stored
		if w, err := window.Parse(key); err == nil && w.Start.After(newest) {
			newest, item.Newest = w.Start, key
		}
	}
	return item
}

// Detail is a dataset with what its contract and its pipeline say.
type Detail struct {
	Dataset

	Definition string            `json:"definition"`
	Key        []string          `json:"primary_key"`
	Columns    []columnItem      `json:"columns"`
	Rules      []ruleItem        `json:"rules"`
	Collect    collectItem       `json:"collect"`
	Aggregates []queryItem       `json:"aggregates"`
	Releases   []queryItem       `json:"releases"`
	Links      map[string]string `json:"links"`
}

type columnItem struct {
	Name           string `json:"name"`
	Type           string `json:"type"`
	Precision      int    `json:"precision,omitempty"`
	Scale          int    `json:"scale,omitempty"`
	Required       bool   `json:"required"`
	Classification string `json:"classification,omitempty"`
	Description    string `json:"description,omitempty"`
}

type ruleItem struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Column    string `json:"column,omitempty"`
	Dimension string `json:"dimension,omitempty"`
	Severity  string `json:"severity"`
	Scope     string `json:"scope"`
}

type collectItem struct {
	Every     string `json:"every"`
	Delay     string `json:"delay"`
	Start     string `json:"start"`
	End       string `json:"end,omitempty"`
	Lateness  string `json:"lateness"`
	EventTime string `json:"event_time"`
}

type queryItem struct {
	Name        string   `json:"name"`
	Every       string   `json:"every"`
	Delay       string   `json:"delay"`
	Inputs      []string `json:"inputs"`
	Split       string   `json:"split,omitempty"`
	Provisional bool     `json:"provisional,omitempty"`
}

// DetailOf is all that is shown of a dataset.
func DetailOf(d *dataset.Dataset, v *facts.View) Detail {
	detail := Detail{
		Dataset: Of(d, v), Definition: d.Definition, Key: append([]string{}, d.Key...),
		Columns: []columnItem{}, Rules: []ruleItem{},
		Collect: collectItem{
			Every: string(d.Collect.Every), Delay: duration(d.Collect.Delay), Start: d.Collect.Start.Format(time.RFC3339),
			Lateness: duration(d.Collect.Lateness), EventTime: d.Collect.EventTime,
		},
		Aggregates: queries(d.Aggregates), Releases: queries(d.Releases),
		Links: map[string]string{
			"windows": URL(d.Name) + "/windows", "quarantine": URL(d.Name) + "/quarantine", "releases": URL(d.Name) + "/releases",
		},
	}
	if !d.Collect.End.IsZero() {
		detail.Collect.End = d.Collect.End.Format(time.RFC3339)
	}
	for _, c := range d.Columns {
		detail.Columns = append(detail.Columns, columnItem{c.Name, string(c.Type), c.Precision, c.Scale, c.Required, c.Classification, c.Description})
	}
	for _, rule := range d.Rules {
		detail.Rules = append(detail.Rules, ruleItem{rule.Name, rule.Kind, rule.Column, rule.Dimension, rule.Severity, rule.Scope})
	}
	return detail
}

func queries(all []dataset.Query) []queryItem {
	items := []queryItem{}
	for _, q := range all {
		item := queryItem{Name: q.Name, Every: string(q.Every), Delay: duration(q.Delay), Inputs: []string{}, Split: q.Split, Provisional: q.Provisional}
		for _, in := range q.Inputs {
			item.Inputs = append(item.Inputs, in.Table)
		}
		items = append(items, item)
	}
	return items
}

// duration writes 6h as 6h, not as 6h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"0s", "0m"} {
		if short := strings.TrimSuffix(text, zero); short != text && strings.HasSuffix(short, map[string]string{"0s": "m", "0m": "h"}[zero]) {
			text = short
		}
	}
	return text
}
