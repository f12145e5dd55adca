package unpack

import (
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
)

// status reads the status section (spec/02-state.md section 1).
func (u *unpacker) status() {
	c := u.c
	st := u.boundedHistory(&c.Doc.Status)
	for i := range st.Tickets {
		t := &st.Tickets[i]
		if t.ID == "" {
			continue
		}
		last, _ := values.Integer(t.LastGranted)
		c.Tickets[t.ID] = &model.Ticket{ID: t.ID, Granted: values.True(t.Granted), Standby: values.True(t.Standby), LastGranted: last}
	}

	work := make([]*model.Node, len(st.Nodes)) // nodes whose history is still to be read; nil = none
	for i := range st.Nodes {
		s := &st.Nodes[i]
		n := u.nodeOf(s)
		if n == nil {
			// The history of a removed connection may create the node later.
			if s.Name == "" {
				u.warnf("node state %q without uname is left out", s.ID)
			}
			continue
		}
		if n.State == nil {
			n.State = s
		}
		if n.Kind == model.ClusterNode {
			u.clusterNode(n, s)
		} else {
			fenced, _ := values.Integer(s.NodeFenced)
			n.NodeFenced = fenced != 0
		}
	}

	for again := true; again; {
		again = false
		for i := range st.Nodes {
			if work[i] == nil && st.Nodes[i].Name != "" {
				if n := u.nodeOf(&st.Nodes[i]); n != nil && u.ready(n) {
					work[i] = n
					u.nodeHistory(n, &st.Nodes[i])
					again = true
				}
			}
		}
	}
	for i := range st.Nodes {
		if work[i] == nil && st.Nodes[i].Name != "" {
			if n := u.nodeOf(&st.Nodes[i]); n != nil && (c.Options.FencingEnabled || u.ready(n)) {
				work[i] = n
				u.nodeHistory(n, &st.Nodes[i])
			}
		}
	}

	for _, d := range u.stopContainers {
		if n := d.container.Current(); n != nil {
			action.Stop(c, d.container, n, false)
		}
	}
	for _, n := range c.Nodes {
		if !n.IsRemoteKind() {
			continue
		}
		if n.Shutdown && n.Connection != nil {
			n.Connection.Next = model.RoleStopped
		}
		if !n.Unpacked {
			u.remoteOnline(n)
		}
	}
}

// nodeOf finds the node of a status entry, by id first; nil = not in the configuration.
func (u *unpacker) nodeOf(s *cib.NodeState) *model.Node {
	if s.ID != "" {
		if n := u.c.NodeByID(s.ID); n != nil {
			return n
		}
	}
	if s.Name == "" {
		return nil
	}
	return u.c.NodeByName(s.Name)
}

// ready reports whether the history of n can be read already (spec/02-state.md section 1).
func (u *unpacker) ready(n *model.Node) bool {
	o := &u.c.Options
	conn := n.Connection
	switch {
	case n.IsGuestKind():
		return conn != nil && conn.Role == model.RoleStarted && conn.Launcher != nil && conn.Launcher.Role == model.RoleStarted
	case n.Kind == model.RemoteNode:
		return conn != nil && (conn.Role == model.RoleStarted || o.ShutdownLock)
	}
	return o.FencingEnabled || o.ShutdownLock || n.Online
}

// transientAttributes reads the attributes of a status entry over those of the configuration.
func (u *unpacker) transientAttributes(n *model.Node, s *cib.NodeState) {
	c := u.c
	if len(s.Attributes) > 0 {
		m := map[string]string{}
		values.Collect(c, s.Attributes, rule.Input{Now: c.Now}, m)
		for name, v := range m {
			n.Attributes[name] = v
		}
		if _, set := m["site-name"]; set {
			u.siteName(n)
		}
	}
	for _, more := range u.capacities(s.Utilization) {
		n.Capacity = setCapacity(n.Capacity, more)
		n.Utilization = setCapacity(n.Utilization, more)
	}
	n.FailureAttributes = nil
	for name, v := range n.Attributes {
		if strings.HasPrefix(name, "fail-count-") || strings.HasPrefix(name, "last-failure-") {
			n.FailureAttributes = append(n.FailureAttributes, model.NodeAttribute{Name: name, Value: v})
		}
	}
	sort.Slice(n.FailureAttributes, func(i, j int) bool { return n.FailureAttributes[i].Name < n.FailureAttributes[j].Name })
	if values.True(n.Attributes["standby"]) {
		n.Standby = true
	}
	if values.True(n.Attributes["maintenance"]) {
		n.Maintenance = true
	}
}

