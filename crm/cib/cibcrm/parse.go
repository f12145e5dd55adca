package cibcrm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Statement is one statement that was read, not yet part of a configuration. Exactly one of the fields below
// Comments is set.
type Statement struct {
	Keyword  string // canonical keyword, such as "primitive"
	ID       string // of the object; "" where statements have none
	Line     int
	Comments []string // comment lines before it, without "#"

	Node       *cib.Node
	Resource   *cib.Resource
	Constraint *cib.Constraint
	Set        *cib.AttributeSet // property, rsc_defaults, op_defaults
	Tag        *cib.Tag
	Levels     []cib.FencingLevel
	Role       *cib.ACLRole
	Target     *cib.ACLTarget
	User       *cib.ACLUser
	Alert      *cib.Alert
	Monitor    *Monitor
	XML        string // of an xml statement

	// Nested lists the ids of the primitives that a group, clone or bundle takes in.
	Nested []string

	// whole says that a set replaces the one of its id instead of adding to it.
	whole bool
}

// Monitor is a monitor statement: it adds an operation to a primitive.
type Monitor struct {
	Resource, Role, Interval, Timeout string
}

// keywords maps every spelling of a statement to the canonical one.
var keywords = map[string]string{
	"node": "node", "primitive": "primitive", "group": "group", "clone": "clone", "ms": "ms", "master": "ms",
	"bundle": "bundle", "rsc_template": "rsc_template", "location": "location", "colocation": "colocation",
	"collocation": "colocation", "order": "order", "rsc_ticket": "rsc_ticket", "property": "property",
	"rsc_defaults": "rsc_defaults", "op_defaults": "op_defaults", "monitor": "monitor", "tag": "tag",
	"fencing_topology": "fencing_topology", "role": "role", "user": "user", "acl_target": "acl_target",
	"acl_group": "acl_group", "alert": "alert", "xml": "xml",
}

// Keyword returns the canonical keyword of a statement for a word in any case; ok is false when it begins no
// statement.
func Keyword(word string) (keyword string, ok bool) {
	keyword, ok = keywords[strings.ToLower(word)]
	return keyword, ok
}

// Keywords lists the canonical keywords, sorted.
func Keywords() []string {
	var out []string
	for _, k := range keywords {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// Parse reads statements. Comment lines stick to the statement right after them. It returns all errors that it
// finds, one for each bad statement.
func Parse(text string) (list []*Statement, errs []error) {
	if len(text) > maxText {
		return nil, []error{&Error{Text: fmt.Sprintf("the text has %d bytes, at most %d are read", len(text), maxText)}}
	}
	var comments []string
	last := 0 // line of the newest comment
	for _, l := range splitLines(text) {
		if l.number > last+1 {
			comments = nil // an empty line is between
		}
		if strings.HasPrefix(l.text, "#") {
			comments = append(comments, strings.TrimPrefix(l.text, "#"))
			last = l.number
			continue
		}
		st, err := parseLine(l)
		if err != nil {
			errs = append(errs, err)
			comments = nil
			continue
		}
		st.Comments, comments = comments, nil
		list = append(list, st)
	}
	return list, errs
}

// ParseWords reads one statement from words that were split already (one-shot commands).
func ParseWords(args []string) (*Statement, error) {
	words := make([]word, len(args))
	for i, a := range args {
		words[i] = word{text: a}
	}
	return parseWords(words, 0)
}

func parseLine(l line) (*Statement, error) {
	// xml takes the rest of the line as it is: markup has quotes of its own.
	if kw, rest, _ := strings.Cut(l.text, " "); strings.EqualFold(kw, "xml") {
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "<") {
			return &Statement{Keyword: "xml", Line: l.number, XML: rest}, nil
		}
	}
	words, err := splitWords(l)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, &Error{Line: l.number, Text: "empty statement"}
	}
	return parseWords(words, l.number)
}

