package cibtoml

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

// numbered makes the id of the i-th of several parts: the first has none.
func numbered(id string, i int) string {
	if i == 0 {
		return id
	}
	return id + "-" + strconv.Itoa(i+1)
}

// madeID makes an id from parts, replacing what ids cannot have.
func madeID(parts ...string) string {
	id := strings.Join(slices.DeleteFunc(slices.Clone(parts), func(p string) bool { return p == "" }), "-")
	clean := []byte(id)
	for i, c := range clean {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			clean[i] = '_'
		}
	}
	if len(clean) == 0 || clean[0] >= '0' && clean[0] <= '9' || clean[0] == '-' || clean[0] == '.' {
		return "_" + string(clean)
	}
	return string(clean)
}

// setForm says how sets of attributes of one place are written.
type setForm struct {
	id     string                   // of the first set, by default
	option func(string) *cib.Option // the names that the short form takes; nil = all
	secret bool                     // values may be references to secrets
	of     *cib.Resource            // whose parameters they are; of secrets only
	plain  map[string]bool          // secret names whose value may stand in the open
	where  string                   // of the object, for messages
}

// sets are sets of attributes: in short a table of names and values, else an array of tables with ids,
// scores and rules.
func (c *codec) sets(key string, list *[]cib.AttributeSet, f setForm) {
	if !c.reading {
		if len(*list) == 0 {
			return
		}
		if len(*list) == 1 && c.short(&(*list)[0], f) {
			n := newTable()
			for _, p := range (*list)[0].Pairs {
				n.set(p.Name, valueNode(p.Value, f))
			}
			c.n.set(key, n)
			return
		}
		array(c, key, list, func(c *codec, i int, s *cib.AttributeSet) { c.set(i, s, f) })
		return
	}
	n := c.n.get(key)
	if n == nil || n.kind != kindTable {
		array(c, key, list, func(c *codec, i int, s *cib.AttributeSet) { c.set(i, s, f) })
		return
	}
	c.ask(key)
	s := cib.AttributeSet{ID: f.id, Pos: n.pos}
	sub := &codec{run: c.run, n: n, path: c.join(key)}
	for i, name := range n.keys {
		v := n.values[i]
		text, ok := sub.attribute(v, name, f)
		if !ok {
			continue
		}
		if f.option != nil {
			sub.checkOption(v, name, text, f)
		}
		s.Pairs = append(s.Pairs, cib.NVPair{ID: madeID(s.ID, name), Name: name, Value: text, Pos: v.pos})
	}
	*list = append(*list, s)
}

// checkOption checks a name and value of the short form against the table of options.
func (c *codec) checkOption(v *node, name, text string, f setForm) {
	o := f.option(name)
	if o == nil {
		var names []string
		for _, list := range [][]cib.Option{cib.Properties(), cib.MetaOptions(), cib.OperationOptions()} {
			for i := range list {
				if f.option(list[i].Name) == &list[i] {
					names = append(names, list[i].Name)
				}
			}
		}
		hint := "for a name of your own use the long form: an array of tables with values"
		if near := cib.Nearest(name, names); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.errorAt(v, name, hint, "unknown name")
		return
	}
	if o.Name != name {
		c.errorAt(v, name, "", "the name is now %s", o.Name)
		return
	}
	if err := o.Check(text); err != nil {
		c.errorAt(v, name, "", "%v", err)
	}
}

// short reports whether a set can be written as a table of names and values.
func (c *codec) short(s *cib.AttributeSet, f setForm) bool {
	if s.ID != f.id || len(s.Comments) > 0 || s.IDRef != "" || s.Score != "" || len(s.Rules) > 0 {
		return false
	}
	seen := make(map[string]bool, len(s.Pairs))
	for _, p := range s.Pairs {
		if p.Name == "" || seen[p.Name] || p.NoValue || p.IDRef != "" || p.ID != madeID(s.ID, p.Name) {
			return false
		}
		seen[p.Name] = true
		if f.option == nil {
			continue
		}
		if o := f.option(p.Name); o == nil || o.Name != p.Name || o.Check(p.Value) != nil {
			return false
		}
	}
	return true
}

