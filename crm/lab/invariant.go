package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Evidence is what a run has left: what the oracles outside the daemons have seen, what clients were told, and
// what the daemons said at times.
type Evidence struct {
	Records   []Record   // the ledger, in the order of writing
	Ops       []ClientOp // what clients did
	Sightings []Sighting // answers about who leads, in order of time
	Runs      []AgentRun // the audit logs of all machines
	// Final is what every node said at the end, by node and key.
	Final map[string]map[string]string
	// Rest is what every node said when the cluster was at rest at the end.
	Rest []Sighting
	// StartLimit is how long after the loss of quorum an action that was handed out before may still begin;
	// StopLimit is how long after it a machine may still run something. 0 = not checked.
	StartLimit, StopLimit time.Duration
	// End is when the run ended.
	End int64
}

// ClientOp is one request of a client.
type ClientOp struct {
	Client       int
	Node         string
	Key          string
	Write        bool
	Value        string // written or read; "" = there was none
	Call, Return int64  // CLOCK_MONOTONIC
	Outcome      Outcome
	Index        uint64 // of the state that was read, or of the entry that was written
}

// Outcome of a request.
type Outcome int

// Outcomes. A request whose outcome is not known may take effect at any later time, or never.
const (
	OutcomeOK Outcome = iota
	OutcomeFailed
	OutcomeUnknown
)

// Sighting is what a node said of itself.
type Sighting struct {
	At    int64
	Node  string
	Leads bool
	Term  uint64
	Index uint64
	Hash  string // of the whole state at Index; "" = not asked
	// Leader, Quorate, Idle and Pending are filled at the end of a run.
	Leader  string
	Quorate bool
	Idle    bool
	Pending int
}

// AgentRun is one record of an agent's run in an audit log.
type AgentRun struct {
	At       int64 // of its end
	Node, ID string
	Resource string
	Op       string
	RC       int
	Duration time.Duration
}

// Violation is an invariant that does not hold.
type Violation struct {
	Invariant string // such as "I1"
	Text      string
}

// String is the violation in one line.
func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// Check looks for violations of the invariants of the lab in what a run has left. The order of the result does
// not depend on anything but the evidence.
func Check(e *Evidence) []Violation {
	var out []Violation
	for _, check := range []func(*Evidence) []Violation{
		checkExclusive, checkFenceFirst, checkNoLostWrite, checkLinearizable, checkMonotonic, checkOneLeader, checkQuorum, checkConverged, checkOneRecord,
	} {
		out = append(out, check(e)...)
	}
	return out
}

func violation(list *[]Violation, invariant, format string, args ...any) {
	*list = append(*list, Violation{invariant, fmt.Sprintf(format, args...)})
}

// byTime sorts records by time; those of one time stay in the order of writing.
func byTime(records []Record) []Record {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b Record) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	return out
}

// checkExclusive is I1: a resource is never held on two machines, from the moment its holder has the lock to
// its end. A holder's end is known from itself, from the loss of power of its machine, or from the lab that
// killed it.
func checkExclusive(e *Evidence) (out []Violation) {
	held := map[string]map[string]bool{} // by resource: machines
	for _, r := range byTime(e.Records) {
		switch r.Kind {
		case KindConflict:
			violation(&out, "I1", "%s was to be started on %s while it was active (%s), at %s", r.Resource, r.Node, r.Detail, r)
		case KindUp:
			if held[r.Resource] == nil {
				held[r.Resource] = map[string]bool{}
			}
			for _, other := range keys(held[r.Resource]) {
				violation(&out, "I1", "%s is active on %s and on %s, at %s", r.Resource, other, r.Node, r)
			}
			held[r.Resource][r.Node] = true
		case KindDown, KindKill:
			delete(held[r.Resource], r.Node)
		case KindOff:
			for _, m := range held {
				delete(m, r.Node)
			}
		}
	}
	return out
}

