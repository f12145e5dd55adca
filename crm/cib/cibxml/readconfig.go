package cibxml

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

func (d *decoder) configuration() {
	d.onlyAttributes()
	for d.child() {
		if !d.section() {
			d.unknown(&d.doc.Config.Extra)
		}
	}
}

// section reads a section of the configuration; it returns false, having read nothing, where the element is
// none.
func (d *decoder) section() bool {
	c := &d.doc.Config
	switch name := string(d.name); name {
	case "rsc_defaults":
		d.defaults(&c.ResourceDefaults)
	case "op_defaults":
		d.defaults(&c.OpDefaults)
	case "crm_config", "nodes", "resources", "constraints", "tags", "fencing-topology", "acls", "alerts":
		d.onlyAttributes()
		for d.child() {
			if sectionOf[string(d.name)] != name || !d.object() {
				d.unknown(&c.Extra)
			}
		}
	default:
		return false
	}
	return true
}

// sectionOf gives the section in which each kind of object stands.
var sectionOf = map[string]string{
	"cluster_property_set": "crm_config",
	"node":                 "nodes",
	"primitive":            "resources",
	"group":                "resources",
	"clone":                "resources",
	"master":               "resources",
	"master_slave":         "resources",
	"bundle":               "resources",
	"template":             "resources",
	"rsc_location":         "constraints",
	"rsc_colocation":       "constraints",
	"rsc_order":            "constraints",
	"rsc_ticket":           "constraints",
	"tag":                  "tags",
	"fencing-level":        "fencing-topology",
	"acl_target":           "acls",
	"acl_group":            "acls",
	"acl_role":             "acls",
	"acl_user":             "acls",
	"alert":                "alerts",
}

// object reads an object into its list; it returns false, having read nothing, where the element is none.
func (d *decoder) object() bool {
	c := &d.doc.Config
	switch string(d.name) {
	case "cluster_property_set":
		d.attributeSet(&c.Properties)
	case "node":
		d.nodeElement()
	case "rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket":
		d.constraint()
	case "tag":
		d.tag()
	case "fencing-level":
		d.fencingLevel()
	case "acl_target":
		c.Targets = append(c.Targets, d.aclTarget())
	case "acl_group":
		c.Groups = append(c.Groups, d.aclTarget())
	case "acl_role":
		d.aclRole()
	case "acl_user":
		d.aclUser()
	case "alert":
		d.alert()
	default:
		r := d.resource(true)
		if r == nil {
			return false
		}
		c.Resources = append(c.Resources, r)
	}
	return true
}

// defaults reads rsc_defaults or op_defaults.
func (d *decoder) defaults(list *[]cib.AttributeSet) {
	d.onlyAttributes()
	for d.child() {
		if string(d.name) == "meta_attributes" {
			d.attributeSet(list)
		} else {
			d.unknown(&d.doc.Config.Extra)
		}
	}
}

// attributeSet reads a block of name/value pairs.
func (d *decoder) attributeSet(list *[]cib.AttributeSet) {
	s := cib.AttributeSet{Pos: d.at(), Comments: d.takeComments()}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			s.ID = d.str(a)
		case "id-ref":
			s.IDRef = d.str(a)
		case "score":
			s.Score = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	for d.child() {
		d.attributeSetChild(&s)
	}
	*list = append(*list, s)
}

func (d *decoder) attributeSetChild(s *cib.AttributeSet) {
	switch string(d.name) {
	case "nvpair":
		p := cib.NVPair{NoValue: true, Pos: d.at()}
		for i := range d.attrs {
			a := &d.attrs[i]
			switch string(a.name) {
			case "id":
				p.ID = d.str(a)
			case "id-ref":
				p.IDRef = d.str(a)
			case "name":
				p.Name = d.str(a)
			case "value":
				p.Value, p.NoValue = d.str(a), false
			default:
				d.unknownAttribute(a)
			}
		}
		d.leaf()
		s.Pairs = append(s.Pairs, p)
	case "rule":
		s.Rules = append(s.Rules, d.rule())
	case "attributes": // around the pairs in the oldest documents
		for d.child() {
			d.attributeSetChild(s)
		}
	default:
		d.skip("is not known in a set of attributes and is ignored")
	}
}

