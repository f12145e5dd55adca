package unpack

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// Recorded states of an operation (spec/02-state.md 8.1).
const (
	statusPending      = -1
	statusDone         = 0
	statusCancelled    = 1
	statusNotSupported = 3
	statusError        = 4
	statusHard         = 5
	statusFatal        = 6
	statusNotInstalled = 7
	statusNotConnected = 8
	statusNoDevice     = 10
	statusNoSecrets    = 11
)

// Exit codes of agents that have a meaning here (spec/02-state.md 8.1).
const (
	rcOK               = 0
	rcInvalidParam     = 2
	rcUnimplemented    = 3
	rcInsufficient     = 4
	rcNotInstalled     = 5
	rcNotConfigured    = 6
	rcNotRunning       = 7
	rcPromoted         = 8
	rcFailedPromoted   = 9
	rcDegraded         = 190
	rcDegradedPromoted = 191
	rcUnknown          = 193
)

// entries is the history of one resource on one node while it is read.
type entries struct {
	u *unpacker
	r *model.Resource
	n *model.Node
	s *cib.NodeState
	h *cib.ResourceHistory

	sorted  []*cib.HistoryOp
	spare   []*cib.HistoryOp        // room for sorting
	expired map[*cib.HistoryOp]bool // recurring ones that expired and are to be submitted again

	before      model.Role     // role before this history was read
	policy      values.Policy  // most severe policy of the failures so far
	lastFailure *cib.HistoryOp // nil = none
}

// sort orders the entries from old to new (spec/02-state.md 8.2). The comparison is no strict order, since
// entries of different kinds may be equal to a third one that lies between them: the merge sort is part of
// the rule.
func (x *entries) sort() {
	ops := x.h.Operations
	x.sorted = x.sorted[:0]
	for i := len(ops) - 1; i >= 0; i-- {
		x.sorted = append(x.sorted, &ops[i])
	}
	if len(x.sorted) > 1 {
		x.spare = append(x.spare[:0], x.sorted...)
		mergeSort(x.sorted, x.spare)
	}
}

func mergeSort(a, spare []*cib.HistoryOp) {
	if len(a) < 2 {
		return
	}
	half := len(a) / 2
	mergeSort(a[:half], spare)
	mergeSort(a[half:], spare)
	copy(spare, a)
	i, j := 0, half
	for k := range a {
		if j == len(a) || (i < half && compareEntries(spare[i], spare[j]) <= 0) {
			a[k] = spare[i]
			i++
		} else {
			a[k] = spare[j]
			j++
		}
	}
}

// compareEntries says which of two entries is newer: > 0 means a (spec/02-state.md 8.2).
func compareEntries(a, b *cib.HistoryOp) int {
	sameNode := strings.EqualFold(a.OnNode, b.OnNode)
	switch {
	case sameNode && a.ID == b.ID:
		return 0
	case a.CallID == -1 && b.CallID == -1:
		return 0
	case sameNode && a.CallID >= 0 && b.CallID >= 0 && a.CallID != b.CallID:
		if a.CallID < b.CallID {
			return -1
		}
		return 1
	case a.CallID >= 0 && b.CallID >= 0:
		if a.LastRCChange >= 0 && b.LastRCChange >= 0 {
			switch {
			case a.LastRCChange < b.LastRCChange:
				return -1
			case a.LastRCChange > b.LastRCChange:
				return 1
			}
		}
		return 0
	}
	// One of them is pending: only the transitions say which is newer.
	at, _, aUUID, ok := values.TransitionKey(keyOf(a))
	if !ok {
		return 0
	}
	bt, _, bUUID, ok := values.TransitionKey(keyOf(b))
	if !ok {
		return 0
	}
	if aUUID != bUUID || at == bt {
		if a.CallID == -1 {
			return 1
		}
		return -1
	}
	if at == -1 || (bt != -1 && at > bt) {
		return 1
	}
	return -1
}

