package cibcrm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Mode says what a statement does to an object that exists already.
type Mode uint8

// Modes of Apply.
const (
	// Create refuses an object whose id is taken. Sets of properties and defaults are merged all the same.
	Create Mode = iota
	// Update replaces the object of that id, in its place.
	Update
)

// Editor brings statements into a configuration. The configuration belongs to the Editor while it is used.
type Editor struct {
	Config *cib.Configuration
	// Notes say what was changed besides the statements, such as constraints that follow a resource into its
	// group.
	Notes []string

	ids idSet
}

// NewEditor begins to edit c.
func NewEditor(c *cib.Configuration) *Editor { return &Editor{Config: c, ids: idsOf(c)} }

func (e *Editor) problem(st *Statement, format string, args ...any) error {
	err := &Error{Line: st.Line, Text: st.Keyword}
	if st.ID != "" {
		err.Text += " " + st.ID
	}
	err.Text += ": " + fmt.Sprintf(format, args...)
	return err
}

// Apply brings one statement into the configuration; on an error the configuration is unchanged. An update that repeats
// what is there changes nothing, ids that the statement leaves out included: what was saved can be loaded again.
func (e *Editor) Apply(st *Statement, mode Mode) error {
	if old, comments := e.existing(st); mode == Update && says(st, old, repeats) && slices.Equal(st.Comments, comments) {
		return nil
	}
	switch {
	case st.Node != nil:
		return e.applyNode(st, mode)
	case st.Resource != nil:
		return e.applyResource(st, mode)
	case st.Constraint != nil:
		return e.applyConstraint(st, mode)
	case st.Set != nil:
		return e.applySet(st)
	case st.Tag != nil:
		return applyList(e, st, mode, &e.Config.Tags, func(t *cib.Tag) string { return t.ID }, *st.Tag, func(t *cib.Tag) { t.Comments = st.Comments })
	case st.Levels != nil:
		return e.applyTopology(st, mode)
	case st.Role != nil:
		r := *st.Role
		for i := range r.Permissions {
			if r.Permissions[i].ID == "" {
				r.Permissions[i].ID = e.ids.numbered(r.ID, 0)
			} else {
				e.ids.add(r.Permissions[i].ID)
			}
		}
		return applyList(e, st, mode, &e.Config.Roles, func(t *cib.ACLRole) string { return t.ID }, r, func(t *cib.ACLRole) { t.Comments = st.Comments })
	case st.Target != nil:
		for _, role := range st.Target.Roles {
			if !slices.ContainsFunc(e.Config.Roles, func(r cib.ACLRole) bool { return r.ID == role }) {
				return e.problem(st, "there is no role %q", role)
			}
		}
		list := &e.Config.Targets
		if st.Keyword == "acl_group" {
			list = &e.Config.Groups
		}
		return applyList(e, st, mode, list, func(t *cib.ACLTarget) string { return t.ID }, *st.Target, func(t *cib.ACLTarget) { t.Comments = st.Comments })
	case st.User != nil:
		return e.problem(st, "users with permissions of their own are of schemas before pacemaker-2.0: use role and acl_target")
	case st.Alert != nil:
		return e.applyAlert(st, mode)
	case st.Monitor != nil:
		return e.applyMonitor(st)
	case st.XML != "":
		return e.applyXML(st, mode)
	}
	return e.problem(st, "nothing to do")
}

// existing returns the object that a statement speaks of, if it is there and its parts have ids.
func (e *Editor) existing(st *Statement) (cib.Object, []string) {
	switch {
	case st.Node != nil:
		if at := slices.IndexFunc(e.Config.Nodes, func(n cib.Node) bool { return n.Name == st.ID }); at >= 0 {
			n := &e.Config.Nodes[at]
			return cib.Object{Node: n}, n.Comments
		}
	case st.Resource != nil:
		if r, _, ok := Find(e.Config, st.ID); ok {
			return cib.Object{Resource: r}, r.Comments
		}
	case st.Constraint != nil:
		if at := slices.IndexFunc(e.Config.Constraints, func(c cib.Constraint) bool { return c.ID == st.ID }); at >= 0 {
			c := &e.Config.Constraints[at]
			return cib.Object{Constraint: c}, c.Comments
		}
	case st.Set != nil:
		list := *e.sets(st.Keyword)
		if at := slices.IndexFunc(list, func(s cib.AttributeSet) bool { return s.ID == st.Set.ID }); at >= 0 {
			return cib.Object{Set: &list[at]}, list[at].Comments
		}
	case st.Role != nil:
		if at := slices.IndexFunc(e.Config.Roles, func(r cib.ACLRole) bool { return r.ID == st.ID }); at >= 0 {
			r := &e.Config.Roles[at]
			return cib.Object{Role: r}, r.Comments
		}
	case st.Alert != nil:
		if at := slices.IndexFunc(e.Config.Alerts, func(a cib.Alert) bool { return a.ID == st.ID }); at >= 0 {
			a := &e.Config.Alerts[at]
			return cib.Object{Alert: a}, a.Comments
		}
	}
	return cib.Object{}, nil
}

