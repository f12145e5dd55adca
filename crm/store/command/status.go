package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/transition"
)

// Values of op-status (spec/02-state.md 8.1).
const (
	StatusDone         = 0
	StatusCancelled    = 1
	StatusTimeout      = 2
	StatusNotSupported = 3
	StatusError        = 4
	StatusNotInstalled = 7
	StatusNotConnected = 8
)

// featureSet is the crm_feature_set of the history entries that Quorate writes.
const featureSet = "3.20.5"

// nodes applies membership facts. A process that joins starts with an empty history, so that everything is
// probed: what runs is adopted, not restarted. Its attributes stay unless the machine itself was restarted.
func (n *State) nodes(facts []NodeFact, timeMS int64, out *Outcome) error {
	seconds := strconv.FormatInt(timeMS/1000, 10)
	for _, f := range facts {
		if n.Member(f.Name) == nil {
			return fmt.Errorf("no node is called %q", f.Name)
		}
	}
	n.Members = slices.Clone(n.Members)
	ed := cib.NewEditor(n.Document)
	for _, f := range facts {
		m := n.Member(f.Name)
		i := ed.Node(f.Name, NodeStateID(m.NodeID))
		st := ed.State(i)
		if f.Incarnation != 0 && f.Incarnation != m.Incarnation && (f.Change == NodeLost || f.Change == NodeLeft) {
			continue // of an earlier process: the fact came late
		}
		switch f.Change {
		case NodeJoined:
			if m.Online && m.Incarnation == f.Incarnation || f.Incarnation != 0 && f.Incarnation == m.Fenced {
				continue
			}
			// Only a process of its own is known to have lost what the cluster knew of it.
			if m.Incarnation != f.Incarnation {
				orphans := n.orphansOf(f.Name)
				if m.Boot == f.Boot && f.Boot != "" {
					n.resumeFencing(f.Name, f.Incarnation)
				}
				// The answer to a fencing that was asked for before says nothing of this process: it may have begun
				// after the power was off.
				n.giveUpFencing(func(p *Pending) bool { return p.Target == f.Name }, f.Name+" joined again before an answer came", timeMS, out)
				earlier := func(p *Pending) bool { return p.Node == f.Name && p.Incarnation != f.Incarnation }
				n.giveUpFencing(earlier, f.Name+" was restarted before it answered", timeMS, out)
				n.dropPending(earlier, out)
				if m.Boot != f.Boot {
					ed.Forget(i)
					n.dropAttributes(f.Name)
				} else {
					st.History, st.HasHistory = nil, false
					n.Orphans = append(n.Orphans, orphans...)
				}
				ed.DeleteTransient(i, "shutdown")
				st = ed.State(i)
			}
			m.Online, m.Incarnation, m.Boot = true, f.Incarnation, f.Boot
			st.InCCM, st.CRMD, st.Join, st.Expected = seconds, seconds, "member", "member"
		case NodeLost:
			if !m.Online {
				continue
			}
			m.Online = false
			st.InCCM, st.CRMD = "0", "0"
			// What was handed to it has no result any more; whether it happened is for fencing to settle. A fencing is
			// for another node to carry out.
			n.giveUpFencing(func(p *Pending) bool { return p.Node == f.Name }, f.Name+" was lost before it answered", timeMS, out)
		case NodeLeaving:
			ed.SetTransient(i, "shutdown", seconds)
		case NodeLeft:
			m.Online, m.Incarnation = false, 0
			n.giveUpFencing(func(p *Pending) bool { return p.Node == f.Name }, f.Name+" left before it answered", timeMS, out)
			n.dropPending(func(p *Pending) bool { return p.Node == f.Name }, out)
			ed.Forget(i)
			n.dropAttributes(f.Name)
			st = ed.State(i)
			st.InCCM, st.CRMD, st.Join, st.Expected = "0", "0", "down", "down"
		default:
			return fmt.Errorf("unknown event %d of node %s", f.Change, f.Name)
		}
		out.DecisionNeeded = true
	}
	n.Document = ed.Document()
	out.MembersChanged = true
	return nil
}

// orphansOf returns the operations of a node, oldest first, whose results a new process of it may still hand in.
func (n *State) orphansOf(name string) (list []Pending) {
	for _, from := range [...][]Pending{n.Orphans, n.Pending} {
		for i := range from {
			if from[i].Node == name && from[i].Task != "stonith" {
				list = append(list, from[i])
			}
		}
	}
	return list[max(0, len(list)-maxOrphans):]
}

