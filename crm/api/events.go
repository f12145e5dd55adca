package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Kinds of events. Clients must skip kinds that they do not know.
const (
	EventReset     = "reset"     // events were missed: read the state anew
	EventNode      = "node"      // a node came, went, was added or removed
	EventOperation = "operation" // an operation has a result
	EventAction    = "action"    // an action was handed out
	EventFencing   = "fencing"   // a fencing has ended
	EventConfig    = "config"    // the configuration was changed
	EventTicket    = "ticket"    // a ticket was granted, revoked, or put in or out of standby
)

// EventKinds lists the kinds that a client can ask for.
var EventKinds = []string{EventNode, EventOperation, EventAction, EventFencing, EventConfig, EventTicket}

// Event is something that happened to the cluster, as the difference of two states tells it. What came and went between
// two states that a node saw is not told.
type Event struct {
	Index    uint64 `json:"index"` // of the state that has it first
	Kind     string `json:"kind"`
	Node     string `json:"node,omitempty"`
	Resource string `json:"resource,omitempty"`
	Task     string `json:"task,omitempty"`
	RC       *int   `json:"rc,omitempty"` // result code of an operation
	Text     string `json:"text"`         // one line for people
}

// Diff lists what happened between two states, in a fixed order. Unchanged parts of states share their memory, and are
// not looked at.
func Diff(before, after *command.State) []Event {
	d := &differ{index: after.Index}
	d.members(before, after)
	d.actions(before, after)
	if before.Document != nil && after.Document != nil {
		d.history(before.Document, after.Document)
		d.tickets(before.Document, after.Document)
	}
	for _, f := range newFencings(before.Fencing, after.Fencing) {
		text := f.Op + " of " + f.Target
		if f.By != "" {
			text += " by " + f.By
		}
		if !f.OK {
			text += " failed"
		}
		if f.Detail != "" {
			text += ": " + f.Detail
		}
		d.add(Event{Kind: EventFencing, Node: f.Target, Task: f.Op, Text: text})
	}
	last := uint64(0)
	if n := len(before.Changes); n > 0 {
		last = before.Changes[n-1].Index
	}
	for _, c := range after.Changes {
		if c.Index > last {
			d.add(Event{Kind: EventConfig, Text: strings.TrimSpace(fmt.Sprintf("%s changed %s %s", c.Actor, strings.Join(c.Objects, ", "), c.Message))})
		}
	}
	return d.out
}

type differ struct {
	index uint64
	out   []Event
}

func (d *differ) add(e Event) {
	e.Index = d.index
	d.out = append(d.out, e)
}

func (d *differ) members(before, after *command.State) {
	for i := range after.Members {
		m := &after.Members[i]
		old := before.Member(m.Name)
		text := ""
		switch {
		case old == nil:
			text = "added"
		case m.Removed && !old.Removed:
			text = "removed"
		case m.Online && !old.Online:
			text = "online"
		case !m.Online && old.Online:
			text = "offline"
		default:
			continue
		}
		d.add(Event{Kind: EventNode, Node: m.Name, Text: "node " + m.Name + " " + text})
	}
}

func (d *differ) actions(before, after *command.State) {
	if same(before.Pending, after.Pending) {
		return
	}
	known := make(map[command.ActionID]bool, len(before.Pending))
	for i := range before.Pending {
		known[before.Pending[i].ID] = true
	}
	for i := range after.Pending {
		p := &after.Pending[i]
		if known[p.ID] {
			continue
		}
		what := p.Resource
		if what == "" {
			what = p.Target
		}
		d.add(Event{Kind: EventAction, Node: p.Node, Resource: p.Resource, Task: p.Task,
			Text: fmt.Sprintf("%s of %s begins on %s (decision %d.%d)", p.Task, what, p.Node, p.ID.Term, p.ID.Transition)})
	}
}

// same reports whether two slices of states are one and the same; states are never changed.
func same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

func (d *differ) history(before, after *cib.Document) {
	for i := range after.Status.Nodes {
		n := &after.Status.Nodes[i]
		var old []cib.ResourceHistory
		if i < len(before.Status.Nodes) && before.Status.Nodes[i].ID == n.ID {
			old = before.Status.Nodes[i].History
		} else if at := slices.IndexFunc(before.Status.Nodes, func(x cib.NodeState) bool { return x.ID == n.ID }); at >= 0 {
			old = before.Status.Nodes[at].History
		}
		if same(old, n.History) {
			continue
		}
		byID := make(map[string][]cib.HistoryOp, len(old))
		for j := range old {
			byID[old[j].ID] = old[j].Operations
		}
		for j := range n.History {
			h := &n.History[j]
			if !same(byID[h.ID], h.Operations) {
				d.operations(n.Name, h, byID[h.ID])
			}
		}
	}
}

func (d *differ) operations(node string, h *cib.ResourceHistory, old []cib.HistoryOp) {
	for k := range h.Operations {
		o := &h.Operations[k]
		known := slices.ContainsFunc(old, func(x cib.HistoryOp) bool {
			return x.CallID == o.CallID && x.Operation == o.Operation && x.Interval == o.Interval && x.RC == o.RC && x.Status == o.Status && x.LastRCChange == o.LastRCChange
		})
		// A failure is recorded twice: as the last one, and as the operation itself.
		twice := slices.ContainsFunc(h.Operations[:k], func(x cib.HistoryOp) bool {
			return x.CallID == o.CallID && x.Operation == o.Operation && x.Interval == o.Interval && x.RC == o.RC
		})
		if known || twice || o.Status < 0 {
			continue
		}
		text := fmt.Sprintf("%s of %s on %s: rc=%d", o.Operation, h.ID, node, o.RC)
		if o.ExitReason != "" {
			text += " (" + o.ExitReason + ")"
		}
		rc := o.RC
		d.add(Event{Kind: EventOperation, Node: node, Resource: h.ID, Task: o.Operation, RC: &rc, Text: text})
	}
}

func (d *differ) tickets(before, after *cib.Document) {
	for i := range after.Status.Tickets {
		t := &after.Status.Tickets[i]
		var old cib.TicketState
		if at := slices.IndexFunc(before.Status.Tickets, func(x cib.TicketState) bool { return x.ID == t.ID }); at >= 0 {
			old = before.Status.Tickets[at]
		}
		if cib.IsTrue(old.Granted) == cib.IsTrue(t.Granted) && cib.IsTrue(old.Standby) == cib.IsTrue(t.Standby) {
			continue
		}
		text := "revoked"
		if cib.IsTrue(t.Granted) {
			text = "granted"
		}
		if cib.IsTrue(t.Standby) {
			text += ", in standby"
		}
		d.add(Event{Kind: EventTicket, Text: "ticket " + t.ID + " " + text})
	}
}

// newFencings are the records that are not in before, of which the oldest may have been dropped.
func newFencings(before, after []command.FencingRecord) []command.FencingRecord {
	switch {
	case same(before, after):
		return nil
	case len(before) == 0:
		return after
	}
	last := before[len(before)-1]
	for i := len(after) - 1; i >= 0; i-- {
		if after[i].ID == last.ID && after[i].Ended == last.Ended && after[i].Target == last.Target {
			return after[i+1:]
		}
	}
	return after
}
