// Package simulate carries out transitions on a copy of a document, and injects events into it: what
// would the cluster do if (spec/06-simulation.md).
//
// The package is pure; the time is passed in. The document that a simulation starts from is never changed.
package simulate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/transition"
)

// OpSpec names an operation with a result: RESOURCE_OPERATION_INTERVAL@NODE=RC, the interval in
// milliseconds.
type OpSpec struct {
	Text       string // as written
	Resource   string
	Task       string
	IntervalMS int64
	Node       string
	RC         int
}

// ParseOpSpec reads an operation with a result. It fails on fewer than three parts and on a result that
// is not an integer.
func ParseOpSpec(s string) (OpSpec, error) {
	spec := OpSpec{Text: s}
	key, rest, hasNode := strings.Cut(s, "@")
	node, rc, hasRC := strings.Cut(rest, "=")
	code, err := strconv.Atoi(rc)
	found := 0
	switch {
	case key == "":
	case !hasNode || node == "":
		found = 1
	case !hasRC || err != nil:
		found = 2
	default:
		found = 3
	}
	if found < 3 {
		return spec, &SpecError{s, found}
	}
	name, task, interval, ok := splitKey(key)
	if !ok {
		return spec, fmt.Errorf("invalid operation spec: %s: %q is not RESOURCE_OPERATION_INTERVAL with the interval in milliseconds", s, key)
	}
	spec.Resource, spec.Task, spec.IntervalMS, spec.Node, spec.RC = name, task, interval, node, code
	return spec, nil
}

// splitKey splits an operation key, of which the resource's id and the operation may have underlines.
func splitKey(key string) (name, task string, interval int64, ok bool) {
	at := strings.LastIndexByte(key, '_')
	if at < 0 {
		return "", "", 0, false
	}
	interval, err := strconv.ParseInt(key[at+1:], 10, 64)
	if err != nil || interval < 0 {
		return "", "", 0, false
	}
	name = key[:at]
	for _, t := range [...]string{"migrate_to", "migrate_from"} {
		if r, found := strings.CutSuffix(name, "_"+t); found && r != "" {
			return r, t, interval, true
		}
	}
	i := strings.LastIndexByte(name, '_')
	if i <= 0 || i == len(name)-1 {
		return "", "", 0, false
	}
	return name[:i], name[i+1:], interval, true
}

// featureSet is the crm_feature_set that simulated history entries carry.
const featureSet = "3.20.5"

// SpecError says that a text is not an operation with a result. Its words are those of Pacemaker's tool.
type SpecError struct {
	Spec  string
	Found int // parts that were found, of three
}

// Error implements error.
func (e *SpecError) Error() string {
	return fmt.Sprintf("Invalid operation spec: %s.  Only found %d fields", e.Spec, e.Found)
}

// Event is one thing that happened while a transition was simulated, in order.
type Event struct {
	Action   *transition.Action // of a Pretend line: the one that failed; nil for Inject lines
	Shown    string             // displayed resource name of a resource operation
	Interval int64              // of a resource operation, in milliseconds
	Plain    bool               // a Pretend line: not part of the list (printed without bullet)
	Set      *cib.TransientSet  // of an Inject line
	Failed   bool
	RC       int
}

// Text returns what the field's tools print for the event, without indentation.
func (e *Event) Text() string {
	a := e.Action
	switch {
	case e.Set != nil:
		return e.Set.String()
	case e.Plain:
		return fmt.Sprintf("Pretending action %d failed with rc=%d", a.Number, e.RC)
	case a.Kind == transition.PseudoEvent:
		text := "Pseudo action:   " + a.Key
		if a.Node != "" {
			text += " on " + a.Node
		}
		return text
	case a.Fencing():
		op, _ := a.Attr("CRM_meta_stonith_action")
		return "Fencing " + a.Node + " (" + op + ")"
	case a.Kind == transition.ClusterOp:
		text := "Cluster action:  " + a.Task
		if a.Resource != nil {
			text += " for " + a.Resource.ID
		}
		return text + " on " + a.Node
	}
	label := a.Task
	if e.Interval > 0 && a.Task != "delete" {
		label += "=" + strconv.FormatInt(e.Interval, 10)
	}
	return fmt.Sprintf("Resource action: %-15s %s on %s", e.Shown, label, a.Node)
}

// Execution is the result of a simulated transition.
type Execution struct {
	Document   *cib.Document // the document afterwards
	Events     []Event
	Failed     bool // an action was made to fail
	Terminated bool // actions were left that can never run: the transition was invalid
}

