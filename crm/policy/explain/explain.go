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
	Text  string `json:"text"`           // what it is, in words
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
	Resource string   `json:"resource"`
	Active   []string `json:"active"`         // nodes where it is believed active now
	Wanted   string   `json:"wanted"`         // node that was chosen; "" = none
	Role     string   `json:"role,omitempty"` // role that was chosen
	Managed  bool     `json:"managed"`
	Why      []string `json:"why"` // sentences
	quorum   string
	Scores   []NodeScore `json:"scores"`            // in node list order; nodes outside the resource's table are not there
	Actions  []string    `json:"actions,omitempty"` // what will be done, in order
	Blocked  []string    `json:"blocked,omitempty"` // what should be done and cannot, with the reason
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

// Words writes the contribution as "+100 location constraint loc-web".
func (c Contribution) Words() string { return Number(c.Score) + " " + c.Text }

// Scores lists what was recorded about r, one entry for each node in its table.
func Scores(c *model.Cluster, r *model.Resource) []NodeScore {
	list := []NodeScore{}
	for _, n := range c.Nodes {
		e := r.Allowed.At(n)
		if !e.Present || e.Hidden {
			continue
		}
		s := NodeScore{Node: n.Name, Score: e.Score, Allowed: e.Score >= 0 && n.Available(), State: nodeState(n), Contributions: []Contribution{}}
		if n.Index < len(r.Origins) {
			for _, o := range r.Origins[n.Index] {
				role := o.Kind == model.OriginRole
				s.Contributions = append(s.Contributions, Contribution{Kind: kindName(o.Kind), ID: o.ID, Text: words(c, r, n, o), Score: o.Number, Role: role})
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
		return "unclean and must be fenced first"
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
// Instances of a clone for which no node is left, and which are not active either, are only counted, unless the
// question was for one of them. It fails when there is no such resource or node, or the resource has no instance.
func Explain(c *model.Cluster, resource, node string) ([]Instance, error) {
	c.Expand()
	var asked *model.Node
	if node != "" {
		if asked = c.NodeByName(node); asked == nil {
			return nil, fmt.Errorf("node not found: %s", node)
		}
	}
	var list []Instance
	var spare []string
	for _, r := range c.All {
		if r.Kind != cib.Primitive || !within(r, resource) {
			continue
		}
		if r.ID != resource && isSpare(r) {
			spare = append(spare, r.ID)
			continue
		}
		list = append(list, instance(c, r, asked))
	}
	switch {
	case len(list) == 0 && len(spare) > 0: // none of them is placed: they are the answer
		for _, id := range spare {
			list = append(list, instance(c, c.Resource(id), asked))
		}
	case len(list) == 0:
		return nil, fmt.Errorf("no resource %s in this decision", resource)
	case len(spare) > 0:
		last := &list[len(list)-1]
		last.Why = append(last.Why, fmt.Sprintf("No node is left for %s.", some(spare)))
	}
	for i := range list {
		if list[i].quorum != "" { // once is enough
			list[i].Why = append(list[i].Why, list[i].quorum)
			break
		}
	}
	return list, nil
}

// isSpare reports whether r is an instance that is neither active nor placed.
func isSpare(r *model.Resource) bool {
	for p := r; p != nil; p = p.Parent {
		if p.Instance >= 0 && p.Parent != nil && p.Parent.Clone != nil {
			return len(r.Active) == 0 && r.Assigned == nil
		}
	}
	return false
}

// some names a few of a list: "a, b and 3 more instances".
func some(ids []string) string {
	const most = 3
	if len(ids) > most {
		return strings.Join(ids[:most], ", ") + fmt.Sprintf(" and %d more instances", len(ids)-most)
	}
	return strings.Join(ids, ", ")
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
	in.Why = append(in.Why, roleSentences(c, r)...)
	in.quorum = quorumSentence(c, r)
	in.Actions, in.Blocked = todo(r)
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
		return []string{fmt.Sprintf("%s stays on %s: %s.", r.ID, in.Wanted, unmanaged(c, r))}
	}
	own := in.at(in.Wanted)
	if own == nil {
		return []string{fmt.Sprintf("%s is wanted on %s.", r.ID, in.Wanted)}
	}
	out := []string{in.wanted(own)}
	if asked != nil {
		return out
	}
	return append(out, in.others(r, func(s *NodeScore) string {
		if s.Node == in.Wanted {
			return ""
		}
		return against(s, own, r)
	})...)
}

// wanted is the sentence about the node that was chosen.
func (in *Instance) wanted(own *NodeScore) string {
	text := fmt.Sprintf("%s is wanted on %s as %s", in.Resource, in.Wanted, in.Role)
	if f := because(own, true); f != "" {
		return text + " with score " + Number(own.Score) + f + "."
	}
	return text + ": its score is " + Number(own.Score) + ", nothing speaks for or against it there."
}

// others makes one sentence for all nodes about which say says the same.
func (in *Instance) others(r *model.Resource, say func(*NodeScore) string) []string {
	nodes := make(map[string][]string)
	var order []string
	for i := range in.Scores {
		s := &in.Scores[i]
		text := say(s)
		if text == "" {
			continue
		}
		if nodes[text] == nil {
			order = append(order, text)
		}
		nodes[text] = append(nodes[text], s.Node)
	}
	out := make([]string, len(order))
	for i, text := range order {
		out[i] = "Not " + list(nodes[text]) + text
	}
	return out
}

// because lists the contributions of one sign that are about the place.
func because(s *NodeScore, positive bool) string {
	var parts []string
	for _, c := range s.Contributions {
		if text := c.Words(); !c.Role && c.Score != 0 && c.Score > 0 == positive && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// refusal says why a node with a negative score cannot be used.
func refusal(s *NodeScore) string {
	if f := because(s, false); f != "" {
		if s.Score <= model.MinInfinity {
			// Only what forbids it decides.
			var parts []string
			for _, c := range s.Contributions {
				if text := c.Words(); !c.Role && c.Score <= model.MinInfinity && !slices.Contains(parts, text) {
					parts = append(parts, text)
				}
			}
			if len(parts) > 0 {
				f = ": " + strings.Join(parts, ", ")
			}
		}
		return f + "."
	}
	return fmt.Sprintf(": its score is %s.", Number(s.Score))
}

// closed says that a node can run nothing now, and what would speak for it otherwise.
func closed(s *NodeScore) string {
	text := ": the node is " + s.State
	if f := because(s, true); f != "" && s.Score >= 0 {
		return text + "; what would speak for it" + f + "."
	}
	return text + "."
}

// against says why s was not chosen while own was; the text follows the node's name.
func against(s, own *NodeScore, r *model.Resource) string {
	active := slices.ContainsFunc(r.Active, func(n *model.Node) bool { return n.Name == own.Node })
	switch {
	case s.State != "":
		return closed(s)
	case s.Score < 0:
		return refusal(s)
	case s.Score < own.Score:
		if f := because(s, true); f != "" {
			return fmt.Sprintf(": the score %s there is lower than %s%s.", Number(s.Score), Number(own.Score), f)
		}
		return fmt.Sprintf(": the score %s there is lower than %s.", Number(s.Score), Number(own.Score))
	case s.Score == own.Score && active:
		return fmt.Sprintf(": the score is equal, but %s is active on %s already.", r.ID, own.Node)
	case s.Score == own.Score:
		return ": the score is equal; between equals, capacity (property placement-strategy), then fewer resources on a node, then the first name decide."
	}
	return fmt.Sprintf(", though the score %s there is higher than %s: %s was bound to %s by its clone, its group or a migration under way.",
		Number(s.Score), Number(own.Score), r.ID, own.Node)
}

func (in *Instance) nowhere(c *model.Cluster, r *model.Resource) []string {
	switch {
	case c.Options.StopAll:
		return []string{r.ID + " runs nowhere: the property stop-all-resources is true."}
	case strings.EqualFold(r.TargetRole, "Stopped"):
		return []string{r.ID + " runs nowhere: its meta attribute target-role is Stopped."}
	case r.Removed:
		return []string{r.ID + " runs nowhere: it is not in the configuration any more."}
	case !r.Managed && len(r.Active) > 0:
		return []string{fmt.Sprintf("%s is left where it is: %s.", r.ID, unmanaged(c, r))}
	case !r.Managed:
		return []string{fmt.Sprintf("%s is not started: %s.", r.ID, unmanaged(c, r))}
	}
	out := []string{r.ID + " can run nowhere."}
	out = append(out, in.others(r, nowhereOn)...)
	if len(in.Scores) == 0 {
		out = append(out, "No node is a candidate: the cluster is asymmetric (property symmetric-cluster) and no location constraint names one.")
	}
	return out
}

// nowhereOn says why a node was not chosen when none was; the text follows the node's name.
func nowhereOn(s *NodeScore) string {
	switch {
	case s.State != "":
		return closed(s)
	case s.Score < 0:
		return refusal(s)
	}
	return fmt.Sprintf(", though its score is %s: the limits of its clone, or what it must run with, leave no place there.", Number(s.Score))
}

func (in *Instance) whyNot(c *model.Cluster, r *model.Resource, asked *model.Node) []string {
	s := in.at(asked.Name)
	if r.Assigned == nil {
		all := in.nowhere(c, r)
		if s == nil || len(all) == 1 {
			return all
		}
		return []string{all[0], "Not " + s.Node + nowhereOn(s)}
	}
	if !r.Managed {
		return []string{fmt.Sprintf("%s stays on %s and is not moved to %s: %s.", r.ID, in.Wanted, asked.Name, unmanaged(c, r))}
	}
	own := in.at(in.Wanted)
	if own == nil {
		own = &NodeScore{Node: in.Wanted, Score: r.Assigned.Score}
	}
	if s == nil {
		return []string{in.wanted(own), fmt.Sprintf("Not %s: it is no candidate, as nothing allows %s there (property symmetric-cluster, location constraints).", asked.Name, r.ID)}
	}
	return []string{in.wanted(own), "Not " + s.Node + against(s, own, r)}
}
