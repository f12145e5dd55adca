package simulate

import (
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// Injection is what to change in a document before deciding (spec/06-simulation.md section 5).
type Injection struct {
	Quorum                           string // "" = as it is
	Watchdog                         string
	Up, Down, Fail                   []string // nodes
	Grant, Revoke, Standby, Activate []string // tickets
	Operations                       []string // RESOURCE_OPERATION_INTERVAL@NODE=RC
}

// Empty reports whether nothing is to be injected; a quorum value alone does not count.
func (in *Injection) Empty() bool {
	return in.Watchdog == "" && len(in.Up)+len(in.Down)+len(in.Fail)+len(in.Grant)+len(in.Revoke)+
		len(in.Standby)+len(in.Activate)+len(in.Operations) == 0
}

// ModificationKind says what an injection changed.
type ModificationKind uint8

// Kinds of modifications.
const (
	ModifyQuorum ModificationKind = iota
	ModifyWatchdog
	ModifyNode      // Action is Online, Offline or Failing
	ModifyTicket    // Action is Granting, Revoking, Standby or Activating
	ModifyOperation // Name is what was asked for
	ModifyAttribute // Set
)

// Modification is one change that an injection made.
type Modification struct {
	Kind   ModificationKind
	Action string
	Name   string // of the node or ticket, value of quorum and watchdog
	Set    cib.TransientSet
}

// String returns the line that the field's tools print for it.
func (m Modification) String() string {
	switch m.Kind {
	case ModifyQuorum:
		return "Setting quorum: " + m.Name
	case ModifyWatchdog:
		return "Setting watchdog: " + m.Name
	case ModifyOperation:
		return "Injecting " + m.Name + " into the configuration"
	case ModifyAttribute:
		return m.Set.String()
	}
	switch m.Action {
	case "Online":
		return "Bringing node " + m.Name + " online"
	case "Offline":
		return "Taking node " + m.Name + " offline"
	case "Failing":
		return "Failing node " + m.Name
	case "Standby":
		return "Making ticket " + m.Name + " standby"
	}
	return m.Action + " ticket " + m.Name
}

// Inject returns a copy of doc with the injections, what was done in order, and the complaints about
// what could not be done. c is the state read from doc.
func Inject(doc *cib.Document, c *model.Cluster, in Injection, now time.Time) (out *cib.Document, done []Modification, problems []string) {
	w := cib.NewEditor(doc)
	say := func(kind ModificationKind, action, name string) {
		done = append(done, Modification{Kind: kind, Action: action, Name: name})
	}
	if in.Quorum != "" {
		say(ModifyQuorum, "", in.Quorum)
		w.Document().Head.HaveQuorum = in.Quorum
	}
	if in.Watchdog != "" {
		say(ModifyWatchdog, "", in.Watchdog)
		w.Document().Config.Properties = setProperty(w.Document().Config.Properties, "have-watchdog", in.Watchdog)
	}
	touch := func(name string) int {
		id := name
		if n := c.NodeByName(name); n != nil {
			id = n.ID
		} else if len(in.Up) > 0 {
			w.Document().Config.Nodes = append(slices.Clone(w.Document().Config.Nodes), cib.Node{ID: name, Name: name})
		}
		return w.Node(name, id)
	}
	for _, name := range in.Up {
		say(ModifyNode, "Online", name)
		setState(&w.Document().Status.Nodes[touch(name)], "true", "online", "member", "member")
	}
	for _, name := range in.Down {
		say(ModifyNode, "Offline", name)
		n := touch(name)
		w.Forget(n)
		setState(&w.Document().Status.Nodes[n], "false", "offline", "down", "down")
	}
	for _, name := range in.Fail {
		say(ModifyNode, "Failing", name)
		setState(&w.Document().Status.Nodes[touch(name)], "false", "online", "member", "member")
	}
	for _, t := range in.Grant {
		say(ModifyTicket, "Granting", t)
		ticket(w, t).Granted = "true"
	}
	for _, t := range in.Revoke {
		say(ModifyTicket, "Revoking", t)
		ticket(w, t).Granted = "false"
	}
	for _, t := range in.Standby {
		say(ModifyTicket, "Standby", t)
		ticket(w, t).Standby = "true"
	}
	for _, t := range in.Activate {
		say(ModifyTicket, "Activating", t)
		ticket(w, t).Standby = "false"
	}
	for _, text := range in.Operations {
		say(ModifyOperation, "", text)
		spec, err := ParseOpSpec(text)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		r := findResource(c, spec.Resource)
		if r == nil {
			problems = append(problems, "Invalid resource name: "+spec.Resource)
			continue
		}
		n := touch(spec.Node)
		probe := spec.Task == "monitor" && spec.IntervalMS == 0
		if spec.RC != 0 && !(probe && spec.RC == 7) {
			fatal := spec.Task == "stop" || spec.Task == "start" && c.Options.StartFailureFatal
			for _, inj := range w.AddFailure(n, r.Name(), spec.Task, spec.IntervalMS, fatal, now.Unix()) {
				done = append(done, Modification{Kind: ModifyAttribute, Set: inj})
			}
		}
		injectResult(w, n, r, spec, now)
	}
	return w.Document(), done, problems
}

func injectResult(w *cib.Editor, n int, r *model.Resource, spec OpSpec, now time.Time) {
	id := r.ConfigID
	if r.Unique {
		id = r.ID
	}
	h := w.History(n, r.Name(), cib.ResourceHistory{ID: id, Class: r.Class, Provider: r.Provider, Type: r.Type})
	hist := &w.Document().Status.Nodes[n].History[h]
	ms := strconv.FormatInt(spec.IntervalMS, 10)
	op := cib.HistoryOp{
		ID: hist.ID + "_last_0", Operation: spec.Task, Interval: spec.IntervalMS, RC: spec.RC,
		Key: hist.ID + "_" + spec.Task + "_" + ms, CallID: cib.NextCall(hist.Operations), OnNode: spec.Node,
		Origin: "crm_simulate", FeatureSet: featureSet, LastRCChange: now.Unix(), LastRun: -1,
	}
	switch {
	case spec.RC != 0:
		op.ID = hist.ID + "_last_failure_0"
		op.ExitReason = "Simulated action failure"
	case spec.Task == "migrate_to" || spec.Task == "migrate_from":
		op.ID = hist.ID + "_" + spec.Task + "_0"
	case spec.IntervalMS > 0:
		op.ID = hist.ID + "_" + spec.Task + "_" + ms
	}
	var keys transitionKeys
	keys.set(&op, 0)
	w.Record(n, h, op)
	if spec.RC != 0 && spec.IntervalMS == 0 {
		op.ID = hist.ID + "_last_0"
		w.Record(n, h, op)
	}
}

// ticket returns the state of a ticket in the working document, making one when there is none.
func ticket(w *cib.Editor, id string) *cib.TicketState {
	w.Document().Status.Tickets = slices.Clone(w.Document().Status.Tickets)
	for i := range w.Document().Status.Tickets {
		if w.Document().Status.Tickets[i].ID == id {
			return &w.Document().Status.Tickets[i]
		}
	}
	w.Document().Status.Tickets = append(w.Document().Status.Tickets, cib.TicketState{ID: id})
	return &w.Document().Status.Tickets[len(w.Document().Status.Tickets)-1]
}

func setState(st *cib.NodeState, ccm, crmd, join, expected string) {
	st.InCCM, st.CRMD, st.Join, st.Expected, st.Origin = ccm, crmd, join, expected, "crm_simulate"
}

// setProperty returns sets with the cluster property set in the first set that has it, else in the first.
func setProperty(sets []cib.AttributeSet, name, value string) []cib.AttributeSet {
	out := slices.Clone(sets)
	for i := range out {
		for j := range out[i].Pairs {
			if out[i].Pairs[j].Name == name {
				out[i].Pairs = slices.Clone(out[i].Pairs)
				out[i].Pairs[j].Value = value
				return out
			}
		}
	}
	pair := cib.NVPair{ID: "cib-bootstrap-options-" + name, Name: name, Value: value}
	for i := range out {
		if out[i].ID == "cib-bootstrap-options" {
			out[i].Pairs = append(slices.Clone(out[i].Pairs), pair)
			return out
		}
	}
	return append(out, cib.AttributeSet{ID: "cib-bootstrap-options", Pairs: []cib.NVPair{pair}})
}

// findResource finds a primitive by id, history name or, for clones, configured id.
func findResource(c *model.Cluster, id string) *model.Resource {
	if r := c.Resource(id); r != nil {
		return r
	}
	for _, r := range c.ByHistoryID(id) {
		return r
	}
	for _, r := range c.All {
		if r.ConfigID == id && r.Kind == cib.Primitive {
			return r
		}
	}
	return nil
}
