package cib

import (
	"strings"

	"github.com/quorate/quorate/crm/rule"
)

// Canonical returns a copy of doc in which options have their present names, and roles theirs (Promoted for
// Master, Unpromoted for Slave), wherever a name of today means the same. An id that was made from an old
// name, "SET-stonith-enabled", follows the name unless something refers to it. Structure is not changed:
// see Upgrade. doc is not changed.
func Canonical(doc *Document) *Document {
	out := *doc
	out.Config = doc.Config.Clone()
	c := &out.Config
	k := canonicalizer{used: make(map[string]bool)}
	EachReference(c, func(r Reference) {
		if r.Target == ToPair {
			k.used[r.To] = true
		}
	})
	EachID(c, func(id, _ string, _ Pos) {
		if k.taken == nil {
			k.taken = make(map[string]bool)
		}
		k.taken[id] = true
	})
	k.sets(c.Properties, PropertyOption)
	k.sets(c.ResourceDefaults, MetaOption)
	k.sets(c.OpDefaults, OperationOption)
	for i := range c.Nodes {
		k.sets(c.Nodes[i].Attributes, nil)
		k.sets(c.Nodes[i].Utilization, nil)
	}
	EachResource(c, func(r, _ *Resource) {
		k.sets(r.Params, nil)
		k.sets(r.Meta, MetaOption)
		k.sets(r.Utilization, nil)
		for i := range r.Operations.List {
			op := &r.Operations.List[i]
			k.sets(op.Params, nil)
			k.sets(op.Meta, OperationOption)
			for j := range op.Extra {
				if op.Extra[j].Name == "role" {
					canonicalRole(&op.Extra[j].Value)
				}
			}
		}
		if r.Bundle != nil {
			for i := range r.Bundle.Attributes {
				if a := &r.Bundle.Attributes[i]; a.Name == "masters" && !hasAttr(r.Bundle.Attributes, "promoted-max") {
					a.Name = "promoted-max"
				}
			}
		}
	})
	for i := range c.Constraints {
		x := &c.Constraints[i]
		canonicalRole(&x.Role)
		canonicalRole(&x.WithRole)
		for j := range x.Sets {
			canonicalRole(&x.Sets[j].Role)
		}
		k.rules(x.Rules, 0)
		k.rules(x.Lifetime, 0)
	}
	return &out
}

type canonicalizer struct {
	used, taken map[string]bool
}

func canonicalRole(role *string) {
	switch {
	case strings.EqualFold(*role, "master"):
		*role = "Promoted"
	case strings.EqualFold(*role, "slave"):
		*role = "Unpromoted"
	}
}

func (k *canonicalizer) sets(list []AttributeSet, option func(string) *Option) {
	for i := range list {
		s := &list[i]
		k.rules(s.Rules, 0)
		if option == nil {
			continue
		}
		for j := range s.Pairs {
			p := &s.Pairs[j]
			o := option(p.Name)
			if o == nil || p.NoValue {
				continue
			}
			if o.Name == "target-role" || o.Name == "role" {
				canonicalRole(&p.Value)
			}
			if o.Name == p.Name || hasName(list, o.Name) || k.used[p.ID] {
				continue
			}
			if id := s.ID + "-" + o.Name; p.ID == s.ID+"-"+p.Name && !k.taken[id] {
				p.ID = id
			}
			p.Name = o.Name
		}
	}
}

func (k *canonicalizer) rules(list []rule.Rule, depth int) {
	for i := range list {
		canonicalRole(&list[i].Role)
		for _, c := range list[i].Conditions {
			if c.Rule != nil && depth < rule.MaxDepth {
				canonicalRole(&c.Rule.Role)
				k.rules([]rule.Rule{*c.Rule}, depth+1)
			}
		}
	}
}
