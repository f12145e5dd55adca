package cib

import "github.com/quorate/quorate/crm/rule"

// WithoutPositions returns a copy of doc in which every position is unknown and every layout the usual one.
// Both say how a text was written, so that documents from different texts are compared without them. The copy shares nothing that
// can be changed with doc.
func WithoutPositions(doc *Document) *Document {
	out := *doc
	out.Config = out.Config.Clone()
	out.Config.clearPositions()
	out.Status = out.Status.Clone()
	for i := range out.Status.Nodes {
		clearSets(out.Status.Nodes[i].Attributes, out.Status.Nodes[i].Utilization)
	}
	for i := range out.Status.Extra {
		out.Status.Extra[i].Pos = Pos{}
	}
	return &out
}

func clearSets(lists ...[]AttributeSet) {
	for _, list := range lists {
		for i := range list {
			list[i].Pos = Pos{}
			clearRules(list[i].Rules)
			for j := range list[i].Pairs {
				list[i].Pairs[j].Pos = Pos{}
			}
		}
	}
}

// clearRules forgets in which order the fields of dates were written.
func clearRules(list []rule.Rule) {
	for i := range list {
		for j := range list[i].Conditions {
			c := &list[i].Conditions[j]
			if c.Rule != nil {
				clearRules([]rule.Rule{*c.Rule})
			}
			if c.Date != nil && c.Date.Duration != nil {
				c.Date.Duration.Order = ""
			}
			if c.Date != nil && c.Date.Spec != nil {
				c.Date.Spec.Order = ""
			}
		}
	}
}

func (c *Configuration) clearPositions() {
	clearSets(c.Properties, c.ResourceDefaults, c.OpDefaults)
	for i := range c.Nodes {
		c.Nodes[i].clearPositions()
	}
	for _, r := range c.Resources {
		r.clearPositions()
	}
	for i := range c.Constraints {
		c.Constraints[i].clearPositions()
	}
	for i := range c.Tags {
		c.Tags[i].Pos = Pos{}
	}
	for i := range c.FencingTopology {
		c.FencingTopology[i].Pos = Pos{}
	}
	for i := range c.Targets {
		c.Targets[i].Pos = Pos{}
	}
	for i := range c.Groups {
		c.Groups[i].Pos = Pos{}
	}
	for i := range c.Roles {
		c.Roles[i].Pos = Pos{}
	}
	for i := range c.Users {
		c.Users[i].Pos = Pos{}
	}
	for i := range c.Alerts {
		c.Alerts[i].clearPositions()
	}
	for i := range c.Extra {
		c.Extra[i].Pos = Pos{}
	}
}

func (n *Node) clearPositions() {
	n.Pos, n.Layout = Pos{}, ""
	clearSets(n.Attributes, n.Utilization)
}

func (r *Resource) clearPositions() {
	r.Pos, r.Layout = Pos{}, ""
	if b := r.Bundle; b != nil {
		for i := range b.Ports {
			b.Ports[i].Layout = ""
		}
		for i := range b.Storage {
			b.Storage[i].Layout = ""
		}
	}
	clearSets(r.Params, r.Meta, r.Utilization, r.Operations.Attributes)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		op.Pos, op.Layout = Pos{}, ""
		clearSets(op.Params, op.Meta)
	}
	for i := range r.Unknown {
		r.Unknown[i].Pos = Pos{}
	}
	for _, m := range r.Members {
		m.clearPositions()
	}
}

func (c *Constraint) clearPositions() {
	c.Pos = Pos{}
	clearRules(c.Rules)
	clearRules(c.Lifetime)
	for i := range c.Sets {
		c.Sets[i].Pos = Pos{}
	}
}

func (a *Alert) clearPositions() {
	a.Pos, a.Layout = Pos{}, ""
	clearSets(a.Params, a.Meta)
	for i := range a.Recipients {
		a.Recipients[i].Layout = ""
		clearSets(a.Recipients[i].Params, a.Recipients[i].Meta)
	}
}
