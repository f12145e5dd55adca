package model

import (
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
)

// New returns an empty working state for doc at the effective time now.
func New(doc *cib.Document, now time.Time) *Cluster {
	return &Cluster{
		Doc: doc, Now: now,
		nodeByName: map[string]*Node{}, nodeByID: map[string]*Node{},
		byID: map[string]*Resource{}, byHistory: map[string][]*Resource{},
		Templates: map[string][]string{}, Tags: map[string][]string{}, Tickets: map[string]*Ticket{},
	}
}

// AddNode numbers the node and puts it into the node list at its place in natural name order. Of several
// nodes with one name, the last is found by it.
func (c *Cluster) AddNode(n *Node) {
	n.Index = len(c.Nodes)
	if n.Attributes == nil {
		n.Attributes = map[string]string{}
	}
	c.nodeByName[strings.ToLower(n.Name)] = n
	if _, taken := c.nodeByID[strings.ToLower(n.ID)]; !taken {
		c.nodeByID[strings.ToLower(n.ID)] = n
	}
	at := len(c.Nodes)
	for i, other := range c.Nodes {
		if NaturalLess(n.Name, other.Name) {
			at = i
			break
		}
	}
	c.Nodes = append(c.Nodes, nil)
	copy(c.Nodes[at+1:], c.Nodes[at:])
	c.Nodes[at] = n
}

// NodeByName finds a node by name, ignoring case; nil = none.
func (c *Cluster) NodeByName(name string) *Node { return c.nodeByName[strings.ToLower(name)] }

// NodeByID finds a node by id, ignoring case; nil = none.
func (c *Cluster) NodeByID(id string) *Node { return c.nodeByID[strings.ToLower(id)] }

// AddResource numbers a resource at any level and makes it findable by its id. The first with an id wins.
func (c *Cluster) AddResource(r *Resource) {
	r.Index = len(c.All)
	c.All = append(c.All, r)
	if _, taken := c.byID[r.ID]; !taken {
		c.byID[r.ID] = r
	}
}

// AddFormer adds a primitive that the history knows by an id which is that of a group, clone or bundle now.
func (c *Cluster) AddFormer(r *Resource) {
	if c.former == nil {
		c.former = map[string]*Resource{}
	}
	c.former[r.ID] = r
}

// Former returns the removed primitive that had the id before a group, clone or bundle got it; nil = none.
func (c *Cluster) Former(id string) *Resource { return c.former[id] }

// Resource finds a resource at any level by its exact id; nil = none.
func (c *Cluster) Resource(id string) *Resource { return c.byID[id] }

// Lookup finds resources by their ids where the same ids come in the same order many times, as in the histories
// of nodes. The zero value is ready for use.
type Lookup struct{ at []*Resource }

// Resource returns what Cluster.Resource does for the id, which is the i-th of its list, counted from 0.
func (l *Lookup) Resource(c *Cluster, i int, id string) *Resource {
	if i < len(l.at) && l.at[i] != nil && l.at[i].ID == id {
		return l.at[i]
	}
	r := c.byID[id]
	if i == len(l.at) {
		l.at = append(l.at, r)
	}
	return r
}

// SetHistoryID records the name under which the history knows r.
func (c *Cluster) SetHistoryID(r *Resource, id string) {
	if id == r.ID {
		r.HistoryID = ""
		return
	}
	r.HistoryID = id
	c.byHistory[id] = append(c.byHistory[id], r)
}

// ByHistoryID lists the resources that were given the history name id, oldest first. A resource whose
// name was changed later may still be listed: check HistoryID.
func (c *Cluster) ByHistoryID(id string) []*Resource { return c.byHistory[id] }

// NodeCount is the number of nodes, which bounds Node.Index.
func (c *Cluster) NodeCount() int { return len(c.Nodes) }

// Recheck notes that the decision may differ at t; the earliest time stays.
func (c *Cluster) Recheck(t time.Time) {
	if t.After(c.Now) && (c.RecheckBy.IsZero() || t.Before(c.RecheckBy)) {
		c.RecheckBy = t
	}
}

// At returns the entry for n, growing nothing: the zero Entry when n is not in the table.
func (t Table) At(n *Node) Entry {
	if n == nil || n.Index >= len(t) {
		return Entry{}
	}
	return t[n.Index]
}

// Grow returns the table with room for count nodes.
func (t Table) Grow(count int) Table {
	if len(t) >= count {
		return t
	}
	g := make(Table, count)
	copy(g, t)
	return g
}

// NaturalLess compares names as the node list does: digit runs as numbers (equal value: fewer digits
// first), other characters without case, a prefix first (spec/01-inputs.md 5.1).
func NaturalLess(a, b string) bool { return NaturalCompare(a, b) < 0 }

// NaturalCompare is the three-way form of NaturalLess.
func NaturalCompare(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			si := i
			for i < len(a) && isDigit(a[i]) {
				i++
			}
			sj := j
			for j < len(b) && isDigit(b[j]) {
				j++
			}
			x, y := strings.TrimLeft(a[si:i], "0"), strings.TrimLeft(b[sj:j], "0")
			if len(x) != len(y) {
				return sign(len(x) - len(y))
			}
			if x != y {
				return strings.Compare(x, y)
			}
			if i-si != j-sj {
				return sign((i - si) - (j - sj))
			}
			continue
		}
		x, y := fold(a[i]), fold(b[j])
		if x != y {
			return sign(int(x) - int(y))
		}
		i++
		j++
	}
	return sign((len(a) - i) - (len(b) - j))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
