// Package status renders the state of a cluster, as the policy reads it from a document, for people and
// programs: text as the field's tools print it (spec/06-simulation.md sections 7, 8 and 12), XML in the shape of
// version 2.25 of Pacemaker's API schema, and JSON of our own (View).
//
// The package is pure: it formats what a model.Cluster holds and changes nothing. Times are shown in the
// zone of Cluster.Now.
package status

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/policy/values"
)

// Options select what is shown.
type Options struct {
	Depth   int  // of the section headers; 0 = not indented
	Pending bool // show operations that are under way, as for the present state
	Sparse  bool // no section without content

	NoNodes, NoResources bool // leave these sections out
	NoPlaces             bool // primitives without the nodes where they are
	Settings             bool // in the summary: the cluster options that matter most

	// How nodes and resources are shown.
	ByNode     bool // resources below the node where they are active
	ActiveOnly bool // leave out what is not active
	Brief      bool // count primitives by agent and node
	Detail     bool // ids of nodes, each instance of a clone, all parts of a bundle

	// Further sections, in the order in which they are written.
	Attributes bool // node attributes
	FailCounts bool // migration summary
	Operations bool // recorded operations; includes what FailCounts shows
	Timing     bool // Operations with times and results
	Failures   bool // failed operations
	Sentences  bool // Failures as sentences, not as records
	Tickets    bool
	Bans       bool
	BanPrefix  string // of the constraints that Bans shows; "" = all
	Fencing    []FencingEvent
	FencingAll bool // all of Fencing, not only what failed and what is under way

	// Only restricts what is shown to some nodes and resources.
	Only Filter
}

// Filter restricts a display. A nil map restricts nothing; the keys of Resources are ids at any level.
type Filter struct{ Nodes, Resources map[string]bool }

func (f *Filter) node(n *model.Node) bool { return f.Nodes == nil || f.Nodes[n.Name] || f.Nodes[n.ID] }

// resource reports whether r, something in it or something that it is in was asked for.
func (f *Filter) resource(r *model.Resource) bool {
	if f.Resources == nil {
		return true
	}
	asked := func(x *model.Resource) bool { return f.Resources[x.ID] || f.Resources[x.ConfigID] }
	for p := r; p != nil; p = p.Parent {
		if asked(p) {
			return true
		}
	}
	return anyOf(r, asked)
}

// Write writes the state of the cluster. The error is that of w.
func Write(w io.Writer, c *model.Cluster, o Options) error {
	_, err := io.WriteString(w, Text(c, o))
	return err
}

// Text returns the state of the cluster as text.
func Text(c *model.Cluster, o Options) string {
	p := &printer{c: c, o: o, plain: o.NoPlaces}
	if !o.NoNodes {
		p.nodes()
	}
	if !o.NoResources {
		p.resources()
	}
	if o.Attributes {
		p.attributes()
	}
	switch {
	case o.Operations:
		p.operations()
	case o.FailCounts:
		p.failCounts()
	}
	if o.Failures {
		p.failedActions()
	}
	p.fencing()
	if o.Tickets {
		p.tickets()
	}
	if o.Bans {
		p.bans()
	}
	return p.b.String()
}

// Line describes a primitive in one line as the list of resources does, with the node where it is or without.
func Line(c *model.Cluster, r *model.Resource, place bool) string {
	p := &printer{c: c, o: Options{Pending: true}, plain: !place}
	node := r.Current()
	if !place {
		node = nil
	}
	return p.primitive(r, shownName(r), node)
}

// ResourceXML returns a resource as the list of resources has it, indented by depth levels of two spaces.
func ResourceXML(c *model.Cluster, r *model.Resource, depth int) string {
	x := &xmlWriter{XMLWriter: NewXML(depth), c: c, o: Options{Pending: true}}
	x.resource(r)
	return x.b.String()
}

// printer collects the text.
type printer struct {
	c     *model.Cluster
	o     Options
	b     strings.Builder
	began bool // a section was written
	plain bool // primitives without the node where they are
}

// item writes one list item depth levels below the section headers.
func (p *printer) item(depth int, text string) {
	depth += p.o.Depth
	p.b.WriteString(strings.Repeat("  ", depth))
	if depth > 0 {
		p.b.WriteString("* ")
	}
	p.b.WriteString(text)
	p.b.WriteByte('\n')
}

// section opens a list; a blank line separates it from the one before.
func (p *printer) section(title string) {
	if p.began {
		p.b.WriteByte('\n')
	}
	p.began = true
	p.item(0, title+":")
}

