package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// fencing schedules the fencing and the shutdown of nodes (spec/04-actions.md section 13).
func (s *scheduler) fencing() {
	c := s.c
	managed := anyManaged(c.Resources)
	var leaderDown, lastFence *model.Action // the leader's (DC's) own fencing or shutdown; the last of a chain
	var fences, shutdowns []*model.Action
	for _, n := range c.Nodes {
		if n.IsGuestKind() {
			if n.Reset && managed && action.CanFence(c, n) {
				s.fenceGuest(n)
			}
			continue
		}
		var down *model.Action
		switch {
		case managed && n.Unclean && action.CanFence(c, n):
			down = action.FenceAction(c, n, "", false, "node is unclean")
			s.relateFencing(down)
		case n.Kind == model.ClusterNode && n.Online && n.Shutdown:
			down = s.shutdown(n)
		default:
			if managed && n.Unclean {
				c.Messages = append(c.Messages, model.Message{Text: "node " + n.Name + " is unclean but cannot be fenced"})
			}
			continue
		}
		switch {
		case n.IsDC:
			leaderDown = down
		case down.Task == action.TaskShutdown:
			shutdowns = append(shutdowns, down)
		case !c.Options.ConcurrentFencing:
			if lastFence != nil {
				action.Relate(c, lastFence, down, model.Seq)
			}
			lastFence = down
		default:
			fences = append(fences, down)
		}
	}
	if leaderDown == nil {
		return
	}
	if leaderDown.Task == action.TaskShutdown {
		for _, a := range shutdowns {
			action.Relate(c, a, leaderDown, model.Seq)
		}
	}
	for _, a := range fences {
		action.Relate(c, a, leaderDown, model.Seq)
	}
	if lastFence != nil {
		action.Relate(c, lastFence, leaderDown, model.Seq)
	}
}

func anyManaged(list []*model.Resource) bool {
	for _, r := range list {
		if r.Managed || anyManaged(r.Children) {
			return true
		}
	}
	return false
}

// fenceGuest "fences" a guest node by what happens to its container (spec/04-actions.md 13.3).
func (s *scheduler) fenceGuest(n *model.Node) {
	c := s.c
	var down *model.Action
	op := "off"
	if conn := n.Connection; conn != nil && conn.Launcher != nil {
		down = action.FindTask(conn.Launcher, stop, nil)
		if action.FindTask(conn.Launcher, start, nil) != nil {
			op = "reboot"
		}
	}
	event := action.FenceAction(c, n, op, false, "guest is unclean")
	event.Pseudo, event.Runnable = true, true
	switch {
	case down != nil && down.Pseudo && down.Node != nil:
		host := action.FenceAction(c, down.Node, "", false, "")
		action.Relate(c, host, event, model.Gate|model.PullThen)
	case down != nil:
		action.Relate(c, down, event, model.Gate|model.PullThen)
	case n.Connection != nil:
		// The container is believed stopped, perhaps only because its history was cleaned. The stop of the
		// connection comes after the container's probe, so that this event does not come too early.
		if down = action.FindTask(n.Connection, stop, nil); down != nil {
			action.Relate(c, down, event, model.Seq)
		}
	}
	s.relateFencing(event)
}

// relateFencing relates a fencing to every resource (spec/04-actions.md 13.2).
func (s *scheduler) relateFencing(fence *model.Action) {
	for _, r := range s.c.Resources {
		s.relateFencingTo(r, fence)
	}
}

func (s *scheduler) relateFencingTo(r *model.Resource, fence *model.Action) {
	if len(r.Children) > 0 {
		for _, child := range r.Children {
			s.relateFencingTo(child, fence)
		}
		return
	}
	if r.Kind != cib.Primitive || !r.Managed {
		return
	}
	c, n := s.c, fence.Node
	for _, a := range r.Others {
		switch a.Needs {
		case model.RequiresFencing:
			action.Relate(c, fence, a, model.Seq)
		case model.RequiresQuorum:
			if a.Task == start && isAllowed(r, n) && !knownAnywhere(r, n) {
				action.Relate(c, fence, a, model.Seq|model.Gate)
			}
		}
	}
	s.implied(r, fence)
}

// isAllowed reports whether n is one of the nodes that r was given a score for, even if one that forbids it.
func isAllowed(r *model.Resource, n *model.Node) bool {
	e := r.Allowed.At(n)
	return e.Present && !e.Hidden
}

// knownAnywhere reports whether the state of r on n is known; for a member of an anonymous clone whether
// that of the clone is.
func knownAnywhere(r *model.Resource, n *model.Node) bool {
	if isKnown(r, n) {
		return true
	}
	if top := r.Top(false); anonymous(r) {
		return isKnown(top, n)
	}
	return false
}

// implied makes the stops and demotes on a fenced node events, since nothing of them is left to be done.
func (s *scheduler) implied(r *model.Resource, fence *model.Action) {
	c, n := s.c, fence.Node
	order := r.Requires == model.RequiresFencing || n.IsGuestKind()
	bundled := inBundle(r)
	count := len(r.Others) // notifications are added to the list
	for i := 0; i < count; i++ {
		a := r.Others[i]
		if a.Task != stop || a.Interval != 0 || a.Node != n {
			continue
		}
		a.Pseudo, a.Runnable = true, true
		if order {
			if !bundled {
				action.Relate(c, fence, a, model.GuestOK)
			}
			action.Relate(c, fence, action.FindTask(r.Top(false), stop, nil), model.GuestOK)
		}
		if r.Notify {
			s.notifyImpliedStop(r, fence)
		}
	}
	for i := 0; i < count; i++ {
		a := r.Others[i]
		if a.Task != demote || a.Interval != 0 || a.Node != n {
			continue
		}
		if n.Online && !n.Unclean && !r.Failed {
			continue
		}
		a.Pseudo, a.Runnable = true, true
		if order && !bundled {
			action.Relate(c, fence, a, model.GuestOK|model.Seq)
		}
	}
}

// inBundle reports whether r is a part of a bundle.
func inBundle(r *model.Resource) bool {
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Kind == cib.Bundle {
			return true
		}
	}
	return false
}

// shutdown schedules the shutdown of n, after everything on it has stopped (spec/04-actions.md 13.5).
func (s *scheduler) shutdown(n *model.Node) *model.Action {
	c := s.c
	key := action.TaskShutdown + "-" + n.Name
	a := c.ClusterAction(key)
	if a == nil {
		a = c.NewAction(nil, key, action.TaskShutdown, 0, n)
		a.Runnable = true
		action.SetMeta(a, "op_no_wait", "true")
	}
	a.Optional = false
	for _, down := range c.Actions {
		if down.Task != stop || down.Node != n || down.Interval != 0 || down.Resource == nil {
			continue
		}
		if n.Maintenance || down.Resource.Maintenance || !down.Resource.Managed && !down.Resource.Blocked {
			continue
		}
		down.Optional = false
		action.Relate(c, down, a, model.Seq|model.Gate)
	}
	return a
}
