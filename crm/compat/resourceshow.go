package compat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/status"
)

// show answers the queries.
func (o *resourceOptions) show(c *cluster, v *model.Cluster, r *model.Resource) error {
	switch o.what {
	case "", "list":
		o.listAll(v)
	case "list-raw":
		var names []string
		for _, x := range v.Resources {
			eachPrimitive(x, func(p *model.Resource) { names = append(names, p.ID) })
		}
		o.list("resource names", "resource", names)
	case "operations", "all-operations":
		o.operations(c, v, r)
	case "query", "query-raw":
		return o.query(c, v, r)
	case "get":
		return o.get(c, v, r)
	case "locate":
		o.locate(r)
	case "constraints":
		o.constraints(v, r.Top(true))
	case "why":
		o.why(v, r)
	}
	return nil
}

func (o *resourceOptions) listAll(v *model.Cluster) {
	s := status.Options{Pending: true, NoNodes: true, NoPlaces: true}
	if o.xml != nil {
		s.Depth = o.xml.Depth()
		o.xml.Raw(status.XML(v, s))
		return
	}
	o.printf("%s", status.Text(v, s))
}

// eachPrimitive calls f for the primitives in r.
func eachPrimitive(r *model.Resource, f func(*model.Resource)) {
	if r.Kind == cib.Primitive {
		f(r)
	}
	for _, child := range r.Children {
		eachPrimitive(child, f)
	}
}

// isPart reports whether x is r or in it; an anonymous instance is meant by its configured name too.
func isPart(x, r *model.Resource) bool {
	for p := x; p != nil; p = p.Parent {
		if p == r || r.Instance < 0 && p.ConfigID == r.ConfigID || p.ConfigID == r.ID {
			return true
		}
	}
	return false
}

func (o *resourceOptions) operations(c *cluster, v *model.Cluster, r *model.Resource) {
	if o.xml != nil {
		o.xml.Open("operations")
		defer o.xml.Close("operations")
	}
	for i := range v.Doc.Status.Nodes {
		st := &v.Doc.Status.Nodes[i]
		n := v.NodeByName(st.Name)
		if o.node != "" && st.Name != o.node || n == nil || o.what == "operations" && !n.Online {
			continue
		}
		for j := range st.History {
			h := &st.History[j]
			x := historyResource(v, h.ID, n)
			if r != nil && (x == nil || !isPart(x, r)) {
				continue
			}
			ops := slices.Clone(h.Operations)
			slices.SortStableFunc(ops, func(a, b cib.HistoryOp) int { return int(a.CallID - b.CallID) })
			for k := range ops {
				o.operationLine(v, x, st.Name, h.ID, &ops[k])
			}
		}
	}
}

// historyResource is the resource that a name in the history of a node means, of instances the one that is there.
func historyResource(v *model.Cluster, id string, n *model.Node) *model.Resource {
	var found *model.Resource
	for _, x := range v.All {
		if x.Kind != cib.Primitive || x.ID != id && x.ConfigID != id && x.HistoryID != id {
			continue
		}
		if found == nil || slices.Contains(x.Active, n) {
			found = x
		}
	}
	return found
}

func (o *resourceOptions) operationLine(v *model.Cluster, x *model.Resource, node, id string, e *cib.HistoryOp) {
	key := e.Key
	if key == "" {
		key = e.ID
	}
	when := ""
	if e.LastRCChange > 0 {
		when = localTime(e.LastRCChange)
	}
	if o.xml != nil {
		a := []string{"op", key, "node", node, "call", fmt.Sprint(e.CallID), "rc", fmt.Sprint(e.RC)}
		if when != "" {
			a = append(a, "last-rc-change", when, "exec-time", fmt.Sprint(max(e.ExecTime, 0)))
		}
		o.xml.Empty("operation", append(a, "status", operationStatus(e.Status))...)
		return
	}
	what := id
	if x != nil {
		what = status.Line(v, x, false)
	}
	if when != "" {
		when = fmt.Sprintf(", last-rc-change='%s', exec=%dms", when, max(e.ExecTime, 0))
	}
	o.printf("%s: %s (node=%s, call=%d, rc=%d%s): %s\n", what, key, node, e.CallID, e.RC, when, operationStatus(e.Status))
}

