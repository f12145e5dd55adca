package status

import (
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// XML returns nodes and resources in the form of the cluster_status element that the field's tools print
// with --output-as=xml, indented by depth levels of two spaces.
func XML(c *model.Cluster, o Options) string {
	x := &xmlWriter{c: c, o: o, depth: o.Depth}
	if len(c.Nodes) > 0 {
		x.open("nodes")
		for _, n := range c.Nodes {
			x.node(n)
		}
		x.close("nodes")
	}
	x.open("resources")
	for _, r := range c.Resources {
		if r.Removed && !active(r, true) {
			continue
		}
		x.resource(r)
	}
	x.close("resources")
	return x.b.String()
}

type xmlWriter struct {
	c     *model.Cluster
	o     Options
	b     strings.Builder
	depth int
}

// attributes are pairs of name and value; those without a value are left out.
type attributes []string

func (a *attributes) add(name, value string)       { *a = append(*a, name, value) }
func (a *attributes) flag(name string, value bool) { *a = append(*a, name, strconv.FormatBool(value)) }
func (a *attributes) some(name, value string) {
	if value != "" {
		a.add(name, value)
	}
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")

func (x *xmlWriter) tag(name string, a attributes, end string) {
	x.b.WriteString(strings.Repeat("  ", x.depth))
	x.b.WriteString("<" + name)
	for i := 0; i < len(a); i += 2 {
		x.b.WriteString(" " + a[i] + `="` + escaper.Replace(a[i+1]) + `"`)
	}
	x.b.WriteString(end + "\n")
}

func (x *xmlWriter) open(name string, a ...string) {
	x.tag(name, a, ">")
	x.depth++
}

func (x *xmlWriter) close(name string) {
	x.depth--
	x.b.WriteString(strings.Repeat("  ", x.depth) + "</" + name + ">\n")
}

func (x *xmlWriter) node(n *model.Node) {
	health := "green"
	switch h := healthOf(x.c, n); {
	case h < 0:
		health = "red"
	case h == 0:
		health = "yellow"
	}
	var a attributes
	a.add("name", n.Name)
	a.add("id", n.ID)
	a.flag("online", n.Online)
	a.flag("standby", n.Standby)
	a.flag("standby_onfail", n.StandbyOnFail)
	a.flag("maintenance", n.Maintenance)
	a.flag("pending", n.Pending)
	a.flag("unclean", n.Unclean)
	a.add("health", health)
	a.some("feature_set", n.Attributes["#feature-set"])
	a.flag("shutdown", n.Shutdown)
	a.flag("expected_up", n.ExpectedUp)
	a.flag("is_dc", n.IsDC)
	a.add("resources_running", strconv.Itoa(len(n.Running)))
	if n.Kind == model.ClusterNode {
		a.add("type", "member")
	} else {
		a.add("type", "remote")
	}
	if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil {
		a.add("id_as_resource", n.Connection.Launcher.ID)
	}
	x.tag("node", a, "/>")
}

func (x *xmlWriter) resource(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		x.group(r)
	case cib.Clone:
		x.clone(r)
	case cib.Bundle:
		x.bundle(r)
	default:
		x.primitive(r)
	}
}

func (x *xmlWriter) group(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.add("number_resources", strconv.Itoa(len(r.Children)))
	a.flag("maintenance", r.Maintenance)
	a.flag("managed", r.Managed)
	a.flag("disabled", isDisabled(r))
	x.open("group", a...)
	for _, m := range r.Children {
		x.primitive(m)
	}
	x.close("group")
}

func (x *xmlWriter) clone(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.flag("multi_state", r.Clone.Promotable)
	a.flag("unique", r.Clone.Unique)
	a.flag("maintenance", r.Maintenance)
	a.flag("managed", r.Managed)
	a.flag("disabled", isDisabled(r))
	a.flag("failed", r.Failed)
	a.flag("failure_ignored", r.FailureIgnored)
	a.some("target_role", r.TargetRole)
	x.open("clone", a...)
	for _, child := range r.Children {
		if child.Removed && !active(child, false) {
			continue
		}
		x.resource(child)
	}
	x.close("clone")
}

func (x *xmlWriter) bundle(r *model.Resource) {
	var a attributes
	a.add("id", r.ID)
	a.add("type", r.Bundle.Spec.Engine)
	a.add("image", r.Bundle.Image)
	a.flag("unique", r.Bundle.Unique)
	a.flag("maintenance", r.Maintenance)
	a.flag("managed", r.Managed)
	a.flag("failed", r.Failed)
	x.open("bundle", a...)
	for _, rep := range r.Bundle.Replicas {
		x.open("replica", "id", strconv.Itoa(rep.Number))
		for _, part := range [...]*model.Resource{rep.IP, rep.Inner, rep.Container, rep.Connection} {
			if part != nil {
				x.primitive(part)
			}
		}
		x.close("replica")
	}
	x.close("bundle")
}

func (x *xmlWriter) primitive(r *model.Resource) {
	agent := r.Class + ":" + r.Type
	if r.Provider != "" && strings.EqualFold(r.Class, "ocf") {
		agent = r.Class + ":" + r.Provider + ":" + r.Type
	}
	role := r.Role
	switch {
	case role == model.RoleUnknown:
		role = model.RoleStopped
	case role == model.RoleStarted && promotable(r):
		role = model.RoleUnpromoted
	}
	var a attributes
	a.add("id", shownName(r))
	a.add("resource_agent", agent)
	shown, monitoring := role.String(), ""
	if x.o.Pending {
		if word := pendingWord(r.PendingTask); word != "" {
			shown = word
		}
		if r.PendingTask == "monitor" {
			monitoring = "Monitoring"
		}
	}
	a.add("role", shown)
	a.some("target_role", r.TargetRole)
	a.flag("active", active(r, true))
	a.flag("orphaned", r.Removed)
	a.flag("blocked", r.Blocked)
	a.flag("maintenance", r.Maintenance)
	a.flag("managed", r.Managed)
	a.flag("failed", r.Failed)
	a.flag("failure_ignored", r.FailureIgnored)
	a.add("nodes_running_on", strconv.Itoa(len(r.Active)))
	a.some("pending", monitoring)
	if r.LockNode != nil {
		a.add("locked_to", r.LockNode.Name)
	}
	if len(r.Active) == 0 {
		x.tag("resource", a, "/>")
		return
	}
	x.open("resource", a...)
	for _, n := range r.Active {
		x.tag("node", attributes{"name", n.Name, "id", n.ID, "cached", strconv.FormatBool(n.Online)}, "/>")
	}
	x.close("resource")
}
