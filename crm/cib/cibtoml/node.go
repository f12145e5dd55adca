package cibtoml

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/quorate/quorate/crm/cib"
)

// Limits of what is read: far above every real file, and below what costs stack or minutes.
const (
	maxSize    = 64 << 20 // bytes
	maxNesting = 32       // tables and arrays in each other, parts of a key
)

// kind says what a node holds.
type kind uint8

const (
	kindTable kind = iota
	kindArray
	kindText
	kindInteger
	kindBoolean
	kindFloat
	kindDate
)

var kindNames = [...]string{"a table", "an array", "a text", "a whole number", "true or false", "a number with a fraction", "a date"}

func (k kind) String() string { return kindNames[k] }

// node is one value of a TOML file. Tables keep their keys in order.
type node struct {
	kind kind
	text string // of scalars: the text, or the number in decimal

	keys   []string // tables
	values []*node
	index  map[string]int // of keys, once there are many

	items []*node // arrays

	pos cib.Pos // of the key, header or array element
}

func newTable() *node { return &node{kind: kindTable} }

// few is the number of keys up to which a table is searched from end to end: most tables are small, and a map
// for each costs more than it saves.
const few = 12

func (n *node) find(key string) int {
	if n.index == nil {
		for i := range n.keys {
			if n.keys[i] == key {
				return i
			}
		}
		return -1
	}
	if i, ok := n.index[key]; ok {
		return i
	}
	return -1
}

func (n *node) get(key string) *node {
	if i := n.find(key); i >= 0 {
		return n.values[i]
	}
	return nil
}

func (n *node) set(key string, v *node) {
	if i := n.find(key); i >= 0 {
		n.values[i] = v
		return
	}
	n.keys = append(n.keys, key)
	n.values = append(n.values, v)
	switch {
	case n.index != nil:
		n.index[key] = len(n.keys) - 1
	case len(n.keys) > few:
		n.index = make(map[string]int, 2*len(n.keys))
		for i, key := range n.keys {
			n.index[key] = i
		}
	}
}

// parse reads a TOML text. A library reads the values; scan, which knows positions and the order of keys,
// gives the places.
func parse(data []byte) (*node, *cib.Problem) {
	if len(data) > maxSize {
		return nil, &cib.Problem{Severity: cib.Error, Text: fmt.Sprintf("the text has %d bytes; at most %d are read", len(data), maxSize)}
	}
	s := scanner{data: data, line: 1}
	root := s.document()
	if s.deep != nil {
		return nil, &cib.Problem{Severity: cib.Error, Pos: *s.deep, Text: fmt.Sprintf("tables, arrays or keys are nested more than %d deep", maxNesting)}
	}
	if !utf8.Valid(data) {
		return nil, &cib.Problem{Severity: cib.Error, Text: "the text is not UTF-8"}
	}
	var values map[string]any
	if _, err := toml.Decode(string(data), &values); err != nil {
		p := &cib.Problem{Severity: cib.Error, Text: err.Error()}
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			p.Pos = cib.Pos{Line: syntax.Position.Line, Column: max(syntax.Position.Col, 1)}
			p.Text = syntax.Message
			if syntax.LastKey != "" {
				p.Where = syntax.LastKey
			}
		}
		return nil, p
	}
	if s.void != nil {
		// Nothing here has an empty name, and the library loses elements of arrays below empty keys.
		return nil, &cib.Problem{Severity: cib.Error, Pos: *s.void, Text: "a key is empty; write a name"}
	}
	if !fill(root, values) {
		return nil, &cib.Problem{Severity: cib.Error, Text: "the text is valid TOML of a form that is not understood here; write tables and keys plainly"}
	}
	return root, nil
}

