package controller

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// Question asks for a decision. It is answered outside of the node's loop, by Answer, because that takes long where
// the cluster is big, and heartbeats must go on meanwhile. Nothing that it refers to is changed any more.
type Question struct {
	Number uint64         // unlike those of all other questions of this process
	State  *command.State // decided on
	Node   string         // that decides with quorum; "" = the decision is one without quorum
	Now    time.Time
}

// Answer is what came of a Question.
type Answer struct {
	Number   uint64
	Document *cib.Document // that the policy was given
	Decision *policy.Decision
	Err      error    // why there is no Decision
	Changes  []string // what the decision changes, in words

	progress *transition.Progress
	reasons  map[int]string // of actions, by number
}

// Answer asks the policy, or decide in its place when that is not nil. A panic there must not follow leadership from
// node to node, so it becomes an error. Any goroutine may call it.
func (q *Question) Answer(decide func(policy.Input) (*policy.Decision, error)) *Answer {
	if decide == nil {
		decide = policy.Decide
	}
	a := &Answer{Number: q.Number}
	q.answer(a, decide)
	return a
}

func (q *Question) answer(a *Answer, decide func(policy.Input) (*policy.Decision, error)) {
	defer func() {
		if p := recover(); p != nil {
			a.Decision, a.Err = nil, fmt.Errorf("the policy failed on this document: %v\n%s", p, debug.Stack())
		}
	}()
	a.Document = command.PolicyDocument(q.State, q.Node)
	if a.Decision, a.Err = decide(policy.Input{Document: a.Document, Now: q.Now, Quorate: q.Node != ""}); a.Err != nil {
		a.Decision = nil
		return
	}
	for _, ch := range a.Decision.Summary() {
		a.Changes = append(a.Changes, ch.String())
	}
	a.progress = transition.NewProgress(a.Decision.Graph)
	a.reasons = map[int]string{}
	for _, x := range a.Decision.Cluster.Actions {
		if x.InGraph && x.Reason != "" {
			a.reasons[x.Number] = x.Reason
		}
	}
}