func (d *decoder) rule() rule.Rule {
	var r rule.Rule
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			r.ID = d.str(a)
		case "id-ref":
			r.IDRef = d.str(a)
		case "boolean-op":
			r.BooleanOp = d.str(a)
		case "boolean_op":
			r.BooleanOp = d.str(a)
		case "role":
			r.Role = d.str(a)
		case "score":
			r.Score = d.str(a)
		case "score-attribute", "score-attribute-mangle":
			r.ScoreAttribute = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "rule":
			sub := d.rule()
			r.Conditions = append(r.Conditions, rule.Condition{Rule: &sub})
		case "expression":
			r.Conditions = append(r.Conditions, rule.Condition{Attribute: d.expression()})
		case "date_expression":
			r.Conditions = append(r.Conditions, rule.Condition{Date: d.dateExpression()})
		case "rsc_expression":
			x := &rule.ResourceExpression{}
			for i := range d.attrs {
				a := &d.attrs[i]
				switch string(a.name) {
				case "id":
					x.ID = d.str(a)
				case "class":
					x.Class, x.HasClass = d.str(a), true
				case "provider":
					x.Provider, x.HasProvider = d.str(a), true
				case "type":
					x.Type, x.HasType = d.str(a), true
				default:
					d.unknownAttribute(a)
				}
			}
			d.leaf()
			r.Conditions = append(r.Conditions, rule.Condition{Resource: x})
		case "op_expression":
			x := &rule.OperationExpression{}
			for i := range d.attrs {
				a := &d.attrs[i]
				switch string(a.name) {
				case "id":
					x.ID = d.str(a)
				case "name":
					x.Name = d.str(a)
				case "interval":
					x.Interval = d.str(a)
				default:
					d.unknownAttribute(a)
				}
			}
			d.leaf()
			r.Conditions = append(r.Conditions, rule.Condition{Operation: x})
		default:
			d.skip("is not known in a rule and is ignored")
		}
	}
	return r
}

func (d *decoder) expression() *rule.AttributeExpression {
	x := &rule.AttributeExpression{}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			x.ID = d.str(a)
		case "attribute":
			x.Attribute = d.str(a)
		case "operation":
			x.Operation = d.str(a)
		case "value":
			x.Value, x.HasValue = d.str(a), true
		case "type":
			x.Type = d.str(a)
		case "value-source":
			x.ValueSource = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	d.leaf()
	return x
}

func (d *decoder) dateExpression() *rule.DateExpression {
	x := &rule.DateExpression{}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			x.ID = d.str(a)
		case "operation":
			x.Operation = d.str(a)
		case "start":
			x.Start = d.str(a)
		case "end":
			x.End = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "duration":
			x.Duration = &rule.DateDuration{}
			x.Duration.SetOrder(d.fields(&x.Duration.ID, x.Duration.Field, func(a *attr) {
				x.Duration.Extra = append(x.Duration.Extra, [2]string{d.strings.intern(a.name), d.str(a)})
			}))
			d.leaf()
		case "date_spec":
			x.Spec = &rule.DateSpec{}
			x.Spec.SetOrder(d.fields(&x.Spec.ID, x.Spec.Field, nil))
			d.leaf()
		default:
			d.skip("is not known in a date expression and is ignored")
		}
	}
	return x
}

// fields reads the attributes of a date specification or duration and returns their names in the order of writing.
// Those that are no field go to extra, or are reported where that is nil.
func (d *decoder) fields(id *string, field func(string) *string, extra func(*attr)) []string {
	var names []string
	for i := range d.attrs {
		a := &d.attrs[i]
		name := d.strings.intern(a.name)
		switch f := field(name); {
		case name == "id":
			*id = d.str(a)
			continue
		case f != nil:
			*f = d.str(a)
		case extra != nil:
			extra(a)
		default:
			d.unknownAttribute(a)
			continue
		}
		names = append(names, name)
	}
	return names
}

func (d *decoder) nodeElement() {
	n := cib.Node{Pos: d.at(), Comments: d.takeComments()}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			n.ID = d.str(a)
		case "uname":
			n.Name = d.str(a)
		case "type":
			n.Type = d.str(a)
		case "score":
			n.Score = d.str(a)
		case "description":
			n.Description = d.str(a)
		default:
			d.extra(&n.Extra, a)
		}
	}
	d.node = &n
	parts := make([]byte, 0, 8)
	for d.child() {
		switch string(d.name) {
		case "instance_attributes":
			parts = append(parts, cib.PartParams)
			d.attributeSet(&n.Attributes)
		case "utilization":
			parts = append(parts, cib.PartUtilization)
			d.attributeSet(&n.Utilization)
		default:
			d.skip("is not known in a node and is ignored")
		}
	}
	d.node = nil
	n.SetLayout(parts)
	d.doc.Config.Nodes = append(d.doc.Config.Nodes, n)
}

