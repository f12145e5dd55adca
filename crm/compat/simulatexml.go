package compat

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/transition"
)

// xmlReport collects a simulation as XML, in the shape of Pacemaker's API schema (status.APIVersion).
type xmlReport struct {
	out      io.Writer
	w        *status.XMLWriter
	problems []string
	timed    bool
}

func newXMLReport(out io.Writer, args []string) *xmlReport {
	return &xmlReport{out: out, w: status.Result(args...)}
}

func (x *xmlReport) note(string) {} // the XML form does not say it

func (x *xmlReport) problem(text string) { x.problems = append(x.problems, text) }

func (x *xmlReport) state(_ string, c *model.Cluster, o status.Options) {
	name := "revised_cluster_status"
	if o.Pending {
		name = "cluster_status"
	}
	x.w.Open(name)
	o.Depth = x.w.Depth()
	x.w.Raw(status.XML(c, o))
	x.w.Close(name)
}

func (x *xmlReport) modifications(list []simulate.Modification) {
	var a []string
	for _, m := range list {
		switch m.Kind {
		case simulate.ModifyQuorum:
			a = append(a, "quorum", m.Name)
		case simulate.ModifyWatchdog:
			a = append(a, "watchdog", m.Name)
		}
	}
	x.w.Open("modifications", a...)
	for _, m := range list {
		switch m.Kind {
		case simulate.ModifyNode:
			x.w.Empty("modify_node", "action", m.Action, "node", m.Name)
		case simulate.ModifyTicket:
			x.w.Empty("modify_ticket", "action", m.Action, "ticket", m.Name)
		case simulate.ModifyOperation:
			x.w.Empty("inject_spec", "spec", m.Name)
		case simulate.ModifyAttribute:
			x.injected(m.Set.Name, m.Set.Value, m.Set.NodeID)
		}
	}
	x.w.Close("modifications")
}

func (x *xmlReport) injected(name, value, node string) {
	x.w.Empty("inject_attr", "name", name, "value", value, "node_path", "/node_state", "cib_node", node)
}

func (x *xmlReport) scores(c *model.Cluster, scores, utilization bool) {
	name := "allocations_utilizations"
	switch {
	case !utilization:
		name = "allocations"
	case !scores:
		name = "utilizations"
	}
	x.w.Open(name)
	for i := range c.Scores {
		x.score(&c.Scores[i])
	}
	x.w.Close(name)
}

func (x *xmlReport) score(l *model.ScoreLine) {
	switch l.Kind {
	case model.ScoreOnNode:
		x.w.Empty("node_weight", "function", l.Function, "node", l.Node, "score", model.ScoreText(l.Score), "id", l.Resource)
	case model.ScorePromotion:
		a := []string{"id", l.Resource, "score", model.ScoreText(l.Score)}
		if l.Node != "" {
			a = append(a, "node", l.Node)
		}
		x.w.Empty("promotion_score", a...)
	case model.ScoreCapacity:
		x.amounts("capacity", l.Amounts, "node", l.Node, "comment", l.Function)
	case model.ScoreAssignment:
		x.amounts("utilization", l.Amounts, "resource", l.Resource, "node", l.Node, "function", l.Function)
	}
}

func (x *xmlReport) amounts(element string, list []model.Capacity, attributes ...string) {
	if len(list) == 0 {
		x.w.Empty(element, attributes...)
		return
	}
	x.w.Open(element, attributes...)
	for _, c := range list {
		x.w.Text(c.Name, strconv.FormatInt(c.Value, 10))
	}
	x.w.Close(element)
}

func (x *xmlReport) changes(list []policy.Change) {
	if len(list) == 0 {
		x.w.Empty("actions")
		return
	}
	x.w.Open("actions")
	for _, ch := range list {
		if ch.Resource == "" {
			node := ch.Node
			if ch.Container != "" {
				node += " (resource: " + ch.Container + ")"
			}
			x.w.Empty("node_action", "task", "Fence ("+ch.FenceOp+")", "node", node, "reason", ch.Reason)
			continue
		}
		x.w.Empty("rsc_action", changeAttributes(ch)...)
	}
	x.w.Close("actions")
}

// changeAttributes are the attributes of a change of a resource, in the cases of spec/06-simulation.md 10.3.
func changeAttributes(ch policy.Change) []string {
	a := []string{"action", strings.ToLower(ch.Verb), "resource", ch.Resource}
	from, to := ch.FromRole.String(), ch.ToRole.String()
	roleChanges := ch.FromRole != ch.ToRole
	switch {
	case ch.From == "" && ch.WithRoles:
		a = append(a, "role", from, "next-role", to, "dest", ch.To)
	case ch.From == "":
		a = append(a, "node", ch.To)
	case ch.To == "" && ch.WithRoles:
		a = append(a, "role", from, "node", ch.From)
	case ch.To == "":
		a = append(a, "node", ch.From)
	default:
		switch {
		case roleChanges:
			a = append(a, "role", from, "next-role", to)
		case ch.WithRoles:
			a = append(a, "role", from)
		}
		a = append(a, "source", ch.From)
		if ch.To != ch.From {
			a = append(a, "dest", ch.To)
		}
	}
	if ch.Reason != "" {
		a = append(a, "reason", ch.Reason)
	}
	if ch.Blocked {
		a = append(a, "blocked", "true")
	}
	return a
}

func (x *xmlReport) transition(events []simulate.Event) {
	if len(events) == 0 {
		x.w.Empty("transition")
		return
	}
	x.w.Open("transition")
	for i := range events {
		switch e := &events[i]; {
		case e.Set != nil:
			x.injected(e.Set.Name, e.Set.Value, e.Set.NodeID)
		case e.Action != nil && !e.Plain:
			x.action(e)
		}
	}
	x.w.Close("transition")
}

func (x *xmlReport) action(e *simulate.Event) {
	a := e.Action
	switch {
	case a.Kind == transition.PseudoEvent:
		if a.Node == "" {
			x.w.Empty("pseudo_action", "task", a.Key)
		} else {
			x.w.Empty("pseudo_action", "task", a.Key, "node", a.Node)
		}
	case a.Fencing():
		op, _ := a.Attr("CRM_meta_stonith_action")
		x.w.Empty("fencing_action", "target", a.Node, "op", op)
	case a.Kind == transition.ClusterOp:
		list := []string{"task", a.Task, "node", a.Node}
		if a.Resource != nil {
			list = append(list, "id", a.Resource.ID)
		}
		x.w.Empty("cluster_action", list...)
	default:
		list := []string{"resource", e.Shown, "op", a.Task, "node", a.Node}
		if interval, ok := a.Attr("CRM_meta_interval"); ok && interval != "0" && a.Task != "delete" {
			list = append(list, "interval", interval)
		}
		x.w.Empty("rsc_action", list...)
	}
}

func (x *xmlReport) timings() {
	x.w.Open("timings")
	x.timed = true
}

func (x *xmlReport) timing(file string, took time.Duration) {
	x.w.Empty("timing", "file", file, "duration", fmt.Sprintf("%.6f", took.Seconds()))
}

func (x *xmlReport) end(err error) int {
	if x.timed {
		x.w.Close("timings")
	}
	problems := x.problems
	if err != nil && err.Error() != "" {
		problems = append(problems, "crm_simulate: "+err.Error())
	}
	code := exitCode(err)
	status.EndResult(x.w, code, exitText(code), problems...)
	if _, werr := io.WriteString(x.out, x.w.String()); werr != nil && code == exitOK {
		return exitIOErr
	}
	return code
}
