// Package field reads the text of one field as a value of a column's type. Its functions allocate nothing on the common
// forms and fall back to the standard library for the hard ones.
package field

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Fault says why a text is not a value.
type Fault uint8

// The faults of a text.
const (
	Fine     Fault = iota
	Type           // it has another form than the type
	Overflow       // it has the form of the type, and is too large or too precise to be stored
)

// Int reads an integer: an optional sign and decimal digits.
func Int(v []byte) (int64, Fault) {
	i := 0
	negative := false
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		negative = v[0] == '-'
		i = 1
	}
	if i == len(v) {
		return 0, Type
	}
	if len(v)-i > 18 {
		return longInt(v)
	}
	n := int64(0)
	for _, c := range v[i:] {
		d := c - '0'
		if d > 9 {
			return 0, Type
		}
		n = n*10 + int64(d)
	}
	if negative {
		n = -n
	}
	return n, Fine
}

// Digits reads the first n bytes of x, the first in its lowest byte, as a number of n decimal digits, and returns false if
// they are anything else or n is not 1 to 8. Four neighbours are added up at a time (Lemire, Parsing series of integers
// with SIMD).
func Digits(x uint64, n uint) (int64, bool) {
	const zeros = 0x3030303030303030
	x = (x<<((64-8*n)&63) | zeros>>(8*n)) ^ zeros // leading zeros; each byte becomes 0 to 9
	if (x|(x+0x0606060606060606))&0xf0f0f0f0f0f0f0f0 != 0 || n-1 > 7 {
		return 0, false
	}
	x = x*10 + x>>8
	const pairs = 0x000000ff000000ff
	return int64(((x&pairs)*(100+1000000<<32) + (x>>16&pairs)*(1+10000<<32)) >> 32), true
}

func longInt(v []byte) (int64, Fault) {
	n, err := strconv.ParseInt(text(v), 10, 64)
	return n, fault(err)
}

func fault(err error) Fault {
	switch {
	case err == nil:
		return Fine
	case errors.Is(err, strconv.ErrRange):
		return Overflow
	}
	return Type
}

// text is v as a string that shares its bytes; it must not outlive them.
func text(v []byte) string { return unsafe.String(unsafe.SliceData(v), len(v)) } //nolint:gosec // parsers read it, and keep copies in their errors

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// Float reads a decimal number with an optional fraction and exponent. It is rounded correctly: a mantissa below 2^53 and a
// power of ten up to 22 are exact, so that one division rounds once (Clinger 1990); strconv reads all else. Infinities and
// NaN have no text.
func Float(v []byte) (float64, Fault) {
	i := 0
	negative := false
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		negative = v[0] == '-'
		i = 1
	}
	mantissa, point := uint64(0), -1
	digits := 0
	for ; i < len(v); i++ {
		d := v[i] - '0'
		if d <= 9 {
			mantissa = mantissa*10 + uint64(d)
			digits++
			continue
		}
		if v[i] != '.' || point >= 0 {
			return longFloat(v)
		}
		point = digits
	}
	switch {
	case digits == 0:
		return 0, Type
	case digits > 15:
		return longFloat(v)
	}
	f := float64(mantissa)
	if point >= 0 {
		f /= tens[digits-point]
	}
	if negative {
		f = -f
	}
	return f, Fine
}

func longFloat(v []byte) (float64, Fault) {
	for _, c := range v {
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return 0, Type
		}
	}
	f, err := strconv.ParseFloat(text(v), 64)
	if err == nil && math.IsInf(f, 0) {
		return 0, Overflow
	}
	return f, fault(err)
}

// Bool reads true, t, yes, y, 1 and false, f, no, n, 0 in upper or lower case.
func Bool(v []byte) (bool, Fault) {
	if len(v) == 1 {
		switch v[0] {
		case '1', 't', 'T', 'y', 'Y':
			return true, Fine
		case '0', 'f', 'F', 'n', 'N':
			return false, Fine
		}
		return false, Type
	}
	for _, word := range [...]struct {
		text  string
		value bool
	}{{"true", true}, {"false", false}, {"yes", true}, {"no", false}} {
		if len(v) == len(word.text) && bytes.EqualFold(v, []byte(word.text)) {
			return word.value, Fine
		}
	}
	return false, Type
}

// Decimal returns what reads a decimal number that fits precision digits, scale of them after the point, exactly.
func Decimal(precision, scale int) func(v []byte) (decimal128.Num, Fault) {
	limit := decimal128.GetMaxValue(int32(precision))
	return func(v []byte) (decimal128.Num, Fault) {
		n, at, f := coefficient(v)
		for ; f == Fine && at > -scale && n != (wide{}); at-- {
			f = n.add(0)
		}
		for ; f == Fine && at < -scale && n != (wide{}); at++ {
			if n.cut() != 0 {
				f = Overflow // more digits after the point than the contract keeps
			}
		}
		if f != Fine {
			return decimal128.Num{}, f
		}
		num := decimal128.New(int64(n.hi), n.lo)
		if num.Greater(limit) {
			return decimal128.Num{}, Overflow
		}
		if v[0] == '-' {
			num = num.Negate()
		}
		return num, Fine
	}
}

// wide is an unsigned number below 2^127.
type wide struct{ hi, lo uint64 }

// add appends a decimal digit.
func (n *wide) add(digit uint64) Fault {
	over, hi := bits.Mul64(n.hi, 10)
	carry, lo := bits.Mul64(n.lo, 10)
	lo, c := bits.Add64(lo, digit, 0)
	hi, c2 := bits.Add64(hi, carry, c)
	if over != 0 || c2 != 0 || hi > math.MaxInt64 {
		return Overflow
	}
	n.hi, n.lo = hi, lo
	return Fine
}

// cut removes the last decimal digit and returns it.
func (n *wide) cut() uint64 {
	hi, rest := n.hi/10, n.hi%10
	lo, rest := bits.Div64(rest, n.lo, 10)
	n.hi, n.lo = hi, lo
	return rest
}

// coefficient reads a decimal number as n × 10^at without its sign.
func coefficient(v []byte) (n wide, at int, f Fault) {
	i := 0
	if len(v) > 0 && (v[0] == '-' || v[0] == '+') {
		i = 1
	}
	digits, fraction := 0, false
	for ; i < len(v) && v[i] != 'e' && v[i] != 'E'; i++ {
		switch d := v[i] - '0'; {
		case v[i] == '.' && !fraction:
			fraction = true
		case d > 9:
			return n, 0, Type
		default:
			digits++
			if fraction {
				at--
			}
			if f == Fine {
				f = n.add(uint64(d))
			}
		}
	}
	if digits == 0 {
		return n, 0, Type
	}
	if i < len(v) {
		exponent, ef := Int(v[i+1:])
		if ef == Type {
			return n, 0, Type
		}
		if ef != Fine || exponent > 1<<20 || exponent < -1<<20 {
			return n, 0, Overflow
		}
		at += int(exponent)
	}
	return n, at, f
}