// names formats a list of names.
func names(list []string) string { return "[ " + strings.Join(list, " ") + " ]" }

// nodes writes the node list (spec/06-simulation.md 8.1).
func (p *printer) nodes() {
	if len(p.c.Nodes) == 0 {
		return
	}
	p.section("Node List")
	type list struct {
		title string
		names []string
	}
	lists := []list{{title: "Online"}, {title: "OFFLINE"}, {title: "RemoteOnline"}, {title: "RemoteOFFLINE"}, {title: "GuestOnline"}}
	for _, n := range p.c.Nodes {
		if !p.o.Only.node(n) || p.o.ByNode && p.o.Brief && len(n.Running) == 0 {
			continue
		}
		health := ""
		switch h := healthOf(p.c, n); {
		case h < 0:
			health = " (health is RED)"
		case h == 0:
			health = " (health is YELLOW)"
		}
		kind, at := "Node", 0
		switch {
		case n.IsGuestKind():
			kind, at = "GuestNode", 4
		case n.Kind == model.RemoteNode:
			kind, at = "RemoteNode", 2
		}
		if p.o.ByNode || p.o.Detail || n.Unclean || n.Pending || n.Standby || (n.StandbyOnFail && n.Online) || n.Maintenance || health != "" {
			line := kind + " " + p.nodeName(n) + ": " + NodeState(n) + health
			if set := featureSetOf(n); p.o.Detail && set != "" {
				line += ", feature set " + set
			}
			if p.o.ByNode {
				p.item(1, line+":")
				p.onNode(n)
			} else {
				p.item(1, line)
			}
			continue
		}
		if !n.Online {
			if n.IsGuestKind() {
				continue // a guest that is not started is no news
			}
			at++
		}
		lists[at].names = append(lists[at].names, n.Name)
	}
	for _, l := range lists {
		if len(l.names) > 0 {
			p.item(1, l.title+": "+names(l.names))
		}
	}
}

// nodeName is the name of a node, with details where they were asked for.
func (p *printer) nodeName(n *model.Node) string {
	switch {
	case !p.o.Detail:
		return n.Name
	case n.IsGuestKind():
		if host := hostOf(n); host != nil {
			return n.Name + "@" + host.Name
		}
		return n.Name
	case n.ID != n.Name && n.ID != "":
		return n.Name + " (" + n.ID + ")"
	}
	return n.Name
}

// hostOf is the node on which a guest runs; nil = it does not.
func hostOf(n *model.Node) *model.Node {
	if n.Connection == nil || n.Connection.Launcher == nil {
		return nil
	}
	return n.Connection.Launcher.Current()
}

// featureSetOf is the feature set that a member works with; a member that does not tell is older than the
// first one that did. It is "" for all other nodes and those that are offline.
func featureSetOf(n *model.Node) string {
	if set := n.Attributes["#feature-set"]; set != "" {
		return set
	}
	if n.Kind == model.ClusterNode && n.Online {
		return "<3.15.1"
	}
	return ""
}

// onNode writes what is active on a node, for ByNode.
func (p *printer) onNode(n *model.Node) {
	p.item(2, "Resources:")
	if p.o.Brief {
		p.counts(3, n.Running, n)
		return
	}
	p.plain = true
	for _, r := range n.Running {
		if implicit(r) && !p.o.Detail || !p.o.Only.resource(r) {
			continue
		}
		p.item(3, p.primitive(r, shownName(r), nil))
	}
	p.plain = false
}

// implicit reports whether r is the connection to a guest, which shows as its node.
func implicit(r *model.Resource) bool { return r.Meta["internal_rsc"] == "true" && !r.Removed }

// counts writes how many primitives of each agent are active on each node, or on the given one.
func (p *printer) counts(depth int, list []*model.Resource, only *model.Node) {
	total := make(map[string]int)
	active := make(map[string]map[*model.Node]int)
	var agents []string
	for _, r := range list {
		if !p.o.Only.resource(r) {
			continue
		}
		agent := agentName(r)
		if total[agent] == 0 {
			agents = append(agents, agent)
			active[agent] = make(map[*model.Node]int)
		}
		total[agent]++
		for _, n := range r.Active {
			if (n.Online || n.Unclean || !r.Managed) && (only == nil || n == only) {
				active[agent][n]++
			}
		}
	}
	sort.Strings(agents)
	line := func(agent string, count int, node string) {
		text := fmt.Sprint(count)
		if !p.o.ActiveOnly && only == nil {
			text += fmt.Sprintf("/%d", total[agent])
		}
		p.item(depth, text+"\t("+agent+"):\tActive"+node)
	}
	for _, agent := range agents {
		shown := false
		for _, n := range p.c.Nodes {
			if count := active[agent][n]; count > 0 {
				shown = true
				name := " "
				if only == nil {
					name += n.Name
				}
				line(agent, count, name)
			}
		}
		if !shown && !p.o.ActiveOnly {
			line(agent, 0, "")
		}
	}
}

