package rule

import (
	"regexp/syntax"
)

// longestShape bounds the bytes of a shape.
const longestShape = 64

// shape is a pattern that stands for texts of one length, each byte of a class of its own: most codes are such, [A-Z]{3} or \d{4}-\d{2}.
// It says the same as the regular expression, without its cost.
type shape []class

// class is a set of ASCII characters.
type class [2]uint64

func (c class) has(b byte) bool { return b < 128 && c[b>>6]>>(b&63)&1 != 0 }

// shapeOf reads a regular expression that must match a text whole; false if it is no shape.
func shapeOf(expression string) (shape, bool) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	re = re.Simplify()
	if n := len(re.Sub); re.Op == syntax.OpConcat && n > 1 { // ends that a text matched whole has anyway
		if re.Sub[n-1].Op == syntax.OpEndText {
			re.Sub = re.Sub[:n-1]
		}
		if re.Sub[0].Op == syntax.OpBeginText {
			re.Sub = re.Sub[1:]
		}
	}
	s, ok := shape(nil).add(re)
	return s, ok && len(s) > 0
}

func (s shape) add(re *syntax.Regexp) (shape, bool) {
	switch re.Op {
	case syntax.OpCapture:
		return s.add(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			longer, ok := s.add(sub)
			if !ok {
				return nil, false
			}
			s = longer
		}
		return s, true
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			var c class
			if r >= 128 || re.Flags&syntax.FoldCase != 0 || len(s) == longestShape {
				return nil, false
			}
			c[r>>6] |= 1 << (r & 63)
			s = append(s, c)
		}
		return s, true
	case syntax.OpCharClass:
		var c class
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i+1] >= 128 {
				return nil, false
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				c[r>>6] |= 1 << (r & 63)
			}
		}
		return append(s, c), len(s) < longestShape
	default:
		return nil, false
	}
}

func (s shape) match(v string) bool {
	if len(v) != len(s) {
		return false
	}
	for i := range s {
		if !s[i].has(v[i]) {
			return false
		}
	}
	return true
}