// keyOf returns the transition key of an entry; the magic holds it too.
func keyOf(e *cib.HistoryOp) string {
	if _, key, ok := strings.Cut(e.TransitionMagic, ";"); ok {
		return key
	}
	return e.TransitionKey
}

func newer(a, b *cib.HistoryOp) bool { return compareEntries(a, b) > 0 }

func isProbe(e *cib.HistoryOp) bool { return e.Operation == "monitor" && e.Interval == 0 }

// known reports whether an entry says anything (spec/02-state.md 8.1).
func known(e *cib.HistoryOp) bool {
	if e.ID == "" || e.Status < statusPending || e.Status > statusNoSecrets || e.Status == statusCancelled ||
		e.RC < 0 || e.RC > 255 {
		return false
	}
	switch e.Operation {
	case "monitor", "start", "stop", "promote", "demote", "migrate_to", "migrate_from", "asyncmon":
		return true
	}
	return false
}

// Maskable reports whether a failed probe only says that the resource cannot run there, so that it counts as
// not running (spec/02-state.md 8.1).
func Maskable(r *model.Resource, e *cib.HistoryOp) bool {
	if !isProbe(e) || inBundle(r) {
		return false
	}
	return e.RC == rcNotInstalled || e.RC == rcInvalidParam || e.Status == statusNotInstalled
}

// inBundle reports whether r is part of a bundle.
func inBundle(r *model.Resource) bool {
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Kind == cib.Bundle {
			return true
		}
	}
	return false
}

// outcome is one entry while it is normalised.
type outcome struct {
	*cib.HistoryOp
	rc, status, expected int
	expired, maskable    bool
}

// read takes one entry into account (spec/02-state.md 8.3).
func (x *entries) read(e *cib.HistoryOp) {
	if !known(e) {
		return
	}
	u, r, n := x.u, x.r, x.n
	o := outcome{HistoryOp: e, rc: e.RC, status: e.Status, expected: values.ExpectedRC(e), maskable: Maskable(r, e)}
	o.expired = x.expire(e)
	x.remap(&o)

	if o.expired { // (c)
		switch {
		case o.maskable && o.expected != e.RC:
			if r.Role <= model.RoleStopped {
				r.Role = model.RoleUnknown
			}
			return
		case o.rc == o.expected:
		case e.Interval == 0:
			return
		case n.Online && !n.Unclean:
			if x.expired == nil {
				x.expired = map[*cib.HistoryOp]bool{}
			}
			x.expired[e] = true
			return
		}
	} else if o.maskable { // (d)
		x.success(&o, o.expected)
		u.failedOp(n, r, e)
		u.score(unit(r), n, model.MinInfinity, x.origin(e))
		if r.MaskedFailures == nil {
			r.MaskedFailures = map[int]string{}
		}
		r.MaskedFailures[n.Index] = ExitText(e.RC)
		return
	}

	switch o.status { // (e)
	case statusPending:
		x.pending(e)
	case statusDone:
		x.success(&o, o.rc)
	case statusNotInstalled:
		policy := x.onFail(e)
		if policy == values.PolicyIgnore {
			policy = values.PolicyBan
		}
		u.score(unit(r), n, model.MinInfinity, x.origin(e))
		x.failure(&o, policy)
	case statusNotConnected:
		if n.Kind == model.RemoteNode && n.Connection != nil && n.Connection.Managed {
			n.Connection.Failed, n.Connection.MustStop = true, true
		}
		x.failed(&o)
	default:
		x.failed(&o)
	}
}

// ExitText describes an exit code of an agent as the field's tools do (spec/06-simulation.md section 12).
func ExitText(rc int) string {
	switch rc {
	case rcOK:
		return "OK"
	case 1:
		return "Error occurred"
	case rcInvalidParam:
		return "Invalid parameter"
	case rcUnimplemented:
		return "Unimplemented"
	case rcInsufficient:
		return "Insufficient privileges"
	case rcNotInstalled:
		return "Not installed"
	case rcNotConfigured:
		return "Not configured"
	case rcNotRunning:
		return "Not running"
	case rcPromoted:
		return "Promoted"
	case rcFailedPromoted:
		return "Failed in promoted role"
	case rcDegraded:
		return "Service is active but might fail soon"
	case rcDegradedPromoted:
		return "Service is promoted but might fail soon"
	case rcUnknown:
		return "No exit status available"
	}
	return "Unknown exit status"
}

