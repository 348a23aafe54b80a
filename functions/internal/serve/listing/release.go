package listing

import (
	"context"

	"github.com/almanac-data/almanac/functions/internal/serve/shelf"
)

// Release is one release in a list.
type Release struct {
	Version     string            `json:"version"`
	Name        string            `json:"name"`
	Window      string            `json:"window"`
	Revision    int               `json:"revision"`
	Rows        int64             `json:"rows"`
	Bytes       int64             `json:"bytes"`
	Content     string            `json:"content_sha256"` // of the content part of the manifest
	Provisional bool              `json:"provisional,omitempty"`
	Stale       *shelf.Stale      `json:"stale,omitempty"`
	Links       map[string]string `json:"links"`
}

// ReleaseURL is where a release is found.
func ReleaseURL(dataset, version string) string {
	return URL(dataset) + "/releases/" + version
}

// ReleaseOf is what a list shows of a version of a release, whose manifest is doc.
func ReleaseOf(ctx context.Context, on *shelf.Shelf, v shelf.Version, doc shelf.Manifest) (Release, error) {
	item := Release{Version: v.Text, Name: v.Name, Window: v.Window.Key(), Revision: v.Revision}
	for _, f := range doc.Content.Files {
		item.Rows += f.Rows
		item.Bytes += f.Bytes
	}
	item.Content, item.Provisional = doc.ContentSHA256, len(doc.Content.Provisional) > 0
	url := ReleaseURL(on.Dataset, v.Text)
	item.Links = map[string]string{"self": url, "manifest": url + "/manifest", "rows": url + "/rows"}
	var err error
	item.Stale, err = on.Stale(ctx, v)
	return item, err
}

// ReleaseDetail is a release with its files and its schema.
type ReleaseDetail struct {
	Release

	Schema []shelf.Column `json:"schema"`
	Files  []fileItem     `json:"files"`
}

type fileItem struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	Split  string `json:"split,omitempty"`
	URL    string `json:"url"`
}

// ReleaseDetailOf is all that is shown of a release of a dataset, whose manifest is doc.
func ReleaseDetailOf(item Release, dataset string, doc shelf.Manifest) ReleaseDetail {
	detail := ReleaseDetail{Release: item, Schema: append([]shelf.Column{}, doc.Content.Schema...), Files: []fileItem{}}
	for _, f := range doc.Content.Files {
		url := ReleaseURL(dataset, item.Version) + "/files/" + f.SHA256 + ".parquet"
		detail.Files = append(detail.Files, fileItem{f.SHA256, f.Bytes, f.Rows, f.Split, url})
	}
	return detail
}
