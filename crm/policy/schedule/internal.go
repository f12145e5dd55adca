package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
)

const (
	start         = action.TaskStart
	stop          = action.TaskStop
	promote       = action.TaskPromote
	demote        = action.TaskDemote
	running       = action.TaskRunning
	stopped       = action.TaskStopped
	promoted      = action.TaskPromoted
	demoted       = action.TaskDemoted
	monitor       = action.TaskMonitor
	migrateTo     = action.TaskMigrateTo
	migrateFrom   = action.TaskMigrateFrom
	reload        = action.TaskReload
	cancel        = action.TaskCancel
	clearFailures = action.TaskClearFailures
)

// internal writes down what the structure of r implies (spec/05-ordering.md 4.1 to 4.5, 4.8 and 4.9).
func (s *scheduler) internal(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		s.internalGroup(r)
	case cib.Clone:
		s.internalClone(r)
	case cib.Bundle:
		s.internalBundle(r)
	default:
		s.internalPrimitive(r)
	}
}

func (s *scheduler) internalPrimitive(r *model.Resource) {
	if !r.Managed {
		return
	}
	s.order(r, stop, r, start, model.Seq|model.PullThen|model.RestartPair)
	if promotable(r) || r.Role > model.RoleUnpromoted {
		s.order(r, demote, r, stop, model.PullFirstPromoted)
		s.order(r, start, r, promote, model.Gate)
	}
	// A probe on the same node finds out anew what the history would have said.
	s.order(r, action.TaskDeleteHistory, r, monitor, model.IfSameNode|model.CancelFirst)

	if !r.FenceDevice && r.Unfencing && s.c.UnfencingInUse {
		for _, n := range s.c.Nodes {
			if !isAllowed(r, n) {
				continue
			}
			u := action.FenceAction(s.c, n, "on", true, "")
			s.orderBeforeAction(r, stop, u, model.Seq|model.IfSameNode)
			s.orderBefore(u, r, start, model.PullThenLocal|model.IfSameNode)
		}
	}
	if s.c.Options.Placement != model.PlaceDefault && len(r.Utilization) > 0 {
		s.loads(r)
	}
	s.internalLaunched(r)
}

// orderBeforeAction writes down "r's operation before the action", whose resource may be nil.
func (s *scheduler) orderBeforeAction(r *model.Resource, task string, then *model.Action, e model.Effects) {
	s.orderAfter(r, task, then, e)
}

// loads frees capacity before it is used: what stops on a node comes before what starts or migrates there.
func (s *scheduler) loads(r *model.Resource) {
	for _, n := range r.Active {
		s.orderAfter(r, stop, s.loadStopped(n), model.IfSameNodeOrTarget)
	}
	for _, n := range s.c.Nodes {
		if !isAllowed(r, n) {
			continue
		}
		l := s.loadStopped(n)
		s.orderBefore(l, r, start, model.IfSameNodeOrTarget)
		s.orderBefore(l, r, migrateTo, model.IfSameNodeOrTarget)
	}
}

func (s *scheduler) loadStopped(n *model.Node) *model.Action {
	key := action.TaskLoadStopped + "_" + n.Name
	a := s.c.ClusterAction(key)
	if a == nil {
		a = action.PseudoKey(s.c, nil, key, key, false, true)
		a.Node = n
	}
	return a
}

// internalLaunched ties r to the resource inside which it runs. A resource that may run only on the node that
// its launcher provides is ordered by the connection of that node.
func (s *scheduler) internalLaunched(r *model.Resource) {
	l := r.Launcher
	if l == nil {
		return
	}
	if r.IsGuestConnection {
		s.order(l, monitor, r, stop, model.Seq)
	}
	if !r.Connection && (l.Connection || l.RemoteNode != nil) {
		return
	}
	s.order(l, start, r, start, model.PullThen|model.Gate)
	s.order(r, stop, l, stop, model.PullFirst)
}

func (s *scheduler) internalGroup(g *model.Resource) {
	s.order(g, stop, g, stopped, model.Gate)
	s.order(g, stopped, g, start, model.Seq)
	s.order(g, start, g, running, model.Gate)
	ordered := !g.GroupUnordered
	promotes := promotable(g)
	var previous, lastActive *model.Resource
	for _, m := range g.Children {
		s.internal(m)

		down, downDone := model.ShowFirst, model.ShowThen
		if ordered && previous == nil {
			down, downDone = model.ShowFirst|model.Seq, model.PullThen
		}
		if promotes {
			s.order(g, demote, m, demote, down)
			s.order(m, demote, g, demoted, downDone)
			s.order(m, promote, g, promoted, model.Gate|model.PullThen|model.ShowThen)
			s.order(g, promote, m, promote, model.ShowFirst)
		}
		s.order(g, stop, m, stop, down)
		s.order(m, stop, g, stopped, downDone)
		s.order(g, start, m, start, model.ShowFirst)
		s.order(m, start, g, running, model.Gate|model.PullThen|model.ShowThen)

		if ordered && previous != nil {
			s.order(previous, start, m, start, model.PullThen|model.Gate)
			s.order(m, stop, previous, stop, model.Seq|model.RestartPair)
			if promotes {
				s.order(previous, promote, m, promote, model.PullThen|model.Gate)
				s.order(m, demote, previous, demote, model.Seq)
			}
			if len(m.Active) > 0 && len(previous.Active) == 0 {
				// A gap: what runs above it goes down before the gap is filled.
				s.order(m, stop, previous, start, model.PullFirst|model.Gate)
				if lastActive != nil {
					s.order(m, stop, lastActive, stop, model.Seq)
				}
			}
		}
		if len(m.Active) > 0 {
			lastActive = m
		}
		previous = m
	}
}