// checkFenceFirst is I2: a resource that was active last on one machine becomes active on another one only
// after a proof that it is not active on the first: its holder ended in order, an agent on that machine said
// that it is not active, or the power switch has switched the machine off on behalf of the cluster. That the
// lab has killed something is no proof, since the cluster cannot know it.
func checkFenceFirst(e *Evidence) (out []Violation) {
	last := map[string]string{}
	proven := map[string]bool{}
	for _, r := range byTime(e.Records) {
		switch r.Kind {
		case KindUp:
			if on := last[r.Resource]; on != "" && on != r.Node && !proven[r.Resource] {
				violation(&out, "I2", "%s becomes active on %s, but it was active last on %s and nothing proves that it is not any more, at %s", r.Resource, r.Node, on, r)
			}
			last[r.Resource], proven[r.Resource] = r.Node, false
		case KindDown:
			if last[r.Resource] == r.Node {
				proven[r.Resource] = true
			}
		case KindCall:
			if last[r.Resource] == r.Node && (r.Op == "stop" && r.RC == ocfSuccess || r.Op == "monitor" && r.RC == ocfNotRunning) {
				proven[r.Resource] = true
			}
		case KindOff:
			if r.By == ByFence {
				for resource, on := range last {
					if on == r.Node {
						proven[resource] = true
					}
				}
			}
		}
	}
	return out
}

// checkNoLostWrite is I3: at the end every node shows for each key a value that a client may have written last:
// no acknowledged write began after the shown one was acknowledged.
func checkNoLostWrite(e *Evidence) (out []Violation) {
	for _, node := range keys(e.Final) {
		wanted := map[string]bool{}
		for _, op := range e.Ops {
			if op.Write && op.Outcome == OutcomeOK {
				wanted[op.Key] = true
			}
		}
		for _, key := range keys(wanted) {
			value := e.Final[node][key]
			var shown *ClientOp
			for i := range e.Ops {
				if op := &e.Ops[i]; op.Write && op.Key == key && op.Value == value && op.Outcome != OutcomeFailed {
					shown = op
				}
			}
			if shown == nil {
				violation(&out, "I3", "%s shows %s=%q at the end, which nobody wrote", node, key, value)
				continue
			}
			if shown.Outcome == OutcomeUnknown {
				continue // it may have taken effect at any time after its call
			}
			for _, op := range e.Ops {
				if op.Write && op.Key == key && op.Outcome == OutcomeOK && op.Call > shown.Return {
					violation(&out, "I3", "%s shows %s=%q at the end, but %q was acknowledged later", node, key, value, op.Value)
					break
				}
			}
		}
	}
	return out
}

// linearTimeout bounds the search for a linear order of one history.
const linearTimeout = 10 * time.Second

// registerModel is what the clients' keys must behave like: each is a register of its own.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(ClientOp).Key
			by[key] = append(by[key], op)
		}
		var out [][]porcupine.Operation
		for _, key := range keys(by) {
			out = append(out, by[key])
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op := input.(ClientOp)
		if op.Write {
			return true, op.Value
		}
		return output.(string) == state.(string), state
	},
	DescribeOperation: func(input, output any) string {
		op := input.(ClientOp)
		if op.Write {
			return fmt.Sprintf("write(%s, %s)", op.Key, op.Value)
		}
		return fmt.Sprintf("read(%s) = %s", op.Key, output)
	},
}

// checkLinearizable is I4: what clients were told fits one order of all requests.
func checkLinearizable(e *Evidence) (out []Violation) {
	var history []porcupine.Operation
	for _, op := range e.Ops {
		if op.Outcome == OutcomeFailed || op.Outcome == OutcomeUnknown && !op.Write {
			continue
		}
		end := op.Return
		if op.Outcome == OutcomeUnknown {
			end = 1<<63 - 1
		}
		history = append(history, porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Output: op.Value, Return: end})
	}
	switch porcupine.CheckOperationsTimeout(registerModel, history, linearTimeout) {
	case porcupine.Illegal:
		violation(&out, "I4", "the history of %d requests of clients has no linear order", len(history))
	case porcupine.Unknown:
		violation(&out, "I4", "no linear order of %d requests was found in %v: make the run shorter", len(history), linearTimeout)
	}
	return out
}