// sets returns the list of property sets or defaults that a statement of that keyword speaks of.
func (e *Editor) sets(keyword string) *[]cib.AttributeSet {
	return map[string]*[]cib.AttributeSet{"property": &e.Config.Properties, "rsc_defaults": &e.Config.ResourceDefaults, "op_defaults": &e.Config.OpDefaults}[keyword]
}

// applyList adds or replaces an element of a list of objects.
func applyList[T any](e *Editor, st *Statement, mode Mode, list *[]T, id func(*T) string, v T, comment func(*T)) error {
	comment(&v)
	for i := range *list {
		if id(&(*list)[i]) == st.ID {
			if mode == Create {
				return e.problem(st, "it exists already")
			}
			(*list)[i] = v
			return nil
		}
	}
	if e.ids[st.ID] && mode == Create {
		return e.problem(st, "the id %s is taken", st.ID)
	}
	e.ids.add(st.ID)
	*list = append(*list, v)
	return nil
}

func (e *Editor) applyNode(st *Statement, mode Mode) error {
	n := *st.Node
	n.Comments = st.Comments
	at := slices.IndexFunc(e.Config.Nodes, func(x cib.Node) bool { return x.Name == n.Name })
	if at >= 0 {
		old := &e.Config.Nodes[at]
		if n.ID == "" {
			n.ID = old.ID
		}
		if n.Type == "" {
			n.Type = old.Type
		}
		n.Links, n.Witness, n.Voter = old.Links, old.Witness, old.Voter
		if mode == Create {
			// Nodes come from membership: naming one again adds to it.
			n = mergeNode(old, &n)
		}
		free := idSet{}
		free.sets(old.Attributes)
		free.sets(old.Utilization)
		for id := range free {
			delete(e.ids, id)
		}
	}
	if n.ID == "" {
		n.ID = n.Name
	}
	e.ids.fillSets(n.Attributes, n.Name, "instance_attributes")
	e.ids.fillSets(n.Utilization, n.Name, "utilization")
	if at >= 0 {
		e.Config.Nodes[at] = n
	} else {
		e.Config.Nodes = append(e.Config.Nodes, n)
	}
	return nil
}

// mergeNode returns a node with what another statement says of it besides.
func mergeNode(old, more *cib.Node) cib.Node {
	out := old.Clone()
	out.ID, out.Type = more.ID, more.Type
	out.Description = cmp.Or(more.Description, old.Description)
	out.Comments = append(out.Comments, more.Comments...)
	var parts []byte
	out.EachPart(func(part byte, _ int) { parts = append(parts, part) })
	more.EachPart(func(part byte, i int) {
		into, set := &out.Attributes, &more.Attributes
		if part == cib.PartUtilization {
			into, set = &out.Utilization, &more.Utilization
		}
		if mergeSet(into, &(*set)[i]) {
			parts = append(parts, part)
		}
	})
	out.SetLayout(parts)
	return out
}

// mergeSet brings the values of a set into the first set of a list that applies always, and reports whether it became
// a set of its own because it has an id, a score or rules.
func mergeSet(list *[]cib.AttributeSet, more *cib.AttributeSet) bool {
	plain := func(s *cib.AttributeSet) bool { return s.IDRef+s.Score == "" && len(s.Rules) == 0 }
	at := slices.IndexFunc(*list, func(s cib.AttributeSet) bool { return plain(&s) })
	if at < 0 || !plain(more) || more.ID != "" {
		*list = append(*list, *more)
		return true
	}
	mergePairs(&(*list)[at], more.Pairs)
	return false
}

