package unpack

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// deferredStop is a container that has to be stopped because the connection into it failed.
type deferredStop struct{ container *model.Resource }

// leftover is a removed resource that ran in a container.
type leftover struct {
	r         *model.Resource
	container string // id
}

// findHistory finds the resource that an entry of the history is about (spec/02-state.md 5.1); nil = it is not
// configured any more. What has the id of a group, clone or bundle now was a primitive once, and may be active.
func (u *unpacker) findHistory(n *model.Node, position int, id string) *model.Resource {
	c := u.c
	r := u.lookup.Resource(c, position, id)
	if r == nil {
		for _, x := range c.ByHistoryID(id) {
			if x.HistoryID == id {
				r = x
				break
			}
		}
	}
	if r != nil {
		if r.Kind != cib.Primitive {
			return c.Former(id)
		}
	} else if r = c.Resource(values.WithoutInstance(id) + ":0"); r == nil || r.Kind != cib.Primitive || anonymousClone(r) == nil {
		return nil
	}
	clone := anonymousClone(r)
	if clone == nil {
		return r
	}
	base := r.ConfigID
	if clone.Parent != nil && clone.Parent.Kind == cib.Bundle {
		r = nil
		for _, rep := range clone.Parent.Bundle.Replicas {
			if rep.Node == n {
				r = rep.Inner
			}
		}
	} else {
		r = u.anonymousInstance(n, clone, base)
	}
	if r != nil && r.ID != id && r.HistoryID != id {
		c.SetHistoryID(r, id)
	}
	return r
}

// anonymousClone returns the anonymous clone that r is an instance of, or in an instance of; nil = none.
func anonymousClone(r *model.Resource) *model.Resource {
	if r.Unique {
		return nil
	}
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Clone != nil {
			return p
		}
	}
	return nil
}

// memberOf returns the primitive of an instance with the configured id; nil = none.
func memberOf(instance *model.Resource, configID string) *model.Resource {
	if instance.Kind == cib.Primitive {
		if instance.ConfigID == configID {
			return instance
		}
		return nil
	}
	for _, m := range instance.Children {
		if m.ConfigID == configID {
			return m
		}
	}
	return nil
}

// location returns the first node where r or something in it is active; nil = none.
func location(r *model.Resource) *model.Node {
	if len(r.Active) > 0 {
		return r.Active[0]
	}
	for _, child := range r.Children {
		if n := location(child); n != nil {
			return n
		}
	}
	return nil
}

// pendingOn returns the node of a pending operation of r or something in it; nil = none.
func pendingOn(r *model.Resource) *model.Node {
	if r.PendingNode != nil {
		return r.PendingNode
	}
	for _, child := range r.Children {
		if n := pendingOn(child); n != nil {
			return n
		}
	}
	return nil
}

// anonymousInstance chooses the instance that stands for what the history of a node knows under one name
// (spec/02-state.md 5.2); it makes a removed one when no instance is left.
func (u *unpacker) anonymousInstance(n *model.Node, clone *model.Resource, base string) *model.Resource {
	var located, free *model.Resource
	excess := false
	for _, instance := range clone.Children {
		if at := location(instance); at != nil {
			if at != n {
				continue
			}
			m := memberOf(instance, base)
			if m == nil {
				continue
			}
			if len(m.Active) > 0 {
				// Something was recorded twice, as when the clone was unique before.
				excess = true
				continue
			}
			located = m
			break
		}
		at := pendingOn(instance)
		if at == n {
			if m := memberOf(instance, base); m != nil {
				located = m
				break
			}
		}
		if free == nil && !excess {
			m := memberOf(instance, base)
			if m != nil && !m.Blocked && (m.PendingNode == nil || m.PendingNode == n) && at == nil {
				free = m
			}
		}
	}
	r := located
	if r == nil && !excess {
		r = free
	}
	if r != nil && r.Requires != model.RequiresFencing && (!n.Online || n.Unclean) && !n.IsGuestKind() &&
		clone.Clone.Max != u.c.NodeCount() {
		r = nil
	}
	if r != nil {
		return r
	}
	instance, err := u.instance(clone, true)
	if err != nil {
		u.errorf("clone %q: %v", clone.ID, err)
		return nil
	}
	r = memberOf(instance, base)
	return r
}

