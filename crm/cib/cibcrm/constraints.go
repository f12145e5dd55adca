package cibcrm

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

func (p *parser) location(st *Statement) error {
	id, err := p.id("name of the constraint")
	if err != nil {
		return err
	}
	c := &cib.Constraint{Kind: cib.Location, ID: id}
	st.ID, st.Constraint = id, c
	if p.end() {
		return p.fail("the resource is missing")
	}
	switch w := p.peek(); {
	case w == "{":
		p.at++
		if c.Sets, err = p.locationSets(); err != nil {
			return err
		}
	case strings.HasPrefix(w, "/") && strings.HasSuffix(w, "/") && len(w) > 2:
		if _, err := regexp.CompilePOSIX(w[1 : len(w)-1]); err != nil {
			return p.fail("%q is no regular expression: %v", w, err)
		}
		c.Pattern = w[1 : len(w)-1]
		p.at++
	default:
		if c.Resource, err = p.id("resource"); err != nil {
			return err
		}
	}
	for {
		name, v, ok := p.option("role", "resource-discovery")
		if !ok {
			break
		}
		if name == "role" {
			if !knownRole(v) {
				p.at--
				return p.fail("%q is not a role: %s", v, strings.Join(roleNames, ", "))
			}
			c.Role = v
			continue
		}
		if !slices.Contains([]string{"always", "never", "exclusive"}, v) {
			p.at--
			return p.fail("resource-discovery is always, never or exclusive, not %q", v)
		}
		c.Discovery = v
	}
	if c.Role != "" && len(c.Sets) > 0 {
		return p.fail("the role of a resource in a set stands behind it: { RESOURCE:%s }", c.Role)
	}
	if p.is("rule") {
		for p.accept("rule") {
			r, err := p.rule()
			if err != nil {
				return err
			}
			c.Rules = append(c.Rules, r)
		}
		return nil
	}
	if p.end() {
		return p.fail("a score with a node (100: NODE) or a rule is missing")
	}
	head, colon := strings.CutSuffix(p.peek(), ":")
	if !colon {
		return p.fail("%q: a score with a colon (100: NODE) or a rule is expected", p.peek())
	}
	s, ok := score(head)
	if !ok {
		return p.fail("%q is not a score: a number, inf or -inf", head)
	}
	p.at++
	c.Score = s
	if p.end() {
		return p.fail("the node is missing")
	}
	c.Node = p.next()
	return nil
}

// locationSets reads "RESOURCE[:ROLE] ... [sequential=BOOL] [require-all=BOOL] }": a new set for each change of
// the role, with the options in all of them. Brackets around the resources mean what they mean in an order.
func (p *parser) locationSets() ([]cib.ResourceSet, error) {
	var sets []cib.ResourceSet
	var options cib.ResourceSet
	open := "" // what closes the bracket
	for open != "" || !p.accept("}") {
		if p.end() || p.is("}") {
			return nil, p.fail("the %s of the resource set is missing", cmp.Or(open, "}"))
		}
		if n, v, ok := pair(p.peek()); ok {
			switch n {
			case "sequential":
				options.Sequential = sequentialText(v)
			case "require-all":
				options.RequireAll = v
			default:
				return nil, p.fail("%q is no option of a resource set: sequential or require-all", n)
			}
			p.at++
			continue
		}
		switch w := p.peek(); {
		case open == "" && (w == "(" || w == "["):
			options.Sequential = "false"
			if open = ")"; w == "[" {
				open, options.RequireAll = "]", "false"
			}
			p.at++
			continue
		case w == open:
			open = ""
			p.at++
			continue
		}
		it, err := p.splitItem(p.peek())
		if err != nil {
			return nil, err
		}
		if it.qualifier != "" && !knownRole(it.qualifier) {
			return nil, p.fail("%q is not a role: %s", it.qualifier, strings.Join(roleNames, ", "))
		}
		it.qualifier = canonicalRole(it.qualifier)
		p.at++
		if n := len(sets); n > 0 && sets[n-1].Role == it.qualifier {
			sets[n-1].Refs = append(sets[n-1].Refs, it.id)
			continue
		}
		sets = append(sets, cib.ResourceSet{Refs: []string{it.id}, Role: it.qualifier})
	}
	if len(sets) == 0 {
		return nil, p.fail("the resource set is empty")
	}
	for i := range sets {
		sets[i].Sequential, sets[i].RequireAll = options.Sequential, options.RequireAll
	}
	return sets, nil
}

// sequentialText drops the default.
func sequentialText(v string) string {
	if cib.IsTrue(v) {
		return ""
	}
	return v
}

// item is a resource of a colocation, order or ticket with its role or action.
type item struct{ id, qualifier string }

// splitItem splits RESOURCE[:ROLE|:ACTION].
func (p *parser) splitItem(w string) (item, error) {
	id, q, _ := strings.Cut(w, ":")
	if err := checkID(id); err != nil {
		return item{}, p.fail("%q cannot be a resource: %v", w, err)
	}
	return item{id, q}, nil
}

