package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/policy/values"
)

// words says in plain words what a contribution to r's score on n is.
func words(c *model.Cluster, r *model.Resource, n *model.Node, o model.Origin) string {
	switch o.Kind {
	case model.OriginBase:
		return "base score of the node"
	case model.OriginLocation:
		return withText("location constraint "+o.ID, "rule", o)
	case model.OriginHealth:
		return fmt.Sprintf("node health (property node-health-strategy=%s)", o.ID)
	case model.OriginStickiness:
		return "for being there already (resource-stickiness)"
	case model.OriginFailures:
		count, _ := values.FailCount(c, r, n, values.Failures{Effective: true, Launched: true})
		return fmt.Sprintf("failed there %s (fail-count %s, migration-threshold %d)", times(count), count32(count), r.MigrationThreshold)
	case model.OriginFailedOperation:
		return fmt.Sprintf("an operation failed there: %s (%s)", o.Text, o.ID)
	case model.OriginColocation:
		return colocated(c, o)
	case model.OriginDependent:
		if strings.HasPrefix(o.ID, "#") {
			return fmt.Sprintf("%s, a later member of the same group, is drawn there", o.Text)
		}
		return fmt.Sprintf("%s, which is to be with it (colocation %s), is drawn there", o.Text, o.ID)
	case model.OriginTicket:
		return fmt.Sprintf("%s (constraint %s)", ticket(c, o.Text), o.ID)
	case model.OriginDiscovery:
		return "not among the nodes of its resource-discovery=exclusive"
	case model.OriginShutdownLock:
		return fmt.Sprintf("locked to %s, which was shut down (property shutdown-lock)", o.ID)
	case model.OriginTargetRole:
		if strings.EqualFold(r.TargetRole, "Stopped") {
			return "its meta attribute target-role is Stopped"
		}
		return "it is to be stopped"
	case model.OriginPromotion:
		return "for its promotion score there"
	case model.OriginUnmanaged:
		return "it is not managed, so it stays where it is"
	case model.OriginInstance:
		return limit(c, o)
	case model.OriginContainer:
		return strings.TrimSpace("bound to its container " + o.ID)
	case model.OriginMultiActive:
		return "active more than once (meta attribute multiple-active)"
	case model.OriginRemoved:
		return "not in the configuration any more"
	case model.OriginUtilization:
		return fmt.Sprintf("not enough capacity: it needs %s, and %s of %s is left", amounts(r.Utilization), amounts(n.Utilization), amounts(n.Capacity))
	case model.OriginRole:
		switch {
		case o.ID == "promotion-score" && o.Number == -1:
			return "as its agent has set no promotion score"
		case o.ID == "promotion-score":
			return "promotion score of the agent"
		}
		return withText("constraint "+o.ID, "rule", o)
	}
	return strings.TrimSpace(kindName(o.Kind) + " " + o.ID)
}

func withText(text, what string, o model.Origin) string {
	if o.Text == "" || o.Text == o.ID {
		return text
	}
	return text + " (" + what + " " + o.Text + ")"
}

func times(count int32) string {
	switch {
	case count >= model.Infinity:
		return "for good"
	case count == 1:
		return "once"
	}
	return strconv.Itoa(int(count)) + " times"
}

func count32(count int32) string {
	if count >= model.Infinity {
		return "INFINITY"
	}
	return strconv.Itoa(int(count))
}

// colocated describes a colocation of which the resource is the dependent.
func colocated(c *model.Cluster, o model.Origin) string {
	where := ""
	if p := c.Resource(o.Text); p != nil && p.Kind == cib.Primitive {
		switch {
		case p.Assigned == nil:
			where = ", which runs nowhere"
		default:
			where = ", which is on " + p.Assigned.Name
		}
	}
	if strings.HasPrefix(o.ID, "#") {
		return fmt.Sprintf("member of the same group as %s%s", o.Text, where)
	}
	return fmt.Sprintf("colocation %s with %s%s", o.ID, o.Text, where)
}

func ticket(c *model.Cluster, id string) string {
	switch t := c.Tickets[id]; {
	case t == nil || !t.Granted:
		return "ticket " + id + " is not granted"
	case t.Standby:
		return "ticket " + id + " is in standby"
	}
	return "ticket " + id
}

// limit describes a limit on instances of a clone.
func limit(c *model.Cluster, o model.Origin) string {
	cl := c.Resource(o.ID)
	switch {
	case cl == nil || cl.Clone == nil:
	case o.Text == "enough instances":
		return fmt.Sprintf("no instance of %s is left to place, or no node for it (clone-max %d)", o.ID, cl.Clone.Max)
	case o.Text == "no further instance there":
		return fmt.Sprintf("%s has as many instances there as it may (clone-node-max %d)", o.ID, cl.Clone.NodeMax)
	case o.Text == "not allowed there":
		return o.ID + " is not allowed there"
	}
	return fmt.Sprintf("%s (%s)", o.Text, o.ID)
}

