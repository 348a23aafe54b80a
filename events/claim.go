package events

// Claim names blocks in a topic: those records of [From, To) in the partition whose writer header is Writer.
// A reader that finds other blocks than Count and Digest say must treat the fact as absent.
type Claim struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"` // Kafka topic id (KIP-516), hex
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`   // first offset
	To        int64  `json:"to"`     // offset after the last
	Writer    string `json:"writer"` // unique to one attempt
	Blocks    int    `json:"blocks"`
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`  // of the block values
	Digest    string `json:"digest"` // hex BLAKE3 (256 bits) over the block values, in order
}

// Content is the part of a claim that does not depend on where and by whom the blocks were written. The number of blocks, rows and
// bytes follows from it: each block is a frame that says its own length.
func (c Claim) Content() string { return c.Digest }

// Counts is the balance of rows of one event day: Read = Stored + Quarantined + Duplicate + Filtered.
type Counts struct {
	Read        int64 `json:"read"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"`
	Duplicate   int64 `json:"duplicate"`
	Filtered    int64 `json:"filtered"`
	// Hash is an order-independent 64-bit digest of the stored rows (a sum of row hashes), in hex.
	Hash string `json:"hash,omitempty"`
}

// Balanced says whether every row read is accounted for.
func (c Counts) Balanced() bool {
	return c.Read == c.Stored+c.Quarantined+c.Duplicate+c.Filtered
}

// Add sums the counts; the hash is left alone.
func (c Counts) Add(o Counts) Counts {
	c.Read += o.Read
	c.Stored += o.Stored
	c.Quarantined += o.Quarantined
	c.Duplicate += o.Duplicate
	c.Filtered += o.Filtered
	return c
}

// Sheet is the balance sheet of a generation, per event day (2001-01-05); rows without a readable
// event time stand under "unknown".
type Sheet map[string]Counts

// UnknownDay is the key of a sheet for rows whose event time could not be read.
const UnknownDay = "unknown"

// Total is the sum over the days.
func (s Sheet) Total() Counts {
	var t Counts
	for _, c := range s {
		t = t.Add(c)
	}
	return t
}

// Add adds the counts of one day.
func (s Sheet) Add(day string, c Counts) {
	sum := s[day].Add(c)
	s[day] = sum
}

// Merge adds every day of another sheet.
func (s Sheet) Merge(o Sheet) {
	for day, c := range o {
		s.Add(day, c)
	}
}

// File is a file in the warehouse.
type File struct {
	Path   string `json:"path"` // relative to the warehouse
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"` // hex SHA-256
}

// Pin fixes what a window is collected from, before the first byte is read.
type Pin struct {
	Files []PinnedFile `json:"files"`
}

// PinnedFile is one file of a pin.
type PinnedFile struct {
	URI     string `json:"uri"`
	Bytes   int64  `json:"bytes"`
	Digest  string `json:"digest"`  // hex SHA-256 of the bytes as they lie at the source
	Version string `json:"version"` // cheap to ask: changes when the content may have changed
}

// Content is the digest over the files' digests: equal for equal content.
func (p Pin) Content() string {
	parts := make([]string, 0, 2*len(p.Files))
	for _, f := range p.Files {
		parts = append(parts, f.URI, f.Digest)
	}
	return Digest(parts...)
}
