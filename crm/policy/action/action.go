// Package action creates and finds the actions of a decision: what an agent, a fence device or the cluster
// itself could do, with the properties that decide whether it will (spec/04-actions.md sections 1 to 4).
//
// Every phase of a decision may create actions: reading the history (what runs already, what failed),
// assignment, and scheduling. The same key on the same node is the same action; asking for it again as
// required makes it required. Each request evaluates anew whether the action may run at all.
//
// The package is pure. It changes only the working state handed to it, which belongs to one goroutine.
package action

import (
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
)

// Names of operations (spec/04-actions.md section 1).
const (
	TaskStart         = "start"
	TaskStop          = "stop"
	TaskPromote       = "promote"
	TaskDemote        = "demote"
	TaskMonitor       = "monitor"
	TaskNotify        = "notify"
	TaskNotified      = "notified"
	TaskRunning       = "running"
	TaskStopped       = "stopped"
	TaskPromoted      = "promoted"
	TaskDemoted       = "demoted"
	TaskMigrateTo     = "migrate_to"
	TaskMigrateFrom   = "migrate_from"
	TaskReload        = "reload-agent"
	TaskCancel        = "cancel"
	TaskDelete        = "delete"
	TaskClearFailures = "clear_failcount"
	TaskDeleteHistory = "lrm_delete"
	TaskFence         = "stonith"
	TaskShutdown      = "do_shutdown"
	TaskMinimum       = "one-or-more"
	TaskLoadStopped   = "load_stopped"
	TaskMaintenance   = "maintenance_nodes"
)

// Key returns the identity of a resource's operation; the interval is in milliseconds.
func Key(id, task string, intervalMS int64) string {
	if intervalMS == 0 {
		return id + "_" + task + "_0"
	}
	return id + "_" + task + "_" + strconv.FormatInt(intervalMS, 10)
}

// NotifyKey returns the identity of a notification; kind is pre, post, confirmed-pre or confirmed-post.
func NotifyKey(id, kind, task string) string { return id + "_" + kind + "_notify_" + task + "_0" }

// New returns the action of r with the key on node, creating it where there is none yet. A nil node means
// any place, or none yet. An action that was found is made required when optional is false; it is never
// made optional again here, except that actions of unmanaged resources always are (spec/04-actions.md
// section 2). r may be nil for actions that belong to no resource.
func New(c *model.Cluster, r *model.Resource, key, task string, node *model.Node, optional bool) *model.Action {
	return ask(c, r, key, task, 0, node, optional)
}

// operation is New for the plain operation of r with an interval in milliseconds.
func operation(c *model.Cluster, r *model.Resource, task string, intervalMS int64, node *model.Node, optional bool) *model.Action {
	return ask(c, r, "", task, intervalMS, node, optional)
}

// ask is New with an interval. Without a key, it is that of the task and the interval.
func ask(c *model.Cluster, r *model.Resource, key, task string, intervalMS int64, node *model.Node, optional bool) *model.Action {
	a := existing(c, r, key, task, intervalMS, node)
	if a == nil {
		if key == "" {
			key = Key(r.ID, task, intervalMS)
		}
		a = c.NewAction(r, key, task, intervalMS, node)
		a.Optional, a.Runnable = optional, true
		a.ControllerSide = task == TaskDeleteHistory
		if r != nil {
			prepare(c, a)
		}
	} else {
		if a.Node == nil && node != nil {
			a.Node = node
			if r != nil && a.Op != nil {
				own(c, a)
			}
		}
		if !optional {
			a.Optional = false
		}
	}
	if r != nil && !a.Pseudo {
		Evaluate(c, a)
	}
	return a
}