// checkMonotonic is I5: a request that begins after another one was answered never sees an older state, and two
// nodes at one index have the same state.
func checkMonotonic(e *Evidence) (out []Violation) {
	type point struct {
		at    int64
		index uint64
		op    int
	}
	var ends []point
	for i, op := range e.Ops {
		if op.Outcome == OutcomeOK {
			ends = append(ends, point{op.Return, op.Index, i})
		}
	}
	slices.SortFunc(ends, func(a, b point) int { return int(min(1, max(-1, a.at-b.at))) })
	for i := 1; i < len(ends); i++ { // from here on: the newest index that was answered until then
		if ends[i].index < ends[i-1].index {
			ends[i].index, ends[i].op = ends[i-1].index, ends[i-1].op
		}
	}
	for _, op := range e.Ops {
		if op.Outcome != OutcomeOK || op.Index == 0 {
			continue
		}
		n, _ := slices.BinarySearchFunc(ends, op.Call, func(p point, at int64) int {
			if p.at < at {
				return -1
			}
			return 1
		})
		if n > 0 && ends[n-1].index > op.Index {
			violation(&out, "I5", "client %d on %s saw index %d after index %d was shown on %s", op.Client, op.Node, op.Index, ends[n-1].index, e.Ops[ends[n-1].op].Node)
		}
	}
	hashes := map[uint64]Sighting{}
	for _, s := range e.Rest {
		if s.Hash == "" {
			continue
		}
		if other, known := hashes[s.Index]; known && other.Hash != s.Hash {
			violation(&out, "I5", "%s and %s have different states at index %d", other.Node, s.Node, s.Index)
		}
		hashes[s.Index] = s
	}
	return out
}

// checkOneLeader is I6: in each term at most one node says that it leads, and each action is run on one node
// only.
func checkOneLeader(e *Evidence) (out []Violation) {
	leader := map[uint64]string{}
	for _, s := range slices.Concat(e.Sightings, e.Rest) {
		if !s.Leads {
			continue
		}
		if other, known := leader[s.Term]; known && other != s.Node {
			violation(&out, "I6", "%s and %s both lead term %d", other, s.Node, s.Term)
		}
		leader[s.Term] = s.Node
	}
	where := map[string]string{}
	for _, r := range e.Runs {
		action, _, ok := splitRun(r.ID)
		if !ok || strings.HasPrefix(action, "solo") {
			continue
		}
		if other, known := where[action]; known && other != r.Node {
			violation(&out, "I6", "action %s was run on %s and on %s", action, other, r.Node)
		}
		where[action] = r.Node
	}
	return out
}

// ownTransition is the first number of transitions that a node without quorum decides on itself: they are its
// own, and other nodes may use the same numbers.
const ownTransition = 1 << 62

// splitRun takes the id of a run apart: the action (term, transition and number) and which call of it.
func splitRun(id string) (action, call string, ok bool) {
	parts := strings.Split(id, ".")
	if len(parts) != 6 || parts[0] != "a" {
		return "", "", false
	}
	var transition uint64
	if _, err := fmt.Sscan(parts[2], &transition); err != nil {
		return "", "", false
	}
	action = strings.Join(parts[1:4], ".")
	if transition >= ownTransition {
		action = "solo." + parts[5] + "." + action
	}
	return action, parts[4] + "." + parts[5], true
}

