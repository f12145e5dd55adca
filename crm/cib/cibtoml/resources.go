package cibtoml

import (
	"cmp"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// resourceTables are the tables of resources in the order in which they are read: templates come first, since they say
// which agents others have.
var resourceTables = []string{"templates", "primitives", "groups", "clones", "bundles", "fencing"}

// tableOf returns the table in which a resource is written.
func tableOf(r *cib.Resource) string {
	switch r.Kind {
	case cib.Group:
		return "groups"
	case cib.Clone:
		return "clones"
	case cib.Bundle:
		return "bundles"
	case cib.Template:
		return "templates"
	}
	if r.Class == "stonith" {
		return "fencing"
	}
	return "primitives"
}

var kindOf = map[string]cib.Kind{
	"primitives": cib.Primitive, "fencing": cib.Primitive, "groups": cib.Group, "clones": cib.Clone, "bundles": cib.Bundle, "templates": cib.Template,
}

// hostList is the parameter of fence devices that has a key of its own.
const hostList = "pcmk_host_list"

// resource is the table of one resource without its members, which are named in members.
func (c *codec) resource(table string, r *cib.Resource, members *[]string) {
	if c.reading {
		r.Kind = kindOf[table]
		r.Pos = c.n.pos
	}
	c.list("comments", &r.Comments)
	c.text("description", &r.Description)
	agent := r.Kind == cib.Primitive || r.Kind == cib.Template
	if agent {
		c.agent(table, r)
	}
	switch r.Kind {
	case cib.Group:
		c.list("members", members)
	case cib.Clone, cib.Bundle:
		// One member is the rule, others are mistakes that Check names.
		if c.reading {
			var one string
			c.text("member", &one)
			if one != "" {
				*members = append(*members, one)
			}
			c.list("members", members)
		} else if len(*members) == 1 {
			c.text("member", &(*members)[0])
		} else {
			c.list("members", members)
		}
	}
	if r.Kind == cib.Clone {
		c.flag("legacy-master", &r.LegacyMaster)
	}
	if r.Kind == cib.Bundle {
		if r.Bundle == nil {
			r.Bundle = &cib.BundleSpec{}
		}
		c.bundle(r.Bundle, r.ID)
	}
	plain := make(map[string]bool)
	var names []string
	if !c.reading {
		names = c.literals(r)
	}
	c.list("insecure-plain", &names)
	for _, name := range names {
		plain[name] = true
	}
	params := setForm{id: madeID(r.ID, "instance_attributes"), secret: true, of: r, plain: plain, where: r.ID}
	if table == "fencing" {
		c.targets(r, params)
	} else {
		c.sets("params", &r.Params, params)
	}
	c.sets("meta", &r.Meta, setForm{id: madeID(r.ID, "meta_attributes"), option: cib.MetaOption})
	c.sets("utilization", &r.Utilization, setForm{id: madeID(r.ID, "utilization")})
	if agent {
		c.operations(r, params)
	}
	c.attrs("extra", &r.Extra)
	c.unknown("unknown", &r.Unknown)
}

// literals lists the parameters that look like passwords or keys and stand in the open.
func (c *codec) literals(r *cib.Resource) []string {
	var out []string
	look := func(list []cib.AttributeSet) {
		for i := range list {
			for _, p := range list[i].Pairs {
				name := cmp.Or(p.Name, "value")
				if _, _, ok := cib.ParseReference(p.Value); !ok && cib.IsReference(p.Value) {
					c.refuse("resource %s: the value of %s starts with \"ref:\" but is no reference to a secret that is known; expected ref:KIND:... with %s", r.ID, name, strings.Join(cib.ReferenceKinds, ", "))
				}
				if p.Value != "" && !cib.IsReference(p.Value) && c.secret(r, name) && !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
	}
	look(r.Params)
	for i := range r.Operations.List {
		look(r.Operations.List[i].Params)
	}
	slices.Sort(out)
	return out
}

// targets writes the list of nodes of a fence device under a key of its own, where its parameters are short.
func (c *codec) targets(r *cib.Resource, f setForm) {
	if !c.reading {
		if len(r.Params) == 1 && c.short(&r.Params[0], f) {
			s := r.Params[0]
			i := slices.IndexFunc(s.Pairs, func(p cib.NVPair) bool { return p.Name == hostList })
			if i >= 0 && plainList(s.Pairs[i].Value) {
				nodes := strings.Fields(s.Pairs[i].Value)
				c.list("targets", &nodes)
				s.Pairs = slices.Delete(slices.Clone(s.Pairs), i, i+1)
				if len(s.Pairs) > 0 {
					c.sets("params", &[]cib.AttributeSet{s}, f)
				}
				return
			}
		}
		c.sets("params", &r.Params, f)
		return
	}
	var nodes []string
	c.list("targets", &nodes)
	c.sets("params", &r.Params, f)
	if len(nodes) == 0 {
		return
	}
	n := c.n.get("targets")
	for _, name := range nodes {
		if !plainList(name) || len(strings.Fields(name)) != 1 {
			c.errorAt(n, "targets", "", "%q is no name of a node", name)
			return
		}
	}
	if len(r.Params) == 0 {
		r.Params = []cib.AttributeSet{{ID: f.id, Pos: n.pos}}
	}
	s := &r.Params[0]
	if slices.ContainsFunc(s.Pairs, func(p cib.NVPair) bool { return p.Name == hostList }) {
		c.errorAt(n, "targets", "write one of them", "both targets and the parameter "+hostList+" are given")
		return
	}
	s.Pairs = append(s.Pairs, cib.NVPair{ID: madeID(s.ID, hostList), Name: hostList, Value: strings.Join(nodes, " "), Pos: n.pos})
}

// plainList reports whether a list of nodes is separated by single spaces and holds nothing else.
func plainList(text string) bool {
	return text != "" && strings.Join(strings.Fields(text), " ") == text && !strings.ContainsAny(text, ",;:\x00")
}

// agent is class:provider:type, or three keys where that would be read differently.
func (c *codec) agent(table string, r *cib.Resource) {
	if c.reading {
		c.text("template", &r.Template)
		var text string
		c.text("agent", &text)
		c.text("class", &r.Class)
		c.text("provider", &r.Provider)
		c.text("type", &r.Type)
		if text != "" {
			if r.Class != "" || r.Provider != "" || r.Type != "" {
				c.errorAt(c.n.get("agent"), "agent", "write one of them", "both agent and class, provider or type are given")
			}
			var ok bool
			if r.Class, r.Provider, r.Type, ok = splitAgent(text); !ok {
				c.errorAt(c.n.get("agent"), "agent", "write class:type, or ocf:provider:type, such as ocf:heartbeat:IPaddr2", "%q is no agent", text)
			}
		}
		if table == "fencing" && r.Class != "stonith" && (text == "" || r.Class != "") {
			c.errorAt(c.n, "agent", "name an agent such as stonith:fence_ipmilan, or move the resource to primitives", "a fence device needs an agent of class stonith")
		}
		if table == "primitives" && r.Class == "stonith" {
			c.errorAt(c.n, "agent", "move it to [fencing."+quoteKey(r.ID)+"]", "agents of class stonith belong to fencing")
		}
		if table == "primitives" && text == "" && r.Class == "" && r.Template == "" && r.Type == "" {
			c.errorAt(c.n, "agent", "name one such as ocf:heartbeat:IPaddr2", "no agent is given")
		}
		return
	}
	c.text("template", &r.Template)
	text := r.Class + ":" + r.Type
	if r.Provider != "" {
		text = r.Class + ":" + r.Provider + ":" + r.Type
	}
	if class, provider, typ, ok := splitAgent(text); ok && class == r.Class && provider == r.Provider && typ == r.Type {
		c.text("agent", &text)
		return
	}
	c.text("class", &r.Class)
	c.text("provider", &r.Provider)
	c.text("type", &r.Type)
}

// splitAgent reads class:provider:type of class ocf, and class:type of others, whose types may have colons.
func splitAgent(text string) (class, provider, typ string, ok bool) {
	class, rest, ok := strings.Cut(text, ":")
	if !ok || class == "" || rest == "" {
		return "", "", "", false
	}
	if class != "ocf" {
		return class, "", rest, true
	}
	provider, typ, ok = strings.Cut(rest, ":")
	if !ok || provider == "" || typ == "" {
		return "", "", "", false
	}
	return class, provider, typ, true
}

// operationNames are the attributes of operations that have a key of their own.
func operationName(name string) bool { return name != "interval" && cib.OperationOption(name) != nil }

// operations is the table op, by name, or the array operations where names are not enough to keep them.
func (c *codec) operations(r *cib.Resource, params setForm) {
	o := &r.Operations
	c.sub("operations-set", o.ID != "" || o.IDRef != "" || len(o.Attributes) > 0, func(c *codec) {
		c.text("id", &o.ID)
		c.text("id-ref", &o.IDRef)
		c.sets("attributes", &o.Attributes, setForm{id: madeID(r.ID, "operations-attributes")})
	})
	if !c.reading {
		if len(o.List) == 0 {
			return
		}
		byName, ok := contiguous(o.List)
		if !ok {
			array(c, "operations", &o.List, func(c *codec, _ int, op *cib.Operation) {
				c.text("name", &op.Name)
				c.operation(r, op, params)
			})
			return
		}
		c.sub("op", true, func(c *codec) {
			for _, list := range byName {
				name := list[0].Name
				if len(list) == 1 {
					c.sub(name, true, func(c *codec) { c.operation(r, &list[0], params) })
				} else {
					array(c, name, &list, func(c *codec, _ int, op *cib.Operation) { c.operation(r, op, params) })
				}
			}
		})
		return
	}
	c.sub("op", false, func(c *codec) {
		for i, name := range c.n.keys {
			if c.n.values[i].kind == kindArray {
				from := len(o.List)
				array(c, name, &o.List, func(c *codec, _ int, op *cib.Operation) {
					op.Name = name
					c.operation(r, op, params)
				})
				if len(o.List) == from && len(c.n.values[i].items) == 0 {
					c.errorAt(c.n.values[i], name, "", "the array is empty")
				}
				continue
			}
			op := cib.Operation{Name: name}
			from := len(c.problems)
			c.sub(name, false, func(c *codec) { c.operation(r, &op, params) })
			if len(c.problems) == from || c.n.values[i].kind == kindTable {
				o.List = append(o.List, op)
			}
		}
	})
	array(c, "operations", &o.List, func(c *codec, _ int, op *cib.Operation) {
		c.text("name", &op.Name)
		c.operation(r, op, params)
	})
}

// contiguous groups operations by name; ok is false where that would change their order, or a name cannot
// be a key.
func contiguous(list []cib.Operation) (out [][]cib.Operation, ok bool) {
	seen := make(map[string]bool)
	for i := range list {
		name := list[i].Name
		if name == "" {
			return nil, false
		}
		if n := len(out); n > 0 && out[n-1][0].Name == name {
			out[n-1] = append(out[n-1], list[i])
			continue
		}
		if seen[name] {
			return nil, false
		}
		seen[name] = true
		out = append(out, []cib.Operation{list[i]})
	}
	return out, true
}

// operation is the table of one operation without its name.
func (c *codec) operation(r *cib.Resource, op *cib.Operation, params setForm) {
	if c.reading {
		op.Pos = c.n.pos
	}
	c.text("id-ref", &op.IDRef)
	id := ""
	switch {
	case c.reading:
		if op.IDRef == "" {
			op.Interval = "0" // what schemas demand to be written where an operation does not recur
		}
		c.checked("interval", &op.Interval, func(text string) error { _, err := cib.ParseInterval(text); return err })
	case op.Interval == "" && op.IDRef == "":
		c.n.set("interval", &node{kind: kindText})
	case op.Interval != "0" || op.IDRef != "":
		c.value("interval", &op.Interval)
	}
	if op.IDRef == "" {
		id = madeID(r.ID, op.Name, cmp.Or(op.Interval, "0"))
	}
	c.byDefault("id", &op.ID, id)
	if c.reading {
		for i, name := range c.n.keys {
			if !operationName(name) {
				continue
			}
			c.asked = append(c.asked, name)
			v := c.n.values[i]
			text, ok := c.scalar(v, name)
			if !ok {
				continue
			}
			if err := cib.OperationOption(name).Check(text); err != nil {
				c.errorAt(v, name, "", "%v", err)
			}
			op.Extra = append(op.Extra, cib.Attr{Name: name, Value: text})
		}
		for _, o := range cib.OperationOptions() {
			c.asked = append(c.asked, o.Name)
		}
		c.attrs("extra", &op.Extra)
	} else {
		var other []cib.Attr
		for _, a := range op.Extra {
			// Once one is set apart, all that follow are, so that the order stays.
			if len(other) == 0 && operationName(a.Name) && cib.OperationOption(a.Name).Check(a.Value) == nil && c.n.get(a.Name) == nil {
				c.n.set(a.Name, scalarNode(a.Value))
			} else {
				other = append(other, a)
			}
		}
		c.attrs("extra", &other)
	}
	f := params
	f.id = madeID(op.ID, "instance_attributes")
	c.sets("params", &op.Params, f)
	c.sets("meta", &op.Meta, setForm{id: madeID(op.ID, "meta_attributes"), option: cib.OperationOption})
}

func (c *codec) bundle(b *cib.BundleSpec, id string) {
	c.text("engine", &b.Engine)
	c.attrs("container", &b.Attributes)
	c.sub("network", b.HasNetwork, func(c *codec) {
		b.HasNetwork = true
		if c.reading {
			for i, name := range c.n.keys {
				if name == "ports" {
					continue
				}
				c.asked = append(c.asked, name)
				if text, ok := c.scalar(c.n.values[i], name); ok {
					b.Network = append(b.Network, cib.Attr{Name: name, Value: text})
				}
			}
		} else {
			for _, a := range b.Network {
				if a.Name == "ports" || c.n.get(a.Name) != nil {
					c.refuse("bundle %s: attribute %q of the network cannot be written", id, a.Name)
				}
				c.n.set(a.Name, scalarNode(a.Value))
			}
		}
		array(c, "ports", &b.Ports, func(c *codec, i int, p *cib.PortMapping) {
			c.value("port", &p.Port)
			c.value("internal-port", &p.InternalPort)
			c.value("range", &p.Range)
			c.byDefault("id", &p.ID, madeID(id, "port", cmp.Or(p.Port, p.Range)))
		})
	})
	if c.reading && c.n.get("storage") != nil || !c.reading && b.HasStorage && len(b.Storage) == 0 {
		b.HasStorage = true
		if !c.reading {
			c.n.set("storage", &node{kind: kindArray})
		}
	}
	array(c, "storage", &b.Storage, func(c *codec, i int, m *cib.StorageMapping) {
		c.text("source-dir", &m.SourceDir)
		c.text("source-dir-root", &m.SourceDirRoot)
		c.text("target-dir", &m.TargetDir)
		c.text("options", &m.Options)
		c.byDefault("id", &m.ID, numbered(madeID(id, "storage"), i))
	})
}
