package fencing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
)

const (
	// MaxPending bounds the requests that wait: four for every member.
	MaxPending = 4 * membership.MaxMembers
	// MaxHistory bounds the remembered results.
	MaxHistory = 500
	// maxText bounds reasons and details in bytes.
	maxText = 1024
)

// Request is a wish to fence a node, as it is replicated until it has ended.
type Request struct {
	// ID is unique for all times. It is chosen by who requests.
	ID     string `json:"id" cbor:"1,keyasint"`
	Target string `json:"target" cbor:"2,keyasint"`
	Action Action `json:"action" cbor:"3,keyasint"`
	Reason string `json:"reason,omitempty" cbor:"4,keyasint,omitempty"`
	// Requester is the node or the person that asked.
	Requester string `json:"requester,omitempty" cbor:"5,keyasint,omitempty"`
	// Term and Index are those of the decision: the log up to Index was known when it was made.
	Term  uint64 `json:"term" cbor:"6,keyasint"`
	Index uint64 `json:"index" cbor:"7,keyasint"`
	// TimeoutMS and DelayMS are as in Order.
	TimeoutMS int64 `json:"timeout_ms,omitempty" cbor:"8,keyasint,omitempty"`
	DelayMS   int64 `json:"delay_ms,omitempty" cbor:"9,keyasint,omitempty"`
	// Since is when it was requested, in milliseconds since 1970.
	Since int64 `json:"since" cbor:"10,keyasint"`
	// Executor carries it out; "" = nobody yet. Attempt counts the executors, from 1.
	Executor string `json:"executor,omitempty" cbor:"11,keyasint,omitempty"`
	Attempt  int    `json:"attempt,omitempty" cbor:"12,keyasint,omitempty"`
	// Joined are the ids of later requests for the same.
	Joined []string `json:"joined,omitempty" cbor:"13,keyasint,omitempty"`
}

// Record is a fencing that has ended.
type Record struct {
	// Request is the id of the request; "" for a confirmation by a person.
	Request   string `json:"request,omitempty" cbor:"1,keyasint,omitempty"`
	Target    string `json:"target" cbor:"2,keyasint"`
	Action    Action `json:"action" cbor:"3,keyasint"`
	OK        bool   `json:"ok" cbor:"4,keyasint"`
	Reason    string `json:"reason,omitempty" cbor:"5,keyasint,omitempty"`
	Requester string `json:"requester,omitempty" cbor:"6,keyasint,omitempty"`
	// By is the node that carried it out; Devices are those that confirmed.
	By      string   `json:"by,omitempty" cbor:"7,keyasint,omitempty"`
	Devices []string `json:"devices,omitempty" cbor:"8,keyasint,omitempty"`
	Detail  string   `json:"detail,omitempty" cbor:"9,keyasint,omitempty"`
	// Manual: a person confirmed that the node is off.
	Manual bool `json:"manual,omitempty" cbor:"10,keyasint,omitempty"`
	// Late: it came when the request had ended already, or had been given to another node.
	Late bool `json:"late,omitempty" cbor:"11,keyasint,omitempty"`
	// Since and Ended are in milliseconds since 1970, Index is of the log entry that recorded it.
	Since int64  `json:"since,omitempty" cbor:"12,keyasint,omitempty"`
	Ended int64  `json:"ended" cbor:"13,keyasint"`
	Index uint64 `json:"index" cbor:"14,keyasint"`
}

// Confirms reports whether the record proves that what ran on the target before it runs no more.
func (r *Record) Confirms() bool { return r.OK && r.Action.Confirms() }

// Ledger is what the cluster knows about fencing: the requests that have not ended, and the history. It lives in
// the replicated state. Its methods leave it as it is and return the next one, which may share memory with it;
// they use no clock, so all nodes get the same. The zero value is empty.
type Ledger struct {
	// Pending requests, oldest first.
	Pending []Request `json:"pending,omitempty" cbor:"1,keyasint,omitempty"`
	// History of results, oldest first.
	History []Record `json:"history,omitempty" cbor:"2,keyasint,omitempty"`
}

// Verdict is what became of a request.
type Verdict struct {
	// Request is the id of the pending request that stands for it; "" when it needs none.
	Request string
	// Merged: an earlier request stands for it.
	Merged bool
	// Done: a fencing that ended after the decision was made has done it already.
	Done *Record
}

