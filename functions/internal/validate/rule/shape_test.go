package rule

import (
	"regexp"
	"testing"
)

var shapes = map[string]bool{
	`[A-Z]{3}`: true, `^[A-Z]{3}$`: true, `\d{4}-\d{2}`: true, `N[0-9A-Z]{5}`: true, `(A)(B)`: true, `a`: true, `(?:x)y`: true, `[a-c]`: true,
	``: false, `[A-Z]+`: false, `[A-Z]{2,3}`: false, `a|bc`: false, `.`: false, `[^A]`: false, `(?i)ab`: false, `é`: false, `a^b`: false, `a$b`: false, `^$`: false,
	`\bA`: false, `(?i)k`: false, `(`: false, `[A-Z]{65}`: false, `a?`: false,
}

func TestWhichPatternsAreShapes(t *testing.T) {
	for expression, want := range shapes {
		if _, ok := shapeOf(expression); ok != want {
			t.Errorf("shapeOf(%s) = %t, want %t", expression, ok, want)
		}
	}
}

// FuzzShape holds a shape to the regular expression that it stands for.
func FuzzShape(f *testing.F) {
	for expression := range shapes {
		for _, v := range []string{"", "ABC", "ABCD", "abc", "2001-05", "N12345", "AB", "xy", "a", "\x80\xff", "A\nC", "K"} {
			f.Add(expression, v)
		}
	}
	f.Fuzz(func(t *testing.T, expression, v string) {
		s, ok := shapeOf(expression)
		if !ok {
			return
		}
		re, err := regexp.Compile(`\A(?:` + expression + `)\z`)
		if err != nil {
			return // the rule is refused
		}
		if got, want := s.match(v), re.MatchString(v); got != want {
			t.Errorf("%q matches %q: %t, the regular expression says %t", expression, v, got, want)
		}
	})
}