// mergePairs sets values in a set: those of names that it has are replaced.
func mergePairs(set *cib.AttributeSet, pairs []cib.NVPair) {
	set.Pairs = slices.Clone(set.Pairs)
	for _, p := range pairs {
		i := slices.IndexFunc(set.Pairs, func(x cib.NVPair) bool { return x.Name == p.Name && p.Name != "" })
		if i >= 0 {
			set.Pairs[i].Value, set.Pairs[i].NoValue = p.Value, p.NoValue
			continue
		}
		set.Pairs = append(set.Pairs, p)
	}
}

// Find returns a resource at any level, its parent (nil at top level) and whether it is there.
func Find(c *cib.Configuration, id string) (r, parent *cib.Resource, ok bool) {
	var walk func(list []*cib.Resource, up *cib.Resource) bool
	walk = func(list []*cib.Resource, up *cib.Resource) bool {
		for _, x := range list {
			if x.ID == id {
				r, parent = x, up
				return true
			}
			if walk(x.Members, x) {
				return true
			}
		}
		return false
	}
	ok = walk(c.Resources, nil)
	return r, parent, ok
}

func (e *Editor) applyResource(st *Statement, mode Mode) error {
	old, _, exists := Find(e.Config, st.ID)
	if exists && mode == Create {
		return e.problem(st, "a resource of that name exists already")
	}
	if !exists && e.ids[st.ID] {
		return e.problem(st, "the id %s is taken", st.ID)
	}
	if exists && old.Kind != st.Resource.Kind {
		return e.problem(st, "it is a different kind of resource now: delete it first")
	}
	r := *st.Resource
	r.Comments = st.Comments
	if r.Template != "" {
		if t, _, ok := Find(e.Config, r.Template); !ok || t.Kind != cib.Template {
			return e.problem(st, "there is no template %q", r.Template)
		}
	}
	members, err := e.members(st, &r, old)
	if err != nil {
		return err
	}
	e.references(&r)
	if exists {
		free := idSet{}
		keep := old.Members
		old.Members = nil
		free.resource(old)
		old.Members = keep
		for id := range free {
			delete(e.ids, id)
		}
	}
	e.ids.fillResource(&r)

	// From here nothing fails.
	for _, m := range members {
		if old == nil || !slices.Contains(old.Members, m) {
			e.Retarget(m.ID, r.ID)
		}
		e.detach(m)
	}
	if exists {
		var freed []*cib.Resource
		for _, m := range old.Members {
			if !slices.Contains(members, m) {
				freed = append(freed, m)
			}
		}
		r.Members = members
		*old = r
		if len(freed) > 0 {
			e.Config.Resources = append(e.Config.Resources, freed...)
		}
		return nil
	}
	r.Members = members
	e.Config.Resources = append(e.Config.Resources, &r)
	return nil
}

// members finds the resources that a collective takes in and checks that it may.
func (e *Editor) members(st *Statement, r, old *cib.Resource) ([]*cib.Resource, error) {
	var out []*cib.Resource
	for _, id := range st.Nested {
		m, parent, ok := Find(e.Config, id)
		switch {
		case !ok:
			return nil, e.problem(st, "there is no resource %q", id)
		case parent != nil && parent != old:
			return nil, e.problem(st, "%s is already in %s", id, parent.ID)
		case r.Kind == cib.Clone && m.Kind != cib.Primitive && m.Kind != cib.Group:
			return nil, e.problem(st, "only a primitive or a group can be cloned, and %s is neither", id)
		case r.Kind != cib.Clone && m.Kind != cib.Primitive:
			return nil, e.problem(st, "%s is not a primitive", id)
		}
		out = append(out, m)
	}
	return out, nil
}

// detach takes a resource out of the top level list.
func (e *Editor) detach(m *cib.Resource) {
	e.Config.Resources = slices.DeleteFunc(e.Config.Resources, func(x *cib.Resource) bool { return x == m })
}

// Retarget makes the constraints on one resource constraints on another: where a resource goes into a group,
// what was said of it holds for the group, as the field's shell does it.
func (e *Editor) Retarget(from, to string) {
	for i := range e.Config.Constraints {
		c := &e.Config.Constraints[i]
		changed := false
		for _, ref := range []*string{&c.Resource, &c.With, &c.First, &c.Then} {
			if *ref == from {
				*ref, changed = to, true
			}
		}
		for j := range c.Sets {
			s := &c.Sets[j]
			at := slices.Index(s.Refs, from)
			if at < 0 {
				continue
			}
			s.Refs = slices.Clone(s.Refs)
			if slices.Contains(s.Refs, to) {
				s.Refs = slices.Delete(s.Refs, at, at+1)
			} else {
				s.Refs[at] = to
			}
			changed = true
		}
		if changed {
			e.Notes = append(e.Notes, fmt.Sprintf("%s %s is about %s now instead of %s", constraintKeyword[c.Kind], c.ID, to, from))
		}
	}
}