// operationStatus is the word of the field's tools for a recorded status.
func operationStatus(n int) string {
	words := []string{"pending", "complete", "Cancelled", "Timed Out", "NOT SUPPORTED", "Error", "Error", "Error", "Not installed", "Not connected", "Invalid"}
	if n < -1 || n+1 >= len(words) {
		return "UNKNOWN!"
	}
	return words[n+1]
}

func (o *resourceOptions) query(c *cluster, v *model.Cluster, r *model.Resource) error {
	configured, _, err := findResource(c.doc, o.id)
	if err != nil {
		return err
	}
	if o.what == "query" && r.Config != nil {
		configured = r.Config
	}
	if r.Parent != nil && configured.ID != r.ConfigID {
		configured = r.Parent.Config
	}
	text := string(cibxml.WriteObject(cib.KindResource, cib.Object{Resource: configured}))
	if o.xml != nil {
		o.xml.Open("resource_config")
		o.xml.Raw(status.ResourceXML(v, r, o.xml.Depth()))
		o.xml.Raw("    <xml><![CDATA[" + strings.ReplaceAll(text, "]]>", "]]]]><![CDATA[>") + "]]></xml>\n")
		o.xml.Close("resource_config")
		return nil
	}
	eachPrimitive(r, func(p *model.Resource) {
		if p == r || len(p.Active) > 0 {
			o.printf("%s\n", status.Line(v, p, true))
		}
	})
	o.printf("Resource XML:\n%s", text)
	return nil
}

// get shows one value as it is in force: with the template and with rules, on the node where the resource runs.
func (o *resourceOptions) get(c *cluster, v *model.Cluster, r *model.Resource) error {
	var value string
	var ok bool
	switch {
	case o.meta:
		if value, ok = r.Meta[o.argument]; !ok && r.Kind == cib.Clone && len(r.Children) > 0 {
			value, ok = r.Children[0].Meta[o.argument]
		}
	case o.util:
		if r.Config != nil {
			value, ok = cib.Value(r.Config.Utilization, o.argument)
		}
	default:
		var node *model.Node
		if len(r.Active) == 1 {
			node = r.Active[0]
		}
		value, ok = values.Params(v, r, node)[o.argument]
	}
	switch {
	case !ok:
		o.warn("Attribute '%s' not found for '%s'", o.argument, o.id)
	case o.xml != nil:
		o.xml.Open("list", "name", "attributes", "count", "1")
		o.element("item", value, "name", o.argument)
		o.xml.Close("list")
	default:
		o.printf("%s\n", value)
	}
	return nil
}

func (o *resourceOptions) locate(r *model.Resource) {
	type place struct{ node, role string }
	var list []place
	parts := []*model.Resource{r}
	if r.Instance >= 0 && r.ID != o.id && r.Parent != nil {
		parts = slices.Clone(r.Parent.Children) // the configured name of an anonymous instance means all of them
	}
	for _, part := range parts {
		eachPrimitive(part, func(p *model.Resource) {
			for _, n := range p.Active {
				x := place{n.Name, ""}
				if p.Role == model.RolePromoted {
					x.role = " Promoted"
				}
				if !slices.Contains(list, x) {
					list = append(list, x)
				}
			}
		})
	}
	switch {
	case o.xml != nil:
		o.xml.Open("nodes", "resource", o.id)
		for _, x := range list {
			if x.role != "" {
				o.element("node", x.node, "state", "promoted")
			} else {
				o.element("node", x.node)
			}
		}
		o.xml.Close("nodes")
	case len(list) == 0 && !o.quiet:
		o.warn("resource %s is NOT running", o.id)
	case o.quiet:
		for _, x := range list {
			o.printf("%s\n", x.node)
		}
	default:
		for _, x := range list {
			o.printf("resource %s is running on: %s%s\n", o.id, x.node, x.role)
		}
	}
}

