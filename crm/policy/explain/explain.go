// Package explain says in plain words why resources are where a decision put them, from what the assignment
// recorded (model.Origin), and applies what-if changes to a document.
//
// The decision must have been made with model.Trace.Reasons. The package is pure; a result belongs to its
// caller, and nothing that is passed in is changed.
package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// Contribution is one number that went into a score, with where it comes from.
type Contribution struct {
	Kind  string `json:"kind"`           // such as "location" or "stickiness"
	ID    string `json:"id,omitempty"`   // constraint, resource, attribute or operation
	Text  string `json:"text,omitempty"` // further words
	Score int32  `json:"score"`          // from -1000000 to 1000000, the infinities
	Role  bool   `json:"role,omitempty"` // speaks about the promoted role, not about the place
}

// NodeScore is what speaks for and against a resource on one node.
type NodeScore struct {
	Node          string         `json:"node"`
	Score         int32          `json:"score"` // in the assignment's table
	Sum           int32          `json:"sum"`   // of the contributions that are about the place
	Allowed       bool           `json:"allowed"`
	State         string         `json:"state,omitempty"` // why the node cannot run resources; "" = it can
	Contributions []Contribution `json:"contributions"`
}

// Instance explains one primitive: a resource, a member of a group, or an instance of a clone.
type Instance struct {
	Resource string      `json:"resource"`
	Active   []string    `json:"active"`         // nodes where it is believed active now
	Wanted   string      `json:"wanted"`         // node that was chosen; "" = none
	Role     string      `json:"role,omitempty"` // role that was chosen
	Managed  bool        `json:"managed"`
	Why      []string    `json:"why"`    // sentences
	Scores   []NodeScore `json:"scores"` // in node list order; nodes outside the resource's table are not there
	Actions  []string    `json:"actions,omitempty"`
}

var kindNames = [...]string{
	model.OriginBase: "node score", model.OriginLocation: "location", model.OriginStickiness: "stickiness",
	model.OriginFailures: "failures", model.OriginColocation: "colocation", model.OriginDependent: "wish of a dependent",
	model.OriginFailedOperation: "failed operation", model.OriginHealth: "node health", model.OriginTicket: "ticket",
	model.OriginDiscovery: "resource discovery", model.OriginShutdownLock: "shutdown lock", model.OriginTargetRole: "target-role",
	model.OriginPromotion: "promotion", model.OriginUnmanaged: "unmanaged", model.OriginInstance: "instance limit",
	model.OriginContainer: "container", model.OriginMultiActive: "active more than once", model.OriginRemoved: "removed",
	model.OriginUtilization: "utilization", model.OriginRole: "promoted role",
}

func kindName(k model.OriginKind) string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "other"
}

// Number writes a score with its sign, infinities as INFINITY.
func Number(s int32) string {
	switch {
	case s >= model.Infinity:
		return "INFINITY"
	case s <= model.MinInfinity:
		return "-INFINITY"
	case s > 0:
		return "+" + strconv.Itoa(int(s))
	}
	return strconv.Itoa(int(s))
}

// Words writes the contribution as "+100 location loc-web (further words)".
func (c Contribution) Words() string {
	text := Number(c.Score) + " " + c.Kind
	if c.ID != "" {
		text += " " + c.ID
	}
	if c.Text != "" && c.Text != c.ID {
		text += " (" + c.Text + ")"
	}
	return text
}

// Scores lists what was recorded about r, one entry for each node in its table.
func Scores(c *model.Cluster, r *model.Resource) []NodeScore {
	var list []NodeScore
	for _, n := range c.Nodes {
		e := r.Allowed.At(n)
		if !e.Present || e.Hidden {
			continue
		}
		s := NodeScore{Node: n.Name, Score: e.Score, Allowed: e.Score >= 0 && n.Available(), State: nodeState(n), Contributions: []Contribution{}}
		if n.Index < len(r.Origins) {
			for _, o := range r.Origins[n.Index] {
				role := o.Kind == model.OriginRole
				s.Contributions = append(s.Contributions, Contribution{Kind: kindName(o.Kind), ID: o.ID, Text: o.Text, Score: o.Number, Role: role})
				if !role {
					s.Sum = model.AddScore(s.Sum, o.Number)
				}
			}
		}
		list = append(list, s)
	}
	return list
}