// references resolves references that name an object instead of the block in it. What is not found stays as it
// is written: it may be defined later, and a check of the whole configuration finds it.
func (e *Editor) references(r *cib.Resource) {
	if ref := r.Operations.IDRef; ref != "" {
		if o, _, ok := Find(e.Config, ref); ok {
			if o.Operations.ID == "" {
				o.Operations.ID = e.ids.fresh(o.ID + "-operations")
			}
			r.Operations.IDRef = o.Operations.ID
		}
	}
	for kind, sets := range map[string][]cib.AttributeSet{"params": r.Params, "meta": r.Meta, "utilization": r.Utilization} {
		for i := range sets {
			if sets[i].IDRef != "" {
				sets[i].IDRef = e.setReference(sets[i].IDRef, kind)
			}
		}
	}
}

func (e *Editor) eachResource(f func(*cib.Resource)) {
	var walk func([]*cib.Resource)
	walk = func(list []*cib.Resource) {
		for _, r := range list {
			f(r)
			walk(r.Members)
		}
	}
	walk(e.Config.Resources)
}

func setsOf(r *cib.Resource, kind string) []cib.AttributeSet {
	switch kind {
	case "params":
		return r.Params
	case "meta":
		return r.Meta
	}
	return r.Utilization
}

// setReference resolves a reference to a block: its id, or the id of a resource that has such a block.
func (e *Editor) setReference(ref, kind string) string {
	found := ref
	e.eachResource(func(r *cib.Resource) {
		for _, s := range setsOf(r, kind) {
			if r.ID == ref && found == ref && s.ID != "" {
				found = s.ID
			}
		}
	})
	return found
}

func (e *Editor) applyConstraint(st *Statement, mode Mode) error {
	c := *st.Constraint
	c.Comments = st.Comments
	at := slices.IndexFunc(e.Config.Constraints, func(x cib.Constraint) bool { return x.ID == c.ID })
	switch {
	case at >= 0 && mode == Create:
		return e.problem(st, "a constraint of that name exists already")
	case at < 0 && e.ids[c.ID]:
		return e.problem(st, "the id %s is taken", c.ID)
	}
	for i := range c.Rules {
		if ref := c.Rules[i].IDRef; ref != "" {
			c.Rules[i].IDRef = e.ruleReference(ref)
		}
	}
	if at >= 0 {
		old := &e.Config.Constraints[at]
		for i := range old.Rules {
			free := idSet{}
			free.rule(&old.Rules[i])
			for id := range free {
				delete(e.ids, id)
			}
		}
		for i := range old.Sets {
			delete(e.ids, old.Sets[i].ID)
		}
	}
	e.ids.add(c.ID)
	for i := range c.Sets {
		if c.Sets[i].ID == "" {
			c.Sets[i].ID = e.ids.numbered(c.ID, i)
		}
	}
	for i := range c.Rules {
		e.ids.fillRule(&c.Rules[i], c.ID)
	}
	if at >= 0 {
		e.Config.Constraints[at] = c
	} else {
		e.Config.Constraints = append(e.Config.Constraints, c)
	}
	return nil
}

// ruleReference resolves a reference to a rule: its id, or the id of a constraint with a rule.
func (e *Editor) ruleReference(ref string) string {
	for i := range e.Config.Constraints {
		c := &e.Config.Constraints[i]
		for j := range c.Rules {
			if c.ID == ref && c.Rules[j].ID != "" {
				return c.Rules[j].ID
			}
		}
	}
	return ref
}

// applySet merges a set of properties or defaults: values of names that are set already are replaced. A set
// with a rule or score stands for itself and replaces the one of the same id.
func (e *Editor) applySet(st *Statement) error {
	list := e.sets(st.Keyword)
	set := *st.Set
	set.Comments = st.Comments
	at := slices.IndexFunc(*list, func(x cib.AttributeSet) bool { return x.ID == set.ID && set.ID != "" })
	if at < 0 {
		if e.ids[set.ID] {
			return e.problem(st, "the id %s is taken", set.ID)
		}
		e.ids.add(set.ID)
		e.ids.fillSet(&set)
		*list = append(*list, set)
		return nil
	}
	merged := (*list)[at]
	if st.whole {
		merged = cib.AttributeSet{ID: set.ID}
	}
	if len(set.Comments) > 0 {
		merged.Comments = set.Comments
	}
	if len(set.Rules) > 0 {
		merged.Rules = set.Rules
	}
	if set.Score != "" {
		merged.Score = set.Score
	}
	mergePairs(&merged, set.Pairs)
	e.ids.fillSet(&merged)
	(*list)[at] = merged
	return nil
}

