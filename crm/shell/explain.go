package shell

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// originNames say where a score comes from.
var originNames = map[model.OriginKind]string{
	model.OriginBase: "node", model.OriginLocation: "location", model.OriginStickiness: "stickiness", model.OriginFailures: "failures",
	model.OriginColocation: "colocation", model.OriginDependent: "wish of a dependent", model.OriginFailedOperation: "failed operation",
	model.OriginHealth: "node health", model.OriginTicket: "ticket", model.OriginDiscovery: "resource discovery",
	model.OriginShutdownLock: "shutdown lock", model.OriginTargetRole: "target-role", model.OriginPromotion: "promotion",
	model.OriginUnmanaged: "unmanaged", model.OriginInstance: "instance limit", model.OriginContainer: "container",
	model.OriginMultiActive: "active more than once", model.OriginRemoved: "removed", model.OriginUtilization: "utilization",
	model.OriginRole: "promoted role",
}

func scoreNumber(n int32) string {
	switch {
	case n >= model.Infinity:
		return "INFINITY"
	case n <= model.MinInfinity:
		return "-INFINITY"
	}
	return fmt.Sprintf("%+d", n)
}

func (s *Shell) cmdExplain(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	snap, err := s.connect().Load(c.ctx)
	if err != nil {
		return err
	}
	if _, err := mustFind(snap.doc, c.args[0]); err != nil {
		return err
	}
	d, err := decideTraced(snap, snap.doc, model.Trace{Reasons: true})
	if err != nil {
		return err
	}
	for _, r := range d.Cluster.All {
		within := false
		for x := r; x != nil; x = x.Parent {
			within = within || x.ID == c.args[0] || x.ConfigID == c.args[0]
		}
		if !within || r.Kind != cib.Primitive && len(r.Origins) == 0 {
			continue
		}
		s.printf("%s %s:", r.Kind, r.ID)
		if r.Kind == cib.Primitive {
			var now []string
			for _, n := range r.Active {
				now = append(now, n.Name)
			}
			s.printf(" now %s", orNone(strings.Join(now, ", ")))
			if r.Assigned != nil {
				s.printf(", wanted on %s as %s", r.Assigned.Name, r.Next)
			} else if r.AssignedDone {
				s.printf(", wanted nowhere")
			}
			if !r.Managed {
				s.printf(" (unmanaged: it stays as it is)")
			}
		}
		s.printf("\n")
		for _, n := range d.Cluster.Nodes {
			if n.Index >= len(r.Origins) || len(r.Origins[n.Index]) == 0 {
				continue
			}
			total := int32(0)
			var parts []string
			for _, o := range r.Origins[n.Index] {
				text := scoreNumber(o.Number) + " " + originNames[o.Kind]
				if o.ID != "" {
					text += " " + o.ID
				}
				if o.Text != "" {
					text += " (" + o.Text + ")"
				}
				parts = append(parts, text)
				if o.Kind != model.OriginRole {
					total = model.AddScore(total, o.Number)
				}
			}
			s.printf("  %-12s %10s  = %s\n", n.Name, strings.TrimPrefix(scoreNumber(total), "+"), strings.Join(parts, "; "))
		}
	}
	for _, a := range d.Cluster.Actions {
		if a.Resource == nil || a.Optional || a.Reason == "" {
			continue
		}
		for x := a.Resource; x != nil; x = x.Parent {
			if x.ID == c.args[0] || x.ConfigID == c.args[0] {
				s.printf("%s of %s: %s\n", a.Task, a.Resource.ID, a.Reason)
				break
			}
		}
	}
	return nil
}