// nodeState says why n cannot run resources; "" = it can.
func nodeState(n *model.Node) string {
	switch {
	case n.Available():
		return ""
	case n.Unclean:
		return "unclean: it must be fenced first"
	case !n.Online:
		return "offline"
	case n.Pending:
		return "still joining the cluster"
	case n.Shutdown:
		return "shutting down"
	case n.Config != nil && n.Config.Witness:
		return "a witness, which votes and runs nothing"
	case n.Standby || n.StandbyOnFail:
		return "in standby"
	case n.Maintenance:
		return "in maintenance mode"
	}
	return "not available"
}

// Explain explains every primitive that is, or lies within, the resource with the given id (with or without
// instance number). With node, the sentences say why it is there or why not; "" asks why it is where it is.
// It fails when there is no such resource or node, or the resource has no instance.
func Explain(c *model.Cluster, resource, node string) ([]Instance, error) {
	var asked *model.Node
	if node != "" {
		if asked = c.NodeByName(node); asked == nil {
			return nil, fmt.Errorf("node not found: %s", node)
		}
	}
	var list []Instance
	for _, r := range c.All {
		if r.Kind == cib.Primitive && within(r, resource) {
			list = append(list, instance(c, r, asked))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no resource %s in this decision", resource)
	}
	return list, nil
}

func within(r *model.Resource, id string) bool {
	for ; r != nil; r = r.Parent {
		if r.ID == id || r.ConfigID == id {
			return true
		}
	}
	return false
}

func instance(c *model.Cluster, r *model.Resource, asked *model.Node) Instance {
	in := Instance{Resource: r.ID, Active: []string{}, Managed: r.Managed, Scores: Scores(c, r)}
	for _, n := range r.Active {
		in.Active = append(in.Active, n.Name)
	}
	if r.Assigned != nil {
		in.Wanted = r.Assigned.Name
	}
	if r.Next != model.RoleUnknown {
		in.Role = r.Next.String()
	}
	in.Why = in.why(c, r, asked)
	for _, a := range r.Actions {
		if a.InGraph && !a.Pseudo {
			text := a.Task
			if a.Node != nil {
				text += " on " + a.Node.Name
			}
			if a.Reason != "" {
				text += ": " + a.Reason
			}
			in.Actions = append(in.Actions, text)
		}
	}
	return in
}

func (in *Instance) at(node string) *NodeScore {
	i := slices.IndexFunc(in.Scores, func(s NodeScore) bool { return s.Node == node })
	if i < 0 {
		return nil
	}
	return &in.Scores[i]
}

func (in *Instance) why(c *model.Cluster, r *model.Resource, asked *model.Node) []string {
	if asked != nil && (r.Assigned == nil || asked != r.Assigned) {
		return in.whyNot(c, r, asked)
	}
	if r.Assigned == nil {
		return in.nowhere(c, r)
	}
	if !r.Managed {
		return []string{fmt.Sprintf("%s stays on %s: it is not managed, so the cluster leaves it where it is.", r.ID, in.Wanted)}
	}
	own := in.at(in.Wanted)
	if own == nil {
		return []string{fmt.Sprintf("%s is wanted on %s.", r.ID, in.Wanted)}
	}
	out := []string{fmt.Sprintf("%s is wanted on %s as %s with score %s%s.", r.ID, in.Wanted, in.Role, Number(own.Score), because(own, true))}
	for i := range in.Scores {
		if s := &in.Scores[i]; s.Node != in.Wanted {
			out = append(out, against(s, own, r))
		}
	}
	return out
}

// because lists the contributions of one sign that are about the place.
func because(s *NodeScore, positive bool) string {
	var parts []string
	for _, c := range s.Contributions {
		if !c.Role && c.Score != 0 && c.Score > 0 == positive {
			parts = append(parts, c.Words())
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// closed says that the node cannot run resources, whatever speaks for it.
func closed(s *NodeScore) string {
	if f := because(s, true); f != "" {
		return fmt.Sprintf("Not %s: the node is %s. What would speak for it%s.", s.Node, s.State, f)
	}
	return fmt.Sprintf("Not %s: the node is %s.", s.Node, s.State)
}

// against says why s was not chosen while own was.
func against(s, own *NodeScore, r *model.Resource) string {
	switch {
	case s.State != "":
		return closed(s)
	case s.Score < 0:
		return fmt.Sprintf("Not %s: score %s%s.", s.Node, Number(s.Score), because(s, false))
	case s.Score < own.Score:
		return fmt.Sprintf("Not %s: its score %s is lower than %s%s.", s.Node, Number(s.Score), Number(own.Score), because(s, true))
	case s.Score == own.Score && slices.ContainsFunc(r.Active, func(n *model.Node) bool { return n.Name == own.Node }):
		return fmt.Sprintf("Not %s: its score is equal, but %s is active on %s already.", s.Node, r.ID, own.Node)
	case s.Score == own.Score:
		return fmt.Sprintf("Not %s: its score is equal; between equals the placement strategy, the number of resources on a node and the node's name decide.", s.Node)
	}
	return fmt.Sprintf("Not %s, though its score %s is higher than %s: %s was bound to %s by its clone, group or a migration under way.",
		s.Node, Number(s.Score), Number(own.Score), r.ID, own.Node)
}

func (in *Instance) nowhere(c *model.Cluster, r *model.Resource) []string {
	if c.Options.StopAll {
		return []string{r.ID + " runs nowhere: the property stop-all-resources is true."}
	}
	if t := r.TargetRole; strings.EqualFold(t, "Stopped") {
		return []string{r.ID + " runs nowhere: its meta attribute target-role is Stopped."}
	}
	if !c.Options.Quorate && c.Options.QuorumPolicy != model.QuorumIgnore {
		return []string{r.ID + " runs nowhere: this partition has no quorum (property no-quorum-policy)."}
	}
	if !r.Managed {
		return []string{r.ID + " runs nowhere: it is not managed, and it is not active."}
	}
	out := []string{r.ID + " can run nowhere."}
	for i := range in.Scores {
		s := &in.Scores[i]
		switch {
		case s.State != "":
			out = append(out, closed(s))
		case s.Score < 0:
			out = append(out, fmt.Sprintf("Not %s: score %s%s.", s.Node, Number(s.Score), because(s, false)))
		default:
			out = append(out, fmt.Sprintf("Not %s, though its score is %s: the limits of its clone or what it must run with leave no place there.", s.Node, Number(s.Score)))
		}
	}
	if len(in.Scores) == 0 {
		out = append(out, "No node is a candidate: the cluster is asymmetric (property symmetric-cluster) and no location constraint names one.")
	}
	return out
}

func (in *Instance) whyNot(c *model.Cluster, r *model.Resource, asked *model.Node) []string {
	if r.Assigned == nil {
		return in.nowhere(c, r)
	}
	if !r.Managed {
		return []string{fmt.Sprintf("%s stays on %s: it is not managed, so the cluster does not move it to %s.", r.ID, in.Wanted, asked.Name)}
	}
	s, own := in.at(asked.Name), in.at(in.Wanted)
	if s == nil {
		return []string{fmt.Sprintf("%s is wanted on %s; %s is no candidate: nothing allows it there (property symmetric-cluster, location constraints).", r.ID, in.Wanted, asked.Name)}
	}
	if own == nil {
		own = &NodeScore{Node: in.Wanted, Score: r.Assigned.Score}
	}
	return []string{
		fmt.Sprintf("%s is wanted on %s with score %s%s.", r.ID, in.Wanted, Number(own.Score), because(own, true)),
		against(s, own, r),
	}
}
