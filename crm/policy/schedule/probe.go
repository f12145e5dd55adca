package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// probes asks for the present state of every resource on every node where it is not known
// (spec/04-actions.md section 6).
func (s *scheduler) probes() {
	c := s.c
	if !c.Options.StartupProbes {
		return
	}
	s.alike = s.probedAlike()
	for _, n := range c.Nodes {
		if !n.Online {
			if n.Kind == model.RemoteNode && action.ConnectionState(c, n) == action.StateFailed {
				action.Fence(c, n, "the connection is unrecoverable", false)
			}
			continue
		}
		if n.Unclean || n.ProbesDisabled {
			continue
		}
		for _, r := range c.Resources {
			s.probe(r, n)
		}
	}
	// Relations between the same actions that share an effect are ignored, so that those of the probes that
	// also hold the start back had to be written down first.
	for _, p := range s.probed {
		s.order(p.r, monitor, p.starting, start, model.Seq)
	}
}

// probedAlike counts the nodes that will be probed; 0 = the probes of a resource may differ from one node to
// another.
func (s *scheduler) probedAlike() int {
	c, count := s.c, 0
	if c.UnfencingInUse || c.Options.Placement != model.PlaceDefault {
		return 0
	}
	for _, n := range c.Nodes {
		if !n.Online || n.Unclean || n.ProbesDisabled {
			continue
		}
		if n.Kind != model.ClusterNode || n.Pending {
			return 0
		}
		count++
	}
	return count
}

// probedStart is a resource that is probed and what starts after that: itself or its clone.
type probedStart struct{ r, starting *model.Resource }

// probe creates the probes of r on n; it reports whether there is one.
func (s *scheduler) probe(r *model.Resource, n *model.Node) bool {
	switch r.Kind {
	case cib.Group:
		any := false
		for _, m := range r.Children {
			if s.probe(m, n) {
				any = true
			}
		}
		return any
	case cib.Clone:
		return s.probeClone(r, n)
	case cib.Bundle:
		return s.probeBundle(r, n)
	}
	return s.probePrimitive(r, n)
}

func (s *scheduler) probePrimitive(r *model.Resource, n *model.Node) bool {
	if isKnown(r, n) || r.Removed || (r.Launcher != nil && !r.Connection) {
		return false
	}
	if n.IsRemoteKind() && (r.FenceDevice || r.Connection) {
		return false
	}
	if n.IsGuestKind() && r.RemoteNode != nil && !r.Connection {
		return false
	}
	if !Discovered(r, n) {
		return false
	}
	top, starting := r.Top(false), r
	if top.Kind == cib.Clone {
		starting = top
	}
	if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil {
		l := n.Connection.Launcher
		switch {
		case l.Role == model.RoleStopped:
			if l.Assigned != nil && !isKnown(l, l.Assigned) {
				s.order(l, monitor, starting, start, model.Seq)
			}
			return false
		case n.Reset, n.Unclean, l.Failed, l.Next == model.RoleStopped, l.Assigned != nil && !isActiveOn(l, l.Assigned):
			// The container goes down, and with it all that may run in it.
			s.order(l, stop, starting, start, model.Seq)
			return false
		}
	}
	if s.inRow(r, starting, n) {
		return true
	}
	p := action.Probe(s.c, r, n)
	p.Optional = false
	action.AfterUnfencing(s.c, r, n, p, model.Seq)
	if !isActiveOn(r, n) {
		p.TargetRC = 7
	} else if r.Role == model.RolePromoted {
		p.TargetRC = 8
	}
	if !p.Runnable && !anyActive(starting) {
		s.orderBefore(p, starting, start, model.Seq|model.Gate)
	} else if s.starts == nil || !s.starts[r.Index] {
		if s.starts == nil {
			s.starts = make([]bool, len(s.c.All))
		}
		s.starts[r.Index] = true
		s.probed = append(s.probed, probedStart{r, starting})
	}
	if action.FindTask(starting, reload, nil) != nil {
		s.orderBefore(p, starting, reload, model.Seq)
	}
	return true
}