func (x *entries) origin(e *cib.HistoryOp) model.Origin {
	return model.Origin{Kind: model.OriginFailedOperation, ID: e.ID, Text: ExitText(e.RC)}
}

// expire decides whether an entry's failure is forgotten, and schedules the removal of fail counts that
// ended with it (spec/02-state.md 8.3 (a)).
func (x *entries) expire(e *cib.HistoryOp) bool {
	u, c, r, n := x.u, x.u.c, x.r, x.n
	if e.Status == statusNotInstalled {
		return false
	}
	expired := false
	var unexpired int32
	lastFailure := strings.HasSuffix(e.ID, "_last_failure_0")
	if r.FailureTimeoutMS > 0 && e.LastRCChange >= 0 {
		timeout := values.Seconds(r.FailureTimeoutMS)
		if c.Now.Unix() >= e.LastRCChange+timeout && !x.mustReconnect(e) {
			expired = true
		}
		unexpired, _ = values.FailCount(c, r, n, values.Failures{Effective: true, Entry: e})
		if r.FailureTimeoutMS == 0 {
			expired = false // on-fail=block: never forgotten
		}
	}
	reason := ""
	if expired {
		all, _ := values.FailCount(c, r, n, values.Failures{Entry: e})
		switch {
		case all > 0 && unexpired == 0:
			reason = "it expired"
		case all > 0:
			expired = false
		case r.ReconnectMS > 0 && lastFailure:
			reason = "reconnect interval is set"
		}
	}
	if !expired && reason == "" && lastFailure && (e.Operation == "start" || e.Operation == "monitor") &&
		!action.UsesHostAddress(c, r) {
		if v, _ := action.Compare(c, r, n, e); v == action.Changed || v == action.Restart {
			reason = "resource parameters have changed"
		}
	}
	if reason != "" {
		u.clearFailcount(r, n, reason)
	}
	if expired && isProbe(e) {
		switch e.RC {
		case rcOK, rcNotRunning, rcPromoted, rcDegraded, rcDegradedPromoted:
			expired = false // its result is the resource's state
		}
	}
	return expired
}

// mustReconnect reports whether the failure of a connection's monitor may not be forgotten, because the
// remote node was not fenced yet.
func (x *entries) mustReconnect(e *cib.HistoryOp) bool {
	r := x.r
	return r.ReconnectMS > 0 && e.Operation == "monitor" && e.Interval > 0 && x.u.c.Options.FencingEnabled &&
		r.RemoteNode != nil && !r.RemoteNode.NodeFenced
}

// clearFailcount schedules the removal of a fail count.
func (u *unpacker) clearFailcount(r *model.Resource, n *model.Node, reason string) {
	action.ClearFailcount(u.c, r, n, reason)
}

