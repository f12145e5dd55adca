package cib

import (
	"slices"

	"github.com/quorate/quorate/crm/rule"
)

// each returns a copy of list with every element cloned; nil stays nil.
func each[T any](list []T, clone func(T) T) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i := range list {
		out[i] = clone(list[i])
	}
	return out
}

// Clone returns a copy of the document that shares nothing changeable with it.
func (d *Document) Clone() *Document {
	out := *d
	out.Head.Extra = slices.Clone(d.Head.Extra)
	out.Config = d.Config.Clone()
	out.Status = d.Status.Clone()
	return &out
}

// Clone returns a deep copy.
func (c Configuration) Clone() Configuration {
	c.Properties = CloneSets(c.Properties)
	c.Nodes = each(c.Nodes, Node.Clone)
	c.Resources = each(c.Resources, (*Resource).Clone)
	c.Constraints = each(c.Constraints, Constraint.Clone)
	c.Tags = each(c.Tags, Tag.Clone)
	c.FencingTopology = each(c.FencingTopology, FencingLevel.Clone)
	c.ResourceDefaults = CloneSets(c.ResourceDefaults)
	c.OpDefaults = CloneSets(c.OpDefaults)
	c.Targets = each(c.Targets, ACLTarget.Clone)
	c.Groups = each(c.Groups, ACLTarget.Clone)
	c.Roles = each(c.Roles, ACLRole.Clone)
	c.Users = each(c.Users, ACLUser.Clone)
	c.Alerts = each(c.Alerts, Alert.Clone)
	c.Cluster.Links = slices.Clone(c.Cluster.Links)
	c.Extra = slices.Clone(c.Extra)
	return c
}

// Clone returns a deep copy.
func (s Status) Clone() Status {
	s.Nodes = each(s.Nodes, NodeState.Clone)
	s.Tickets = each(s.Tickets, func(t TicketState) TicketState {
		t.Extra = slices.Clone(t.Extra)
		return t
	})
	s.Extra = slices.Clone(s.Extra)
	return s
}

// Clone returns a deep copy.
func (n NodeState) Clone() NodeState {
	n.Attributes = CloneSets(n.Attributes)
	n.Utilization = CloneSets(n.Utilization)
	n.Extra = slices.Clone(n.Extra)
	n.History = each(n.History, func(h ResourceHistory) ResourceHistory {
		h.Extra = slices.Clone(h.Extra)
		h.Operations = each(h.Operations, func(o HistoryOp) HistoryOp {
			o.Extra = slices.Clone(o.Extra)
			return o
		})
		return h
	})
	return n
}

// CloneSets returns a deep copy of sets of attributes.
func CloneSets(list []AttributeSet) []AttributeSet { return each(list, AttributeSet.Clone) }

// Clone returns a deep copy.
func (s AttributeSet) Clone() AttributeSet {
	s.Rules = CloneRules(s.Rules)
	s.Pairs = slices.Clone(s.Pairs)
	s.Comments = slices.Clone(s.Comments)
	return s
}

// CloneRules returns a deep copy of rules.
func CloneRules(list []rule.Rule) []rule.Rule { return each(list, cloneRule) }

func cloneRule(r rule.Rule) rule.Rule {
	r.Conditions = each(r.Conditions, func(c rule.Condition) rule.Condition {
		switch {
		case c.Rule != nil:
			sub := cloneRule(*c.Rule)
			c.Rule = &sub
		case c.Attribute != nil:
			x := *c.Attribute
			c.Attribute = &x
		case c.Date != nil:
			x := *c.Date
			if x.Duration != nil {
				d := *x.Duration
				d.Extra = slices.Clone(d.Extra)
				x.Duration = &d
			}
			if x.Spec != nil {
				s := *x.Spec
				x.Spec = &s
			}
			c.Date = &x
		case c.Resource != nil:
			x := *c.Resource
			c.Resource = &x
		case c.Operation != nil:
			x := *c.Operation
			c.Operation = &x
		}
		return c
	})
	return r
}

// Clone returns a deep copy.
func (n Node) Clone() Node {
	n.Attributes = CloneSets(n.Attributes)
	n.Utilization = CloneSets(n.Utilization)
	n.Links = slices.Clone(n.Links)
	n.Comments = slices.Clone(n.Comments)
	n.Extra = slices.Clone(n.Extra)
	return n
}

// Clone returns a deep copy with all members; nil stays nil.
func (r *Resource) Clone() *Resource {
	if r == nil {
		return nil
	}
	out := *r
	out.Params = CloneSets(r.Params)
	out.Meta = CloneSets(r.Meta)
	out.Utilization = CloneSets(r.Utilization)
	out.Operations.Attributes = CloneSets(r.Operations.Attributes)
	out.Operations.List = each(r.Operations.List, Operation.Clone)
	out.Members = each(r.Members, (*Resource).Clone)
	if r.Bundle != nil {
		b := *r.Bundle
		b.Attributes = slices.Clone(b.Attributes)
		b.Network = slices.Clone(b.Network)
		b.Ports = slices.Clone(b.Ports)
		b.Storage = slices.Clone(b.Storage)
		out.Bundle = &b
	}
	out.Comments = slices.Clone(r.Comments)
	out.Extra = slices.Clone(r.Extra)
	out.Unknown = slices.Clone(r.Unknown)
	return &out
}

// Clone returns a deep copy.
func (o Operation) Clone() Operation {
	o.Extra = slices.Clone(o.Extra)
	o.Params = CloneSets(o.Params)
	o.Meta = CloneSets(o.Meta)
	return o
}

// Clone returns a deep copy.
func (c Constraint) Clone() Constraint {
	c.Sets = each(c.Sets, func(s ResourceSet) ResourceSet {
		s.Refs = slices.Clone(s.Refs)
		return s
	})
	c.Rules = CloneRules(c.Rules)
	c.Lifetime = CloneRules(c.Lifetime)
	c.Comments = slices.Clone(c.Comments)
	c.Extra = slices.Clone(c.Extra)
	return c
}

// Clone returns a deep copy.
func (t Tag) Clone() Tag {
	t.Refs = slices.Clone(t.Refs)
	t.Comments = slices.Clone(t.Comments)
	return t
}

// Clone returns a deep copy.
func (l FencingLevel) Clone() FencingLevel {
	l.Devices = slices.Clone(l.Devices)
	l.Extra = slices.Clone(l.Extra)
	return l
}

// Clone returns a deep copy.
func (t ACLTarget) Clone() ACLTarget {
	t.Roles = slices.Clone(t.Roles)
	t.Comments = slices.Clone(t.Comments)
	return t
}

// Clone returns a deep copy.
func (r ACLRole) Clone() ACLRole {
	r.Permissions = slices.Clone(r.Permissions)
	r.Comments = slices.Clone(r.Comments)
	return r
}

// Clone returns a deep copy.
func (u ACLUser) Clone() ACLUser {
	u.RoleRefs = slices.Clone(u.RoleRefs)
	u.Permissions = slices.Clone(u.Permissions)
	u.Comments = slices.Clone(u.Comments)
	return u
}

// Clone returns a deep copy.
func (a Alert) Clone() Alert {
	a.Params = CloneSets(a.Params)
	a.Meta = CloneSets(a.Meta)
	if a.Select != nil {
		s := *a.Select
		s.Attributes = slices.Clone(s.Attributes)
		a.Select = &s
	}
	a.Recipients = each(a.Recipients, func(r AlertRecipient) AlertRecipient {
		r.Params = CloneSets(r.Params)
		r.Meta = CloneSets(r.Meta)
		return r
	})
	a.Comments = slices.Clone(a.Comments)
	return a
}