// Execute carries out the decision's transition on a copy of doc, with every action succeeding except
// those that fail names.
func Execute(doc *cib.Document, d *policy.Decision, fail []OpSpec, now time.Time) *Execution {
	x := &executor{w: cib.NewEditor(doc), d: d, fail: fail, now: now, events: make([]Event, 0, len(d.Graph.Synapses))}
	x.expect()
	p := transition.NewProgress(d.Graph)
	for p.Pass(x.fire) > 0 {
	}
	return &Execution{
		Document: x.w.Document(), Events: x.events,
		Failed:     p.Aborted(),
		Terminated: !p.Aborted() && p.Left() > 0,
	}
}

// expect makes room for what will be recorded: on each node no more than an operation for each action there.
func (x *executor) expect() {
	count := make(map[*transition.Place]int)
	for i := range x.d.Graph.Synapses {
		if a := &x.d.Graph.Synapses[i].Action; a.Kind == transition.ResourceOp && a.Node != "" {
			count[a.Place]++
		}
	}
	nodes := x.w.Document().Status.Nodes
	for p, n := range count {
		if at := slices.IndexFunc(nodes, func(st cib.NodeState) bool { return st.Name == p.Node }); at >= 0 {
			x.w.Expect(at, n)
		}
	}
}

type executor struct {
	w      *cib.Editor
	d      *policy.Decision
	fail   []OpSpec
	now    time.Time
	events []Event
	last   operation
	keys   transitionKeys
}

// operation is what is recorded of an operation of an agent wherever it is carried out.
type operation struct {
	of       *transition.Operation // nil = nothing yet
	shown    string
	interval int64 // milliseconds
	target   int   // result code that is expected
	entry    cib.HistoryOp
	history  cib.ResourceHistory
}

// operation returns what is recorded of the action's operation. That of the action asked for last is kept: the
// actions of large transitions are mostly probes of one resource after the other, each on all nodes.
func (x *executor) operation(a *transition.Action) *operation {
	if x.last.of == a.Operation {
		return &x.last
	}
	o := operation{of: a.Operation, shown: x.shownName(a.Resource)}
	if s, ok := a.Attr("CRM_meta_interval"); ok {
		o.interval, _ = strconv.ParseInt(s, 10, 64)
	}
	if s, ok := a.Attr("CRM_meta_op_target_rc"); ok {
		o.target, _ = strconv.Atoi(s)
	}
	o.entry = x.entry(a, o.interval, o.target)
	o.history = cib.ResourceHistory{ID: a.Resource.ID, Class: a.Resource.Class, Provider: a.Resource.Provider, Type: a.Resource.Type}
	x.last = o
	return &x.last
}

func (x *executor) fire(a *transition.Action, _ int) transition.Outcome {
	switch {
	case a.Fencing() && a.Kind != transition.PseudoEvent:
		x.fence(a)
	case a.Kind == transition.ResourceOp:
		return x.operate(a)
	default:
		x.events = append(x.events, Event{Action: a})
	}
	return transition.Done
}

func (x *executor) fence(a *transition.Action) {
	x.events = append(x.events, Event{Action: a})
	if op, _ := a.Attr("CRM_meta_stonith_action"); op == "on" {
		return
	}
	n := x.w.Node(a.Node, a.NodeID)
	x.w.Forget(n)
	st := &x.w.Document().Status.Nodes[n]
	st.InCCM, st.CRMD, st.Join, st.Expected, st.Origin = "false", "offline", "down", "down", "simulate_fencing_action"
}

func (x *executor) operate(a *transition.Action) transition.Outcome {
	o := x.operation(a)
	shown, interval, task := o.shown, o.interval, a.Task
	x.events = append(x.events, Event{Action: a, Shown: shown, Interval: interval})
	if task == "delete" || task == "meta-data" {
		return transition.Done
	}

	n := x.w.Node(a.Node, a.NodeID)
	h := x.w.History(n, shown, o.history)
	op := o.entry
	op.OnNode = a.Node
	op.CallID = cib.NextCall(x.w.Document().Status.Nodes[n].History[h].Operations)

	spec := x.failing(a, shown, task, interval)
	if spec == nil {
		x.keys.set(&op, o.target)
		x.w.Record(n, h, op)
		return transition.Done
	}
	op.RC, op.Status = spec.RC, 0
	if op.RC != o.target {
		op.Status = 4
	}
	if task == "reload" || task == "reload-agent" {
		op.Operation, op.Key = "monitor", a.Resource.ID+"_monitor_"+strconv.FormatInt(interval, 10)
	}
	op.ExitReason = "Simulated action failure"
	x.keys.set(&op, o.target)
	op.ID = a.Resource.ID + "_last_failure_0"
	x.w.Record(n, h, op)
	if interval == 0 {
		op.ID = a.Resource.ID + "_last_0"
		x.w.Record(n, h, op)
	}
	x.events = append(x.events, Event{Action: a, Plain: true, Failed: true, RC: spec.RC})
	fatal := task == "stop" && x.d.Graph.FailedStopOffset == "INFINITY" ||
		task == "start" && x.d.Graph.FailedStartOffset == "INFINITY"
	for _, inj := range x.w.AddFailure(n, shown, task, interval, fatal, x.now.Unix()) {
		x.events = append(x.events, Event{Set: &inj})
	}
	return transition.Failed
}

