package policy

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// Change is one line of the transition summary: what will be done to a node or a resource, and why.
type Change struct {
	Verb      string // Fence, Shutdown, Start, Stop, Restart, Move, Recover, Migrate, Reload, Promote, Demote, Re-promote
	Resource  string // instance id; "" for nodes
	Node      string // of a node change
	FenceOp   string // of a Fence: reboot, off, on
	Container string // of a fenced guest: the resource that it runs in

	From, To         string     // nodes; "" = none
	FromRole, ToRole model.Role // of resources
	WithRoles        bool       // roles belong into the text

	Reason  string
	Blocked bool
}

// Summary lists what the decision changes, in the order and with the words of Pacemaker's transition
// summary (spec/06-simulation.md section 10).
func (d *Decision) Summary() []Change {
	var out []Change
	c := d.Cluster
	for i := len(c.Actions) - 1; i >= 0; i-- {
		a := c.Actions[i]
		if a.Optional || a.Reason == "" || a.Node == nil {
			continue
		}
		if a.Task == "stonith" {
			ch := Change{Verb: "Fence", Node: a.Node.Name, FenceOp: a.Meta["stonith_action"], Reason: a.Reason}
			if a.Node.IsGuestKind() && a.Node.Connection != nil && a.Node.Connection.Launcher != nil {
				ch.Container = a.Node.Connection.Launcher.ID
			}
			out = append(out, ch)
		}
	}
	for _, r := range c.Resources {
		out = appendChanges(out, r)
	}
	return out
}

func appendChanges(out []Change, r *model.Resource) []Change {
	if r.Kind == cib.Bundle {
		for _, rep := range r.Bundle.Replicas {
			for _, part := range [...]*model.Resource{rep.IP, rep.Container, rep.Connection, rep.Inner} {
				if part != nil {
					out = appendChanges(out, part)
				}
			}
		}
		return out
	}
	if len(r.Children) > 0 {
		for _, child := range r.Children {
			out = appendChanges(out, child)
		}
		return out
	}
	if r.Kind != cib.Primitive {
		return out
	}
	return appendPrimitive(out, r)
}

func appendPrimitive(out []Change, r *model.Resource) []Change {
	current, next := r.Current(), r.Assigned
	if !r.Managed || (current == nil && next == nil) || (r.Removed && current == nil) {
		return out
	}
	role, nextRole := r.Role, r.Next
	if current != nil && role <= model.RoleStopped {
		role = model.RoleStarted
	}
	var start, promote, demote *model.Action
	if next != nil {
		start, promote, demote = find(r, "start", next), find(r, "promote", next), find(r, "demote", next)
	} else {
		start, demote = find(r, "start", nil), find(r, "demote", nil)
	}
	var stop *model.Action
	if start != nil && start.Runnable && r.Multi != model.MultiStopUnexpected {
		stop = find(r, "stop", current)
	} else {
		stop = find(r, "stop", nil)
	}
	if stop == nil && start != nil && start.Runnable {
		stop = find(r, "stop", current)
	}
	moving := current != nil && next != nil && current != next
	line := func(verb string, judged, reason *model.Action, from, to *model.Node) {
		ch := Change{Verb: verb, Resource: r.ID, FromRole: role, ToRole: nextRole,
			WithRoles: role > model.RoleStarted || nextRole > model.RoleUnpromoted}
		if from != nil {
			ch.From = from.Name
		}
		if to != nil {
			ch.To = to.Name
		}
		if reason != nil {
			ch.Reason = reason.Reason
		}
		ch.Blocked = judged != nil && !judged.Runnable
		out = append(out, ch)
	}
	stopReason := func(s *model.Action) *model.Action {
		if s != nil && s.Reason != "" {
			return s
		}
		return start
	}

	if role == nextRole {
		from := find(r, "migrate_from", next)
		switch {
		case current != nil && from != nil && from.Runnable:
			line("Migrate", start, start, current, next)
		case r.Reloading:
			line("Reload", start, start, current, next)
		case start == nil || start.Optional:
			if demote != nil && !demote.Optional && promote != nil && !promote.Optional {
				line("Re-promote", promote, demote, current, next)
			}
		case !start.Runnable:
			line("Stop", stop, stopReason(stop), current, nil)
		case moving && current != nil:
			if r.Failed {
				line("Recover", stop, stop, current, next)
			} else {
				line("Move", stop, stop, current, next)
			}
		case r.Failed:
			line("Recover", stop, stop, current, nil)
		default:
			line("Restart", start, start, current, next)
		}
		return out
	}

	switch {
	case stop != nil && (nextRole == model.RoleStopped || (start != nil && !start.Runnable)):
		for _, n := range r.Active {
			s := find(r, "stop", n)
			if s == nil {
				continue
			}
			line("Stop", s, stopReason(s), n, nil)
		}
	case stop != nil && r.MustStop:
		line("Recover", stop, start, current, next)
	case moving:
		line("Move", stop, stop, current, next)
	case r.Reloading:
		line("Reload", start, start, current, next)
	case stop != nil && !stop.Optional:
		line("Restart", start, start, current, next)
	case role == model.RolePromoted:
		line("Demote", demote, demote, current, next)
	case nextRole == model.RolePromoted:
		line("Promote", promote, promote, current, next)
		if promote == nil {
			out[len(out)-1].Blocked = true // not even created, since the start cannot run
		}
	case role <= model.RoleStopped:
		line("Start", start, start, current, next)
	}
	return out
}

