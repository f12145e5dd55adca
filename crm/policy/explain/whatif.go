package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

// Forms lists what WhatIf understands, one form a line.
const Forms = `node NAME standby|online|offline|lost|maintenance
node NAME attribute NAME=VALUE
resource ID stopped|started|managed|unmanaged
resource ID move|ban NODE
resource ID clear
resource ID failed [NODE]
property NAME=VALUE
ticket ID granted|revoked|standby|active
quorum yes|no
`

// whatIf is one change under way.
type whatIf struct {
	text string
	in   policy.Input
	c    *model.Cluster // the state before the change
}

func (w *whatIf) fail(format string, args ...any) error {
	return fmt.Errorf("what-if %q: %s", w.text, fmt.Sprintf(format, args...))
}

// WhatIf returns in with a copy of its document as it would be after the change in text, which has one of the
// Forms. A node that is offline has left cleanly, one that is lost has to be fenced; online also ends standby and
// maintenance. A resource moves and is banned as by "crm resource". The error says what would be right.
func WhatIf(in policy.Input, text string) (policy.Input, error) {
	w := &whatIf{text: text, in: in}
	var err error
	if w.c, err = policy.State(in); err != nil {
		return in, err
	}
	words := strings.Fields(text)
	if len(words) < 2 {
		return in, w.unknown()
	}
	switch words[0] {
	case "node":
		err = w.node(words[1:])
	case "resource":
		err = w.resource(words[1:])
	case "property":
		err = w.property(words[1:])
	case "ticket":
		err = w.ticket(words[1:])
	case "quorum":
		err = w.quorum(words[1:])
	default:
		err = w.unknown()
	}
	if err != nil {
		return in, err
	}
	return w.in, nil
}

func (w *whatIf) unknown() error {
	return w.fail("want one of\n  %s", strings.ReplaceAll(strings.TrimSuffix(Forms, "\n"), "\n", "\n  "))
}

func (w *whatIf) inject(in simulate.Injection) error {
	out, _, problems := simulate.Inject(w.in.Document, w.c, in, w.in.Now)
	if len(problems) > 0 {
		return w.fail("%s", strings.Join(problems, "; "))
	}
	w.in.Document = out
	return nil
}

// findNode finds a node by name.
func (w *whatIf) findNode(name string) (*model.Node, error) {
	if n := w.c.NodeByName(name); n != nil {
		return n, nil
	}
	names := make([]string, len(w.c.Nodes))
	for i, n := range w.c.Nodes {
		names[i] = n.Name
	}
	return nil, w.fail("there is no node %s; the nodes are %s", name, list(names))
}