// amounts writes utilization attributes; "nothing" = none.
func amounts(list []model.Capacity) string {
	if len(list) == 0 {
		return "nothing"
	}
	parts := make([]string, len(list))
	for i, a := range list {
		parts[i] = a.Name + "=" + strconv.FormatInt(a.Value, 10)
	}
	return strings.Join(parts, " ")
}

// unmanaged says why the cluster leaves r as it is.
func unmanaged(c *model.Cluster, r *model.Resource) string {
	if t := frozen(r); t != nil {
		return fmt.Sprintf("%s, and the loss-policy of constraint %s is freeze", ticket(c, t.Ticket.ID), t.ID)
	}
	switch {
	case r.Blocked && len(r.Active) > 1:
		return fmt.Sprintf("the cluster leaves it alone, as it is active on %d nodes (meta attribute multiple-active=block)", len(r.Active))
	case r.Blocked:
		return blockedBy(c, r)
	case r.Removed:
		return "it is not in the configuration any more, and the property stop-removed-resources is false"
	case c.Options.Maintenance:
		return "the property maintenance-mode is true, so nothing is started, stopped or moved"
	case cib.IsTrue(r.Meta["maintenance"]):
		return "its meta attribute maintenance is true"
	case cib.IsFalse(r.Meta["is-managed"]):
		return "its meta attribute is-managed is false"
	}
	for _, n := range r.Active {
		if n.Maintenance {
			return fmt.Sprintf("node %s is in maintenance mode", n.Name)
		}
	}
	if c.Options.FencingEnabled && !c.HaveFencingDevice && !c.Options.HaveWatchdog {
		return "fencing is on (property fencing-enabled), but no fence device is configured, so the cluster manages nothing"
	}
	return "it is not managed"
}

// frozen is the ticket constraint that has r stay as it is; nil = none.
func frozen(r *model.Resource) *model.TicketConstraint {
	for p := r; p != nil; p = p.Parent {
		for _, t := range p.Tickets {
			if t.Policy == "freeze" && (!t.Ticket.Granted || t.Ticket.Standby) {
				return t
			}
		}
	}
	return nil
}

// blockedBy says which failure has the cluster leave r alone.
func blockedBy(c *model.Cluster, r *model.Resource) string {
	for i := range c.FailedOps {
		f := &c.FailedOps[i]
		if f.Resource == nil || f.Resource.ConfigID != r.ConfigID || !slices.Contains(r.Active, f.Node) {
			continue
		}
		why := "on-fail=block"
		if f.Op.Operation == "stop" && !c.Options.FencingEnabled {
			why = "fencing is off, so nobody can make sure that it has stopped"
		}
		return fmt.Sprintf(`the cluster leaves it alone, as its %s on %s failed: %s (%s); repair it, then "crm resource cleanup %s"`,
			f.Op.Operation, f.Node.Name, unpack.ExitText(f.Op.RC), why, r.ConfigID)
	}
	return fmt.Sprintf(`the cluster leaves it alone, as an operation failed that it may not recover from (on-fail=block); repair it, then "crm resource cleanup %s"`, r.ConfigID)
}

// quorumSentence says what missing quorum does to r; "" = nothing.
func quorumSentence(c *model.Cluster, r *model.Resource) string {
	if c.Options.Quorate || !slices.ContainsFunc(r.Actions, func(a *model.Action) bool { return strings.Contains(a.Reason, "quorum") }) {
		return ""
	}
	const text = "This partition has no quorum, and the property no-quorum-policy is "
	switch c.Options.QuorumPolicy {
	case model.QuorumFreeze:
		return text + "freeze: what runs goes on, and nothing new is started."
	case model.QuorumDemote:
		return text + "demote: nothing is started, and what is promoted is demoted."
	case model.QuorumFence:
		return text + "fence: its nodes are to be fenced."
	}
	return text + "stop: nothing is started, and what runs is stopped."
}