// resource reads a resource, or returns nil where the element is none. Templates exist at the top only.
func (d *decoder) resource(top bool) *cib.Resource {
	r := &cib.Resource{}
	switch string(d.name) {
	case "primitive":
		r.Kind = cib.Primitive
	case "group":
		r.Kind = cib.Group
	case "clone":
		r.Kind = cib.Clone
	case "master", "master_slave":
		r.Kind, r.LegacyMaster = cib.Clone, true
	case "bundle":
		r.Kind, r.Bundle = cib.Bundle, &cib.BundleSpec{}
	case "template":
		if !top {
			return nil
		}
		r.Kind = cib.Template
	default:
		return nil
	}
	r.Pos, r.Comments = d.at(), d.takeComments()
	agent := r.Kind == cib.Primitive || r.Kind == cib.Template
	for i := range d.attrs {
		a := &d.attrs[i]
		switch name := string(a.name); {
		case name == "id":
			r.ID = d.str(a)
		case name == "description":
			r.Description = d.str(a)
		case name == "class" && agent:
			r.Class = d.str(a)
		case name == "provider" && agent:
			r.Provider = d.str(a)
		case name == "type" && agent:
			r.Type = d.str(a)
		case name == "template" && r.Kind == cib.Primitive:
			r.Template = d.str(a)
		default:
			d.extra(&r.Extra, a)
		}
	}
	parts := make([]byte, 0, 16)
	for d.child() {
		switch string(d.name) {
		case "instance_attributes":
			parts = append(parts, cib.PartParams)
			d.attributeSet(&r.Params)
		case "meta_attributes":
			parts = append(parts, cib.PartMeta)
			d.attributeSet(&r.Meta)
		case "utilization":
			parts = append(parts, cib.PartUtilization)
			d.attributeSet(&r.Utilization)
		case "operations":
			if !agent {
				d.unknownPart(r)
				continue
			}
			parts = append(parts, cib.PartOperations)
			d.operations(&r.Operations)
		case "docker", "podman", "rkt", "network", "storage":
			if r.Kind != cib.Bundle {
				d.unknownPart(r)
				continue
			}
			parts = append(parts, bundleParts[string(d.name)])
			d.bundlePart(r.Bundle)
		default:
			if agent {
				d.unknownPart(r)
			} else if m := d.resource(false); m != nil {
				if r.Kind == cib.Bundle {
					parts = append(parts, cib.PartMember)
				}
				r.Members = append(r.Members, m)
			} else {
				d.unknownPart(r)
			}
		}
	}
	r.SetLayout(parts)
	return r
}

var bundleParts = map[string]byte{"docker": cib.PartContainer, "podman": cib.PartContainer, "rkt": cib.PartContainer,
	"network": cib.PartNetwork, "storage": cib.PartStorage}

func (d *decoder) operations(o *cib.Operations) {
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			o.ID = d.str(a)
		case "id-ref":
			o.IDRef = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "op":
			d.operation(o)
		case "instance_attributes", "meta_attributes":
			d.attributeSet(&o.Attributes)
		default:
			d.skip("is not known among operations and is ignored")
		}
	}
}

func (d *decoder) operation(o *cib.Operations) {
	op := cib.Operation{Pos: d.at()}
	parts := make([]byte, 0, 16)
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			op.ID = d.str(a)
		case "id-ref":
			op.IDRef = d.str(a)
		case "name":
			op.Name = d.str(a)
		case "interval":
			parts = append(parts, cib.PartInterval)
			op.Interval = d.str(a)
		default:
			parts = append(parts, cib.PartAttribute)
			d.extra(&op.Extra, a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "instance_attributes":
			parts = append(parts, cib.PartParams)
			d.attributeSet(&op.Params)
		case "meta_attributes":
			parts = append(parts, cib.PartMeta)
			d.attributeSet(&op.Meta)
		default:
			d.skip("is not known in an operation and is ignored")
		}
	}
	op.SetLayout(parts)
	o.List = append(o.List, op)
}