// fill gives the nodes of a scanned text the values that the library read. It reports whether the two agree
// on what there is.
func fill(n *node, value any) bool {
	switch v := value.(type) {
	case map[string]any:
		if n.kind != kindTable || len(v) != len(n.keys) {
			return false
		}
		for i, key := range n.keys {
			sub, ok := v[key]
			if !ok || !fill(n.values[i], sub) {
				return false
			}
		}
		return true
	case []map[string]any:
		if n.kind != kindArray || len(v) != len(n.items) {
			return false
		}
		for i := range v {
			if !fill(n.items[i], v[i]) {
				return false
			}
		}
		return true
	case []any:
		if n.kind != kindArray || len(v) != len(n.items) {
			return false
		}
		for i := range v {
			if !fill(n.items[i], v[i]) {
				return false
			}
		}
		return true
	}
	if n.kind == kindTable && len(n.keys) > 0 || n.kind == kindArray && len(n.items) > 0 {
		return false
	}
	switch v := value.(type) {
	case string:
		n.kind, n.text = kindText, v
	case int64:
		n.kind, n.text = kindInteger, strconv.FormatInt(v, 10)
	case bool:
		n.kind, n.text = kindBoolean, strconv.FormatBool(v)
	case float64:
		n.kind, n.text = kindFloat, strconv.FormatFloat(v, 'g', -1, 64)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			n.text = "a special number"
		}
	case time.Time:
		n.kind, n.text = kindDate, v.Format(time.RFC3339Nano)
	default:
		return false
	}
	return true
}

// scanner finds keys with their positions in a TOML text. It is made for texts that the library accepts; in
// others it stops early, and the library names the error.
type scanner struct {
	data []byte
	pos  int
	line int // from 1
	from int // offset of the start of the line
	deep *cib.Pos
	void *cib.Pos // of the first empty key
	bad  bool
}

func (s *scanner) at() cib.Pos { return cib.Pos{Line: s.line, Column: s.pos - s.from + 1} }

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) advance(n int) {
	for range n {
		if s.pos >= len(s.data) {
			return
		}
		if s.data[s.pos] == '\n' {
			s.line++
			s.from = s.pos + 1
		}
		s.pos++
	}
}

// space skips blanks; with lines also line ends and comments.
func (s *scanner) space(lines bool) {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == ' ' || c == '\t':
			s.advance(1)
		case lines && (c == '\n' || c == '\r'):
			s.advance(1)
		case lines && c == '#':
			for s.pos < len(s.data) && s.data[s.pos] != '\n' {
				s.pos++
			}
		default:
			return
		}
	}
}

func (s *scanner) document() *node {
	root := newTable()
	if len(s.data) >= 3 && string(s.data[:3]) == "\xef\xbb\xbf" {
		s.pos, s.from = 3, 3
	}
	table := root
	for !s.bad && s.deep == nil {
		s.space(true)
		if s.pos >= len(s.data) {
			break
		}
		if s.peek() != '[' {
			s.pair(table, 0)
			continue
		}
		pos := s.at()
		s.advance(1)
		array := s.peek() == '['
		if array {
			s.advance(1)
		}
		keys := s.key()
		table = s.header(root, keys, array, pos)
		s.space(false)
		for s.peek() == ']' {
			s.advance(1)
		}
	}
	return root
}

// header finds or makes the table that a header names.
func (s *scanner) header(root *node, keys []string, array bool, pos cib.Pos) *node {
	t := root
	for i, key := range keys {
		v := t.get(key)
		last := i == len(keys)-1
		if last && array {
			if v == nil {
				v = &node{kind: kindArray, pos: pos}
				t.set(key, v)
			}
			item := newTable()
			item.pos = pos
			v.items = append(v.items, item)
			return item
		}
		if v == nil {
			v = newTable()
			v.pos = pos
			t.set(key, v)
		}
		if v.kind == kindArray {
			if len(v.items) == 0 {
				s.bad = true
				return newTable()
			}
			v = v.items[len(v.items)-1]
		}
		if last && v.pos == (cib.Pos{}) {
			v.pos = pos
		}
		t = v
	}
	return t
}

// key reads a dotted key.
func (s *scanner) key() []string {
	var out []string
	for {
		s.space(false)
		switch c := s.peek(); {
		case c == '"' || c == '\'':
			pos := s.at()
			out = append(out, s.str())
			if out[len(out)-1] == "" && s.void == nil {
				s.void = &pos
			}
		default:
			from := s.pos
			for s.pos < len(s.data) && bare(s.data[s.pos]) {
				s.pos++
			}
			if s.pos == from {
				s.bad = true
				return out
			}
			out = append(out, string(s.data[from:s.pos]))
		}
		if len(out) > maxNesting {
			pos := s.at()
			s.deep = &pos
			return out
		}
		s.space(false)
		if s.peek() != '.' {
			return out
		}
		s.advance(1)
	}
}

