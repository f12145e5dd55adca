package cib

import (
	"fmt"
	"strings"
)

// Severity says how bad a Problem is.
type Severity uint8

// Severities.
const (
	// Warning: the document can be used; something will not do what its author may expect.
	Warning Severity = iota
	// Error: the document is refused.
	Error
)

// String returns "warning" or "error".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Problem is one finding about a document: where, what, and what would be right.
type Problem struct {
	Severity Severity
	Pos      Pos    // in the text that was read; zero = unknown
	Where    string // object or path, such as "primitive db" or "configuration/resources"
	Text     string // what is wrong
	Hint     string // what would be right; "" = evident
	Option   string // option, as it is written, whose value is none, so that its default counts; "" = not about one
}

// String returns the problem in one line, such as `line 12: primitive db: ...; ...`.
func (p Problem) String() string {
	var b strings.Builder
	if p.Pos.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Pos.Line)
	}
	if p.Where != "" {
		b.WriteString(p.Where)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("; ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// HasErrors reports whether one of the problems is an error.
func HasErrors(list []Problem) bool {
	for i := range list {
		if list[i].Severity == Error {
			return true
		}
	}
	return false
}
