package model

// slab is how many actions, relations or orderings are allocated at a time when there are that many already: large
// decisions have hundreds of thousands, small ones some tens.
func slab(already int) int { return min(max(already, 32), 512) }

// store hands out actions and relations and finds the actions that belong to no resource.
type store struct {
	actions   []Action
	relations []Relation
	orderings []Ordering
	lists     []*Action   // room for lists of actions
	links     []*Relation // room for lists of relations
	rowRoom   []Row
	spots     []Spot
	byKey     map[string]*Action
	marks     uint32
	count     int // actions so far, those in rows among them
	rows      []*Row
	disorder  bool // Actions are to be sorted
}

// OpMeta is the evaluated meta-attributes of one operation of a resource.
type OpMeta struct {
	Task     string
	Interval int64
	Op       *Op
	Meta     map[string]string // never changed
	Shared   int               // number of a table that several operations share, 0 = this is the only one
}

// NewAction returns a new action with the next number, known to the cluster and to its resource.
func (c *Cluster) NewAction(r *Resource, key, task string, intervalMS int64, node *Node) *Action {
	a := c.action()
	c.Actions = append(c.Actions, a)
	c.store.count++
	a.Number = c.store.count
	a.Resource, a.Key, a.Task, a.Interval, a.Node = r, key, task, intervalMS, node
	if r != nil {
		r.Actions = extend(r.Actions, a, &c.store.lists)
		if task != "monitor" || intervalMS != 0 || node == nil {
			r.Others = extend(r.Others, a, &c.store.lists)
			return a
		}
		if r.Probes == nil {
			r.Probes = make([]*Action, c.NodeCount())
		}
		for len(r.Probes) <= node.Index {
			r.Probes = append(r.Probes, nil)
		}
		r.Probes[node.Index] = a
		return a
	}
	if c.store.byKey == nil {
		c.store.byKey = map[string]*Action{}
	}
	if _, taken := c.store.byKey[key]; !taken {
		c.store.byKey[key] = a
	}
	return a
}

// action returns an empty action that nothing knows yet.
func (c *Cluster) action() *Action {
	if len(c.store.actions) == 0 {
		c.store.actions = make([]Action, slab(len(c.Actions)))
	}
	a := &c.store.actions[0]
	c.store.actions = c.store.actions[1:]
	return a
}

// ActionCount is the number of actions, which bounds Action.Number.
func (c *Cluster) ActionCount() int { return c.store.count }

// Probe returns the probe of r on n; nil = none.
func (r *Resource) Probe(n *Node) *Action {
	r.Spread()
	if n.Index < len(r.Probes) {
		return r.Probes[n.Index]
	}
	return nil
}

// NewOrdering adds a copy of o to the orderings.
func (c *Cluster) NewOrdering(o *Ordering) {
	if len(c.store.orderings) == 0 {
		c.store.orderings = make([]Ordering, slab(len(c.Orderings)))
	}
	n := &c.store.orderings[0]
	c.store.orderings = c.store.orderings[1:]
	*n = *o
	c.Orderings = append(c.Orderings, n)
}

// ClusterAction finds the action with the key that belongs to no resource; nil = none.
func (c *Cluster) ClusterAction(key string) *Action { return c.store.byKey[key] }

// extend appends x to a list. Short lists, of which there are many, grow into a common room.
func extend[T any](list []*T, x *T, room *[]*T) []*T {
	if n := len(list); n == cap(list) && n < 32 {
		wanted := max(2, 2*n)
		if len(*room) < wanted {
			*room = make([]*T, 256)
		}
		fresh := (*room)[:n:wanted]
		*room = (*room)[wanted:]
		copy(fresh, list)
		list = fresh
	}
	return append(list, x)
}

// Store stores a relation on its actions, as the newest.
func (c *Cluster) Store(rel *Relation) {
	rel.First.After = extend(rel.First.After, rel, &c.store.links)
	rel.Then.Before = extend(rel.Then.Before, rel, &c.store.links)
}

// NewRelation returns a new relation that is not yet stored on its actions.
func (c *Cluster) NewRelation() *Relation {
	if len(c.store.relations) == 0 {
		c.store.relations = make([]Relation, slab(len(c.Actions)))
	}
	r := &c.store.relations[0]
	c.store.relations = c.store.relations[1:]
	return r
}

// NextMark returns a value that no Action.Mark has yet.
func (c *Cluster) NextMark() uint32 {
	c.store.marks++
	return c.store.marks
}