// list writes names, of many only the first.
func list(names []string) string {
	const most = 20
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (w *whatIf) node(words []string) error {
	n, err := w.findNode(words[0])
	if err != nil {
		return err
	}
	if len(words) == 3 && words[1] == "attribute" {
		name, value, ok := strings.Cut(words[2], "=")
		if !ok || name == "" {
			return w.fail("want node %s attribute NAME=VALUE", n.Name)
		}
		return w.setAttribute(n, name, value)
	}
	if len(words) != 2 {
		return w.unknown()
	}
	switch words[1] {
	case "standby":
		return w.setAttribute(n, "standby", "on")
	case "maintenance":
		return w.setAttribute(n, "maintenance", "true")
	case "online":
		if err := w.inject(simulate.Injection{Up: []string{n.Name}}); err != nil {
			return err
		}
		for _, name := range [...]string{"standby", "maintenance"} {
			if _, set := n.Attributes[name]; set {
				if err := w.setAttribute(n, name, "false"); err != nil {
					return err
				}
			}
		}
		return nil
	case "offline":
		return w.inject(simulate.Injection{Down: []string{n.Name}})
	case "lost":
		return w.inject(simulate.Injection{Fail: []string{n.Name}})
	}
	return w.fail("%q is none of standby, online, offline, lost, maintenance", words[1])
}

// setAttribute sets a node attribute: the transient one where there is one of that name, as it wins, and else the
// permanent one.
func (w *whatIf) setAttribute(n *model.Node, name, value string) error {
	out := w.in.Document.Clone()
	w.in.Document = out
	for i := range out.Status.Nodes {
		st := &out.Status.Nodes[i]
		if _, ok := cib.Value(st.Attributes, name); ok && (st.ID == n.ID || st.Name == n.Name) {
			st.Attributes = setPair(st.Attributes, "status-"+n.ID, name, value)
			return nil
		}
	}
	for i := range out.Config.Nodes {
		if x := &out.Config.Nodes[i]; x.ID == n.ID || x.Name == n.Name {
			x.Attributes = setPair(x.Attributes, "nodes-"+n.ID, name, value)
			return nil
		}
	}
	return w.fail("node %s is not in the configuration, so it can have no attributes there", n.Name)
}

// edited makes a copy of the document and finds the resource in it.
func (w *whatIf) edited(id string) (*cib.Document, *cib.Resource, error) {
	out := w.in.Document.Clone()
	var found *cib.Resource
	var ids []string
	cib.EachResource(&out.Config, func(r, _ *cib.Resource) {
		if r.Kind == cib.Template {
			return
		}
		if r.ID == id {
			found = r
		}
		ids = append(ids, r.ID)
	})
	if found == nil {
		if near := cib.Nearest(id, ids); near != "" {
			return nil, nil, w.fail("there is no resource %s; did you mean %s?", id, near)
		}
		return nil, nil, w.fail("there is no resource %s; the resources are %s", id, list(ids))
	}
	w.in.Document = out
	return out, found, nil
}

func (w *whatIf) resource(words []string) error {
	if len(words) < 2 || len(words) > 3 {
		return w.unknown()
	}
	before := w.in.Document
	doc, r, err := w.edited(words[0])
	if err != nil {
		return err
	}
	needsNode := func() (*model.Node, error) {
		if len(words) != 3 {
			return nil, w.fail("want resource %s %s NODE", r.ID, words[1])
		}
		return w.findNode(words[2])
	}
	if len(words) == 3 && !slices.Contains([]string{"move", "ban", "failed"}, words[1]) {
		return w.fail("%q is too much", words[2])
	}
	meta := func(name, value string) { r.Meta = setPair(r.Meta, r.ID+"-meta_attributes", name, value) }
	switch words[1] {
	case "stopped":
		meta("target-role", "Stopped")
	case "started":
		meta("target-role", "Started")
	case "managed":
		meta("is-managed", "true")
	case "unmanaged":
		meta("is-managed", "false")
	case "move", "ban":
		n, err := needsNode()
		if err != nil {
			return err
		}
		k := cib.Constraint{Kind: cib.Location, Resource: r.ID, Node: n.Name, ID: "cli-prefer-" + r.ID, Score: "INFINITY", Role: "Started"}
		if words[1] == "ban" {
			k.ID, k.Score = "cli-ban-"+r.ID+"-on-"+n.Name, "-INFINITY"
		}
		doc.Config.Constraints = append(slices.DeleteFunc(doc.Config.Constraints, func(x cib.Constraint) bool { return x.ID == k.ID }), k)
	case "clear":
		doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(x cib.Constraint) bool {
			return x.ID == "cli-prefer-"+r.ID || x.Resource == r.ID && strings.HasPrefix(x.ID, "cli-ban-"+r.ID+"-on-")
		})
	case "failed":
		w.in.Document = before
		var n *model.Node
		if len(words) == 3 {
			if n, err = w.findNode(words[2]); err != nil {
				return err
			}
		}
		return w.failure(r.ID, n)
	default:
		return w.fail("%q is none of stopped, started, managed, unmanaged, move, ban, clear, failed", words[1])
	}
	return nil
}

