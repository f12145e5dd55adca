// Package transition holds the action graph that leads from one state of the cluster to another, and
// walks it: which actions may start now, and what a result changes. The live leader and the simulator
// use the same walker; only what happens when an action fires differs (design.md, rule 3).
//
// The package is pure. A Graph is not changed once it was built; a Progress belongs to one goroutine.
package transition

import "iter"

// Kind says which element of Pacemaker's graph an action is.
type Kind uint8

// Kinds of actions (spec/05-ordering.md section 9).
const (
	ResourceOp  Kind = iota // rsc_op: an operation of an agent
	PseudoEvent             // pseudo_event: exists for ordering only
	ClusterOp               // crm_event: fencing, shutdown, clearing of fail counts or history
)

// Graph is a transition: synapses in the order in which they are walked.
type Graph struct {
	ClusterDelay      string // as configured; "60s" by default
	FencingTimeout    string
	FailedStopOffset  string // "INFINITY"
	FailedStartOffset string // "INFINITY", or "1" with start-failure-is-fatal=false
	BatchLimit        string
	MigrationLimit    string // "" = none
	TransitionID      int
	RecheckBy         int64 // seconds since 1970; 0 = never

	Synapses []Synapse
}

// Synapse is one action with the actions that must be confirmed before it.
type Synapse struct {
	Priority int32
	Action   Action
	// Inputs are the actions to be confirmed first, in the order in which they are written.
	Inputs []Input
}

// Input refers to an action that must be confirmed first.
type Input struct {
	Synapse int // index of its synapse; -1 = not in the graph, so that it is never confirmed
	// Action is filled only for inputs that are not in the graph.
	Action *Action
}

// Action is one action of a graph. Large graphs are mostly the same operation on each node of the cluster, so what is
// to be done and where are values of their own that actions share. Neither pointer is ever nil.
type Action struct {
	Number int // unique in the graph; the id in XML
	*Operation
	*Place
}

// Operation is what an action does. It is shared, and never changed once the graph was built.
type Operation struct {
	Kind        Kind
	Task        string // operation, such as "start", "cancel", "stonith", "do_shutdown"
	Key         string // operation_key
	InternalKey string // internal_operation_key; "" = none
	Mode        string // "cib" for lrm_delete

	ShutdownLock int64        // seconds since 1970; 0 = none
	Resource     *ResourceRef // nil = none

	Attributes  []Attr   // sorted by name (bytes); without those that tell the place, see Action.All
	Parameters  []Attr   // resource parameters whose names start with a digit, sorted
	Downed      []string // ids of nodes that the action takes down
	Maintenance []MaintenanceNode
}

// Place is where an action happens. It is shared, and never changed once the graph was built.
type Place struct {
	// Node is where the action runs; "" for most pseudo events. Router is the cluster node that carries
	// it out for a remote or guest node.
	Node, NodeID, Router string
}

// Names of the attributes that tell an executor the place of an action.
const (
	attrNode   = "CRM_meta_on_node"
	attrNodeID = "CRM_meta_on_node_uuid"
)

// ResourceRef is the resource of an action, as its executor knows it.
type ResourceRef struct {
	Element               string // "primitive" and so on
	ID, LongID            string // LongID "" = none
	Class, Provider, Type string
}

// Attr is one attribute of an action.
type Attr struct{ Name, Value string }

// MaintenanceNode is the recorded maintenance state of a remote node.
type MaintenanceNode struct {
	ID          string
	Maintenance bool
}

// All yields the attributes of an action with those that follow from its place, sorted by name (bytes). What the
// operation itself sets goes before the place.
func (a *Action) All() iter.Seq[Attr] {
	return func(yield func(Attr) bool) {
		place := [...]Attr{{attrNode, a.Node}, {attrNodeID, a.NodeID}}
		next := 0
		if a.Node == "" {
			next = len(place)
		}
		for _, x := range a.Attributes {
			for next < len(place) && place[next].Name <= x.Name {
				if place[next].Name < x.Name && !yield(place[next]) {
					return
				}
				next++
			}
			if !yield(x) {
				return
			}
		}
		for _, x := range place[next:] {
			if !yield(x) {
				return
			}
		}
	}
}

// Attr returns the value of an attribute and whether it is there.
func (a *Action) Attr(name string) (string, bool) {
	if v, ok := find(a.Attributes, name); ok || a.Node == "" {
		return v, ok
	}
	switch name {
	case attrNode:
		return a.Node, true
	case attrNodeID:
		return a.NodeID, true
	}
	return "", false
}

// find returns the value of an attribute in a sorted list and whether it is there.
func find(list []Attr, name string) (string, bool) {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := (lo + hi) / 2
		if list[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].Name == name {
		return list[lo].Value, true
	}
	return "", false
}

// Fencing reports whether the operation is a real or implied fencing of a node.
func (o *Operation) Fencing() bool { return o.Task == "stonith" }
