package hadoop

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
)

// iceberg-go finds a file system by the scheme of a location wherever it is not handed one, as its catalogs and its
// table.NewFromLocation do. There can be one for each scheme in a process; ours looks which open warehouse the location lies in.
var schemes = struct {
	mu         sync.Mutex
	registered map[string]bool
	warehouses map[string]files // by root
}{registered: map[string]bool{}, warehouses: map[string]files{}}

// register makes the locations of a warehouse known to iceberg-go. Local ones it knows.
func register(f files) {
	scheme, _, ok := strings.Cut(f.root, "://")
	if !ok || scheme == "file" {
		return
	}
	schemes.mu.Lock()
	defer schemes.mu.Unlock()
	schemes.warehouses[f.root] = f
	if !schemes.registered[scheme] {
		schemes.registered[scheme] = true
		iceio.Register(scheme, find)
	}
}

// find is the warehouse that a location lies in.
func find(_ context.Context, location *url.URL, _ map[string]string) (iceio.IO, error) {
	schemes.mu.Lock()
	defer schemes.mu.Unlock()
	at := location.Scheme + "://" + location.Host + location.Path
	for root, f := range schemes.warehouses {
		if at == root || strings.HasPrefix(at, root+"/") {
			return f, nil
		}
	}
	return nil, fmt.Errorf("location %s lies in no warehouse that is open: %w", at, fs.ErrNotExist)
}