// remap turns the recorded result into what it means (spec/02-state.md 8.3 (b)).
func (x *entries) remap(o *outcome) {
	r, n := x.r, x.n
	probe := isProbe(o.HistoryOp)
	degraded := o.rc == rcDegraded || o.rc == rcDegradedPromoted
	switch o.rc {
	case rcDegraded:
		o.rc = rcOK
		x.u.failedOp(n, r, o.HistoryOp)
	case rcDegradedPromoted:
		o.rc = rcPromoted
		x.u.failedOp(n, r, o.HistoryOp)
	}
	if o.maskable {
		o.status, o.rc = statusDone, rcNotRunning
	}
	if o.status == statusNoDevice || o.status == statusNoSecrets {
		o.status = statusHard
		return
	}
	if o.status != statusDone && o.status != statusError {
		return
	}
	wasDone := o.status == statusDone
	if degraded && o.Operation != "monitor" {
		// Only a monitor may say that it found a service that is not well; anything else has failed.
		o.status = statusError
		if o.rc == rcPromoted && !o.expired {
			r.Role = model.RolePromoted
		}
		return
	}
	switch {
	case o.expected < 0:
		// Without a key nothing was expected, so nothing can be confirmed.
		o.status = statusError
	case o.rc == o.expected:
		o.status = statusDone
	default:
		o.status = statusError
	}
	switch o.rc {
	case rcOK:
		if probe && o.expected == rcNotRunning {
			o.status = statusDone // found active
		}
	case rcNotRunning:
		if probe || o.expected == o.rc || !r.Managed {
			o.status = statusDone
			r.Role, r.Next = model.RoleStopped, model.RoleUnknown
			x.policy = values.PolicyIgnore
		}
	case rcPromoted:
		if probe && o.rc != o.expected {
			o.status = statusDone
		}
		if !(o.expired && o.rc != o.expected) {
			r.Role = model.RolePromoted
		}
	case rcFailedPromoted:
		if !o.expired {
			r.Role = model.RolePromoted
		}
		o.status = statusError
	case rcNotConfigured:
		o.status = statusFatal
	case rcUnimplemented:
		if o.Interval > 0 {
			o.status = statusNotSupported
			return
		}
		x.hard(o)
	case rcNotInstalled, rcInsufficient, rcInvalidParam:
		x.hard(o)
	default:
		if o.rc != rcOK && wasDone {
			o.status = statusError
		}
	}
}

// hard makes the outcome an error that will come again on this node, and gives up a resource that cannot be
// stopped where fencing cannot help (spec/02-state.md 8.7).
func (x *entries) hard(o *outcome) {
	o.status = statusHard
	if !o.expired && o.Operation == "stop" && !action.CanFence(x.u.c, x.n) {
		x.r.Managed, x.r.Blocked = false, true
	}
}

// onFail returns the policy for the failure of an entry's operation.
func (x *entries) onFail(e *cib.HistoryOp) values.Policy {
	m := action.OpMeta(x.u.c, x.r, e.Operation, e.Interval)
	return values.OnFail(x.u.c, x.r, e.Operation, e.Interval, m.Meta)
}

// failed handles an outcome that is none of the special ones (spec/02-state.md 8.3 (e)).
func (x *entries) failed(o *outcome) {
	u, r, n := x.u, x.r, x.n
	policy := x.onFail(o.HistoryOp)
	if policy == values.PolicyIgnore || (policy == values.PolicyRestartContainer && o.Operation == "stop") {
		x.success(o, o.expected)
		r.FailureIgnored = true
		u.failedOp(n, r, o.HistoryOp)
		if policy == values.PolicyRestartContainer && x.policy <= values.PolicyRestart {
			x.policy = values.PolicyRestartContainer
		}
		return
	}
	x.failure(o, policy)
	switch o.status {
	case statusHard:
		u.score(unit(r), n, model.MinInfinity, x.origin(o.HistoryOp))
	case statusFatal:
		u.score(unit(r), nil, model.MinInfinity, x.origin(o.HistoryOp))
	}
}

// setActive is the role of an active resource of which no more is known.
func (x *entries) setActive() {
	x.r.Role = model.RoleStarted
	if top := x.r.Top(false); top.Clone != nil && top.Clone.Promotable {
		x.r.Role = model.RoleUnpromoted
	}
}

