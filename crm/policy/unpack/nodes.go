package unpack

import (
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
)

// nodes reads the configured nodes and those that connection resources imply (spec/01-inputs.md section 5).
func (u *unpacker) nodes() {
	c := u.c
	for i := range c.Doc.Config.Nodes {
		cfg := &c.Doc.Config.Nodes[i]
		if cfg.Name == "" {
			u.errorf("node %q has no uname; it is left out", cfg.ID)
			continue
		}
		kind := model.ClusterNode
		switch {
		case cfg.Type == "" || cfg.Type == "member":
		case cfg.Type == "remote":
			kind = model.RemoteNode
			c.HaveRemoteNodes = true
		default:
			u.errorf("node %q has the type %q; it and the nodes after it are left out (use member or remote)", cfg.Name, cfg.Type)
			return
		}
		score, _ := values.ScoreIn(&c.Options, cfg.Score)
		n := u.addNode(cfg.ID, cfg.Name, kind, score)
		n.Config = cfg
		// It is there to vote: nothing runs on it, and so nothing has to be looked for.
		n.Standby, n.ProbesDisabled = cfg.Witness, cfg.Witness
		n.Unclean = kind == model.ClusterNode && c.Options.StartupFencing
		u.permanentAttributes(n)
	}
	u.impliedNodes()
}

// addNode creates a node with its built-in attributes.
func (u *unpacker) addNode(id, name string, kind model.NodeKind, score int32) *model.Node {
	c := u.c
	n := &model.Node{ID: id, Name: name, Kind: kind, Score: score, Attributes: make(map[string]string, 8)}
	n.IsDC = kind == model.ClusterNode && c.Doc.Head.DCUUID != "" && strings.EqualFold(id, c.Doc.Head.DCUUID)
	n.Attributes["#uname"] = name
	n.Attributes["#id"] = id
	n.Attributes["#is_dc"] = "false"
	if n.IsDC {
		n.Attributes["#is_dc"] = "true"
	}
	if c.Options.ClusterName != "" {
		n.Attributes["#cluster-name"] = c.Options.ClusterName
	}
	setKind(n, kind)
	c.AddNode(n)
	if kind != model.ClusterNode {
		c.HaveRemoteNodes = true
	}
	return n
}

// setKind sets the kind and the attribute that shows it.
func setKind(n *model.Node, kind model.NodeKind) {
	n.Kind = kind
	switch kind {
	case model.ClusterNode:
		n.Attributes["#kind"] = "cluster"
	case model.RemoteNode:
		n.Attributes["#kind"] = "remote"
	default:
		n.Attributes["#kind"] = "container"
	}
}

// permanentAttributes reads attributes and capacity of a configured node.
func (u *unpacker) permanentAttributes(n *model.Node) {
	c := u.c
	if n.Config != nil {
		n.Permanent = map[string]string{}
		values.Collect(c, n.Config.Attributes, rule.Input{Now: c.Now}, n.Permanent)
		for name, v := range n.Permanent {
			if _, set := n.Attributes[name]; !set {
				n.Attributes[name] = v
			}
		}
		n.Capacity = u.capacities(n.Config.Utilization)
		n.Utilization = slices.Clone(n.Capacity)
	}
	u.siteName(n)
}

// siteName sets the attribute #site-name (spec/01-inputs.md 5.2).
func (u *unpacker) siteName(n *model.Node) {
	if v, set := n.Attributes["site-name"]; set {
		n.Attributes["#site-name"] = v
	} else if u.c.Options.ClusterName != "" {
		n.Attributes["#site-name"] = u.c.Options.ClusterName
	}
}

// capacities reads utilization blocks, sorted by name.
func (u *unpacker) capacities(sets []cib.AttributeSet) []model.Capacity {
	if len(sets) == 0 {
		return nil
	}
	m := map[string]string{}
	values.Collect(u.c, sets, rule.Input{Now: u.c.Now}, m)
	out := make([]model.Capacity, 0, len(m))
	for name, v := range m {
		n, _ := values.Integer(v)
		out = append(out, model.Capacity{Name: name, Value: n})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// isConnection reports whether the agent is that of a connection to a remote node.
func isConnection(class, provider, typ string) bool {
	return strings.EqualFold(class, "ocf") && strings.EqualFold(provider, "pacemaker") && strings.EqualFold(typ, "remote")
}

// guest is a guest node that a primitive's meta-attributes define.
type guest struct {
	name, launcher                           string
	addr, port, timeout, migrate, managed    string
	hasAddr, hasPort, hasMigrate, hasManaged bool
}

// guestOf returns the guest node that a primitive defines, whatever rules stand beside it.
func guestOf(cfg *cib.Resource) (guest, bool) {
	var g guest
	found := false
	for i := range cfg.Meta {
		for j := range cfg.Meta[i].Pairs {
			p := &cfg.Meta[i].Pairs[j]
			switch p.Name {
			case "remote-node":
				g.name, found = p.Value, true
			case "remote-addr":
				g.addr, g.hasAddr = p.Value, true
			case "remote-port":
				g.port, g.hasPort = p.Value, true
			case "remote-connect-timeout":
				g.timeout = p.Value
			case "remote-allow-migrate":
				g.migrate, g.hasMigrate = p.Value, true
			case "is-managed":
				g.managed, g.hasManaged = p.Value, true
			}
		}
	}
	g.launcher = cfg.ID
	return g, found && g.name != ""
}

// impliedNodes adds the nodes behind connection resources and guests (spec/01-inputs.md 5.1). The implicit
// connections of guests are remembered for resources().
func (u *unpacker) impliedNodes() {
	c := u.c
	add := func(name string) {
		if c.NodeByName(name) == nil {
			u.siteName(u.addNode(name, name, model.RemoteNode, 0))
		}
	}
	consider := func(cfg *cib.Resource) {
		if g, ok := guestOf(cfg); ok {
			add(g.name)
			u.guests = append(u.guests, g)
		}
	}
	for _, cfg := range c.Doc.Config.Resources {
		switch cfg.Kind {
		case cib.Primitive:
			if isConnection(cfg.Class, cfg.Provider, cfg.Type) && !named(cfg.Meta, "container") {
				add(cfg.ID)
				continue
			}
			consider(cfg)
		case cib.Group:
			for _, m := range cfg.Members {
				consider(m)
			}
		}
	}
}

// named reports whether one of the blocks has a value for the name.
func named(sets []cib.AttributeSet, name string) bool {
	for i := range sets {
		for j := range sets[i].Pairs {
			if sets[i].Pairs[j].Name == name {
				return true
			}
		}
	}
	return false
}