// Errors of Ledger.
var (
	// ErrRequest is wrapped when a request can't be taken.
	ErrRequest = errors.New("invalid fencing request")
	// ErrUnknown is wrapped when a request is not pending.
	ErrUnknown = errors.New("no such fencing request")
)

func cut(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "?")
}

// Request adds a request. When one for the same action on the same target is pending, the two become one.
// When the target was fenced after the decision behind the request was made (its Index is older than the
// record), there is nothing left to do: the decision did not know of it.
func (l Ledger) Request(r Request) (Ledger, Verdict, error) {
	if r.ID == "" || len(r.ID) > maxText {
		return l, Verdict{}, fmt.Errorf("%w: the id has %d bytes; 1 to %d are allowed", ErrRequest, len(r.ID), maxText)
	}
	if err := membership.NodeName(r.Target).Validate(); err != nil {
		return l, Verdict{}, fmt.Errorf("%w: target: %w", ErrRequest, err)
	}
	if !r.Action.Valid() {
		return l, Verdict{}, fmt.Errorf("%w: %q is no fencing action; on, off and reboot are", ErrRequest, r.Action)
	}
	for i := range l.Pending {
		p := &l.Pending[i]
		if p.ID == r.ID || slices.Contains(p.Joined, r.ID) {
			return l, Verdict{Request: p.ID, Merged: p.ID != r.ID}, nil
		}
	}
	if r.Action.Confirms() {
		for i := len(l.History) - 1; i >= 0; i-- {
			h := l.History[i]
			if h.Target == r.Target && h.Confirms() && !h.Late && h.Index > r.Index && (h.Action == r.Action || h.Manual || h.Action == Off) {
				return l, Verdict{Done: &h}, nil
			}
			if h.Target == r.Target && h.OK && h.Action == On {
				break // it was switched on again since
			}
		}
	}
	for i := range l.Pending {
		p := l.Pending[i]
		if p.Target != r.Target || p.Action != r.Action {
			continue
		}
		if len(p.Joined) >= maxJoined {
			return l, Verdict{}, fmt.Errorf("%w: %d requests to fence %s wait already", ErrRequest, len(p.Joined)+1, r.Target)
		}
		l.Pending = slices.Clone(l.Pending)
		p.Joined = append(slices.Clone(p.Joined), r.ID)
		l.Pending[i] = p
		return l, Verdict{Request: p.ID, Merged: true}, nil
	}
	if len(l.Pending) >= MaxPending {
		return l, Verdict{}, fmt.Errorf("%w: %d requests wait already, at most %d are possible", ErrRequest, len(l.Pending), MaxPending)
	}
	r.Reason, r.Requester, r.Executor, r.Attempt, r.Joined = cut(r.Reason), cut(r.Requester), "", 0, nil
	l.Pending = append(slices.Clone(l.Pending), r)
	return l, Verdict{Request: r.ID}, nil
}

func (l Ledger) find(id string) int {
	return slices.IndexFunc(l.Pending, func(r Request) bool { return r.ID == id })
}

// Assign gives a pending request to a node and returns the number of the attempt, which the executor's
// answer must carry.
func (l Ledger) Assign(id, executor string) (Ledger, int, error) {
	i := l.find(id)
	if i < 0 {
		return l, 0, fmt.Errorf("assign %s: %w", id, ErrUnknown)
	}
	l.Pending = slices.Clone(l.Pending)
	l.Pending[i].Executor = executor
	l.Pending[i].Attempt++
	return l, l.Pending[i].Attempt, nil
}

// ExecutorLost takes back what was assigned to a node that is lost. Whether it was done is unknown; it will be
// given to another node, and a success that is told later still counts.
func (l Ledger) ExecutorLost(node string) Ledger {
	pending := slices.Clone(l.Pending)
	for i := range pending {
		if pending[i].Executor == node {
			pending[i].Executor = ""
		}
	}
	l.Pending = pending
	return l
}

// TargetJoined records that a process of the target has joined. What was requested before it is void: a fencing
// that is under way may have happened before the join, and would prove nothing about that process. The
// requests end without success, and are returned; the members should tell their [Core] of it, too.
func (l Ledger) TargetJoined(target string, timeMS int64, index uint64) (Ledger, []Request) {
	var ended, left []Request
	for _, r := range l.Pending {
		if r.Target != target || !r.Action.Confirms() {
			left = append(left, r)
			continue
		}
		ended = append(ended, r)
		l.History = remember(l.History, Record{Request: r.ID, Target: target, Action: r.Action, Reason: r.Reason, Requester: r.Requester,
			By: r.Executor, Detail: "the node joined again before an answer came", Since: r.Since, Ended: timeMS, Index: index})
	}
	l.Pending = left
	return l, ended
}