// dropPending removes the pending actions that match, and the orphans.
func (n *State) dropPending(match func(*Pending) bool, out *Outcome) {
	var kept []Pending
	for i := range n.Pending {
		if match(&n.Pending[i]) {
			out.Finished = append(out.Finished, Finished{Pending: n.Pending[i]})
		} else {
			kept = append(kept, n.Pending[i])
		}
	}
	n.Pending = kept
	n.Orphans = slices.DeleteFunc(slices.Clone(n.Orphans), func(p Pending) bool { return match(&p) })
}

// dispatch records actions as pending. A decision counts only in the term in which it was made: a deposed
// leader's is refused, whoever carried it into the log.
func (n *State) dispatch(d *Dispatch, timeMS int64, out *Outcome) error {
	if d.Term != n.Term {
		return fmt.Errorf("actions of transition %d were decided in term %d, this is term %d", d.Transition, d.Term, n.Term)
	}
	if len(n.Pending)+len(d.Actions) > MaxPending {
		return fmt.Errorf("%d actions are pending already, which is the most", len(n.Pending))
	}
	for i := range d.Actions {
		a := &d.Actions[i]
		m := n.Member(a.Node)
		if m == nil || !m.Online || m.Incarnation != a.Incarnation {
			return fmt.Errorf("%s: node %s is not the process any more that the decision knew", a.Key, a.Node)
		}
		if m.Own > d.BaseIndex && a.Task != "stonith" {
			return fmt.Errorf("%s: node %s has stopped something by itself of which the decision did not know", a.Key, a.Node)
		}
		if a.ID.Term != d.Term || a.ID.Transition != d.Transition {
			return fmt.Errorf("%s: the action is of another transition", a.Key)
		}
		for j := range n.Pending {
			p := &n.Pending[j]
			if p.Same(a) {
				return fmt.Errorf("%s on %s is pending already", a.Key, a.Node)
			}
		}
	}
	n.Transition = max(n.Transition, d.Transition)
	pending := slices.Clone(n.Pending)
	for _, a := range d.Actions {
		a.Index, a.Since = n.Index, timeMS/1000
		pending = append(pending, a)
		out.Dispatched = append(out.Dispatched, a)
	}
	n.Pending = pending
	if len(d.Internal) > 0 {
		ed := cib.NewEditor(n.Document)
		for _, a := range d.Internal {
			if err := n.internal(ed, a); err != nil {
				return err
			}
		}
		n.Document = ed.Document()
		out.DecisionNeeded = true
	}
	return nil
}

func (n *State) internal(ed *cib.Editor, a InternalAction) error {
	id, err := n.stateID(a.Node)
	if err != nil {
		return err
	}
	i := ed.Node(a.Node, id)
	switch a.Task {
	case "clear_failcount":
		clearFailures(ed, i, a.Resource, "", 0)
	case "lrm_delete", "delete":
		ed.DeleteHistory(i, a.Resource)
	default:
		return fmt.Errorf("unknown internal action %q", a.Task)
	}
	return nil
}

// clearFailures removes the fail counts of a resource (under any instance number) on node state i and
// reports whether there were any. An empty operation means all.
func clearFailures(ed *cib.Editor, i int, resource, operation string, intervalMS int64) bool {
	var names []string
	for _, set := range ed.State(i).Attributes {
		for _, p := range set.Pairs {
			for _, prefix := range [...]string{"fail-count-", "last-failure-"} {
				rest, ok := strings.CutPrefix(p.Name, prefix)
				if !ok {
					continue
				}
				rsc, op, _ := strings.Cut(rest, "#")
				base, _, _ := strings.Cut(rsc, ":")
				if resource != "" && rsc != resource && base != resource {
					continue
				}
				if operation != "" && op != operation+"_"+strconv.FormatInt(intervalMS, 10) {
					continue
				}
				names = append(names, p.Name)
			}
		}
	}
	for _, name := range names {
		ed.DeleteTransient(i, name)
	}
	return len(names) > 0
}

