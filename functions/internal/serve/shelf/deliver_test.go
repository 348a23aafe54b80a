package shelf

import (
	"encoding/json"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/lineage"
)

// TestReadsWhatDeliverWrites holds the two ends of the manifest together.
func TestReadsWhatDeliverWrites(t *testing.T) {
	text, err := json.Marshal(release.Manifest{
		Content: release.Content{
			Files:       []release.File{{Path: "data/a.parquet", Bytes: 9, Rows: 3, SHA256: "aa", Split: "train"}},
			Schema:      []release.Column{{Name: "n", Type: "int64", Nullable: true}},
			Provisional: []lineage.Absence{{Table: "rows", Window: "2001-01-05", Reason: "missing"}},
		},
		ContentSHA256: "cc",
	})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := Parse("training-2001-01.1")
	_, got, err := ReadManifest(t.Context(), memory{fstest.MapFS{Path("flights", v, "manifest.json"): &fstest.MapFile{Data: text}}}, "flights", v)
	var want Manifest
	want.Content.Files = []File{{Path: "data/a.parquet", Bytes: 9, Rows: 3, SHA256: "aa", Split: "train"}}
	want.Content.Schema = []Column{{Name: "n", Type: "int64", Nullable: true}}
	want.ContentSHA256 = "cc"
	if err != nil || len(got.Content.Provisional) != 1 {
		t.Fatalf("ReadManifest() = %+v, %v", got, err)
	}
	got.Content.Provisional = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text, err = json.Marshal(release.Stale{Version: v.Text, Cause: "restated", Changed: []string{"rows 2001-01-05"}})
	if err != nil {
		t.Fatal(err)
	}
	var stale Stale
	if err := json.Unmarshal(text, &stale); err != nil || stale.Cause != "restated" || len(stale.Changed) != 1 {
		t.Errorf("mark = %+v, %v", stale, err)
	}
}
