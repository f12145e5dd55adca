package unpack

import (
	"regexp"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
)

// tags reads the tags (spec/01-inputs.md 6.9).
func (u *unpacker) tags() {
	for i := range u.c.Doc.Config.Tags {
		t := &u.c.Doc.Config.Tags[i]
		if _, set := u.c.Tags[t.ID]; !set && t.ID != "" {
			u.c.Tags[t.ID] = t.Refs
		}
	}
}

// health turns node health into location constraints (spec/01-inputs.md 4.2).
func (u *unpacker) health() {
	c, o := u.c, &u.c.Options
	if o.HealthStrategy == "none" {
		return
	}
	for _, n := range c.Nodes {
		var names []string
		for name := range n.Attributes {
			if strings.HasPrefix(name, "#health") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		n.Health = o.HealthBase
		for _, name := range names {
			if v, ok := values.ScoreIn(o, n.Attributes[name]); ok {
				n.Health = model.AddScore(n.Health, v)
			}
		}
		if n.Health == 0 {
			continue
		}
		for _, r := range c.Resources {
			if n.Health < 0 && r.AllowUnhealthy {
				continue
			}
			u.addLocation(&model.Location{ID: o.HealthStrategy, Resource: r, Health: true, Text: "health of " + n.Name,
				Nodes: []model.LocationNode{{Node: n, Score: n.Health}}})
		}
	}
}

func (u *unpacker) addLocation(l *model.Location) {
	u.locations = append(u.locations, l)
}

// constraints reads location, colocation and ticket constraints in document order. Ordering constraints are
// read by package schedule, which knows the actions that they order.
func (u *unpacker) constraints() {
	c := u.c
	for i := range c.Doc.Config.Constraints {
		con := &c.Doc.Config.Constraints[i]
		if con.ID == "" {
			u.errorf("constraint %d has no id; it is left out", i+1)
			continue
		}
		switch con.Kind {
		case cib.Location:
			u.location(con)
		case cib.Colocation:
			u.colocation(con)
		case cib.Ticket:
			u.ticket(con)
		}
	}
	// Newest first: the order in which scores are added shows where they saturate.
	slices.Reverse(u.locations)
	c.Locations = u.locations
	for _, l := range c.Locations {
		l.Resource.Locations = append(l.Resource.Locations, l)
	}
}

// resource finds the resource that a constraint means: by id, or by the name in the history, which stands
// for the whole clone (spec/01-inputs.md 10.1). nil = none.
func (u *unpacker) resource(id string) *model.Resource {
	if r := u.c.Resource(id); r != nil {
		return r
	}
	for _, r := range u.c.ByHistoryID(id) {
		if r.HistoryID == id {
			return r.Top(false)
		}
	}
	return nil
}

// referred lists the resources that an id in a constraint stands for; many says that the id is that of a
// template or tag. What does not exist is noted and left out.
func (u *unpacker) referred(con *cib.Constraint, id string) (list []*model.Resource, many bool) {
	if r := u.resource(id); r != nil {
		return []*model.Resource{r}, false
	}
	ids, known := u.c.Templates[id]
	if !known {
		ids, known = u.c.Tags[id]
	}
	if !known {
		u.errorf("constraint %q names %q, but there is no such resource, template or tag", con.ID, id)
		return nil, false
	}
	for _, m := range ids {
		if r := u.resource(m); r != nil {
			list = append(list, r)
		} else {
			u.errorf("constraint %q: %q of %q is no resource", con.ID, m, id)
		}
	}
	return list, true
}

// location reads a location constraint (spec/01-inputs.md 10.2).
func (u *unpacker) location(con *cib.Constraint) {
	switch {
	case len(con.Sets) > 0:
		for i := range con.Sets {
			set := &con.Sets[i]
			for _, id := range set.Refs {
				list, _ := u.referred(con, id)
				for _, r := range list {
					u.locate(con, r, set.Role, set.Score, nil)
				}
			}
		}
	case con.Pattern != "":
		pattern, inverted := strings.CutPrefix(con.Pattern, "!")
		re, err := regexp.CompilePOSIX(pattern)
		if err != nil {
			u.errorf("location constraint %q: rsc-pattern %q: %v", con.ID, con.Pattern, err)
			return
		}
		for _, r := range u.c.Resources {
			matches := re.FindStringSubmatch(r.ID)
			switch {
			case matches != nil && !inverted:
				u.locate(con, r, "", "", matches)
			case matches == nil && inverted:
				u.locate(con, r, "", "", nil)
			}
		}
	case con.Resource != "":
		list, _ := u.referred(con, con.Resource)
		for _, r := range list {
			u.locate(con, r, "", "", nil)
		}
	default:
		u.errorf("location constraint %q names no resource", con.ID)
	}
}

// locationRole reads the role of a location constraint; ok is false when it makes the constraint invalid.
func (u *unpacker) locationRole(con *cib.Constraint, text string) (role model.Role, ok bool) {
	if text == "" {
		return model.RoleUnknown, true
	}
	switch role = model.ParseRole(text); role {
	case model.RoleStarted, model.RoleUnpromoted:
		return model.RoleUnknown, true
	case model.RoleUnknown:
		u.errorf("location constraint %q: role %q is unknown; the constraint is left out", con.ID, text)
		return role, false
	}
	return role, true
}

// locate applies a location constraint to one resource. The set's role and score override the
// constraint's; matches are the submatches of a pattern.
func (u *unpacker) locate(con *cib.Constraint, r *model.Resource, setRole, setScore string, matches []string) {
	o := &u.c.Options
	l := &model.Location{ID: con.ID, Resource: r}
	switch strings.ToLower(con.Discovery) {
	case "", "always":
	case "never":
		l.Discovery = model.DiscoverNever
	case "exclusive":
		l.Discovery = model.DiscoverExclusive
		r.ExclusiveDiscovery = true
	default:
		u.errorf("location constraint %q: resource-discovery %q is unknown; use always, never or exclusive", con.ID, con.Discovery)
	}
	text := con.Score
	if setScore != "" {
		text = setScore
	}
	if con.Node != "" && text != "" {
		n := u.c.NodeByName(con.Node)
		if n == nil {
			u.warnf("location constraint %q: node %q does not exist", con.ID, con.Node)
			return
		}
		roleText := con.Role
		if setRole != "" {
			roleText = setRole
		}
		role, ok := u.locationRole(con, roleText)
		if !ok {
			return
		}
		score, ok := values.ScoreIn(o, text)
		if !ok {
			u.errorf("location constraint %q: score %q is no score; using 0", con.ID, text)
		}
		l.Role = role
		l.Nodes = []model.LocationNode{{Node: n, Score: score}}
		u.addLocation(l)
		return
	}
	if len(con.Rules) == 0 {
		u.errorf("location constraint %q has neither node and score nor a rule; it is left out", con.ID)
		return
	}
	u.locateByRule(con, l, &con.Rules[0], setRole, matches)
}

// locateByRule gives the rule's score to the nodes for which it passes.
func (u *unpacker) locateByRule(con *cib.Constraint, l *model.Location, r *rule.Rule, setRole string, matches []string) {
	c, o := u.c, &u.c.Options
	roleText := r.Role
	if roleText == "" {
		roleText = setRole
	}
	role, ok := u.locationRole(con, roleText)
	if !ok {
		return
	}
	l.Role = role
	score, attribute := int32(0), r.ScoreAttribute
	switch {
	case attribute != "":
		attribute = rule.Substitute(attribute, matches)
	case r.Score != "":
		if score, ok = values.ScoreIn(o, r.Score); !ok {
			u.errorf("location constraint %q: rule score %q is no score; using 0", con.ID, r.Score)
		}
	}
	var node *model.Node
	in := rule.Input{
		Now: c.Now, Submatches: matches,
		NodeAttribute: func(name string) (string, bool) { v, ok := node.Attributes[name]; return v, ok },
		Param: func(name string) (string, bool) {
			v, ok := values.Params(c, l.Resource, node)[name]
			return v, ok
		},
		Meta: func(name string) (string, bool) { v, ok := l.Resource.Meta[name]; return v, ok },
	}
	noted := false
	for _, node = range c.Nodes {
		res := rule.Evaluate(r, in)
		if !res.Recheck.IsZero() {
			c.Recheck(res.Recheck)
		}
		if !noted && len(res.Problems) > 0 {
			noted = true
			for _, p := range res.Problems {
				u.errorf("location constraint %q: %v", con.ID, p.Error())
			}
		}
		if !res.Pass {
			continue
		}
		s := score
		if attribute != "" {
			v, set := values.NodeAttribute(node, attribute, l.Resource, false)
			if !set || v == "" {
				continue
			}
			if s, ok = values.ScoreIn(o, v); !ok {
				u.warnf("location constraint %q: attribute %s=%q of node %q is no score", con.ID, attribute, v, node.Name)
				continue
			}
		}
		l.Nodes = append(l.Nodes, model.LocationNode{Node: node, Score: s})
	}
	l.Text = r.ID
	if len(l.Nodes) > 0 {
		u.addLocation(l)
	}
}

// colocationRole reads a role of a colocation; RoleUnknown = any.
func (u *unpacker) colocationRole(con *cib.Constraint, text string) model.Role {
	if text == "" {
		return model.RoleUnknown
	}
	role := model.ParseRole(text)
	if role == model.RoleUnknown {
		u.errorf("colocation constraint %q: role %q is unknown; any role counts", con.ID, text)
	}
	if role == model.RoleStarted {
		return model.RoleUnknown
	}
	return role
}

// coSet is a resource set of a colocation with its references resolved.
type coSet struct {
	id         string
	members    []*model.Resource
	role       model.Role
	sequential bool
}

// colocation reads a colocation constraint (spec/01-inputs.md 10.3).
func (u *unpacker) colocation(con *cib.Constraint) {
	var score int32
	if con.Score != "" {
		s, ok := values.ScoreIn(&u.c.Options, con.Score)
		if !ok {
			u.errorf("colocation constraint %q: score %q is no score; it has no effect", con.ID, con.Score)
		}
		score = s
	}
	if len(con.Sets) > 0 {
		u.colocationSets(con, score)
		return
	}
	if con.Resource == "" || con.With == "" {
		u.errorf("colocation constraint %q needs rsc and with-rsc; it is left out", con.ID)
		return
	}
	dependents, many := u.referred(con, con.Resource)
	primaries, withMany := u.referred(con, con.With)
	if many && withMany {
		u.errorf("colocation constraint %q: rsc and with-rsc are both templates or tags; use resource sets", con.ID)
		return
	}
	if len(dependents) == 0 || len(primaries) == 0 {
		return
	}
	role, withRole := u.colocationRole(con, con.Role), u.colocationRole(con, con.WithRole)
	for _, d := range dependents {
		for _, p := range primaries {
			u.colocate(con, con.ID, score, d, role, p, withRole)
		}
	}
}

// colocationSets reads the form with resource sets.
func (u *unpacker) colocationSets(con *cib.Constraint, score int32) {
	var last *coSet
	for i := range con.Sets {
		cfg := &con.Sets[i]
		set := &coSet{id: cfg.ID, role: u.colocationRole(con, cfg.Role), sequential: true}
		if cfg.Sequential != "" {
			set.sequential = values.True(cfg.Sequential)
		}
		for _, id := range cfg.Refs {
			list, _ := u.referred(con, id)
			set.members = append(set.members, list...)
		}
		own := score
		if cfg.Score != "" {
			s, ok := values.ScoreIn(&u.c.Options, cfg.Score)
			if !ok {
				u.errorf("colocation constraint %q: score %q of set %q is no score; it has no effect", con.ID, cfg.Score, cfg.ID)
			}
			own = s
		}
		u.withinSet(con, set, cfg, own)
		if last != nil {
			u.betweenSets(con, last, set, score)
		}
		last = set
	}
}

// withinSet colocates the members of a set with each other.
func (u *unpacker) withinSet(con *cib.Constraint, set *coSet, cfg *cib.ResourceSet, score int32) {
	m := set.members
	if score == 0 || !set.sequential || len(m) < 2 {
		return
	}
	if score < 0 {
		for i := range m {
			for j := range i {
				u.colocate(con, set.id, score, m[i], set.role, m[j], set.role)
			}
		}
		return
	}
	for i := 1; i < len(m); i++ {
		d, p := m[i], m[i-1]
		if cfg.Ordering != "" && cfg.Ordering != "group" {
			d, p = p, d
		}
		u.colocate(con, set.id, score, d, set.role, p, set.role)
	}
}

// betweenSets colocates the members of one set with those of the next.
func (u *unpacker) betweenSets(con *cib.Constraint, a, b *coSet, score int32) {
	dependents, primaries := a.members, b.members
	if len(dependents) == 0 || len(primaries) == 0 {
		return
	}
	if a.sequential {
		dependents = dependents[:1]
	}
	if b.sequential {
		primaries = primaries[len(primaries)-1:]
	}
	for _, d := range dependents {
		for _, p := range primaries {
			u.colocate(con, a.id, score, d, a.role, p, b.role)
		}
	}
}

// colocate adds one colocation.
func (u *unpacker) colocate(con *cib.Constraint, id string, score int32, d *model.Resource, dRole model.Role,
	p *model.Resource, pRole model.Role) {
	if score == 0 || d == p {
		return
	}
	if id == "" {
		id = con.ID
	}
	col := &model.Colocation{ID: id, Dependent: d, Primary: p, DependentRole: dRole, PrimaryRole: pRole, Score: score,
		Attribute: con.NodeAttribute, Influence: d.Critical, Explicit: true}
	if col.Attribute == "" {
		col.Attribute = "#uname"
	}
	if con.Influence != "" {
		if b, ok := values.Bool(con.Influence); ok {
			col.Influence = b
		} else {
			u.errorf("colocation constraint %q: influence %q is no boolean", con.ID, con.Influence)
		}
	}
	u.c.Colocations = append(u.c.Colocations, col)
	d.ThisWith = append(d.ThisWith, col)
	p.WithThis = append(p.WithThis, col)
}

// ticket reads a ticket constraint, which acts at once (spec/01-inputs.md 10.4, spec/03-assignment.md 12).
func (u *unpacker) ticket(con *cib.Constraint) {
	c := u.c
	if con.Ticket == "" {
		u.errorf("ticket constraint %q names no ticket; it is left out", con.ID)
		return
	}
	t := c.Tickets[con.Ticket]
	if t == nil {
		t = &model.Ticket{ID: con.Ticket}
		c.Tickets[con.Ticket] = t
	}
	one := func(r *model.Resource, roleText string) {
		tc := &model.TicketConstraint{ID: con.ID, Resource: r, Ticket: t, Role: model.ParseRole(roleText)}
		tc.Policy = u.lossPolicy(con, tc.Role)
		r.Tickets = append(r.Tickets, tc)
		if !t.Granted || t.Standby {
			u.ticketLost(tc, r)
		}
	}
	if len(con.Sets) == 0 {
		list, _ := u.referred(con, con.Resource)
		for _, r := range list {
			one(r, con.Role)
		}
		return
	}
	for i := range con.Sets {
		set := &con.Sets[i]
		role := set.Role
		if role == "" {
			role = con.Role
		}
		for _, id := range set.Refs {
			list, _ := u.referred(con, id)
			for _, r := range list {
				one(r, role)
			}
		}
	}
}

// lossPolicy says what the loss of a ticket does.
func (u *unpacker) lossPolicy(con *cib.Constraint, role model.Role) string {
	switch strings.ToLower(con.LossPolicy) {
	case "stop":
		return "stop"
	case "demote":
		return "demote"
	case "freeze":
		return "freeze"
	case "fence":
		if u.c.Options.FencingEnabled {
			return "fence"
		}
		u.warnf("ticket constraint %q: loss-policy fence acts as stop, since fencing is disabled", con.ID)
		return "stop"
	case "":
	default:
		u.errorf("ticket constraint %q: loss-policy %q is unknown; use stop, demote, fence or freeze", con.ID, con.LossPolicy)
	}
	if role == model.RolePromoted {
		return "demote"
	}
	return "stop"
}

// ticketLost applies a ticket that is not granted, or standby, to r and everything below it.
func (u *unpacker) ticketLost(tc *model.TicketConstraint, r *model.Resource) {
	if len(r.Children) > 0 {
		for _, child := range r.Children {
			u.ticketLost(tc, child)
		}
		return
	}
	ban := func() {
		u.score(r, nil, model.MinInfinity, model.Origin{Kind: model.OriginTicket, ID: tc.ID, Text: tc.Ticket.ID})
	}
	matches := tc.Role == model.RoleUnknown || tc.Role == r.Role
	if tc.Ticket.Granted || len(r.Active) == 0 {
		if tc.Role != model.RolePromoted || tc.Policy == "stop" {
			ban()
		}
		return
	}
	switch tc.Policy {
	case "stop":
		ban()
	case "demote":
		if tc.Role != model.RolePromoted {
			ban()
		}
	case "fence":
		if !matches {
			return
		}
		ban()
		for _, n := range r.Active {
			action.Fence(u.c, n, "deadman ticket was lost", false)
		}
	case "freeze":
		if matches {
			r.Managed, r.Blocked = false, true
		}
	}
}