// setCapacity sets one attribute in a list that is sorted by name.
func setCapacity(list []model.Capacity, c model.Capacity) []model.Capacity {
	at, found := slices.BinarySearchFunc(list, c, func(x, y model.Capacity) int { return strings.Compare(x.Name, y.Name) })
	if found {
		list[at] = c
		return list
	}
	return slices.Insert(list, at, c)
}

// discovery reads the attribute that disables probes (spec/01-inputs.md 5.2).
func (u *unpacker) discovery(n *model.Node) {
	v, set := n.Attributes["resource-discovery-enabled"]
	if !set || values.True(v) {
		return
	}
	if _, ok := values.Bool(v); !ok {
		return
	}
	if n.Kind == model.ClusterNode || (n.Kind == model.RemoteNode && !u.c.Options.FencingEnabled) {
		u.warnf("node %q: resource-discovery-enabled=%s is left out of account, since only guest nodes, and remote nodes that can be fenced, may do without discovery", n.Name, v)
		return
	}
	n.ProbesDisabled = true
}

// since reads a point in time that a boolean may stand for: negative = not recorded or not readable.
func (u *unpacker) since(text string) int64 {
	if text == "" {
		return -1
	}
	if b, ok := values.Bool(text); ok {
		if b {
			return u.c.Now.Unix()
		}
		return 0
	}
	if v, ok := values.Integer(text); ok && v >= 0 {
		return v
	}
	return -1
}

// processOnline reads the attribute crmd: whether the cluster software runs on the node.
func processOnline(text string) bool {
	switch text {
	case "online":
		return true
	case "", "offline":
		return false
	}
	v, _ := values.Integer(text)
	return v > 0
}

// clusterNode reads the state of a cluster node (spec/02-state.md section 3).
func (u *unpacker) clusterNode(n *model.Node, s *cib.NodeState) {
	c, o := u.c, &u.c.Options
	u.transientAttributes(n, s)
	n.Unclean, n.Seen = false, true
	if v, set := n.Attributes["shutdown"]; set && v != "0" {
		n.Shutdown = true
	} else if s.Expected == "member" {
		n.ExpectedUp = true
	}
	u.discovery(n)

	member, online := u.since(s.InCCM), processOnline(s.CRMD)
	if o.FencingEnabled {
		u.withFencing(n, s, member, online)
	} else {
		u.withoutFencing(n, s, member, online)
	}
	if !n.Online || n.Shutdown {
		n.Score = model.MinInfinity
	}
	if n.Online && !o.Quorate && o.QuorumPolicy == model.QuorumFence {
		action.Fence(c, n, "cluster does not have quorum", false)
	}
}

// withoutFencing is spec/02-state.md 3.2.
func (u *unpacker) withoutFencing(n *model.Node, s *cib.NodeState, member int64, online bool) {
	switch {
	case member <= 0:
	case online:
		n.Online = s.Join == "member"
	case n.ExpectedUp:
		action.Fence(u.c, n, "peer is unexpectedly down", false)
	}
}