func parseWords(words []word, number int) (*Statement, error) {
	if len(words) == 0 {
		return nil, &Error{Text: "empty statement"}
	}
	keyword, ok := Keyword(words[0].text)
	if !ok {
		return nil, &Error{Line: number, Column: words[0].column,
			Text: fmt.Sprintf("%q begins no statement; known are %s", words[0].text, strings.Join(Keywords(), ", "))}
	}
	p := &parser{words: words[1:], line: number, keyword: keyword}
	st := &Statement{Keyword: keyword, Line: number}
	parse := map[string]func(*Statement) error{
		"node": p.node, "primitive": p.primitive, "rsc_template": p.primitive, "group": p.group, "clone": p.clone, "ms": p.clone,
		"bundle": p.bundle, "location": p.location, "colocation": p.colocation, "order": p.order, "rsc_ticket": p.ticket,
		"property": p.property, "rsc_defaults": p.property, "op_defaults": p.property, "monitor": p.monitor, "tag": p.tag,
		"fencing_topology": p.topology, "role": p.role, "user": p.user, "acl_target": p.target, "acl_group": p.target,
		"alert": p.alert, "xml": p.xml,
	}[keyword]
	if err := parse(st); err != nil {
		return nil, err
	}
	if !p.end() {
		return nil, p.fail("%q is not expected here", p.peek())
	}
	return st, nil
}

// parser reads the words of one statement.
type parser struct {
	words   []word
	at      int
	line    int
	keyword string
}

func (p *parser) end() bool { return p.at >= len(p.words) }

// peek returns the next word, "" at the end.
func (p *parser) peek() string {
	if p.end() {
		return ""
	}
	return p.words[p.at].text
}

func (p *parser) next() string {
	w := p.peek()
	p.at++
	return w
}

// is reports whether the next word is one of the given ones in any case.
func (p *parser) is(list ...string) bool {
	if p.end() || p.words[p.at].quoted {
		return false
	}
	w := p.words[p.at].text
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, w) })
}

// accept takes the next word if it is one of the given ones.
func (p *parser) accept(list ...string) bool {
	if p.is(list...) {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) error {
	e := &Error{Line: p.line, Statement: p.keyword, Text: fmt.Sprintf(format, args...)}
	if p.at < len(p.words) {
		e.Column = p.words[p.at].column
	} else if n := len(p.words); n > 0 {
		e.Column = p.words[n-1].column + len(p.words[n-1].text)
	}
	return e
}

// id reads the id of an object, with or without "id=" in front.
func (p *parser) id(what string) (string, error) {
	if p.end() {
		return "", p.fail("the %s is missing", what)
	}
	w := p.peek()
	w = strings.TrimPrefix(strings.TrimPrefix(w, "$"), "id=")
	if err := checkID(w); err != nil {
		return "", p.fail("%q cannot be the %s: %v", w, what, err)
	}
	p.at++
	return w, nil
}

// checkID refuses what cannot be an XML id or what the shell could not type again.
func checkID(s string) error {
	if s == "" {
		return fmt.Errorf("it is empty")
	}
	if len(s) > 512 {
		return fmt.Errorf("it has %d characters, at most 512", len(s))
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r > 0x7f
		if letter || i > 0 && (r >= '0' && r <= '9' || r == '-' || r == '.') {
			continue
		}
		if i == 0 {
			return fmt.Errorf("it must begin with a letter or an underscore")
		}
		return fmt.Errorf("%q is not allowed in it", r)
	}
	return nil
}

// pair splits name=value. ok is false for a word without "=".
func pair(w string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(w, "=")
	return name, value, ok && name != ""
}

// option takes the next word when it is NAME=VALUE for one of the names (any case, with or without "$").
func (p *parser) option(names ...string) (name, value string, ok bool) {
	if p.end() {
		return "", "", false
	}
	n, v, is := pair(p.peek())
	if !is {
		return "", "", false
	}
	n = strings.TrimPrefix(n, "$")
	for _, want := range names {
		if strings.EqualFold(n, want) {
			p.at++
			return want, v, true
		}
	}
	return "", "", false
}

// description takes a description=TEXT.
func (p *parser) description(into *string) bool {
	_, v, ok := p.option("description")
	if ok {
		*into = v
	}
	return ok
}

// score reads "SCORE:" in the forms of the field: numbers, inf, infinity with sign. The value comes back in
// the form that is stored.
func score(w string) (string, bool) {
	switch strings.ToLower(w) {
	case "inf", "infinity":
		return "INFINITY", true
	case "+inf", "+infinity":
		return "+INFINITY", true
	case "-inf", "-infinity":
		return "-INFINITY", true
	}
	if w == "" {
		return "", false
	}
	digits := strings.TrimLeft(w, "+-")
	if len(w)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	return w, true
}
