package schedule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/transition"
)

// FeatureSet is the feature set that graphs and digests are made for.
const FeatureSet = "3.20.5"

// attributes writes the actions of a graph with everything that their executors need
// (spec/05-ordering.md section 9).
type attributes struct {
	c    *model.Cluster
	list []transition.Attr
	// alike are the attributes of operations that have none of their own, by their meta-attributes and the result
	// that is expected.
	alike map[kind][]transition.Attr
	room  []transition.Attr // for the attributes of the next operations
	meta  map[string]string // names of meta-attributes as executors know them, by name

	maintenance []*model.Node // whose maintenance state has to be recorded anew

	last      *model.Action // the action written last, if others may be like it
	operation *transition.Operation

	operations []transition.Operation // room for the next ones
	places     []transition.Place     // of all nodes, by Node.Index; "" = not asked for yet

	referred  *model.Resource // the resource of reference
	reference *transition.ResourceRef
	refs      []transition.ResourceRef // room for the next ones
}

// kind is the number of shared meta-attributes, and the result that is expected.
type kind struct {
	meta   int
	target uint8
}

// nowhere is the place of events.
var nowhere transition.Place

// set adds an attribute; the first value of a name counts, so that later ones are dropped by finish.
func (w *attributes) set(name, value string) {
	w.list = append(w.list, transition.Attr{Name: name, Value: value})
}

// addMeta adds a meta-attribute.
func (w *attributes) addMeta(name, value string) {
	full, known := w.meta[name]
	if !known {
		if !strings.ContainsAny(name, "#:") {
			full = "CRM_meta_" + strings.ReplaceAll(name, "-", "_")
		}
		if w.meta == nil {
			w.meta = map[string]string{}
		}
		w.meta[name] = full
	}
	if full != "" {
		w.set(full, value)
	}
}

// table adds the entries of a map. Their order does not matter, since names are distinct and sorted in the end.
func (w *attributes) table(m map[string]string) {
	for name, value := range m {
		w.set(name, value)
	}
}

// finish returns the attributes sorted by name, each once, those whose names start with a digit apart.
func (w *attributes) finish() (attrs, params []transition.Attr) {
	slices.SortStableFunc(w.list, func(a, b transition.Attr) int { return strings.Compare(a.Name, b.Name) })
	if len(w.room) < len(w.list) {
		w.room = make([]transition.Attr, max(len(w.list), min(max(len(w.c.Actions), 64), 512)))
	}
	kept := w.room[:0:len(w.list)]
	w.room = w.room[len(w.list):]
	for i, a := range w.list {
		if i > 0 && w.list[i-1].Name == a.Name {
			continue
		}
		if a.Name != "" && a.Name[0] >= '0' && a.Name[0] <= '9' {
			params = append(params, a)
			continue
		}
		kept = append(kept, a)
	}
	w.list = w.list[:0]
	return kept, params
}

// place is where an action happens.
func (w *attributes) place(a *model.Action) *transition.Place {
	n := a.Node
	if n == nil || a.Pseudo && a.Task != action.TaskFence {
		return &nowhere
	}
	if n.IsRemoteKind() && a.Task != action.TaskFence {
		if host := router(a); host != nil {
			return &transition.Place{Node: n.Name, NodeID: n.ID, Router: host.Name}
		}
	}
	return w.at(n)
}

// at is the node as a place.
func (w *attributes) at(n *model.Node) *transition.Place {
	if w.places == nil {
		w.places = make([]transition.Place, w.c.NodeCount())
	}
	p := &w.places[n.Index]
	if p.Node == "" {
		p.Node, p.NodeID = n.Name, n.ID
	}
	return p
}

// short returns the operation of an action as far as inputs tell it.
func (w *attributes) short(a *model.Action) *transition.Operation {
	if len(w.operations) == 0 {
		w.operations = make([]transition.Operation, min(max(len(w.c.Actions)/8, 8), 256))
	}
	out := &w.operations[0]
	w.operations = w.operations[1:]
	out.Task, out.Key = a.Task, a.Key
	switch {
	case a.Pseudo:
		out.Kind = transition.PseudoEvent
	case a.Task == action.TaskFence, a.Task == action.TaskShutdown, a.Task == clearFailures:
		out.Kind = transition.ClusterOp
	case a.Task == action.TaskDeleteHistory:
		out.Kind = transition.ClusterOp
		out.Mode = "cib"
	}
	if r := a.Resource; r != nil && r.HistoryID != "" {
		out.InternalKey = a.Key
		kind, operation := a.Meta["notify_type"], a.Meta["notify_operation"]
		switch {
		case a.Task == action.TaskNotify && kind != "" && operation != "":
			out.Key = action.NotifyKey(r.HistoryID, kind, operation)
		case a.Task == cancel:
			out.Key = action.Key(r.HistoryID, a.Cancelled(), a.Interval)
		default:
			out.Key = action.Key(r.HistoryID, a.Task, a.Interval)
		}
	}
	return out
}

