package cib

import (
	"slices"
	"strconv"
	"strings"
)

// Editor changes the status of a copy of a document, of which it copies only what changes: the document
// that it started from stays as it was, and the two share the rest. An Editor belongs to one goroutine.
type Editor struct {
	doc *Document

	nodesOwned bool
	nodes      []nodeEdit       // by node state
	byName     map[string]int   // Node name -> node state
	resources  map[string]int32 // resource id -> its number here, by which nodes find their histories
	room       []HistoryOp      // for the first operations of resources
}

// nodeEdit is what an Editor did to a node state and knows of it.
type nodeEdit struct {
	historyOwned bool    // its history slice is a copy
	opsOwned     []bool  // by history: its operations are a copy
	indexed      bool    // at is complete
	at           []int32 // by number of a resource: its history, counted from 1; 0 or beyond the end = none
	expected     int
}

// NewEditor starts editing a copy of doc.
func NewEditor(doc *Document) *Editor {
	d := *doc
	w := &Editor{doc: &d, nodes: make([]nodeEdit, len(d.Status.Nodes)), byName: make(map[string]int, len(d.Status.Nodes))}
	for i := range d.Status.Nodes {
		if _, seen := w.byName[d.Status.Nodes[i].Name]; !seen {
			w.byName[d.Status.Nodes[i].Name] = i
		}
	}
	return w
}

// Expect makes room for so many more resources in the history of node state n. It need not be asked for.
func (w *Editor) Expect(n, resources int) { w.nodes[n].expected = resources }

// Document is the edited document. It is valid at any time; what was handed out must not be edited further.
func (w *Editor) Document() *Document { return w.doc }

// Node returns the index of the node state of the named node, making one when there is none.
func (w *Editor) Node(name, id string) int {
	if !w.nodesOwned {
		w.doc.Status.Nodes = slices.Clone(w.doc.Status.Nodes)
		w.nodesOwned = true
	}
	if i, ok := w.byName[name]; ok {
		return i
	}
	w.doc.Status.Nodes = append(w.doc.Status.Nodes, NodeState{ID: id, Name: name})
	i := len(w.doc.Status.Nodes) - 1
	w.nodes = append(w.nodes, nodeEdit{})
	w.byName[name] = i
	return i
}

// History returns the history of a resource on node state n: the one named shown, else id, else a new one.
func (w *Editor) History(n int, shown string, fresh ResourceHistory) (h int) {
	st, e := &w.doc.Status.Nodes[n], &w.nodes[n]
	if !e.historyOwned {
		st.History = slices.Grow(slices.Clone(st.History), e.expected)
		e.historyOwned = true
	}
	if !e.indexed {
		e.indexed = true
		if w.resources == nil {
			w.resources = make(map[string]int32, len(st.History)+1)
		}
		e.at = make([]int32, 0, max(len(w.resources), len(st.History)+e.expected))
		for i := range st.History {
			if k := w.number(st.History[i].ID); e.history(k) < 0 {
				e.put(k, i)
			}
		}
	}
	k := w.number(fresh.ID)
	h = -1
	if shown != fresh.ID {
		h = e.history(w.number(shown))
	}
	if h < 0 {
		h = e.history(k)
	}
	if h < 0 {
		st.HasHistory = true
		st.History = append(st.History, fresh)
		h = len(st.History) - 1
		e.put(k, h)
	}
	for len(e.opsOwned) <= h {
		e.opsOwned = append(slices.Grow(e.opsOwned, max(e.expected-len(e.opsOwned), 0)), false)
	}
	if !e.opsOwned[h] {
		st.History[h].Operations = slices.Clone(st.History[h].Operations)
		e.opsOwned[h] = true
	}
	return h
}

// number returns the number of a resource, giving it one where it has none yet.
func (w *Editor) number(id string) int32 {
	k, known := w.resources[id]
	if !known {
		k = int32(len(w.resources))
		w.resources[id] = k
	}
	return k
}

// history returns the history of the resource with the number; -1 = none.
func (e *nodeEdit) history(k int32) int {
	if int(k) < len(e.at) {
		return int(e.at[k]) - 1
	}
	return -1
}

func (e *nodeEdit) put(k int32, h int) {
	for len(e.at) <= int(k) {
		e.at = append(e.at, 0)
	}
	e.at[k] = int32(h) + 1
}

// forget drops what is known of the history, which is a copy from now on.
func (e *nodeEdit) forget() {
	e.historyOwned, e.indexed = true, false
	e.opsOwned, e.at = nil, nil
}

// NextCall returns the next call id of the node: the highest in the section of the resource plus 1.
func NextCall(ops []HistoryOp) int64 {
	var highest int64
	for i := range ops {
		highest = max(highest, ops[i].CallID)
	}
	return highest + 1
}

