package schedule

import (
	"slices"
	"strconv"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// statusDone is the op-status of an operation that was carried out.
const statusDone = 0

// CheckHistory compares the recorded operations with the configuration and schedules what a change of it asks
// for: restart, reload, clean-up, cancellation of recurring operations (spec/04-actions.md section 9).
func CheckHistory(c *model.Cluster) {
	s := &scheduler{c: c}
	var lookup model.Lookup
	for _, n := range c.Nodes {
		if n.State == nil || !(n.Available() || n.Maintenance) {
			continue
		}
		for i := range n.State.History {
			h := &n.State.History[i]
			if r := lookup.Resource(c, i, h.ID); r != nil {
				if r.Kind != cib.Primitive {
					if r = c.Former(h.ID); r == nil {
						continue
					}
				}
				s.checkResource(r, n, h, false)
				if !anonymous(r) {
					continue // no other can go by its name
				}
			}
			for _, r := range c.ByHistoryID(h.ID) {
				if r.HistoryID == h.ID {
					s.checkResource(r, n, h, false)
				}
			}
		}
	}
}

// checkDeferred does what had to wait for the assignment: the address of a bundle's connection depends on the
// host of its container.
func (s *scheduler) checkDeferred() {
	c := s.c
	if !slices.ContainsFunc(c.Resources, func(r *model.Resource) bool { return r.Kind == cib.Bundle }) {
		return
	}
	for _, n := range c.Nodes {
		if n.State == nil || !(n.Available() || n.Maintenance) {
			continue
		}
		for i := range n.State.History {
			h := &n.State.History[i]
			if r := c.Resource(h.ID); r != nil && r.Connection && r.Replica != nil {
				s.checkResource(r, n, h, true)
			}
		}
	}
}

func (s *scheduler) checkResource(r *model.Resource, n *model.Node, h *cib.ResourceHistory, deferred bool) {
	c := s.c
	if deferred && !action.UsesHostAddress(c, r) {
		return
	}
	changed := h.Class != r.Class || h.Provider != r.Provider || h.Type != r.Type
	switch {
	case r.Removed:
		if !deferred && !anonymous(r) {
			s.cleanUp(r, n)
		}
		return
	case !isActiveOn(r, n):
		if changed && !deferred {
			s.cleanUp(r, n)
		}
		return
	case changed && !deferred:
		action.Unfence(c, r, n, "Device definition changed", nil)
		action.Stop(c, r, n, false)
		r.StartPending = true
		s.cleanUp(r, n)
	}

	ops := sortHistory(h.Operations)
	first, ok := activeSince(ops)
	if !ok {
		return
	}
	for _, e := range ops[first:] {
		switch {
		case e.Interval > 0 && (r.Maintenance || n.Maintenance):
			if !deferred {
				s.cancelRecorded(r, n, e)
			}
		case e.Interval > 0 || e.Operation == monitor || e.Operation == start || e.Operation == promote || e.Operation == migrateFrom:
			if deferred != action.UsesHostAddress(c, r) {
				continue
			}
			if s.checkOperation(r, n, e) {
				if count, _ := values.FailCount(c, r, n, values.Failures{Effective: true}); count > 0 {
					action.ClearFailcount(c, r, n, "its definition changed")
				}
			}
		}
	}
}

// activeSince finds the operation that made the resource active; ok is false if it was stopped later.
func activeSince(ops []*cib.HistoryOp) (first int, ok bool) {
	started, stoppedAt, roleChange, found := -1, -1, -1, -1
	for i, e := range ops {
		switch e.Operation {
		case stop:
			if e.Status == statusDone {
				stoppedAt = i
			}
		case start, migrateFrom:
			started = i
		case promote, demote:
			roleChange = i
		case monitor:
			if found <= stoppedAt && (e.RC == 0 || e.RC == 8) {
				found = i
			}
		}
	}
	if started < 0 {
		started = roleChange
	}
	if started < 0 {
		started = found
	}
	if started < stoppedAt {
		return 0, false
	}
	return max(started, 0), true
}

// cancelRecorded cancels a recurring operation that should not run any more.
func (s *scheduler) cancelRecorded(r *model.Resource, n *model.Node, e *cib.HistoryOp) {
	a := s.cancel(r, e.Operation, e.Interval, n)
	action.SetMeta(a, "call-id", strconv.FormatInt(e.CallID, 10))
	s.orderAfter(r, stop, a, model.Seq)
}

// checkOperation schedules what the change of one operation's definition asks for, and reports whether it
// changed (spec/04-actions.md 9.1).
func (s *scheduler) checkOperation(r *model.Resource, n *model.Node, e *cib.HistoryOp) bool {
	c := s.c
	if e.Interval > 0 && values.FindOp(r, e.Operation, e.Interval, true) == nil {
		if c.Options.CancelRemovedActions {
			s.cancelRecorded(r, n, e)
		}
		return true
	}
	verdict, task := action.Compare(c, r, n, e)
	if verdict != action.Same && c.Options.Sanitized && action.SecretsOnly(c, r, n, e) {
		return false
	}
	switch verdict {
	case action.Same:
		return false
	case action.Restart:
		s.forceRestart(r, n, task, e.Interval)
		return true
	}
	switch {
	case e.Interval > 0:
		action.Unfence(c, r, n, "Device parameters changed (reschedule)", nil)
		action.Recurring(c, r, task, e.Interval, n, true).Reschedule = true
	case e.RestartDigest != "":
		action.Unfence(c, r, n, "Device parameters changed (reload)", nil)
		s.reload(r, n)
	default:
		s.forceRestart(r, n, task, e.Interval)
	}
	return true
}

// forceRestart makes the start of r required, wherever it will be placed, and with it the stop.
func (s *scheduler) forceRestart(r *model.Resource, n *model.Node, task string, intervalMS int64) {
	a := action.New(s.c, r, action.Key(r.ID, task, intervalMS), task, nil, false)
	a.Interval = intervalMS
	action.Because(a, "resource definition change", true)
	action.Unfence(s.c, r, n, "Device parameters changed", nil)
}

// reload gives a running resource its new parameters without a restart (spec/04-actions.md 9.2).
func (s *scheduler) reload(r *model.Resource, n *model.Node) {
	c := s.c
	if !r.Managed || r.Failed {
		return
	}
	if r.StartPending {
		action.Stop(c, r, n, false)
		return
	}
	r.Reloading = true
	a := action.New(c, r, action.Key(r.ID, reload, 0), reload, n, false)
	action.Because(a, "resource definition change", false)
	s.orderBefore(a, r, stop, model.Seq|model.CancelFirst)
	s.orderBefore(a, r, demote, model.Seq|model.CancelFirst)
}

// cleanUp makes the executor on n forget r (spec/04-actions.md 9.3).
func (s *scheduler) cleanUp(r *model.Resource, n *model.Node) {
	if r.Failed || n.Unclean || !n.Online {
		return
	}
	action.Delete(s.c, r, n, false)
	s.order(r, stop, r, action.TaskDelete, model.Seq)
	s.order(r, action.TaskDelete, r, start, model.Seq)
}
