package process

import (
	"sync"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/process/parse"
	"github.com/almanac-data/almanac/functions/internal/process/vector"
	"github.com/almanac-data/almanac/functions/internal/window"
)

// mostDefinitions bounds the definitions of which parsers are kept.
const mostDefinitions = 64

// buffers keeps the memory of unpacked blocks.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// parsers keeps the parsers of slices that are done, with their memory, for the next slices of the same definition.
type parsers struct {
	mu  sync.Mutex
	all map[string]*sync.Pool
}

func (p *parsers) pool(d *dataset.Dataset) *sync.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := d.Name + "/" + d.Definition
	if p.all[key] == nil {
		if p.all == nil || len(p.all) == mostDefinitions {
			p.all = map[string]*sync.Pool{}
		}
		p.all[key] = new(sync.Pool)
	}
	return p.all[key]
}

func (p *parsers) get(d *dataset.Dataset, w window.Window, keys vector.Pseudonyms) (*parse.Parser, error) {
	if used, ok := p.pool(d).Get().(*parse.Parser); ok {
		used.Reset(d, w, keys)
		return used, nil
	}
	return parse.New(d, w, keys)
}

// put keeps a parser, but not the pseudonyms of its slice.
func (p *parsers) put(d *dataset.Dataset, used *parse.Parser) {
	used.Forget()
	p.pool(d).Put(used)
}
