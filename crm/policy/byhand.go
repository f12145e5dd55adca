package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/schedule"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/transition"
)

// HandOperations are the operations that may be run by hand. The others mean something only among the actions of a
// transition (migrate_to, migrate_from, notify), or need no resource (meta-data).
var HandOperations = []string{"start", "stop", "monitor", "promote", "demote", "reload", "reload-agent", "validate-all"}

// HandRequest asks for one operation of a resource on a node, outside of any transition.
type HandRequest struct {
	Resource  string // id of a primitive, or of one instance of it ("web:0")
	Operation string // one of HandOperations
	Node      string // a member of the cluster
	// Edited is a configuration that is not committed; the resource is run as it says. nil = that of the document.
	Edited *cib.Configuration
}

// HandError says why an operation is not run by hand, and what can be done. Passing says that it may be allowed in a moment,
// when a probe that is to come has told more.
type HandError struct {
	Message, Hint string
	Passing       bool
}

// Error implements error.
func (e *HandError) Error() string { return e.Message }

func handError(hint, format string, args ...any) error {
	return &HandError{Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Hand returns the operation that the request means, with everything that its executor needs, as a transition would have it.
// A *HandError says why it must not be run:
//
//   - the cluster would interfere: the resource is neither unmanaged nor in maintenance (one that only an edited configuration
//     has is nobody's);
//   - the cluster would not look at what was done, since it does not probe the resource there;
//   - it would be a second start of what may run once: it is active on another node, or what another node runs is not known.
//     Absence of news is no good news: a node that is not fenced yet, or not probed yet, counts;
//   - it has no sense: to promote what is not active there.
//
// The document must show the operations under way (command.PolicyDocument).
func Hand(in Input, req HandRequest) (*transition.Action, error) {
	live, err := Read(in)
	if err != nil {
		return nil, err
	}
	assign.Prepare(live)
	c := live
	if req.Edited != nil {
		doc := *in.Document
		doc.Config = *req.Edited
		in.Document = &doc
		if c, err = State(in); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(HandOperations, req.Operation) {
		return nil, handError("", "%q cannot be run by hand: %s can", req.Operation, strings.Join(HandOperations, ", "))
	}
	node := live.NodeByName(req.Node)
	if err := handNode(node, req.Node); err != nil {
		return nil, err
	}
	own := instances(live, req.Resource)
	if err := leftAlone(own); err != nil {
		return nil, err
	}
	r := choose(instances(c, req.Resource), node.Name)
	if r == nil {
		return nil, noInstance(c, req.Resource)
	}
	present := r // as the cluster knows it
	if req.Edited != nil {
		present = choose(own, node.Name)
	}
	if err := handOperation(live, r, present, node, req.Operation); err != nil {
		return nil, err
	}
	at := c.NodeByName(node.Name)
	if at == nil {
		return nil, handError("", "the edited configuration has no node %s", node.Name)
	}
	return schedule.Describe(c, action.Recurring(c, r, req.Operation, 0, at, false)), nil
}

// LeftAlone returns a *HandError if the cluster manages a resource, so that nothing must be done to it by hand.
func LeftAlone(in Input, resource string) error {
	c, err := State(in)
	if err != nil {
		return err
	}
	return leftAlone(instances(c, resource))
}

func leftAlone(list []*model.Resource) error {
	for _, r := range list {
		if !held(r) {
			return handError(fmt.Sprintf("\"crm resource maintenance %s on\" or \"crm maintenance on\" first", r.ConfigID),
				"%s is managed by the cluster, which would not know what is done to it by hand", r.ConfigID)
		}
	}
	return nil
}

// handNode refuses nodes on which nothing can be run, or where the cluster would not look at what was done.
func handNode(n *model.Node, name string) error {
	switch {
	case n == nil:
		return handError("\"crm node show\" lists them", "no node is called %q", name)
	case n.IsRemoteKind():
		return handError("run it from a member of the cluster", "%s is no member of the cluster but a remote node", n.Name)
	case !n.Online || n.Unclean || n.Pending:
		return handError("look at \"crm status\"", "%s is not online", n.Name)
	case n.ProbesDisabled:
		return handError("", "%s is a witness: it runs no resources", n.Name)
	}
	return nil
}

// held reports whether the configuration says that the cluster leaves the resource alone. One that is blocked by a failure is
// managed again as soon as that is forgotten.
func held(r *model.Resource) bool {
	managed, set := r.Meta["is-managed"]
	return r.Maintenance || set && !values.True(managed) && !strings.EqualFold(managed, "default")
}

// instances returns the primitives that an id means: one, or the instances of one in a clone.
func instances(c *model.Cluster, id string) (list []*model.Resource) {
	for _, r := range c.All {
		if r.Kind == cib.Primitive && !r.Removed && (r.ID == id || r.ConfigID == id) {
			list = append(list, r)
		}
	}
	return list
}

// choose returns the instance that is active on the node, else one that is active nowhere, else the first; nil = there is none.
func choose(list []*model.Resource, node string) *model.Resource {
	for _, r := range list {
		if activeOn(r, node) {
			return r
		}
	}
	for _, r := range list {
		if len(r.Active) == 0 {
			return r
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}

func activeOn(r *model.Resource, node string) bool {
	return slices.ContainsFunc(r.Active, func(n *model.Node) bool { return n.Name == node })
}

func noInstance(c *model.Cluster, id string) error {
	var members []string
	for _, r := range c.All {
		for p := r.Parent; p != nil && r.Kind == cib.Primitive; p = p.Parent {
			if (p.ID == id || p.ConfigID == id) && !slices.Contains(members, r.ConfigID) {
				members = append(members, r.ConfigID)
			}
		}
	}
	if len(members) > 0 {
		return handError("", "%s has no agent of its own: name a primitive in it (%s)", id, strings.Join(members, ", "))
	}
	return handError("\"crm resource list\" shows them", "there is no resource %q", id)
}

// handOperation refuses operations that would do harm or have no sense. present is the resource as the cluster knows it, nil =
// it does not.
func handOperation(c *model.Cluster, r, present *model.Resource, node *model.Node, op string) error {
	clone := cloneOf(r)
	switch {
	case r.Replica != nil || r.Connection || r.IsGuestConnection || r.Launcher != nil || r.RemoteNode != nil:
		return handError("", "%s is part of a bundle or of a remote node, which are started and stopped as a whole", r.ID)
	case r.FenceDevice && op != "monitor" && op != "validate-all":
		return handError(fmt.Sprintf("\"crm node fence NODE\" uses the devices; monitor asks %s whether it answers", r.ID),
			"%s is a fence device: there is nothing to %s", r.ID, op)
	case op == "promote" || op == "demote":
		if clone == nil || !clone.Clone.Promotable {
			return handError("", "%s is not promotable", r.ID)
		}
	}
	if present == nil {
		return nil
	}
	if changes := op != "monitor" && op != "validate-all" && op != "stop"; changes && (!c.Options.StartupProbes || !schedule.Discovered(present, node)) {
		return handError("look at the property enable-startup-probes and at resource-discovery of the location constraints",
			"the cluster does not look for %s on %s, so it would not know what was done to it by hand", present.ID, node.Name)
	}
	switch op {
	case "start":
		return second(c, present, node)
	case "promote", "demote", "reload", "reload-agent":
		if !activeOn(present, node.Name) && !known(present, node) {
			return unprobed(present, node)
		}
		if !activeOn(present, node.Name) {
			return handError("", "%s is not active on %s", present.ID, node.Name)
		}
	}
	if op == "promote" && clone != nil {
		var promoted []string
		for _, x := range instances(c, present.ConfigID) {
			if x != present && x.Role == model.RolePromoted {
				promoted = append(promoted, x.Active[0].Name)
			}
		}
		if len(promoted) >= clone.Clone.PromotedMax {
			return handError("", "%s is promoted on %s already, and promoted-max is %d", present.ConfigID, strings.Join(promoted, ", "), clone.Clone.PromotedMax)
		}
	}
	return nil
}

// second refuses the start of what may be active on another node. Instances of an anonymous clone are on any number of nodes.
func second(c *model.Cluster, r *model.Resource, node *model.Node) error {
	if p := cloneOf(r); p != nil && !p.Clone.Unique {
		return nil
	}
	for _, n := range r.Active {
		if n.Name != node.Name {
			return handError(fmt.Sprintf("\"crm maintenance action %s stop %s\" first", r.ConfigID, n.Name), "%s is active on %s: it must not be started a second time", r.ID, n.Name)
		}
	}
	for _, n := range c.Nodes {
		switch {
		case n.Name == node.Name:
		case n.Unclean:
			return handError("look at \"crm status\"", "what runs on %s is not known until it is fenced, and %s may be active there", n.Name, r.ID)
		case n.Online && !n.ProbesDisabled && !n.IsRemoteKind() && !known(r, n) && schedule.Discovered(r, n):
			return unprobed(r, n)
		}
	}
	return nil
}

// known reports whether it is known of a resource what it does on a node.
func known(r *model.Resource, n *model.Node) bool { return n.Index < len(r.Known) && r.Known[n.Index] }

func unprobed(r *model.Resource, n *model.Node) error {
	return &HandError{Message: fmt.Sprintf("it is not known yet whether %s is active on %s", r.ID, n.Name), Hint: "\"crm status\" shows what the cluster still looks for", Passing: true}
}

// cloneOf returns the clone that a resource is an instance in; nil = none.
func cloneOf(r *model.Resource) *model.Resource {
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Clone != nil {
			return p
		}
	}
	return nil
}
