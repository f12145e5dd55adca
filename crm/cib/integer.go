package cib

import (
	"fmt"
	"math"
)

// ParseInteger reads a decimal integer with optional sign. As the field's tools do, it skips leading white
// space, ignores what follows the digits ("12abc" is 12, "1.9" is 1) and clips what does not fit into an
// int64. Text without digits is an error.
func ParseInteger(text string) (int64, error) {
	n, rest := leadingInteger(text)
	if len(rest) == len(text) {
		return 0, fmt.Errorf("number %q: expected digits, with an optional sign", text)
	}
	return n, nil
}

// leadingInteger reads the integer at the start of text and returns what follows it. Without digits rest
// is text itself.
func leadingInteger(text string) (n int64, rest string) {
	s := trimSpace(text)
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative = s[0] == '-'
		s = s[1:]
	}
	i := 0
	clipped := false
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		digit := int64(s[i] - '0')
		if n > (math.MaxInt64-digit)/10 {
			clipped = true
		}
		if !clipped {
			n = n*10 + digit
		}
	}
	if i == 0 {
		return 0, text
	}
	switch {
	case clipped && negative:
		n = math.MinInt64
	case clipped:
		n = math.MaxInt64
	case negative:
		n = -n
	}
	return n, s[i:]
}

// trimSpace removes leading white space.
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] >= '\t' && s[0] <= '\r') {
		s = s[1:]
	}
	return s
}
