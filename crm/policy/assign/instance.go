package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// clone assigns the instances of a clone and their roles (section 8).
func (a *assigner) clone(r *model.Resource, prefer *model.Node, final bool) {
	if r.AssignedDone || r.Assigning {
		return
	}
	r.Assigning = true
	defer func() { r.Assigning = false }()
	if r.Clone.Promotable {
		a.addPromotionScores(r)
	}
	for _, c := range colocations(r, true) {
		a.assign(c.Primary, prefer, final)
	}
	for _, c := range colocations(r, false) {
		a.listen(r, c, true)
	}
	a.show("pcmk__clone_assign", r, true)
	a.sortInstances(r.Children, r)
	a.distribute(r.Children, r, r.Clone.Max, r.Clone.NodeMax)
	if r.Clone.Promotable {
		a.chooseRoles(r)
	}
	r.AssignedDone = true
}

// sortInstances sorts the instances of a clone or the containers of a bundle (section 9.1).
func (a *assigner) sortInstances(list []*model.Resource, parent *model.Resource) {
	if len(list) < 2 {
		return
	}
	o := a.instanceOrder(list, parent)
	sortStable(list, func(x, y *model.Resource) bool { return o.compare(x, y) < 0 })
}

// instanceOrder compares instances; what is costly is found out once per instance.
type instanceOrder struct {
	a        *assigner
	parent   *model.Resource
	colocate map[*model.Resource]int32
}

func (a *assigner) instanceOrder(list []*model.Resource, parent *model.Resource) *instanceOrder {
	return &instanceOrder{a: a, parent: parent, colocate: make(map[*model.Resource]int32, len(list))}
}

func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// compare returns a negative number when x comes first.
func (o *instanceOrder) compare(x, y *model.Resource) int {
	nx, ny := x.Current(), y.Current()
	if nx != nil && ny != nil {
		if p, q := len(activeNodes(x)), len(activeNodes(y)); p != q {
			return p - q
		}
	}
	fx, fy := nx == nil || allowed(x.Allowed, nx), ny == nil || allowed(y.Allowed, ny)
	if fx != fy {
		return compareBool(fx, fy)
	}
	if !fx {
		nx = nil
	}
	if !fy {
		ny = nil
	}
	if x.Priority != y.Priority {
		if x.Priority > y.Priority {
			return -1
		}
		return 1
	}
	if nx == nil || ny == nil {
		return compareBool(nx != nil, ny != nil)
	}
	if c := compareBool(nx.Available(), ny.Available()); c != 0 {
		return c
	}
	ex, ey := o.parent.Allowed.At(nx), o.parent.Allowed.At(ny)
	if c := compareBool(ex.Present, ey.Present); c != 0 {
		return c
	}
	if ex.Count != ey.Count {
		return int(ex.Count - ey.Count)
	}
	if c := compareBool(!failedDeep(x), !failedDeep(y)); c != 0 {
		return c
	}
	if p, q := o.colocation(x), o.colocation(y); p != q {
		if p > q {
			return -1
		}
		return 1
	}
	return number(x) - number(y)
}

// number is the number of an instance, or of the replica that a container belongs to.
func number(r *model.Resource) int {
	if r.Replica != nil {
		return r.Replica.Number
	}
	return r.Instance
}

// colocation is the cumulative colocation score of an instance on its current node.
func (o *instanceOrder) colocation(x *model.Resource) int32 {
	if s, ok := o.colocate[x]; ok {
		return s
	}
	a, n := o.a, x.Current()
	t := a.borrow(nil)
	for len(t) < len(a.byIndex) {
		t = append(t, model.Entry{})
	}
	t[n.Index] = model.Entry{Score: n.Score, Present: true}
	a.steps = 0
	for _, c := range colocations(x, true) {
		a.merge(t, x, c.Primary, c, factor(c.Score), mergeOptions{asDependent: true})
	}
	for _, c := range colocations(x, false) {
		if influences(c, x) {
			a.merge(t, x, c.Dependent, c, factor(c.Score), mergeOptions{positiveOnly: true})
		}
	}
	settle(t)
	s := t[n.Index].Score
	a.giveBack(t)
	o.colocate[x] = s
	return s
}

// distribute gives the instances of a collective their nodes (section 9.2). total and perNode are the limits.
func (a *assigner) distribute(list []*model.Resource, parent *model.Resource, total, perNode int) {
	available := 0
	for i := range parent.Allowed {
		e := &parent.Allowed[i]
		e.Count = 0
		if e.Present && a.byIndex[i].Available() {
			available++
		}
	}
	optimal := 1
	if available > 0 {
		optimal = max(1, total/available)
	}

	assigned := 0
	for _, x := range list {
		if assigned >= total {
			break
		}
		if x.AssignedDone {
			continue
		}
		if n := a.keepNode(x, parent, optimal); n != nil && a.keep(x, parent, n, total-assigned, perNode) {
			parent.Allowed[n.Index].Count++
			assigned++
		}
	}
	fill := func(x *model.Resource) *model.Node {
		if assigned >= total {
			forPrimitives(x, func(p *model.Resource) {
				before := a.borrow(p.Allowed)
				a.banAll(p)
				a.originDiff(p, before, p.Allowed, model.Origin{Kind: model.OriginInstance, ID: parent.ID, Text: "enough instances"})
				a.giveBack(before)
			})
			a.banAll(x)
		}
		n := a.instance(x, parent, nil, perNode, true)
		if n != nil {
			assigned++
			parent.Allowed[n.Index].Count++
		}
		return n
	}
	for _, x := range list {
		if x.AssignedDone {
			continue
		}
		if n := fill(x); n != nil {
			if y := runningOn(list, x, n); y != nil {
				a.handOver(x, y, n)
				fill(x)
			}
		}
	}
}

