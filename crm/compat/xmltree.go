package compat

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// element is a node of an XML tree, as cibadmin works on: unlike the document's model it has a place for everything
// that an XPath can name.
type element struct {
	name     string
	attrs    []attr
	children []*element
	text     string // where there are no children
	parent   *element
}

type attr struct{ name, value string }

func (e *element) attr(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.name == name {
			return a.value, true
		}
	}
	return "", false
}

func (e *element) set(name, value string) {
	for i := range e.attrs {
		if e.attrs[i].name == name {
			e.attrs[i].value = value
			return
		}
	}
	e.attrs = append(e.attrs, attr{name, value})
}

func (e *element) add(child *element) {
	child.parent = e
	e.children = append(e.children, child)
}

// remove takes e out of its parent.
func (e *element) remove() {
	if e.parent != nil {
		e.parent.children = slices.DeleteFunc(e.parent.children, func(x *element) bool { return x == e })
	}
}

// child returns the first child of that name; nil = none.
func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// each calls f for e and everything below it, in document order, until it returns false.
func (e *element) each(f func(*element) bool) bool {
	if !f(e) {
		return false
	}
	for _, c := range slices.Clone(e.children) {
		if !c.each(f) {
			return false
		}
	}
	return true
}

// Bounds of XML that a caller gives.
const (
	maxTreeDepth = 200
	maxTreeSize  = 64 << 20
)

// parseTree reads one element with everything in it.
func parseTree(data []byte) (*element, error) {
	if len(data) > maxTreeSize {
		return nil, fmt.Errorf("the XML has %d bytes, at most %d", len(data), maxTreeSize)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var root, at *element
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxTreeDepth {
				return nil, fmt.Errorf("the XML is nested deeper than %d levels", maxTreeDepth)
			}
			e := &element{name: t.Name.Local}
			for _, a := range t.Attr {
				e.attrs = append(e.attrs, attr{a.Name.Local, a.Value})
			}
			switch {
			case at != nil:
				at.add(e)
			case root != nil:
				return nil, fmt.Errorf("a second element <%s> after <%s>", e.name, root.name)
			default:
				root = e
			}
			at = e
		case xml.EndElement:
			at, depth = at.parent, depth-1
		case xml.CharData:
			if at != nil && len(at.children) == 0 {
				at.text += string(t)
			}
		}
	}
	if root == nil {
		return nil, errors.New("there is no XML element")
	}
	return root, nil
}

// String returns the element as XML, indented by two blanks per level. Without children it has none of its own.
func (e *element) String() string {
	var b strings.Builder
	e.write(&b, 0, true)
	return b.String()
}

func (e *element) write(b *strings.Builder, depth int, deep bool) {
	indent := strings.Repeat("  ", depth)
	b.WriteString(indent + "<" + e.name)
	for _, a := range e.attrs {
		b.WriteString(" " + a.name + `="` + treeEscaper.Replace(a.value) + `"`)
	}
	switch {
	case deep && len(e.children) > 0:
		b.WriteString(">\n")
		for _, c := range e.children {
			c.write(b, depth+1, true)
		}
		b.WriteString(indent + "</" + e.name + ">\n")
	case deep && strings.TrimSpace(e.text) != "":
		b.WriteString(">" + treeEscaper.Replace(e.text) + "</" + e.name + ">\n")
	default:
		b.WriteString("/>\n")
	}
}

var treeEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")

// path is the place of the element, with ids.
func (e *element) path() string {
	step := "/" + e.name
	if id, ok := e.attr("id"); ok {
		step += "[@id='" + id + "']"
	}
	if e.parent == nil {
		return step
	}
	return e.parent.path() + step
}

// step is one step of an XPath.
type step struct {
	deep  bool   // after "//"
	name  string // "*" = any, "." and ".."
	tests [][]test
}

// test is one condition in a predicate; the ones of a list are joined by "or" of "and" lists.
type test struct {
	attr     string
	value    string
	compare  bool // with value; else that the attribute is there
	negate   bool
	position int // above 0: the place among the matches; -1 = the last
}

// xpath is a path, or several joined by "|".
type xpath [][]step

// parseXPath reads the part of XPath 1.0 that tools and agents use: absolute paths with / and //, names, * and .., and
// predicates that compare attributes (=, !=, and, or, not()), name a child's place or last().
func parseXPath(text string) (xpath, error) {
	p := &xpathParser{in: text}
	var out xpath
	for {
		steps, err := p.path()
		if err != nil {
			return nil, fmt.Errorf("XPath %q: at character %d: %w", text, p.at+1, err)
		}
		out = append(out, steps)
		if !p.take("|") {
			break
		}
	}
	if p.space(); p.at < len(p.in) {
		return nil, fmt.Errorf("XPath %q: at character %d: %q was not expected; served are paths such as //nvpair[@name='x']", text, p.at+1, p.in[p.at:])
	}
	return out, nil
}

type xpathParser struct {
	in string
	at int
}

func (p *xpathParser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\n", p.in[p.at]) >= 0 {
		p.at++
	}
}

