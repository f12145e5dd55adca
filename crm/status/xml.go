package status

import (
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// XMLWriter builds indented XML of elements and attributes, as the field's tools print it.
type XMLWriter struct {
	b     strings.Builder
	depth int
}

// NewXML returns a writer whose first element is indented by depth levels of two spaces.
func NewXML(depth int) *XMLWriter { return &XMLWriter{depth: depth} }

// String returns what was written.
func (w *XMLWriter) String() string { return w.b.String() }

// Open begins an element; attributes are pairs of name and value.
func (w *XMLWriter) Open(name string, attributes ...string) {
	w.tag(name, attributes, ">")
	w.depth++
}

// Close ends the element that was opened last, whose name is repeated for the reader's sake.
func (w *XMLWriter) Close(name string) {
	w.depth--
	w.b.WriteString(strings.Repeat("  ", w.depth) + "</" + name + ">\n")
}

// Empty writes an element without content.
func (w *XMLWriter) Empty(name string, attributes ...string) { w.tag(name, attributes, "/>") }

// Text writes an element with text in it.
func (w *XMLWriter) Text(name, text string) {
	w.b.WriteString(strings.Repeat("  ", w.depth) + "<" + name + ">" + escaper.Replace(printable(text)) + "</" + name + ">\n")
}

// Raw inserts elements that were written with the same depth.
func (w *XMLWriter) Raw(text string) { w.b.WriteString(text) }

// Depth is the number of open elements, with those of the place where the text will stand.
func (w *XMLWriter) Depth() int { return w.depth }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")

func (w *XMLWriter) tag(name string, a attributes, end string) {
	w.b.WriteString(strings.Repeat("  ", w.depth))
	w.b.WriteString("<" + name)
	for i := 0; i < len(a); i += 2 {
		w.b.WriteString(" " + a[i] + `="` + escaper.Replace(printable(a[i+1])) + `"`)
	}
	w.b.WriteString(end + "\n")
}

// printable replaces what XML cannot carry: control characters and bytes that are no text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return r
		case r < ' ' || r == 0xFFFE || r == 0xFFFF:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// attributes are pairs of name and value; those without a value are left out.
type attributes []string

func (a *attributes) add(name, value string)       { *a = append(*a, name, value) }
func (a *attributes) flag(name string, value bool) { *a = append(*a, name, strconv.FormatBool(value)) }
func (a *attributes) some(name, value string) {
	if value != "" {
		a.add(name, value)
	}
}

// APIVersion is the version of Pacemaker's API schema that the XML output follows.
const APIVersion = "2.25"

// Result opens the root element of the field's tools: args are the command line with the tool's name.
func Result(args ...string) *XMLWriter {
	w := NewXML(0)
	w.Open("pacemaker-result", "api-version", APIVersion, "request", strings.Join(args, " "))
	return w
}

// EndResult closes the root element with the exit code, its text and further words about errors.
func EndResult(w *XMLWriter, code int, message string, errors ...string) {
	a := []string{"code", strconv.Itoa(code), "message", message}
	if len(errors) == 0 {
		w.Empty("status", a...)
	} else {
		w.Open("status", a...)
		w.Open("errors")
		for _, e := range errors {
			w.Text("error", e)
		}
		w.Close("errors")
		w.Close("status")
	}
	w.Close("pacemaker-result")
}

// XML returns the state of the cluster in the form of the content of the cluster_status element that the field's
// tools print with --output-as=xml, indented by o.Depth levels of two spaces. The sections are those of Text;
// ActiveOnly, Brief, Detail and Sparse mean nothing here.
func XML(c *model.Cluster, o Options) string {
	x := &xmlWriter{XMLWriter: NewXML(o.Depth), c: c, o: o}
	if len(c.Nodes) > 0 && !o.NoNodes {
		x.Open("nodes")
		for _, n := range c.Nodes {
			if o.Only.node(n) {
				x.node(n)
			}
		}
		x.Close("nodes")
	}
	if !o.NoResources {
		x.resources()
	}
	if o.Attributes {
		x.nodeAttributes()
	}
	if o.FailCounts || o.Operations {
		x.history()
	}
	if o.Failures {
		x.failures()
	}
	x.fencing()
	if o.Tickets {
		x.tickets()
	}
	if o.Bans {
		x.bans()
	}
	return x.b.String()
}

// SummaryXML returns the summary element that the field's crm_mon begins with.
func SummaryXML(c *model.Cluster, depth int) string {
	x := &xmlWriter{XMLWriter: NewXML(depth), c: c}
	x.summary()
	return x.b.String()
}

type xmlWriter struct {
	*XMLWriter
	c *model.Cluster
	o Options
}

func (x *xmlWriter) summary() {
	c := x.c
	x.Open("summary")
	stack := c.Options.Properties["cluster-infrastructure"]
	if stack == "" {
		stack = "unknown"
	}
	x.Empty("stack", "type", stack)
	if dc := currentDC(c); dc == nil {
		x.Empty("current_dc", "present", "false")
	} else {
		x.Empty("current_dc", "present", "true", "version", c.Options.Properties["dc-version"], "name", dc.Name, "id", dc.ID,
			"with_quorum", strconv.FormatBool(c.Options.Quorate), "mixed_version", "false")
	}
	h := &c.Doc.Head
	x.Empty("last_update", "time", localTime(c, c.Now.Unix()))
	x.Empty("last_change", "time", h.LastWritten, "user", h.UpdateUser, "client", h.UpdateClient, "origin", h.UpdateOrigin)
	total, disabled, blocked := Instances(c)
	x.Empty("nodes_configured", "number", strconv.Itoa(len(c.Nodes)))
	x.Empty("resources_configured", "number", strconv.Itoa(total), "disabled", strconv.Itoa(disabled), "blocked", strconv.Itoa(blocked))
	var a attributes
	a.flag("stonith-enabled", c.Options.FencingEnabled)
	a.flag("symmetric-cluster", c.Options.Symmetric)
	a.add("no-quorum-policy", quorumWords[c.Options.QuorumPolicy])
	a.flag("maintenance-mode", c.Options.Maintenance)
	a.flag("stop-all-resources", c.Options.StopAll)
	a.add("stonith-timeout-ms", strconv.FormatInt(c.Options.FencingTimeoutMS, 10))
	a.add("priority-fencing-delay-ms", strconv.FormatInt(c.Options.PriorityFencingDelay*1000, 10))
	x.Empty("cluster_options", a...)
	x.Close("summary")
}

var quorumWords = [...]string{model.QuorumStop: "stop", model.QuorumFreeze: "freeze", model.QuorumIgnore: "ignore",
	model.QuorumDemote: "demote", model.QuorumFence: "suicide"}

// resources writes the list of resources; with ByNode it has only those that are not active.
func (x *xmlWriter) resources() {
	var list []*model.Resource
	for _, r := range x.c.Resources {
		if r.Removed && !active(r, true) || !x.o.Only.resource(r) || x.o.ByNode && active(r, true) {
			continue
		}
		list = append(list, r)
	}
	if x.o.ByNode && len(list) == 0 {
		return
	}
	x.Open("resources")
	for _, r := range list {
		x.resource(r)
	}
	x.Close("resources")
}

func (x *xmlWriter) nodeAttributes() {
	began := false
	for _, n := range x.c.Nodes {
		names := shownAttributes(n)
		if !n.Online || !x.o.Only.node(n) || len(names) == 0 {
			continue
		}
		if !began {
			x.Open("node_attributes")
			began = true
		}
		x.Open("node", "name", n.Name)
		for _, name := range names {
			a := attributes{"name", name, "value", n.Attributes[name]}
			if _, most, pinged := pingValue(x.c, n, name, n.Attributes[name]); pinged {
				a.add("expected", strconv.FormatInt(most, 10))
			}
			x.Empty("attribute", a...)
		}
		x.Close("node")
	}
	if began {
		x.Close("node_attributes")
	}
}

// history writes the recorded operations, or without Operations only where something failed.
func (x *xmlWriter) history() {
	began := false
	historyNodes(x.c, &x.o, func(n *model.Node, s *cib.NodeState) {
		inNode := false
		for i := range s.History {
			h := &s.History[i]
			r := byHistory(x.c, h.ID)
			if r == nil || !x.o.Only.resource(r) {
				continue
			}
			count, last := values.FailCount(x.c, r, n, values.Failures{})
			list := shownOperations(h)
			if x.o.Operations && len(list) == 0 || !x.o.Operations && count == 0 {
				continue
			}
			if !began {
				x.Open("node_history")
				began = true
			}
			if !inNode {
				x.Open("node", "name", n.Name)
				inNode = true
			}
			a := attributes{"id", shownName(r)}
			a.flag("orphan", r.Removed)
			if !r.Removed {
				a.add("migration-threshold", strconv.Itoa(int(r.MigrationThreshold)))
				if count > 0 {
					a.add("fail-count", failCountText(count))
					if last > 0 {
						a.add("last-failure", localTime(x.c, last))
					}
				}
			}
			if !x.o.Operations {
				x.Empty("resource_history", a...)
				continue
			}
			x.Open("resource_history", a...)
			for _, e := range list {
				x.operation(e)
			}
			x.Close("resource_history")
		}
		if inNode {
			x.Close("node")
		}
	})
	switch {
	case began:
		x.Close("node_history")
	case !x.o.Sparse:
		x.Empty("node_history")
	}
}

func failCountText(count int32) string {
	if count >= model.Infinity {
		return "INFINITY"
	}
	return strconv.Itoa(int(count))
}

func (x *xmlWriter) operation(e *cib.HistoryOp) {
	a := attributes{"call", strconv.FormatInt(e.CallID, 10), "task", taskName(e), "rc", strconv.Itoa(e.RC), "rc_text", exitText(e.RC)}
	if e.Interval > 0 {
		a.add("interval", strconv.FormatInt(e.Interval, 10)+"ms")
	}
	if e.LastRCChange > 0 {
		a.add("last-rc-change", localTime(x.c, e.LastRCChange))
	}
	if e.ExecTime >= 0 {
		a.add("exec-time", strconv.FormatInt(e.ExecTime, 10)+"ms")
	}
	if e.QueueTime >= 0 {
		a.add("queue-time", strconv.FormatInt(e.QueueTime, 10)+"ms")
	}
	x.Empty("operation_history", a...)
}

func (x *xmlWriter) failures() {
	list := shownFailures(x.c, &x.o)
	if len(list) == 0 {
		return
	}
	x.Open("failures")
	for _, f := range list {
		e := f.Op
		reason := e.ExitReason
		if reason == "" {
			reason = "none"
		}
		key := "op_key"
		if e.Key == "" {
			key = "id"
		}
		a := attributes{key, failureKey(e), "node", f.Node.Name, "exitstatus", exitText(e.RC), "exitreason", reason,
			"exitcode", strconv.Itoa(e.RC), "call", strconv.FormatInt(e.CallID, 10), "status", statusText(e.Status)}
		if e.LastRCChange > 0 {
			a.add("last-rc-change", time.Unix(e.LastRCChange, 0).In(x.c.Now.Location()).Format("2006-01-02 15:04:05Z07:00"))
			a.add("queued", strconv.FormatInt(max(e.QueueTime, 0), 10))
			a.add("exec", strconv.FormatInt(max(e.ExecTime, 0), 10))
			a.add("interval", strconv.FormatInt(e.Interval, 10))
			a.add("task", e.Operation)
		}
		x.Empty("failure", a...)
	}
	x.Close("failures")
}

func (x *xmlWriter) fencing() {
	began := false
	for _, e := range x.o.Fencing {
		if x.o.Only.Nodes != nil && !x.o.Only.Nodes[e.Target] {
			continue
		}
		if !began {
			x.Open("fence_history", "status", "0")
			began = true
		}
		a := attributes{"status", e.State.String()}
		a.some("exit-reason", e.Detail)
		a.some("delegate", e.By)
		a = append(a, "action", e.Action, "target", e.Target, "client", e.Client, "origin", e.Origin)
		if !e.Completed.IsZero() {
			a.add("completed", e.Completed.In(x.c.Now.Location()).Format("2006-01-02 15:04:05Z07:00"))
		}
		x.Empty("fence_event", a...)
	}
	if began {
		x.Close("fence_history")
	}
}

func (x *xmlWriter) tickets() {
	if len(x.c.Tickets) == 0 {
		return
	}
	x.Open("tickets")
	for _, t := range sortedTickets(x.c) {
		a := attributes{"id", t.ID, "status", ticketState(t)}
		a.flag("standby", t.Standby)
		if t.LastGranted > 0 {
			a.add("last-granted", localTime(x.c, t.LastGranted))
		}
		x.Empty("ticket", a...)
	}
	x.Close("tickets")
}

func (x *xmlWriter) bans() {
	began := false
	for _, b := range Bans(x.c, x.o.BanPrefix) {
		if !x.o.Only.node(b.Node) || x.o.Only.Resources != nil && !x.o.Only.Resources[b.Resource] {
			continue
		}
		if !began {
			x.Open("bans")
			began = true
		}
		a := attributes{"id", b.Constraint, "resource", b.Resource, "node", b.Node.Name, "weight", strconv.Itoa(int(b.Score))}
		a.flag("promoted-only", b.PromotedOnly)
		a.flag("master_only", b.PromotedOnly)
		x.Empty("ban", a...)
	}
	if began {
		x.Close("bans")
	}
}

func (x *xmlWriter) node(n *model.Node) {
	health := "green"
	switch h := healthOf(x.c, n); {
	case h < 0:
		health = "red"
	case h == 0:
		health = "yellow"
	}
	var a attributes
	a.add("name", n.Name)
	a.add("id", n.ID)
	a.flag("online", n.Online)
	a.flag("standby", n.Standby)
	a.flag("standby_onfail", n.StandbyOnFail)
	a.flag("maintenance", n.Maintenance)
	a.flag("pending", n.Pending)
	a.flag("unclean", n.Unclean)
	a.add("health", health)
	a.some("feature_set", featureSetOf(n))
	a.flag("shutdown", n.Shutdown)
	a.flag("expected_up", n.ExpectedUp)
	a.flag("is_dc", n.IsDC)
	a.add("resources_running", strconv.Itoa(len(n.Running)))
	if n.Kind == model.ClusterNode {
		a.add("type", "member")
	} else {
		a.add("type", "remote")
	}
	if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil {
		a.add("id_as_resource", n.Connection.Launcher.ID)
	}
	if !x.o.ByNode {
		x.Empty("node", a...)
		return
	}
	x.Open("node", a...)
	for _, r := range n.Running {
		if x.o.Only.resource(r) {
			x.primitive(r)
		}
	}
	x.Close("node")
}

func (x *xmlWriter) resource(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		x.group(r)
	case cib.Clone:
		x.clone(r)
	case cib.Bundle:
		x.bundle(r)
	default:
		x.primitive(r)
	}
}