// roleSentences say why an instance of a promotable clone is promoted or not.
func roleSentences(c *model.Cluster, r *model.Resource) []string {
	clone := r.Top(false)
	if clone.Clone == nil || !clone.Clone.Promotable || r.Assigned == nil || !r.Managed {
		return nil
	}
	x := r
	for x.Parent != nil && x.Parent != clone {
		x = x.Parent
	}
	var parts []string
	if n := r.Assigned; n.Index < len(x.Origins) {
		for _, o := range x.Origins[n.Index] {
			if o.Kind == model.OriginRole {
				parts = append(parts, Number(o.Number)+" "+words(c, x, n, o))
			}
		}
	}
	why := ""
	if len(parts) > 0 {
		why = ": " + strings.Join(parts, ", ")
	}
	score := x.PromotionPriority
	switch {
	case r.Next == model.RolePromoted && score >= model.Infinity:
		return []string{"It is promoted there."}
	case r.Next == model.RolePromoted:
		return []string{fmt.Sprintf("It is promoted there with promotion score %s%s.", Number(score), why)}
	case model.ParseRole(r.TargetRole) == model.RoleUnpromoted:
		return []string{"It is not promoted: its meta attribute target-role is Unpromoted."}
	case score <= model.MinInfinity:
		return []string{fmt.Sprintf("It may not be promoted there%s.", why)}
	case score < 0:
		if len(parts) == 1 {
			return []string{"It is not promoted: no promotion score counts for it there; its agent must set one of at least 0."}
		}
		return []string{fmt.Sprintf("It is not promoted: its promotion score is %s%s; it takes one of at least 0.", Number(score), why)}
	}
	var promoted []string
	for _, other := range clone.Children {
		if other != x && highest(other) == model.RolePromoted {
			promoted = append(promoted, fmt.Sprintf("%s with %s", other.ID, Number(other.PromotionPriority)))
		}
	}
	if len(promoted) < clone.Clone.PromotedMax || len(promoted) == 0 {
		return nil // something that is said with the actions
	}
	return []string{fmt.Sprintf("It is not promoted: its promotion score is %s, and of %s at most %d may be promoted (promoted-max): %s.",
		Number(score), clone.ID, clone.Clone.PromotedMax, list(promoted))}
}

// highest is the highest role that r, or something in it, is to have.
func highest(r *model.Resource) model.Role {
	role := r.Next
	for _, child := range r.Children {
		role = max(role, highest(child))
	}
	return role
}

// todo lists what will be done to r, in order of creation within each step of a life, and what should be done and
// cannot. Probes are left out when there is anything else.
func todo(r *model.Resource) (todo, blocked []string) {
	var probes []string
	for _, task := range [...]string{"migrate_to", "migrate_from", "demote", "stop", "start", "reload", "reload-agent", "promote", "monitor", "cancel"} {
		for _, a := range r.Actions {
			if a.Task != task || a.Pseudo && task != "stop" {
				continue
			}
			text := actionText(a)
			switch {
			case a.InGraph && task == "monitor" && a.Interval == 0:
				probes = append(probes, text)
			case a.InGraph:
				todo = append(todo, text)
			case a.Runnable || task == "monitor" || task == "cancel":
			case a.Optional && (a.Reason == "" || a.Node != nil && slices.Contains(r.Active, a.Node)):
			default:
				blocked = append(blocked, text+blocker(a))
			}
		}
	}
	if len(todo)+len(blocked) == 0 {
		todo = probes
	}
	return todo, blocked
}

func actionText(a *model.Action) string {
	text := a.Task
	switch {
	case a.Task == "monitor" && a.Interval == 0:
		text = "probe"
	case a.Task == "monitor":
		text = fmt.Sprintf("monitor every %s", interval(a.Interval))
	case a.Task == "cancel":
		text = fmt.Sprintf("end the %s every %s", a.Cancelled(), interval(a.Interval))
	}
	if a.Node != nil {
		text += " on " + a.Node.Name
		if a.Pseudo && a.Task == "stop" && a.Node.Unclean {
			text += ", by fencing the node"
		}
	}
	if a.Reason != "" {
		text += " (" + a.Reason + ")"
	}
	return text
}

func interval(ms int64) string {
	if ms%1000 == 0 {
		return strconv.FormatInt(ms/1000, 10) + "s"
	}
	return strconv.FormatInt(ms, 10) + "ms"
}

// blocker names what an action waits for in vain, as far as its reason does not say it.
func blocker(a *model.Action) string {
	for _, rel := range a.Before {
		f := rel.First
		if rel.Void || f.Runnable || f.Optional || f.Resource == nil {
			continue
		}
		order := ""
		if o := rel.Ordering; o != nil && o.ID != "" && !strings.HasPrefix(o.ID, "#") {
			order = "order " + o.ID
		}
		switch {
		case a.Reason != "" && order != "" && strings.Contains(a.Reason, f.Resource.ID):
			return ": " + order
		case a.Reason != "":
			continue
		case order != "":
			order = " (" + order + ")"
		}
		what := f.Task + " of " + f.Resource.ID
		if f.Resource == a.Resource {
			what = actionText(f)
		}
		return ": " + what + " must come first" + order + " and cannot be done"
	}
	return ""
}