// removedResource makes up a resource for an entry whose resource is not configured any more
// (spec/02-state.md 5.3).
func (u *unpacker) removedResource(n *model.Node, h *cib.ResourceHistory) *model.Resource {
	c := u.c
	cfg := &cib.Resource{Kind: cib.Primitive, ID: h.ID, Class: h.Class, Provider: h.Provider, Type: h.Type}
	r, err := u.expand(cfg, nil, "")
	if err != nil {
		u.errorf("history of %q on %q: %v", h.ID, n.Name, err)
		return nil
	}
	r.Removed = true
	c.Resources = append(c.Resources, r)
	if c.Resource(r.ID) != r {
		c.AddFormer(r)
	}
	if r.Connection {
		node := c.NodeByName(r.ID)
		if node == nil {
			node = u.addNode(r.ID, r.ID, model.RemoteNode, 0)
			u.siteName(node)
			for i := range c.Doc.Status.Nodes {
				if s := &c.Doc.Status.Nodes[i]; node.State == nil && strings.EqualFold(s.Name, r.ID) {
					node.State = s
				}
			}
		}
		u.linkLauncher(r)
		node.Shutdown = true
	}
	if h.Container != "" {
		r.RemovedLauncher = true
		u.leftovers = append(u.leftovers, leftover{r, h.Container})
	}
	if !c.Options.StopRemovedResources {
		r.Managed = false
	} else {
		u.score(r, nil, model.MinInfinity, model.Origin{Kind: model.OriginRemoved})
	}
	return r
}

// score adds a score to the tables of r and everything below it, for one node or, with a nil node, for all;
// nodes that are not in a table are put into it (spec/03-assignment.md 2.1).
func (u *unpacker) score(r *model.Resource, n *model.Node, s int32, why model.Origin) {
	c := u.c
	r.Allowed = r.Allowed.Grow(c.NodeCount())
	if n == nil {
		for _, x := range c.Nodes {
			u.scoreOne(r, x, s, why)
		}
	} else {
		u.scoreOne(r, n, s, why)
	}
	for _, child := range r.Children {
		u.score(child, n, s, why)
	}
}

func (u *unpacker) scoreOne(r *model.Resource, n *model.Node, s int32, why model.Origin) {
	e := &r.Allowed[n.Index]
	if !e.Present {
		*e = model.Entry{Score: n.Score, Present: true, Discovery: e.Discovery}
	}
	e.Score, e.Hidden = model.AddScore(e.Score, s), false
	if u.c.Trace.Reasons {
		for len(r.Origins) < u.c.NodeCount() {
			r.Origins = append(r.Origins, nil)
		}
		why.Number = s
		r.Origins[n.Index] = append(r.Origins[n.Index], why)
	}
}

// unit returns what a ban for r applies to: r itself, or for what is not unique its top resource.
func unit(r *model.Resource) *model.Resource {
	if r.Unique {
		return r
	}
	return r.Top(false)
}

// resourceHistory reads what a node's history knows about one resource (spec/02-state.md sections 5, 8, 9).
func (u *unpacker) resourceHistory(n *model.Node, s *cib.NodeState, position int) {
	c, h := u.c, &s.History[position]
	if h.ID == "" || (len(h.Operations) == 0 && !c.Options.ShutdownLock) {
		return
	}
	r := u.findHistory(n, position, h.ID)
	if r == nil {
		if len(h.Operations) == 0 {
			return
		}
		if r = u.removedResource(n, h); r == nil {
			return
		}
	}
	if c.Options.ShutdownLock {
		u.recordedLock(r, n, h)
	}
	if len(h.Operations) == 0 {
		return
	}
	x := &u.entries
	*x = entries{u: u, r: r, n: n, s: s, h: h, before: r.Role, policy: values.PolicyIgnore, sorted: x.sorted, spare: x.spare}
	if notRunning(r, h.Operations) {
		r.Role, r.Next = model.RoleStopped, model.RoleUnknown
		x.finish()
		return
	}
	x.sort()
	r.Role = model.RoleUnknown
	for _, e := range x.sorted {
		x.read(e)
	}
	x.recurring()
	x.finish()
}

// notRunning reports whether all that is recorded is a probe that did not find the resource. That is most of what
// large clusters remember, and nothing in it can expire.
func notRunning(r *model.Resource, ops []cib.HistoryOp) bool {
	if len(ops) != 1 || r.FailureTimeoutMS > 0 {
		return false
	}
	e := &ops[0]
	return e.RC == rcNotRunning && e.Status == statusDone && e.Interval == 0 && e.Operation == "monitor" &&
		e.ID != "" && !strings.HasSuffix(e.ID, "_last_failure_0")
}