// failure makes the monitor of every primitive within a resource fail, on one node or wherever it is active.
func (w *whatIf) failure(id string, node *model.Node) error {
	var in simulate.Injection
	for _, r := range w.c.All {
		if r.Kind != cib.Primitive || !within(r, id) {
			continue
		}
		interval := int64(0)
		for _, op := range r.Ops {
			if op.Name == "monitor" && op.Enabled && op.IntervalMS > 0 && (op.Role == model.RoleUnknown || op.Role == r.Role) {
				interval = op.IntervalMS
				break
			}
		}
		for _, n := range r.Active {
			if node == nil || n == node {
				in.Operations = append(in.Operations, fmt.Sprintf("%s_monitor_%d@%s=1", r.ID, interval, n.Name))
			}
		}
	}
	if len(in.Operations) == 0 {
		if node != nil {
			return w.fail("%s is not active on %s, so it cannot fail there", id, node.Name)
		}
		return w.fail("%s is not active anywhere, so it cannot fail", id)
	}
	return w.inject(in)
}

func (w *whatIf) property(words []string) error {
	name, value, ok := strings.Cut(strings.Join(words, " "), "=")
	if !ok || name == "" {
		return w.fail("want property NAME=VALUE")
	}
	o := cib.PropertyOption(name)
	if o == nil {
		var names []string
		for _, p := range cib.Properties() {
			names = append(names, p.Name)
		}
		if near := cib.Nearest(name, names); near != "" {
			return w.fail("there is no property %s; did you mean %s?", name, near)
		}
		return w.fail(`there is no property %s; "crm configure help property" lists them`, name)
	}
	if err := o.Check(value); err != nil {
		return w.fail("%v", err)
	}
	out := w.in.Document.Clone()
	// An older name of the same property must not stay beside it.
	names := append([]string{o.Name}, o.Old...)
	for i := range out.Config.Properties {
		set := &out.Config.Properties[i]
		set.Pairs = slices.DeleteFunc(set.Pairs, func(p cib.NVPair) bool { return slices.Contains(names, p.Name) })
	}
	out.Config.Properties = setPair(out.Config.Properties, cib.BootstrapSet, o.Name, value)
	w.in.Document = out
	return nil
}

func (w *whatIf) ticket(words []string) error {
	if len(words) != 2 {
		return w.unknown()
	}
	id := words[0]
	if w.c.Tickets[id] == nil && !slices.ContainsFunc(w.in.Document.Config.Constraints, func(k cib.Constraint) bool { return k.Ticket == id }) {
		return w.fail("nothing depends on a ticket %s", id)
	}
	switch words[1] {
	case "granted":
		return w.inject(simulate.Injection{Grant: []string{id}})
	case "revoked":
		return w.inject(simulate.Injection{Revoke: []string{id}})
	case "standby":
		return w.inject(simulate.Injection{Standby: []string{id}})
	case "active":
		return w.inject(simulate.Injection{Activate: []string{id}})
	}
	return w.fail("%q is none of granted, revoked, standby, active", words[1])
}

func (w *whatIf) quorum(words []string) error {
	yes, err := cib.ParseBool(words[0])
	if err != nil || len(words) != 1 {
		return w.fail("want quorum yes or quorum no")
	}
	doc := *w.in.Document
	doc.Head.HaveQuorum = "0"
	if yes {
		doc.Head.HaveQuorum = "1"
	}
	w.in.Document, w.in.Quorate = &doc, yes
	return nil
}

// setPair gives name the value in every set that has it and, if none has, in the first set without a rule.
func setPair(sets []cib.AttributeSet, id, name, value string) []cib.AttributeSet {
	found := false
	for i := range sets {
		for j := range sets[i].Pairs {
			if p := &sets[i].Pairs[j]; p.Name == name {
				p.Value, p.NoValue, p.IDRef, found = value, false, "", true
			}
		}
	}
	if found {
		return sets
	}
	pair := cib.NVPair{ID: id + "-" + name, Name: name, Value: value}
	if i := slices.IndexFunc(sets, func(s cib.AttributeSet) bool { return s.IDRef == "" && len(s.Rules) == 0 }); i >= 0 {
		sets[i].Pairs = append(sets[i].Pairs, pair)
		return sets
	}
	return append(sets, cib.AttributeSet{ID: id, Pairs: []cib.NVPair{pair}})
}
