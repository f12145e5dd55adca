package status

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/policy/values"
)

// hidden reports whether a node attribute is an inner matter of the cluster.
func hidden(name string) bool {
	for _, prefix := range [...]string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "#"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// shownAttributes lists the names of a node's attributes that users should see, in byte order.
func shownAttributes(n *model.Node) []string {
	var list []string
	for name := range n.Attributes {
		if !hidden(name) {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list
}

// attributes writes the node attributes (spec/06-simulation.md section 12).
func (p *printer) attributes() {
	began := false
	for _, n := range p.c.Nodes {
		if !n.Online || !p.o.Only.node(n) {
			continue
		}
		list := shownAttributes(n)
		if len(list) == 0 {
			continue
		}
		if !began {
			p.section("Node Attributes")
			began = true
		}
		p.item(1, "Node: "+p.nodeName(n)+":")
		for _, name := range list {
			value, words := n.Attributes[name], ""
			switch expected, judged := connectivity(p.c, n, name, value); {
			case !judged:
			case expected == 0:
				words = "\t: Connectivity is lost"
			default:
				words = fmt.Sprintf("\t: Connectivity is degraded (Expected=%d)", expected)
			}
			p.item(2, fmt.Sprintf("%-32s\t: %-10s%s", name, value, words))
		}
	}
}

// connectivity judges the value of an attribute that a ping resource on the node maintains: bad says that it
// is too low, and expected is what it should be, or 0 where nothing at all is reached.
func connectivity(c *model.Cluster, n *model.Node, name, value string) (expected int64, bad bool) {
	have, hosts, pinged := pingValue(c, n, name, value)
	switch {
	case !pinged:
		return 0, false
	case have <= 0:
		return 0, true
	case have < hosts:
		return hosts, true
	}
	return 0, false
}

// pingValue is the value of an attribute that a ping resource on the node maintains, and the highest that it can
// have; pinged is false for other attributes.
func pingValue(c *model.Cluster, n *model.Node, name, value string) (have, most int64, pinged bool) {
	for _, r := range n.Running {
		if r.Type != "ping" && r.Type != "pingd" {
			continue
		}
		params := values.Params(c, r, n)
		attribute, set := params["name"]
		if !set {
			attribute = "pingd"
		}
		if attribute != name {
			continue
		}
		have, _ = values.Integer(value)
		multiplier, ok := values.Integer(params["multiplier"])
		if !ok {
			multiplier = 1
		}
		return have, int64(len(strings.Fields(params["host_list"]))) * multiplier, true
	}
	return 0, 0, false
}

func (p *printer) localTime(seconds int64) string { return localTime(p.c, seconds) }

// localTime formats seconds since 1970 as the C library's ctime does.
func localTime(c *model.Cluster, seconds int64) string {
	return time.Unix(seconds, 0).In(c.Now.Location()).Format("Mon Jan _2 15:04:05 2006")
}

// historyNodes calls f for the nodes whose recorded operations are shown, in document order.
func historyNodes(c *model.Cluster, o *Options, f func(n *model.Node, s *cib.NodeState)) {
	for i := range c.Doc.Status.Nodes {
		s := &c.Doc.Status.Nodes[i]
		n := c.NodeByID(s.ID)
		if n == nil {
			n = c.NodeByName(s.Name)
		}
		if n != nil && n.Online && n.State == s && o.Only.node(n) {
			f(n, s)
		}
	}
}

// byHistory finds the primitive that a name of the history means; nil = none.
func byHistory(c *model.Cluster, name string) *model.Resource {
	r := c.Resource(name)
	if r == nil {
		for _, x := range c.ByHistoryID(name) {
			if x.HistoryID == name {
				r = x
				break
			}
		}
	}
	if r == nil || r.Kind != cib.Primitive {
		return nil
	}
	return r
}

// failCount describes the failures of r on n, and says whether there are any.
func (p *printer) failCount(r *model.Resource, n *model.Node, name string) (string, bool) {
	count, last := values.FailCount(p.c, r, n, values.Failures{})
	line := fmt.Sprintf("%s: migration-threshold=%d", name, r.MigrationThreshold)
	if count == 0 {
		return line, false
	}
	line += fmt.Sprintf(" fail-count=%d", count)
	if last > 0 {
		line += fmt.Sprintf(" last-failure='%s'", p.localTime(last))
	}
	return line, true
}

// failCounts writes the resources that have failed on each node (spec/06-simulation.md section 12).
func (p *printer) failCounts() {
	began := !p.o.Sparse
	if began {
		p.section("Migration Summary")
	}
	historyNodes(p.c, &p.o, func(n *model.Node, s *cib.NodeState) {
		var lines []string
		for j := range s.History {
			r := byHistory(p.c, s.History[j].ID)
			if r == nil || !p.o.Only.resource(r) {
				continue
			}
			if line, failed := p.failCount(r, n, shownName(r)); failed {
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 {
			return
		}
		if !began {
			p.section("Migration Summary")
			began = true
		}
		p.item(1, "Node: "+p.nodeName(n)+":")
		for _, line := range lines {
			p.item(2, line)
		}
	})
}

// statusText describes a recorded operation status.
func statusText(status int) string {
	switch status {
	case -1:
		return "Pending"
	case 0:
		return "Done"
	case 1:
		return "Cancelled"
	case 2:
		return "Timed Out"
	case 3:
		return "NOT SUPPORTED"
	case 4:
		return "Error"
	case 5, 6:
		return "Error"
	case 7:
		return "Not installed"
	case 8:
		return "Internal communication failure"
	case 9:
		return "Invalid"
	case 10:
		return "No fence device"
	case 11:
		return "CIB secrets not available"
	}
	return "UNKNOWN!"
}

// shownFailures lists the failed operations that a user should look at.
func shownFailures(c *model.Cluster, o *Options) []*model.FailedOp {
	var list []*model.FailedOp
	for i := range c.FailedOps {
		f := &c.FailedOps[i]
		if !unpack.Maskable(f.Resource, f.Op) && o.Only.node(f.Node) && (f.Resource == nil || o.Only.resource(f.Resource)) {
			list = append(list, f)
		}
	}
	return list
}

// failedActions writes the failed operations that a user should look at (spec/06-simulation.md section 12).
func (p *printer) failedActions() {
	list := shownFailures(p.c, &p.o)
	if len(list) == 0 {
		return
	}
	p.section("Failed Resource Actions")
	for _, f := range list {
		if p.o.Sentences {
			p.item(1, p.failedSentence(f))
		} else {
			p.item(1, p.failedRecord(f))
		}
	}
}

// failureKey names a failed operation: RESOURCE_OPERATION_INTERVAL.
func failureKey(e *cib.HistoryOp) string {
	if e.Key != "" {
		return e.Key
	}
	return e.ID
}

func (p *printer) failedRecord(f *model.FailedOp) string {
	e := f.Op
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s '%s' (%d): call=%d, status='%s'", failureKey(e), f.Node.Name, exitText(e.RC), e.RC, e.CallID, statusText(e.Status))
	if e.ExitReason != "" {
		b.WriteString(", exitreason='" + e.ExitReason + "'")
	}
	if e.LastRCChange > 0 {
		b.WriteString(", last-rc-change='" + p.localTime(e.LastRCChange) + "'")
	}
	if e.QueueTime >= 0 {
		b.WriteString(", queued=" + strconv.FormatInt(e.QueueTime, 10) + "ms")
	}
	if e.ExecTime >= 0 {
		b.WriteString(", exec=" + strconv.FormatInt(e.ExecTime, 10) + "ms")
	}
	return b.String()
}

// failedSentence says in words what failed.
func (p *printer) failedSentence(f *model.FailedOp) string {
	e := f.Op
	var b strings.Builder
	b.WriteString(failedName(f) + " ")
	switch {
	case e.Interval > 0 && e.Operation != "stop" && e.Operation != "start":
		b.WriteString(interval(e.Interval) + "-interval " + e.Operation)
	case e.Operation == "monitor":
		b.WriteString("probe")
	default:
		b.WriteString(e.Operation)
	}
	b.WriteString(" on " + f.Node.Name)
	if e.Status == 0 || e.Status == cib.NoStatus {
		b.WriteString(" returned '" + exitText(e.RC) + "'")
	} else {
		b.WriteString(" could not be executed (" + statusText(e.Status))
		if e.ExitReason != "" {
			b.WriteString(": " + e.ExitReason)
		}
		b.WriteString(")")
	}
	if e.ExitReason != "" && (e.Status == 0 || e.Status == cib.NoStatus) {
		b.WriteString(" (" + e.ExitReason + ")")
	}
	if e.LastRCChange > 0 {
		b.WriteString(" at " + p.localTime(e.LastRCChange))
	}
	if e.ExecTime > 0 {
		b.WriteString(" after " + interval(e.ExecTime))
	}
	return b.String()
}

// failedName is the resource of a failed operation as its key names it.
func failedName(f *model.FailedOp) string {
	if name, ok := strings.CutSuffix(f.Op.Key, "_"+f.Op.Operation+"_"+strconv.FormatInt(f.Op.Interval, 10)); ok && name != "" {
		return name
	}
	if f.Resource != nil {
		return f.Resource.ID
	}
	return f.Op.ID
}

// interval writes milliseconds in readable units: 90ms, 10s, 30.160s, 60s, 1m30s, 1h.
func interval(ms int64) string {
	if ms < 1000 {
		return strconv.FormatInt(ms, 10) + "ms"
	}
	s := ms / 1000
	var b strings.Builder
	for _, u := range [...]struct {
		size int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}} {
		if n := s / u.size; n > 0 && s != 60 {
			b.WriteString(strconv.FormatInt(n, 10) + u.name)
			s -= n * u.size
		}
	}
	switch ms %= 1000; {
	case ms > 0:
		fmt.Fprintf(&b, "%d.%03ds", s, ms)
	case s > 0:
		b.WriteString(strconv.FormatInt(s, 10) + "s")
	}
	return b.String()
}