// results ends pending actions and records what they came to. A result of an action that is not pending
// (it came twice, or the node was fenced meanwhile) changes nothing.
func (n *State) results(list []Result, timeMS int64, out *Outcome) error {
	ed := cib.NewEditor(n.Document)
	for i := range list {
		r := &list[i]
		m := n.Member(r.Node)
		if m == nil || m.Incarnation != r.Incarnation {
			continue
		}
		at := slices.IndexFunc(n.Pending, func(p Pending) bool { return r.Recurring == nil && r.Local == nil && p.ID == r.ID })
		if at < 0 {
			needed := out.DecisionNeeded
			out.DecisionNeeded = false
			ed = n.unasked(ed, r, timeMS, out)
			out.Unasked = out.Unasked || out.DecisionNeeded
			out.DecisionNeeded = out.DecisionNeeded || needed
			continue
		}
		p := n.Pending[at]
		if p.Node != r.Node {
			continue
		}
		n.Pending = slices.Delete(slices.Clone(n.Pending), at, at+1)
		out.Finished = append(out.Finished, Finished{p, r.Status == StatusDone && r.RC == p.ExpectedRC})
		out.DecisionNeeded = true
		if p.Task == "stonith" {
			n.Document = ed.Document()
			n.fenced(&p, r, timeMS, out)
			ed = cib.NewEditor(n.Document)
			continue
		}
		n.finish(ed, &p, r, out)
	}
	n.Document = ed.Document()
	return nil
}

// unasked records a result that is not that of a pending action: a recurring monitor's, one of what a node did by itself, or
// one that outlived the process that was asked. It returns the editor to go on with.
func (n *State) unasked(ed *cib.Editor, r *Result, timeMS int64, out *Outcome) *cib.Editor {
	switch {
	case r.Recurring != nil:
		n.recurring(ed, r, out)
	case r.Local == nil:
		n.orphan(ed, r, out)
		n.fencedLate(r, timeMS)
	case r.Local.Task == "stonith":
		n.Document = ed.Document()
		n.ownFencing(r, timeMS, out)
		ed = cib.NewEditor(n.Document)
	case r.Local.Node == r.Node && (r.Local.Task == "stop" || r.Local.Task == "demote" || r.Local.Task == "monitor" && r.Local.IntervalMS == 0):
		n.finish(ed, r.Local, r, out)
		n.Members = slices.Clone(n.Members)
		n.Member(r.Node).Own = n.Index
		out.DecisionNeeded, out.Own = true, true
	}
	return ed
}

// orphan records a result that outlived the process which asked for the operation.
func (n *State) orphan(ed *cib.Editor, r *Result, out *Outcome) {
	at := slices.IndexFunc(n.Orphans, func(p Pending) bool { return p.ID == r.ID && p.Node == r.Node })
	if at < 0 {
		return
	}
	p := n.Orphans[at]
	n.Orphans = slices.Delete(slices.Clone(n.Orphans), at, at+1)
	n.finish(ed, &p, r, out)
	out.DecisionNeeded = true
}

// historyNode is the node whose history an action belongs to.
func historyNode(p *Pending) string {
	if p.RunsOn != "" {
		return p.RunsOn
	}
	return p.Node
}

// finish writes the history entry of a finished operation (spec/06-simulation.md section 4 has the names of
// entries) and counts its failure.
func (n *State) finish(ed *cib.Editor, p *Pending, r *Result, out *Outcome) {
	name := historyNode(p)
	id, err := n.stateID(name)
	if err != nil {
		return
	}
	i := ed.Node(name, id)
	if p.Task == "cancel" {
		n.cancelled(ed, i, p)
		return
	}
	if r.Status == StatusCancelled {
		return
	}
	h := ed.History(i, p.Resource, cib.ResourceHistory{ID: p.Resource, Class: p.Class, Provider: p.Provider, Type: p.Type})
	op := entryOf(p, r)
	probe := p.Task == "monitor" && p.IntervalMS == 0
	failed := r.Status != StatusDone || r.RC != p.ExpectedRC
	switch {
	case failed && !probe:
		op.ID = p.Resource + "_last_failure_0"
		ed.Record(i, h, op)
		op.ID = entryID(p)
		ed.Record(i, h, op)
		n.countFailure(ed, i, p.Resource, p.Task, p.IntervalMS, r.LastChange)
		out.Failed = append(out.Failed, Failure{name, p.Resource, p.Task, p.IntervalMS, r.RC, r.Status, r.ExitReason})
	default:
		op.ID = entryID(p)
		ed.Record(i, h, op)
	}
	if r.Status == StatusDone && p.Task == "stop" && r.RC == 0 {
		n.dropRecurring(ed, i, h)
	}
}

