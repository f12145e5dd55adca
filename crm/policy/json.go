package policy

import (
	"bytes"
	"encoding/json"

	"github.com/quorate/quorate/crm/transition"
)

// graphJSON is a decision for programs.
type graphJSON struct {
	Changes []string     `json:"changes"` // the transition summary
	Actions []actionJSON `json:"actions"` // in the order of the graph
}

type actionJSON struct {
	ID         int    `json:"id"`
	Kind       string `json:"kind"` // operation, pseudo, cluster, fencing
	Task       string `json:"task"`
	Key        string `json:"key"`
	Node       string `json:"node,omitempty"`
	Router     string `json:"router,omitempty"` // cluster node that carries it out for a remote or guest node
	Resource   string `json:"resource,omitempty"`
	IntervalMS string `json:"interval_ms,omitempty"`
	TimeoutMS  string `json:"timeout_ms,omitempty"`
	Reason     string `json:"reason,omitempty"`
	After      []int  `json:"after"` // ids of the actions that must be confirmed first; -1 = one that is not in the graph
}

// JSON returns the decision's changes and its transition for programs. Parameters of resources, which may be
// secret, are left out.
func (d *Decision) JSON() []byte {
	g := graphJSON{Changes: []string{}, Actions: []actionJSON{}}
	for _, ch := range d.Summary() {
		g.Changes = append(g.Changes, ch.String())
	}
	reasons := make(map[int]string)
	for _, a := range d.Cluster.Actions {
		if a.InGraph && a.Reason != "" {
			reasons[a.Number] = a.Reason
		}
	}
	for i := range d.Graph.Synapses {
		s := &d.Graph.Synapses[i]
		a := &s.Action
		j := actionJSON{ID: a.Number, Kind: "operation", Task: a.Task, Key: a.Key, Node: a.Node, Router: a.Router, Reason: reasons[a.Number], After: []int{}}
		switch {
		case a.Fencing():
			j.Kind = "fencing"
		case a.Kind == transition.PseudoEvent:
			j.Kind = "pseudo"
		case a.Kind == transition.ClusterOp:
			j.Kind = "cluster"
		}
		if a.Resource != nil {
			j.Resource = a.Resource.ID
		}
		if v, _ := a.Attr("CRM_meta_interval"); v != "0" {
			j.IntervalMS = v
		}
		j.TimeoutMS, _ = a.Attr("CRM_meta_timeout")
		for _, in := range s.Inputs {
			if in.Synapse < 0 {
				j.After = append(j.After, -1)
			} else {
				j.After = append(j.After, d.Graph.Synapses[in.Synapse].Action.Number)
			}
		}
		g.Actions = append(g.Actions, j)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(g); err != nil {
		panic(err) // strings and numbers only
	}
	return b.Bytes()
}