// recurring notes the recurring operations that are active already (spec/02-state.md 9.9).
func (x *entries) recurring() {
	n := x.n
	if !n.Online {
		return
	}
	start, stop := x.span()
	// What was followed by a stop is over; what came after the stop watches the inactive side.
	if start < stop {
		start = stop
	}
	for i, e := range x.sorted {
		if i < start || e.Interval <= 0 || e.Status == statusPending || !known(e) {
			continue
		}
		a := action.Recurring(x.u.c, x.r, e.Operation, e.Interval, n, true)
		if x.expired[e] {
			a.Reschedule = true
		}
	}
}

// span returns the positions of the entry with which the resource became active and of its last stop; -1 =
// none.
func (x *entries) span() (start, stop int) {
	start, stop = -1, -1
	monitored, changed := -1, -1
	for i, e := range x.sorted {
		switch e.Operation {
		case "stop":
			if e.Status == statusDone {
				stop = i
			}
		case "start", "migrate_from":
			start = i
		case "promote", "demote":
			changed = i
		case "monitor":
			if (monitored < 0 || monitored <= stop) && (e.RC == 0 || e.RC == 8) {
				monitored = i
			}
		}
	}
	if start == -1 {
		if changed != -1 {
			start = changed
		} else {
			start = monitored
		}
	}
	return start, stop
}

// finish draws the conclusions after all entries of a resource on a node (spec/02-state.md section 9).
func (x *entries) finish() {
	u, r, n := x.u, x.r, x.n
	if r.Role != model.RoleUnknown {
		u.known(r, n)
	}
	active := r.Role > model.RoleStopped
	if active && r.Managed && !n.Online && !n.Maintenance {
		x.activeOffline()
	}
	policy := x.policy
	failedHere := policy != values.PolicyIgnore
	if n.Unclean {
		policy = values.PolicyIgnore // fencing will recover it
	}
	x.apply(policy, active)
	if r.Connection && r.Failed && r.RemoteNode != nil && r.RemoteNode.Unclean {
		// The connection cannot vouch for the node any more.
		r.RemoteNode.Seen = true
	}
	if active {
		if r.Removed {
			u.warnf("removed resource %q is active on %q", r.ID, n.Name)
		}
		u.running(r, n, failedHere)
		switch policy {
		case values.PolicyIgnore:
		case values.PolicyDemote, values.PolicyBlock:
			r.Failed = true
		default:
			r.Failed, r.MustStop = true, true
		}
	} else if strings.Contains(r.HistoryID, ":") {
		u.c.SetHistoryID(r, r.ID)
	} else {
		for _, a := range r.Actions {
			if a.Task == action.TaskStop && a.Node == n {
				a.Optional = true
			}
		}
	}
	if want := u.target[r]; want != model.RoleUnknown && (r.Next == model.RoleUnknown || want < r.Next) {
		r.Next = want
	}
	if x.before > r.Role {
		r.Role = x.before
	}
	if r.Role == model.RoleStopped && r.PartialSource == n && len(r.Active) > 0 {
		r.Role = model.RoleStarted // stopped on the source of a migration only
	}
}

// known marks the state of r, and of what it is an instance of, as known on n (spec/02-state.md 9.0).
func (u *unpacker) known(r *model.Resource, n *model.Node) {
	for p := r; p != nil; p = p.Parent {
		if len(p.Known) < u.c.NodeCount() {
			grown := make([]bool, u.c.NodeCount())
			copy(grown, p.Known)
			p.Known = grown
		}
		p.Known[n.Index] = true
		if p.Unique {
			return
		}
	}
}

// activeOffline is a managed resource that was active on a node that cannot be talked to
// (spec/02-state.md 9.1).
func (x *entries) activeOffline() {
	c, r, n := x.u.c, x.r, x.n
	switch {
	case n.IsGuestKind():
		r.Failed, r.MustStop = true, true
		action.Fence(c, n, r.ID+" is thought to be active there", false)
	case !c.Options.FencingEnabled:
	case n.Kind == model.RemoteNode && n.Connection != nil && !n.Connection.Failed:
		n.Seen = false
		action.Fence(c, n, r.ID+" is active there (fencing will be revoked if remote connection can be re-established elsewhere)", false)
	default:
		action.Fence(c, n, r.ID+" is thought to be active there", false)
	}
}