// withFencing is spec/02-state.md 3.3; the numbers are those of its cases.
func (u *unpacker) withFencing(n *model.Node, s *cib.NodeState, member int64, online bool) {
	c := u.c
	if n.Shutdown { // 1
		n.Online = online
		return
	}
	if member < 0 { // 2
		action.Fence(c, n, "peer has not been seen by the cluster", false)
		return
	}
	n.Online = member > 0
	switch {
	case s.Join == "banned": // 3
		action.Fence(c, n, "peer failed Pacemaker membership criteria", false)
	case terminates(n.Attributes["terminate"]): // 4
		if member > 0 || online || s.Join != "down" {
			if op := n.Attributes["terminate"]; op == "off" || op == "reboot" {
				n.FenceOp = op
			}
			action.Fence(c, n, "fencing was requested", false)
		}
	case s.Expected == "" || s.Expected == "down": // 5
		u.unexpected(n, member, online)
	case member == 0: // 6
		action.Fence(c, n, "peer is no longer part of the cluster", true)
	case !online: // 7
		action.Fence(c, n, "peer process is no longer available", false)
	case s.Join == "member": // 8
	case s.Join == "pending" || s.Join == "down": // 9
		n.Standby, n.Pending = true, true
	default: // 10
		action.Fence(c, n, "peer was in an unknown state", false)
	}
}

// unexpected is case 5: the node is not expected to be there, but may be on its way.
func (u *unpacker) unexpected(n *model.Node, member int64, online bool) {
	c := u.c
	if member > 0 && !online && c.Options.NodePendingTimeout > 0 {
		end := member + c.Options.NodePendingTimeout
		if c.Now.Unix() >= end {
			action.Fence(c, n, "peer pending timed out on joining the process group", false)
			return
		}
		c.RecheckUnix(end)
	}
	if member > 0 || online {
		n.Standby, n.Pending = true, true
	}
}

// terminates reads the attribute by which users ask for fencing. "off" (which elsewhere means no) and "reboot"
// are Quorate's, and name what is to be done.
func terminates(v string) bool {
	if v == "off" || v == "reboot" {
		return true
	}
	if b, ok := values.Bool(v); ok {
		return b
	}
	n, _ := values.Integer(v)
	return n > 0
}

// remoteOnline decides whether a remote, guest or bundle node can be reached (spec/02-state.md section 4).
func (u *unpacker) remoteOnline(n *model.Node) {
	conn := n.Connection
	if conn == nil {
		n.Online = false
		return
	}
	l := conn.Launcher
	var host *model.Node
	if l != nil && len(conn.Active) == 1 {
		host = conn.Active[0]
	}
	if conn.Role == model.RoleStarted {
		n.Online = true
		if conn.Next == model.RoleStopped {
			n.Shutdown = true
		}
	}
	switch {
	case l != nil && l.Failed:
		n.Online, n.Reset = false, true
	case conn.Failed:
		n.Online = false
	case conn.Role <= model.RoleStopped || (l != nil && l.Role <= model.RoleStopped):
		n.Online, n.Reset = false, false
	case host != nil && !host.Online && host.Unclean:
		n.Online, n.Reset = false, true
	}
	if !n.Online || n.Shutdown {
		n.Score = model.MinInfinity
	}
}

// remoteNode reads the status entry of a remote, guest or bundle node.
func (u *unpacker) remoteNode(n *model.Node, s *cib.NodeState) {
	inMaintenance, _ := values.Integer(s.NodeInMaintenance)
	n.RemoteMaintenanceRecorded = inMaintenance != 0
	if !n.Reset {
		n.Unclean, n.Seen = false, true
	}
	u.transientAttributes(n, s)
	if v, set := n.Attributes["shutdown"]; set && v != "0" {
		n.Shutdown = true
	}
	if n.Connection != nil && !n.Connection.Managed {
		n.Maintenance = true
	}
	u.discovery(n)
}

// nodeHistory reads the operation history of a node.
func (u *unpacker) nodeHistory(n *model.Node, s *cib.NodeState) {
	c := u.c
	if n.IsRemoteKind() {
		u.remoteOnline(n)
		u.remoteNode(n, s)
	}
	n.Unpacked = true
	for i := range s.History {
		u.resourceHistory(n, s, i)
	}
	// What is left of a guest that was removed belongs to its container, if that was found meanwhile.
	for _, left := range u.leftovers {
		l := c.Resource(left.container)
		if left.r.Launcher != nil || l == nil || l == left.r {
			continue
		}
		left.r.Launcher = l
		l.Launched = append(l.Launched, left.r)
		if g := left.r.RemoteNode; g != nil {
			left.r.IsGuestConnection, l.RemoteNode = true, g
			setKind(g, model.GuestNode)
		}
	}
}
