package command

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/quorate/quorate/crm/cib"
)

func (n *State) bootstrap(b *Bootstrap, out *Outcome) error {
	if n.ClusterID != "" {
		return fmt.Errorf("the cluster %s was made already", n.ClusterID)
	}
	if b.ClusterID == "" || len(b.CA) == 0 {
		return fmt.Errorf("a cluster needs an id and a certificate authority")
	}
	n.ClusterID, n.Name, n.CAs = b.ClusterID, b.Name, [][]byte{b.CA}
	n.Feature = b.First.Feature
	if b.Config != nil {
		d := *b.Config
		d.Status = cib.Status{}
		if p := cib.FirstError(&d); p != nil {
			return fmt.Errorf("initial configuration: %s", p)
		}
		n.Document = &d
	}
	out.ConfigChanged = true
	n.Revision = n.Index
	return n.addMember(&b.First, out)
}

func (n *State) memberAdd(a *MemberAdd, timeMS int64, out *Outcome) error {
	if a.Token != "" {
		i := slices.IndexFunc(n.Tokens, func(t Token) bool { return t.ID == a.Token })
		if i < 0 {
			return fmt.Errorf("the join token is not known: it was revoked, or has expired long ago")
		}
		t := n.Tokens[i]
		if t.Used != "" {
			return fmt.Errorf("the join token was used already, by node %s", t.Used)
		}
		if timeMS/1000 > t.Expires {
			return fmt.Errorf("the join token has expired")
		}
		if t.Node != "" && t.Node != a.Name {
			return fmt.Errorf("the join token is for node %s, not for %s", t.Node, a.Name)
		}
		n.Tokens = slices.Clone(n.Tokens)
		n.Tokens[i].Used = a.Name
	}
	if a.Feature < n.Feature {
		return fmt.Errorf("node %s runs feature level %d, the cluster is at %d: install a newer build on it", a.Name, a.Feature, n.Feature)
	}
	if m := n.Member(a.Name); m != nil {
		if !a.Rejoin || !bytes.Equal(m.Key, a.Key) {
			return fmt.Errorf("the node name %s is taken; remove that node first, or choose another name", a.Name)
		}
		n.Members = slices.Clone(n.Members)
		m = n.Member(a.Name)
		m.RaftID = n.NextRaftID
		m.Online, m.Incarnation = false, 0
		n.NextRaftID++
		out.MembersChanged, out.DecisionNeeded = true, true
		return nil
	}
	return n.addMember(a, out)
}

func (n *State) addMember(a *MemberAdd, out *Outcome) error {
	if !cib.ValidName(a.Name) {
		return fmt.Errorf("%q cannot be a node name: letters, digits, dot, dash and underscore, at most 128, and no dash first", a.Name)
	}
	if len(a.Key) == 0 {
		return fmt.Errorf("node %s has no public key", a.Name)
	}
	if len(n.Members) >= maxMembers {
		return fmt.Errorf("the cluster has seen %d members, which is the most it can remember", maxMembers)
	}
	if n.NextNodeID == 0 || n.NextNodeID == 1<<16-1 {
		return fmt.Errorf("no node id is left")
	}
	n.Members = append(slices.Clone(n.Members), Member{
		Name: a.Name, NodeID: n.NextNodeID, RaftID: n.NextRaftID, Key: a.Key, Feature: a.Feature, Joined: n.Index,
	})
	id := strconv.Itoa(int(n.NextNodeID))
	n.NextNodeID++
	n.NextRaftID++

	// The configuration names every member, with its addresses.
	d := *n.Document
	d.Config.Nodes = slices.Clone(d.Config.Nodes)
	i := slices.IndexFunc(d.Config.Nodes, func(x cib.Node) bool { return x.Name == a.Name })
	if i < 0 {
		d.Config.Nodes = append(d.Config.Nodes, cib.Node{Name: a.Name})
		i = len(d.Config.Nodes) - 1
	}
	node := &d.Config.Nodes[i]
	node.ID = id
	if len(a.Links) > 0 {
		node.Links = a.Links
	}
	node.Witness = node.Witness || a.Witness
	n.Document = &d
	n.numberLinks()
	// It has never run anything, so until it comes it is down and not in an unknown state: nobody fences it.
	ed := cib.NewEditor(n.Document)
	st := ed.State(ed.Node(a.Name, NodeStateID(n.Members[len(n.Members)-1].NodeID)))
	st.InCCM, st.CRMD, st.Join, st.Expected = "0", "0", "down", "down"
	n.Document = ed.Document()
	n.touch(cib.ObjectKey("node", a.Name))
	out.MembersChanged, out.ConfigChanged, out.DecisionNeeded = true, true, true
	return nil
}

