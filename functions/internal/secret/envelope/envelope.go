// Package envelope keeps the data keys by which raw blocks are sealed: one for each window of a dataset, as a small file of the warehouse that holds
// it wrapped by a key that is elsewhere, in the transit engine of the secrets store or in a key file.
//
// Data keys are in files of their own, and not in what they seal: sealed bytes are named and claimed by their digest, and stay as they are when a
// key is wrapped anew.
package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/almanac-data/almanac/functions/internal/block/seal"
)

// Config names the key that wraps.
type Config struct {
	Key string `env:"ALMANAC_ENVELOPE_KEY" secret:"key"` // vault://transit/almanac-rows, or a key file, made if it is missing; nothing is sealed if empty
}

// Files are those of the warehouse. A missing one is fs.ErrNotExist.
type Files interface {
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// WriteNew makes a file under a name that must be free, else the error wraps fs.ErrExist. WriteFile replaces one. A reader sees all or nothing.
	WriteNew(ctx context.Context, name string, data []byte) error
	WriteFile(ctx context.Context, name string, data []byte) error
	// Names lists a folder.
	Names(ctx context.Context, dir string) ([]string, error)
}

// Wrapper wraps data keys, each as a text of the form <who>:v<version of its own key>:<what only it reads>.
type Wrapper interface {
	// DataKey makes one, of 32 bytes.
	DataKey(ctx context.Context) (data []byte, wrapped string, err error)
	// Unwrap gives back the data key.
	Unwrap(ctx context.Context, wrapped string) ([]byte, error)
	// Rewrap wraps keys by the newest version of its own, in order, without showing them.
	Rewrap(ctx context.Context, wrapped []string) ([]string, error)
}

// Ring has the data keys of a warehouse. It keeps none in memory: each call asks anew, so that what is taken from a function counts with its next
// event. It is safe for concurrent use.
type Ring struct {
	Files   Files
	Wrapper Wrapper
}

const format = "almanac-data-key/1"

// stored is a file of a data key.
type stored struct {
	Format  string `json:"format"`
	Dataset string `json:"dataset"`
	Window  string `json:"window"`
	Check   string `json:"check"` // tells whether what is unwrapped is the key
	Wrapped string `json:"wrapped"`
}

// Folder is that of a dataset's data keys. No aggregate can have its name, which has a hyphen.
func Folder(dataset string) string { return dataset + "/data-keys" }

// path is where the data key of a window lies.
func path(dataset, window string) string { return Folder(dataset) + "/" + window + ".json" }

// Key gives the data key of a window. The error wraps fs.ErrNotExist if its file is not there: then what it sealed can never be read.
func (r *Ring) Key(ctx context.Context, dataset, window string) (*seal.Key, error) {
	s, err := r.read(ctx, dataset, window)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the data key of %s/%s is gone (%w): restore %s from a backup; without it what it sealed is lost", dataset, window, err, path(dataset, window))
	}
	if err != nil {
		return nil, err
	}
	return r.unwrap(ctx, s)
}

// Ensure gives the data key of a window, and makes one if there is none. Nothing was sealed by a key whose file is not there: who dies in between
// leaves nothing that another key would have to open.
func (r *Ring) Ensure(ctx context.Context, dataset, window string) (*seal.Key, error) {
	s, err := r.read(ctx, dataset, window)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, err
		}
		return r.unwrap(ctx, s)
	}
	key, err := r.make(ctx, dataset, window)
	if errors.Is(err, fs.ErrExist) { // another was faster
		return r.Key(ctx, dataset, window)
	}
	return key, err
}

func (r *Ring) make(ctx context.Context, dataset, window string) (*seal.Key, error) {
	data, wrapped, err := r.Wrapper.DataKey(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	key, err := seal.NewKey(data, dataset, window)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(stored{format, dataset, window, key.Check(), wrapped})
	if err != nil {
		return nil, err
	}
	if err := r.Files.WriteNew(ctx, path(dataset, window), append(text, '\n')); err != nil {
		return nil, fmt.Errorf("keep the data key of %s/%s: %w", dataset, window, err)
	}
	return key, nil
}

func (r *Ring) read(ctx context.Context, dataset, window string) (s stored, err error) {
	name := path(dataset, window)
	text, err := r.Files.ReadFile(ctx, name)
	if err != nil {
		return s, fmt.Errorf("read the data key of %s/%s: %w", dataset, window, err)
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Format != format || s.Wrapped == "" {
		return s, fmt.Errorf("read the data key of %s/%s: %s is no file of the format %s: restore it from a backup", dataset, window, name, format)
	}
	if s.Dataset != dataset || s.Window != window {
		return s, fmt.Errorf("read the data key of %s/%s: %s holds that of %s/%s: restore it from a backup", dataset, window, name, s.Dataset, s.Window)
	}
	return s, nil
}

func (r *Ring) unwrap(ctx context.Context, s stored) (*seal.Key, error) {
	data, err := r.Wrapper.Unwrap(ctx, s.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap the data key of %s/%s: %w", s.Dataset, s.Window, err)
	}
	defer clear(data)
	key, err := seal.NewKey(data, s.Dataset, s.Window)
	if err != nil {
		return nil, fmt.Errorf("unwrap the data key of %s/%s: %w", s.Dataset, s.Window, err)
	}
	if key.Check() != s.Check {
		return nil, fmt.Errorf("unwrap the data key of %s/%s: %s holds another key than was made for this window: restore it from a backup",
			s.Dataset, s.Window, path(s.Dataset, s.Window))
	}
	return key, nil
}