func (d *decoder) bundlePart(b *cib.BundleSpec) {
	switch name := string(d.name); name {
	case "network":
		b.HasNetwork = true
		for i := range d.attrs {
			d.extra(&b.Network, &d.attrs[i])
		}
		for d.child() {
			if string(d.name) != "port-mapping" {
				d.skip("is not known in the network of a bundle and is ignored")
				continue
			}
			var p cib.PortMapping
			parts := make([]byte, 0, 8)
			for i := range d.attrs {
				a := &d.attrs[i]
				if part := cib.MappingPart(string(a.name)); part != 0 {
					parts = append(parts, part)
				}
				switch string(a.name) {
				case "id":
					p.ID = d.str(a)
				case "port":
					p.Port = d.str(a)
				case "internal-port":
					p.InternalPort = d.str(a)
				case "range":
					p.Range = d.str(a)
				default:
					d.unknownAttribute(a)
				}
			}
			d.leaf()
			p.SetLayout(parts)
			b.Ports = append(b.Ports, p)
		}
	case "storage":
		b.HasStorage = true
		d.onlyAttributes()
		for d.child() {
			if string(d.name) != "storage-mapping" {
				d.skip("is not known in the storage of a bundle and is ignored")
				continue
			}
			var m cib.StorageMapping
			parts := make([]byte, 0, 8)
			for i := range d.attrs {
				a := &d.attrs[i]
				if part := cib.MappingPart(string(a.name)); part != 0 {
					parts = append(parts, part)
				}
				switch string(a.name) {
				case "id":
					m.ID = d.str(a)
				case "source-dir":
					m.SourceDir = d.str(a)
				case "source-dir-root":
					m.SourceDirRoot = d.str(a)
				case "target-dir":
					m.TargetDir = d.str(a)
				case "options":
					m.Options = d.str(a)
				default:
					d.unknownAttribute(a)
				}
			}
			d.leaf()
			m.SetLayout(parts)
			b.Storage = append(b.Storage, m)
		}
	default:
		if b.Engine != "" {
			d.skip("is a second container engine of the bundle and is ignored")
			return
		}
		b.Engine = name
		for i := range d.attrs {
			d.extra(&b.Attributes, &d.attrs[i])
		}
		d.leaf()
	}
}