// constraints shows the locations of r, and colocations with the locations of the others.
func (o *resourceOptions) constraints(v *model.Cluster, r *model.Resource) {
	o.locations(v, r, 0)
	seen := map[*model.Resource]bool{r: true}
	for _, dependent := range []bool{true, false} {
		o.colocated(v, r, dependent, 0, seen)
	}
}

// colocated lists the resources that r is placed with (dependent), or that are placed with r.
func (o *resourceOptions) colocated(v *model.Cluster, r *model.Resource, dependent bool, depth int, seen map[*model.Resource]bool) {
	began := false
	for _, k := range v.Colocations {
		from, to := k.Dependent, k.Primary
		if !dependent {
			from, to = to, from
		}
		if from != r || to == nil || !k.Explicit {
			continue
		}
		if !began {
			began = true
			title := "Resources colocated with " + r.ID
			if dependent {
				title = "Resources " + r.ID + " is colocated with"
			}
			o.item(depth, title+":")
		}
		o.item(depth+1, fmt.Sprintf("%s (score=%s, id=%s)", to.ID, cib.Score(k.Score), k.ID))
		if dependent {
			o.locations(v, to, depth+2)
		}
		if o.recursive && !seen[to] {
			seen[to] = true
			o.colocated(v, to, dependent, depth+2, seen)
		}
	}
}

func (o *resourceOptions) item(depth int, text string) {
	if depth > 0 {
		text = strings.Repeat("  ", depth) + "* " + text
	}
	o.printf("%s\n", text)
}

func (o *resourceOptions) locations(v *model.Cluster, r *model.Resource, depth int) {
	var list []string
	for _, l := range v.Locations {
		if l.Resource != r || l.Health {
			continue
		}
		for _, n := range l.Nodes {
			list = append(list, fmt.Sprintf("Node %s (score=%s, id=%s, rsc=%s)", n.Node.Name, cib.Score(n.Score), l.ID, r.ID))
		}
	}
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	o.item(depth, "Locations:")
	for _, text := range list {
		o.item(depth+1, text)
	}
}

// why says of each resource whether it runs, and what in the configuration keeps it from it.
func (o *resourceOptions) why(v *model.Cluster, r *model.Resource) {
	list := v.Resources
	var node *model.Node
	if o.node != "" {
		node = v.NodeByName(o.node)
	}
	if r == nil && node != nil {
		list = node.Running
	} else if r != nil {
		list = []*model.Resource{r}
	}
	for _, x := range list {
		running := false
		eachPrimitive(x, func(p *model.Resource) {
			running = running || len(p.Active) > 0 && (node == nil || slices.Contains(p.Active, node))
		})
		word, place := "not running", ""
		if running {
			word = "running"
		}
		if node != nil {
			place = " on host " + node.Name
		}
		o.printf("Resource %s is %s%s\n", x.ID, word, place)
		for _, text := range keptFrom(x) {
			o.printf("%s\n", text)
		}
	}
}

// keptFrom are the settings that keep a resource from its full role.
func keptFrom(x *model.Resource) (list []string) {
	switch model.ParseRole(x.TargetRole) {
	case model.RoleStopped:
		list = append(list, fmt.Sprintf("Configuration specifies '%s' should remain stopped", x.ID))
	case model.RoleUnpromoted:
		if t := x.Top(false); t.Clone != nil && t.Clone.Promotable {
			list = append(list, fmt.Sprintf("Configuration specifies '%s' should not be promoted", x.ID))
		}
	}
	if x.LockNode != nil {
		list = append(list, fmt.Sprintf("Resource '%s' is locked to node %s due to shutdown", x.ID, x.LockNode.Name))
	}
	if !x.Managed {
		list = append(list, fmt.Sprintf("Configuration prevents cluster from stopping or starting unmanaged '%s'", x.ID))
	}
	return list
}
