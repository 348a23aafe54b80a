package tables

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Properties of the snapshots' summaries.
const (
	mapProperty        = "almanac.map" // base64 of zstd of the JSON object {window key: entry}
	mapFormatProperty  = "almanac.map-format"
	mapFormat          = "1"
	windowProperty     = "almanac.window"     // keys of the windows that the commit replaced, comma-separated
	generationProperty = "almanac.generation" // of each of them
	commitProperty     = "almanac.commit"     // random: finds a commit again whose answer got lost
)

var (
	mapEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	mapDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(256<<20))
)

// encodeMap packs a map. Its entries must be JSON in compact form.
func encodeMap(entries map[string]json.RawMessage) (string, error) {
	var data []byte
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			return "", fmt.Errorf("encode map: %w", err)
		}
		data = append(append(data, separator), quoted...)
		data = append(append(data, ':'), entries[key]...)
	}
	return base64.StdEncoding.EncodeToString(mapEncoder.EncodeAll(append(data, '}'), nil)), nil
}

func decodeMap(property string) (map[string]json.RawMessage, error) {
	packed, err := base64.StdEncoding.DecodeString(property)
	if err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	data, err := mapDecoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	entries := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("decode map: %w", err)
	}
	return entries, nil
}

// compact is the entry without white space.
func compact(entry json.RawMessage) (json.RawMessage, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, entry); err != nil {
		return nil, fmt.Errorf("entry is not JSON: %w", err)
	}
	return out.Bytes(), nil
}