func (p *xpathParser) take(word string) bool {
	p.space()
	if !strings.HasPrefix(p.in[p.at:], word) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *xpathParser) name() string {
	p.space()
	from := p.at
	for p.at < len(p.in) && (p.in[p.at] >= 0x80 || strings.IndexByte("_-.:", p.in[p.at]) >= 0 || isAlnum(p.in[p.at])) {
		p.at++
	}
	return p.in[from:p.at]
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *xpathParser) path() ([]step, error) {
	var steps []step
	for {
		var s step
		switch {
		case p.take("//"):
			s.deep = true
		case p.take("/"):
		case len(steps) == 0:
			s.deep = true // a relative path is looked for everywhere, as Pacemaker does
			return nil, errors.New("a path begins with / or //")
		default:
			return steps, nil
		}
		if p.take("*") {
			s.name = "*"
		} else if s.name = p.name(); s.name == "" {
			return nil, errors.New("the name of an element is missing")
		}
		for p.take("[") {
			any, err := p.tests()
			if err != nil {
				return nil, err
			}
			s.tests = append(s.tests, any...)
			if !p.take("]") {
				return nil, errors.New("\"]\" is missing")
			}
		}
		steps = append(steps, s)
	}
}

// tests reads a predicate as one list per "and"; within a list one must hold.
func (p *xpathParser) tests() (all [][]test, err error) {
	for {
		t, err := p.test()
		if err != nil {
			return nil, err
		}
		any := []test{t}
		for p.word("or") {
			if t, err = p.test(); err != nil {
				return nil, err
			}
			any = append(any, t)
		}
		all = append(all, any)
		if !p.word("and") {
			return all, nil
		}
	}
}

// word takes a word that stands alone.
func (p *xpathParser) word(w string) bool {
	p.space()
	if !strings.HasPrefix(p.in[p.at:], w) || p.at+len(w) < len(p.in) && isAlnum(p.in[p.at+len(w)]) {
		return false
	}
	p.at += len(w)
	return true
}

func (p *xpathParser) test() (t test, err error) {
	switch {
	case p.take("not("):
		if t, err = p.test(); err != nil {
			return t, err
		}
		t.negate = !t.negate
		if !p.take(")") {
			return t, errors.New("\")\" is missing")
		}
		return t, nil
	case p.take("last()"):
		t.position = -1
		return t, nil
	case !p.take("@"):
		if t.position, err = strconv.Atoi(p.name()); err != nil || t.position < 1 {
			return t, errors.New("a predicate compares an attribute, such as [@id='x'], or is a number from 1")
		}
		return t, nil
	}
	if t.attr = p.name(); t.attr == "" {
		return t, errors.New("the name of an attribute is missing")
	}
	switch {
	case p.take("!="):
		t.negate = true
	case !p.take("="):
		return t, nil
	}
	t.compare = true
	for _, quote := range []string{"'", "\""} {
		if p.take(quote) {
			end := strings.Index(p.in[p.at:], quote)
			if end < 0 {
				return t, errors.New("the quoted value does not end")
			}
			t.value = p.in[p.at : p.at+end]
			p.at += end + 1
			return t, nil
		}
	}
	return t, errors.New("a value is written in quotes")
}

// find returns the matching elements below root, in document order.
func (x xpath) find(root *element) []*element {
	found := make(map[*element]bool)
	for _, steps := range x {
		for _, e := range findSteps(&element{children: []*element{root}}, root, steps) {
			found[e] = true
		}
	}
	var out []*element
	root.each(func(e *element) bool {
		if found[e] {
			out = append(out, e)
		}
		return true
	})
	return out
}

func findSteps(above, root *element, steps []step) []*element {
	at := []*element{above}
	for i := range steps {
		s := &steps[i]
		seen := make(map[*element]bool)
		var next []*element
		for _, from := range at {
			for _, e := range s.from(from) {
				if !seen[e] && e != above {
					seen[e] = true
					next = append(next, e)
				}
			}
		}
		at = next
	}
	return at
}

// from returns what the step leads to from one element.
func (s *step) from(e *element) []*element {
	switch s.name {
	case ".":
		return s.filter([]*element{e})
	case "..":
		if e.parent == nil {
			return nil
		}
		return s.filter([]*element{e.parent})
	}
	if !s.deep {
		return s.filter(s.named(e.children))
	}
	var out []*element
	e.each(func(x *element) bool {
		out = append(out, s.filter(s.named(x.children))...)
		return true
	})
	return out
}

func (s *step) named(list []*element) (out []*element) {
	for _, e := range list {
		if s.name == "*" || e.name == s.name {
			out = append(out, e)
		}
	}
	return out
}

func (s *step) filter(list []*element) []*element {
	for _, any := range s.tests {
		var kept []*element
		for i, e := range list {
			if slices.ContainsFunc(any, func(t test) bool { return t.holds(e, i, len(list)) }) {
				kept = append(kept, e)
			}
		}
		list = kept
	}
	return list
}

func (t *test) holds(e *element, i, n int) bool {
	switch {
	case t.position > 0:
		return (i+1 == t.position) != t.negate
	case t.position < 0:
		return (i+1 == n) != t.negate
	}
	value, ok := e.attr(t.attr)
	if !t.compare {
		return ok != t.negate
	}
	return ok && (value == t.value) != t.negate
}
