package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

// WhatIf returns a copy of doc as it would be after the change in text, which is one of
//
//	node NAME standby|online|offline|lost
//	node NAME attribute NAME=VALUE
//	resource ID stopped|started
//
// "online" also ends standby; "offline" is a clean departure, "lost" an unclean one. c is the state read from
// doc. It fails on any other text and on nodes and resources that are not there.
func WhatIf(doc *cib.Document, c *model.Cluster, text string, now time.Time) (*cib.Document, error) {
	w := strings.Fields(text)
	bad := fmt.Errorf(`what-if %q: want "node NAME standby|online|offline|lost", "node NAME attribute NAME=VALUE" or "resource ID stopped|started"`, text)
	switch {
	case len(w) == 3 && w[0] == "resource" && (w[2] == "stopped" || w[2] == "started"):
		out := doc.Clone()
		found := false
		cib.EachResource(&out.Config, func(r, _ *cib.Resource) {
			if r.ID == w[1] && r.Kind != cib.Template {
				r.Meta = setPair(r.Meta, r.ID+"-meta_attributes", "target-role", strings.ToUpper(w[2][:1])+w[2][1:])
				found = true
			}
		})
		if !found {
			return nil, fmt.Errorf("what-if %q: resource not found: %s", text, w[1])
		}
		return out, nil
	case len(w) >= 3 && w[0] == "node":
		n := c.NodeByName(w[1])
		if n == nil {
			return nil, fmt.Errorf("what-if %q: node not found: %s", text, w[1])
		}
		var in simulate.Injection
		switch {
		case len(w) == 4 && w[2] == "attribute" && strings.Index(w[3], "=") > 0:
			name, value, _ := strings.Cut(w[3], "=")
			return setAttribute(doc, n, name, value)
		case len(w) != 3:
			return nil, bad
		case w[2] == "standby":
			return setAttribute(doc, n, "standby", "on")
		case w[2] == "online":
			in.Up = []string{n.Name}
		case w[2] == "offline":
			in.Down = []string{n.Name}
		case w[2] == "lost":
			in.Fail = []string{n.Name}
		default:
			return nil, bad
		}
		out, _, problems := simulate.Inject(doc, c, in, now)
		if len(problems) > 0 {
			return nil, fmt.Errorf("what-if %q: %s", text, strings.Join(problems, "; "))
		}
		if w[2] == "online" && n.Standby {
			return setAttribute(out, n, "standby", "off")
		}
		return out, nil
	}
	return nil, bad
}

// setAttribute sets a node attribute: the transient one where there is one of that name, as it wins, and else
// the permanent one.
func setAttribute(doc *cib.Document, n *model.Node, name, value string) (*cib.Document, error) {
	out := doc.Clone()
	for i := range out.Status.Nodes {
		st := &out.Status.Nodes[i]
		if _, ok := cib.Value(st.Attributes, name); ok && (st.ID == n.ID || st.Name == n.Name) {
			st.Attributes = setPair(st.Attributes, "status-"+n.ID, name, value)
			return out, nil
		}
	}
	for i := range out.Config.Nodes {
		if x := &out.Config.Nodes[i]; x.ID == n.ID || x.Name == n.Name {
			x.Attributes = setPair(x.Attributes, "nodes-"+n.ID, name, value)
			return out, nil
		}
	}
	return nil, fmt.Errorf("node %s is not in the configuration, so it can have no attributes there", n.Name)
}

// setPair gives name the value in every set that has it and, if none has, in the first set without a rule.
func setPair(sets []cib.AttributeSet, id, name, value string) []cib.AttributeSet {
	found := false
	for i := range sets {
		for j := range sets[i].Pairs {
			if p := &sets[i].Pairs[j]; p.Name == name {
				p.Value, p.NoValue, p.IDRef, found = value, false, "", true
			}
		}
	}
	if found {
		return sets
	}
	pair := cib.NVPair{ID: id + "-" + name, Name: name, Value: value}
	if i := slices.IndexFunc(sets, func(s cib.AttributeSet) bool { return s.IDRef == "" && len(s.Rules) == 0 }); i >= 0 {
		sets[i].Pairs = append(sets[i].Pairs, pair)
		return sets
	}
	return append(sets, cib.AttributeSet{ID: id, Pairs: []cib.NVPair{pair}})
}