// Record puts op into the history, replacing an entry of the same id.
func (w *Editor) Record(n, h int, op HistoryOp) {
	ops := w.doc.Status.Nodes[n].History[h].Operations
	for i := range ops {
		if ops[i].ID == op.ID {
			ops[i] = op
			return
		}
	}
	if len(ops) == 0 && w.nodes[n].expected > 0 {
		if len(w.room) == 0 {
			w.room = make([]HistoryOp, min(w.nodes[n].expected, 64))
		}
		ops, w.room = w.room[:0:1], w.room[1:]
	}
	w.doc.Status.Nodes[n].History[h].Operations = append(ops, op)
}

// Forget removes the history and the transient attributes of a node.
func (w *Editor) Forget(n int) {
	st := &w.doc.Status.Nodes[n]
	st.History, st.HasHistory, st.Attributes = nil, false, nil
	w.nodes[n].forget()
}

// SetTransient sets a transient attribute of a node state.
func (w *Editor) SetTransient(n int, name, value string) {
	st := &w.doc.Status.Nodes[n]
	sets := slices.Clone(st.Attributes)
	if len(sets) == 0 {
		sets = append(sets, AttributeSet{ID: "status-" + st.ID})
	}
	for i := range sets {
		for j := range sets[i].Pairs {
			if sets[i].Pairs[j].Name == name {
				sets[i].Pairs = slices.Clone(sets[i].Pairs)
				sets[i].Pairs[j].Value = value
				st.Attributes = sets
				return
			}
		}
	}
	sets[0].Pairs = append(slices.Clone(sets[0].Pairs),
		NVPair{ID: "status-" + st.ID + "-" + idPart(name), Name: name, Value: value})
	st.Attributes = sets
}

// idPart makes a name fit for an XML id.
func idPart(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '#' || r == ':' || r == ' ' {
			return '-'
		}
		return r
	}, name)
}

// AddFailure counts a failure in the node's transient attributes and returns what was set, in order.
func (w *Editor) AddFailure(n int, resource, task string, intervalMS int64, fatal bool, nowSeconds int64) []TransientSet {
	suffix := "-" + resource + "#" + task + "_" + strconv.FormatInt(intervalMS, 10)
	value := "INFINITY"
	before, _ := w.TransientValue(n, "fail-count"+suffix)
	if !fatal {
		old, err := strconv.Atoi(before)
		if err != nil {
			old = 0
		}
		value = strconv.Itoa(old + 1)
		if before == "INFINITY" {
			value = "INFINITY"
		}
	}
	last := strconv.FormatInt(nowSeconds, 10)
	w.SetTransient(n, "fail-count"+suffix, value)
	w.SetTransient(n, "last-failure"+suffix, last)
	id := w.doc.Status.Nodes[n].ID
	return []TransientSet{{Name: "fail-count" + suffix, Value: value, NodeID: id}, {Name: "last-failure" + suffix, Value: last, NodeID: id}}
}

// TransientSet is a transient attribute that AddFailure set.
type TransientSet struct{ Name, Value, NodeID string }

// String returns the line that the field's tools print for it.
func (i TransientSet) String() string {
	return "Injecting attribute " + i.Name + "=" + i.Value + " into /node_state '" + i.NodeID + "'"
}

// TransientValue returns a transient attribute of a node state and whether it is set.
func (w *Editor) TransientValue(n int, name string) (string, bool) {
	for _, set := range w.doc.Status.Nodes[n].Attributes {
		for _, p := range set.Pairs {
			if p.Name == name {
				return p.Value, true
			}
		}
	}
	return "", false
}

// DeleteTransient removes a transient attribute of a node state.
func (w *Editor) DeleteTransient(n int, name string) {
	st := &w.doc.Status.Nodes[n]
	sets := slices.Clone(st.Attributes)
	for i := range sets {
		sets[i].Pairs = slices.DeleteFunc(slices.Clone(sets[i].Pairs), func(p NVPair) bool { return p.Name == name })
	}
	st.Attributes = sets
}

// DeleteHistory removes the history of a resource on node state n and reports whether there was any.
func (w *Editor) DeleteHistory(n int, resource string) bool {
	st := &w.doc.Status.Nodes[n]
	at := slices.IndexFunc(st.History, func(h ResourceHistory) bool { return h.ID == resource })
	if at < 0 {
		return false
	}
	st.History = slices.Delete(slices.Clone(st.History), at, at+1)
	w.nodes[n].forget()
	return true
}

// State returns the node state n for changes of its own fields. Node has made it the editor's copy.
func (w *Editor) State(n int) *NodeState { return &w.doc.Status.Nodes[n] }
