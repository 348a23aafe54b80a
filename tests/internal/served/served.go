// Package served holds what the HTTP API hands out to what one process has made.
package served

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/almanac-data/almanac/tests/internal/reader"
)

// Get asks the API for a path, as somebody who may read it. The status is 0 where nobody answers.
type Get func(path string) (status int, body []byte)

// Versions are the releases of a dataset that are listed; none while it is not known, or serve starts.
func Versions(get Get, dataset string) (all []string, err error) {
	status, body := get("/v1/datasets/" + dataset + "/releases")
	if status != http.StatusOK {
		return nil, nil
	}
	var list struct {
		Releases []struct {
			Version string `json:"version"`
		} `json:"releases"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	for _, r := range list.Releases {
		all = append(all, r.Version)
	}
	return all, nil
}

// Differences says in what a release that is served differs from another: the content of the manifest byte for byte, and each data file, which it counts.
func Differences(get Get, dataset, version string, want reader.Release) (files int, wrong []string) {
	at := "/v1/datasets/" + dataset + "/releases/" + version
	status, body := get(at + "/manifest")
	var manifest struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(body, &manifest); err != nil || status != http.StatusOK {
		return 0, []string{fmt.Sprintf("%s/manifest = %d, %v", at, status, err)}
	}
	if string(manifest.Content) != want.Content {
		wrong = append(wrong, fmt.Sprintf("%s: the content of the manifest is\n%s\nwant\n%s", version, manifest.Content, want.Content))
	}
	for path, digest := range want.Files {
		file, ok := strings.CutPrefix(path, "data/")
		if !ok {
			continue
		}
		files++
		status, body := get(at + "/files/" + file)
		if got := sha256.Sum256(body); status != http.StatusOK || hex.EncodeToString(got[:]) != digest {
			wrong = append(wrong, fmt.Sprintf("%s: file %s = %d, with the digest %x, want %s", version, file, status, got, digest))
		}
	}
	if files == 0 {
		wrong = append(wrong, version+" of one process has no data files")
	}
	return files, wrong
}
