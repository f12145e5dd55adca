// Package cibcrm reads and writes the configuration language of the crm shell: statements such as
//
//	primitive vip IPaddr2 params ip=10.0.0.1 op monitor interval=10s
//	colocation c inf: vip web
//
// Parse turns text into statements, Statement.Apply brings one into a configuration, and Print writes a
// configuration back as text that pastes in unchanged. Names and forms are those that administrators know
// from the crm shell; older spellings are accepted and kept as written.
//
// The package is pure: no files, no terminal.
package cibcrm

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the text that is read.
const (
	maxText  = 32 << 20 // bytes
	maxWords = 1 << 16  // words of one statement
)

// Error says what is wrong in a text, where, and what would be right.
type Error struct {
	Line, Column int // from 1; 0 = unknown
	Statement    string
	Text         string
}

// Error returns one line: line and column, what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ", column %d", e.Column)
		}
		b.WriteString(": ")
	}
	if e.Statement != "" {
		b.WriteString("syntax in " + e.Statement + ": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// line is one logical line: lines that end in a backslash are joined with the next.
type line struct {
	number int
	text   string
}

// splitLines joins continued lines and drops empty ones.
func splitLines(text string) []line {
	var out []line
	var b strings.Builder
	start := 0
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSuffix(l, "\r")
		if b.Len() == 0 {
			start = i + 1
		}
		trimmed := strings.TrimRight(l, " \t")
		comment := b.Len() == 0 && strings.HasPrefix(strings.TrimLeft(l, " \t"), "#")
		if !comment && strings.HasSuffix(trimmed, `\`) && !strings.HasSuffix(trimmed, `\\`) {
			b.WriteString(trimmed[:len(trimmed)-1])
			b.WriteByte(' ')
			continue
		}
		b.WriteString(l)
		if s := strings.TrimSpace(b.String()); s != "" {
			out = append(out, line{start, s})
		}
		b.Reset()
	}
	if s := strings.TrimSpace(b.String()); s != "" {
		out = append(out, line{start, s})
	}
	return out
}

// word is one word of a line after quotes and escapes were taken away.
type word struct {
	text   string
	column int
	quoted bool // some part was in quotes: it is no keyword
}

// splitWords splits a line as a shell does: blanks separate, single and double quotes join, a backslash
// escapes.
func splitWords(l line) ([]word, error) {
	var out []word
	s := l.text
	fail := func(at int, text string) error {
		return &Error{Line: l.number, Column: at + 1, Text: text}
	}
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n' {
			i++
			continue
		}
		start := i
		var b strings.Builder
		quoted := false
	chars:
		for i < len(s) {
			switch c := s[i]; c {
			case ' ', '\t', '\r', '\n':
				break chars
			case '\\':
				if i+1 >= len(s) {
					return nil, fail(i, "nothing follows the backslash")
				}
				b.WriteByte(s[i+1])
				i += 2
			case '\'':
				quoted = true
				end := strings.IndexByte(s[i+1:], '\'')
				if end < 0 {
					return nil, fail(i, "the quote is not closed: a ' is missing")
				}
				b.WriteString(s[i+1 : i+1+end])
				i += end + 2
			case '"':
				quoted = true
				j := i + 1
				for j < len(s) && s[j] != '"' {
					if s[j] == '\\' && j+1 < len(s) && (s[j+1] == '"' || s[j+1] == '\\') {
						j++
					}
					b.WriteByte(s[j])
					j++
				}
				if j >= len(s) {
					return nil, fail(i, `the quote is not closed: a " is missing`)
				}
				i = j + 1
			default:
				b.WriteByte(c)
				i++
			}
		}
		text := b.String()
		if !utf8.ValidString(text) {
			return nil, fail(start, "the text is not valid UTF-8")
		}
		if strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }) >= 0 {
			return nil, fail(start, "control characters are not allowed")
		}
		out = append(out, word{text, start + 1, quoted})
		if len(out) > maxWords {
			return nil, fail(start, fmt.Sprintf("more than %d words in one statement", maxWords))
		}
	}
	return out, nil
}

// quote writes a value so that splitWords reads it back: bare where it holds only letters and digits of any script,
// dots, dashes, underscores and plus signs, else in double quotes.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.-+", r))
	}) < 0 {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Words splits one line of text the way statements are split: blanks separate, quotes join.
func Words(text string) ([]string, error) {
	list, err := splitWords(line{text: text})
	if err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].text
	}
	return out, nil
}