// router is the cluster node that carries out an action on a remote or guest node (spec/04-actions.md
// section 14); nil = none.
func router(a *model.Action) *model.Node {
	conn := a.Node.Connection
	if conn == nil {
		return nil
	}
	began, ended := conn.Current(), conn.Assigned
	switch {
	case began == nil || ended == nil || began == ended:
		if ended == nil {
			return began
		}
		return ended
	}
	task := a.Task
	if task == action.TaskNotify {
		task = a.Meta["notify_operation"]
	}
	switch task {
	case cancel, stop, demote, migrateFrom, migrateTo:
		if conn.PartialTarget == nil || conn.IsGuestConnection {
			return began
		}
	}
	return ended
}

// full returns the operation of an action with everything that its executor needs. The place adds to that; see
// transition.Action.All.
func (w *attributes) full(a *model.Action) *transition.Operation {
	if w.like(a) {
		return w.operation
	}
	out := w.short(a)
	c, r, n := w.c, a.Resource, a.Node
	if out.Kind == transition.ResourceOp || out.Kind == transition.ClusterOp {
		out.ShutdownLock = lockOf(a)
	}
	if r != nil && out.Kind != transition.PseudoEvent {
		out.Resource = w.refer(r)
	}
	k := kind{w.sharedMeta(a), a.TargetRC}
	if k.meta != 0 {
		if list := w.alike[k]; list != nil {
			out.Attributes = list
			w.remember(a, out)
			return out
		}
	}

	w.set("crm_feature_set", FeatureSet)
	w.table(a.Extra)
	if r != nil && r.Kind == cib.Primitive {
		w.table(action.Params(c, r, n))
	}
	if a.TargetRC != 0 {
		w.set("CRM_meta_op_target_rc", strconv.Itoa(int(a.TargetRC)))
	}
	for name, value := range a.Meta {
		w.addMeta(name, value)
	}
	if r != nil {
		for name, value := range w.opMeta(a) {
			w.addMeta(name, value)
		}
		w.structure(r)
		w.host(a)
	}
	out.Attributes, out.Parameters = w.finish()
	out.Downed = w.downed(a)
	if r == nil && a.Task == action.TaskMaintenance {
		for _, m := range w.maintenance {
			out.Maintenance = append(out.Maintenance, transition.MaintenanceNode{ID: m.ID, Maintenance: m.Maintenance})
		}
	}
	if k.meta != 0 {
		if w.alike == nil {
			w.alike = map[kind][]transition.Attr{}
		}
		w.alike[k] = out.Attributes
	}
	w.remember(a, out)
	return out
}

// remember keeps what was written about an action for the next one, if that may be like it.
func (w *attributes) remember(a *model.Action, out *transition.Operation) {
	w.last = nil
	if simple(a) {
		w.last, w.operation = a, out
	}
}

// sharedMeta returns the number of the meta-attributes of an action where its other attributes, but for the result that
// is expected, are those of all actions; 0 = they are not.
func (w *attributes) sharedMeta(a *model.Action) int {
	r := a.Resource
	if r == nil || r.Kind != cib.Primitive || a.Pseudo || a.Task != start && a.Task != stop && a.Task != monitor ||
		r.Connection || len(a.Meta) > 0 || len(a.Extra) > 0 || a.Node != nil && a.Node.IsRemoteKind() {
		return 0
	}
	for p := r; p != nil; p = p.Parent {
		if p.Instance >= 0 || p.Clone != nil || p.Launcher != nil || p.Replica != nil {
			return 0
		}
	}
	m := action.OpMeta(w.c, r, a.Task, a.Interval)
	if m.Shared == 0 || len(action.Params(w.c, r, a.Node)) > 0 || r.Meta["remote-node"] != "" {
		return 0
	}
	return m.Shared
}

// simple reports whether what is written about an action does not depend on its node.
func simple(a *model.Action) bool {
	r := a.Resource
	return r != nil && r.Kind == cib.Primitive && a.Node != nil && !a.Node.IsRemoteKind() && !a.Pseudo && len(a.Meta) == 0 &&
		len(a.Extra) == 0 && a.Task == monitor && !r.Connection && r.LockNode == nil && values.SameParams(r)
}

// like reports whether an action is the same operation as the one written last, on another node: large graphs
// consist of probes of the same resources on all nodes.
func (w *attributes) like(a *model.Action) bool {
	l := w.last
	return l != nil && l.Resource == a.Resource && l.Interval == a.Interval && l.Task == a.Task && l.TargetRC == a.TargetRC && simple(a)
}

// opMeta is the meta-attributes of the operation that an action is.
func (w *attributes) opMeta(a *model.Action) map[string]string {
	r := a.Resource
	task := a.Task
	if task == cancel {
		task = a.Cancelled()
	}
	if r.Kind != cib.Primitive {
		// What a collective does needs no more time than the default says.
		return action.OpMeta(w.c, r, task, 0).Meta
	}
	return action.OpMeta(w.c, r, task, a.Interval).Meta
}

