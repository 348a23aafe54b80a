package events

import "encoding/json"

// CloudEvents types of the ingest facts.
const (
	TypeCollected = "dev.almanac.collected.v1"
	TypeProcessed = "dev.almanac.processed.v1"
	TypeValidated = "dev.almanac.validated.v1"
	TypeStaged    = "dev.almanac.staged.v1"
	TypeStored    = "dev.almanac.stored.v1"
)

// Position is a place in a pinned source: a file by its index in the pin and a byte offset in its decompressed bytes.
type Position struct {
	File   int   `json:"file"`
	Offset int64 `json:"offset"`
}

// Collected says that the raw blocks of one slice are written.
type Collected struct {
	Piece

	Definition string   `json:"definition"` // digest of the dataset's definition of rows
	Inputs     string   `json:"inputs"`     // digest of the fact of the slice before; of the pin for slice 1
	Pin        Pin      `json:"pin"`        // the same in every slice of a generation
	Header     string   `json:"header"`     // the header record of the file the slice lies in, if it has one
	From       Position `json:"from"`
	To         Position `json:"to"` // where the next slice starts
	Last       bool     `json:"last"`
	Raw        Claim    `json:"raw"`
	Reason     string   `json:"reason,omitempty"` // why the generation was due
	// Plain and Archive tell of sealed blocks what they hold, so that the same rows are the same whichever key seals them: the hex BLAKE3 (256 bits)
	// of the values in clear, in order, and the hex SHA-256 of the same bytes. They are empty of blocks in clear.
	Plain   string `json:"plain,omitempty"`
	Archive string `json:"archive,omitempty"`
}

// Processed says that one slice is parsed and cleaned.
type Processed struct {
	Piece

	Definition string `json:"definition"`
	Inputs     string `json:"inputs"` // digest of the collected fact
	Rows       Claim  `json:"rows"`
	Quarantine Claim  `json:"quarantine"`
	Sheet      Sheet  `json:"sheet"` // Read, Quarantined, Filtered; Stored stands for what is passed on
}

// Validated says that the row rules of the contract are applied to one slice.
type Validated struct {
	Piece

	Definition string  `json:"definition"`
	Inputs     string  `json:"inputs"` // digest of the processed fact
	Rows       Claim   `json:"rows"`
	Quarantine []Claim `json:"quarantine"` // those of process and of validate
	Sheet      Sheet   `json:"sheet"`
	// Reasons counts the rejected rows by rule or reason.
	Reasons map[string]int64 `json:"reasons,omitempty"`
}

// Staged says that one slice is written as files of the warehouse that no table names yet.
type Staged struct {
	Piece

	Definition string `json:"definition"`
	Inputs     string `json:"inputs"` // digest of the validated fact
	Last       bool   `json:"last"`
	Rows       []File `json:"rows"`
	Quarantine []File `json:"quarantine"`
	Raw        File   `json:"raw"`            // the archived raw bytes of the slice
	Keys       []File `json:"keys,omitempty"` // sorted hashes of each unique key, the primary key first
	Sheet      Sheet  `json:"sheet"`
	// Plain is the hex SHA-256 of what the archive holds, if it is sealed.
	Plain string `json:"plain,omitempty"`
	// Newest is the latest event time (RFC 3339), empty without rows.
	Newest string `json:"newest,omitempty"`
	// Nulls counts the nulls of each column that a window rule asks for.
	Nulls map[string]int64 `json:"nulls,omitempty"`
	// Reasons counts the rejected rows by rule or reason.
	Reasons map[string]int64 `json:"reasons,omitempty"`
}

// Stored says that a generation of a window is visible in the tables.
type Stored struct {
	Piece

	Entry    Entry `json:"entry"`    // as the table's map has it
	Snapshot int64 `json:"snapshot"` // of the rows table
}

// Entry is what the map of a rows table says of one window.
type Entry struct {
	Generation int    `json:"generation"`
	Definition string `json:"definition"`
	Digest     string `json:"digest"` // over the staged facts of all slices
	Slices     int    `json:"slices"`
	Pin        Pin    `json:"pin"`
	Sheet      Sheet  `json:"sheet"`
	// Changed are the event days whose stored rows differ from those of the generation before.
	Changed []string         `json:"changed,omitempty"`
	Reasons map[string]int64 `json:"reasons,omitempty"`
	Reason  string           `json:"reason,omitempty"` // why the generation was collected
}

// Type is TypeCollected.
func (Collected) Type() string { return TypeCollected }

