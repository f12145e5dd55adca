package action

import (
	"cmp"
	"strconv"

	"github.com/quorate/quorate/crm/policy/model"
)

// Fence notes that node has to be fenced, with the reason (spec/02-state.md 6.1): a guest by recovering
// its container, a remote or cluster node by an optional fence action that keeps the first reason given.
// priorityDelay says that membership was lost, so that priority-fencing-delay applies.
func Fence(c *model.Cluster, node *model.Node, reason string, priorityDelay bool) {
	conn := node.Connection
	switch {
	case node.IsGuestKind():
		if conn == nil || conn.Launcher == nil {
			return
		}
		l := conn.Launcher
		if l.Failed {
			return
		}
		if !l.Managed {
			note(c, "guest "+node.Name+" should be fenced because "+reason+", but "+l.ID+" is unmanaged")
			return
		}
		node.Reset = true
		l.Failed, l.MustStop = true, true
		firstReason(node, reason)
	case conn != nil && conn.RemovedLauncher:
		conn.Failed, conn.MustStop = true, true
	case node.Kind == model.RemoteNode:
		if conn != nil && !conn.Managed {
			note(c, "remote node "+node.Name+" should be fenced because "+reason+", but "+conn.ID+" is unmanaged")
		} else {
			node.Reset = true
		}
		node.Unclean = true
		FenceAction(c, node, "", true, reason)
	case !node.Unclean:
		node.Unclean = true
		if priorityDelay {
			node.FenceDelayApplies = true
		}
		FenceAction(c, node, "", true, reason)
	}
}

func note(c *model.Cluster, text string) {
	c.Messages = append(c.Messages, model.Message{Text: text})
}

func firstReason(node *model.Node, reason string) {
	if node.FenceReason == "" {
		node.FenceReason = reason
	}
}

// FenceAction returns the fencing of node: op is off, reboot or on (unfencing), "" what was asked for, or else the
// cluster's fencing-action. It is made required when optional is false and the node can be fenced. The first reason
// stays, except that making it required with a reason replaces it (spec/04-actions.md section 13).
func FenceAction(c *model.Cluster, node *model.Node, op string, optional bool, reason string) *model.Action {
	if op == "" {
		op = cmp.Or(node.FenceOp, c.Options.FencingAction)
	}
	key := "stonith-" + node.Name + "-" + op
	a := c.ClusterAction(key)
	if a == nil {
		a = c.NewAction(nil, key, TaskFence, 0, node)
		a.Optional, a.Runnable = true, true
		a.Meta = map[string]string{"on_node": node.Name, "on_node_uuid": node.ID, "stonith_action": op}
		if unfencingDigests(c, a) && op == "on" {
			optional = false
		}
	}
	if op != "on" && node.FenceDelayApplies && c.Options.PriorityFencingDelay > 0 {
		a.Meta["priority-fencing-delay"] = strconv.FormatInt(PriorityDelay(c, node), 10)
	}
	if !optional && CanFence(c, node) {
		a.Optional = false
		if reason != "" {
			Because(a, reason, false)
		}
	} else if reason != "" && a.Reason == "" {
		a.Reason = reason
	}
	if a.Reason != "" && op != "on" {
		firstReason(node, a.Reason)
	}
	return a
}

// Because sets the reason of an action unless it has one already; overwrite replaces it.
func Because(a *model.Action, reason string, overwrite bool) {
	if a.Reason == "" || overwrite {
		a.Reason = reason
	}
}

// PriorityDelay is the delay in seconds before fencing node so that, in an even split, the side with the
// more important resources wins (spec/02-state.md 6.4).
func PriorityDelay(c *model.Cluster, node *model.Node) int64 {
	if node.Kind != model.ClusterNode || node.Online {
		return 0
	}
	members, online := 0, 0
	var highest, lowest int32
	for _, n := range c.Nodes {
		if n.Kind != model.ClusterNode {
			continue
		}
		if members == 0 || n.Priority > highest {
			highest = n.Priority
		}
		if members == 0 || n.Priority < lowest {
			lowest = n.Priority
		}
		members++
		if n.Online {
			online++
		}
	}
	if online > members/2 || lowest == highest || node.Priority < highest {
		return 0
	}
	return c.Options.PriorityFencingDelay
}

// CanFence reports whether node could be fenced (spec/02-state.md 6.2).
func CanFence(c *model.Cluster, node *model.Node) bool {
	if node.IsGuestKind() {
		return canRecover(c, node, map[*model.Node]bool{})
	}
	o := &c.Options
	switch {
	case !o.FencingEnabled || !(c.HaveFencingDevice || o.HaveWatchdog):
		return false
	case o.Quorate || o.QuorumPolicy == model.QuorumIgnore:
		return true
	case !node.Online:
		return false
	case node.Kind == model.RemoteNode && !o.FenceRemoteWithoutQuorum && node.Connection != nil:
		for i := range c.Nodes {
			if n := c.Nodes[i]; node.Connection.Allowed.At(n).Present && !n.Online {
				return false
			}
		}
	}
	return true
}

// canRecover reports whether each host of a guest is online or can itself be fenced. Asked has the guests met on
// the way: a guest that its history shows in itself, over others or not, cannot be recovered.
func canRecover(c *model.Cluster, n *model.Node, asked map[*model.Node]bool) bool {
	if n.Connection == nil || n.Connection.Launcher == nil {
		return true
	}
	asked[n] = true
	for _, host := range n.Connection.Launcher.Active {
		switch {
		case host.Online:
		case !host.IsGuestKind():
			if !CanFence(c, host) {
				return false
			}
		case asked[host] || !canRecover(c, host, asked):
			return false
		}
	}
	return true
}

// State is the state of the connection of a remote or guest node (spec/04-actions.md section 14).
type State uint8

// Connection states.
const (
	StateUnknown State = iota
	StateAlive
	StateResting
	StateFailed
	StateStopped
)

// ConnectionState derives the state of the connection to a remote or guest node. It is meaningful once
// resources are assigned.
func ConnectionState(c *model.Cluster, node *model.Node) State {
	conn := node.Connection
	if conn == nil {
		return StateUnknown
	}
	current := conn.Current()
	if conn.Next == model.RoleStopped || conn.Assigned == nil {
		switch {
		case current != nil && current.Unclean:
			return StateFailed
		case !conn.Failed:
			return StateStopped
		case conn.ReconnectMS > 0 && conn.Next == model.RoleStopped && node.NodeFenced && !ShutdownRequested(node):
			return StateUnknown
		}
		return StateFailed
	}
	switch {
	case current == nil:
		return StateUnknown
	case current.Unclean || !current.Online:
		return StateResting
	case len(conn.Active) > 1 && conn.PartialSource != nil && conn.PartialTarget != nil:
		return StateResting
	}
	return StateAlive
}

// ShutdownRequested reports whether the node attribute shutdown asks for the shutdown of node.
func ShutdownRequested(node *model.Node) bool {
	v, set := node.Attributes["shutdown"]
	return set && v != "0"
}
