package hadoop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/apache/iceberg-go/table"
)

// Long values of one property of the snapshots' summaries stand whole in every metadata file, but not in memory: there each is a token,
// and the values lie beside the metadata. So a commit copies them instead of escaping, parsing and checking them
// again for each of the snapshots that are kept.
type values map[string]string

const tokenPrefix = "@value:"

// token names a value by its content.
func token(value string) string {
	sum := sha256.Sum256([]byte(value))
	return tokenPrefix + hex.EncodeToString(sum[:16])
}

// collapse replaces the values of the property in a metadata file by their tokens.
func collapse(data []byte, property string) ([]byte, values) {
	found := values{}
	key := []byte(`"` + property + `":"`)
	out := make([]byte, 0, min(len(data), 1<<20))
	for {
		at := bytes.Index(data, key)
		if at < 0 {
			return append(out, data...), found
		}
		at += len(key)
		end := bytes.IndexByte(data[at:], '"')
		if end < 0 || bytes.IndexByte(data[at:at+end], '\\') >= 0 {
			return append(out, data...), found // not of our writing; it is read as it is
		}
		value := string(data[at : at+end])
		t := token(value)
		found[t] = value
		out = append(append(out, data[:at]...), t...)
		data = data[at+end:]
	}
}

// expand puts the values back in place of their tokens, and returns those that are in use.
func expand(data []byte, all values) ([]byte, values) {
	used := values{}
	size := len(data)
	for _, value := range all {
		size += len(value)
	}
	out := make([]byte, 0, size)
	const length = len(tokenPrefix) + 32
	for {
		at := bytes.Index(data, []byte(tokenPrefix))
		if at < 0 || at+length > len(data) {
			return append(out, data...), used
		}
		t := string(data[at : at+length])
		out = append(out, data[:at]...)
		if value, ok := all[t]; ok {
			used[t] = value
			out = append(out, value...)
		} else {
			out = append(out, t...)
		}
		data = data[at+length:]
	}
}

// Keep takes a value of the long property, which must need no escape in JSON, and returns what to put into a summary for it.
func (c *Catalog) Keep(value string) string {
	t := token(value)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh[t] = value
	return t
}

// Forget drops a value that was kept for a commit, when that is over.
func (c *Catalog) Forget(t string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fresh, t)
}

// Table is a loaded version of a table.
type Table struct {
	*table.Table

	values values
}

// Value returns the long value that one of the version's summaries holds.
func (t *Table) Value(inSummary string) string {
	if value, ok := t.values[inSummary]; ok {
		return value
	}
	return inSummary
}
