package onebox

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// prepare makes sure that kfake starts on what it can read:
//
//   - Logs without the files that say what they are would be taken for new topics, and their old records for new ones.
//   - Logs are checked batch by batch and cut off where they are torn; see mend.
func prepare(dir string, log *slog.Logger) error {
	logs, err := filepath.Glob(filepath.Join(dir, "partitions", "*"))
	if err != nil || len(logs) == 0 {
		return err
	}
	for _, name := range []string{"meta.json", "topics.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s holds logs, but %s is missing: "+
				"put it back from a backup, or remove the folder to begin anew: tables and releases are not touched, and what was under way is done again",
				dir, name)
		}
	}
	if err := setAside(dir, logs, log); err != nil {
		return err
	}
	for _, l := range logs {
		if err := mend(l, log); err != nil && !errors.Is(err, os.ErrNotExist) { // it may have been set aside
			return fmt.Errorf("mend %s: %w", l, err)
		}
	}
	return nil
}

// setAside moves the logs of topics that the broker does not know out of its way. There are some after a disk was full while a
// topic was made.
func setAside(dir string, logs []string, log *slog.Logger) error {
	data, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if err != nil {
		return err
	}
	var known struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int    `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return fmt.Errorf("topics.json cannot be read (%w): "+
			"put it back from a backup, or remove %s to begin anew: tables and releases are not touched, and what was under way is done again",
			err, dir)
	}
	names := map[string]bool{}
	for _, t := range known.Topics {
		for p := range t.Partitions {
			names[url.PathEscape(t.Name)+"-"+strconv.Itoa(p)] = true
		}
	}
	for _, l := range logs {
		name := filepath.Base(l)
		if names[name] {
			continue
		}
		aside := filepath.Join(dir, "aside")
		if err := os.MkdirAll(aside, 0o750); err != nil {
			return err
		}
		to, err := os.MkdirTemp(aside, name+"-")
		if err != nil {
			return err
		}
		log.Warn("log of an unknown topic is set aside", "log", name, "to", to)
		if err := os.Rename(l, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}