func bare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c >= 0x80
}

// pair reads key = value into a table.
func (s *scanner) pair(t *node, depth int) {
	pos := s.at()
	keys := s.key()
	if s.bad || s.deep != nil || len(keys) == 0 {
		s.bad = true
		return
	}
	s.space(false)
	if s.peek() != '=' {
		s.bad = true
		return
	}
	s.advance(1)
	s.space(false)
	for _, key := range keys[:len(keys)-1] {
		v := t.get(key)
		if v == nil {
			v = newTable()
			v.pos = pos
			t.set(key, v)
		}
		if v.kind != kindTable {
			s.bad = true
			return
		}
		t = v
	}
	v := s.value(depth + 1)
	v.pos = pos
	t.set(keys[len(keys)-1], v)
}

// value reads a value; scalars are left to the library.
func (s *scanner) value(depth int) *node {
	n := &node{kind: kindText, pos: s.at()}
	if depth > maxNesting {
		s.deep = &n.pos
		return n
	}
	switch c := s.peek(); c {
	case '"', '\'':
		s.str()
	case '[':
		n.kind = kindArray
		s.advance(1)
		for !s.bad && s.deep == nil {
			s.space(true)
			if s.peek() == ']' {
				s.advance(1)
				return n
			}
			if s.pos >= len(s.data) {
				s.bad = true
				return n
			}
			n.items = append(n.items, s.value(depth+1))
			s.space(true)
			if s.peek() == ',' {
				s.advance(1)
			}
		}
	case '{':
		n.kind = kindTable
		s.advance(1)
		for !s.bad && s.deep == nil {
			s.space(true)
			if s.peek() == '}' {
				s.advance(1)
				return n
			}
			if s.pos >= len(s.data) {
				s.bad = true
				return n
			}
			s.pair(n, depth)
			s.space(true)
			if s.peek() == ',' {
				s.advance(1)
			}
		}
	default:
		from := s.pos
		for s.pos < len(s.data) {
			c := s.data[s.pos]
			if c == ',' || c == ']' || c == '}' || c == '\n' || c == '\r' || c == '#' {
				break
			}
			s.pos++
		}
		if s.pos == from {
			s.bad = true
		}
	}
	return n
}

// str reads a text in one of the four kinds of quotes and returns it where it can be a key (one line).
func (s *scanner) str() string {
	quote := s.peek()
	if s.pos+2 < len(s.data) && s.data[s.pos+1] == quote && s.data[s.pos+2] == quote {
		s.advance(3)
		for s.pos < len(s.data) {
			if s.data[s.pos] == '\\' && quote == '"' {
				s.advance(2)
				continue
			}
			if s.data[s.pos] == quote && s.pos+2 < len(s.data) && s.data[s.pos+1] == quote && s.data[s.pos+2] == quote {
				s.advance(3)
				// Up to two quotes may stand before the closing three.
				for range 2 {
					if s.peek() == quote {
						s.advance(1)
					}
				}
				return ""
			}
			s.advance(1)
		}
		s.bad = true
		return ""
	}
	from := s.pos
	s.advance(1)
	for s.pos < len(s.data) && s.data[s.pos] != quote {
		if s.data[s.pos] == '\n' {
			s.bad = true
			return ""
		}
		if s.data[s.pos] == '\\' && quote == '"' {
			s.advance(1)
		}
		s.advance(1)
	}
	if s.pos >= len(s.data) {
		s.bad = true
		return ""
	}
	s.advance(1)
	if quote == '\'' {
		return string(s.data[from+1 : s.pos-1])
	}
	return unquote(string(s.data[from+1 : s.pos-1]))
}

// unquote replaces the escapes of a basic string. What is no escape stays; the library refuses it.
func unquote(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 >= len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		digits := 0
		switch text[i] {
		case 'b':
			out = append(out, '\b')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'f':
			out = append(out, '\f')
		case 'r':
			out = append(out, '\r')
		case 'e':
			out = append(out, 0x1b)
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			out = append(out, text[i])
		}
		if digits > 0 && i+digits < len(text) {
			n, err := strconv.ParseUint(text[i+1:i+1+digits], 16, 32)
			if err == nil {
				out = utf8.AppendRune(out, rune(n))
			}
			i += digits
		}
	}
	return string(out)
}