// elementNames are the XML elements of the kinds of resources.
var elementNames = [...]string{cib.Primitive: "primitive", cib.Group: "group", cib.Clone: "clone", cib.Bundle: "bundle"}

// lockOf is the time since when the resource of an action is locked to the action's node, 0 = it is not.
func lockOf(a *model.Action) int64 {
	r := a.Resource
	if r == nil || r.LockNode == nil || a.Node == nil || r.LockTime == 0 || r.LockNode != a.Node {
		return 0
	}
	if a.Node.Shutdown && a.Task != stop {
		return 0
	}
	return r.LockTime
}

// refer names a resource for its executor.
func (w *attributes) refer(r *model.Resource) *transition.ResourceRef {
	if w.referred == r {
		return w.reference
	}
	if len(w.refs) == 0 {
		w.refs = make([]transition.ResourceRef, min(max(len(w.c.All)/2, 4), 64))
	}
	ref := &w.refs[0]
	w.refs = w.refs[1:]
	*ref = transition.ResourceRef{Element: elementNames[r.Kind], Class: r.Class, Provider: r.Provider, Type: r.Type}
	switch {
	case r.Removed && r.HistoryID != "":
		ref.ID, ref.LongID = r.HistoryID, r.ID
	case anonymous(r) && r.ConfigID != "":
		ref.ID = r.ConfigID
		if r.HistoryID != "" && r.HistoryID != ref.ID {
			ref.LongID = r.HistoryID
		} else {
			ref.LongID = r.ID
		}
	default:
		ref.ID = r.ID
	}
	w.referred, w.reference = r, ref
	return ref
}

// structure adds what a resource takes from what it belongs to.
func (w *attributes) structure(r *model.Resource) {
	for p := r; p != nil; p = p.Parent {
		if p.Instance >= 0 && r.Kind == cib.Primitive {
			w.set("CRM_meta_clone", strconv.Itoa(p.Instance))
		}
		if p.Clone != nil {
			w.cloneMeta(p)
		}
		if name := p.Meta["remote-node"]; name != "" && p.Kind == cib.Primitive {
			w.set("CRM_meta_remote_node", name)
		}
		if p.Launcher != nil {
			top := p.Launcher
			for top.Launcher != nil {
				top = top.Launcher
			}
			w.set("CRM_meta_container", top.ID)
		}
		if p.Replica != nil && p == p.Replica.Inner && p.Replica.Address != "" {
			w.set("pcmk_external_ip", p.Replica.Address)
		}
	}
}

func (w *attributes) cloneMeta(r *model.Resource) {
	cl := r.Clone
	w.set("CRM_meta_globally_unique", boolText(cl.Unique))
	w.set("CRM_meta_notify", boolText(cl.Notify))
	w.set("CRM_meta_clone_max", strconv.Itoa(cl.Max))
	w.set("CRM_meta_clone_node_max", strconv.Itoa(cl.NodeMax))
	if cl.Promotable {
		w.set("CRM_meta_promoted_max", strconv.Itoa(cl.PromotedMax))
		w.set("CRM_meta_promoted_node_max", strconv.Itoa(cl.PromotedNodeMax))
		w.set("CRM_meta_master_max", strconv.Itoa(cl.PromotedMax))
		w.set("CRM_meta_master_node_max", strconv.Itoa(cl.PromotedNodeMax))
	}
}

func boolText(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// host adds where the container of a guest node is.
func (w *attributes) host(a *model.Action) {
	n, r := a.Node, a.Resource
	if n == nil || !n.IsGuestKind() || n.Connection == nil || n.Connection.Launcher == nil {
		return
	}
	task := a.Task
	if task == action.TaskNotify {
		task = a.Meta["notify_operation"]
	}
	l := n.Connection.Launcher
	var host *model.Node
	switch task {
	case stop, demote:
		host = l.Current()
	case start, monitor, promote:
		host = l.Assigned
	default:
		return
	}
	if host == nil {
		return
	}
	if v := r.Meta["container-attribute-target"]; v != "" {
		w.set("CRM_meta_container_attribute_target", v)
	}
	w.set("CRM_meta_physical_host", host.Name)
}

// downed lists the nodes that an action takes down.
func (w *attributes) downed(a *model.Action) []string {
	switch {
	case a.Task == action.TaskShutdown && a.Node != nil:
		return []string{a.Node.ID}
	case a.Task == action.TaskFence && a.Node != nil && a.Meta["stonith_action"] != "on":
		ids := []string{a.Node.ID}
		for _, r := range a.Node.Running {
			if r.Connection && r.Launcher != nil && r.RemoteNode != nil {
				ids = append(ids, r.RemoteNode.ID)
			}
		}
		return ids
	case a.Task == stop && !a.Pseudo && a.Resource != nil && a.Resource.Connection && a.Resource.RemoteNode != nil && a.Interval == 0:
		for _, rel := range a.Before {
			if rel.First.Task == migrateFrom && rel.First.Resource == a.Resource && rel.Used {
				return nil
			}
		}
		return []string{a.Resource.RemoteNode.ID}
	}
	return nil
}