// setWord says that two resources are a set, where they would be a constraint of two.
const setWord = "_rsc_set_"

// splitBrackets makes words of their own of parentheses and brackets that touch a resource.
func (p *parser) splitBrackets() {
	var out []word
	for _, w := range p.words[p.at:] {
		if w.quoted {
			out = append(out, w)
			continue
		}
		for len(w.text) > 1 && strings.IndexByte("([", w.text[0]) >= 0 {
			out = append(out, word{text: w.text[:1], column: w.column})
			w.text, w.column = w.text[1:], w.column+1
		}
		inner := strings.TrimRight(w.text, ")]")
		if inner != "" {
			out = append(out, word{text: inner, column: w.column})
		}
		for i := len(inner); i < len(w.text); i++ {
			out = append(out, word{text: w.text[i : i+1], column: w.column + i})
		}
	}
	p.words = append(p.words[:p.at:p.at], out...)
}

// sets reads the resources of a colocation, order or ticket. Two plain resources come back as items; anything
// else as resource sets. A change of role or action, a parenthesis or a bracket begins a new set.
func (p *parser) sets(canonical func(string) (string, bool), what string, options []string) (items []item, sets []cib.ResourceSet, attrs []cib.Attr, err error) {
	type group struct {
		set   cib.ResourceSet
		q     string
		paren byte // '(' or '[' ; 0 = none
	}
	var groups []group
	open := byte(0)
	p.splitBrackets()
	plain := !p.accept(setWord)
	for !p.end() {
		w := p.peek()
		switch w {
		case "(", "[":
			if open != 0 {
				return nil, nil, nil, p.fail("resource sets cannot be nested")
			}
			open, plain = w[0], false
			groups = append(groups, group{paren: open})
			p.at++
			continue
		case ")", "]":
			if open == 0 || (open == '(') != (w == ")") {
				return nil, nil, nil, p.fail("%q closes nothing", w)
			}
			g := &groups[len(groups)-1]
			if len(g.set.Refs) == 0 {
				return nil, nil, nil, p.fail("the resource set is empty")
			}
			open = 0
			p.at++
			continue
		}
		if n, v, ok := pair(w); ok {
			n = strings.TrimPrefix(n, "$")
			if n == "sequential" || n == "require-all" {
				if len(groups) == 0 {
					return nil, nil, nil, p.fail("%s must follow resources", n)
				}
				plain = false
				s := &groups[len(groups)-1].set
				if n == "sequential" {
					s.Sequential = v
				} else {
					s.RequireAll = v
				}
				p.at++
				continue
			}
			if p.keyword == "order" && (n == "kind" || n == "score") {
				return nil, nil, nil, p.fail("%q: the kind stands before the resources, such as Mandatory: or Optional:", w)
			}
			if open != 0 || !slices.Contains(options, n) {
				return nil, nil, nil, p.fail("%q is not expected; options are %s, sequential and require-all", n, strings.Join(options, ", "))
			}
			if get(attrs, n) != "" || v == "" {
				return nil, nil, nil, p.fail("%s is given once, with a value", n)
			}
			attrs = append(attrs, cib.Attr{Name: n, Value: v})
			p.at++
			continue
		}
		it, err := p.splitItem(w)
		if err != nil {
			return nil, nil, nil, err
		}
		if it.qualifier != "" {
			q, ok := canonical(it.qualifier)
			if !ok {
				return nil, nil, nil, p.fail("%q is not a valid %s", it.qualifier, what)
			}
			it.qualifier = q
		}
		p.at++
		items = append(items, it)
		last := len(groups) - 1
		switch {
		case open != 0 && len(groups[last].set.Refs) == 0:
			groups[last].q = it.qualifier
			groups[last].set.Refs = []string{it.id}
		case last >= 0 && groups[last].q == it.qualifier && (open != 0 || groups[last].paren == 0):
			groups[last].set.Refs = append(groups[last].set.Refs, it.id)
		default:
			groups = append(groups, group{q: it.qualifier, paren: open, set: cib.ResourceSet{Refs: []string{it.id}}})
		}
	}
	if open != 0 {
		return nil, nil, nil, p.fail("a %q is not closed", string(open))
	}
	if plain && len(items) <= 2 {
		return items, nil, attrs, nil
	}
	for i := range groups {
		g := &groups[i]
		s := &g.set
		switch g.paren {
		case '(':
			if s.Sequential == "" {
				s.Sequential = "false"
			}
		case '[':
			if s.RequireAll == "" {
				s.RequireAll = "false"
			}
			if s.Sequential == "" {
				s.Sequential = "false"
			}
		}
		s.Sequential = sequentialText(s.Sequential)
		if s.RequireAll != "" && cib.IsTrue(s.RequireAll) {
			s.RequireAll = ""
		}
		if p.keyword == "order" {
			s.Action = g.q
		} else {
			s.Role = g.q
		}
		sets = append(sets, *s)
	}
	return items, sets, attrs, nil
}