// checkQuorum is I7: nothing becomes active on a machine that has had no contact with a majority for longer
// than an action that was handed out before it could take, and what is active there is stopped in time.
func checkQuorum(e *Evidence) (out []Violation) {
	if e.StartLimit == 0 {
		return nil
	}
	known := false
	quorate := map[string]bool{}
	lost := map[string]int64{} // when contact was lost
	held := map[string]map[string]bool{}
	reported := map[string]bool{}
	late := func(now int64) {
		for _, node := range keys(held) {
			since, without := lost[node]
			if !without || time.Duration(now-since) <= e.StopLimit || reported[node] {
				continue
			}
			for _, resource := range keys(held[node]) {
				reported[node] = true
				violation(&out, "I7", "%s is still active on %s %v after that lost contact with the majority", resource, node, time.Duration(now-since).Round(time.Millisecond))
			}
		}
	}
	for _, r := range byTime(e.Records) {
		late(r.At)
		switch r.Kind {
		case KindTopology:
			known = true
			now := map[string]bool{}
			for _, n := range r.Quorate {
				now[n] = true
				delete(lost, n)
				delete(reported, n)
			}
			for n := range quorate {
				if !now[n] {
					lost[n] = r.At
				}
			}
			quorate = now
		case KindUp:
			since, without := lost[r.Node]
			if known && without && time.Duration(r.At-since) > e.StartLimit {
				violation(&out, "I7", "%s becomes active on %s %v after that lost contact with the majority", r.Resource, r.Node, time.Duration(r.At-since).Round(time.Millisecond))
			}
			if known && !without && !quorate[r.Node] {
				violation(&out, "I7", "%s becomes active on %s, which has never had contact with a majority", r.Resource, r.Node)
			}
			if held[r.Node] == nil {
				held[r.Node] = map[string]bool{}
			}
			held[r.Node][r.Resource] = true
		case KindDown, KindKill:
			delete(held[r.Node], r.Resource)
		case KindOff:
			delete(held, r.Node)
		}
	}
	late(e.End)
	return out
}

// checkConverged is I9: at the end all nodes have quorum, one leader, one term and one state, and nothing is
// left to do.
func checkConverged(e *Evidence) (out []Violation) {
	var first *Sighting
	leads := 0
	for i := range e.Rest {
		s := &e.Rest[i]
		if s.Leads {
			leads++
			if !s.Idle {
				violation(&out, "I9", "%s leads and still has something to do", s.Node)
			}
		}
		if !s.Quorate {
			violation(&out, "I9", "%s has no quorum at the end", s.Node)
		}
		if s.Pending > 0 {
			violation(&out, "I9", "%s still has %d actions under way", s.Node, s.Pending)
		}
		if first == nil {
			first = s
			continue
		}
		if s.Leader != first.Leader || s.Term != first.Term {
			violation(&out, "I9", "%s follows %s in term %d, %s follows %s in term %d", first.Node, first.Leader, first.Term, s.Node, s.Leader, s.Term)
		}
		if s.Index != first.Index || s.Hash != first.Hash {
			violation(&out, "I9", "%s is at index %d, %s at index %d, or their states differ", first.Node, first.Index, s.Node, s.Index)
		}
	}
	if len(e.Rest) > 0 && leads != 1 {
		violation(&out, "I9", "%d nodes lead at the end", leads)
	}
	return out
}

// checkOneRecord is I13: each action is run once, with one record. (Later runs of a recurring monitor are no
// actions: their ids begin with "m".)
func checkOneRecord(e *Evidence) (out []Violation) {
	calls := map[string]AgentRun{}
	actions := map[string]AgentRun{}
	for _, r := range e.Runs {
		action, call, ok := splitRun(r.ID)
		if !ok {
			continue
		}
		if other, known := actions[action]; known && other.ID != r.ID {
			violation(&out, "I13", "%s of %s was run twice: %s on %s and %s on %s", r.Op, r.Resource, other.ID, other.Node, r.ID, r.Node)
		}
		actions[action] = r
		if other, known := calls[action+"/"+call]; known {
			violation(&out, "I13", "%s of %s has two records: on %s and on %s, run %s", r.Op, r.Resource, other.Node, r.Node, r.ID)
		}
		calls[action+"/"+call] = r
	}
	return out
}

// quorateNodes says which machines have contact with a majority: some machine that hears and is heard by a
// majority of the voters can lead, and they hear and are heard by it. One of two may go on while the other is off.
func quorateNodes(names []string, up func(i int) bool, connected func(from, to int) bool) []string {
	both := func(a, b int) bool { return a == b || connected(a, b) && connected(b, a) }
	lead := make([]bool, len(names))
	for i := range names {
		n := 0
		if len(names) == 2 && !up(1-i) {
			n++
		}
		for j := range names {
			if up(i) && up(j) && both(i, j) {
				n++
			}
		}
		lead[i] = 2*n > len(names)
	}
	out := []string{}
	for i := range names {
		for j := range names {
			if up(i) && lead[j] && both(i, j) {
				out = append(out, names[i])
				break
			}
		}
	}
	return out
}

// keys lists the keys of a map in order.
func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
