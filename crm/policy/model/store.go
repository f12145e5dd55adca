package model

// slabSize is how many actions or relations are allocated at a time: large decisions have hundreds of
// thousands of both.
const slabSize = 512

// store hands out actions and relations and finds the actions that belong to no resource.
type store struct {
	actions   []Action
	relations []Relation
	byKey     map[string]*Action
	marks     uint32
}

// OpMeta is the evaluated meta-attributes of one operation of a resource.
type OpMeta struct {
	Task     string
	Interval int64
	Op       *Op
	Meta     map[string]string // never changed
}

// NewAction returns a new action with the next number, known to the cluster and to its resource.
func (c *Cluster) NewAction(r *Resource, key string) *Action {
	if len(c.store.actions) == 0 {
		c.store.actions = make([]Action, slabSize)
	}
	a := &c.store.actions[0]
	c.store.actions = c.store.actions[1:]
	c.Actions = append(c.Actions, a)
	a.Number = len(c.Actions)
	a.Resource = r
	a.Key = key
	if r != nil {
		r.Actions = append(r.Actions, a)
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

// ClusterAction finds the action with the key that belongs to no resource; nil = none.
func (c *Cluster) ClusterAction(key string) *Action { return c.store.byKey[key] }

// NewRelation returns a new relation that is not yet stored on its actions.
func (c *Cluster) NewRelation() *Relation {
	if len(c.store.relations) == 0 {
		c.store.relations = make([]Relation, slabSize)
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
