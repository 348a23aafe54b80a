// Package dictionary gives numbers to the distinct values of a column of a Parquet file.
package dictionary

import "encoding/binary"

// MostBytes is how long the texts are together beyond which there are no more of more than seven bytes.
const MostBytes = 1 << 20

// Dictionary gives numbers to distinct values, in the order in which they come. Numbers and texts of up to seven bytes are
// keys of one word; longer texts go through a map.
type Dictionary struct {
	keys   []uint64
	slots  []uint32 // number + 1, by hash; 0 is free
	shift  uint     // 64 - log2(len(slots))
	order  []uint64 // keys by number; of texts: where the value ends in text
	text   []byte   // values of texts, one after the other
	long   map[string]uint32
	lastIn uint64 // the last key looked up and its number,
	lastAt uint32
	looked bool // once there is one: 0 is a key as any other
}

const smallest = 10 // log2 of the slots to begin with

// Reset makes it empty, and ready to be used.
func (d *Dictionary) Reset() {
	if len(d.slots) == 0 {
		d.resize(smallest)
	}
	clear(d.slots)
	clear(d.long)
	d.order, d.text = d.order[:0], d.text[:0]
	d.looked = false
}

func (d *Dictionary) resize(log uint) {
	d.keys, d.slots, d.shift = make([]uint64, 1<<log), make([]uint32, 1<<log), 64-log
}

// Len is how many values there are.
func (d *Dictionary) Len() int { return len(d.order) }

// Bytes is how long the texts are together.
func (d *Dictionary) Bytes() int { return len(d.text) }

// Memory is how many bytes are kept for texts.
func (d *Dictionary) Memory() int { return cap(d.text) }

// Word is the value of a number, if values are numbers.
func (d *Dictionary) Word(n int) uint64 { return d.order[n] }

// find returns the slot of a key, or the free one where it belongs.
func (d *Dictionary) find(key uint64) uint64 {
	mask := uint64(len(d.slots) - 1)
	for at := key * 0x9e3779b97f4a7c15 >> d.shift; ; at = (at + 1) & mask {
		if d.slots[at] == 0 || d.keys[at] == key {
			return at
		}
	}
}

// Numbers looks up all values and writes their numbers to dst.
func (d *Dictionary) Numbers(dst []uint32, values []int64) {
	if len(values) == 0 {
		return
	}
	lastIn, lastAt := d.lastIn, d.lastAt
	if !d.looked {
		lastIn, lastAt = uint64(values[0]), d.Number(uint64(values[0]))
	}
	dst = dst[:len(values)]
	for i, v := range values {
		if uint64(v) != lastIn {
			lastIn = uint64(v)
			lastAt = d.Number(lastIn)
		}
		dst[i] = lastAt
	}
	d.lastIn, d.lastAt, d.looked = lastIn, lastAt, true
}

// Number looks up one number.
func (d *Dictionary) Number(key uint64) uint32 {
	at := d.find(key)
	if n := d.slots[at]; n > 0 {
		return n - 1
	}
	d.order = append(d.order, key)
	d.insert(at, key, uint32(len(d.order)))
	return uint32(len(d.order) - 1)
}

func (d *Dictionary) insert(at, key uint64, slot uint32) {
	d.keys[at], d.slots[at] = key, slot
	if 2*len(d.order) <= len(d.slots) {
		return
	}
	keys, slots := d.keys, d.slots
	d.resize(64 - d.shift + 1)
	for i, s := range slots {
		if s > 0 {
			to := d.find(keys[i])
			d.keys[to], d.slots[to] = keys[i], s
		}
	}
}

// masks cut a word to its first bytes.
var masks = [8]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1}

// word makes a key of a text of up to seven bytes: the bytes, and the length above them.
func word(v []byte) uint64 {
	key := uint64(len(v)) << 56
	for i, b := range v {
		key |= uint64(b) << (8 * i)
	}
	return key
}

// short looks up a text of up to seven bytes by its word.
func (d *Dictionary) short(key uint64) uint32 {
	at := d.find(key)
	if n := d.slots[at]; n > 0 {
		return n - 1
	}
	for i := range key >> 56 {
		d.text = append(d.text, byte(key>>(8*i)))
	}
	d.order = append(d.order, uint64(len(d.text)))
	d.insert(at, key, uint32(len(d.order)))
	return uint32(len(d.order) - 1)
}

// longer looks up a text of more than seven bytes.
func (d *Dictionary) longer(v []byte) uint32 {
	if n, ok := d.long[string(v)]; ok {
		return n
	}
	if d.long == nil {
		d.long = map[string]uint32{}
	}
	n := uint32(len(d.order))
	d.text = append(d.text, v...)
	d.order = append(d.order, uint64(len(d.text)))
	d.long[string(v)] = n
	return n
}

// Value is the text of a number.
func (d *Dictionary) Value(n int) []byte {
	from := uint64(0)
	if n > 0 {
		from = d.order[n-1]
	}
	return d.text[from:d.order[n]]
}

// Text returns the number of a text, if the dictionary may have it.
func (d *Dictionary) Text(v []byte) (uint32, bool) {
	switch {
	case len(v) < 8:
		return d.short(word(v)), true
	case len(d.text)+len(v) > MostBytes && !d.has(v):
		return 0, false
	}
	return d.longer(v), true
}

// Texts looks up texts that lie between the ends until one would be too much, and returns how many it did.
func (d *Dictionary) Texts(dst []uint32, ends []int32, text []byte) int {
	from := ends[0]
	for i := range dst {
		to := ends[i+1]
		size := int(to - from)
		switch {
		case size < 8 && int(from)+8 <= len(text):
			key := binary.LittleEndian.Uint64(text[from:])&masks[size] | uint64(size)<<56
			if d.looked && key == d.lastIn {
				dst[i] = d.lastAt
				break
			}
			dst[i] = d.short(key)
			d.lastIn, d.lastAt, d.looked = key, dst[i], true
		case size < 8:
			dst[i] = d.short(word(text[from:to]))
		default:
			if len(d.text)+size > MostBytes && !d.has(text[from:to]) {
				return i
			}
			dst[i] = d.longer(text[from:to])
		}
		from = to
	}
	return len(dst)
}

func (d *Dictionary) has(v []byte) bool {
	_, ok := d.long[string(v)]
	return ok
}
