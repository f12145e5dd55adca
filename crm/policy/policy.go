// Package policy decides: given a cluster document it says which resource should run where and in which
// role, which actions lead there in which order, and why. Behaviour follows Pacemaker's scheduler
// (spec/01 to 05 beside the project).
//
// Decide is a pure function. It reads no clock, no environment and no random source, starts nothing and
// keeps nothing: equal inputs give equal decisions, byte for byte. The document is not changed. It never
// panics on any document: contradictions are resolved by the rules and named in Decision.Messages.
//
// A decision is made in phases, each in a package of its own: unpack (document to working state), assign
// (placement and roles), schedule (actions, orderings, graph). Package model holds what they share.
package policy

import (
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/schedule"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/transition"
)

// Input is all that a decision depends on.
type Input struct {
	Document *cib.Document
	Now      time.Time // rules, failure timeouts and expiries only
	Quorate  bool      // this partition has quorum
	// Sanitized says that secrets may have been removed from the document, as in a simulation of a saved
	// one: a change of them alone then means nothing.
	Sanitized bool

	Trace model.Trace // what to record beside the decision itself
}

// Decision is what Decide found.
type Decision struct {
	// Cluster is the working state after the decision: current and wanted places and roles of every
	// resource, all actions with their reasons, score lines.
	Cluster *model.Cluster
	// Graph is the transition to carry out; it has no synapses when there is nothing to do.
	Graph *transition.Graph
	// Messages name what is wrong with the document, in the order met.
	Messages []model.Message
}

// State reads the document without deciding: the present state of nodes and resources, for display. An
// error says why the document cannot be used at all.
func State(in Input) (*model.Cluster, error) {
	return unpacked(in, true)
}

// Read is State with the constraints and tickets, for displays that show these too.
func Read(in Input) (*model.Cluster, error) {
	return unpacked(in, false)
}

func unpacked(in Input, statusOnly bool) (*model.Cluster, error) {
	quorate := in.Quorate
	return unpack.Unpack(in.Document, unpack.Options{Now: in.Now, Quorate: &quorate, Trace: in.Trace,
		StatusOnly: statusOnly, Sanitized: in.Sanitized})
}

// Decide computes the transition which leads from the status to the configuration in the document, with
// the reasons. An error says why the document cannot be used at all, such as a newer feature set.
func Decide(in Input) (*Decision, error) {
	c, err := unpacked(in, false)
	if err != nil {
		return nil, err
	}
	assign.Prepare(c)
	schedule.Internal(c)
	schedule.CheckHistory(c)
	assign.Run(c)
	schedule.Run(c)
	return &Decision{Cluster: c, Graph: schedule.Graph(c), Messages: c.Messages}, nil
}