// runningOn returns the instance of an anonymous clone that still has no place and runs on n, where x, which runs
// nowhere, was just put; nil = none. Without that the one would stop and the other start there, in every
// decision anew: an instance on a node that it does not want waits until the others have chosen, and those may
// be drawn to the node by what must not be with them.
func runningOn(list []*model.Resource, x *model.Resource, n *model.Node) *model.Resource {
	if x.Parent.Kind != cib.Clone || x.Parent.Clone.Unique || active(x) || x.Kind == cib.Group {
		return nil
	}
	for _, y := range list {
		if !y.AssignedDone && !y.Removed && y.Managed && len(y.Active) == 1 && y.Active[0] == n {
			return y
		}
	}
	return nil
}

// handOver gives the place of x to y.
func (a *assigner) handOver(x, y *model.Resource, n *model.Node) {
	y.Allowed[n.Index].Score = x.Allowed[n.Index].Score
	a.unplace(x)
	a.place(y, n, true)
}

// keepNode is the node on which an instance should be kept if possible; nil = none.
func (a *assigner) keepNode(x, parent *model.Resource, optimal int) *model.Node {
	n := x.Current()
	if n == nil || x.Failed || !n.Available() || n.Score < 0 {
		return nil
	}
	e := parent.Allowed.At(n)
	if int(e.Count) >= optimal || !allowed(x.Allowed, n) {
		return nil
	}
	return n
}

// keep tries to leave x on n: it does, unless the nodes that x would like better would otherwise stay empty.
func (a *assigner) keep(x, parent *model.Resource, n *model.Node, tries, perNode int) bool {
	counts := a.borrow(parent.Allowed)
	defer func() {
		copy(parent.Allowed, counts)
		a.giveBack(counts)
	}()
	for range tries {
		saved := a.save(x, nil)
		got := a.instance(x, parent, n, perNode, false)
		if got == n {
			a.drop(saved)
			return true
		}
		if got == nil && len(assignedNodes(x)) == 0 {
			// Only x itself is tried again: what its members found out stays.
			for _, member := range x.Children {
				forPrimitives(member, func(p *model.Resource) { a.failed(p) })
			}
			x.AssignedDone = false
			a.restore(x, saved)
			return false
		}
		a.unplace(x)
		a.restore(x, saved)
		if got == nil {
			return false
		}
		parent.Allowed[got.Index].Count++ // a place there is reserved for another instance
	}
	return false
}

// saved is what a tentative assignment of one resource may change.
type saved struct {
	table   model.Table
	origins [][]model.Origin
}

// save copies the tables of r and its descendants.
func (a *assigner) save(r *model.Resource, to []saved) []saved {
	to = append(to, saved{a.borrow(r.Allowed), a.keepOrigins(r)})
	for _, child := range r.Children {
		to = a.save(child, to)
	}
	return to
}

// restore puts saved tables back, in the same order.
func (a *assigner) restore(r *model.Resource, from []saved) []saved {
	copy(r.Allowed, from[0].table)
	a.forgetOrigins(r, from[0].origins)
	a.giveBack(from[0].table)
	from = from[1:]
	for _, child := range r.Children {
		from = a.restore(child, from)
	}
	return from
}

func (a *assigner) drop(list []saved) {
	for _, s := range list {
		a.giveBack(s.table)
	}
}

// instance assigns one instance of a collective (section 9.3).
func (a *assigner) instance(x, parent *model.Resource, prefer *model.Node, perNode int, final bool) *model.Node {
	for i := range x.Allowed {
		if !x.Allowed[i].Present {
			continue
		}
		n := a.byIndex[i]
		e := parent.Allowed.At(n)
		why := ""
		switch {
		case x.Removed:
			why = "not configured any more"
		case !n.Available():
			why = "the node is not available"
		case !e.Present || e.Score < 0:
			why = "not allowed there"
		case int(e.Count) >= perNode:
			why = "no further instance there"
		default:
			continue
		}
		if a.c.Trace.Reasons {
			forPrimitives(x, func(p *model.Resource) {
				if score(p.Allowed, n) > model.MinInfinity {
					a.origin(p, n, model.Origin{Kind: model.OriginInstance, ID: parent.ID, Number: model.MinInfinity, Text: why})
				}
			})
		}
		banNode(x, n)
	}
	return a.assign(x, prefer, final)
}