// existing finds the action that a request means; nil = none.
func existing(c *model.Cluster, r *model.Resource, key, task string, intervalMS int64, node *model.Node) *model.Action {
	if r == nil {
		return c.ClusterAction(key)
	}
	if task == TaskMonitor && intervalMS == 0 {
		r.Spread()
		if node == nil {
			if key == "" {
				key = Key(r.ID, task, 0)
			}
			return Find(r, key, nil)
		}
		if a := r.Probe(node); a != nil {
			return a
		}
	}
	for _, a := range r.Others {
		if node != nil && a.Node != node && a.Node != nil {
			continue
		}
		if key == "" && isKey(a.Key, r.ID, task, intervalMS) || key != "" && sameKey(a.Key, key) {
			return a
		}
	}
	return nil
}

// isKey reports whether sameKey(key, Key(id, task, intervalMS)).
func isKey(key, id, task string, intervalMS int64) bool {
	var digits [20]byte
	end := strconv.AppendInt(digits[:0], intervalMS, 10)
	i, j := len(id)+1, len(id)+1+len(task)+1
	return len(key) == j+len(end) && key[i-1] == '_' && key[j-1] == '_' && sameKey(key[j:], string(end)) &&
		sameKey(key[i:j-1], task) && sameKey(key[:i-1], id)
}

func sameKey(a, b string) bool {
	return a == b || (len(a) == len(b) && strings.EqualFold(a, b))
}

// prepare fills in what the configuration says about a new resource action.
func prepare(c *model.Cluster, a *model.Action) {
	r := a.Resource
	switch a.Task {
	case TaskStart, TaskPromote:
		a.Needs = r.Requires
	}
	if r.Kind != cib.Primitive {
		return
	}
	m := OpMeta(c, r, a.Task, a.Interval)
	a.Op = m.Op
	if a.Op != nil && a.Node != nil {
		own(c, a)
	}
}

// own evaluates the instance attributes of the action's operation, once its node is known.
func own(c *model.Cluster, a *model.Action) {
	if a.Extra == nil {
		a.Extra = OpParams(c, a.Op, a.Node)
	}
}

// OpParams evaluates the instance attributes of an operation as seen from node; nil = none.
func OpParams(c *model.Cluster, op *model.Op, node *model.Node) map[string]string {
	if op == nil || op.Config == nil || len(op.Config.Params) == 0 {
		return nil
	}
	in := rule.Input{Now: c.Now}
	if node != nil {
		in.NodeAttribute = func(name string) (string, bool) { v, ok := node.Attributes[name]; return v, ok }
	}
	into := map[string]string{}
	values.Collect(c, op.Config.Params, in, into)
	return into
}

// OpMeta returns the configured operation that a task and interval (milliseconds) of r mean, and its
// meta-attributes. They are evaluated once; the result is shared and must not be changed.
func OpMeta(c *model.Cluster, r *model.Resource, task string, intervalMS int64) *model.OpMeta {
	for i := range r.OpMetaCache {
		if m := &r.OpMetaCache[i]; m.Interval == intervalMS && m.Task == task {
			return m
		}
	}
	if r.OpMetaCache == nil {
		r.OpMetaCache = make([]model.OpMeta, 0, 4)
	}
	r.OpMetaCache = append(r.OpMetaCache, values.SharedOpMeta(c, r, task, intervalMS, values.FindOp(r, task, intervalMS, false)))
	return &r.OpMetaCache[len(r.OpMetaCache)-1]
}

// Meta returns a meta-attribute of an action: its own, else that of its operation. The expected result code
// is in Action.TargetRC.
func Meta(c *model.Cluster, a *model.Action, name string) (string, bool) {
	if v, ok := a.Meta[name]; ok {
		return v, true
	}
	if a.Resource == nil || a.Resource.Kind != cib.Primitive {
		return "", false
	}
	v, ok := OpMeta(c, a.Resource, a.Task, a.Interval).Meta[name]
	return v, ok
}

// SetMeta sets a meta-attribute of this action alone.
func SetMeta(a *model.Action, name, value string) {
	if a.Meta == nil {
		a.Meta = make(map[string]string, 4)
	}
	a.Meta[name] = value
}

