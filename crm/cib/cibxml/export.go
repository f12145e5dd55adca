package cibxml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Release is a release of Pacemaker to export to.
type Release string

// Releases.
const (
	Release2 Release = "2.1" // schema 3.9 at most; options under the names before fencing-enabled
	Release3 Release = "3"   // schema 3.10; options under their present names
)

// oldNames are the cluster properties that Pacemaker 2.1 knows under an older name only.
var oldNames = map[string]string{
	"fencing-enabled":          "stonith-enabled",
	"fencing-action":           "stonith-action",
	"fencing-timeout":          "stonith-timeout",
	"fencing-watchdog-timeout": "stonith-watchdog-timeout",
	"fencing-max-attempts":     "stonith-max-attempts",
	"fencing-reaction":         "fence-reaction",
	"stop-removed-resources":   "stop-orphan-resources",
	"cancel-removed-actions":   "stop-orphan-actions",
}

// Export returns doc as the named release of Pacemaker takes it, and what was translated or left out; write it
// with Options.Plain. Options get the names that the release knows; what its schema demands and the model can
// do without (ids of nodes and sets, intervals) is filled in; settings of links and timings, witnesses,
// comments and unknown elements are left out. References to secrets stay as they are, with a warning, since
// Pacemaker does not resolve them. An unknown release is an error. doc is not changed.
func Export(doc *cib.Document, release Release) (*cib.Document, []cib.Problem, error) {
	var newest cib.Schema
	switch release {
	case Release2:
		newest = cib.Schema{Major: 3, Minor: 9}
	case Release3:
		newest = cib.Newest
	default:
		return nil, nil, fmt.Errorf("export for %q: unknown release; expected %s or %s", release, Release2, Release3)
	}
	out := doc.Clone()
	x := exporter{c: &out.Config, taken: make(map[string]bool)}
	if schema, ok := cib.ParseSchema(out.Head.ValidateWith); !ok || newest.Before(schema) {
		if out.Head.ValidateWith != "" {
			x.note(cib.Pos{}, "cib", "validate-with %s becomes %s", out.Head.ValidateWith, newest)
		}
		out.Head.ValidateWith = newest.String()
	}
	cib.EachID(x.c, func(id, _ string, _ cib.Pos) { x.taken[id] = true })
	x.properties(release)
	x.nodes()
	x.resources()
	x.constraints()
	x.ids("op_defaults-meta_attributes", x.c.OpDefaults)
	x.ids("rsc_defaults-meta_attributes", x.c.ResourceDefaults)
	for _, u := range x.c.Extra {
		x.note(u.Pos, u.Parent, "an unknown element is left out")
	}
	x.c.Extra, out.Status.Extra = nil, nil
	if x.c.Cluster.Links != nil || x.c.Cluster.Timing != (cib.TimingSettings{}) || x.c.Cluster.Ports != (cib.PortSettings{}) {
		x.note(cib.Pos{}, "cluster", "links, timings and ports are left out; they belong into corosync.conf")
	}
	x.c.Cluster = cib.ClusterSettings{}
	return out, x.problems, nil
}

type exporter struct {
	c        *cib.Configuration
	taken    map[string]bool
	problems []cib.Problem
}

func (x *exporter) note(pos cib.Pos, where, format string, args ...any) {
	if len(x.problems) < maxProblems {
		x.problems = append(x.problems, cib.Problem{Pos: pos, Where: where, Text: fmt.Sprintf(format, args...)})
	}
}

// fresh returns an id that is not taken.
func (x *exporter) fresh(parts ...string) string {
	want := strings.Join(parts, "-")
	id := want
	for n := 1; x.taken[id]; n++ {
		id = want + "-" + strconv.Itoa(n)
	}
	x.taken[id] = true
	return id
}

// ids fills in missing ids of sets and their pairs.
func (x *exporter) ids(prefix string, list []cib.AttributeSet) {
	for i := range list {
		s := &list[i]
		if s.ID == "" && s.IDRef == "" {
			s.ID = x.fresh(prefix)
		}
		for j := range s.Pairs {
			if p := &s.Pairs[j]; p.ID == "" && p.IDRef == "" {
				p.ID = x.fresh(s.ID, p.Name)
			}
		}
	}
}

func (x *exporter) properties(release Release) {
	x.ids(cib.BootstrapSet, x.c.Properties)
	if release != Release2 {
		return
	}
	for i := range x.c.Properties {
		s := &x.c.Properties[i]
		s.Pairs = slices.DeleteFunc(s.Pairs, func(p cib.NVPair) bool {
			// Where both names are given the present one counts, and takes the place of the older.
			for present, old := range oldNames {
				if p.Name == old && slices.ContainsFunc(s.Pairs, func(q cib.NVPair) bool { return q.Name == present }) {
					return true
				}
			}
			return false
		})
		for j := range s.Pairs {
			p := &s.Pairs[j]
			if old := oldNames[p.Name]; old != "" {
				x.note(p.Pos, "cluster properties", "%s is written as %s", p.Name, old)
				p.Name = old
			}
		}
	}
}

func (x *exporter) nodes() {
	ids := make(map[string]bool)
	for i := range x.c.Nodes {
		ids[x.c.Nodes[i].ID] = true
	}
	x.c.Nodes = slices.DeleteFunc(x.c.Nodes, func(n cib.Node) bool {
		if n.Witness {
			x.note(n.Pos, "node "+n.Name, "a witness is no node of Pacemaker and is left out")
		}
		return n.Witness
	})
	for i := range x.c.Nodes {
		n := &x.c.Nodes[i]
		if n.ID == "" {
			n.ID = n.Name
			for k := 1; ids[n.ID]; k++ {
				n.ID = n.Name + "-" + strconv.Itoa(k)
			}
			ids[n.ID] = true
		}
		x.ids("nodes-"+n.ID, n.Attributes)
		x.ids("nodes-"+n.ID+"-utilization", n.Utilization)
		n.Links, n.Voter, n.Comments = nil, "", nil
	}
}

func (x *exporter) resources() {
	cib.EachResource(x.c, func(r, _ *cib.Resource) {
		r.Comments = nil
		x.ids(r.ID+"-instance_attributes", r.Params)
		x.ids(r.ID+"-meta_attributes", r.Meta)
		x.ids(r.ID+"-utilization", r.Utilization)
		for _, s := range r.Params {
			for _, p := range s.Pairs {
				if cib.IsReference(p.Value) {
					x.note(p.Pos, "resource "+r.ID, "the value of %s is a reference to a secret, which Pacemaker does not resolve; put the value in by hand", p.Name)
				}
			}
		}
		for i := range r.Operations.List {
			op := &r.Operations.List[i]
			if op.IDRef == "" {
				if op.Interval == "" {
					op.Interval = "0"
				}
				if op.ID == "" {
					op.ID = x.fresh(r.ID, op.Name, op.Interval)
				}
			}
			x.ids(op.ID+"-instance_attributes", op.Params)
			x.ids(op.ID+"-meta_attributes", op.Meta)
		}
		for _, u := range r.Unknown {
			x.note(u.Pos, "resource "+r.ID, "an unknown element is left out")
		}
		r.Unknown = nil
	})
}

func (x *exporter) constraints() {
	for i := range x.c.Constraints {
		c := &x.c.Constraints[i]
		c.Comments = nil
		for j := range c.Sets {
			if s := &c.Sets[j]; s.ID == "" && s.IDRef == "" {
				s.ID = x.fresh(c.ID, "set")
			}
		}
	}
}