func (x *xmlWriter) group(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.add("number_resources", strconv.Itoa(len(r.Children)))
	a.flag("managed", r.Managed)
	a.flag("disabled", isDisabled(r))
	x.Open("group", a...)
	for _, m := range r.Children {
		x.primitive(m)
	}
	x.Close("group")
}

func (x *xmlWriter) clone(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.flag("multi_state", r.Clone.Promotable)
	a.flag("unique", r.Clone.Unique)
	a.flag("managed", r.Managed)
	a.flag("disabled", isDisabled(r))
	a.flag("failed", r.Failed)
	a.flag("failure_ignored", r.FailureIgnored)
	a.some("target_role", r.TargetRole)
	x.Open("clone", a...)
	for _, child := range r.Children {
		x.resource(child)
	}
	x.Close("clone")
}

func (x *xmlWriter) bundle(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.add("type", r.Bundle.Spec.Engine)
	a.add("image", r.Bundle.Image)
	a.flag("unique", r.Bundle.Unique)
	a.flag("managed", r.Managed)
	a.flag("failed", r.Failed)
	x.Open("bundle", a...)
	for _, rep := range r.Bundle.Replicas {
		x.Open("replica", "id", strconv.Itoa(rep.Number))
		for _, part := range [...]*model.Resource{rep.IP, rep.Inner, rep.Container, rep.Connection} {
			if part != nil {
				x.primitive(part)
			}
		}
		x.Close("replica")
	}
	x.Close("bundle")
}

