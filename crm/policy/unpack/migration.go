package unpack

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// on returns the entries that a node has for the resource at hand.
func (x *entries) on(n *model.Node) []cib.HistoryOp {
	if n == x.n {
		return x.h.Operations
	}
	if n == nil || n.State == nil {
		return nil
	}
	for i := range n.State.History {
		if h := &n.State.History[i]; h.ID == x.h.ID {
			return h.Operations
		}
	}
	return nil
}

// find returns the entry on n of a migration from source to target; nil = none.
func (x *entries) find(n *model.Node, task, source, target string) *cib.HistoryOp {
	ops := x.on(n)
	for i := range ops {
		e := &ops[i]
		if e.Operation == task && strings.EqualFold(e.MigrateSource, source) && strings.EqualFold(e.MigrateTarget, target) {
			return e
		}
	}
	return nil
}

// newerAction reports whether n has a start, stop or migration that is newer than ref.
func (x *entries) newerAction(n *model.Node, ref *cib.HistoryOp) bool {
	ops := x.on(n)
	for i := range ops {
		e := &ops[i]
		switch e.Operation {
		case "start", "stop", "migrate_to", "migrate_from":
			if e != ref && newer(e, ref) {
				return true
			}
		}
	}
	return false
}

// newerState reports whether n has an action, or a monitor that did not find the resource, that is newer
// than ref.
func (x *entries) newerState(n *model.Node, ref *cib.HistoryOp) bool {
	if x.newerAction(n, ref) {
		return true
	}
	ops := x.on(n)
	for i := range ops {
		e := &ops[i]
		if e.Operation == "monitor" && e.RC == rcNotRunning && e.Status == statusDone && newer(e, ref) {
			return true
		}
	}
	return false
}

// unknownOn reports whether nothing is known of the resource on n.
func (x *entries) unknownOn(n *model.Node) bool {
	ops := x.on(n)
	for i := range ops {
		if ops[i].RC != rcUnknown {
			return false
		}
	}
	return true
}

// migrationNodes returns source and target of a migration entry; ok is false when the entry is not about
// the node on which it was recorded (spec/02-state.md 8.9).
func (x *entries) migrationNodes(e *cib.HistoryOp, here string) (source, target *model.Node, ok bool) {
	if e.MigrateSource == "" || e.MigrateTarget == "" || !strings.EqualFold(here, x.n.Name) {
		return nil, nil, false
	}
	c := x.u.c
	return c.NodeByName(e.MigrateSource), c.NodeByName(e.MigrateTarget), true
}

// migrated is a successful migrate_to on this node.
func (x *entries) migrated(e *cib.HistoryOp) {
	r, s := x.r, x.n
	_, t, ok := x.migrationNodes(e, e.MigrateSource)
	if !ok {
		return
	}
	var from *cib.HistoryOp
	if t != nil {
		from = x.find(t, "migrate_from", e.MigrateSource, e.MigrateTarget)
	}
	left := x.newerAction(s, e)
	if from != nil && left {
		return
	}
	ref := e
	if from != nil {
		ref = from
	}
	arrived := t != nil && x.newerState(t, ref)
	if left && arrived {
		return
	}
	if from != nil && from.RC == rcOK && from.Status == statusDone {
		// The resource is on the target; the source still has to be cleaned.
		r.Role = model.RoleStopped
		r.Dangling = append(r.Dangling, s)
		return
	}
	r.Role = model.RoleStarted
	online := t != nil && t.Online
	restart := func() { r.Failed, r.MustStop, r.NotMigratable = true, true, true }
	switch {
	case from != nil && from.Status != statusPending:
		if online && !arrived {
			x.runningFailed(t)
		} else {
			restart()
		}
	case online && x.unknownOn(t):
		// A probe will tell.
	case online && !arrived:
		x.u.running(r, t, false)
		if s.Online {
			r.PartialSource, r.PartialTarget = s, t
		}
	case !left:
		restart()
	}
}

// runningFailed adds n to the nodes where the resource is active, with failures there.
func (x *entries) runningFailed(n *model.Node) { x.u.running(x.r, n, true) }

// migrateToFailed is a failed migrate_to on this node.
func (x *entries) migrateToFailed(e *cib.HistoryOp) {
	r, s := x.r, x.n
	_, t, ok := x.migrationNodes(e, e.MigrateSource)
	if !ok {
		return
	}
	r.Role = model.RoleStarted
	if t != nil && !x.unknownOn(t) {
		ref := e
		if from := x.find(t, "migrate_from", e.MigrateSource, e.MigrateTarget); from != nil {
			ref = from
		}
		if !x.newerState(t, ref) {
			if t.Online {
				x.u.running(r, t, false)
			}
			return
		}
	}
	if !x.newerAction(s, e) {
		r.Dangling = append(r.Dangling, s)
	}
}

// migrateFromFailed is a failed migrate_from on this node.
func (x *entries) migrateFromFailed(e *cib.HistoryOp) {
	r := x.r
	s, _, ok := x.migrationNodes(e, e.MigrateTarget)
	if !ok {
		return
	}
	r.Role = model.RoleStarted
	if s == nil || x.unknownOn(s) {
		return
	}
	ref := e
	if to := x.find(s, "migrate_to", e.MigrateSource, e.MigrateTarget); to != nil {
		ref = to
	}
	if !x.newerState(s, ref) && s.Online {
		x.runningFailed(s)
	}
}