// shownName is the name under which an operation is printed (spec/06-simulation.md section 11).
func (x *executor) shownName(r *transition.ResourceRef) string {
	if x.known(r.ID) || r.LongID == "" || !x.known(r.LongID) {
		return r.ID
	}
	return r.LongID
}

func (x *executor) known(id string) bool {
	c := x.d.Cluster
	if c.Resource(id) != nil {
		return true
	}
	for _, r := range c.ByHistoryID(id) {
		if r.HistoryID == id {
			return true
		}
	}
	return false
}

func (x *executor) failing(a *transition.Action, shown, task string, interval int64) *OpSpec {
	for i := range x.fail {
		s := &x.fail[i]
		if s.IntervalMS == interval && strings.EqualFold(s.Task, task) && strings.EqualFold(s.Node, a.Node) &&
			(strings.EqualFold(s.Resource, shown) || strings.EqualFold(s.Resource, a.Resource.ID)) {
			return s
		}
	}
	return nil
}

// entry makes the history entry of an operation that succeeds, but for the node and the call
// (spec/06-simulation.md section 4).
func (x *executor) entry(a *transition.Action, interval int64, rc int) cib.HistoryOp {
	id, task := a.Resource.ID, a.Task
	ms := strconv.FormatInt(interval, 10)
	op := cib.HistoryOp{
		Operation: task, Interval: interval, RC: rc, Origin: "crm_simulate", FeatureSet: featureSet,
		LastRCChange: x.now.Unix(), LastRun: -1,
		Key: id + "_" + task + "_" + ms,
	}
	switch {
	case task == "notify":
		kind, _ := a.Attr("CRM_meta_notify_type")
		what, _ := a.Attr("CRM_meta_notify_operation")
		op.ID = id + "_" + kind + "_notify_" + what + "_0"
	case task == "migrate_to" || task == "migrate_from":
		op.ID = id + "_" + task + "_0"
		op.MigrateSource, _ = a.Attr("CRM_meta_migrate_source")
		op.MigrateTarget, _ = a.Attr("CRM_meta_migrate_target")
	case interval > 0:
		op.ID = id + "_" + task + "_" + ms
	default:
		op.ID = id + "_last_0"
	}
	if task == "reload" || task == "reload-agent" {
		op.Operation, op.Key = "start", id+"_start_"+ms
	}
	op.OpDigest = transition.Digest(digestAttrs(a, interval))
	return op
}

// transitionKeys writes the keys of recorded operations. Most entries of a large transition have the same.
type transitionKeys struct {
	call                 int64
	expected, status, rc int
	key, magic           string
}

// set fills in the keys of an entry whose operation was to have the expected result.
func (k *transitionKeys) set(op *cib.HistoryOp, expected int) {
	if k.key == "" || k.call != op.CallID || k.expected != expected || k.status != op.Status || k.rc != op.RC {
		k.call, k.expected, k.status, k.rc = op.CallID, expected, op.Status, op.RC
		k.key = fmt.Sprintf("%d:-1:%d:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", op.CallID, expected)
		k.magic = fmt.Sprintf("%d:%d;%s", op.Status, op.RC, k.key)
	}
	op.TransitionKey, op.TransitionMagic = k.key, k.magic
}

// digestAttrs are the parameters of an action that count for its digest (spec/04-actions.md 3.5).
func digestAttrs(a *transition.Action, interval int64) []transition.Attr {
	// Parameters whose names start with a digit stand apart in a graph, and before all others in a digest.
	out := slices.Clone(a.Parameters)
	for _, x := range a.Attributes {
		switch x.Name {
		case "id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip":
			continue
		case "CRM_meta_timeout":
			if interval > 0 {
				out = append(out, x)
			}
			continue
		}
		if !strings.HasPrefix(x.Name, "CRM_meta_") {
			out = append(out, x)
		}
	}
	return out
}