// set is one set in the long form.
func (c *codec) set(i int, s *cib.AttributeSet, f setForm) {
	if c.reading {
		s.Pos = c.n.pos
	}
	c.list("comments", &s.Comments)
	c.text("id-ref", &s.IDRef)
	id := numbered(f.id, i)
	if s.IDRef != "" {
		id = ""
	}
	c.byDefault("id", &s.ID, id)
	c.checked("score", &s.Score, checkScore)
	c.rules("rules", &s.Rules, madeID(s.ID, "rule"))
	plain := true
	seen := make(map[string]bool, len(s.Pairs))
	for _, p := range s.Pairs {
		if p.Name == "" || seen[p.Name] || p.NoValue || p.IDRef != "" {
			plain = false
		}
		seen[p.Name] = true
	}
	if !c.reading && plain {
		values, ids := newTable(), newTable()
		for _, p := range s.Pairs {
			values.set(p.Name, valueNode(p.Value, f))
			if p.ID != madeID(s.ID, p.Name) {
				ids.set(p.Name, &node{kind: kindText, text: p.ID})
			}
		}
		if len(values.keys) > 0 {
			c.n.set("values", values)
		}
		if len(ids.keys) > 0 {
			c.n.set("ids", ids)
		}
		return
	}
	if c.reading {
		c.values(s, f)
	}
	array(c, "pairs", &s.Pairs, func(c *codec, _ int, p *cib.NVPair) {
		if c.reading {
			p.Pos = c.n.pos
		}
		c.text("name", &p.Name)
		c.text("id-ref", &p.IDRef)
		id := madeID(s.ID, p.Name)
		if p.IDRef != "" {
			id = ""
		}
		c.byDefault("id", &p.ID, id)
		if !c.reading {
			if !p.NoValue {
				c.n.set("value", valueNode(p.Value, f))
			}
			return
		}
		p.NoValue = true
		if v := c.ask("value"); v != nil {
			p.Value, _ = c.attribute(v, cmp.Or(p.Name, "value"), f)
			p.NoValue = false
		}
	})
}

// values reads the tables values and ids of the long form.
func (c *codec) values(s *cib.AttributeSet, f setForm) {
	ids := make(map[string]string)
	c.sub("ids", false, func(c *codec) {
		for _, name := range c.n.keys {
			var id string
			c.text(name, &id)
			ids[name] = id
		}
	})
	c.sub("values", false, func(c *codec) {
		for i, name := range c.n.keys {
			c.asked = append(c.asked, name)
			v := c.n.values[i]
			text, ok := c.attribute(v, name, f)
			if !ok {
				continue
			}
			id, given := ids[name]
			if !given {
				id = madeID(s.ID, name)
			}
			delete(ids, name)
			s.Pairs = append(s.Pairs, cib.NVPair{ID: id, Name: name, Value: text, Pos: v.pos})
		}
	})
	if n := c.n.get("ids"); n != nil && n.kind == kindTable {
		for i, name := range n.keys {
			if _, left := ids[name]; left {
				c.errorAt(n.values[i], "ids", "", "there is no value called %q", name)
			}
		}
	}
}

// attribute returns the value of an attribute: a scalar, or a reference such as { file = "..." }.
func (c *codec) attribute(n *node, name string, f setForm) (string, bool) {
	if n.kind == kindTable && f.secret {
		if len(n.keys) == 1 && slices.Contains(cib.ReferenceKinds, n.keys[0]) && n.values[0].kind == kindText {
			return cib.ReferencePrefix + n.keys[0] + ":" + n.values[0].text, true
		}
		c.errorAt(n, name, "write { file = \"...\" }, or "+strings.Join(cib.ReferenceKinds[1:], ", "), "a table here is a reference to a secret, with one key and a text")
		return "", false
	}
	text, ok := c.scalar(n, name)
	if !ok {
		return "", false
	}
	if f.secret && n.kind == kindText && cib.IsReference(text) {
		c.errorAt(n, name, "write it as a table, such as { file = \"...\" }", "a text that starts with \"ref:\" is a reference")
		return "", false
	}
	if f.secret && c.secret(f.of, name) && !f.plain[name] && text != "" {
		c.errorAt(n, name, "put the value into a file and write { file = \"/etc/quorate/secrets/NAME\" }, or name the parameter in insecure-plain", "a password or key must not stand in the configuration")
		return "", false
	}
	return text, true
}

// valueNode writes the value of an attribute.
func valueNode(text string, f setForm) *node {
	if f.secret {
		if kind, what, ok := cib.ParseReference(text); ok {
			n := newTable()
			n.set(kind, &node{kind: kindText, text: what})
			return n
		}
	}
	return scalarNode(text)
}

func checkScore(text string) error { _, err := cib.ParseScore(text); return err }
func checkRole(text string) error  { _, err := cib.ParseRole(text); return err }
func checkBool(text string) error  { _, err := cib.ParseBool(text); return err }

// rules is an array of rules.
func (c *codec) rules(key string, list *[]rule.Rule, id string) {
	array(c, key, list, func(c *codec, i int, r *rule.Rule) { c.rule(r, numbered(id, i)) })
}

