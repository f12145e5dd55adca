package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// FencingRecord is the result of one fencing of a node, or of its unfencing (Op "on").
type FencingRecord struct {
	Target  string   `cbor:"1,keyasint"`
	Op      string   `cbor:"2,keyasint"`
	By      string   `cbor:"3,keyasint"`           // node that carried it out; "" = confirmed by an administrator
	Device  string   `cbor:"4,keyasint,omitempty"` // devices that confirmed, separated by commas
	OK      bool     `cbor:"5,keyasint"`
	Detail  string   `cbor:"6,keyasint,omitempty"` // what went wrong on the way
	Reason  string   `cbor:"7,keyasint,omitempty"`
	Actor   string   `cbor:"8,keyasint,omitempty"` // who confirmed or asked for it
	Started int64    `cbor:"9,keyasint,omitempty"` // milliseconds since 1970
	Ended   int64    `cbor:"10,keyasint"`
	ID      ActionID `cbor:"11,keyasint"`
	Index   uint64   `cbor:"12,keyasint,omitempty"` // of the entry that recorded it
	// Late: the cluster had ceased to wait, which an earlier record of the same ID says. It proves nothing, since
	// the node may have come back between the event and its record.
	Late bool `cbor:"13,keyasint,omitempty"`
}

// FencingFailures returns the failed attempts to fence the target, newest first, since one succeeded or the
// configuration was changed.
func (s *State) FencingFailures(target string) (list []FencingRecord) {
	for i := len(s.Fencing) - 1; i >= 0; i-- {
		f := &s.Fencing[i]
		switch {
		case f.Target != target || f.Late:
		case f.OK || f.Index <= s.Revision:
			return list
		default:
			list = append(list, *f)
		}
	}
	return list
}

// AwaitsFencing reports whether the success of a fencing that is not pending any more would be recorded, as late.
func (s *State) AwaitsFencing(id ActionID) bool { return s.unanswered(id) >= 0 }

// unanswered is the place of the record of a fencing that was given up, if there is no newer one of it; else -1.
func (s *State) unanswered(id ActionID) int {
	for i := len(s.Fencing) - 1; i >= 0; i-- {
		if s.Fencing[i].ID == id {
			if s.Fencing[i].OK {
				return -1
			}
			return i
		}
	}
	return -1
}

// fenced ends a pending fencing by the answer of its executor.
func (n *State) fenced(p *Pending, r *Result, timeMS int64, out *Outcome) {
	rec := fencingRecord(p, r.ExitReason, timeMS, n.Index)
	rec.Device, rec.OK = r.Device, r.RC == 0 && r.Status == StatusDone
	n.Fencing = appendBounded(n.Fencing, rec, maxFencingHistory)
	switch {
	case !rec.OK:
	case rec.Op == "on":
		n.unfenced(p, timeMS)
	default:
		// A node that is off has no history and runs nothing.
		n.down(rec.Target, timeMS, out)
	}
}

func fencingRecord(p *Pending, detail string, timeMS int64, index uint64) FencingRecord {
	return FencingRecord{Target: p.Target, Op: p.FenceOp, By: p.Node, Detail: detail, Reason: p.Reason,
		Started: p.Since * 1000, Ended: timeMS, ID: p.ID, Index: index}
}

// fencedLate records a success that nobody waited for any more.
func (n *State) fencedLate(r *Result, timeMS int64) {
	at := n.unanswered(r.ID)
	if at < 0 || r.RC != 0 || r.Status != StatusDone || n.Fencing[at].By != r.Node {
		return
	}
	rec := n.Fencing[at]
	rec.OK, rec.Late, rec.Device, rec.Detail, rec.Ended, rec.Index = true, true, r.Device, r.ExitReason, timeMS, n.Index
	n.Fencing = appendBounded(n.Fencing, rec, maxFencingHistory)
}

