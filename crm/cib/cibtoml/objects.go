package cibtoml

import (
	"cmp"

	"github.com/quorate/quorate/crm/cib"
)

func (c *codec) node(n *cib.Node) {
	if c.reading {
		n.Pos = c.n.pos
	}
	c.list("comments", &n.Comments)
	c.value("id", &n.ID)
	c.text("type", &n.Type)
	c.checked("score", &n.Score, checkScore)
	c.text("description", &n.Description)
	if c.reading {
		c.sub("links", false, func(c *codec) {
			for _, link := range c.n.keys {
				var address string
				c.text(link, &address)
				n.Links = append(n.Links, cib.NodeLink{Link: link, Address: address})
			}
		})
	} else if len(n.Links) > 0 {
		links := newTable()
		for _, l := range n.Links {
			if links.get(l.Link) != nil {
				c.refuse("node %s: link %q is given twice", n.Name, l.Link)
			}
			links.set(l.Link, &node{kind: kindText, text: l.Address})
		}
		c.n.set("links", links)
	}
	c.flag("witness", &n.Witness)
	c.text("voter", &n.Voter)
	id := madeID("nodes", cmp.Or(n.ID, n.Name))
	c.sets("attributes", &n.Attributes, setForm{id: id})
	c.sets("utilization", &n.Utilization, setForm{id: id + "-utilization"})
	c.attrs("extra", &n.Extra)
}

// constraintTables are the arrays of constraints by kind.
var constraintTables = [...]string{cib.Location: "locations", cib.Colocation: "colocations", cib.Order: "orders", cib.Ticket: "tickets"}

func (c *codec) constraint(x *cib.Constraint) {
	if c.reading {
		x.Pos = c.n.pos
	}
	c.list("comments", &x.Comments)
	bool3 := func(key string, p *string) { c.checked(key, p, checkBool) }
	role := func(key string, p *string) { c.checked(key, p, checkRole) }
	switch x.Kind {
	case cib.Location:
		c.text("resource", &x.Resource)
		c.text("pattern", &x.Pattern)
		c.text("node", &x.Node)
	case cib.Colocation:
		c.text("resource", &x.Resource)
		c.text("with", &x.With)
	case cib.Order:
		c.text("first", &x.First)
		c.text("then", &x.Then)
	case cib.Ticket:
		c.text("ticket", &x.Ticket)
		c.text("resource", &x.Resource)
	}
	c.byDefault("id", &x.ID, constraintID(x))
	c.checked("score", &x.Score, checkScore)
	switch x.Kind {
	case cib.Location:
		c.text("score-attribute", &x.ScoreAttribute)
		role("role", &x.Role)
		c.text("resource-discovery", &x.Discovery)
	case cib.Colocation:
		c.text("score-attribute", &x.ScoreAttribute)
		role("role", &x.Role)
		role("with-role", &x.WithRole)
		c.text("node-attribute", &x.NodeAttribute)
		c.value("influence", &x.Influence)
		c.value("instance", &x.Instance)
		c.value("with-instance", &x.WithInstance)
		bool3("symmetrical", &x.Symmetrical)
	case cib.Order:
		c.text("first-action", &x.FirstAction)
		c.text("then-action", &x.ThenAction)
		c.value("first-instance", &x.FirstInstance)
		c.value("then-instance", &x.ThenInstance)
		c.text("kind", &x.OrderKind)
		bool3("symmetrical", &x.Symmetrical)
		bool3("require-all", &x.RequireAll)
	case cib.Ticket:
		role("role", &x.Role)
		c.text("loss-policy", &x.LossPolicy)
	}
	array(c, "sets", &x.Sets, func(c *codec, i int, s *cib.ResourceSet) {
		if c.reading {
			s.Pos = c.n.pos
		}
		c.text("id-ref", &s.IDRef)
		id := numbered(madeID(x.ID, "set"), i)
		if s.IDRef != "" {
			id = ""
		}
		c.byDefault("id", &s.ID, id)
		c.list("resources", &s.Refs)
		c.checked("sequential", &s.Sequential, checkBool)
		c.checked("require-all", &s.RequireAll, checkBool)
		c.text("ordering", &s.Ordering)
		c.text("action", &s.Action)
		c.checked("role", &s.Role, checkRole)
		c.checked("score", &s.Score, checkScore)
		c.text("kind", &s.Kind)
		c.checked("symmetrical", &s.Symmetrical, checkBool)
	})
	if x.Kind == cib.Location {
		c.rules("rules", &x.Rules, madeID(x.ID, "rule"))
	}
	c.rules("lifetime", &x.Lifetime, madeID(x.ID, "lifetime"))
	c.attrs("extra", &x.Extra)
}

