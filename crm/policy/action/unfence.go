package action

import "github.com/quorate/quorate/crm/policy/model"

// Unfence makes the unfencing of node required, with the reason, where unfencing is in use and the node is
// online, clean and not shutting down (spec/04-actions.md 13.4). Without a node, every node that r may use
// is unfenced. r is the fence device that changed; unfencing because of other resources is not triggered
// here, so nil stands for "no particular device". dependency, if not nil, comes after the unfencing.
func Unfence(c *model.Cluster, r *model.Resource, node *model.Node, reason string, dependency *model.Action) {
	if !c.UnfencingInUse || (r != nil && !r.FenceDevice) {
		return
	}
	if node == nil {
		if r == nil {
			return
		}
		for _, n := range c.Nodes {
			if r.Allowed.At(n).Present && n.Online && !n.Unclean && !n.Shutdown {
				Unfence(c, r, n, reason, dependency)
			}
		}
		return
	}
	if !node.Online || node.Unclean || node.Shutdown {
		return
	}
	a := FenceAction(c, node, "on", false, reason)
	if dependency != nil {
		Relate(c, a, dependency, model.Seq)
	}
}

// AfterUnfencing orders a after the unfencing of node if r requires unfencing or is a fence device; the
// unfencing becomes required if the node was never unfenced (spec/04-actions.md 13.4).
func AfterUnfencing(c *model.Cluster, r *model.Resource, node *model.Node, a *model.Action, effects model.Effects) {
	if !c.UnfencingInUse || !(r.FenceDevice || r.Unfencing) {
		return
	}
	u := FenceAction(c, node, "on", true, "")
	Relate(c, u, a, effects)
	if !unfenced(node) {
		Unfence(c, nil, node, "required by "+r.ID+" "+a.Task, nil)
	}
}

// BeforeUnfencing orders the stop of r, which requires unfencing, before the unfencing of node.
func BeforeUnfencing(c *model.Cluster, r *model.Resource, node *model.Node, stop *model.Action) {
	if c.UnfencingInUse && r.Unfencing {
		Relate(c, stop, FenceAction(c, node, "on", true, ""), model.PullFirst)
	}
}

func unfenced(node *model.Node) bool {
	v, set := node.Attributes["#node-unfenced"]
	return set && v != "0" && v != ""
}
