package release_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/deliver/release"
)

// empty is the manifest of a release without rows.
func empty() release.Manifest {
	start := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	m := release.Manifest{Content: release.Content{
		Format: release.Format, Dataset: "flights", Release: "training", Files: []release.File{},
		Window: release.Window{Key: "2001-01", Start: start, End: start.AddDate(0, 1, 0)},
	}}
	m.Content.Number(3)
	return m
}

func TestTheManifestComesBack(t *testing.T) {
	m := empty()
	m.Provenance = release.Provenance{PublishedAt: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC), Code: "v1", Attempt: 2, Snapshots: map[string]string{"rows": "9223372036854775807"}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := release.Decode(data)
	if diff := cmp.Diff(m, back); err != nil || diff != "" {
		t.Errorf("Decode: %v (-want +got):\n%s", err, diff)
	}
	if back.Content.Version != "training-2001-01.3" || len(back.ContentSHA256) != 64 {
		t.Errorf("version %s, digest %q", back.Content.Version, back.ContentSHA256)
	}
	r, err := release.Verify(context.Background(), fstest.MapFS{"manifest.json": {Data: data}})
	if err != nil || !r.OK() || r.Content != m.ContentSHA256 {
		t.Errorf("Verify = %+v, %v", r, err)
	}
}

func TestTheDigestIsOfTheContentAlone(t *testing.T) {
	one, other := empty(), empty()
	other.Provenance.Code, other.Provenance.Attempt = "another", 9
	_, err1 := one.Encode()
	_, err2 := other.Encode()
	if err1 != nil || err2 != nil || one.ContentSHA256 != other.ContentSHA256 {
		t.Errorf("digests %s and %s, %v, %v", one.ContentSHA256, other.ContentSHA256, err1, err2)
	}
	other.Content.Number(4)
	if _, err := other.Encode(); err != nil || one.ContentSHA256 == other.ContentSHA256 {
		t.Errorf("another revision has the same digest, %v", err)
	}
}

func TestColumns(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: "c", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}}, {Name: "d", Type: arrow.FixedWidthTypes.Date32},
		{Name: "e", Type: arrow.BinaryTypes.String}, {Name: "f", Type: arrow.FixedWidthTypes.Boolean}, {Name: "g", Type: arrow.PrimitiveTypes.Float64},
		{Name: "h", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	}, nil)
	var got []string
	for _, c := range release.Columns(schema) {
		got = append(got, fmt.Sprintf("%s %s %v", c.Name, c.Type, c.Nullable))
	}
	want := "a int64 false, b timestamp[us, UTC] true, c decimal(9, 2) false, d date false, e string false, f bool false, g float64 false, h timestamp[us] false"
	if strings.Join(got, ", ") != want {
		t.Errorf("Columns = %s, want %s", strings.Join(got, ", "), want)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"content":{"format":"almanac-release/1","files":[{"path":"data/x.parquet"}]},"content_sha256":""}`), []byte("PAR1"))
	f.Add([]byte(`{"content":{"format":"almanac-release/1","files":[{"path":"data/x.parquet"}]}}`), []byte("PAR1\x15\x04\x00\x00\x08\x00\x00\x00PAR1"))
	f.Add([]byte(`{}`), []byte(nil))
	f.Fuzz(func(_ *testing.T, manifest, data []byte) {
		folder := fstest.MapFS{"manifest.json": {Data: manifest}, "data/x.parquet": {Data: data}}
		_, _ = release.Verify(context.Background(), folder) // whatever it says, it must say it
	})
}