// End is what an executor tells of a request.
type End struct {
	Request string
	Attempt int
	By      string
	// Target and Action are those of the request, for the history of answers that come after its end.
	Target string
	Action Action
	OK     bool
	// Late as in Answer: it does not end a request.
	Late    bool
	Devices []string
	Detail  string
	// Time is in milliseconds since 1970; Index that of the log entry.
	Time  int64
	Index uint64
}

// Finish takes the answer of an executor. A success ends the request, whichever attempt it is from, because the
// node was off after it was requested. A failure ends it only when it is from the present attempt. What comes
// when the request has ended is recorded as late, and starts nothing. It reports whether the request has ended
// by this, with the request as it was.
func (l Ledger) Finish(e End) (Ledger, Request, bool) {
	i := l.find(e.Request)
	if e.Late {
		i = -1
	}
	rec := Record{Request: e.Request, Target: e.Target, Action: e.Action, OK: e.OK, By: e.By, Devices: slices.Clone(e.Devices),
		Detail: cut(e.Detail), Late: e.Late, Ended: e.Time, Index: e.Index}
	if i < 0 {
		if !e.OK {
			return l, Request{}, false // no news
		}
		for j := range l.History {
			h := &l.History[j]
			if h.Request == e.Request && h.By == e.By && h.OK {
				return l, Request{}, false // told twice
			}
		}
		rec.Late = true
		l.History = remember(l.History, rec)
		return l, Request{}, false
	}
	r := l.Pending[i]
	rec.Target, rec.Action, rec.Reason, rec.Requester, rec.Since = r.Target, r.Action, r.Reason, r.Requester, r.Since
	stale := e.Attempt != r.Attempt || e.By != r.Executor
	if stale && !e.OK {
		return l, Request{}, false
	}
	// From an earlier attempt it is as good: the request has been pending since, and TargetJoined would have
	// ended it if the target had come back.
	rec.Late = false
	l.Pending = slices.Delete(slices.Clone(l.Pending), i, i+1)
	l.History = remember(l.History, rec)
	return l, r, true
}

// Confirm records that a person vouches for the target being off. It ends the requests that wait for that, and
// returns them.
func (l Ledger) Confirm(target, person string, timeMS int64, index uint64) (Ledger, []Request, error) {
	if err := membership.NodeName(target).Validate(); err != nil {
		return l, nil, fmt.Errorf("%w: target: %w", ErrRequest, err)
	}
	var ended, left []Request
	for _, r := range l.Pending {
		if r.Target == target && r.Action.Confirms() {
			ended = append(ended, r)
		} else {
			left = append(left, r)
		}
	}
	l.Pending = left
	l.History = remember(l.History, Record{Target: target, Action: Off, OK: true, Manual: true, Requester: cut(person),
		Detail: "confirmed by " + cut(person), Ended: timeMS, Index: index})
	return l, ended, nil
}

func remember(h []Record, r Record) []Record {
	h = append(slices.Clone(h), r)
	if len(h) > MaxHistory {
		h = h[len(h)-MaxHistory:]
	}
	return h
}

// Confirmed returns the newest record that proves that the target was off after the log entry with the given
// index. Late answers prove nothing, since the target may have come back between the event and its record.
func (l Ledger) Confirmed(target string, after uint64) (Record, bool) {
	for i := len(l.History) - 1; i >= 0; i-- {
		if h := l.History[i]; h.Target == target && h.Index > after && h.Confirms() && !h.Late {
			return h, true
		}
	}
	return Record{}, false
}

// Order makes the order for the executor of a request.
func (r *Request) Order(random uint64) Order {
	o := Order{ID: fmt.Sprintf("%s/%d", r.ID, r.Attempt), Target: r.Target, Action: r.Action, Random: random}
	// Values of a log entry are not trusted to be in range.
	o.Timeout = time.Duration(min(max(r.TimeoutMS, 0), MaxTimeout.Milliseconds())) * time.Millisecond
	o.Delay = time.Duration(min(max(r.DelayMS, -1), MaxTimeout.Milliseconds())) * time.Millisecond
	return o
}