// agentName is class:provider:type, or class:type where there is no provider.
func agentName(r *model.Resource) string {
	if r.Provider != "" && strings.EqualFold(r.Class, "ocf") {
		return r.Class + ":" + r.Provider + ":" + r.Type
	}
	return r.Class + ":" + r.Type
}

// NodeState describes the state of a node in a few words.
func NodeState(n *model.Node) string {
	switch {
	case n.Unclean && n.Online:
		return "UNCLEAN (online)"
	case n.Unclean && n.Pending:
		return "UNCLEAN (pending)"
	case n.Unclean:
		return "UNCLEAN (offline)"
	case n.Pending:
		return "pending"
	case n.StandbyOnFail && n.Online:
		return "standby (on-fail)"
	// To the policy a witness is in standby; no command would bring it out of that.
	case n.Config != nil && n.Config.Witness && len(n.Running) == 0:
		if n.Online {
			return "witness"
		}
		return "OFFLINE (witness)"
	case n.Standby && !n.Online:
		return "OFFLINE (standby)"
	case n.Standby && len(n.Running) > 0:
		return "standby (with active resources)"
	case n.Standby:
		return "standby"
	case n.Maintenance && n.Online:
		return "maintenance"
	case n.Maintenance:
		return "OFFLINE (maintenance)"
	case n.Online:
		return "online"
	}
	return "OFFLINE"
}

// healthOf is the worst of a node's health attributes: below 0 is red, 0 yellow, above green. Without a
// health strategy it has no meaning and is green.
func healthOf(c *model.Cluster, n *model.Node) int64 {
	worst := int64(1)
	if c.Options.HealthStrategy == "none" || c.Options.HealthStrategy == "" {
		return worst
	}
	for name, v := range n.Attributes {
		if !strings.HasPrefix(name, "#health") {
			continue
		}
		switch strings.ToLower(v) {
		case "red":
			worst = min(worst, -1)
		case "yellow":
			worst = min(worst, 0)
		case "green":
		default:
			if s, ok := values.ScoreIn(&c.Options, v); ok {
				worst = min(worst, int64(s))
			}
		}
	}
	return worst
}

// resources writes the list of resources (spec/06-simulation.md 8.2).
func (p *printer) resources() {
	title, none := "Full List of Resources", "No resources"
	switch {
	case p.o.ByNode && p.o.ActiveOnly:
		return
	case p.o.ByNode:
		title, none = "Inactive Resources", "No inactive resources"
	case p.o.ActiveOnly:
		title, none = "Active Resources", "No active resources"
	}
	p.section(title)
	before := p.b.Len()
	var rest []*model.Resource
	var primitives []*model.Resource
	for _, r := range p.c.Resources {
		if r.Removed && !active(r, true) || !p.o.Only.resource(r) {
			continue
		}
		if p.o.ByNode {
			if active(r, true) {
				continue
			}
		} else if p.o.Brief && r.Kind == cib.Primitive {
			primitives = append(primitives, r)
			continue
		} else if p.o.ActiveOnly && !active(r, false) {
			continue
		}
		if implicit(r) && !p.o.Detail {
			continue // the connection of a guest shows as its node
		}
		rest = append(rest, r)
	}
	p.counts(1, primitives, nil)
	for _, r := range rest {
		p.resource(1, r)
	}
	if p.b.Len() == before {
		p.item(1, none)
	}
}

func (p *printer) resource(depth int, r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		p.group(depth, r, r.ID)
	case cib.Clone:
		p.clone(depth, r)
	case cib.Bundle:
		p.bundle(depth, r)
	default:
		p.item(depth, p.primitive(r, shownName(r), r.Current()))
	}
}