func roleOf(s string) (string, bool) { return canonicalRole(s), knownRole(s) }

var orderKinds = []string{"mandatory", "optional", "serialize"}

var orderActions = []string{"start", "stop", "promote", "demote"}

func actionOf(s string) (string, bool) {
	for _, a := range orderActions {
		if strings.EqualFold(a, s) {
			return a, true
		}
	}
	return s, false
}

func (p *parser) colocation(st *Statement) error {
	id, err := p.id("name of the constraint")
	if err != nil {
		return err
	}
	c := &cib.Constraint{Kind: cib.Colocation, ID: id}
	st.ID, st.Constraint = id, c
	head, colon := strings.CutSuffix(p.peek(), ":")
	if !colon {
		return p.fail("%q: a score with a colon is expected, such as inf:", p.peek())
	}
	s, ok := score(head)
	if !ok {
		return p.fail("%q is not a score: a number, inf or -inf", head)
	}
	c.Score = s
	p.at++
	items, sets, attrs, err := p.sets(roleOf, "role", []string{"node-attribute", "influence"})
	if err != nil {
		return err
	}
	c.NodeAttribute, c.Influence = get(attrs, "node-attribute"), get(attrs, "influence")
	if sets != nil {
		if c.NodeAttribute != "" {
			return p.fail("node-attribute goes with two resources only, not with resource sets")
		}
		c.Sets = sets
		return nil
	}
	if len(items) != 2 {
		return p.fail("a colocation needs two resources or a resource set")
	}
	c.Resource, c.Role, c.With, c.WithRole = items[0].id, items[0].qualifier, items[1].id, items[1].qualifier
	return nil
}

func (p *parser) order(st *Statement) error {
	id, err := p.id("name of the constraint")
	if err != nil {
		return err
	}
	c := &cib.Constraint{Kind: cib.Order, ID: id}
	st.ID, st.Constraint = id, c
	head, colon := strings.CutSuffix(p.peek(), ":")
	if _, isScore := score(head); !colon && (isScore || slices.Contains(orderKinds, strings.ToLower(head))) {
		return p.fail("%q: a colon is missing behind it: %s: FIRST THEN", head, head)
	}
	if colon && !p.end() {
		switch {
		case slices.Contains(orderKinds, strings.ToLower(head)):
			c.OrderKind = strings.ToUpper(head[:1]) + strings.ToLower(head[1:])
		default:
			s, ok := score(head)
			if !ok {
				return p.fail("%q is neither Mandatory, Optional, Serialize nor a score", head)
			}
			c.OrderKind = "Mandatory"
			if s == "0" {
				c.OrderKind = "Optional"
			}
		}
		p.at++
	}
	items, sets, attrs, err := p.sets(actionOf, "action", []string{"symmetrical"})
	if err != nil {
		return err
	}
	c.Symmetrical = normalBool(get(attrs, "symmetrical"))
	if sets != nil {
		c.Sets = sets
		return nil
	}
	if len(items) != 2 {
		return p.fail("an order needs two resources or a resource set")
	}
	c.First, c.FirstAction, c.Then, c.ThenAction = items[0].id, items[0].qualifier, items[1].id, items[1].qualifier
	return nil
}

// normalBool writes a boolean as true or false.
func normalBool(s string) string {
	switch {
	case s == "":
		return ""
	case cib.IsTrue(s):
		return "true"
	case cib.IsFalse(s):
		return "false"
	}
	return s
}

func (p *parser) ticket(st *Statement) error {
	id, err := p.id("name of the constraint")
	if err != nil {
		return err
	}
	c := &cib.Constraint{Kind: cib.Ticket, ID: id}
	st.ID, st.Constraint = id, c
	head, colon := strings.CutSuffix(p.peek(), ":")
	if !colon || head == "" || strings.ContainsAny(head, " \t\n") {
		return p.fail("%q: the ticket with a colon is expected, such as ticketA:", p.peek())
	}
	c.Ticket = head
	p.at++
	items, sets, attrs, err := p.sets(roleOf, "role", []string{"loss-policy"})
	if err != nil {
		return err
	}
	c.LossPolicy = get(attrs, "loss-policy")
	if c.LossPolicy != "" && !slices.Contains([]string{"stop", "demote", "fence", "freeze"}, c.LossPolicy) {
		return p.fail("loss-policy is stop, demote, fence or freeze, not %q", c.LossPolicy)
	}
	switch {
	case len(items) == 0:
		return p.fail("the resource is missing")
	case len(items) == 1 && sets == nil:
		c.Resource, c.Role = items[0].id, items[0].qualifier
	case sets != nil:
		c.Sets = sets
	default:
		for _, it := range items {
			if n := len(c.Sets); n > 0 && c.Sets[n-1].Role == it.qualifier {
				c.Sets[n-1].Refs = append(c.Sets[n-1].Refs, it.id)
				continue
			}
			c.Sets = append(c.Sets, cib.ResourceSet{Refs: []string{it.id}, Role: it.qualifier})
		}
	}
	return nil
}
