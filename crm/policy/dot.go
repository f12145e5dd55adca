package policy

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/crm/policy/model"
)

// DotOptions select what the dot form of a decision shows.
type DotOptions struct {
	All     bool // optional actions and unused relations too
	Numbers bool // action numbers in the names
}

// Dot returns the decision's actions and their orderings as a graph in Graphviz's language, in the form
// of Pacemaker's tools (spec/05-ordering.md section 10).
func (d *Decision) Dot(o DotOptions) []byte {
	var b strings.Builder
	b.WriteString(" digraph \"g\" {\n")
	d.Cluster.Expand()
	actions := d.Cluster.Actions
	shown := make([]bool, d.Cluster.ActionCount()+1)
	for i := len(actions) - 1; i >= 0; i-- {
		a := actions[i]
		style, color, font := "dashed", "red", "black"
		if a.Pseudo {
			font = "orange"
		}
		switch {
		case a.InGraph:
			style, color = "bold", "green"
		case a.Resource != nil && !a.Resource.Managed:
			font = "purple"
			if !o.All {
				continue
			}
		case a.Optional:
			color = "blue"
			if !o.All {
				continue
			}
		}
		shown[a.Number] = true
		fmt.Fprintf(&b, "%q [ style=%s color=%q fontcolor=%q]\n", dotName(a, o), style, color, font)
	}
	for i := len(actions) - 1; i >= 0; i-- {
		a := actions[i]
		for _, rel := range a.Before {
			if rel.Void {
				continue
			}
			style := "dashed"
			if rel.Used {
				style = "bold"
			} else if !o.All && (!shown[rel.First.Number] || !shown[a.Number] || rel.Effects == model.IfSameNodeOrTarget) {
				continue
			}
			fmt.Fprintf(&b, "%q -> %q [ style = %s]\n", dotName(rel.First, o), dotName(a, o), style)
		}
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

func dotName(a *model.Action, o DotOptions) string {
	name := dotBase(a)
	if a.Task == "cancel" {
		name = "Cancel " + name
	}
	if o.Numbers {
		name += fmt.Sprintf(" (%d)", a.Number)
	}
	return name
}

func dotBase(a *model.Action) string {
	node := ""
	if a.Node != nil {
		node = a.Node.Name
	}
	switch {
	case a.Task == "stonith":
		op := a.Meta["stonith_action"]
		return fmt.Sprintf("stonith '%s' %s", op, node)
	case a.Resource != nil && a.Resource.HistoryID != "":
		task := a.Task
		if a.Task == "cancel" {
			task = a.Cancelled()
		}
		key := fmt.Sprintf("%s_%s_%d", a.Resource.HistoryID, task, a.Interval)
		if kind := a.Meta["notify_key_type"]; kind != "" && (a.Task == "notify" || a.Task == "notified") {
			key = fmt.Sprintf("%s_%s_notify_%s_0", a.Resource.HistoryID, kind, a.Meta["notify_key_operation"])
		}
		if node != "" {
			return key + " " + node
		}
		if !a.Pseudo {
			return key + " <none>"
		}
		return key
	case a.Resource != nil && node != "":
		return a.Key + " " + node
	case a.Resource == nil && node != "":
		return a.Task + " " + node
	case !a.Pseudo && node == "":
		return a.Key + " <none>"
	}
	return a.Key
}