// dropRecurring removes the entries of recurring monitors of a resource that was stopped, except those of
// its stopped role, which the decision re-makes.
func (n *State) dropRecurring(ed *cib.Editor, i, h int) {
	st := ed.State(i)
	st.History[h].Operations = slices.DeleteFunc(st.History[h].Operations, func(op cib.HistoryOp) bool {
		return op.Interval > 0
	})
}

func (n *State) cancelled(ed *cib.Editor, i int, p *Pending) {
	st := ed.State(i)
	for j := range st.History {
		if st.History[j].ID != p.Resource {
			continue
		}
		h := ed.History(i, p.Resource, cib.ResourceHistory{ID: p.Resource})
		st = ed.State(i)
		task := p.Attributes["CRM_meta_operation"]
		st.History[h].Operations = slices.DeleteFunc(st.History[h].Operations, func(op cib.HistoryOp) bool {
			return op.Interval == p.IntervalMS && (task == "" || op.Operation == task)
		})
		return
	}
}

func entryOf(p *Pending, r *Result) cib.HistoryOp {
	op := cib.HistoryOp{
		Key: p.Resource + "_" + p.Task + "_" + strconv.FormatInt(p.IntervalMS, 10), Operation: p.Task,
		Interval: p.IntervalMS, CallID: r.CallID, RC: r.RC, Status: r.Status, ExitReason: r.ExitReason,
		OnNode: historyNode(p), LastRCChange: r.LastChange, LastRun: -1, ExecTime: r.ExecMS, QueueTime: r.QueueMS,
		FeatureSet: featureSet, Origin: "quorated",
	}
	switch p.Task {
	case "reload", "reload-agent":
		op.Operation = "start"
		op.Key = p.Resource + "_start_0"
	case "migrate_to", "migrate_from":
		op.MigrateSource, op.MigrateTarget = p.Attributes["CRM_meta_migrate_source"], p.Attributes["CRM_meta_migrate_target"]
	}
	op.TransitionKey = transitionKey(p)
	op.TransitionMagic = fmt.Sprintf("%d:%d;%s", op.Status, op.RC, op.TransitionKey)
	op.OpDigest = transition.Digest(digestAttrs(p))
	return op
}

func transitionKey(p *Pending) string {
	// The uuid part tells clusters apart in Pacemaker; here the term of the leader takes its place.
	return fmt.Sprintf("%d:%d:%d:00000000-0000-0000-0000-%012x", p.ID.Action, p.ID.Transition, p.ExpectedRC, p.ID.Term)
}