func (x *xmlWriter) primitive(r *model.Resource) {
	role := r.Role
	switch {
	case role == model.RoleUnknown:
		role = model.RoleStopped
	case role == model.RoleStarted && promotable(r):
		role = model.RoleUnpromoted
	}
	var a attributes
	a.add("id", shownName(r))
	a.add("resource_agent", agentName(r))
	shown, monitoring := role.String(), ""
	if x.o.Pending {
		if word := pendingWord(r.PendingTask); word != "" {
			shown = word
		}
		if r.PendingTask == "monitor" {
			monitoring = "Monitoring"
		}
	}
	a.add("role", shown)
	a.some("target_role", r.TargetRole)
	a.flag("active", active(r, true))
	a.flag("orphaned", r.Removed)
	a.flag("blocked", r.Blocked)
	a.flag("managed", r.Managed)
	a.flag("failed", r.Failed)
	a.flag("failure_ignored", r.FailureIgnored)
	a.add("nodes_running_on", strconv.Itoa(len(r.Active)))
	a.some("pending", monitoring)
	if r.LockNode != nil {
		a.add("locked_to", r.LockNode.Name)
	}
	if len(r.Active) == 0 {
		x.Empty("resource", a...)
		return
	}
	x.Open("resource", a...)
	for _, n := range r.Active {
		x.Empty("node", "name", n.Name, "id", n.ID, "cached", strconv.FormatBool(n.Online))
	}
	x.Close("resource")
}