// banNode forbids n where it is in the tables of r and its descendants.
func banNode(r *model.Resource, n *model.Node) { addDeep(r, n, model.MinInfinity) }

// bundle assigns the parts of a bundle (section 11.1).
func (a *assigner) bundle(r *model.Resource, final bool) {
	if r.Assigning {
		return
	}
	r.Assigning = true
	defer func() { r.Assigning = false }()
	a.show("pcmk__bundle_assign", r, true)
	b := r.Bundle
	containers := make([]*model.Resource, 0, len(b.Replicas))
	for _, rep := range b.Replicas {
		containers = append(containers, rep.Container)
	}
	a.sortInstances(containers, r)
	a.distribute(containers, r, len(b.Replicas), b.PerHost)

	if b.Inner != nil {
		// Its instances are placed here one by one.
		b.Inner.Assigning = true
	}
	for _, rep := range b.Replicas {
		host := rep.Container.Assigned
		if rep.IP != nil {
			a.assign(rep.IP, host, final)
		}
		if rep.Connection != nil {
			if host != nil && host.IsRemoteKind() && host.Connection != nil && !rep.Connection.AssignedDone {
				a.colocateConnection(rep.Connection, host.Connection)
			}
			a.assign(rep.Connection, host, final)
		}
		if rep.Inner != nil && rep.Node != nil {
			a.assignInner(rep, final)
		}
	}
	if in := b.Inner; in != nil {
		for i := range in.Allowed {
			if !in.Allowed[i].Present {
				continue
			}
			in.Allowed[i].Score = model.MinInfinity
			for _, rep := range b.Replicas {
				if rep.Node != nil && rep.Node.Index == i {
					in.Allowed[i].Score = 0
				}
			}
		}
		in.Assigning = false
		a.assign(in, nil, final)
	}
	r.AssignedDone = true
}

// colocateConnection ties the connection of a replica to that of the remote node which hosts the container.
func (a *assigner) colocateConnection(connection, host *model.Resource) {
	for _, c := range connection.ThisWith {
		if c.Primary == host && c.ID == bundleRemote {
			return
		}
	}
	c := &model.Colocation{ID: bundleRemote, Dependent: connection, Primary: host, Score: model.Infinity, Attribute: uname, Influence: true}
	a.c.Colocations = append(a.c.Colocations, c)
	connection.ThisWith = insertColocation(connection.ThisWith, c, true)
	host.WithThis = insertColocation(host.WithThis, c, false)
}

// assignInner assigns what runs in a replica to the replica's own node.
func (a *assigner) assignInner(rep *model.Replica, final bool) {
	in := rep.Inner
	if !in.AssignedDone {
		before := a.borrow(in.Allowed)
		for i := range in.Allowed {
			if e := &in.Allowed[i]; e.Present {
				if i != rep.Node.Index {
					e.Score = model.MinInfinity
				} else if !overThreshold(a.c, in, rep.Node) {
					e.Score = model.Infinity
				}
			}
		}
		a.originDiff(in, before, in.Allowed, model.Origin{Kind: model.OriginContainer, ID: rep.Bundle.ID})
		a.giveBack(before)
	}
	a.assign(in, rep.Node, final)
}

// sequence is the order in which top-level resources are assigned (section 3.2).
func (a *assigner) sequence() []*model.Resource {
	if a.c.Options.Placement == model.PlaceDefault {
		return a.c.Resources
	}
	ranking := append([]*model.Node(nil), a.c.Nodes...)
	sortStable(ranking, func(m, n *model.Node) bool { return a.better(nil, nil, m, n) })
	combined := make(map[*model.Resource]model.Table, len(a.c.Resources))
	table := func(r *model.Resource) model.Table {
		t, ok := combined[r]
		if !ok {
			from := r
			if r.Kind == cib.Group && !r.GroupUncolocated && len(r.Children) > 0 {
				// The last member leads through all the others to what the group is colocated with.
				from = last(r)
			}
			t = append(model.Table(nil), from.Allowed...)
			a.steps = 0
			for _, c := range colocations(from, true) {
				a.merge(t, from, c.Primary, c, factor(c.Score), mergeOptions{asDependent: true, mustStayUsable: true})
			}
			settle(t)
			combined[r] = t
		}
		return t
	}
	list := append([]*model.Resource(nil), a.c.Resources...)
	sortStable(list, func(x, y *model.Resource) bool {
		if x.Priority != y.Priority {
			return x.Priority > y.Priority
		}
		tx, ty := table(x), table(y)
		if p, q := a.nowScore(x, tx), a.nowScore(y, ty); p != q {
			return p > q
		}
		for _, n := range ranking {
			if p, q := score(tx, n), score(ty, n); p != q {
				return p > q
			}
		}
		return false
	})
	a.c.Resources = list
	return list
}

// nowScore is the score on the node where r counts as active now.
func (a *assigner) nowScore(r *model.Resource, t model.Table) int32 {
	if n := r.Current(); n != nil {
		return score(t, n)
	}
	return model.MinInfinity
}
