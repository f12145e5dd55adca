package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Outcome is what an entry came to.
type Outcome struct {
	Kind    Kind
	Request uint64
	Origin  string
	// Err is why the entry was refused; nil = applied. A refused entry changed nothing but the record of
	// refusals.
	Err error

	ConfigChanged  bool // the configuration, so that validation and agents may be affected
	MembersChanged bool // members, or the settings of nodes, links and timings
	// DecisionNeeded says that something changed which a decision depends on.
	DecisionNeeded bool
	// Unasked says that among them are results of which that is true and that belong to no pending action; Own, that they are
	// of what a node did by itself without quorum.
	Unasked, Own bool
	// Dispatched and Results are filled for entries of these kinds.
	Dispatched []Pending
	Finished   []Finished // pending actions that the entry ended, in order
	Failed     []Failure  // operations that the entry recorded as failed, in order
}

// Failure is an operation that failed. Of a node that is fenced for it no history is left to tell of it.
type Failure struct {
	Node, Resource, Task string
	IntervalMS           int64
	RC, Status           int
	Reason               string
}

// Finished is a pending action that was ended.
type Finished struct {
	Pending
	// Expected says that it came to what the decision counted on; false also when the action was dropped
	// without a result.
	Expected bool
}

// ConflictError refuses a change that was made on the base of an older revision of an object.
type ConflictError struct {
	Object        string
	Based, Newest uint64
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s was changed meanwhile: the change is based on revision %d, the newest is %d; fetch it, look at the difference and try again", e.Object, e.Based, e.Newest)
}

// New returns the state before the first entry.
func New() *State {
	return &State{Document: &cib.Document{}, NextNodeID: 1, NextRaftID: 1, Feature: FeatureLevel}
}

// Apply applies the entry with the given index and term to s and returns the new state. s is not changed.
// An empty data is raft's own entry and changes only index and term. Apply never fails: what cannot be
// applied is refused in the Outcome and recorded in State.Refusals.
func Apply(s *State, index, term uint64, data []byte) (next *State, out Outcome) {
	n := *s
	n.Index, n.Term = index, term
	if len(data) == 0 {
		return &n, Outcome{}
	}
	e, err := Decode(data)
	if err != nil {
		return refuse(s, index, term, Outcome{Err: err})
	}
	out = Outcome{Kind: e.Kind, Request: e.Request, Origin: e.Origin}
	// A bug in a rule must not stop every node at the same entry: the entry is refused, the state kept.
	defer func() {
		if p := recover(); p != nil {
			out.Err = fmt.Errorf("internal error while applying entry %d: %v", index, p)
			next, out = refuse(s, index, term, out)
		}
	}()
	if out.Err = n.apply(e, &out); out.Err != nil {
		return refuse(s, index, term, out)
	}
	if out.ConfigChanged {
		if out.Err = n.remember(s.Document, e); out.Err != nil {
			return refuse(s, index, term, out)
		}
	}
	if out.DecisionNeeded || out.ConfigChanged {
		n.StatusRevision = index
	}
	return &n, out
}

func refuse(s *State, index, term uint64, out Outcome) (*State, Outcome) {
	n := *s
	n.Index, n.Term = index, term
	n.Refusals = appendBounded(s.Refusals, Refusal{Index: index, Kind: out.Kind, Error: out.Err.Error()}, maxRefusals)
	return &n, Outcome{Kind: out.Kind, Request: out.Request, Origin: out.Origin, Err: out.Err}
}

// appendBounded returns a copy of list with v at its end, without the oldest beyond limit.
func appendBounded[T any](list []T, v T, limit int) []T {
	from := 0
	if len(list) >= limit {
		from = len(list) - limit + 1
	}
	out := make([]T, 0, len(list)-from+1)
	return append(append(out, list[from:]...), v)
}