// Evaluate decides whether the resource action a may run, by the state of its node, what it needs and the
// quorum (spec/04-actions.md section 4), and applies the rule for unmanaged resources (section 2).
func Evaluate(c *model.Cluster, a *model.Action) {
	r, n := a.Resource, a.Node
	if n != nil && !r.Managed && a.Interval == 0 {
		a.Optional = true
	}
	switch {
	case n == nil:
		a.Runnable = false
	case !a.ControllerSide && !n.Online && (!n.IsGuestKind() || n.Reset):
		a.Runnable = false
		if r.Managed && a.Task == TaskStop && !n.Unclean {
			Fence(c, n, "stop is unrunnable", false)
		}
	case !a.ControllerSide && n.Pending:
		a.Runnable = false
	case a.Needs == model.RequiresNothing:
		a.Reason = ""
		a.Runnable = !n.IsGuestKind() || CanFence(c, n)
	case c.Options.Quorate:
		a.Runnable = true
	default:
		withoutQuorum(c, a)
	}
}

func withoutQuorum(c *model.Cluster, a *model.Action) {
	r := a.Resource
	switch c.Options.QuorumPolicy {
	case model.QuorumStop:
		a.Runnable, a.Reason = false, "no quorum"
	case model.QuorumFreeze:
		if !fullyActive(r) || r.Next > r.Role {
			a.Runnable, a.Reason = false, "quorum freeze"
		}
	case model.QuorumDemote:
		if r.Role != model.RolePromoted && r.Role != model.RoleUnpromoted {
			a.Runnable, a.Reason = false, "no quorum"
			return
		}
		if r.Next > model.RoleUnpromoted {
			r.Next = model.RoleUnpromoted
		}
		a.Runnable = true
	default:
		a.Runnable = true
	}
}

// fullyActive reports whether a resource, with all its members, is active somewhere. A managed resource
// does not count as active on a node that is cleanly offline.
func fullyActive(r *model.Resource) bool {
	if len(r.Children) > 0 {
		for _, child := range r.Children {
			if !fullyActive(child) {
				return false
			}
		}
		return true
	}
	for _, n := range r.Active {
		if n.Unclean || n.Online || !r.Managed {
			return true
		}
	}
	return false
}

// Find returns the first created action of r with the key on node; a nil node means any. nil = none.
func Find(r *model.Resource, key string, node *model.Node) *model.Action {
	for _, a := range r.Actions {
		if (node == nil || a.Node == node) && sameKey(a.Key, key) {
			return a
		}
	}
	return nil
}

// FindTask returns the last created action of r with the task and no interval on node; a nil node means
// any. nil = none. An action that became a cancellation is found by its new task only.
func FindTask(r *model.Resource, task string, node *model.Node) *model.Action {
	list := r.Others
	if task == TaskMonitor {
		r.Spread()
		list = r.Actions
	}
	for i := len(list) - 1; i >= 0; i-- {
		if a := list[i]; (node == nil || a.Node == node) && a.Interval == 0 && a.Task == task {
			return a
		}
	}
	return nil
}

// Stop returns the stop of r on node.
func Stop(c *model.Cluster, r *model.Resource, node *model.Node, optional bool) *model.Action {
	return operation(c, r, TaskStop, 0, node, optional)
}

// Start returns the start of r on node. It becomes required only if it may run.
func Start(c *model.Cluster, r *model.Resource, node *model.Node, optional bool) *model.Action {
	a := operation(c, r, TaskStart, 0, node, true)
	if !optional && a.Runnable {
		a.Optional = false
		if !r.Managed {
			a.Optional = true
		}
	}
	return a
}

// Promote returns the promote of r on node.
func Promote(c *model.Cluster, r *model.Resource, node *model.Node, optional bool) *model.Action {
	return operation(c, r, TaskPromote, 0, node, optional)
}

// Demote returns the demote of r on node.
func Demote(c *model.Cluster, r *model.Resource, node *model.Node, optional bool) *model.Action {
	return operation(c, r, TaskDemote, 0, node, optional)
}

