package node

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/fencing"
)

// fenceDevice is a fence device of the document that is not disabled.
type fenceDevice struct {
	id       string
	agent    agents.Ref
	params   map[string]string
	provides bool     // its meta-attribute provides says that it unfences
	banned   []string // nodes that a location constraint forbids it
}

// fenceDevices lists the devices in the order of the configuration.
func fenceDevices(doc *cib.Document, now time.Time) (list []fenceDevice) {
	in := rule.Input{Now: now}
	var walk func(r *cib.Resource, above [][]cib.AttributeSet)
	walk = func(r *cib.Resource, above [][]cib.AttributeSet) {
		for _, m := range r.Members {
			walk(m, slices.Concat([][]cib.AttributeSet{r.Meta}, above))
		}
		class, kind, params, meta := r.Class, r.Type, r.Params, r.Meta
		if r.Template != "" {
			at := slices.IndexFunc(doc.Config.Resources, func(t *cib.Resource) bool { return t.Kind == cib.Template && t.ID == r.Template })
			if at < 0 {
				return
			}
			t := doc.Config.Resources[at]
			class, kind, params, meta = t.Class, t.Type, slices.Concat(t.Params, params), slices.Concat(t.Meta, meta)
		}
		if r.Kind != cib.Primitive || !strings.EqualFold(class, agents.ClassFence) {
			return
		}
		d := fenceDevice{id: r.ID, agent: agents.Ref{Class: agents.ClassFence, Type: kind}, params: map[string]string{}}
		values.Pairs(params, in, d.params)
		metas := map[string]string{}
		for _, sets := range slices.Concat([][]cib.AttributeSet{meta}, above, [][]cib.AttributeSet{doc.Config.ResourceDefaults}) {
			values.Pairs(sets, in, metas)
		}
		if strings.EqualFold(metas["target-role"], "Stopped") {
			return
		}
		d.provides = strings.EqualFold(metas["provides"], "unfencing")
		for i := range doc.Config.Constraints {
			if c := &doc.Config.Constraints[i]; c.Kind == cib.Location && c.Resource == r.ID && c.Node != "" && c.Score == "-INFINITY" {
				d.banned = append(d.banned, c.Node)
			}
		}
		list = append(list, d)
	}
	for _, r := range doc.Config.Resources {
		walk(r, nil)
	}
	return list
}

// fenceTopology reads the fencing topology; levels without a number are left out.
func fenceTopology(doc *cib.Document) (out fencing.Topology) {
	for i := range doc.Config.FencingTopology {
		l := &doc.Config.FencingTopology[i]
		index, err := strconv.Atoi(l.Index)
		if err != nil {
			continue
		}
		out = append(out, fencing.Level{Target: l.Target, Pattern: l.TargetPattern, Attribute: l.TargetAttribute, Value: l.TargetValue,
			Index: index, Devices: l.Devices})
	}
	return out
}

// nodeAttribute gives the configured attributes of a node, which a topology may go by.
func nodeAttribute(doc *cib.Document, now time.Time) func(node, name string) (string, bool) {
	return func(node, name string) (string, bool) {
		for i := range doc.Config.Nodes {
			if n := &doc.Config.Nodes[i]; strings.EqualFold(n.Name, node) {
				pairs := map[string]string{}
				values.Pairs(n.Attributes, rule.Input{Now: now}, pairs)
				v, ok := pairs[name]
				return v, ok
			}
		}
		return "", false
	}
}

// deviceActive reports whether a device runs on the node of st: its last start there has succeeded.
func deviceActive(st *cib.NodeState, id string) bool {
	for i := range st.History {
		if st.History[i].ID != id {
			continue
		}
		for _, op := range st.History[i].Operations {
			if op.Operation == "start" && op.RC == 0 && op.Status == 0 {
				return true
			}
		}
	}
	return false
}
