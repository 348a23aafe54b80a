package events

// CloudEvents types of the remaining facts.
const (
	TypeStopped    = "dev.almanac.stopped.v1"
	TypeRestated   = "dev.almanac.restated.v1"
	TypeAggregated = "dev.almanac.aggregated.v1"
	TypeReleased   = "dev.almanac.released.v1"
)

// Stopped says that a piece of work cannot go on, and what a person can do. It is keyed by the whole piece
// (no slice): what is due again for a later generation, definition or input signature supersedes it.
type Stopped struct {
	Piece

	Step       string `json:"step"`
	Definition string `json:"definition,omitempty"`
	Inputs     string `json:"inputs,omitempty"`
	Attempt    int    `json:"attempt"`
	// Waiting says that the world outside may mend it (a file that is not there yet): the piece is tried again.
	Waiting bool   `json:"waiting,omitempty"`
	Reason  string `json:"reason"` // one word: source_missing, reject_budget, window_rule, ...
	Detail  string `json:"detail"` // what a person reads
}

// Restated says that the source of a window differs from what the generation pinned.
type Restated struct {
	Piece // Generation is the one that is outdated

	Pin Pin `json:"pin"` // what the source holds now
}

// Input is one table that an aggregate or release was computed from.
type Input struct {
	Table    string `json:"table"`
	Snapshot int64  `json:"snapshot"`
	// Signature is the digest over the event days (rows) or windows (aggregates) that the query may see.
	Signature string `json:"signature"`
}

// Aggregated says that one window of an aggregate table is visible.
type Aggregated struct {
	Piece

	Inputs      string  `json:"inputs"` // signature over all tables and the SQL
	Tables      []Input `json:"tables"`
	Rows        int64   `json:"rows"`
	Files       []File  `json:"files"`
	Digest      string  `json:"digest"` // of the files
	Snapshot    int64   `json:"snapshot"`
	Provisional bool    `json:"provisional,omitempty"`
}

// Released says that a release is published.
type Released struct {
	Piece

	Version     string `json:"version"` // <name>-<window>.<revision>
	Revision    int    `json:"revision"`
	Inputs      string `json:"inputs"`
	Content     string `json:"content"` // hex SHA-256 of the content part of the manifest
	Rows        int64  `json:"rows"`
	Bytes       int64  `json:"bytes"`
	Provisional bool   `json:"provisional,omitempty"`
}

// Type is TypeStopped.
func (Stopped) Type() string { return TypeStopped }

// Type is TypeRestated.
func (Restated) Type() string { return TypeRestated }

// Type is TypeAggregated.
func (Aggregated) Type() string { return TypeAggregated }

// Type is TypeReleased.
func (Released) Type() string { return TypeReleased }

// Topic keeps the latest stopped fact of each piece of work.
func (Stopped) Topic() string { return FactTopicPrefix + "stopped" }

// Topic keeps the latest restated fact of each generation.
func (Restated) Topic() string { return FactTopicPrefix + "restated" }

// Topic keeps the latest aggregated fact of each window of an aggregate.
func (Aggregated) Topic() string { return FactTopicPrefix + "aggregated" }

// Topic keeps the latest released fact of each window of a release.
func (Released) Topic() string { return FactTopicPrefix + "released" }

// ID names the step and the cause: stopping again for the same cause shares it.
func (f Stopped) ID() string { return id("stopped", f.Piece, f.Step, f.Reason, Digest(f.Detail)) }

// ID names what the source holds now: seeing it twice shares it.
func (f Restated) ID() string { return id("restated", f.Piece, f.Pin.Content()) }

// ID names inputs and files: computing the same again shares it.
func (f Aggregated) ID() string { return id("aggregated", f.Piece, f.Inputs, f.Digest) }

// ID names version and content: publishing the same again shares it.
func (f Released) ID() string { return id("released", f.Piece, f.Version, f.Content) }

// FactTopics lists the topics of all facts, in the order of the way of the data.
func FactTopics() []string {
	var topics []string
	for _, e := range []Event{Collected{}, Processed{}, Validated{}, Staged{}, Stored{}, Restated{}, Stopped{}, Aggregated{}, Released{}} {
		topics = append(topics, e.Topic())
	}
	return topics
}

// WakeTopics lists the topics of hints that instances of a function share. Calendar and store have none: one instance does their work best, as
// windows that are ready at the same time are committed together.
func WakeTopics() []string {
	var topics []string
	for _, function := range []string{StepCollect, "process", "validate", StepAggregate, StepDeliver} {
		topics = append(topics, WakeTopicPrefix+function)
	}
	return topics
}

// DueTopics lists the topics of all dues.
func DueTopics() []string {
	return []string{DueTopicPrefix + StepCollect, DueTopicPrefix + StepAggregate, DueTopicPrefix + StepDeliver}
}