func (e *Editor) applyTopology(st *Statement, mode Mode) error {
	if mode == Create && len(e.Config.FencingTopology) > 0 {
		return e.problem(st, "there is one already: delete fencing_topology first, or change it with edit")
	}
	var out []cib.FencingLevel
	for _, l := range st.Levels {
		for _, d := range l.Devices {
			if r, _, ok := Find(e.Config, d); !ok || !strings.EqualFold(r.Class, "stonith") && r.Template == "" {
				return e.problem(st, "there is no fencing device %q", d)
			}
		}
		if l.Target != allNodes {
			out = append(out, l)
		}
	}
	for i := range e.Config.Nodes {
		n := &e.Config.Nodes[i]
		if n.Type == "remote" {
			continue
		}
		for _, l := range st.Levels {
			if l.Target == allNodes {
				l.Target = n.Name
				out = append(out, l)
			}
		}
	}
	for _, l := range e.Config.FencingTopology {
		delete(e.ids, l.ID)
	}
	for i := range out {
		out[i].ID = e.ids.fresh("fencing")
	}
	e.Config.FencingTopology = out
	return nil
}

func (e *Editor) applyAlert(st *Statement, mode Mode) error {
	a := *st.Alert
	if at := slices.IndexFunc(e.Config.Alerts, func(x cib.Alert) bool { return x.ID == a.ID }); at >= 0 && mode == Update {
		old := e.Config.Alerts[at]
		free := idsOf(&cib.Configuration{Alerts: []cib.Alert{old}})
		for id := range free {
			delete(e.ids, id)
		}
	}
	e.ids.fillSets(a.Params, a.ID, "instance_attributes")
	e.ids.fillSets(a.Meta, a.ID, "meta_attributes")
	if a.Select != nil {
		for i := range a.Select.Attributes {
			if a.Select.Attributes[i].ID == "" {
				a.Select.Attributes[i].ID = e.ids.numbered(a.ID, 0)
			}
		}
	}
	for i := range a.Recipients {
		r := &a.Recipients[i]
		if r.ID == "" {
			r.ID = e.ids.numbered(a.ID+"-recipient", 1)
		}
		e.ids.fillSets(r.Params, r.ID, "instance_attributes")
		e.ids.fillSets(r.Meta, r.ID, "meta_attributes")
	}
	return applyList(e, st, mode, &e.Config.Alerts, func(t *cib.Alert) string { return t.ID }, a, func(t *cib.Alert) { t.Comments = st.Comments })
}

func (e *Editor) applyMonitor(st *Statement) error {
	m := st.Monitor
	r, _, ok := Find(e.Config, m.Resource)
	if !ok || r.Kind != cib.Primitive {
		return e.problem(st, "there is no primitive %q", m.Resource)
	}
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		if o.Name == "monitor" && o.Interval == m.Interval {
			return e.problem(st, "it has a monitor with the interval %s already", m.Interval)
		}
	}
	o := cib.Operation{Name: "monitor", Interval: m.Interval}
	var parts []byte
	if m.Role != "" {
		o.Extra = append(o.Extra, cib.Attr{Name: "role", Value: canonicalRole(m.Role)})
		parts = append(parts, cib.PartAttribute)
	}
	parts = append(parts, cib.PartInterval)
	if m.Timeout != "" {
		o.Extra = append(o.Extra, cib.Attr{Name: "timeout", Value: m.Timeout})
		parts = append(parts, cib.PartAttribute)
	}
	o.SetLayout(parts)
	e.ids.fillOp(&o, r)
	r.Operations.List = append(r.Operations.List, o)
	return nil
}

// Replace makes a statement of a set of properties or defaults replace the set of its id instead of adding to
// it. Other statements are not changed.
func (st *Statement) Replace() { st.whole = st.Set != nil }

// Complete gives ids to all parts of resources that have none.
func (e *Editor) Complete() {
	e.eachResource(e.ids.fillResource)
}