func (n *State) memberRemove(name string, out *Outcome) error {
	m := n.Member(name)
	if m == nil {
		return fmt.Errorf("no node is called %q", name)
	}
	live := 0
	for _, x := range n.Members {
		if !x.Removed {
			live++
		}
	}
	if live == 1 {
		return fmt.Errorf("%s is the last node of the cluster", name)
	}
	if m.Online && hasActive(n.Document, name, false) {
		return fmt.Errorf("node %s still runs resources: put it into standby or stop it first", name)
	}
	// With its history nothing would be left to wait for: what it may still run would start elsewhere at once.
	if !m.Online && (hasActive(n.Document, name, true) || slices.ContainsFunc(n.Pending, func(p Pending) bool { return p.Node == name })) {
		return fmt.Errorf("node %s was lost while it ran resources, and is not known to be off: have it fenced (crm node fence %s), or make sure that it is off and vouch for it (crm node clearstate %s)", name, name, name)
	}
	n.Members = slices.Clone(n.Members)
	m = n.Member(name)
	m.Removed, m.Online, m.Incarnation = true, false, 0
	d := *n.Document
	d.Config.Nodes = slices.DeleteFunc(slices.Clone(d.Config.Nodes), func(x cib.Node) bool { return x.Name == name })
	d.Status.Nodes = slices.DeleteFunc(slices.Clone(d.Status.Nodes), func(x cib.NodeState) bool { return x.Name == name })
	n.Document = &d
	n.dropPending(func(p *Pending) bool { return p.Node == name }, out)
	n.unseal(name)
	n.dropAttributes(name)
	n.touch(cib.ObjectKey("node", name))
	out.MembersChanged, out.ConfigChanged, out.DecisionNeeded = true, true, true
	return nil
}

// hasActive reports whether the history says that something runs on the node; with doubtful also what failed there counts,
// which may run or not.
func hasActive(d *cib.Document, name string, doubtful bool) bool {
	for i := range d.Status.Nodes {
		st := &d.Status.Nodes[i]
		if st.Name != name {
			continue
		}
		for _, h := range st.History {
			active := false
			for _, op := range h.Operations {
				switch {
				case op.Operation == "stop" && op.RC == 0:
					active = false
				case op.Operation == "monitor" && (op.RC == 7 || op.RC == 5):
				case op.RC == 0 || op.RC == 8 || doubtful:
					active = true
				}
			}
			if active {
				return true
			}
		}
	}
	return false
}

func (n *State) memberUpdate(u *MemberUpdate, out *Outcome) error {
	if n.Member(u.Name) == nil {
		return fmt.Errorf("no node is called %q", u.Name)
	}
	n.Members = slices.Clone(n.Members)
	m := n.Member(u.Name)
	if len(u.Key) > 0 {
		m.Key = u.Key
		out.MembersChanged = true
	}
	if len(u.Seal) > 0 {
		m.Seal = u.Seal
	}
	if u.Feature > 0 {
		if u.Feature < n.Feature {
			return fmt.Errorf("node %s runs feature level %d, the cluster is at %d", u.Name, u.Feature, n.Feature)
		}
		m.Feature = u.Feature
	}
	return nil
}

func (n *State) tokenAdd(t Token, timeMS int64) error {
	if t.ID == "" || len(t.Hash) == 0 {
		return fmt.Errorf("a join token needs an id and a hash")
	}
	if t.Node != "" && n.Member(t.Node) != nil {
		return fmt.Errorf("the node name %s is taken", t.Node)
	}
	tokens := slices.DeleteFunc(slices.Clone(n.Tokens), func(x Token) bool { return timeMS/1000 > x.Expires || x.ID == t.ID })
	open := 0
	for i := range tokens {
		if tokens[i].Used == "" {
			open++
		}
	}
	if len(tokens) >= 2*maxTokens { // an hour's worth of joins; the oldest used ones need not be told of any more
		tokens = slices.DeleteFunc(tokens, func(x Token) bool { return x.Used != "" })
	}
	if open >= maxTokens {
		return fmt.Errorf("%d join tokens are open already; revoke one", maxTokens)
	}
	n.Tokens = append(tokens, t)
	return nil
}

func (n *State) tokenDrop(id string) error {
	i := slices.IndexFunc(n.Tokens, func(t Token) bool { return t.ID == id && t.Used == "" })
	if i < 0 {
		return fmt.Errorf("no open join token has the id %q", id)
	}
	n.Tokens = slices.Delete(slices.Clone(n.Tokens), i, i+1)
	return nil
}

// numberLinks gives numbers to links that have none yet. A link keeps its number for good: keys and the
// connectivity matrix go by it.
func (n *State) numberLinks() {
	links := slices.Clone(n.Links)
	add := func(name string) {
		if name != "" && !slices.Contains(links, name) && len(links) < maxLinks {
			links = append(links, name)
		}
	}
	for _, l := range n.Document.Config.Cluster.Links {
		add(l.Name)
	}
	for i := range n.Document.Config.Nodes {
		for _, l := range n.Document.Config.Nodes[i].Links {
			add(l.Link)
		}
	}
	n.Links = links
}

// touch records that the object was changed by the present entry.
func (n *State) touch(keys ...string) {
	n.Objects = n.Objects.with(n.Index, keys)
	n.Revision = n.Index
}
