package cibcrm

import (
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

// idSet gives out ids that are unique in a configuration, in the forms that the field's tools make.
type idSet map[string]bool

// fresh returns base, or base with the first free number.
func (s idSet) fresh(base string) string {
	id := base
	for n := 0; s[id]; n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	s[id] = true
	return id
}

// numbered returns base-N with the first free N from from.
func (s idSet) numbered(base string, from int) string {
	for n := from; ; n++ {
		id := base + "-" + strconv.Itoa(n)
		if !s[id] {
			s[id] = true
			return id
		}
	}
}

func (s idSet) add(id string) {
	if id != "" {
		s[id] = true
	}
}

func (s idSet) sets(list []cib.AttributeSet) {
	for i := range list {
		s.add(list[i].ID)
		for j := range list[i].Rules {
			s.rule(&list[i].Rules[j])
		}
		for j := range list[i].Pairs {
			s.add(list[i].Pairs[j].ID)
		}
	}
}

func (s idSet) rule(r *rule.Rule) {
	s.add(r.ID)
	for i := range r.Conditions {
		switch c := &r.Conditions[i]; {
		case c.Rule != nil:
			s.rule(c.Rule)
		case c.Attribute != nil:
			s.add(c.Attribute.ID)
		case c.Date != nil:
			s.add(c.Date.ID)
			if c.Date.Duration != nil {
				s.add(c.Date.Duration.ID)
			}
			if c.Date.Spec != nil {
				s.add(c.Date.Spec.ID)
			}
		case c.Resource != nil:
			s.add(c.Resource.ID)
		case c.Operation != nil:
			s.add(c.Operation.ID)
		}
	}
}

func (s idSet) resource(r *cib.Resource) {
	s.add(r.ID)
	s.sets(r.Params)
	s.sets(r.Meta)
	s.sets(r.Utilization)
	s.add(r.Operations.ID)
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		s.add(o.ID)
		s.sets(o.Params)
		s.sets(o.Meta)
	}
	if r.Bundle != nil {
		for _, m := range r.Bundle.Ports {
			s.add(m.ID)
		}
		for _, m := range r.Bundle.Storage {
			s.add(m.ID)
		}
		s.add(get(r.Bundle.Network, "id"))
	}
	for _, m := range r.Members {
		s.resource(m)
	}
}

// idsOf collects every id of a configuration.
func idsOf(c *cib.Configuration) idSet {
	s := idSet{}
	s.sets(c.Properties)
	s.sets(c.ResourceDefaults)
	s.sets(c.OpDefaults)
	for i := range c.Nodes {
		s.add(c.Nodes[i].ID)
		s.sets(c.Nodes[i].Attributes)
		s.sets(c.Nodes[i].Utilization)
	}
	for _, r := range c.Resources {
		s.resource(r)
	}
	for i := range c.Constraints {
		k := &c.Constraints[i]
		s.add(k.ID)
		for j := range k.Rules {
			s.rule(&k.Rules[j])
		}
		for j := range k.Sets {
			s.add(k.Sets[j].ID)
		}
	}
	for i := range c.Tags {
		s.add(c.Tags[i].ID)
	}
	for i := range c.FencingTopology {
		s.add(c.FencingTopology[i].ID)
	}
	for i := range c.Roles {
		s.add(c.Roles[i].ID)
		for j := range c.Roles[i].Permissions {
			s.add(c.Roles[i].Permissions[j].ID)
		}
	}
	for i := range c.Targets {
		s.add(c.Targets[i].ID)
	}
	for i := range c.Users {
		s.add(c.Users[i].ID)
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		s.add(a.ID)
		s.sets(a.Params)
		s.sets(a.Meta)
		for j := range a.Recipients {
			s.add(a.Recipients[j].ID)
			s.sets(a.Recipients[j].Params)
			s.sets(a.Recipients[j].Meta)
		}
	}
	return s
}

// fillSets gives ids to the attribute sets of an owner and all they hold.
func (s idSet) fillSets(list []cib.AttributeSet, owner, kind string) {
	for i := range list {
		set := &list[i]
		if set.IDRef != "" {
			continue
		}
		if set.ID == "" {
			set.ID = s.fresh(owner + "-" + kind)
		} else {
			s.add(set.ID)
		}
		s.fillSet(set)
	}
}

func (s idSet) fillSet(set *cib.AttributeSet) {
	for j := range set.Rules {
		s.fillRule(&set.Rules[j], set.ID)
	}
	for j := range set.Pairs {
		p := &set.Pairs[j]
		switch {
		case p.IDRef != "":
		case p.ID == "":
			p.ID = s.fresh(set.ID + "-" + xmlID(p.Name))
		default:
			s.add(p.ID)
		}
	}
}

// xmlID makes a name fit for an XML id.
func xmlID(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' || r > 0x7f {
			return r
		}
		return '_'
	}, name)
}

func (s idSet) fillRule(r *rule.Rule, owner string) {
	if r.IDRef != "" {
		return
	}
	if r.ID == "" {
		r.ID = s.fresh(owner + "-rule")
	} else {
		s.add(r.ID)
	}
	for i := range r.Conditions {
		switch c := &r.Conditions[i]; {
		case c.Rule != nil:
			s.fillRule(c.Rule, r.ID)
		case c.Attribute != nil:
			s.fillID(&c.Attribute.ID, r.ID+"-expression")
		case c.Date != nil:
			s.fillID(&c.Date.ID, r.ID+"-expression")
			if c.Date.Duration != nil {
				s.fillID(&c.Date.Duration.ID, c.Date.ID+"-duration")
			}
			if c.Date.Spec != nil {
				s.fillID(&c.Date.Spec.ID, c.Date.ID+"-date_spec")
			}
		case c.Resource != nil:
			s.fillID(&c.Resource.ID, r.ID+"-expression")
		case c.Operation != nil:
			s.fillID(&c.Operation.ID, r.ID+"-expression")
		}
	}
}

func (s idSet) fillID(id *string, base string) {
	if *id == "" {
		*id = s.fresh(base)
	} else {
		s.add(*id)
	}
}

func (s idSet) fillResource(r *cib.Resource) {
	s.add(r.ID)
	s.fillSets(r.Params, r.ID, "instance_attributes")
	s.fillSets(r.Meta, r.ID, "meta_attributes")
	s.fillSets(r.Utilization, r.ID, "utilization")
	s.add(r.Operations.ID)
	for i := range r.Operations.List {
		s.fillOp(&r.Operations.List[i], r)
	}
	if b := r.Bundle; b != nil {
		n := 0
		for i := range b.Ports {
			if b.Ports[i].ID == "" {
				b.Ports[i].ID = s.numbered(r.ID, n)
			} else {
				s.add(b.Ports[i].ID)
			}
		}
		for i := range b.Storage {
			if b.Storage[i].ID == "" {
				b.Storage[i].ID = s.numbered(r.ID, n)
			} else {
				s.add(b.Storage[i].ID)
			}
		}
	}
}

func (s idSet) fillOp(o *cib.Operation, r *cib.Resource) {
	owner := r.Operations.ID
	if owner == "" {
		owner = r.ID
	}
	if o.IDRef == "" {
		s.fillID(&o.ID, owner+"-"+o.Name+"-"+xmlID(o.Interval))
	}
	s.fillSets(o.Params, o.ID, "instance_attributes")
	s.fillSets(o.Meta, o.ID, "meta_attributes")
}
