package cib

import (
	"fmt"
	"strings"
)

// ParseBool reads a boolean in any case: true, on, yes, y, 1 and false, off, no, n, 0. Anything else,
// also "", is an error; where only "is it true" is asked, that counts as false (see IsTrue).
func ParseBool(text string) (bool, error) {
	if v, ok := parseBool(text); ok {
		return v, nil
	}
	return false, fmt.Errorf("boolean %q: expected true, on, yes, y, 1 or false, off, no, n, 0", text)
}

func parseBool(text string) (value, ok bool) {
	if len(text) > len("false") {
		return false, false
	}
	switch strings.ToLower(text) {
	case "true", "on", "yes", "y", "1":
		return true, true
	case "false", "off", "no", "n", "0":
		return false, true
	}
	return false, false
}

// IsTrue reports whether text is a true boolean. Unset and invalid count as not true.
func IsTrue(text string) bool { v, ok := parseBool(text); return ok && v }

// IsFalse reports whether text is a false boolean. Unset and invalid count as not false.
func IsFalse(text string) bool { v, ok := parseBool(text); return ok && !v }