// success takes a result rc into account that was wanted (spec/02-state.md 8.4).
func (x *entries) success(o *outcome, rc int) {
	r := x.r
	clears := false
	switch {
	case rc == rcNotInstalled || o.maskable:
		r.Role = model.RoleStopped
	case rc == rcNotRunning:
		clears = true
	default:
		switch o.Operation {
		case "monitor":
			clears = x.lastFailure != nil && operationKey(x.lastFailure) == operationKey(o.HistoryOp)
			if r.Role < model.RoleStarted {
				x.setActive()
			}
		case "start", "migrate_from":
			r.Role, clears = model.RoleStarted, true
		case "stop":
			r.Role, clears = model.RoleStopped, true
		case "promote":
			r.Role, clears = model.RolePromoted, true
		case "demote":
			r.Role, clears = model.RoleUnpromoted, x.policy == values.PolicyDemote
		case "migrate_to":
			x.migrated(o.HistoryOp)
		default:
			if r.Role < model.RoleStarted {
				x.setActive()
			}
		}
	}
	if !clears {
		return
	}
	switch x.policy {
	case values.PolicyStop, values.PolicyBan, values.PolicyStandby, values.PolicyFence:
		return
	case values.PolicyResetRemote:
		if r.ReconnectMS > 0 {
			return
		}
	}
	x.policy, r.Next = values.PolicyIgnore, model.RoleUnknown
}

func operationKey(e *cib.HistoryOp) string {
	if e.Key != "" {
		return e.Key
	}
	return action.Key("", e.Operation, e.Interval)
}

// failure takes a failed operation into account (spec/02-state.md 8.5).
func (x *entries) failure(o *outcome, policy values.Policy) {
	u, c, r, n := x.u, x.u.c, x.r, x.n
	x.lastFailure = o.HistoryOp
	if o.rc != rcNotInstalled || c.Options.Symmetric {
		u.failedOp(n, r, o.HistoryOp)
	}
	x.policy = max(x.policy, policy)
	switch o.Operation {
	case "stop":
		u.score(r, n, model.MinInfinity, x.origin(o.HistoryOp))
	case "migrate_to":
		x.migrateToFailed(o.HistoryOp)
	case "migrate_from":
		x.migrateFromFailed(o.HistoryOp)
	case "promote":
		r.Role = model.RolePromoted
	case "demote":
		switch {
		case policy == values.PolicyBlock:
			r.Role, r.Next = model.RolePromoted, model.RoleStopped
		case o.rc == rcNotRunning:
			r.Role = model.RoleStopped
		default:
			r.Role = model.RoleUnpromoted
		}
	}
	if isProbe(o.HistoryOp) && o.rc == rcNotInstalled {
		r.Role = model.RoleStopped
	} else if r.Role < model.RoleStarted {
		x.setActive()
	}
	after := values.RoleAfterFailure(r, o.Operation, policy)
	if after != model.RoleStarted && r.Next < after {
		r.Next = after
		if after == model.RoleStopped {
			target := r
			if cl := anonymousClone(r); cl != nil {
				target = cl
			}
			u.score(target, nil, model.MinInfinity, x.origin(o.HistoryOp))
		}
	}
}

// failedOp lists a failed operation for display: once per operation and node, for online nodes.
func (u *unpacker) failedOp(n *model.Node, r *model.Resource, e *cib.HistoryOp) {
	if !n.Online {
		return
	}
	key := failedKey{n, operationKey(e)}
	if e.Key == "" {
		key.op = r.ID + key.op
	}
	if u.failedSeen[key] {
		return
	}
	u.failedSeen[key] = true
	u.c.FailedOps = append(u.c.FailedOps, model.FailedOp{Node: n, Op: e, Resource: r})
}

type failedKey struct {
	node *model.Node
	op   string
}

// pending takes an operation into account whose result is not known yet (spec/02-state.md 8.8).
func (x *entries) pending(e *cib.HistoryOp) {
	u, r, n := x.u, x.r, x.n
	if f := x.lastFailure; f != nil && f.Operation == e.Operation && f.Interval == e.Interval && f.LastRCChange >= e.LastRCChange {
		return // it has a result by now
	}
	switch e.Operation {
	case "start":
		r.StartPending = true
		x.setActive()
	case "promote":
		r.Role = model.RolePromoted
	case "migrate_to":
		if n.Unclean {
			if t := u.c.NodeByName(e.MigrateTarget); t != nil {
				action.Stop(u.c, r, t, false)
			}
		}
	}
	if r.PendingTask == "" && !isProbe(e) {
		r.PendingTask, r.PendingNode = e.Operation, n
	}
}