// Delete returns the clean-up of what the executor on node keeps about r.
func Delete(c *model.Cluster, r *model.Resource, node *model.Node, optional bool) *model.Action {
	return operation(c, r, TaskDelete, 0, node, optional)
}

// ClearFailcount returns the (required) event that removes the fail count of r on node. The reason is for
// the administrator's log. The failure of a remote connection keeps it from being tried again, which has to wait
// for the fencing of the remote node (spec/04-actions.md 9.4).
func ClearFailcount(c *model.Cluster, r *model.Resource, node *model.Node, reason string) *model.Action {
	a := operation(c, r, TaskClearFailures, 0, node, false)
	if _, done := a.Meta["op_no_wait"]; !done {
		SetMeta(a, "op_no_wait", "true")
		c.Messages = append(c.Messages, model.Message{Text: "clearing failure of " + r.ID + " on " + node.Name + " because " + reason})
		if r.ReconnectMS > 0 && c.Options.FencingEnabled && r.RemoteNode != nil && !r.IsGuestConnection {
			Relate(c, FenceAction(c, r.RemoteNode, "", true, ""), a, model.PullThen)
		}
	}
	return a
}

// DeleteHistory returns the (required) event that erases the history of r on node; the node need not be up.
func DeleteHistory(c *model.Cluster, r *model.Resource, node *model.Node) *model.Action {
	return operation(c, r, TaskDeleteHistory, 0, node, false)
}

// Recurring returns the recurring operation of r on node; the interval is in milliseconds.
func Recurring(c *model.Cluster, r *model.Resource, task string, intervalMS int64, node *model.Node, optional bool) *model.Action {
	return operation(c, r, task, intervalMS, node, optional)
}

// Probe returns the required one-shot monitor of r on node.
func Probe(c *model.Cluster, r *model.Resource, node *model.Node) *model.Action {
	if n := len(r.Actions); n > 0 {
		// The probes of a resource on all nodes share one key, which is worth not making anew.
		if last := r.Actions[n-1]; last.Task == TaskMonitor && last.Interval == 0 {
			return New(c, r, last.Key, TaskMonitor, node, false)
		}
	}
	return operation(c, r, TaskMonitor, 0, node, false)
}

// ProbeRow starts a row of probes of r, of which room are expected, or returns nil where each probe has to be an action of
// its own: one might be found or asked for already, or differ from node to node.
func ProbeRow(c *model.Cluster, r *model.Resource, room int) *model.Row {
	if len(r.Active) > 0 || r.LockNode != nil || r.Probes != nil || FindTask(r, TaskMonitor, nil) != nil || !values.SameParams(r) {
		return nil
	}
	m := OpMeta(c, r, TaskMonitor, 0)
	if m.Op != nil && m.Op.Config != nil && len(m.Op.Config.Params) > 0 {
		return nil
	}
	w := c.NewRow(r, Key(r.ID, TaskMonitor, 0), TaskMonitor, room)
	w.Action.Op, w.Action.Runnable, w.Action.TargetRC = m.Op, true, 7 // not running
	return w
}

// Pseudo returns an action of r without a node that exists for ordering only.
func Pseudo(c *model.Cluster, r *model.Resource, task string, optional, runnable bool) *model.Action {
	return PseudoKey(c, r, Key(r.ID, task, 0), task, optional, runnable)
}

// PseudoKey is Pseudo with a key of its own.
func PseudoKey(c *model.Cluster, r *model.Resource, key, task string, optional, runnable bool) *model.Action {
	a := existing(c, r, key, task, 0, nil)
	if a == nil {
		a = c.NewAction(r, key, task, 0, nil)
		a.Optional = optional
		if r != nil {
			switch task {
			case TaskStart, TaskPromote:
				a.Needs = r.Requires
			}
		}
	} else if !optional {
		a.Optional = false
	}
	a.Pseudo = true
	if runnable {
		a.Runnable = true
	}
	return a
}
