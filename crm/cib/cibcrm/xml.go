package cibcrm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// sections says in which section of a CIB an element of an xml statement belongs; "" = it is a section.
var sections = map[string]string{
	"cluster_property_set": "crm_config", "node": "nodes",
	"primitive": "resources", "template": "resources", "group": "resources", "clone": "resources", "master": "resources", "bundle": "resources",
	"rsc_location": "constraints", "rsc_colocation": "constraints", "rsc_order": "constraints", "rsc_ticket": "constraints",
	"tag": "tags", "acl_role": "acls", "acl_target": "acls", "acl_group": "acls", "acl_user": "acls", "alert": "alerts",
	"fencing-level": "fencing-topology",
	"crm_config":    "", "nodes": "", "resources": "", "constraints": "", "tags": "", "acls": "", "alerts": "", "fencing-topology": "",
	"rsc_defaults": "", "op_defaults": "",
}

// ParseXML reads elements of a configuration, such as <primitive .../>, as statements.
func ParseXML(text string) ([]*Statement, error) {
	text = strings.TrimSpace(text)
	name := elementName(text)
	section, known := sections[name]
	switch {
	case !strings.HasPrefix(text, "<"):
		return nil, errors.New("an XML element is expected")
	case !known:
		return nil, fmt.Errorf("<%s> is no element that a configuration is made of", name)
	case section != "":
		text = "<" + section + ">" + text + "</" + section + ">"
	}
	doc, problems, err := cibxml.Read([]byte("<cib><configuration>" + text + "</configuration></cib>"))
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, errors.New(problems[0].String())
	}
	c := &doc.Config
	if len(c.Extra) > 0 {
		return nil, fmt.Errorf("%s is not known", c.Extra[0].XML)
	}
	list := Statements(c)
	if len(list) == 0 {
		return nil, errors.New("the element holds no object")
	}
	return list, nil
}

// Statements returns the statements that make the objects of a configuration, members before what takes them
// in. A member without an agent stands for a resource that is defined elsewhere.
func Statements(c *cib.Configuration) []*Statement {
	var out []*Statement
	for i := range c.Nodes {
		n := &c.Nodes[i]
		out = append(out, &Statement{Keyword: "node", ID: n.Name, Comments: n.Comments, Node: n})
	}
	for _, r := range c.Resources {
		out = resourceStatements(out, r, 0)
	}
	for i := range c.Tags {
		t := &c.Tags[i]
		out = append(out, &Statement{Keyword: "tag", ID: t.ID, Comments: t.Comments, Tag: t})
	}
	for i := range c.Constraints {
		k := &c.Constraints[i]
		out = append(out, &Statement{Keyword: constraintKeyword[k.Kind], ID: k.ID, Comments: k.Comments, Constraint: k})
	}
	if len(c.FencingTopology) > 0 {
		out = append(out, &Statement{Keyword: "fencing_topology", Levels: c.FencingTopology})
	}
	sets := func(keyword string, list []cib.AttributeSet) {
		for i := range list {
			out = append(out, &Statement{Keyword: keyword, ID: list[i].ID, Comments: list[i].Comments, Set: &list[i], whole: true})
		}
	}
	sets("property", c.Properties)
	sets("rsc_defaults", c.ResourceDefaults)
	sets("op_defaults", c.OpDefaults)
	for i := range c.Roles {
		out = append(out, &Statement{Keyword: "role", ID: c.Roles[i].ID, Comments: c.Roles[i].Comments, Role: &c.Roles[i]})
	}
	for i := range c.Users {
		out = append(out, &Statement{Keyword: "user", ID: c.Users[i].ID, Comments: c.Users[i].Comments, User: &c.Users[i]})
	}
	for i := range c.Targets {
		out = append(out, &Statement{Keyword: "acl_target", ID: c.Targets[i].ID, Comments: c.Targets[i].Comments, Target: &c.Targets[i]})
	}
	for i := range c.Groups {
		out = append(out, &Statement{Keyword: "acl_group", ID: c.Groups[i].ID, Comments: c.Groups[i].Comments, Target: &c.Groups[i]})
	}
	for i := range c.Alerts {
		out = append(out, &Statement{Keyword: "alert", ID: c.Alerts[i].ID, Comments: c.Alerts[i].Comments, Alert: &c.Alerts[i]})
	}
	return out
}

func resourceStatements(out []*Statement, r *cib.Resource, depth int) []*Statement {
	const deepest = 8 // the model nests three levels
	st := &Statement{Keyword: resourceKeyword(r), ID: r.ID, Comments: r.Comments}
	for _, m := range r.Members {
		st.Nested = append(st.Nested, m.ID)
		reference := m.Kind == cib.Primitive && m.Type == "" && m.Template == "" || m.Kind != cib.Primitive && len(m.Members) == 0
		if !reference && depth < deepest {
			out = resourceStatements(out, m, depth+1)
		}
	}
	own := *r
	own.Members = nil
	st.Resource = &own
	return append(out, st)
}

func (e *Editor) applyXML(st *Statement, mode Mode) error {
	list, err := ParseXML(st.XML)
	if err != nil {
		return e.problem(st, "%v", err)
	}
	for _, x := range list {
		x.Line = st.Line
		x.Comments = append(x.Comments, st.Comments...)
		st.Comments = nil
		if err := e.Apply(x, mode); err != nil {
			return err
		}
	}
	return nil
}

// applyRank orders the statements of a file so that what is referred to exists first.
var applyRank = map[string]int{"node": 0, "rsc_template": 1, "primitive": 2, "group": 5, "bundle": 6, "clone": 7, "ms": 7,
	"role": 8, "monitor": 8, "location": 8}

// xmlKeywords says which statement the elements of xml statements stand for, where their order matters.
var xmlKeywords = map[string]string{"node": "node", "nodes": "node", "template": "rsc_template", "primitive": "primitive", "resources": "primitive",
	"group": "group", "bundle": "bundle", "clone": "clone", "master": "ms", "acl_role": "role"}

// elementName returns the name of the element that a text begins with.
func elementName(text string) string {
	name := strings.TrimPrefix(strings.TrimSpace(text), "<")
	if end := strings.IndexAny(name, " \t\r\n/>"); end >= 0 {
		name = name[:end]
	}
	return name
}

// refers reports statements that take a part of another of their kind by its name.
func (st *Statement) refers() bool {
	if r := st.Resource; r != nil {
		for _, list := range [][]cib.AttributeSet{r.Params, r.Meta, r.Utilization} {
			for i := range list {
				if list[i].IDRef != "" {
					return true
				}
			}
		}
		return r.Operations.IDRef != ""
	}
	if st.Constraint != nil {
		for i := range st.Constraint.Rules {
			if st.Constraint.Rules[i].IDRef != "" {
				return true
			}
		}
	}
	return false
}

// Order sorts the statements of a file so that each stands after what it refers to; otherwise they keep
// their order.
func Order(list []*Statement) {
	rank := func(st *Statement) int {
		const last = 9
		keyword := st.Keyword
		if st.XML != "" {
			keyword = xmlKeywords[elementName(st.XML)]
		}
		r, ok := applyRank[keyword]
		switch {
		case !ok:
			return last
		case (st.Keyword == "primitive" || st.Keyword == "location") && st.refers():
			return r + 1
		}
		return r
	}
	slices.SortStableFunc(list, func(a, b *Statement) int { return rank(a) - rank(b) })
}
