// Package published keeps versions of datasets in the warehouse, and says which of them is current.
//
//	datasets/<dataset>/<version>/manifest.json   what the version holds
//	datasets/<dataset>/<version>/files/          the dataset's folder
//	datasets/<dataset>/history/<number>.json     what was done, and by whom: 00000001.json, 00000002.json, ...
//
// A version is named by the digest of its content, and never changes. The record with the highest number says which version is current; a record
// is written whole under a name that must be free, so that of several publishers at once each gets a number of its own, and a crash leaves either
// the old or the new record the last. Each record has the digest of the one before: what was changed afterwards shows.
package published

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"time"
)

// Root is the folder of the warehouse that holds published datasets.
const Root = "datasets"

const (
	manifestName = "manifest.json"
	filesName    = "files"
	historyName  = "history"
	recordFormat = "almanac.dataset.record/1"
)

// Actions of a record.
const (
	Publish  = "publish"
	Withdraw = "withdraw"
)

// Record says what was done to a dataset. The last one decides.
type Record struct {
	Format     string    `json:"format"`
	Dataset    string    `json:"dataset"`
	Number     int       `json:"number"`     // 1 is the first
	Action     string    `json:"action"`     // Publish or Withdraw
	Version    string    `json:"version"`    // digest of the content, 64 hexadecimal digits
	Contract   string    `json:"contract"`   // version of the contract
	Definition string    `json:"definition"` // digest of what decides which rows are stored
	Files      int       `json:"files"`
	Bytes      int64     `json:"bytes"`
	At         time.Time `json:"at"`       // by the publisher's clock, UTC
	By         string    `json:"by"`       // who did it
	Code       string    `json:"code"`     // version of Almanac that did it
	Previous   string    `json:"previous"` // SHA-256 of the record before, as it is stored; empty for the first

	digest string // of the record itself
}

// Withdrawn says whether the dataset is not to be scheduled.
func (r Record) Withdrawn() bool { return r.Action == Withdraw }

// Short is how a version is shown to people.
func Short(version string) string { return version[:min(12, len(version))] }

var (
	datasetName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	versionName = regexp.MustCompile(`^[0-9a-f]{64}$`)
	recordName  = regexp.MustCompile(`^([0-9]{8})\.json$`)
)

// ErrName marks an error about a name that no dataset can have.
var ErrName = errors.New("the name of a dataset has lower-case letters, digits and hyphens, and begins with a letter")

func recordPath(dataset string, number int) string {
	return path.Join(dataset, historyName, fmt.Sprintf("%08d.json", number))
}

// Heads are the numbers of the last records of all datasets that were ever published; those that are withdrawn too.
func Heads(datasets fs.FS) (map[string]int, error) {
	heads := map[string]int{}
	entries, err := fs.ReadDir(datasets, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return heads, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list published datasets: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !datasetName.MatchString(e.Name()) {
			continue
		}
		n, err := head(datasets, e.Name())
		if err != nil {
			return nil, err
		}
		if n > 0 { // a publisher that died has left no more than files
			heads[e.Name()] = n
		}
	}
	return heads, nil
}

// head is the number of the last record of a dataset; 0 if there is none.
func head(datasets fs.FS, dataset string) (int, error) {
	if !datasetName.MatchString(dataset) {
		return 0, fmt.Errorf("%q names no dataset: %w", dataset, ErrName)
	}
	entries, err := fs.ReadDir(datasets, path.Join(dataset, historyName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read the history of %s: %w", dataset, err)
	}
	highest := 0
	for _, e := range entries {
		if parts := recordName.FindStringSubmatch(e.Name()); parts != nil {
			n, _ := strconv.Atoi(parts[1])
			highest = max(highest, n)
		}
	}
	return highest, nil
}

// Last is the last record of a dataset. The error wraps fs.ErrNotExist if it was never published, and ErrName if it cannot be.
func Last(datasets fs.FS, dataset string) (Record, error) {
	n, err := head(datasets, dataset)
	if err != nil {
		return Record{}, err
	}
	if n == 0 {
		return Record{}, fmt.Errorf("dataset %s was never published: %w", dataset, fs.ErrNotExist)
	}
	return Read(datasets, dataset, n)
}

// History lists all records of a dataset, the first first, and sees that none is missing and none was changed. The error wraps fs.ErrNotExist
// if it was never published, and ErrName if it cannot be.
func History(datasets fs.FS, dataset string) ([]Record, error) {
	n, err := head(datasets, dataset)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("dataset %s was never published: %w", dataset, fs.ErrNotExist)
	}
	all := make([]Record, 0, n)
	previous := ""
	for i := 1; i <= n; i++ {
		r, err := Read(datasets, dataset, i)
		if err != nil {
			return all, err
		}
		if r.Previous != previous {
			return all, fmt.Errorf("the history of %s is broken: record %d does not follow record %d as it is now, so somebody has changed one of them: "+
				"compare with a backup of %s", dataset, i, i-1, path.Join(Root, dataset, historyName))
		}
		previous = r.digest
		all = append(all, r)
	}
	return all, nil
}

// Read reads one record of a dataset.
func Read(datasets fs.FS, dataset string, number int) (Record, error) {
	name := recordPath(dataset, number)
	data, err := fs.ReadFile(datasets, name)
	if err != nil {
		return Record{}, fmt.Errorf("read the history of %s: record %d: %w", dataset, number, err)
	}
	r, err := decode(data)
	if err == nil && (r.Dataset != dataset || r.Number != number) {
		err = fmt.Errorf("it is that of %s %d", r.Dataset, r.Number)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the history of %s: %s: %w", dataset, path.Join(Root, name), err)
	}
	return r, nil
}

func decode(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("it is not a record: %w", err)
	}
	switch {
	case r.Format != recordFormat:
		return r, fmt.Errorf("its format is %q, not %s: a later version of Almanac has written it, use that", r.Format, recordFormat)
	case !versionName.MatchString(r.Version) || r.Action != Publish && r.Action != Withdraw:
		return r, fmt.Errorf("it names the version %q and the action %q", r.Version, r.Action)
	}
	r.digest = digest(data)
	return r, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