func (s *scheduler) internalClone(r *model.Resource) {
	s.order(r, stopped, r, start, model.Seq)
	s.order(r, start, r, running, model.Gate)
	s.order(r, stop, r, stopped, model.Gate)
	if r.Clone.Promotable {
		s.order(r, demoted, r, stop, model.Seq)
		s.order(r, running, r, promote, model.Gate)
	}
	if r.Clone.Ordered {
		assign.SortByNumber(r.Children)
	}
	for at, i := range r.Children {
		s.internal(i)
		// Resolving "i starts" as a first side makes it exist, if only as an action without a place. So what it
		// follows stands before what follows it.
		if r.Clone.Ordered {
			for _, before := range r.Children[:at] {
				s.order(before, start, i, start, model.Seq)
				s.order(i, stop, before, stop, model.Seq)
			}
		}
		s.order(r, start, i, start, model.Gate|model.ShowFirst)
		s.order(i, start, r, running, model.ShowThen)
		s.order(r, stop, i, stop, model.ShowFirst)
		s.order(i, stop, r, stopped, model.ShowThen)
	}
	if !r.Clone.Promotable {
		return
	}
	s.promotableOrderings(r)
	var previous *model.Resource
	for _, i := range r.Children {
		s.order(i, demote, i, promote, model.Seq)
		s.order(r, promote, i, promote, model.Seq)
		s.order(i, promote, r, promoted, model.Seq)
		if r.Clone.Ordered && previous != nil {
			s.order(previous, promote, i, promote, model.Seq)
		}
		s.order(r, demote, i, demote, model.ShowFirst)
		s.order(i, demote, r, demoted, model.ShowThen)
		if r.Clone.Ordered && previous != nil {
			s.order(i, demote, previous, demote, model.Seq)
		}
		previous = i
	}
}

// promotableOrderings orders the role changes of a promotable clone or bundle as a whole.
func (s *scheduler) promotableOrderings(r *model.Resource) {
	s.order(r, stopped, r, start, model.Seq)
	s.order(r, stopped, r, promote, model.Seq)
	s.order(r, demoted, r, stop, model.Seq)
	s.order(r, demoted, r, start, model.Seq)
	s.order(r, demoted, r, promote, model.Seq)
	s.order(r, running, r, promote, model.Seq)
	s.order(r, demote, r, demoted, model.Seq)
}

func (s *scheduler) internalBundle(b *model.Resource) {
	inner := b.Bundle.Inner
	if inner != nil {
		s.order(b, start, inner, start, model.ShowFirst)
		s.order(inner, running, b, running, model.ShowThen)
		s.order(b, stop, inner, stop, model.ShowFirst)
		s.order(inner, stopped, b, stopped, model.ShowThen)
	}
	for _, rep := range b.Bundle.Replicas {
		k := rep.Container
		s.internal(k)
		s.order(b, start, k, start, model.Gate|model.ShowFirst)
		if rep.Inner != nil {
			s.order(b, stop, rep.Inner, stop, model.ShowFirst)
		}
		s.order(b, stop, k, stop, model.ShowFirst)
		s.order(k, start, b, running, model.ShowThen)
		s.order(k, stop, b, stopped, model.ShowThen)
		if ip := rep.IP; ip != nil {
			s.internal(ip)
			s.order(ip, start, k, start, model.Gate|model.GuestOK)
			s.order(k, stop, ip, stop, model.PullFirst|model.GuestOK)
		}
		if rep.Connection != nil {
			s.internal(rep.Connection)
		}
	}
	if inner == nil {
		return
	}
	s.internal(inner)
	if inner.Clone.Promotable {
		s.promotableOrderings(b)
		s.order(b, promote, inner, promote, model.ShowFirst)
		s.order(inner, promoted, b, promoted, model.ShowThen)
		s.order(b, demote, inner, demote, model.ShowFirst)
		s.order(inner, demoted, b, demoted, model.ShowThen)
	}
}