func (d *decoder) constraint() {
	c := cib.Constraint{}
	switch string(d.name) {
	case "rsc_location":
		c.Kind = cib.Location
	case "rsc_colocation":
		c.Kind = cib.Colocation
	case "rsc_order":
		c.Kind = cib.Order
	case "rsc_ticket":
		c.Kind = cib.Ticket
	}
	c.Pos, c.Comments = d.at(), d.takeComments()
	for i := range d.attrs {
		a := &d.attrs[i]
		if f := constraintField(&c, string(a.name)); f != nil {
			*f = d.str(a)
		} else {
			d.extra(&c.Extra, a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "resource_set":
			d.resourceSet(&c)
		case "rule":
			if c.Kind != cib.Location {
				d.skip("is known in location constraints only and is ignored")
				continue
			}
			c.Rules = append(c.Rules, d.rule())
		case "lifetime":
			d.onlyAttributes()
			for d.child() {
				if string(d.name) == "rule" {
					c.Lifetime = append(c.Lifetime, d.rule())
				} else {
					d.skip("is not known in a lifetime and is ignored")
				}
			}
		default:
			d.skip("is not known in a constraint and is ignored")
		}
	}
	d.doc.Config.Constraints = append(d.doc.Config.Constraints, c)
}

// constraintField returns the field of an attribute of a constraint of c's kind; nil = none.
func constraintField(c *cib.Constraint, name string) *string {
	switch name {
	case "id":
		return &c.ID
	case "score":
		return &c.Score
	}
	switch c.Kind {
	case cib.Location:
		switch name {
		case "rsc":
			return &c.Resource
		case "rsc-pattern":
			return &c.Pattern
		case "role":
			return &c.Role
		case "node":
			return &c.Node
		case "resource-discovery":
			return &c.Discovery
		case "score-attribute", "score-attribute-mangle":
			return &c.ScoreAttribute
		}
	case cib.Colocation:
		switch name {
		case "rsc":
			return &c.Resource
		case "rsc-role":
			return &c.Role
		case "rsc-instance":
			return &c.Instance
		case "with-rsc":
			return &c.With
		case "with-rsc-role":
			return &c.WithRole
		case "with-rsc-instance":
			return &c.WithInstance
		case "node-attribute":
			return &c.NodeAttribute
		case "influence":
			return &c.Influence
		case "score-attribute", "score-attribute-mangle":
			return &c.ScoreAttribute
		case "symmetrical":
			return &c.Symmetrical
		}
	case cib.Order:
		switch name {
		case "first":
			return &c.First
		case "first-action":
			return &c.FirstAction
		case "first-instance":
			return &c.FirstInstance
		case "then":
			return &c.Then
		case "then-action":
			return &c.ThenAction
		case "then-instance":
			return &c.ThenInstance
		case "kind":
			return &c.OrderKind
		case "symmetrical":
			return &c.Symmetrical
		case "require-all":
			return &c.RequireAll
		}
	case cib.Ticket:
		switch name {
		case "rsc":
			return &c.Resource
		case "rsc-role":
			return &c.Role
		case "ticket":
			return &c.Ticket
		case "loss-policy":
			return &c.LossPolicy
		}
	}
	return nil
}

func (d *decoder) resourceSet(c *cib.Constraint) {
	s := cib.ResourceSet{Pos: d.at()}
	for i := range d.attrs {
		a := &d.attrs[i]
		if f := setField(&s, string(a.name)); f != nil {
			*f = d.str(a)
		} else {
			d.unknownAttribute(a)
		}
	}
	for d.child() {
		if string(d.name) != "resource_ref" {
			d.skip("is not known in a resource set and is ignored")
			continue
		}
		d.onlyAttributes("id")
		s.Refs = append(s.Refs, d.get("id"))
		d.leaf()
	}
	c.Sets = append(c.Sets, s)
}

// setNames are the attributes of a resource set in the order of writing.
var setNames = []string{"id", "id-ref", "sequential", "require-all", "ordering", "action", "role", "score", "kind", "symmetrical"}

func setField(s *cib.ResourceSet, name string) *string {
	switch name {
	case "id":
		return &s.ID
	case "id-ref":
		return &s.IDRef
	case "sequential":
		return &s.Sequential
	case "require-all":
		return &s.RequireAll
	case "ordering":
		return &s.Ordering
	case "action":
		return &s.Action
	case "role":
		return &s.Role
	case "score":
		return &s.Score
	case "kind":
		return &s.Kind
	case "symmetrical":
		return &s.Symmetrical
	}
	return nil
}

func (d *decoder) tag() {
	t := cib.Tag{Pos: d.at(), Comments: d.takeComments(), ID: d.get("id")}
	d.onlyAttributes("id")
	for d.child() {
		if string(d.name) != "obj_ref" {
			d.skip("is not known in a tag and is ignored")
			continue
		}
		d.onlyAttributes("id")
		t.Refs = append(t.Refs, d.get("id"))
		d.leaf()
	}
	d.doc.Config.Tags = append(d.doc.Config.Tags, t)
}

func (d *decoder) fencingLevel() {
	l := cib.FencingLevel{Pos: d.at()}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "id":
			l.ID = d.str(a)
		case "target":
			l.Target = d.str(a)
		case "target-pattern":
			l.TargetPattern = d.str(a)
		case "target-attribute":
			l.TargetAttribute = d.str(a)
		case "target-value":
			l.TargetValue = d.str(a)
		case "index":
			l.Index = d.str(a)
		case "devices":
			for device := range strings.SplitSeq(d.str(a), ",") {
				if device = strings.TrimSpace(device); device != "" {
					l.Devices = append(l.Devices, device)
				}
			}
		default:
			d.extra(&l.Extra, a)
		}
	}
	d.leaf()
	d.doc.Config.FencingTopology = append(d.doc.Config.FencingTopology, l)
}

func (d *decoder) aclRole() {
	r := cib.ACLRole{Pos: d.at(), Comments: d.takeComments(), ID: d.get("id"), Description: d.get("description")}
	d.onlyAttributes("id", "description")
	for d.child() {
		if p, ok := d.permission(); ok {
			r.Permissions = append(r.Permissions, p)
		} else {
			d.skip("is not known in an ACL role and is ignored")
		}
	}
	d.doc.Config.Roles = append(d.doc.Config.Roles, r)
}

