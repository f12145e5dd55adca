package cib

import (
	"fmt"
	"strconv"
	"strings"
)

// Schema is the version of a schema of Pacemaker's CIB, such as 3.9.
type Schema struct{ Major, Minor int }

// Newest is the newest schema whose documents the model was made for.
var Newest = Schema{3, 10}

// Before reports whether s is older than t.
func (s Schema) Before(t Schema) bool {
	return s.Major < t.Major || s.Major == t.Major && s.Minor < t.Minor
}

// String returns the name as it stands in validate-with.
func (s Schema) String() string { return fmt.Sprintf("pacemaker-%d.%d", s.Major, s.Minor) }

// ParseSchema reads a value of validate-with. "transitional-0.6" and such are 0.6. Other text, also "none"
// and "pacemaker-next", gives ok false.
func ParseSchema(text string) (s Schema, ok bool) {
	rest, found := strings.CutPrefix(text, "pacemaker-")
	if !found {
		if rest, found = strings.CutPrefix(text, "transitional-"); !found {
			return Schema{}, false
		}
	}
	major, minor, _ := strings.Cut(rest, ".")
	a, err := strconv.ParseUint(major, 10, 16)
	if err != nil {
		return Schema{}, false
	}
	b, err := strconv.ParseUint(minor, 10, 16)
	if err != nil {
		return Schema{}, false
	}
	return Schema{int(a), int(b)}, true
}
