package values

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// Failures says what FailCount is to count.
type Failures struct {
	Effective bool // expired failures count as none
	Launched  bool // add the failures of launched resources on the node
	// Entry is the history entry in question, for operations with on-fail=block; nil = any entry.
	Entry *cib.HistoryOp
}

// FailCount returns the fail count of a resource on a node and the last failure in seconds since 1970, 0 =
// none known (spec/02-state.md section 11). An effective count that is not expired yet makes its end a
// time to look again.
func FailCount(c *model.Cluster, r *model.Resource, node *model.Node, what Failures) (count int32, last int64) {
	if len(node.FailureAttributes) > 0 {
		count, last = recorded(r, node)
	}
	if count > 0 && r.FailureTimeoutMS > 0 && blockedFailure(c, r, node, what.Entry) {
		// An administrator has to look at a blocked failure, so it never expires.
		r.FailureTimeoutMS = 0
	}
	if what.Effective && count > 0 && last > 0 && r.FailureTimeoutMS > 0 {
		end := last + Seconds(r.FailureTimeoutMS)
		if c.Now.Unix() > end {
			count = 0
		} else {
			c.RecheckUnix(end + 1) // the first second in which it is expired
		}
	}
	if what.Launched && len(r.Launched) > 0 && r.Replica == nil {
		for _, l := range r.Launched {
			n, t := FailCount(c, l, node, Failures{Effective: what.Effective})
			count = model.AddScore(count, n)
			last = max(last, t)
		}
	}
	return count, last
}

// recorded sums the fail counts that node attributes record for r.
func recorded(r *model.Resource, node *model.Node) (count int32, last int64) {
	name := r.Name()
	if !r.Unique {
		name = WithoutInstance(name)
	}
	for _, a := range node.FailureAttributes {
		rest, failcount := strings.CutPrefix(a.Name, "fail-count-")
		if !failcount {
			rest, _ = strings.CutPrefix(a.Name, "last-failure-")
		}
		if !failureOf(rest, name, !r.Unique) {
			continue
		}
		if failcount {
			count = model.AddScore(count, Score(a.Value, 0))
		} else if v, ok := Integer(a.Value); ok {
			last = max(last, v)
		}
	}
	return count, last
}

// failureOf reports whether the part of a failure attribute's name after its prefix, such as
// "web:1#start_0", belongs to the resource; instance numbers count as the resource itself when anyInstance
// is set. The form without operation, which clusters before feature set 3.0.13 wrote, means nothing.
func failureOf(rest, name string, anyInstance bool) bool {
	tail, ok := strings.CutPrefix(rest, name)
	if !ok {
		return false
	}
	if anyInstance && strings.HasPrefix(tail, ":") {
		digits := strings.TrimLeft(tail[1:], "0123456789")
		if len(digits) == len(tail)-1 {
			return false
		}
		tail = digits
	}
	if tail == "" || tail[0] != '#' {
		return false
	}
	at := strings.LastIndexByte(tail, '_')
	return at > 1 && at < len(tail)-1 && strings.Trim(tail[at+1:], "0123456789") == ""
}

// WithoutInstance removes a trailing instance number such as ":0" from an id.
func WithoutInstance(id string) string {
	i := len(id)
	for i > 0 && id[i-1] >= '0' && id[i-1] <= '9' {
		i--
	}
	if i > 1 && i < len(id) && id[i-1] == ':' {
		return id[:i-1]
	}
	return id
}

// blockedFailure reports whether the failure in question is that of an operation that is configured with
// on-fail=block: the entry, or without one any entry of r on the node that failed.
func blockedFailure(c *model.Cluster, r *model.Resource, node *model.Node, entry *cib.HistoryOp) bool {
	for _, op := range r.Ops {
		if op.Config == nil {
			continue
		}
		if v, ok := OpAttr(op.Config, "on-fail"); !ok || !equalFold(v, "block") {
			continue
		}
		if entry != nil {
			if blocks(op, entry, r) {
				return true
			}
			continue
		}
		if node.State == nil {
			continue
		}
		for i := range node.State.History {
			h := &node.State.History[i]
			if h.ID != r.Name() && h.ID != r.ID {
				continue
			}
			for j := range h.Operations {
				if blocks(op, &h.Operations[j], r) {
					return true
				}
			}
		}
	}
	return false
}

func blocks(op *model.Op, e *cib.HistoryOp, r *model.Resource) bool {
	if e.Operation != op.Name || e.Interval != op.IntervalMS {
		return false
	}
	if e.ID == r.Name()+"_last_failure_0" || e.ID == r.ID+"_last_failure_0" {
		return true
	}
	return e.RC != ExpectedRC(e)
}

// ExpectedRC returns the result that the operation was started for: the third number of its transition key;
// -1 = not recorded (spec/02-state.md 8.1).
func ExpectedRC(e *cib.HistoryOp) int {
	_, rc, _, ok := TransitionKey(e.TransitionKey)
	if !ok {
		return -1
	}
	return rc
}

// TransitionKey takes a transition key ACTION:TRANSITION:EXPECTED-RC:UUID apart.
func TransitionKey(key string) (transition, rc int, uuid string, ok bool) {
	_, rest, found := strings.Cut(key, ":")
	if !found {
		return 0, 0, "", false
	}
	t, rest, found := strings.Cut(rest, ":")
	if !found {
		return 0, 0, "", false
	}
	e, uuid, found := strings.Cut(rest, ":")
	if !found {
		return 0, 0, "", false
	}
	tv, ok1 := Integer(t)
	ev, ok2 := Integer(e)
	if !ok1 || !ok2 {
		return 0, 0, "", false
	}
	return int(tv), int(ev), uuid, true
}
