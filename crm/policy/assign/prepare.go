package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// Names of the colocations that the structure of resources implies.
const (
	groupMembers  = "#group-members"
	withContainer = "#resource-with-container"
	bundleIP      = "#ip-with-container"
	bundleRemote  = "#connection-with-remote-connection"
)

// containerScore is the preference of a bundle connection for the host of its container.
const containerScore = 10000

// uname is the node attribute that colocations compare unless they name another one.
const uname = "#uname"

// Prepare adds what is known before the first resource is placed: location constraints, stickiness,
// failures, exclusive discovery and internal colocations (spec/03-assignment.md phases 6 to 9). It leaves the
// resources' lists of colocations in their final order.
func Prepare(c *model.Cluster) {
	a := newAssigner(c)
	for _, r := range c.All {
		a.originBase(r)
	}
	for _, l := range c.Locations {
		a.locate(l, l.Resource, false)
	}
	for _, r := range c.All {
		a.stick(r)
	}
	for _, n := range c.Nodes {
		for _, top := range c.Resources {
			if len(n.FailureAttributes) > 0 || len(top.Children) > 0 || len(top.Launched) > 0 {
				forPrimitives(top, func(r *model.Resource) { a.banFailed(r, n) })
			}
			a.banUndiscovered(top, n)
		}
	}
	for _, top := range c.Resources {
		a.internal(top)
	}
	for _, r := range c.All {
		r.ThisWith = sortedColocations(r.ThisWith, true)
		r.WithThis = sortedColocations(r.WithThis, false)
	}
}

// locate applies a location constraint to r (section 2.2). zero makes the nodes known without a score.
func (a *assigner) locate(l *model.Location, r *model.Resource, zero bool) {
	switch r.Kind {
	case cib.Group:
		a.locateOne(l, r, zero)
		for i, member := range r.Children {
			a.locate(l, member, zero || i > 0 && !r.GroupUncolocated)
		}
	case cib.Clone:
		a.locateOne(l, r, zero)
		for _, instance := range r.Children {
			a.locate(l, instance, zero)
		}
	case cib.Bundle:
		a.locateOne(l, r, zero)
		for _, rep := range r.Bundle.Replicas {
			for _, part := range []*model.Resource{rep.Container, rep.IP} {
				if part != nil {
					a.locate(l, part, zero)
				}
			}
		}
		if inner := r.Bundle.Inner; inner != nil && l.Role == model.RolePromoted {
			inner.Locations = append(inner.Locations, l)
		}
	default:
		a.locateOne(l, r, zero)
	}
}

func (a *assigner) locateOne(l *model.Location, r *model.Resource, zero bool) {
	if l.Role != model.RoleUnknown && l.Role != r.Next {
		return
	}
	for _, at := range l.Nodes {
		s := at.Score
		if zero {
			s = 0
		}
		e := &r.Allowed[at.Node.Index]
		if e.Present {
			e.Score, e.Hidden = model.AddScore(e.Score, s), false
		} else {
			*e = model.Entry{Score: s, Present: true}
		}
		e.Discovery = max(e.Discovery, l.Discovery)
		if a.c.Trace.Reasons && s != 0 {
			kind := model.OriginLocation
			if l.Health {
				kind = model.OriginHealth
			}
			a.origin(r, at.Node, model.Origin{Kind: kind, ID: l.ID, Number: s, Text: l.Text})
		}
	}
	if l.Discovery == model.DiscoverExclusive {
		r.ExclusiveDiscovery = true
	}
}

// stick adds the stickiness of a primitive (section 2.3).
func (a *assigner) stick(r *model.Resource) {
	if r.Kind != cib.Primitive || !r.Managed || r.Stickiness < 1 || len(r.Active) != 1 {
		return
	}
	n := r.Active[0]
	if !a.c.Options.Symmetric && !r.Allowed.At(n).Present {
		return
	}
	insertDeep(r, n, r.Stickiness)
	a.origin(r, n, model.Origin{Kind: model.OriginStickiness, ID: "resource-stickiness", Number: r.Stickiness})
}

