package cib

import (
	"strconv"

	"github.com/quorate/quorate/crm/rule"
)

// EachID calls visit for every id that the configuration defines, in document order of each section, with
// what has it, such as "primitive" or "nvpair". Node ids, which are a name space of their own, and ids of
// ACL targets, which are user names, are left out.
func EachID(c *Configuration, visit func(id, what string, pos Pos)) {
	v := idVisitor(visit)
	v.sets("cluster_property_set", c.Properties)
	for i := range c.Nodes {
		v.sets("instance_attributes", c.Nodes[i].Attributes)
		v.sets("utilization", c.Nodes[i].Utilization)
	}
	for _, r := range c.Resources {
		v.resource(r, 0)
	}
	for i := range c.Constraints {
		x := &c.Constraints[i]
		v.id(x.ID, x.Kind.String(), x.Pos)
		for j := range x.Sets {
			v.id(x.Sets[j].ID, "resource_set", x.Sets[j].Pos)
		}
		v.rules(x.Rules, x.Pos)
		v.rules(x.Lifetime, x.Pos)
	}
	for i := range c.Tags {
		v.id(c.Tags[i].ID, "tag", c.Tags[i].Pos)
	}
	for i := range c.FencingTopology {
		v.id(c.FencingTopology[i].ID, "fencing-level", c.FencingTopology[i].Pos)
	}
	v.sets("meta_attributes", c.ResourceDefaults)
	v.sets("meta_attributes", c.OpDefaults)
	for i := range c.Roles {
		v.id(c.Roles[i].ID, "acl_role", c.Roles[i].Pos)
		for _, p := range c.Roles[i].Permissions {
			v.id(p.ID, "acl_permission", c.Roles[i].Pos)
		}
	}
	for i := range c.Users {
		for _, p := range c.Users[i].Permissions {
			v.id(p.ID, "acl_permission", c.Users[i].Pos)
		}
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		v.id(a.ID, "alert", a.Pos)
		v.sets("instance_attributes", a.Params)
		v.sets("meta_attributes", a.Meta)
		for j := range a.Recipients {
			v.id(a.Recipients[j].ID, "recipient", a.Pos)
			v.sets("instance_attributes", a.Recipients[j].Params)
			v.sets("meta_attributes", a.Recipients[j].Meta)
		}
	}
}

type idVisitor func(id, what string, pos Pos)

func (v idVisitor) id(id, what string, pos Pos) {
	if id != "" {
		v(id, what, pos)
	}
}

func (v idVisitor) sets(what string, list []AttributeSet) {
	for i := range list {
		v.id(list[i].ID, what, list[i].Pos)
		v.rules(list[i].Rules, list[i].Pos)
		for j := range list[i].Pairs {
			v.id(list[i].Pairs[j].ID, "nvpair", list[i].Pairs[j].Pos)
		}
	}
}

func (v idVisitor) rules(list []rule.Rule, pos Pos) {
	for i := range list {
		v.rule(&list[i], pos, 0)
	}
}

func (v idVisitor) rule(r *rule.Rule, pos Pos, depth int) {
	v.id(r.ID, "rule", pos)
	if depth > rule.MaxDepth {
		return
	}
	for i := range r.Conditions {
		switch c := &r.Conditions[i]; {
		case c.Rule != nil:
			v.rule(c.Rule, pos, depth+1)
		case c.Attribute != nil:
			v.id(c.Attribute.ID, "expression", pos)
		case c.Date != nil:
			v.id(c.Date.ID, "date_expression", pos)
			if c.Date.Duration != nil {
				v.id(c.Date.Duration.ID, "duration", pos)
			}
			if c.Date.Spec != nil {
				v.id(c.Date.Spec.ID, "date_spec", pos)
			}
		case c.Resource != nil:
			v.id(c.Resource.ID, "rsc_expression", pos)
		case c.Operation != nil:
			v.id(c.Operation.ID, "op_expression", pos)
		}
	}
}

func (v idVisitor) resource(r *Resource, depth int) {
	v.id(r.ID, r.Kind.String(), r.Pos)
	v.sets("instance_attributes", r.Params)
	v.sets("meta_attributes", r.Meta)
	v.sets("utilization", r.Utilization)
	v.id(r.Operations.ID, "operations", r.Pos)
	v.sets("instance_attributes", r.Operations.Attributes)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		v.id(op.ID, "op", op.Pos)
		v.sets("instance_attributes", op.Params)
		v.sets("meta_attributes", op.Meta)
	}
	if b := r.Bundle; b != nil {
		for _, a := range b.Network {
			if a.Name == "id" {
				v.id(a.Value, "network", r.Pos)
			}
		}
		for _, p := range b.Ports {
			v.id(p.ID, "port-mapping", r.Pos)
		}
		for _, m := range b.Storage {
			v.id(m.ID, "storage-mapping", r.Pos)
		}
	}
	if depth <= maxNesting {
		for _, m := range r.Members {
			v.resource(m, depth+1)
		}
	}
}

var kindNames = [...]string{Primitive: "primitive", Group: "group", Clone: "clone", Bundle: "bundle", Template: "template"}

// String returns the name of the kind: primitive, group, clone, bundle or template.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

var constraintKindNames = [...]string{Location: "location", Colocation: "colocation", Order: "order", Ticket: "ticket"}

// String returns the name of the kind: location, colocation, order or ticket.
func (k ConstraintKind) String() string {
	if int(k) < len(constraintKindNames) {
		return constraintKindNames[k]
	}
	return "ConstraintKind(" + strconv.Itoa(int(k)) + ")"
}