// find returns the resource's first created action with the task, on the node; a nil node means any.
func find(r *model.Resource, task string, node *model.Node) *model.Action {
	for _, a := range r.Actions {
		if a.Task == task && a.Interval == 0 && (node == nil || a.Node == node) {
			return a
		}
	}
	return nil
}

// SummaryText returns the transition summary as the field's tools print it, one line a change, without
// indentation. Columns widen as spec/06-simulation.md 10.3 says.
func SummaryText(changes []Change) []string {
	w, d := 5, 5
	for _, ch := range changes {
		if ch.Resource == "" {
			continue
		}
		if n := len(ch.Resource); n > w {
			w = n + 2
		}
		if n := len(ch.details()); n > d {
			d = n
		}
	}
	var out []string
	for _, ch := range changes {
		if ch.Resource == "" {
			out = append(out, ch.nodeLine())
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%-8s   %-*s   ( %*s )", ch.Verb, w, ch.Resource, d, ch.details())
		switch {
		case ch.Reason != "" && ch.Blocked:
			b.WriteString("  due to " + ch.Reason + " (blocked)")
		case ch.Reason != "":
			b.WriteString("  due to " + ch.Reason)
		case ch.Blocked:
			b.WriteString("  blocked")
		}
		out = append(out, b.String())
	}
	return out
}

// String returns the change in one line without columns, such as "Move db ( a -> b )".
func (ch Change) String() string {
	if ch.Resource == "" {
		return ch.nodeLine()
	}
	s := ch.Verb + " " + ch.Resource + " ( " + ch.details() + " )"
	switch {
	case ch.Reason != "":
		s += " due to " + ch.Reason
		if ch.Blocked {
			s += " (blocked)"
		}
	case ch.Blocked:
		s += " blocked"
	}
	return s
}

func (ch Change) nodeLine() string {
	container := ""
	if ch.Container != "" {
		container = " (resource: " + ch.Container + ")"
	}
	return fmt.Sprintf("Fence (%s) %s%s '%s'", ch.FenceOp, ch.Node, container, ch.Reason)
}

func (ch Change) details() string {
	from, to := ch.FromRole.String(), ch.ToRole.String()
	same := ch.FromRole == ch.ToRole
	// A role that changes is always shown; one that stays only where roles say something.
	switch {
	case ch.From == "":
		if ch.WithRoles {
			return from + " -> " + to + " " + ch.To
		}
		return ch.To
	case ch.To == "":
		if ch.WithRoles {
			return from + " " + ch.From
		}
		return ch.From
	case same && ch.From == ch.To:
		if ch.WithRoles {
			return from + " " + ch.From
		}
		return ch.From
	case same:
		if ch.WithRoles {
			return ch.From + " -> " + ch.To + " " + from
		}
		return ch.From + " -> " + ch.To
	case ch.From == ch.To:
		return from + " -> " + to + " " + ch.From
	}
	return from + " " + ch.From + " -> " + to + " " + ch.To
}
