package field

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestInt(t *testing.T) {
	for in, want := range map[string]struct {
		n int64
		f Fault
	}{
		"0": {0, Fine}, "-0": {0, Fine}, "+7": {7, Fine}, "-1116": {-1116, Fine}, "007": {7, Fine},
		"999999999999999999": {999999999999999999, Fine}, "9223372036854775807": {math.MaxInt64, Fine}, "-9223372036854775808": {math.MinInt64, Fine},
		"9223372036854775808": {0, Overflow}, "-9223372036854775809": {0, Overflow}, "000000000000000000000001": {1, Fine},
		"": {0, Type}, "-": {0, Type}, "1.0": {0, Type}, "1e3": {0, Type}, "0x10": {0, Type}, "1_000": {0, Type}, "१": {0, Type},
		"1234567890123456789x": {0, Type},
	} {
		n, f := Int([]byte(in))
		if f != want.f || f == Fine && n != want.n {
			t.Errorf("Int(%q) = %d, %d, want %d, %d", in, n, f, want.n, want.f)
		}
	}
}

func TestFloat(t *testing.T) {
	for in, want := range map[string]struct {
		n float64
		f Fault
	}{
		"0": {0, Fine}, "1.5": {1.5, Fine}, "-.25": {-.25, Fine}, "3.": {3, Fine}, "+2e3": {2000, Fine}, "1E-2": {0.01, Fine},
		"0.1": {0.1, Fine}, "123456789.012345": {123456789.012345, Fine}, "1e308": {1e308, Fine}, "1e-400": {0, Fine},
		"1e309": {0, Overflow}, "-1e400": {0, Overflow}, "179769313486231570000000000000000000000": {179769313486231570000000000000000000000, Fine},
		"": {0, Type}, ".": {0, Type}, "-": {0, Type}, "1..2": {0, Type}, "NaN": {0, Type}, "inf": {0, Type}, "0x1p3": {0, Type}, "1_0": {0, Type}, "1e": {0, Type}, "1,5": {0, Type},
	} {
		n, f := Float([]byte(in))
		if f != want.f || f == Fine && n != want.n {
			t.Errorf("Float(%q) = %v, %d, want %v, %d", in, n, f, want.n, want.f)
		}
	}
}

func TestFloatRoundsAsStrconvDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		s := strconv.FormatFloat((r.Float64()-0.5)*math.Pow10(r.IntN(20)-5), "fe"[r.IntN(2)], r.IntN(18), 64)
		want, err := strconv.ParseFloat(s, 64)
		got, f := Float([]byte(s))
		if err != nil || f != Fine || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("Float(%q) = %v, %d, want %v", s, got, f, want)
		}
	}
}

func TestBool(t *testing.T) {
	for in, want := range map[string]bool{"true": true, "TRUE": true, "t": true, "1": true, "Yes": true, "y": true, "false": false, "F": false, "0": false, "NO": false, "n": false} {
		if got, f := Bool([]byte(in)); f != Fine || got != want {
			t.Errorf("Bool(%q) = %v, %d, want %v", in, got, f, want)
		}
	}
	for _, in := range []string{"", "2", "tru", "truee", "on", "x"} {
		if got, f := Bool([]byte(in)); f != Type {
			t.Errorf("Bool(%q) = %v, %d, want a fault", in, got, f)
		}
	}
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		precision, scale int
		in, want         string
	}{
		{10, 2, "1", "100"}, {10, 2, "-1.5", "-150"}, {10, 2, "1.250", "125"}, {10, 2, ".5", "50"}, {10, 2, "1.25e1", "1250"}, {10, 2, "12500e-4", "125"},
		{10, 2, "0", "0"}, {10, 2, "0e99", "0"}, {10, 2, "99999999.99", "9999999999"}, {10, 0, "7", "7"},
		{38, 0, strings.Repeat("9", 38), strings.Repeat("9", 38)}, {38, 10, "1234567890123456789.0123456789", "12345678901234567890123456789"},
		{10, 2, "100000000", "overflow"}, {10, 2, "1.255", "overflow"}, {38, 0, "1" + strings.Repeat("0", 38), "overflow"}, {38, 0, strings.Repeat("9", 60), "overflow"},
		{10, 2, "1e999999999999999999999", "overflow"}, {10, 2, "1e2000000", "overflow"}, {10, 2, "1e400000", "overflow"}, {10, 2, "1e-400000", "overflow"},
		{10, 2, "", "type"}, {10, 2, "-", "type"}, {10, 2, "1.2.3", "type"}, {10, 2, "1e", "type"}, {10, 2, "abc", "type"}, {10, 2, "1,5", "type"},
	} {
		n, f := Decimal(c.precision, c.scale)([]byte(c.in))
		got := map[Fault]string{Fine: n.BigInt().String(), Type: "type", Overflow: "overflow"}[f]
		if got != c.want {
			t.Errorf("Decimal(%d, %d)(%q) = %s, want %s", c.precision, c.scale, c.in, got, c.want)
		}
	}
}

func TestDecimalIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	read := Decimal(38, 9)
	for range 20000 {
		whole, part := r.Uint64()>>r.IntN(64), r.Uint32N(1e9)
		in := strconv.FormatUint(whole, 10) + "." + strconv.FormatUint(1e9+uint64(part), 10)[1:]
		want := new(big.Int).Mul(new(big.Int).SetUint64(whole), big.NewInt(1e9))
		want.Add(want, big.NewInt(int64(part)))
		if n, f := read([]byte(in)); f != Fine || n.BigInt().Cmp(want) != 0 {
			t.Fatalf("Decimal(%q) = %s, %d, want %s", in, n.BigInt(), f, want)
		}
	}
}

func FuzzNumbersAgreeWithStrconv(f *testing.F) {
	for _, s := range []string{"1", "-1.5", "1e5", "9223372036854775808", "", ".", "+", "0x1", "1e-5", "1.7976931348623159e308"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := []byte(s)
		n, fault := Int(v)
		if want, err := strconv.ParseInt(s, 10, 64); (err == nil) != (fault == Fine) || err == nil && n != want {
			t.Errorf("Int(%q) = %d, %d, want %d, %v", s, n, fault, want, err)
		}
		x, fault := Float(v)
		want, err := strconv.ParseFloat(s, 64)
		if strings.ContainsAny(s, "nNiIxXpP_") {
			err = strconv.ErrSyntax
		}
		if (err == nil) != (fault == Fine) || err == nil && math.Float64bits(x) != math.Float64bits(want) {
			t.Errorf("Float(%q) = %v, %d, want %v, %v", s, x, fault, want, err)
		}
		Decimal(18, 4)(v)
		Bool(v)
		for _, c := range []*Clock{NewClock(nil, time.UTC), NewClock([]string{time.RFC3339, "02.01.2006"}, time.UTC)} {
			if micros, fault := c.Timestamp(v); fault == Fine && len(v) == 19 {
				if back := time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05"); strings.ToUpper(back) != strings.ReplaceAll(strings.ToUpper(s), "T", " ") && !strings.ContainsAny(s[11:], "+-,.zZ") {
					t.Errorf("Timestamp(%q) = %s", s, back)
				}
			}
			c.Date(v)
		}
	})
}

func TestDigits(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "7": 7, "42": 42, "1116": 1116, "12345": 12345, "00000001": 1, "98765432": 98765432, "123456789": -1, "": -1, "1x": -1, "-1": -1, "/": -1, ":": -1, "\xb1": -1} {
		x := uint64(0)
		for i, c := range []byte((in + ",-9\xffabcd")[:8]) {
			x |= uint64(c) << (8 * i)
		}
		if got, ok := Digits(x, uint(len(in))); ok != (want >= 0) || ok && got != want {
			t.Errorf("Digits(%q) = %d, %v, want %d", in, got, ok, want)
		}
	}
}