// active reports whether r is active: all of it, or any part.
func active(r *model.Resource, all bool) bool {
	if r.Kind == cib.Primitive {
		for _, n := range r.Active {
			if n.Online || n.Unclean || !r.Managed {
				return true
			}
		}
		return false
	}
	if len(r.Children) == 0 {
		return false
	}
	for _, child := range r.Children {
		if r.Clone != nil && child.Removed && !active(child, false) {
			continue
		}
		if a := active(child, all); a != all {
			return a
		}
	}
	return all
}

// shownName is how displays call a primitive: the instance for what is unique, else the configured name.
func shownName(r *model.Resource) string {
	if r.Unique {
		return r.ID
	}
	return r.ConfigID
}

// role is the role of a primitive or the highest in a collective.
func role(r *model.Resource) model.Role {
	if r.Kind == cib.Primitive {
		return r.Role
	}
	highest := model.RoleUnknown
	for _, child := range r.Children {
		highest = max(highest, role(child))
	}
	return highest
}

// promotable reports whether r is in a promotable clone, or is one.
func promotable(r *model.Resource) bool {
	t := r.Top(false)
	return t.Clone != nil && t.Clone.Promotable
}

// pendingWord is how a pending operation shows in the place of the role; "" = it does not.
func pendingWord(task string) string {
	switch task {
	case "start":
		return "Starting"
	case "stop":
		return "Stopping"
	case "migrate_to", "migrate_from":
		return "Migrating"
	case "promote":
		return "Promoting"
	case "demote":
		return "Demoting"
	}
	return ""
}

// primitive describes r under a name and on a node, which for a bundle are those of the replica.
func (p *printer) primitive(r *model.Resource, name string, node *model.Node) string {
	var b strings.Builder
	b.WriteString(name)
	b.WriteString("\t(" + agentName(r) + "):\t ")

	if r.Removed {
		b.WriteString("ORPHANED ")
	}
	pending := ""
	if p.o.Pending {
		pending = pendingWord(r.PendingTask)
	}
	state := r.Role
	if state == model.RoleStarted && promotable(r) {
		state = model.RoleUnpromoted
	}
	switch {
	case r.Failed && r.Role > model.RoleUnpromoted:
		b.WriteString("FAILED " + r.Role.String())
	case r.Failed:
		b.WriteString("FAILED")
	case pending != "":
		b.WriteString(pending)
	case state == model.RoleUnknown:
		b.WriteString(model.RoleStopped.String())
	default:
		b.WriteString(state.String())
	}

	if node == nil {
		node = r.PendingNode
	}
	if node == nil {
		node = r.LockNode
	}
	if len(r.Active) > 1 || p.plain {
		node = nil
	}
	if node != nil {
		b.WriteString(" " + node.Name)
	}
	if r.Role <= model.RoleStopped {
		if text := maskedFailure(p.c, r, node); text != "" {
			b.WriteString(" (" + text + ") ")
		}
	}
	if flags := p.flags(r, node); len(flags) > 0 {
		b.WriteString(" (" + strings.Join(flags, ", ") + ")")
	}
	if len(r.Active) > 1 && !p.plain {
		if d := r.Meta["description"]; d != "" {
			b.WriteString(" (" + d + ")")
		}
		list := make([]string, len(r.Active))
		for i, n := range r.Active {
			list[i] = n.Name
		}
		b.WriteString(" " + names(list))
	}
	return b.String()
}

// maskedFailure says why a probe found that r cannot run on node, or with a nil node on any.
func maskedFailure(c *model.Cluster, r *model.Resource, node *model.Node) string {
	if len(r.MaskedFailures) == 0 {
		return ""
	}
	if node != nil {
		return r.MaskedFailures[node.Index]
	}
	for _, n := range c.Nodes {
		if text := r.MaskedFailures[n.Index]; text != "" {
			return text
		}
	}
	return ""
}

func (p *printer) flags(r *model.Resource, node *model.Node) []string {
	var f []string
	if node != nil && !node.Online && node.Unclean {
		f = append(f, "UNCLEAN")
	}
	if node != nil && node == r.LockNode {
		f = append(f, "LOCKED")
	}
	if p.o.Pending && r.PendingTask == "monitor" {
		f = append(f, "Monitoring")
	}
	switch model.ParseRole(r.TargetRole) {
	case model.RoleStopped:
		f = append(f, "disabled")
	case model.RoleUnpromoted:
		if promotable(r) {
			f = append(f, "target-role:"+r.TargetRole)
		}
	}
	switch {
	case r.Blocked:
		f = append(f, "blocked")
	case r.Managed:
	case r.Maintenance:
		f = append(f, "maintenance")
	default:
		f = append(f, "unmanaged")
	}
	if r.FailureIgnored {
		f = append(f, "failure ignored")
	}
	return f
}

