package model

import "slices"

// Row is the probes of one resource on several nodes where they differ by nothing but the node: all are required, can
// run, wait for nothing, and come before the same actions with the same effects. A cluster that starts has a probe of
// nearly every resource on nearly every node, which makes them most of its actions by far. So one action stands for all
// of a row, and one relation for those of all its probes to another action; each probe has no more than its node and
// its number. As soon as something is asked of one of them alone, the row is spread: the probes become actions
// and relations like all others, as if there had never been a row.
type Row struct {
	// Action stands for the probes in the resource's list of actions and in relations. It has no node, and is
	// not among Cluster.Actions.
	Action *Action
	Spots  []Spot // in order of their numbers, each node once

	c   *Cluster
	own [1]*Action // Action as a list
}

// Spot is one probe of a row.
type Spot struct {
	Node   *Node
	Number int
}

// RowEffects reports whether an ordering with these effects means the same for each probe of a row that comes first, and
// changes none.
func RowEffects(e Effects) bool {
	return e == IfRequiredSameNode || e&Seq != 0 && e&^(Seq|UnlessMigrating) == 0
}

// NewRow starts a row of probes of r, which must have none yet. room is for how many probes.
func (c *Cluster) NewRow(r *Resource, key, task string, room int) *Row {
	a := c.action()
	if len(c.store.rowRoom) == 0 {
		c.store.rowRoom = make([]Row, slab(len(c.store.rows)))
	}
	w := &c.store.rowRoom[0]
	c.store.rowRoom = c.store.rowRoom[1:]
	if len(c.store.spots) < room {
		c.store.spots = make([]Spot, max(room, slab(c.store.count)))
	}
	w.Action, w.Spots, w.c, w.own[0] = a, c.store.spots[:0:room], c, a
	c.store.spots = c.store.spots[room:]
	a.Resource, a.Key, a.Task, a.Row = r, key, task, w
	r.Row, r.Probes = w, w.own[:]
	r.Actions = extend(r.Actions, a, &c.store.lists)
	c.store.rows = append(c.store.rows, w)
	return w
}

// Add adds the probe on n, with the next number.
func (w *Row) Add(n *Node) {
	w.c.store.count++
	if len(w.Spots) == 0 {
		w.Action.Number = w.c.store.count
	}
	w.Spots = append(w.Spots, Spot{n, w.c.store.count})
}

// On reports whether the row has a probe on n.
func (w *Row) On(n *Node) bool {
	return slices.ContainsFunc(w.Spots, func(s Spot) bool { return s.Node == n })
}

// Rows lists the rows of probes that were not spread, the oldest first.
func (c *Cluster) Rows() []*Row {
	c.store.rows = slices.DeleteFunc(c.store.rows, func(w *Row) bool { return w.Action.Resource.Row != w })
	return c.store.rows
}

// Spread makes actions of their own of the probes of r that are in a row. Until Arrange they stand at the end of
// Cluster.Actions.
func (r *Resource) Spread() {
	if r.Row != nil {
		r.Row.spread()
	}
}

func (w *Row) spread() {
	c, of := w.c, w.Action
	r := of.Resource
	list := make([]*Action, len(w.Spots))
	r.Row, r.Probes = nil, make([]*Action, c.NodeCount())
	for i, s := range w.Spots {
		a := c.action()
		*a = *of
		a.Node, a.Number, a.Row, a.After = s.Node, s.Number, nil, nil
		list[i], r.Probes[s.Node.Index] = a, a
	}
	for _, rel := range of.After {
		each := make([]*Relation, len(list))
		for i, a := range list {
			one := c.NewRelation()
			*one = *rel
			one.First, one.Apart = a, false
			if rel.Apart && a.Node != rel.Then.Node {
				one.Void, one.Used = true, false
			}
			a.After = append(a.After, one)
			each[i] = one
		}
		if at := slices.Index(rel.Then.Before, rel); at >= 0 {
			rel.Then.Before = slices.Replace(rel.Then.Before, at, at+1, each...)
		}
	}
	at := slices.Index(r.Actions, of)
	r.Actions = slices.Replace(r.Actions, at, at+1, list...)
	c.Actions = append(c.Actions, list...)
	c.store.disorder = true
}

// Arrange puts Actions into order again after rows were spread.
func (c *Cluster) Arrange() {
	if c.store.disorder {
		slices.SortFunc(c.Actions, byNumber)
		c.store.disorder = false
	}
}

// Expand spreads all rows of a finished decision, for displays of all actions.
func (c *Cluster) Expand() {
	for _, w := range c.Rows() {
		then := w.Action.After
		w.spread()
		for _, rel := range then {
			slices.SortStableFunc(rel.Then.Before, func(x, y *Relation) int { return byNumber(x.First, y.First) })
		}
	}
	c.store.rows = nil
	c.Arrange()
}

func byNumber(x, y *Action) int { return x.Number - y.Number }
