package deliver

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/almanac-data/almanac/functions/internal/deliver/release"
	"github.com/almanac-data/almanac/functions/internal/lineage"
	"github.com/almanac-data/almanac/functions/internal/snapshot"
	"github.com/almanac-data/almanac/functions/internal/table"
)

// contentOf is the content but for the files and what names the revision.
func contentOf(p *snapshot.Pin) release.Content {
	d, q := p.Dataset, p.Query
	digest := sha256.Sum256([]byte(q.SQL))
	c := release.Content{
		Format: release.Format, Dataset: d.Name, Title: d.Title, Owner: d.Owner, Contract: d.Version, Definition: d.Definition, Release: q.Name,
		Window: release.Window{Key: p.Window.Key(), Start: p.Window.Start, End: p.Window.End}, Split: q.Split, OrderBy: q.OrderBy,
		SQL: release.SQL{File: q.File, SHA256: hex.EncodeToString(digest[:])}, Signature: p.Inputs, Files: []release.File{},
		Provisional: append([]lineage.Absence{}, p.Absent...),
	}
	for _, seen := range p.Seen {
		in := release.Input{Table: seen.Table, Back: seen.Back.String(), Signature: seen.Signature, Windows: []release.InputWindow{}}
		for _, w := range seen.Windows {
			if seen.Table == table.Rows {
				e := p.Known.Rows[w.Key()]
				in.Windows = append(in.Windows, release.InputWindow{
					Window: w.Key(), Digest: e.Digest, Generation: e.Generation, Definition: e.Definition, Rows: e.Sheet.Total().Stored, Sheet: e.Sheet,
				})
			} else {
				e := p.Known.Aggregates[seen.Table][w.Key()]
				in.Windows = append(in.Windows, release.InputWindow{Window: w.Key(), Digest: e.Digest, Rows: e.Rows})
			}
		}
		c.Inputs = append(c.Inputs, in)
	}
	return c
}
