package cibtoml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// codec moves one table between the model and TOML. One description of each table serves both ways: a
// method such as text reads the key into the field, or writes the field under the key, so that the two
// cannot differ.
type codec struct {
	*run
	n     *node
	path  string
	asked []string // keys that the description knows
}

// run is what the codecs of one document share.
type run struct {
	reading  bool
	problems []cib.Problem
	err      error // writing: what cannot be written
	options  Options
	// templates are those that the document has, by id: what is made from one has its agent.
	templates map[string]*cib.Resource
}

// secret reports whether a parameter of a resource holds a password or key; see Options.Secret.
func (r *run) secret(of *cib.Resource, name string) bool {
	if t := r.templates[of.Template]; t != nil && of.Type == "" {
		of = &cib.Resource{ID: of.ID, Kind: of.Kind, Template: of.Template, Class: t.Class, Provider: t.Provider, Type: t.Type}
	}
	return r.options.secret(of, name)
}

const maxProblems = 100

func (r *run) problem(severity cib.Severity, pos cib.Pos, path, hint, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, cib.Problem{Severity: severity, Pos: pos, Where: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
}

func (c *codec) errorAt(n *node, key, hint, format string, args ...any) {
	c.problem(cib.Error, n.pos, c.join(key), hint, format, args...)
}

// refuse notes that something cannot be written.
func (r *run) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (c *codec) join(key string) string {
	if c.path == "" || key == "" {
		return c.path + key
	}
	return c.path + "." + quoteKey(key)
}

// ask returns the value under a key, when reading; nil = not there.
func (c *codec) ask(key string) *node {
	c.asked = append(c.asked, key)
	return c.n.get(key)
}

// wrong reports a value of the wrong type.
func (c *codec) wrong(n *node, key, want string) {
	c.errorAt(n, key, "", "expected %s, found %s", want, n.kind)
}

// done reports the keys that no description asked for.
func (c *codec) done() {
	if !c.reading {
		return
	}
	for i, key := range c.n.keys {
		if slices.Contains(c.asked, key) {
			continue
		}
		hint := ""
		if near := cib.Nearest(key, c.asked); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.errorAt(c.n.values[i], key, hint, "unknown key")
	}
}

// text is a text; "" is not written.
func (c *codec) text(key string, p *string) {
	if c.reading {
		if n := c.ask(key); n != nil {
			if n.kind != kindText {
				c.wrong(n, key, "a text")
				return
			}
			*p = n.text
		}
		return
	}
	if *p != "" {
		c.n.set(key, &node{kind: kindText, text: *p})
	}
}

// byDefault is a text that is not written where it is the given one, which reading puts there.
func (c *codec) byDefault(key string, p *string, value string) {
	if c.reading {
		*p = value
		c.text(key, p)
		return
	}
	if *p != value {
		c.n.set(key, &node{kind: kindText, text: *p})
	}
}

// value is a text that may be written as a number or boolean; "" is not written.
func (c *codec) value(key string, p *string) {
	if c.reading {
		if n := c.ask(key); n != nil {
			if text, ok := c.scalar(n, key); ok {
				*p = text
			}
		}
		return
	}
	if *p != "" {
		c.n.set(key, scalarNode(*p))
	}
}

// checked is value with a check of what was read.
func (c *codec) checked(key string, p *string, check func(string) error) {
	c.value(key, p)
	if !c.reading || *p == "" {
		return
	}
	if err := check(*p); err != nil {
		c.errorAt(c.n.get(key), key, "", "%v", err)
	}
}

// scalar returns the text of a value.
func (c *codec) scalar(n *node, key string) (string, bool) {
	switch n.kind {
	case kindText, kindInteger, kindBoolean:
		return n.text, true
	case kindFloat, kindDate:
		c.errorAt(n, key, "put it in quotes", "%s would not be kept as it is written", n.kind)
		return "", false
	}
	c.wrong(n, key, "a text, a whole number, true or false")
	return "", false
}

// scalarNode writes decimal numbers and true and false without quotes: all whose text comes back the same.
func scalarNode(text string) *node {
	if text == "true" || text == "false" {
		return &node{kind: kindBoolean, text: text}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return &node{kind: kindInteger, text: text}
	}
	return &node{kind: kindText, text: text}
}

func (c *codec) flag(key string, p *bool) {
	if c.reading {
		if n := c.ask(key); n != nil {
			if n.kind != kindBoolean {
				c.wrong(n, key, "true or false")
				return
			}
			*p = n.text == "true"
		}
		return
	}
	if *p {
		c.n.set(key, &node{kind: kindBoolean, text: "true"})
	}
}

// number is a whole number within bounds; 0 is not written.
func (c *codec) number(key string, p *int, low, high int) {
	if c.reading {
		if n := c.ask(key); n != nil {
			if n.kind != kindInteger {
				c.wrong(n, key, "a whole number")
				return
			}
			v, err := strconv.ParseInt(n.text, 10, 64)
			if err != nil || v < int64(low) || v > int64(high) {
				c.errorAt(n, key, "", "%s is out of range; expected %d to %d", n.text, low, high)
				return
			}
			*p = int(v)
		}
		return
	}
	if *p != 0 {
		c.n.set(key, &node{kind: kindInteger, text: strconv.Itoa(*p)})
	}
}

// list is an array of texts; an empty one is not written.
func (c *codec) list(key string, p *[]string) {
	if c.reading {
		n := c.ask(key)
		if n == nil {
			return
		}
		if n.kind != kindArray {
			c.wrong(n, key, "an array of texts")
			return
		}
		for _, item := range n.items {
			if item.kind != kindText {
				c.wrong(item, key, "texts in the array")
				return
			}
			*p = append(*p, item.text)
		}
		return
	}
	if len(*p) == 0 {
		return
	}
	n := &node{kind: kindArray}
	for _, text := range *p {
		n.items = append(n.items, &node{kind: kindText, text: text})
	}
	c.n.set(key, n)
}

// sub is a table under a key: body is called when reading if it is there, and when writing if wanted.
func (c *codec) sub(key string, wanted bool, body func(c *codec)) {
	if c.reading {
		n := c.ask(key)
		if n == nil {
			return
		}
		if n.kind != kindTable {
			c.wrong(n, key, "a table")
			return
		}
		s := &codec{run: c.run, n: n, path: c.join(key)}
		body(s)
		s.done()
		return
	}
	if wanted {
		n := newTable()
		body(&codec{run: c.run, n: n, path: c.join(key)})
		c.n.set(key, n)
	}
}

// array is an array of tables under a key.
func array[T any](c *codec, key string, list *[]T, body func(c *codec, i int, v *T)) {
	if c.reading {
		n := c.ask(key)
		if n == nil {
			return
		}
		if n.kind != kindArray {
			c.wrong(n, key, "an array of tables")
			return
		}
		for i, item := range n.items {
			if item.kind != kindTable {
				c.wrong(item, key, "tables in the array")
				return
			}
			var v T
			s := &codec{run: c.run, n: item, path: c.join(key) + "[" + strconv.Itoa(i) + "]"}
			body(s, i, &v)
			s.done()
			*list = append(*list, v)
		}
		return
	}
	if len(*list) == 0 {
		return
	}
	n := &node{kind: kindArray}
	for i := range *list {
		item := newTable()
		body(&codec{run: c.run, n: item, path: c.join(key)}, i, &(*list)[i])
		n.items = append(n.items, item)
	}
	c.n.set(key, n)
}

// attrs is a table of names and values; order is kept.
func (c *codec) attrs(key string, list *[]cib.Attr) {
	if c.reading {
		n := c.ask(key)
		if n == nil {
			return
		}
		if n.kind != kindTable {
			c.wrong(n, key, "a table of names and values")
			return
		}
		s := &codec{run: c.run, n: n, path: c.join(key)}
		for i, name := range n.keys {
			if text, ok := s.scalar(n.values[i], name); ok {
				*list = append(*list, cib.Attr{Name: name, Value: text})
			}
		}
		return
	}
	if len(*list) == 0 {
		return
	}
	n := newTable()
	for _, a := range *list {
		if n.get(a.Name) != nil {
			c.refuse("%s: attribute %q is given twice, which TOML cannot say", c.join(key), a.Name)
		}
		n.set(a.Name, scalarNode(a.Value))
	}
	c.n.set(key, n)
}

// unknown is an array of elements that the model does not know.
func (c *codec) unknown(key string, list *[]cib.Unknown) {
	array(c, key, list, func(c *codec, _ int, u *cib.Unknown) {
		c.text("parent", &u.Parent)
		c.text("xml", &u.XML)
		if c.reading {
			u.Pos = c.n.pos
		}
	})
}

// quoteKey writes a key, in quotes where it needs them.
func quoteKey(key string) string {
	if key == "" {
		return `""`
	}
	for i := range len(key) {
		if !bare(key[i]) || key[i] >= 0x80 {
			return quote(key)
		}
	}
	return key
}

// quote writes a basic string.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
