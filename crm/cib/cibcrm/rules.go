package cibcrm

import (
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

var (
	binaryOps  = []string{"lt", "gt", "lte", "gte", "eq", "ne"}
	valueTypes = []string{"string", "version", "number", "integer"}
	dateFields = []string{"hours", "monthdays", "weekdays", "yeardays", "months", "weeks", "years", "weekyears", "moon", "minutes", "seconds", "days"}
)

// rule reads "[$id=ID] [$role=ROLE] [SCORE:|ATTRIBUTE:] EXPRESSION"; the word "rule" has been taken. needScore
// rules without a score get infinity.
func (p *parser) rule() (rule.Rule, error) {
	var r rule.Rule
	for {
		if strings.HasPrefix(strings.ToLower(p.peek()), "id=") {
			return r, p.fail("%q: the id of a rule is written $%s", p.peek(), p.peek())
		}
		name, value, ok := p.option("id", "id-ref", "role")
		if !ok {
			break
		}
		switch name {
		case "id":
			if r.ID != "" {
				p.at--
				return r, p.fail("the id of the rule is given twice")
			}
			r.ID = value
		case "id-ref":
			r.IDRef = value
			return r, nil
		case "role":
			if !knownRole(value) {
				p.at--
				return r, p.fail("%q is not a role: %s", value, strings.Join(roleNames, ", "))
			}
			r.Role = value
		}
	}
	if w := p.peek(); strings.HasSuffix(w, ":") && !p.words[p.at].quoted {
		head := strings.TrimSuffix(w, ":")
		if s, ok := score(head); ok {
			r.Score = s
		} else if err := checkID(head); err == nil || strings.HasPrefix(head, "#") {
			r.ScoreAttribute = head
		} else {
			return r, p.fail("%q is neither a score nor the name of a node attribute", head)
		}
		p.at++
	} else {
		r.Score = "INFINITY"
	}
	joined := false // by and
	for first := true; ; first = false {
		if !first {
			op := ""
			switch {
			case p.accept("and"):
				op = "and"
			case p.accept("or"):
				op = "or"
			default:
				return r, nil
			}
			if r.BooleanOp != "" && r.BooleanOp != op || joined && op != "and" {
				return r, p.fail("and and or cannot be mixed in one rule: use two rules")
			}
			if r.BooleanOp = op; op == "and" {
				joined = true
				r.BooleanOp = "" // the default, which the field's shell does not write
			}
		}
		c, err := p.expression()
		if err != nil {
			return r, err
		}
		r.Conditions = append(r.Conditions, c)
	}
}

func (p *parser) expression() (rule.Condition, error) {
	var none rule.Condition
	if p.end() {
		return none, p.fail("a condition is missing")
	}
	switch {
	case p.is("defined", "not_defined"):
		op := strings.ToLower(p.next())
		if p.end() {
			return none, p.fail("%s needs the name of a node attribute", op)
		}
		return rule.Condition{Attribute: &rule.AttributeExpression{Operation: op, Attribute: p.next()}}, nil
	case p.is("date"):
		p.at++
		return p.date()
	}
	e := &rule.AttributeExpression{Attribute: p.next(), HasValue: true}
	if p.end() {
		return none, p.fail("after %q an operator is missing: %s", e.Attribute, strings.Join(binaryOps, ", "))
	}
	op := strings.ToLower(p.peek())
	if t, rest, typed := strings.Cut(op, ":"); typed {
		if !slices.Contains(valueTypes, t) {
			return none, p.fail("%q is no type of value: %s", t, strings.Join(valueTypes, ", "))
		}
		e.Type, op = t, rest
	}
	if !slices.Contains(binaryOps, op) {
		return none, p.fail("%q is no operator: %s", p.peek(), strings.Join(binaryOps, ", "))
	}
	p.at++
	e.Operation = op
	if p.end() {
		return none, p.fail("after %q a value is missing", op)
	}
	e.Value = p.next()
	return rule.Condition{Attribute: e}, nil
}

func (p *parser) date() (rule.Condition, error) {
	var none rule.Condition
	d := &rule.DateExpression{}
	switch {
	case p.accept("lt"):
		d.Operation = "lt"
		if p.end() {
			return none, p.fail("a date is missing")
		}
		d.End = strings.TrimPrefix(p.next(), "end=")
	case p.accept("gt"):
		d.Operation = "gt"
		if p.end() {
			return none, p.fail("a date is missing")
		}
		d.Start = strings.TrimPrefix(p.next(), "start=")
	case p.accept("in", "in_range"):
		d.Operation = "in_range"
		for {
			name, v, ok := p.option("start", "end")
			if !ok {
				break
			}
			if name == "start" {
				d.Start = v
			} else {
				d.End = v
			}
		}
		if d.End != "" {
			break
		}
		if d.Start == "" {
			return none, p.fail("a range needs start=DATE, end=DATE or both, or start=DATE and a duration")
		}
		var dur rule.DateDuration
		names := p.dateFields(func(name, v string) {
			if f := dur.Field(name); f != nil {
				*f = v
			} else {
				dur.Extra = append(dur.Extra, [2]string{name, v})
			}
		})
		if dur.SetOrder(names); len(names) > 0 {
			d.Duration = &dur
		}
	case p.accept("spec", "date_spec"):
		d.Operation = "date_spec"
		d.Spec = &rule.DateSpec{}
		names := p.dateFields(func(name, v string) {
			if f := d.Spec.Field(name); f != nil {
				*f = v
			}
		})
		if d.Spec.SetOrder(names); len(names) == 0 {
			return none, p.fail("a date specification needs at least one of %s", strings.Join(dateFields, ", "))
		}
	default:
		return none, p.fail("after date comes lt, gt, in or spec, not %q", p.peek())
	}
	return rule.Condition{Date: d}, nil
}

// dateFields reads the fields of a date specification or duration and returns their names as they come.
func (p *parser) dateFields(set func(name, value string)) []string {
	var names []string
	for {
		name, v, ok := p.option(dateFields...)
		if !ok {
			return names
		}
		set(name, v)
		names = append(names, name)
	}
}

// attributes reads one block of name/value pairs: "[$id=ID|$id-ref=ID] [SCORE:] [rule RULE] NAME=VALUE ...",
// until a word that cannot be part of it.
func (p *parser) attributes(stop ...string) (cib.AttributeSet, error) {
	var set cib.AttributeSet
	for {
		if name, v, ok := p.option("id-ref"); ok && name == "id-ref" {
			set.IDRef = v
			continue
		}
		if w := p.peek(); strings.HasPrefix(w, "$id=") {
			set.ID = strings.TrimPrefix(w, "$id=")
			p.at++
			continue
		}
		if w := p.peek(); strings.HasSuffix(w, ":") && !p.words[p.at].quoted {
			if s, ok := score(strings.TrimSuffix(w, ":")); ok {
				set.Score = s
				p.at++
				continue
			}
		}
		break
	}
	for p.accept("rule") {
		r, err := p.rule()
		if err != nil {
			return set, err
		}
		set.Rules = append(set.Rules, r)
	}
	for !p.end() {
		w := p.peek()
		if name, _, ok := pair(w); ok && strings.ContainsAny(name, " \t\n\"'<>&") {
			return set, p.fail("%q is not a name that a value can have", name)
		}
		if !p.words[p.at].quoted && slices.ContainsFunc(stop, func(s string) bool { return strings.EqualFold(s, w) }) {
			break
		}
		name, value, isPair := pair(w)
		switch {
		case strings.HasPrefix(w, "@"):
			ref, name, _ := strings.Cut(w[1:], ":")
			if checkID(ref) != nil {
				return set, p.fail("%q refers to no attribute: @ID or @ID:NAME", w)
			}
			set.Pairs = append(set.Pairs, cib.NVPair{IDRef: ref, Name: name, NoValue: true})
		case strings.HasPrefix(w, "$") && isPair:
			id, attr, named := strings.Cut(name[1:], ":")
			if !named {
				if id == "id" || id == "id-ref" {
					return set, p.fail("%s must come before the attributes", name)
				}
				return set, p.fail("%q: the form is $ID:NAME=VALUE", w)
			}
			set.Pairs = append(set.Pairs, cib.NVPair{ID: id, Name: attr, Value: value})
		case isPair:
			set.Pairs = append(set.Pairs, cib.NVPair{Name: name, Value: value})
		default:
			if strings.HasSuffix(w, ":") || w == "{" || w == "}" || checkAttributeName(w) != nil {
				return set, p.fail("%q is not NAME=VALUE", w)
			}
			set.Pairs = append(set.Pairs, cib.NVPair{Name: w, NoValue: true})
		}
		p.at++
	}
	return set, nil
}

func checkAttributeName(s string) error { return checkID(s) }
