package assign

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// score is the score of an entry, minus infinity for a node that is not in the table.
func score(t model.Table, n *model.Node) int32 {
	if e := t.At(n); e.Present {
		return e.Score
	}
	return model.MinInfinity
}

// allowed reports whether n is in the table with a score of at least 0.
func allowed(t model.Table, n *model.Node) bool {
	e := t.At(n)
	return e.Present && e.Score >= 0
}

// add adds s to the entry of n, if n is in the table.
func add(t model.Table, n *model.Node, s int32) {
	if n != nil && n.Index < len(t) && t[n.Index].Present {
		t[n.Index].Score = model.AddScore(t[n.Index].Score, s)
	}
}

// banAll forbids every node to r and its descendants. Nodes that are not in a table are put into it.
func (a *assigner) banAll(r *model.Resource) {
	for _, n := range a.c.Nodes {
		e := &r.Allowed[n.Index]
		e.Score, e.Present, e.Hidden = model.MinInfinity, true, false
	}
	for _, child := range r.Children {
		a.banAll(child)
	}
}

// addDeep adds s for n to the tables of r and its descendants. Nodes that are not in a table stay out.
func addDeep(r *model.Resource, n *model.Node, s int32) {
	add(r.Allowed, n, s)
	for _, child := range r.Children {
		addDeep(child, n, s)
	}
}

// insertDeep is addDeep for scores that also put the node into the tables.
func insertDeep(r *model.Resource, n *model.Node, s int32) {
	if e := &r.Allowed[n.Index]; !e.Present {
		*e = model.Entry{Score: s, Present: true}
	} else {
		e.Score, e.Hidden = model.AddScore(e.Score, s), false
	}
	for _, child := range r.Children {
		insertDeep(child, n, s)
	}
}

// usable reports whether some available node has a score of at least 0.
func (a *assigner) usable(t model.Table) bool {
	for i := range t {
		if t[i].Present && t[i].Score >= 0 && a.byIndex[i].Available() {
			return true
		}
	}
	return false
}

// borrow returns a copy of t that giveBack takes again.
func (a *assigner) borrow(t model.Table) model.Table {
	var b model.Table
	if n := len(a.spare); n > 0 {
		b, a.spare = a.spare[n-1], a.spare[:n-1]
	} else {
		b = make(model.Table, 0, len(a.byIndex))
	}
	return append(b[:0], t...)
}

func (a *assigner) giveBack(t model.Table) { a.spare = append(a.spare, t) }

// better reports whether m comes before n for a resource with the table t that is now on current
// (spec/03-assignment.md section 4). A nil table compares the nodes' base scores.
func (a *assigner) better(t model.Table, current, m, n *model.Node) bool {
	x, y := model.MinInfinity, model.MinInfinity
	if m.Available() {
		x = nodeScore(t, m)
	}
	if n.Available() {
		y = nodeScore(t, n)
	}
	if x != y {
		return x > y
	}
	if a.c.Options.Placement != model.PlaceMinimal {
		if a.c.Options.Placement == model.PlaceBalanced {
			if b := compareCapacity(m, n); b != 0 {
				return b > 0
			}
		}
		if m.Assigned != n.Assigned {
			return m.Assigned < n.Assigned
		}
		if m == current || n == current {
			return m == current && n != current
		}
	}
	return m.Name < n.Name
}

func nodeScore(t model.Table, n *model.Node) int32 {
	if t == nil {
		return n.Score
	}
	return score(t, n)
}

// best returns the best node of the table; nil = the table is empty.
func (a *assigner) best(t model.Table, current *model.Node) *model.Node {
	var b *model.Node
	for i := range t {
		if t[i].Present {
			if n := a.byIndex[i]; b == nil || a.better(t, current, n, b) {
				b = n
			}
		}
	}
	return b
}

// ranked lists the nodes of the table, the best first.
func (a *assigner) ranked(t model.Table, current *model.Node) []*model.Node {
	var list []*model.Node
	for i := range t {
		if t[i].Present {
			list = append(list, a.byIndex[i])
		}
	}
	sortStable(list, func(m, n *model.Node) bool { return a.better(t, current, m, n) })
	return list
}

// sortStable is a merge sort. Some orders of the specification are not transitive, so the result depends on
// which pairs are compared: a plain top-down merge sort is the written rule here.
func sortStable[T any](list []T, less func(x, y T) bool) {
	if len(list) < 2 {
		return
	}
	mid := (len(list) + 1) / 2
	left := append([]T(nil), list[:mid]...)
	right := append([]T(nil), list[mid:]...)
	sortStable(left, less)
	sortStable(right, less)
	i, j := 0, 0
	for k := range list {
		if j >= len(right) || i < len(left) && !less(right[j], left[i]) {
			list[k] = left[i]
			i++
		} else {
			list[k] = right[j]
			j++
		}
	}
}

// forPrimitives calls f for every primitive in r, in order.
func forPrimitives(r *model.Resource, f func(*model.Resource)) {
	if r.Kind == cib.Primitive {
		f(r)
	}
	for _, child := range r.Children {
		forPrimitives(child, f)
	}
}

// activeNodes lists the nodes where r, or a descendant of r, is active now, each once.
func activeNodes(r *model.Resource) []*model.Node {
	return nodes(r, func(p *model.Resource) []*model.Node { return p.Active })
}

// assignedNodes lists the nodes that r, or a descendant of r, was given, each once.
func assignedNodes(r *model.Resource) []*model.Node {
	return nodes(r, func(p *model.Resource) []*model.Node {
		if p.Assigned == nil {
			return nil
		}
		return []*model.Node{p.Assigned}
	})
}

func nodes(r *model.Resource, of func(*model.Resource) []*model.Node) []*model.Node {
	if r.Kind == cib.Primitive {
		return of(r)
	}
	var list []*model.Node
	forPrimitives(r, func(p *model.Resource) {
	next:
		for _, n := range of(p) {
			for _, seen := range list {
				if seen == n {
					continue next
				}
			}
			list = append(list, n)
		}
	})
	return list
}

// active reports whether r or a descendant of it is active anywhere.
func active(r *model.Resource) bool {
	if len(r.Active) > 0 {
		return true
	}
	for _, child := range r.Children {
		if active(child) {
			return true
		}
	}
	return false
}

// assignedNode is the one node that r was given; nil = none or several.
func assignedNode(r *model.Resource) *model.Node {
	if r.Kind == cib.Primitive {
		return r.Assigned
	}
	if list := assignedNodes(r); len(list) == 1 {
		return list[0]
	}
	return nil
}

// failedDeep reports whether r or a descendant of it failed.
func failedDeep(r *model.Resource) bool {
	if r.Failed {
		return true
	}
	for _, child := range r.Children {
		if failedDeep(child) {
			return true
		}
	}
	return false
}

// promotable reports whether r is a promotable clone.
func promotable(r *model.Resource) bool { return r != nil && r.Clone != nil && r.Clone.Promotable }

// cloneOf returns the clone that r is an instance of, or in an instance of; nil = none.
func cloneOf(r *model.Resource) *model.Resource {
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Kind == cib.Clone {
			return p
		}
		if p.Kind == cib.Bundle {
			return nil
		}
	}
	return nil
}

// last returns the last member of a group.
func last(group *model.Resource) *model.Resource { return group.Children[len(group.Children)-1] }

// sameName compares names or attribute values without case.
func sameName(x, y string) bool { return strings.EqualFold(x, y) }