// digestAttrs are the parameters that count for the digest of an operation (spec/04-actions.md 3.5).
func digestAttrs(p *Pending) []transition.Attr {
	names := make([]string, 0, len(p.Attributes))
	for name := range p.Attributes {
		switch {
		case name == "CRM_meta_timeout":
			if p.IntervalMS == 0 {
				continue
			}
		case strings.HasPrefix(name, "CRM_meta_"), name == "id", name == "crm_feature_set", name == "op-digest",
			name == "on_node", name == "on_node_uuid", name == "pcmk_external_ip":
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	attrs := make([]transition.Attr, len(names))
	for i, name := range names {
		attrs[i] = transition.Attr{Name: name, Value: p.Attributes[name]}
	}
	return attrs
}

func entryID(p *Pending) string {
	switch {
	case p.Task == "notify":
		return p.Resource + "_" + p.Attributes["CRM_meta_notify_type"] + "_notify_" + p.Attributes["CRM_meta_notify_operation"] + "_0"
	case p.Task == "migrate_to" || p.Task == "migrate_from":
		return p.Resource + "_" + p.Task + "_0"
	case p.IntervalMS > 0:
		return p.Resource + "_" + p.Task + "_" + strconv.FormatInt(p.IntervalMS, 10)
	}
	return p.Resource + "_last_0"
}

// recurring records a changed result of a recurring monitor that runs already.
func (n *State) recurring(ed *cib.Editor, r *Result, out *Outcome) {
	m := n.Member(r.Node)
	i := ed.Node(r.Node, NodeStateID(m.NodeID))
	st := ed.State(i)
	at := slices.IndexFunc(st.History, func(h cib.ResourceHistory) bool { return h.ID == r.Recurring.Resource })
	if at < 0 {
		return
	}
	ops := st.History[at].Operations
	id := r.Recurring.Resource + "_" + r.Recurring.Task + "_" + strconv.FormatInt(r.Recurring.IntervalMS, 10)
	o := slices.IndexFunc(ops, func(op cib.HistoryOp) bool { return op.ID == id })
	if o < 0 || ops[o].CallID >= r.CallID {
		return
	}
	h := ed.History(i, r.Recurring.Resource, cib.ResourceHistory{ID: r.Recurring.Resource})
	op := ops[o]
	expected := expectedRC(op.TransitionKey)
	op.CallID, op.RC, op.Status, op.ExitReason = r.CallID, r.RC, r.Status, r.ExitReason
	op.LastRCChange, op.ExecTime, op.QueueTime = r.LastChange, r.ExecMS, r.QueueMS
	op.TransitionMagic = fmt.Sprintf("%d:%d;%s", op.Status, op.RC, op.TransitionKey)
	ed.Record(i, h, op)
	if r.Status != StatusDone || r.RC != expected {
		op.ID = r.Recurring.Resource + "_last_failure_0"
		ed.Record(i, h, op)
		n.countFailure(ed, i, r.Recurring.Resource, r.Recurring.Task, r.Recurring.IntervalMS, r.LastChange)
		out.Failed = append(out.Failed, Failure{r.Node, r.Recurring.Resource, r.Recurring.Task, r.Recurring.IntervalMS, r.RC, r.Status, r.ExitReason})
	}
	out.DecisionNeeded = true
}

// expectedRC is the third number of a transition key.
func expectedRC(key string) int {
	parts := strings.SplitN(key, ":", 4)
	if len(parts) < 4 {
		return 0
	}
	rc, err := strconv.Atoi(parts[2])
	if err != nil {
		return 0
	}
	return rc
}

// countFailure counts a failure: a failed stop, and a failed start while start-failure-is-fatal holds, for
// good; others by one.
func (n *State) countFailure(ed *cib.Editor, i int, resource, task string, intervalMS, seconds int64) {
	fatal := task == "stop" || task == "start" && n.startFailureFatal()
	ed.AddFailure(i, resource, task, intervalMS, fatal, seconds)
}

func (n *State) startFailureFatal() bool {
	value, ok := cib.Property(n.Document, "start-failure-is-fatal")
	if !ok {
		return true
	}
	switch strings.ToLower(value) {
	case "false", "off", "no", "n", "0":
		return false
	}
	return true
}

// forget deletes history, so that the resources are probed again, and fail counts.
func (n *State) forget(f *Forget, out *Outcome) error {
	if f.Node != "" {
		if _, err := n.stateID(f.Node); err != nil {
			return err
		}
	}
	ed := cib.NewEditor(n.Document)
	for i := range n.Document.Status.Nodes {
		name := n.Document.Status.Nodes[i].Name
		if f.Node != "" && name != f.Node {
			continue
		}
		at := ed.Node(name, n.Document.Status.Nodes[i].ID)
		var ids []string
		for j := range ed.State(at).History {
			h := &ed.State(at).History[j]
			base, _, _ := strings.Cut(h.ID, ":")
			if f.Resource != "" && h.ID != f.Resource && base != f.Resource {
				continue
			}
			if f.OnlyFailed && !hasFailure(h) && !n.hasFailCount(ed, at, h.ID) {
				continue
			}
			ids = append(ids, h.ID)
		}
		if f.Operation != "" {
			// Only the count of one operation: the history stays.
			clearFailures(ed, at, f.Resource, f.Operation, f.IntervalMS)
			out.DecisionNeeded = true
			continue
		}
		for _, id := range ids {
			clearFailures(ed, at, id, "", 0)
			ed.DeleteHistory(at, id)
			out.DecisionNeeded = true
		}
		if f.Resource != "" && clearFailures(ed, at, f.Resource, "", 0) {
			out.DecisionNeeded = true
		}
	}
	n.Document = ed.Document()
	return nil
}

func hasFailure(h *cib.ResourceHistory) bool {
	for _, op := range h.Operations {
		if strings.HasSuffix(op.ID, "_last_failure_0") {
			return true
		}
		if op.Status > StatusCancelled || op.Status == StatusDone && op.RC != expectedRC(op.TransitionKey) {
			return true
		}
	}
	return false
}

func (n *State) hasFailCount(ed *cib.Editor, i int, resource string) bool {
	for _, set := range ed.State(i).Attributes {
		for _, p := range set.Pairs {
			if rest, ok := strings.CutPrefix(p.Name, "fail-count-"); ok {
				if rsc, _, _ := strings.Cut(rest, "#"); rsc == resource {
					return true
				}
			}
		}
	}
	return false
}
