package parquet

// dictionary gives numbers to distinct values, in the order in which they come. Numbers and texts of up to seven bytes are
// keys of one word; longer texts go through a map.
type dictionary struct {
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

func (d *dictionary) reset() {
	if len(d.slots) == 0 {
		d.resize(smallest)
	}
	clear(d.slots)
	clear(d.long)
	d.order, d.text = d.order[:0], d.text[:0]
	d.looked = false
}

func (d *dictionary) resize(log uint) {
	d.keys, d.slots, d.shift = make([]uint64, 1<<log), make([]uint32, 1<<log), 64-log
}

func (d *dictionary) len() int { return len(d.order) }

// find returns the slot of a key, or the free one where it belongs.
func (d *dictionary) find(key uint64) uint64 {
	mask := uint64(len(d.slots) - 1)
	for at := key * 0x9e3779b97f4a7c15 >> d.shift; ; at = (at + 1) & mask {
		if d.slots[at] == 0 || d.keys[at] == key {
			return at
		}
	}
}

// numbers looks up all values and writes their numbers to dst.
func (d *dictionary) numbers(dst []uint32, values []int64) {
	if len(values) == 0 {
		return
	}
	lastIn, lastAt := d.lastIn, d.lastAt
	if !d.looked {
		lastIn, lastAt = uint64(values[0]), d.number(uint64(values[0]))
	}
	dst = dst[:len(values)]
	for i, v := range values {
		if uint64(v) != lastIn {
			lastIn = uint64(v)
			lastAt = d.number(lastIn)
		}
		dst[i] = lastAt
	}
	d.lastIn, d.lastAt, d.looked = lastIn, lastAt, true
}

// number looks up one number.
func (d *dictionary) number(key uint64) uint32 {
	at := d.find(key)
	if n := d.slots[at]; n > 0 {
		return n - 1
	}
	d.order = append(d.order, key)
	d.insert(at, key, uint32(len(d.order)))
	return uint32(len(d.order) - 1)
}

func (d *dictionary) insert(at, key uint64, slot uint32) {
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
func (d *dictionary) short(key uint64) uint32 {
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
func (d *dictionary) longer(v []byte) uint32 {
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

// value is the text of a number.
func (d *dictionary) value(n int) []byte {
	from := uint64(0)
	if n > 0 {
		from = d.order[n-1]
	}
	return d.text[from:d.order[n]]
}