// ownFencing records a fencing that a node without quorum decided on. By the time it is told, the target may be back: what
// was switched off is the process that had been admitted then, and not a later one.
func (n *State) ownFencing(r *Result, timeMS int64, out *Outcome) {
	p := *r.Local
	target := n.Member(p.Target)
	if p.Node != r.Node || p.Target == r.Node || target == nil || n.HasFencing(r.Node, r.ID) {
		return
	}
	p.ID = r.ID
	rec := fencingRecord(&p, r.ExitReason, timeMS, n.Index)
	rec.Device, rec.Actor, rec.OK = r.Device, p.Actor, r.RC == 0 && r.Status == StatusDone
	rec.Late = rec.OK && target.Incarnation != p.TargetIncarnation
	n.Fencing = appendBounded(n.Fencing, rec, maxFencingHistory)
	if rec.OK && !rec.Late {
		n.down(p.Target, timeMS, out)
	}
	out.DecisionNeeded = true
}

// HasFencing reports whether the result of that fencing, by that node, is recorded.
func (s *State) HasFencing(by string, id ActionID) bool {
	return slices.ContainsFunc(s.Fencing, func(f FencingRecord) bool { return f.ID == id && f.By == by })
}

// giveUpFencing ends the pending fencings that match; whether they were or will be done is unknown. Who still
// wants the target fenced must ask again.
func (n *State) giveUpFencing(match func(*Pending) bool, detail string, timeMS int64, out *Outcome) {
	for i := range n.Pending {
		if p := &n.Pending[i]; p.Task == "stonith" && match(p) {
			n.Fencing = appendBounded(n.Fencing, fencingRecord(p, detail, timeMS, n.Index), maxFencingHistory)
		}
	}
	n.dropPending(func(p *Pending) bool { return p.Task == "stonith" && match(p) }, out)
}

// resumeFencing gives the fencings that a node has under way to the new process of it. The runner of the machine
// goes on with them, and the new process asks it for the very same runs: to begin them elsewhere would cut the target's power twice.
func (n *State) resumeFencing(node string, incarnation uint64) {
	n.Pending = slices.Clone(n.Pending)
	for i := range n.Pending {
		if p := &n.Pending[i]; p.Task == "stonith" && p.Node == node {
			p.Incarnation = incarnation
		}
	}
}

// unfenced records that a node may use what its devices guard, and under which definitions of them
// (spec/04-actions.md 13.4).
func (n *State) unfenced(p *Pending, timeMS int64) {
	id, err := n.stateID(p.Target)
	if err != nil {
		return
	}
	ed := cib.NewEditor(n.Document)
	i := ed.Node(p.Target, id)
	ed.SetTransient(i, "#node-unfenced", strconv.FormatInt(timeMS/1000, 10))
	for _, name := range [...]string{"digests-all", "digests-secure"} {
		if v, ok := p.Attributes["CRM_meta_"+strings.ReplaceAll(name, "-", "_")]; ok {
			ed.SetTransient(i, "#"+name, v)
		}
	}
	n.Document = ed.Document()
}

// down records that a node is certainly off.
func (n *State) down(name string, timeMS int64, out *Outcome) {
	id, err := n.stateID(name)
	if err != nil {
		return
	}
	ed := cib.NewEditor(n.Document)
	i := ed.Node(name, id)
	ed.Forget(i)
	n.dropAttributes(name)
	st := ed.State(i)
	st.InCCM, st.CRMD, st.Join, st.Expected = "0", "0", "down", "down"
	n.Document = ed.Document()
	if n.Member(name) != nil {
		n.Members = slices.Clone(n.Members)
		m := n.Member(name)
		if m.Incarnation != 0 {
			m.Fenced = m.Incarnation
		}
		m.Online, m.Incarnation = false, 0
	}
	n.giveUpFencing(func(p *Pending) bool { return p.Node == name && p.Target != name }, name+" is off and has not answered", timeMS, out)
	n.dropPending(func(p *Pending) bool { return p.Node == name || p.Target == name }, out)
	out.MembersChanged, out.DecisionNeeded = true, true
}

func (n *State) confirmDown(name, actor string, timeMS int64, out *Outcome) error {
	if _, err := n.stateID(name); err != nil {
		return err
	}
	if m := n.Member(name); m != nil && m.Online {
		return fmt.Errorf("node %s is online: it cannot be confirmed as down", name)
	}
	n.Fencing = appendBounded(n.Fencing, FencingRecord{Target: name, Op: "off", OK: true,
		Detail: "confirmed by an administrator", Actor: actor, Ended: timeMS, Index: n.Index}, maxFencingHistory)
	n.down(name, timeMS, out)
	return nil
}