// Type is TypeProcessed.
func (Processed) Type() string { return TypeProcessed }

// Type is TypeValidated.
func (Validated) Type() string { return TypeValidated }

// Type is TypeStaged.
func (Staged) Type() string { return TypeStaged }

// Type is TypeStored.
func (Stored) Type() string { return TypeStored }

// Topic keeps the latest collected fact of each slice.
func (Collected) Topic() string { return FactTopicPrefix + "collected" }

// Topic keeps the latest processed fact of each slice.
func (Processed) Topic() string { return FactTopicPrefix + "processed" }

// Topic keeps the latest validated fact of each slice.
func (Validated) Topic() string { return FactTopicPrefix + "validated" }

// Topic keeps the latest staged fact of each slice.
func (Staged) Topic() string { return FactTopicPrefix + "staged" }

// Topic keeps the latest stored fact of each generation.
func (Stored) Topic() string { return FactTopicPrefix + "stored" }

// ID names the slice and what the fact claims: doing the same work twice shares it.
func (f Collected) ID() string { return id("collected", f.Piece, f.Digest()) }

// ID names the slice and what the fact claims: doing the same work twice shares it.
func (f Processed) ID() string { return id("processed", f.Piece, f.Digest()) }

// ID names the slice and what the fact claims: doing the same work twice shares it.
func (f Validated) ID() string { return id("validated", f.Piece, f.Digest()) }

// ID names the slice and what the fact claims: doing the same work twice shares it.
func (f Staged) ID() string { return id("staged", f.Piece, f.Digest()) }

// ID names the generation by the digest of its staged slices: two commits of the same slices share it.
func (f Stored) ID() string { return id("stored", f.Piece, f.Entry.Digest) }

// Follows says whether the slice begins where the one before ends and was made from the same pin. For the first slice, prev is zero.
func (f Collected) Follows(prev Collected) bool {
	if prev.Slice == 0 {
		return f.Slice == 1 && f.From == prev.To && f.Inputs == f.Pin.Content()
	}
	return f.Slice == prev.Slice+1 && f.From == prev.To && f.Inputs == prev.Digest() && f.Pin.Content() == prev.Pin.Content()
}

// Digest identifies what the fact claims, not where it lies: two instances that did the same work say facts of one digest.
// It leaves out what does not decide the raw bytes: the definition, the reason, the versions of files of equal content, and whether blocks are sealed.
func (f Collected) Digest() string {
	return Digest(f.Key(), f.Inputs, f.Pin.Content(), f.Header, form(f.From), form(f.To), form(f.Last), f.content())
}

// content is the digest of the raw blocks in clear.
func (f Collected) content() string {
	if f.Plain != "" {
		return f.Plain
	}
	return f.Raw.Content()
}

// Digest identifies what the fact claims.
func (f Processed) Digest() string {
	return Digest(f.Key(), f.Definition, f.Inputs, f.Rows.Content(), f.Quarantine.Content(), form(f.Sheet))
}

// Digest identifies what the fact claims.
func (f Validated) Digest() string {
	parts := []string{f.Key(), f.Definition, f.Inputs, f.Rows.Content(), form(f.Sheet), form(f.Reasons)}
	for _, q := range f.Quarantine {
		parts = append(parts, q.Content())
	}
	return Digest(parts...)
}

// Digest identifies what the fact claims.
func (f Staged) Digest() string {
	parts := []string{f.Key(), f.Definition, f.Inputs, form(f.Last), f.archived(), form(f.Sheet), f.Newest, form(f.Nulls), form(f.Reasons)}
	for _, files := range [][]File{f.Rows, f.Quarantine, f.Keys} {
		for _, file := range files {
			parts = append(parts, file.Digest)
		}
		parts = append(parts, ";")
	}
	return Digest(parts...)
}

// archived is the digest of the archive in clear.
func (f Staged) archived() string {
	if f.Plain != "" {
		return f.Plain
	}
	return f.Raw.Digest
}

// GenerationDigest identifies what all slices of a generation claim together, in their order.
func GenerationDigest(slices []Staged) string {
	parts := make([]string, len(slices))
	for i, s := range slices {
		parts[i] = s.Digest()
	}
	return Digest(parts...)
}

// form is the JSON form of a plain value, whose keys are in order. A map without keys has the form of none.
func form(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // cannot be: the values are numbers, strings and maps of them
	}
	if string(text) == "{}" {
		return "null"
	}
	return string(text)
}