// constraintID is the id of a constraint that is written without one.
func constraintID(x *cib.Constraint) string {
	switch x.Kind {
	case cib.Location:
		return madeID("location", x.Resource, x.Node)
	case cib.Colocation:
		return madeID("colocation", x.Resource, x.With)
	case cib.Order:
		return madeID("order", x.First, x.Then)
	}
	return madeID("ticket", x.Ticket, x.Resource)
}

func (c *codec) level(l *cib.FencingLevel) {
	if c.reading {
		l.Pos = c.n.pos
	}
	c.text("target", &l.Target)
	c.text("target-pattern", &l.TargetPattern)
	c.text("target-attribute", &l.TargetAttribute)
	c.value("target-value", &l.TargetValue)
	c.value("index", &l.Index)
	c.byDefault("id", &l.ID, madeID("level", cmp.Or(l.Target, l.TargetPattern, l.TargetValue), l.Index))
	c.list("devices", &l.Devices)
	c.attrs("extra", &l.Extra)
}

func (c *codec) permissions(list *[]cib.ACLPermission, owner string) {
	array(c, "permissions", list, func(c *codec, i int, p *cib.ACLPermission) {
		c.text("kind", &p.Kind)
		c.text("xpath", &p.XPath)
		c.text("reference", &p.Reference)
		c.text("object-type", &p.ObjectType)
		c.text("attribute", &p.Attribute)
		c.text("description", &p.Description)
		c.byDefault("id", &p.ID, numbered(madeID(owner, "permission"), i))
		c.flag("legacy", &p.Legacy)
	})
}

func (c *codec) alert(a *cib.Alert) {
	if c.reading {
		a.Pos = c.n.pos
	}
	c.list("comments", &a.Comments)
	c.text("description", &a.Description)
	c.text("path", &a.Path)
	c.sets("params", &a.Params, setForm{id: madeID(a.ID, "instance_attributes")})
	c.sets("meta", &a.Meta, setForm{id: madeID(a.ID, "meta_attributes")})
	if c.reading && c.n.get("select") != nil {
		a.Select = &cib.AlertSelect{}
	}
	c.sub("select", a.Select != nil, func(c *codec) {
		s := a.Select
		c.flag("nodes", &s.Nodes)
		c.flag("fencing", &s.Fencing)
		c.flag("resources", &s.Resources)
		c.flag("attributes", &s.AttributesOn)
		array(c, "names", &s.Attributes, func(c *codec, i int, x *cib.AlertAttribute) {
			c.text("name", &x.Name)
			c.byDefault("id", &x.ID, madeID(a.ID, "select", x.Name))
		})
	})
	array(c, "recipients", &a.Recipients, func(c *codec, i int, r *cib.AlertRecipient) {
		c.text("value", &r.Value)
		c.byDefault("id", &r.ID, numbered(madeID(a.ID, "recipient"), i))
		c.text("description", &r.Description)
		c.sets("params", &r.Params, setForm{id: madeID(r.ID, "instance_attributes")})
		c.sets("meta", &r.Meta, setForm{id: madeID(r.ID, "meta_attributes")})
	})
}