// isDisabled reports whether the configuration keeps r from its full role.
func isDisabled(r *model.Resource) bool {
	target := model.ParseRole(r.TargetRole)
	return target == model.RoleStopped || target == model.RoleUnpromoted && promotable(r)
}

// attrs formats the attributes of a collective's header.
func attrs(list []string, r *model.Resource) string {
	switch {
	case r.Managed:
	case r.Maintenance:
		list = append(list, "maintenance")
	default:
		list = append(list, "unmanaged")
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func (p *printer) group(depth int, r *model.Resource, name string) {
	var list []string
	shown := r.Children
	if p.o.ActiveOnly {
		shown = nil
		for _, m := range r.Children {
			if active(m, true) {
				shown = append(shown, m)
			}
		}
		switch inactive := len(r.Children) - len(shown); {
		case inactive == 1:
			list = append(list, "1 member inactive")
		case inactive > 1:
			list = append(list, fmt.Sprintf("%d members inactive", inactive))
		}
	}
	if isDisabled(r) {
		list = append(list, "disabled")
	}
	p.item(depth, "Resource Group: "+name+attrs(list, r)+":")
	if p.o.Brief {
		p.counts(depth+1, r.Children, nil)
		return
	}
	for _, m := range shown {
		p.item(depth+1, p.primitive(m, shownName(m), m.Current()))
	}
}

// members calls f for r and everything below it until f is false.
func members(r *model.Resource, f func(*model.Resource) bool) bool {
	if !f(r) {
		return false
	}
	for _, child := range r.Children {
		if !members(child, f) {
			return false
		}
	}
	return true
}

func allOf(r *model.Resource, f func(*model.Resource) bool) bool { return members(r, f) }

func anyOf(r *model.Resource, f func(*model.Resource) bool) bool {
	return !members(r, func(x *model.Resource) bool { return !f(x) })
}

// locations lists the nodes where r or something in it is active, without repetition.
func locations(r *model.Resource) []*model.Node {
	var out []*model.Node
	members(r, func(x *model.Resource) bool {
		if x.Kind != cib.Primitive {
			return true
		}
		for _, n := range x.Active {
			listed := false
			for _, o := range out {
				listed = listed || o == n
			}
			if !listed {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

// individually reports whether an instance of a clone is shown in full.
func (p *printer) individually(cl, x *model.Resource) bool {
	if cl.Clone.Unique {
		return !x.Removed || active(x, false)
	}
	if p.o.Detail {
		return !p.o.ActiveOnly || active(x, false)
	}
	if p.o.Pending && x.PendingTask != "" {
		return true
	}
	if !active(x, false) {
		return false
	}
	if x.Removed || !allOf(x, func(m *model.Resource) bool { return m.Managed }) ||
		anyOf(x, func(m *model.Resource) bool { return m.Failed }) {
		return true
	}
	if !active(x, true) {
		return true
	}
	at := locations(x)
	return len(at) != 1 || (!at[0].Online && at[0].Unclean)
}

func sortNames(list []string) {
	sort.SliceStable(list, func(i, j int) bool { return model.NaturalLess(list[i], list[j]) })
}

func (p *printer) clone(depth int, r *model.Resource) {
	cl := r.Clone
	var list []string
	if cl.Promotable {
		list = append(list, "promotable")
	}
	if cl.Unique {
		list = append(list, "unique")
	}
	if isDisabled(r) {
		list = append(list, "disabled")
	}
	p.item(depth, "Clone Set: "+r.ID+" ["+cl.ChildID+"]"+attrs(list, r)+":")

	var promoted, started []string
	for _, x := range r.Children {
		if !p.o.Only.resource(x) {
			continue
		}
		if p.individually(r, x) {
			if x.Kind == cib.Group {
				p.group(depth+1, x, x.ID)
			} else {
				p.resource(depth+1, x)
			}
			continue
		}
		if !active(x, false) || cl.Unique || p.o.Detail {
			continue
		}
		name := locations(x)[0].Name
		if role(x) > model.RoleUnpromoted {
			promoted = append(promoted, name)
		} else {
			started = append(started, name)
		}
	}
	sortNames(promoted)
	sortNames(started)
	if len(promoted) > 0 {
		p.item(depth+1, "Promoted: "+names(promoted))
	}
	if len(started) > 0 {
		title := "Started"
		if cl.Promotable {
			title = "Unpromoted"
			if len(r.Children) > 0 && model.ParseRole(r.Children[0].TargetRole) == model.RoleUnpromoted {
				title += " (target-role)"
			}
		}
		p.item(depth+1, title+": "+names(started))
	}
	if !cl.Unique && !p.o.ActiveOnly && !p.o.Detail && cl.Max > len(promoted)+len(started) {
		p.stopped(depth+1, r)
	}
}

// stopped lists where an anonymous clone could run and does not.
func (p *printer) stopped(depth int, r *model.Resource) {
	at := r.Active
	lists := map[string][]string{}
	add := func(n *model.Node) {
		for _, a := range at {
			if a == n {
				return
			}
		}
		title := "Stopped"
		if len(r.Children) > 0 && model.ParseRole(r.Children[0].TargetRole) == model.RoleStopped {
			title = "Stopped (disabled)"
		} else if text := maskedBelow(r, n); text != "" {
			title = "Stopped (" + text + ")"
		}
		lists[title] = append(lists[title], n.Name)
	}
	allowed := false
	for _, n := range p.c.Nodes {
		if e := r.Allowed.At(n); e.Present && e.Discovery != model.DiscoverNever {
			allowed = true
			add(n)
		}
	}
	if !allowed {
		for _, n := range p.c.Nodes {
			if n.Index < len(r.Known) && r.Known[n.Index] {
				add(n)
			}
		}
	}
	titles := make([]string, 0, len(lists))
	for title := range lists {
		titles = append(titles, title)
	}
	sort.Strings(titles)
	for _, title := range titles {
		sortNames(lists[title])
		p.item(depth, title+": "+names(lists[title]))
	}
}

// maskedBelow says why a probe found that an instance cannot run on a node; "" = none did.
func maskedBelow(r *model.Resource, n *model.Node) string {
	text := ""
	anyOf(r, func(m *model.Resource) bool {
		text = m.MaskedFailures[n.Index]
		return text != ""
	})
	return text
}

func (p *printer) bundle(depth int, r *model.Resource) {
	b := r.Bundle
	title := "Container bundle"
	if len(b.Replicas) > 1 {
		title += " set"
	}
	title += ": " + r.ID + " [" + b.Image + "]"
	if b.Unique {
		title += " (unique)"
	}
	p.item(depth, title+attrs(nil, r)+":")
	for _, rep := range b.Replicas {
		parts := [...]*model.Resource{rep.IP, rep.Inner, rep.Container, rep.Connection}
		if p.o.ActiveOnly && !slices.ContainsFunc(parts[:], func(x *model.Resource) bool { return x != nil && active(x, false) }) {
			continue
		}
		if p.o.Detail {
			p.item(depth+1, fmt.Sprintf("Replica[%d]", rep.Number))
			for _, x := range parts {
				if x != nil {
					p.item(depth+2, p.primitive(x, shownName(x), x.Current()))
				}
			}
			continue
		}
		x, name := rep.Container, rep.Container.ID
		if rep.Inner != nil {
			x = rep.Inner
			name = rep.Connection.ID
		}
		if rep.Address != "" {
			name += " (" + rep.Address + ")"
		}
		p.item(depth+1, p.primitive(x, name, rep.Container.Current()))
	}
}

// Instances counts the resource instances: all, those that the configuration keeps from their full role, and
// those that the cluster gave up on.
func Instances(c *model.Cluster) (total, disabled, blocked int) {
	for _, r := range c.Resources {
		members(r, func(x *model.Resource) bool {
			if x.Kind != cib.Primitive || (x.Removed && x.Role <= model.RoleStopped) {
				return true
			}
			total++
			if isDisabled(x) {
				disabled++
			}
			if x.Blocked {
				blocked++
			}
			return true
		})
	}
	return total, disabled, blocked
}

// DisabledLine says how many resource instances are disabled or blocked; "" = none is
// (spec/06-simulation.md section 2).
func DisabledLine(c *model.Cluster) string {
	total, disabled, blocked := Instances(c)
	if disabled == 0 && blocked == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d resource instances DISABLED and %d BLOCKED from further action due to failure", disabled, total, blocked)
}

// exitText describes an exit code.
func exitText(rc int) string { return unpack.ExitText(rc) }