// apply does what the policy for failures asks for (spec/02-state.md 9.2).
func (x *entries) apply(policy values.Policy, active bool) {
	u, c, r, n := x.u, x.u.c, x.r, x.n
	failed := func() { r.Failed, r.MustStop = true, true }
	switch policy {
	case values.PolicyDemote:
		r.Failed = true
		action.Demote(c, r, n, false)
	case values.PolicyFence:
		action.Fence(c, n, r.ID+" failed there", false)
	case values.PolicyStandby:
		n.Standby, n.StandbyOnFail = true, true
	case values.PolicyBlock:
		r.Managed, r.Blocked = false, true
	case values.PolicyBan:
		u.score(r, n, model.MinInfinity, model.Origin{Kind: model.OriginFailedOperation, Text: "on-fail=migrate"})
	case values.PolicyStop:
		r.Next = model.RoleStopped
	case values.PolicyRestart:
		if active {
			failed()
			action.Stop(c, r, n, false)
		}
	case values.PolicyRestartContainer:
		failed()
		switch {
		case r.Launcher != nil && r.Replica != nil:
			// The container may not be known to be active yet.
			u.stopContainers = append(u.stopContainers, deferredStop{container: r.Launcher})
		case r.Launcher != nil:
			action.Stop(c, r.Launcher, n, false)
		case active:
			action.Stop(c, r, n, false)
		}
	case values.PolicyResetRemote:
		failed()
		if c.Options.FencingEnabled && r.RemoteNode != nil && r.RemoteNode.Kind == model.RemoteNode && !r.RemoteNode.NodeFenced {
			action.Fence(c, r.RemoteNode, "remote connection is unrecoverable", false)
		}
		if active {
			action.Stop(c, r, n, false)
		}
		if r.ReconnectMS > 0 {
			r.Next = model.RoleStopped
		}
	}
}

// running adds n to the active list of r and of what it is part of (spec/02-state.md 9.5). failed says that
// r failed there, so that it does not raise the node's priority.
func (u *unpacker) running(r *model.Resource, n *model.Node, failed bool) {
	c := u.c
	for _, at := range r.Active {
		if at == n {
			return
		}
	}
	r.Active = append(r.Active, n)
	if r.Kind == cib.Primitive {
		n.Running = append(n.Running, r)
		if !failed {
			u.nodePriority(r, n)
		}
		if n.Maintenance {
			r.Managed, r.Maintenance = false, true
		}
	}
	if r.Kind == cib.Primitive && !r.Managed {
		u.score(r, n, model.Infinity, model.Origin{Kind: model.OriginUnmanaged})
		for p := r.Parent; p != nil; p = p.Parent {
			listed := false
			for _, at := range p.Active {
				listed = listed || at == n
			}
			if !listed {
				p.Active = append(p.Active, n)
			}
		}
		return
	}
	if multiplyActive(r) {
		switch r.Multi {
		case model.MultiStopOnly:
			r.Allowed = make(model.Table, c.NodeCount())
			for _, x := range c.Nodes {
				r.Allowed[x.Index] = model.Entry{Score: model.MinInfinity, Present: true}
			}
		case model.MultiBlock:
			r.Managed, r.Blocked = false, true
			if p := r.Parent; p != nil && (p.Kind == cib.Group || p.Kind == cib.Bundle) && p.Multi == model.MultiBlock {
				for _, m := range p.Children {
					m.Managed, m.Blocked = false, true
				}
			}
		}
	}
	if r.Parent != nil {
		u.running(r.Parent, n, false)
	}
}

// multiplyActive reports whether r is active on more nodes than one; for what does not require fencing only
// nodes count that are online and clean. Collectives with instances never are.
func multiplyActive(r *model.Resource) bool {
	if r.Kind != cib.Primitive || len(r.Active) < 2 {
		return false
	}
	if r.Requires == model.RequiresFencing {
		return true
	}
	clean := 0
	for _, n := range r.Active {
		if n.Online && !n.Unclean {
			clean++
		}
	}
	return clean > 1
}

// nodePriority counts r for the priority of n and of the nodes behind it (spec/02-state.md 6.4).
func (u *unpacker) nodePriority(r *model.Resource, n *model.Node) {
	if r.Priority == 0 {
		return
	}
	p := r.Priority
	if r.Role == model.RolePromoted {
		p = model.AddScore(p, 1)
	}
	n.Priority = model.AddScore(n.Priority, p)
	if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil {
		for _, host := range n.Connection.Launcher.Active {
			host.Priority = model.AddScore(host.Priority, p)
		}
	}
}