func (n *State) apply(e *Entry, out *Outcome) error {
	if n.ClusterID == "" && e.Kind != KindBootstrap {
		return fmt.Errorf("entry of kind %d before the cluster was made", e.Kind)
	}
	missing := fmt.Errorf("entry of kind %d without its body", e.Kind)
	switch e.Kind {
	case KindBootstrap:
		if e.Bootstrap == nil {
			return missing
		}
		return n.bootstrap(e.Bootstrap, out)
	case KindMemberAdd:
		if e.MemberAdd == nil {
			return missing
		}
		return n.memberAdd(e.MemberAdd, e.Time, out)
	case KindMemberRemove:
		if e.MemberRemove == nil {
			return missing
		}
		return n.memberRemove(e.MemberRemove.Name, out)
	case KindMemberUpdate:
		if e.MemberUpdate == nil {
			return missing
		}
		return n.memberUpdate(e.MemberUpdate, out)
	case KindTokenAdd:
		if e.TokenAdd == nil {
			return missing
		}
		return n.tokenAdd(*e.TokenAdd, e.Time)
	case KindTokenDrop:
		if e.TokenDrop == nil {
			return missing
		}
		return n.tokenDrop(e.TokenDrop.ID)
	case KindConfig:
		if e.Config == nil {
			return missing
		}
		return n.config(e, out)
	case KindNodes:
		if e.Nodes == nil {
			return missing
		}
		return n.nodes(e.Nodes.Facts, e.Time, out)
	case KindDispatch:
		if e.Dispatch == nil {
			return missing
		}
		return n.dispatch(e.Dispatch, e.Time, out)
	case KindResults:
		return n.results(e.Results, e.Time, out)
	case KindAttributes:
		return n.attributes(e.Attributes, out)
	case KindForget:
		if e.Forget == nil {
			return missing
		}
		return n.forget(e.Forget, out)
	case KindConfirmDown:
		if e.ConfirmDown == nil {
			return missing
		}
		return n.confirmDown(e.ConfirmDown.Node, e.Actor, e.Time, out)
	case KindTickets:
		return n.tickets(e.Tickets, out)
	case KindFeature:
		return n.raiseFeature(e.Feature)
	case KindSecretSet:
		if e.SecretSet == nil {
			return missing
		}
		return n.secretSet(*e.SecretSet, e.Actor, e.Time)
	case KindSecretDrop:
		if e.SecretDrop == nil {
			return missing
		}
		return n.secretDrop(e.SecretDrop.Name)
	case KindAuditHead:
		if e.AuditHead == nil || e.Origin == "" {
			return missing
		}
		heads := make(map[string]AuditHead, len(n.AuditHeads)+1)
		for k, v := range n.AuditHeads {
			heads[k] = v
		}
		heads[e.Origin] = *e.AuditHead
		n.AuditHeads = heads
		return nil
	}
	return fmt.Errorf("unknown kind of entry %d: raised feature level with an older build?", e.Kind)
}

func (n *State) raiseFeature(level uint32) error {
	if level <= n.Feature {
		return fmt.Errorf("feature level is %d already", n.Feature)
	}
	for _, m := range n.Members {
		if !m.Removed && m.Feature < level {
			return fmt.Errorf("feature level %d is too new for node %s, which runs level %d", level, m.Name, m.Feature)
		}
	}
	n.Feature = level
	return nil
}

// NodeStateID is the id of a member in the status section.
func NodeStateID(id uint16) string { return strconv.Itoa(int(id)) }

// stateID returns the status id of a node that may have a state: a member, or a remote or guest node that
// the status section knows or the configuration may define.
func (n *State) stateID(name string) (string, error) {
	if m := n.Member(name); m != nil {
		return NodeStateID(m.NodeID), nil
	}
	for i := range n.Document.Status.Nodes {
		if n.Document.Status.Nodes[i].Name == name {
			return n.Document.Status.Nodes[i].ID, nil
		}
	}
	for _, node := range n.Document.Config.Nodes {
		if node.Name == name {
			return node.ID, nil
		}
	}
	if n.definesRemote(name) {
		return name, nil
	}
	return "", fmt.Errorf("no node is called %q", name)
}

// definesRemote reports whether a resource of the configuration provides a remote or guest node of that name.
func (n *State) definesRemote(name string) bool {
	var walk func(list []*cib.Resource) bool
	walk = func(list []*cib.Resource) bool {
		for _, r := range list {
			if r.ID == name && r.Class == "ocf" && r.Provider == "pacemaker" && r.Type == "remote" {
				return true
			}
			for _, set := range r.Meta {
				for _, p := range set.Pairs {
					if p.Name == "remote-node" && p.Value == name {
						return true
					}
				}
			}
			if r.Kind == cib.Bundle && strings.HasPrefix(name, r.ID+"-") {
				return true
			}
			if walk(r.Members) {
				return true
			}
		}
		return false
	}
	return walk(n.Document.Config.Resources)
}

func (n *State) tickets(list []cib.TicketState, out *Outcome) error {
	tickets := slices.Clone(n.Document.Status.Tickets)
	for _, t := range list {
		if t.ID == "" {
			return fmt.Errorf("ticket without a name")
		}
		i := slices.IndexFunc(tickets, func(x cib.TicketState) bool { return x.ID == t.ID })
		if i < 0 {
			tickets = append(tickets, t)
			continue
		}
		tickets[i] = t
	}
	d := *n.Document
	d.Status.Tickets = tickets
	n.Document = &d
	out.DecisionNeeded = true
	return nil
}