// Discovered reports whether the location constraints (resource-discovery) have r looked for on n. Known once package assign has
// prepared the resources.
func Discovered(r *model.Resource, n *model.Node) bool {
	entry := r.Allowed.At(n)
	if (r.ExclusiveDiscovery || r.Top(false).ExclusiveDiscovery) && (!entry.Present || entry.Discovery != model.DiscoverExclusive) {
		return false
	}
	return entry.Discovery != model.DiscoverNever
}

// inRow adds the probe of r on n to the row of r, if it has one or may have one.
func (s *scheduler) inRow(r, starting *model.Resource, n *model.Node) bool {
	if r.Row == nil {
		if s.alike == 0 || action.FindTask(starting, reload, nil) != nil {
			return false
		}
		room := s.alike
		if starting != r {
			room = 1 // of a clone, each instance is probed on a node of its own
		}
		if action.ProbeRow(s.c, r, room) == nil {
			return false
		}
		s.probed = append(s.probed, probedStart{r, starting})
	}
	r.Row.Add(n)
	return true
}

// anyActive reports whether r, or something in it, is active anywhere.
func anyActive(r *model.Resource) bool {
	if len(r.Active) > 0 {
		return true
	}
	for _, child := range r.Children {
		if anyActive(child) {
			return true
		}
	}
	return false
}

func (s *scheduler) probeClone(r *model.Resource, n *model.Node) bool {
	assign.SortByNumber(r.Children)
	if r.ExclusiveDiscovery {
		if e := r.Allowed.At(n); e.Present && e.Discovery != model.DiscoverExclusive {
			r.Allowed[n.Index].Present = false
			return false
		}
	}
	if r.Clone.Unique {
		any := false
		for _, i := range r.Children {
			if s.probe(i, n) {
				any = true
			}
		}
		return any
	}
	if i := probed(r, n); i != nil {
		return s.probe(i, n)
	}
	return false
}

// probed chooses the instance of an anonymous clone that is probed on n.
func probed(r *model.Resource, n *model.Node) *model.Resource {
	for _, i := range r.Children {
		if isKnown(i, n) {
			return i
		}
		for _, m := range i.Children {
			if isKnown(m, n) {
				return i
			}
		}
	}
	for _, i := range r.Children {
		if location(i) == n {
			return i
		}
	}
	if len(r.Children) > 0 {
		return r.Children[0]
	}
	return nil
}

// location is the one node to which a resource is assigned; nil = none, or several.
func location(r *model.Resource) *model.Node {
	if len(r.Children) == 0 {
		return r.Assigned
	}
	var at *model.Node
	for _, child := range r.Children {
		n := location(child)
		switch {
		case n == nil:
		case at == nil:
			at = n
		case at != n:
			return nil
		}
	}
	return at
}

func (s *scheduler) probeBundle(b *model.Resource, n *model.Node) bool {
	any := false
	for _, rep := range b.Bundle.Replicas {
		if rep.IP != nil && s.probe(rep.IP, n) {
			any = true
		}
		if rep.Inner != nil && rep.Node == n && s.probe(rep.Inner, n) {
			any = true
		}
		if s.probe(rep.Container, n) {
			any = true
			if b.Bundle.PerHost == 1 {
				// No other container may start here before it is known that this one does not run here.
				for _, other := range b.Bundle.Replicas {
					if other != rep {
						s.order(rep.Container, monitor, other.Container, start, model.Seq|model.IfSameNode)
					}
				}
			}
		}
		if rep.Connection != nil && s.probe(rep.Connection, n) {
			any = true
			if p := rep.Connection.Probe(n); p != nil {
				s.orderAfter(rep.Container, start, p, model.NestedProbe)
			}
		}
	}
	return any
}

// clearRemoved clears the fail counts of resources that are configured no longer (spec/04-actions.md 9.4).
func (s *scheduler) clearRemoved() {
	c := s.c
	if !c.Options.StopRemovedResources {
		return
	}
	for _, r := range c.All {
		if !r.Removed || r.Kind != cib.Primitive || r.Parent != nil {
			continue
		}
		for _, n := range c.Nodes {
			if !n.Online {
				continue
			}
			if count, _ := values.FailCount(c, r, n, values.Failures{Effective: true}); count > 0 {
				a := action.ClearFailcount(c, r, n, "it is configured no longer")
				s.orderBefore(a, r, stop, model.Seq)
			}
		}
	}
}
