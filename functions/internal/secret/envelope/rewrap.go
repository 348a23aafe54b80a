package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// batch is how many keys are wrapped anew by one request.
const batch = 200

// Rewrapped counts what Rewrap has done.
type Rewrapped struct {
	Keys    int `json:"keys"`    // that there are
	Changed int `json:"changed"` // that were wrapped by an older version
	Version int `json:"version"` // by which all of them are wrapped now; 0 without keys
}

// Rewrap wraps the data keys of datasets by the newest version of the wrapping key; no data key and no sealed byte changes, and functions may be at
// work. It may be ended at any moment, and again does what is left. With an error it says what it has done so far.
func (r *Ring) Rewrap(ctx context.Context, datasets ...string) (sum Rewrapped, err error) {
	for _, dataset := range datasets {
		names, err := r.Files.Names(ctx, Folder(dataset))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return sum, err
		}
		for len(names) > 0 {
			n := min(batch, len(names))
			if err := r.rewrap(ctx, dataset, names[:n], &sum); err != nil {
				return sum, err
			}
			names = names[n:]
		}
	}
	return sum, nil
}

func (r *Ring) rewrap(ctx context.Context, dataset string, names []string, sum *Rewrapped) error {
	all := make([]stored, len(names))
	old := make([]string, len(names))
	for i, name := range names {
		window, ok := strings.CutSuffix(name, ".json")
		if !ok {
			return fmt.Errorf("wrap data keys anew: %s/%s is none", Folder(dataset), name)
		}
		var err error
		if all[i], err = r.read(ctx, dataset, window); err != nil {
			return err
		}
		old[i] = all[i].Wrapped
	}
	wrapped, err := r.Wrapper.Rewrap(ctx, old)
	if err != nil {
		return fmt.Errorf("wrap data keys of %s anew: %w", dataset, err)
	}
	if len(wrapped) != len(old) {
		return fmt.Errorf("wrap data keys of %s anew: %d came back for %d", dataset, len(wrapped), len(old))
	}
	for i, s := range all {
		before, after := version(old[i]), version(wrapped[i])
		if after < before || after == 0 {
			return fmt.Errorf("wrap the data key of %s/%s anew: it came back under version %d, and is under %d", dataset, s.Window, after, before)
		}
		if after > before {
			s.Wrapped = wrapped[i]
			text, err := json.Marshal(s)
			if err != nil {
				return err
			}
			if err := r.Files.WriteFile(ctx, path(dataset, s.Window), append(text, '\n')); err != nil {
				return fmt.Errorf("keep the data key of %s/%s: %w", dataset, s.Window, err)
			}
			sum.Changed++
		}
		sum.Keys++
		sum.Version = after
	}
	return nil
}

// version is that of the key by which a text is wrapped; 0 if it says none.
func version(wrapped string) int {
	_, rest, _ := strings.Cut(wrapped, ":v")
	digits, _, found := strings.Cut(rest, ":")
	n, err := strconv.Atoi(digits)
	if err != nil || !found || n < 1 {
		return 0
	}
	return n
}
