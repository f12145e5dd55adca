package unpack

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// lockable reports whether a resource can be locked to a node that is shut down (spec/02-state.md section 10).
func lockable(r *model.Resource) bool {
	if r.Kind != cib.Primitive || r.FenceDevice || r.Connection {
		return false
	}
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Kind != cib.Group {
			return false
		}
	}
	return true
}

// recordedLock takes over a lock that the history records, unless it has ended.
func (u *unpacker) recordedLock(r *model.Resource, n *model.Node, h *cib.ResourceHistory) {
	since, ok := values.Integer(h.ShutdownLock)
	if !ok || since == 0 || !lockable(r) {
		return
	}
	c := u.c
	if limit := c.Options.ShutdownLockLimit; limit > 0 && c.Now.Unix() > since+limit {
		action.DeleteHistory(c, r, n)
		return
	}
	r.LockNode, r.LockTime = n, since
}

// locks locks resources to nodes that are being shut down, and keeps locked ones off other nodes
// (spec/02-state.md section 10).
func (u *unpacker) locks() {
	c := u.c
	if !c.Options.ShutdownLock {
		return
	}
	var walk func(*model.Resource)
	walk = func(r *model.Resource) {
		for _, child := range r.Children {
			walk(child)
		}
		if lockable(r) {
			u.lock(r)
		}
	}
	for _, r := range c.Resources {
		if r.Kind == cib.Primitive || r.Kind == cib.Group {
			walk(r)
		}
	}
}

func (u *unpacker) lock(r *model.Resource) {
	c := u.c
	switch {
	case r.LockNode != nil && len(r.Active) > 0:
		// Active somewhere after all, so the lock is over.
		action.DeleteHistory(c, r, r.LockNode)
		r.LockNode, r.LockTime = nil, 0
	case len(r.Active) == 1:
		n := r.Active[0]
		if !n.Shutdown || n.Unclean {
			return
		}
		r.LockNode, r.LockTime = n, c.Now.Unix()
		if v, ok := values.Integer(n.Attributes["shutdown"]); ok && v > 0 {
			r.LockTime = v
		}
	}
	if r.LockNode == nil {
		return
	}
	if limit := c.Options.ShutdownLockLimit; limit > 0 {
		c.RecheckUnix(r.LockTime + limit)
	}
	for _, n := range c.Nodes {
		if n != r.LockNode {
			u.score(r, n, model.MinInfinity, model.Origin{Kind: model.OriginShutdownLock, ID: r.LockNode.Name})
		}
	}
}
