// Package transition holds the action graph that leads from one state of the cluster to another, and
// walks it: which actions may start now, and what a result changes. The live leader and the simulator
// use the same walker; only what happens when an action fires differs (design.md, rule 3).
//
// The package is pure. A Graph is not changed once it was built; a Progress belongs to one goroutine.
package transition

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

// Action is one action of a graph.
type Action struct {
	Number      int // unique in the graph; the id in XML
	Kind        Kind
	Task        string // operation, such as "start", "cancel", "stonith", "do_shutdown"
	Key         string // operation_key
	InternalKey string // internal_operation_key; "" = none
	Mode        string // "cib" for lrm_delete

	// Node is where the action runs; "" for most pseudo events. Router is the cluster node that carries
	// it out for a remote or guest node.
	Node, NodeID, Router string
	ShutdownLock         int64 // seconds since 1970; 0 = none

	Resource *ResourceRef // nil = none

	Attributes  []Attr   // sorted by name (bytes)
	Parameters  []Attr   // resource parameters whose names start with a digit, sorted
	Downed      []string // ids of nodes that the action takes down
	Maintenance []MaintenanceNode
}

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

// Attr returns the value of an attribute and whether it is there.
func (a *Action) Attr(name string) (string, bool) {
	lo, hi := 0, len(a.Attributes)
	for lo < hi {
		mid := (lo + hi) / 2
		if a.Attributes[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(a.Attributes) && a.Attributes[lo].Name == name {
		return a.Attributes[lo].Value, true
	}
	return "", false
}

// Fencing reports whether the action is a real or implied fencing of a node.
func (a *Action) Fencing() bool { return a.Task == "stonith" }
