// Package assign chooses the node and the role of every resource (spec/03-assignment.md).
//
// Prepare adds up the scores that are known before any resource has its place: location constraints,
// stickiness, failures, exclusive discovery and the colocations that the structure of resources implies.
// Run then assigns one resource after the other, each with the preferences of what is colocated with it.
//
// Both change only the resources' tables, colocations, priorities, roles and places, the node counts and
// capacities, the state of remote nodes whose connection was placed, and the score lines and origins of the
// cluster. A Cluster belongs to one goroutine, and so do the calls.
package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// assigner is the state of one Prepare or Run.
type assigner struct {
	c       *model.Cluster
	byIndex []*model.Node // by Node.Index

	// chosen is the score with which a resource was given its node, by Resource.Index.
	chosen []int32
	// inSet marks the sources of a merge that are being followed, by Resource.Index.
	inSet []bool
	// steps counts the sources of the present merge; tooDeep says that one was cut off.
	steps   int
	tooDeep bool
	// spare are tables to reuse.
	spare []model.Table
}

func newAssigner(c *model.Cluster) *assigner {
	a := &assigner{
		c: c, byIndex: make([]*model.Node, c.NodeCount()), chosen: make([]int32, len(c.All)), inSet: make([]bool, len(c.All)),
	}
	for _, n := range c.Nodes {
		a.byIndex[n.Index] = n
	}
	for _, r := range c.All {
		r.Allowed = r.Allowed.Grow(len(a.byIndex))
	}
	return a
}

// Run assigns every resource (spec/03-assignment.md phase 11) and writes the score lines that the cluster's
// Trace asks for.
func Run(c *model.Cluster) {
	a := newAssigner(c)
	a.showCapacities("Original")
	order := a.sequence()
	if c.HaveRemoteNodes {
		// Resources may be placed on remote nodes that come up in this transition, so these are settled first.
		for _, r := range order {
			if r.Connection && r.Kind == cib.Primitive {
				a.assign(r, r.PartialTarget, true)
			}
		}
	}
	for _, r := range order {
		if !r.Connection || r.Kind != cib.Primitive || !c.HaveRemoteNodes {
			a.assign(r, nil, true)
		}
	}
	a.showCapacities("Remaining")
}

// assign gives r and what belongs to it their places. prefer may be nil. The result is r's node; nil = none,
// or not a single one. A final assignment that fails has consequences for the role and the actions of r.
func (a *assigner) assign(r *model.Resource, prefer *model.Node, final bool) *model.Node {
	switch r.Kind {
	case cib.Group:
		return a.group(r, prefer, final)
	case cib.Clone:
		a.clone(r, prefer, final)
	case cib.Bundle:
		a.bundle(r, final)
	default:
		return a.primitive(r, prefer, final)
	}
	return nil
}

// place records the choice for a primitive; n may be nil.
func (a *assigner) place(r *model.Resource, n *model.Node, final bool) {
	if r.AssignedDone {
		a.unplace(r)
	}
	r.AssignedDone, r.Assigned = true, n
	if n == nil {
		if final {
			a.failed(r)
		}
		return
	}
	a.chosen[r.Index] = r.Allowed.At(n).Score
	n.Assigned++
	consume(n, r, -1)
	a.showUtilization(r, n)
}

// failed says that r will run nowhere.
func (a *assigner) failed(r *model.Resource) {
	r.Next = model.RoleStopped
	for _, act := range r.Actions {
		switch {
		case act.Task == "stop":
			act.Optional = false
		case act.Task == "start", act.Interval != 0 && act.TargetRC != 7:
			act.Runnable = false
		}
	}
}

// unplace takes back a placement, in r and all its descendants.
func (a *assigner) unplace(r *model.Resource) {
	for _, child := range r.Children {
		a.unplace(child)
	}
	if n := r.Assigned; n != nil && r.Kind == cib.Primitive {
		n.Assigned--
		consume(n, r, 1)
	}
	r.Assigned, r.AssignedDone = nil, false
}

// nowhere finally assigns r and its descendants to no node.
func (a *assigner) nowhere(r *model.Resource) {
	for _, child := range r.Children {
		a.nowhere(child)
	}
	if r.Kind == cib.Primitive {
		a.place(r, nil, true)
		return
	}
	r.AssignedDone, r.Assigned, r.Next = true, nil, model.RoleStopped
}

// updateRemote gives the node of a connection that was just placed its new state (spec/02-state.md section 4).
func (a *assigner) updateRemote(r *model.Resource) {
	n := r.RemoteNode
	if !r.Connection || n == nil {
		return
	}
	if r.Assigned == nil || r.Next == model.RoleStopped {
		n.Shutdown = true
		return
	}
	n.Online = true
	if !n.Seen {
		// The connection is tried again before the node is fenced.
		n.Unclean = false
	}
}

// SortByNumber sorts instances by their number, the lowest first.
func SortByNumber(children []*model.Resource) {
	// Insertion: the list is short or nearly sorted.
	for i := 1; i < len(children); i++ {
		for j := i; j > 0 && number(children[j]) < number(children[j-1]); j-- {
			children[j], children[j-1] = children[j-1], children[j]
		}
	}
}