func (c *codec) rule(r *rule.Rule, id string) {
	c.text("id-ref", &r.IDRef)
	if r.IDRef != "" {
		id = ""
	}
	c.byDefault("id", &r.ID, id)
	c.text("op", &r.BooleanOp)
	c.value("role", &r.Role)
	c.value("score", &r.Score)
	c.text("score-attribute", &r.ScoreAttribute)
	array(c, "conditions", &r.Conditions, func(c *codec, i int, x *rule.Condition) {
		c.condition(x, numbered(madeID(r.ID, "expression"), i), numbered(madeID(r.ID, "rule"), i))
	})
}

// condition is a table with one of the keys attribute, date, agent, operation and rule.
func (c *codec) condition(x *rule.Condition, id, ruleID string) {
	has := func(key string, set bool) bool {
		if c.reading {
			c.asked = append(c.asked, key)
			return c.n.get(key) != nil
		}
		return set
	}
	switch {
	case has("rule", x.Rule != nil):
		if x.Rule == nil {
			x.Rule = &rule.Rule{}
		}
		c.sub("rule", true, func(c *codec) { c.rule(x.Rule, ruleID) })
	case has("date", x.Date != nil):
		if x.Date == nil {
			x.Date = &rule.DateExpression{}
		}
		c.sub("date", true, func(c *codec) {
			d := x.Date
			c.byDefault("id", &d.ID, id)
			c.text("operation", &d.Operation)
			c.text("start", &d.Start)
			c.text("end", &d.End)
			if c.reading && c.n.get("duration") != nil {
				d.Duration = &rule.DateDuration{}
			}
			c.sub("duration", d.Duration != nil, func(c *codec) {
				l := d.Duration
				c.byDefault("id", &l.ID, madeID(d.ID, "duration"))
				for _, name := range rule.DurationFields {
					c.value(name, l.Field(name))
				}
				extra := make([]cib.Attr, len(l.Extra))
				for i, a := range l.Extra {
					extra[i] = cib.Attr{Name: a[0], Value: a[1]}
				}
				c.attrs("extra", &extra)
				if c.reading {
					for _, a := range extra {
						l.Extra = append(l.Extra, [2]string{a.Name, a.Value})
					}
				}
			})
			if c.reading && c.n.get("spec") != nil {
				d.Spec = &rule.DateSpec{}
			}
			c.sub("spec", d.Spec != nil, func(c *codec) {
				s := d.Spec
				c.byDefault("id", &s.ID, madeID(d.ID, "spec"))
				for _, name := range rule.SpecFields {
					c.value(name, s.Field(name))
				}
			})
		})
	case has("agent", x.Resource != nil):
		if x.Resource == nil {
			x.Resource = &rule.ResourceExpression{}
		}
		c.sub("agent", true, func(c *codec) {
			r := x.Resource
			c.byDefault("id", &r.ID, id)
			c.maybe("class", &r.Class, &r.HasClass)
			c.maybe("provider", &r.Provider, &r.HasProvider)
			c.maybe("type", &r.Type, &r.HasType)
		})
	case has("operation", x.Operation != nil) && (!c.reading || c.n.get("operation").kind == kindTable):
		if x.Operation == nil {
			x.Operation = &rule.OperationExpression{}
		}
		c.sub("operation", true, func(c *codec) {
			o := x.Operation
			c.byDefault("id", &o.ID, id)
			c.text("name", &o.Name)
			c.value("interval", &o.Interval)
		})
	default:
		if x.Attribute == nil {
			x.Attribute = &rule.AttributeExpression{}
		}
		a := x.Attribute
		c.byDefault("id", &a.ID, id)
		c.text("attribute", &a.Attribute)
		c.text("operation", &a.Operation)
		if c.reading {
			if v := c.ask("value"); v != nil {
				a.Value, _ = c.scalar(v, "value")
				a.HasValue = true
			}
		} else if a.HasValue {
			c.n.set("value", scalarNode(a.Value))
		}
		c.text("type", &a.Type)
		c.text("value-source", &a.ValueSource)
		if c.reading && a.Attribute == "" {
			c.errorAt(c.n, "", "", "a condition needs one of the keys attribute, date, agent, operation (a table) and rule")
		}
	}
}

// maybe is a text that may be there and empty.
func (c *codec) maybe(key string, p *string, has *bool) {
	if c.reading {
		if n := c.ask(key); n != nil {
			*has = true
			if n.kind != kindText {
				c.wrong(n, key, "a text")
				return
			}
			*p = n.text
		}
		return
	}
	if *has {
		c.n.set(key, &node{kind: kindText, text: *p})
	}
}
