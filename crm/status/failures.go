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

// attributes writes the node attributes (spec/06-simulation.md section 12).
func (p *printer) attributes() {
	p.section("Node Attributes")
	for _, n := range p.c.Nodes {
		if !n.Online {
			continue
		}
		var list []string
		for name := range n.Attributes {
			if !hidden(name) {
				list = append(list, name)
			}
		}
		if len(list) == 0 {
			continue
		}
		sort.Strings(list)
		p.item(1, "Node: "+n.Name+":")
		for _, name := range list {
			value := n.Attributes[name]
			p.item(2, fmt.Sprintf("%-32s\t: %-10s%s", name, value, p.connectivity(n, name, value)))
		}
	}
}

// connectivity judges the value of an attribute that a ping resource on the node maintains.
func (p *printer) connectivity(n *model.Node, name, value string) string {
	for _, r := range n.Running {
		if r.Type != "ping" && r.Type != "pingd" {
			continue
		}
		params := values.Params(p.c, r, n)
		attribute, set := params["name"]
		if !set {
			attribute = "pingd"
		}
		if attribute != name {
			continue
		}
		have, _ := values.Integer(value)
		hosts := int64(len(strings.Fields(params["host_list"])))
		multiplier, ok := values.Integer(params["multiplier"])
		if !ok {
			multiplier = 1
		}
		switch expected := hosts * multiplier; {
		case have <= 0:
			return "\t: Connectivity is lost"
		case have < expected:
			return fmt.Sprintf("\t: Connectivity is degraded (Expected=%d)", expected)
		}
		return ""
	}
	return ""
}

// localTime formats seconds since 1970 as the C library's ctime does.
func (p *printer) localTime(seconds int64) string {
	return time.Unix(seconds, 0).In(p.c.Now.Location()).Format("Mon Jan _2 15:04:05 2006")
}

// failCounts writes the resources that have failed on each node (spec/06-simulation.md section 12).
func (p *printer) failCounts() {
	began := !p.o.Sparse
	if began {
		p.section("Migration Summary")
	}
	for i := range p.c.Doc.Status.Nodes {
		s := &p.c.Doc.Status.Nodes[i]
		n := p.c.NodeByID(s.ID)
		if n == nil {
			n = p.c.NodeByName(s.Name)
		}
		if n == nil || !n.Online || n.State != s {
			continue
		}
		var lines []string
		for j := range s.History {
			r := p.c.Resource(s.History[j].ID)
			name := s.History[j].ID
			if r == nil {
				for _, x := range p.c.ByHistoryID(name) {
					if x.HistoryID == name {
						r = x
						break
					}
				}
			}
			if r == nil || r.Kind != cib.Primitive {
				continue
			}
			count, last := values.FailCount(p.c, r, n, values.Failures{})
			if count == 0 {
				continue
			}
			line := fmt.Sprintf("%s: migration-threshold=%d fail-count=%d", name, r.MigrationThreshold, count)
			if last > 0 {
				line += fmt.Sprintf(" last-failure='%s'", p.localTime(last))
			}
			lines = append(lines, line)
		}
		if len(lines) == 0 {
			continue
		}
		if !began {
			p.section("Migration Summary")
			began = true
		}
		p.item(1, "Node: "+n.Name+":")
		for _, line := range lines {
			p.item(2, line)
		}
	}
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

// failedActions writes the failed operations that a user should look at (spec/06-simulation.md section 12).
func (p *printer) failedActions() {
	var lines []string
	for i := range p.c.FailedOps {
		f := &p.c.FailedOps[i]
		if unpack.Maskable(f.Resource, f.Op) {
			continue
		}
		lines = append(lines, p.failedAction(f))
	}
	if len(lines) == 0 {
		return
	}
	p.section("Failed Resource Actions")
	for _, line := range lines {
		p.item(1, line)
	}
}

func (p *printer) failedAction(f *model.FailedOp) string {
	e := f.Op
	key := e.Key
	if key == "" {
		key = e.ID
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s '%s' (%d): call=%d, status='%s'", key, f.Node.Name, exitText(e.RC), e.RC, e.CallID, statusText(e.Status))
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