func (d *decoder) aclUser() {
	u := cib.ACLUser{Pos: d.at(), Comments: d.takeComments(), ID: d.get("id")}
	d.onlyAttributes("id")
	for d.child() {
		if string(d.name) == "role_ref" {
			d.onlyAttributes("id")
			u.RoleRefs = append(u.RoleRefs, d.get("id"))
			d.leaf()
		} else if p, ok := d.permission(); ok {
			u.Permissions = append(u.Permissions, p)
		} else {
			d.skip("is not known in an ACL user and is ignored")
		}
	}
	d.doc.Config.Users = append(d.doc.Config.Users, u)
}

func (d *decoder) aclTarget() cib.ACLTarget {
	t := cib.ACLTarget{Pos: d.at(), Comments: d.takeComments(), ID: d.get("id"), Name: d.get("name")}
	d.onlyAttributes("id", "name")
	for d.child() {
		if string(d.name) != "role" {
			d.skip("is not known in an ACL target and is ignored")
			continue
		}
		d.onlyAttributes("id")
		t.Roles = append(t.Roles, d.get("id"))
		d.leaf()
	}
	return t
}

func (d *decoder) permission() (p cib.ACLPermission, ok bool) {
	switch name := string(d.name); name {
	case "acl_permission":
	case "read", "write", "deny":
		p.Kind, p.Legacy = name, true
	default:
		return p, false
	}
	for i := range d.attrs {
		a := &d.attrs[i]
		switch name := string(a.name); {
		case name == "id":
			p.ID = d.str(a)
		case name == "kind" && !p.Legacy:
			p.Kind = d.str(a)
		case name == "xpath":
			p.XPath = d.str(a)
		case name == "reference" && !p.Legacy, name == "ref" && p.Legacy:
			p.Reference = d.str(a)
		case name == "object-type" && !p.Legacy, name == "tag" && p.Legacy:
			p.ObjectType = d.str(a)
		case name == "attribute":
			p.Attribute = d.str(a)
		case name == "description":
			p.Description = d.str(a)
		default:
			d.unknownAttribute(a)
		}
	}
	d.leaf()
	return p, true
}

func (d *decoder) alert() {
	x := cib.Alert{Pos: d.at(), Comments: d.takeComments(), ID: d.get("id"), Description: d.get("description"), Path: d.get("path")}
	d.onlyAttributes("id", "description", "path")
	parts := make([]byte, 0, 8)
	for d.child() {
		switch string(d.name) {
		case "instance_attributes":
			parts = append(parts, cib.PartParams)
			d.attributeSet(&x.Params)
		case "meta_attributes":
			parts = append(parts, cib.PartMeta)
			d.attributeSet(&x.Meta)
		case "select":
			d.onlyAttributes()
			if x.Select == nil {
				parts = append(parts, cib.PartSelect)
			}
			x.Select = d.alertSelect(x.Select)
		case "recipient":
			r := cib.AlertRecipient{ID: d.get("id"), Description: d.get("description"), Value: d.get("value")}
			d.onlyAttributes("id", "description", "value")
			inner := make([]byte, 0, 4)
			for d.child() {
				switch string(d.name) {
				case "instance_attributes":
					inner = append(inner, cib.PartParams)
					d.attributeSet(&r.Params)
				case "meta_attributes":
					inner = append(inner, cib.PartMeta)
					d.attributeSet(&r.Meta)
				default:
					d.skip("is not known in a recipient and is ignored")
				}
			}
			r.SetLayout(inner)
			parts = append(parts, cib.PartMember)
			x.Recipients = append(x.Recipients, r)
		default:
			d.skip("is not known in an alert and is ignored")
		}
	}
	x.SetLayout(parts)
	d.doc.Config.Alerts = append(d.doc.Config.Alerts, x)
}

func (d *decoder) alertSelect(s *cib.AlertSelect) *cib.AlertSelect {
	if s == nil {
		s = &cib.AlertSelect{}
	}
	for d.child() {
		switch string(d.name) {
		case "select_nodes":
			s.Nodes = true
			d.leaf()
		case "select_fencing":
			s.Fencing = true
			d.leaf()
		case "select_resources":
			s.Resources = true
			d.leaf()
		case "select_attributes":
			s.AttributesOn = true
			for d.child() {
				if string(d.name) != "attribute" {
					d.skip("is not known in the filter of an alert and is ignored")
					continue
				}
				d.onlyAttributes("id", "name")
				s.Attributes = append(s.Attributes, cib.AlertAttribute{ID: d.get("id"), Name: d.get("name")})
				d.leaf()
			}
		default:
			d.skip("is not known in the filter of an alert and is ignored")
		}
	}
	return s
}