// banFailed forbids n to a primitive that failed there too often (section 2.4).
func (a *assigner) banFailed(r *model.Resource, n *model.Node) {
	if r.MigrationThreshold == 0 || len(n.FailureAttributes) == 0 && len(r.Launched) == 0 {
		return
	}
	if !overThreshold(a.c, r, n) {
		return
	}
	for _, act := range r.Actions {
		if act.Task == "clear_failcount" && act.Node == n {
			return
		}
	}
	failed := r
	if !r.Unique {
		failed = r.Top(false)
	}
	insertDeep(failed, n, model.MinInfinity)
	a.origin(r, n, model.Origin{Kind: model.OriginFailures, ID: "migration-threshold", Number: model.MinInfinity})
}

// overThreshold reports whether a primitive failed on n so often that it may not run there.
func overThreshold(c *model.Cluster, r *model.Resource, n *model.Node) bool {
	if r.MigrationThreshold == 0 || r.FailureIgnored || len(n.FailureAttributes) == 0 && len(r.Launched) == 0 {
		return false
	}
	count, _ := values.FailCount(c, r, n, values.Failures{Effective: true, Launched: true})
	return count > 0 && count >= r.MigrationThreshold
}

// banUndiscovered forbids n where a resource with exclusive discovery is not discovered (section 2.5).
func (a *assigner) banUndiscovered(r *model.Resource, n *model.Node) {
	if r.ExclusiveDiscovery || r.Top(false).ExclusiveDiscovery {
		if e := r.Allowed.At(n); e.Present && e.Discovery != model.DiscoverExclusive {
			add(r.Allowed, n, model.MinInfinity)
			a.origin(r, n, model.Origin{Kind: model.OriginDiscovery, ID: "resource-discovery", Number: model.MinInfinity})
		}
	}
	for _, child := range r.Children {
		a.banUndiscovered(child, n)
	}
}

// colocate adds an internal colocation.
func (a *assigner) colocate(id string, dependent, primary *model.Resource, score int32, influence bool) *model.Colocation {
	c := &model.Colocation{ID: id, Dependent: dependent, Primary: primary, Score: score, Attribute: uname, Influence: influence}
	a.c.Colocations = append(a.c.Colocations, c)
	dependent.ThisWith = append(dependent.ThisWith, c)
	primary.WithThis = append(primary.WithThis, c)
	return c
}

// internal adds the colocations and bans that the structure implies (section 2.7).
func (a *assigner) internal(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		for i, member := range r.Children {
			a.internal(member)
			if i > 0 && !r.GroupUncolocated {
				a.colocate(groupMembers, member, r.Children[i-1], model.Infinity, member.Critical)
			}
		}
		return
	case cib.Clone:
		for _, instance := range r.Children {
			a.internal(instance)
		}
		return
	case cib.Bundle:
		for _, rep := range r.Bundle.Replicas {
			if rep.Container != nil {
				a.internal(rep.Container)
			}
			if rep.IP != nil {
				a.internal(rep.IP)
				a.colocate(bundleIP, rep.IP, rep.Container, model.Infinity, true)
			}
			if rep.Connection != nil {
				a.internal(rep.Connection)
			}
		}
		if r.Bundle.Inner != nil {
			a.internal(r.Bundle.Inner)
		}
		return
	}
	if !r.Managed {
		return
	}
	if l := r.Launcher; l != nil {
		var only *model.Node
		switch {
		case r.Connection:
		case l.Connection:
			only = l.RemoteNode
		case l.RemoteNode != nil && l.RemoteNode.Kind == model.GuestNode:
			only = l.RemoteNode
		}
		if only != nil {
			for _, n := range a.c.Nodes {
				if n != only {
					a.ban(r, n, model.OriginContainer, only.Name)
				}
			}
		} else {
			s := model.Infinity
			if r.Replica != nil && r == r.Replica.Connection {
				s = containerScore
			}
			a.colocate(withContainer, r, l, s, true)
		}
	}
	if !r.Connection && !r.FenceDevice {
		return
	}
	for _, n := range a.c.Nodes {
		if !n.IsRemoteKind() || n.Connection == nil && !r.Connection {
			continue
		}
		a.ban(r, n, model.OriginContainer, "remote node")
		if r.Connection && r.IsGuestConnection && r.Replica == nil && r.Launcher != nil {
			a.ban(r.Launcher, n, model.OriginContainer, "remote node")
		}
	}
}

// ban forbids n to r where it is in r's table.
func (a *assigner) ban(r *model.Resource, n *model.Node, kind model.OriginKind, why string) {
	banNode(r, n)
	a.origin(r, n, model.Origin{Kind: kind, ID: why, Number: model.MinInfinity})
}
