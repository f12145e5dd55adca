package cib

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/rule"
)

// maxCheckProblems bounds the warnings of one Check, and its errors: nobody reads more at once.
const maxCheckProblems = 500

// Check returns what is wrong with the configuration of doc, each problem once, with where it is and what
// would be right. Errors are what no cluster can act on: ids that are missing, given twice or cannot be
// carried; references to nothing; wrong structure; values that are none; orders and colocations that can
// never be met. Warnings are what may not do what its author expects. Agents and their parameters are not
// looked at: that needs their metadata.
//
// Older forms are accepted as they are; see Upgrade.
func Check(doc *Document) []Problem {
	k := checker{c: &doc.Config, doc: doc}
	k.index()
	k.ids()
	k.references()
	k.objects()
	k.orderCycles()
	k.placements()
	k.fencing()
	return k.problems
}

// objects checks what can be said of each object alone, or of objects of its kind.
func (k *checker) objects() {
	k.nodes()
	for _, r := range k.c.Resources {
		k.resource(r, nil, 0)
	}
	for i := range k.c.Constraints {
		k.constraint(&k.c.Constraints[i])
	}
	k.cluster()
	k.properties()
	k.defaults()
	k.others()
}

// PropertiesPlace is where problems of cluster properties are.
const PropertiesPlace = "cluster properties"

type checker struct {
	doc      *Document
	c        *Configuration
	problems []Problem
	count    [2]int // of problems, by severity

	resources map[string]*Resource // every level, templates too; the first of an id
	parents   map[string]*Resource // by id of the member
	tags      map[string]*Tag
	nodeNames map[string]bool // lower case; also remote and guest nodes
	derived   map[string][]string
	known     map[string]string // id -> what has it
}

func (k *checker) add(severity Severity, pos Pos, where, text, hint string) {
	if k.count[severity] < maxCheckProblems {
		k.count[severity]++
		k.problems = append(k.problems, Problem{Severity: severity, Pos: pos, Where: where, Text: text, Hint: hint})
	}
}

func (k *checker) error(pos Pos, where, hint, format string, args ...any) {
	k.add(Error, pos, where, fmt.Sprintf(format, args...), hint)
}

func (k *checker) warn(pos Pos, where, hint, format string, args ...any) {
	k.add(Warning, pos, where, fmt.Sprintf(format, args...), hint)
}

func (k *checker) index() {
	// The maps get their size at once: to let them grow is a third of the time of a check.
	resources, ids := 0, 0
	EachResource(k.c, func(_, _ *Resource) { resources++ })
	EachID(k.c, func(string, string, Pos) { ids++ })
	k.resources = make(map[string]*Resource, resources)
	k.parents = make(map[string]*Resource, resources)
	k.tags = make(map[string]*Tag)
	k.nodeNames = make(map[string]bool)
	k.derived = make(map[string][]string)
	k.known = make(map[string]string, ids)
	for i := range k.c.Nodes {
		k.nodeNames[strings.ToLower(k.c.Nodes[i].Name)] = true
	}
	EachResource(k.c, func(r, parent *Resource) {
		if _, ok := k.resources[r.ID]; !ok {
			k.resources[r.ID], k.parents[r.ID] = r, parent
		}
		if r.Template != "" {
			k.derived[r.Template] = append(k.derived[r.Template], r.ID)
		}
		if r.Class == "ocf" && r.Provider == "pacemaker" && r.Type == "remote" {
			k.nodeNames[strings.ToLower(r.ID)] = true
		}
		if guest, ok := lookup(r.Meta, "remote-node"); ok {
			k.nodeNames[strings.ToLower(guest)] = true
		}
	})
	for i := range k.c.Tags {
		k.tags[k.c.Tags[i].ID] = &k.c.Tags[i]
	}
}

// ids checks that ids are there, can be carried, and are not given twice.
func (k *checker) ids() {
	EachID(k.c, func(id, what string, pos Pos) {
		if why := badID(id); why != "" {
			k.error(pos, what+" "+id, "", "%s", why)
		}
		if other, taken := k.known[id]; taken {
			k.error(pos, what+" "+id, "give each object an id of its own", "the id is taken by another %s", other)
			return
		}
		k.known[id] = what
	})
	for _, s := range sections {
		if s.kind == KindUnknown || s.kind == KindCluster {
			continue
		}
		for _, o := range s.get(k.c) {
			if o.ID() == "" && (o.Set == nil || o.Set.IDRef == "") {
				k.error(o.Pos(), s.kind, "", "an id is missing")
			}
		}
	}
}

// exists reports whether an id can be meant by a reference to a resource: a resource, a template that has
// primitives, or a tag; or an instance of a clone.
func (k *checker) exists(id string) bool {
	if k.resources[id] != nil || k.tags[id] != nil {
		return true
	}
	base, number, ok := strings.Cut(id, ":")
	if !ok || k.resources[base] == nil {
		return false
	}
	_, err := strconv.Atoi(number)
	return err == nil
}

func (k *checker) names() []string {
	var out []string
	EachResource(k.c, func(r, _ *Resource) { out = append(out, r.ID) })
	for i := range k.c.Tags {
		out = append(out, k.c.Tags[i].ID)
	}
	return out
}

func (k *checker) references() {
	var sets, pairs, rules, operations, ops, resourceSets, roles map[string]bool
	collect := func() {
		sets, pairs, rules, operations = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
		ops, resourceSets, roles = map[string]bool{}, map[string]bool{}, map[string]bool{}
		EachID(k.c, func(id, what string, _ Pos) {
			switch what {
			case "instance_attributes", "meta_attributes", "utilization", "cluster_property_set":
				sets[id] = true
			case "nvpair":
				pairs[id] = true
			case "rule":
				rules[id] = true
			case "operations":
				operations[id] = true
			case "op":
				ops[id] = true
			case "resource_set":
				resourceSets[id] = true
			case "acl_role":
				roles[id] = true
			}
		})
		// An operations element without an id of its own is named by that of its resource.
		EachResource(k.c, func(r, _ *Resource) { operations[r.ID] = true })
	}
	EachReference(k.c, func(r Reference) {
		where := r.Where
		missing := func(hint string) {
			k.error(r.Pos, where, hint, "%s names the %s %q, which does not exist", r.Field, r.Target, r.To)
		}
		if sets == nil {
			collect()
		}
		switch r.Target {
		case ToResource:
			if !k.exists(r.To) {
				hint := ""
				if near := Nearest(r.To, k.names()); near != "" {
					hint = "did you mean " + near + "?"
				}
				missing(hint)
			} else if t := k.resources[r.To]; t != nil && t.Kind == Template && len(k.derived[r.To]) == 0 {
				k.warn(r.Pos, where, "", "%s names the template %s, from which no primitive is made", r.Field, r.To)
			}
			if r.Kind == KindLevel {
				if t := k.resources[r.To]; t != nil && t.Kind == Primitive && t.Template == "" && !strings.EqualFold(t.Class, "stonith") {
					k.error(r.Pos, where, "name primitives of class stonith", "the device %s is no fence device", r.To)
				}
			}
		case ToTemplate:
			if t := k.resources[r.To]; t == nil || t.Kind != Template {
				missing("")
			}
		case ToNode:
			if !k.nodeNames[strings.ToLower(r.To)] {
				k.warn(r.Pos, where, "", "%s names the node %q, which is not in the configuration", r.Field, r.To)
			}
		case ToAny:
			if k.known[r.To] == "" && k.resources[r.To] == nil && !k.nodeNames[strings.ToLower(r.To)] && !k.nodeID(r.To) {
				k.error(r.Pos, where, "", "%s names the object %q, which does not exist", r.Field, r.To)
			}
		case ToSet:
			if !sets[r.To] {
				missing("")
			}
		case ToPair:
			if !pairs[r.To] {
				missing("")
			}
		case ToRule:
			if !rules[r.To] {
				missing("")
			}
		case ToOperations:
			if !operations[r.To] {
				missing("")
			}
		case ToOperation:
			if !ops[r.To] {
				missing("")
			}
		case ToResourceSet:
			if !resourceSets[r.To] {
				missing("")
			}
		case ToACLRole:
			if !roles[r.To] {
				missing("")
			}
		}
	})
}

func (k *checker) nodeID(id string) bool {
	return slices.ContainsFunc(k.c.Nodes, func(n Node) bool { return n.ID == id })
}

func (k *checker) nodes() {
	names, ids := make(map[string]bool), make(map[string]bool)
	for i := range k.c.Nodes {
		n := &k.c.Nodes[i]
		where := "node " + cmp.Or(n.Name, n.ID)
		switch {
		case n.Name == "":
			k.error(n.Pos, where, "", "the node has no name")
		case names[strings.ToLower(n.Name)]:
			k.error(n.Pos, where, "names differ in more than case", "the name is taken by another node")
		case strings.ContainsFunc(n.Name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`$;|&<>(){}[]\\/", r) }):
			k.error(n.Pos, where, "use letters, digits, dot, dash and underscore", "the name cannot be carried by agents and the shell")
		}
		if n.ID != "" && ids[strings.ToLower(n.ID)] {
			k.error(n.Pos, where, "", "the id %q is taken by another node", n.ID)
		}
		names[strings.ToLower(n.Name)], ids[strings.ToLower(n.ID)] = true, true
		switch n.Type {
		case "", "member", "remote", "ping", "normal":
		default:
			k.error(n.Pos, where, "use member or remote", "unknown type %q", n.Type)
		}
		k.score(n.Pos, where, "score", n.Score)
		switch n.Voter {
		case "", "auto", "yes", "no":
		default:
			k.error(n.Pos, where, "use auto, yes or no", "unknown value %q of voter", n.Voter)
		}
		if n.Witness && n.Voter == "no" {
			k.error(n.Pos, where, "remove one of them", "a witness that does not vote does nothing")
		}
		k.sets(where, n.Attributes, nil)
		k.sets(where, n.Utilization, nil)
		links := make(map[string]bool)
		disabled := len(n.Links) > 0
		for _, l := range n.Links {
			if l.Address == "" {
				k.error(n.Pos, where, "", "link %s has no address", l.Link)
			}
			if strings.ContainsAny(l.Address, " \t\r\n/,;") {
				k.error(n.Pos, where, "write an IP address or a host name, without a port or a mask", "link %s has the address %q", l.Link, l.Address)
			}
			if links[l.Link] {
				k.error(n.Pos, where, "", "link %s is given twice", l.Link)
			}
			if at := slices.IndexFunc(k.c.Cluster.Links, func(x LinkSettings) bool { return x.Name == l.Link }); at >= 0 {
				disabled = disabled && k.c.Cluster.Links[at].Disabled
			} else {
				disabled = false
				// Links need no description of their own; only what looks like a slip is named.
				var names []string
				for _, x := range k.c.Cluster.Links {
					names = append(names, x.Name)
				}
				if near := Nearest(l.Link, names); near != "" {
					k.warn(n.Pos, where, "did you mean "+near+"?", "link %s is not among the links that are described", l.Link)
				}
			}
			links[l.Link] = true
		}
		if disabled {
			k.error(n.Pos, where, "enable one of them", "all links of the node are disabled, so that no other can reach it")
		}
	}
}

// score checks a score that may be missing.
func (k *checker) score(pos Pos, where, name, text string) {
	if text == "" {
		return
	}
	if _, err := ParseScore(text); err != nil {
		k.error(pos, where, "use a whole number, INFINITY or -INFINITY", "%s %q is no score", name, text)
	}
}

// choice checks a word that may be missing; case does not count.
func (k *checker) choice(pos Pos, where, name, text string, choices ...string) {
	if text == "" || slices.ContainsFunc(choices, func(c string) bool { return strings.EqualFold(c, text) }) {
		return
	}
	k.error(pos, where, "use "+strings.Join(choices, ", "), "unknown value %q of %s", text, name)
}

func (k *checker) boolean(pos Pos, where, name, text string) {
	if text == "" {
		return
	}
	if _, err := ParseBool(text); err != nil {
		k.error(pos, where, "use true or false", "%s %q is no boolean", name, text)
	}
}

func (k *checker) role(pos Pos, where, name, text string) {
	if text == "" {
		return
	}
	if _, err := ParseRole(text); err != nil {
		k.error(pos, where, "use Stopped, Started, Unpromoted or Promoted", "%s %q is no role", name, text)
	}
}

// sets checks sets of attributes; option gives the option of a name, nil = names are free.
func (k *checker) sets(where string, list []AttributeSet, option func(string) *Option) {
	for i := range list {
		s := &list[i]
		if s.IDRef != "" && (len(s.Pairs) > 0 || len(s.Rules) > 0) {
			k.error(s.Pos, where, "write one of them", "a set has both id-ref %s and values of its own", s.IDRef)
		}
		if s.ID == "" && s.IDRef == "" {
			k.error(s.Pos, where, "", "a set of attributes has no id")
		}
		k.score(s.Pos, where, "score", s.Score)
		if len(s.Rules) > 1 {
			k.warn(s.Pos, where, "join them in one rule", "set %s has %d rules, of which only the first counts", s.ID, len(s.Rules))
		}
		k.rules(s.Pos, where, s.Rules)
		seen := make(map[string]bool, len(s.Pairs))
		for _, p := range s.Pairs {
			pos := p.Pos
			if pos == (Pos{}) {
				pos = s.Pos
			}
			if p.Name == "" && p.IDRef == "" {
				k.error(pos, where, "", "a value in set %s has no name", s.ID)
				continue
			}
			if p.Name != "" && seen[p.Name] {
				k.warn(pos, where, "remove one of them", "%s is given twice in set %s; the first value counts", p.Name, s.ID)
			}
			seen[p.Name] = true
			if option == nil || p.Name == "" || p.NoValue || p.IDRef != "" {
				continue
			}
			o := option(p.Name)
			if o == nil {
				continue
			}
			if err := o.Check(p.Value); err != nil && !strings.EqualFold(p.Value, "#default") {
				before := len(k.problems)
				k.warn(pos, where, "until then the default counts", "%v", err)
				if len(k.problems) > before { // else there are too many
					k.problems[before].Option = p.Name
				}
			}
		}
	}
}

// unknownNames warns about names that no table knows.
func (k *checker) unknownNames(where, what string, list []AttributeSet, t table) {
	for i := range list {
		for _, p := range list[i].Pairs {
			if p.Name == "" || t.byName[p.Name] != nil {
				continue
			}
			hint := ""
			if near := Nearest(p.Name, t.names()); near != "" {
				hint = "did you mean " + near + "?"
			}
			k.warn(cmp.Or(p.Pos, list[i].Pos), where, hint, "unknown %s %q has no effect", what, p.Name)
		}
	}
}

func (k *checker) rules(pos Pos, where string, list []rule.Rule) {
	for i := range list {
		for _, p := range rule.Validate(&list[i]) {
			k.warn(pos, where, "", "rule %s %s", p.ID, p.Text)
		}
	}
}

func (k *checker) resource(r, parent *Resource, depth int) {
	where := r.Kind.String() + " " + r.ID
	if depth > maxNesting {
		k.error(r.Pos, where, "", "resources are nested too deeply")
		return
	}
	if r.ID == "" {
		k.error(r.Pos, r.Kind.String(), "", "a resource has no id")
	}
	if parent != nil {
		switch {
		case parent.Kind == Group && r.Kind != Primitive:
			k.error(r.Pos, where, "groups hold primitives", "a %s cannot be in group %s", r.Kind, parent.ID)
		case parent.Kind == Clone && r.Kind != Primitive && r.Kind != Group:
			k.error(r.Pos, where, "clones hold a primitive or a group", "a %s cannot be in clone %s", r.Kind, parent.ID)
		case parent.Kind == Bundle && r.Kind != Primitive:
			k.error(r.Pos, where, "bundles hold a primitive", "a %s cannot be in bundle %s", r.Kind, parent.ID)
		case parent.Kind == Primitive || parent.Kind == Template:
			k.error(r.Pos, where, "", "a %s cannot be in %s %s", r.Kind, parent.Kind, parent.ID)
		}
	}
	switch r.Kind {
	case Primitive, Template:
		k.primitive(r, where)
	case Group:
		if len(r.Members) == 0 {
			k.error(r.Pos, where, "name at least one primitive", "the group is empty")
		}
	case Clone:
		if len(r.Members) != 1 {
			k.error(r.Pos, where, "name one primitive or group", "the clone has %d resources in it", len(r.Members))
		}
	case Bundle:
		k.bundle(r, where)
	}
	k.sets(where, r.Params, nil)
	k.sets(where, r.Meta, MetaOption)
	k.unknownNames(where, "meta-attribute", r.Meta, metaTable)
	k.sets(where, r.Utilization, nil)
	for _, m := range r.Members {
		k.resource(m, r, depth+1)
	}
}

func (k *checker) primitive(r *Resource, where string) {
	switch {
	case r.Template != "" && (r.Class != "" || r.Type != ""):
		k.error(r.Pos, where, "write one of them", "both a template and an agent are given")
	case r.Template != "":
	case r.Class == "" || r.Type == "":
		k.error(r.Pos, where, "name one such as ocf:heartbeat:IPaddr2", "no agent is given")
	case r.Class == "ocf" && r.Provider == "":
		k.error(r.Pos, where, "", "the agent ocf:%s has no provider, such as heartbeat", r.Type)
	case r.Class != "ocf" && r.Provider != "":
		k.error(r.Pos, where, "", "agents of class %s have no provider", r.Class)
	}
	if r.Class != "" {
		k.choice(r.Pos, where, "class", r.Class, "ocf", "lsb", "systemd", "service", "stonith", "upstart", "nagios", "heartbeat")
	}
	type key struct {
		name     string
		interval int64
	}
	seen := make(map[key]*Operation)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		if op.IDRef != "" {
			continue
		}
		pos := cmp.Or(op.Pos, r.Pos)
		if op.Name == "" {
			k.error(pos, where, "", "operation %s has no name", op.ID)
		}
		ms, err := ParseInterval(op.Interval)
		if err != nil {
			k.warn(pos, where, "", "interval of operation %s: %v", op.Name, err)
		}
		at := key{op.Name, ms}
		if other := seen[at]; other != nil && op.Name != "" {
			hint := "remove one of them"
			if a, _ := attrValue(op.Extra, "role"); op.Name == "monitor" {
				if b, _ := attrValue(other.Extra, "role"); a != b {
					hint = "give the monitors of different roles different intervals, such as 10s and 11s"
				}
			}
			k.warn(pos, where, hint, "there are two operations %s with interval %s; the first counts", op.Name, cmp.Or(op.Interval, "0"))
		}
		seen[at] = op
		for _, a := range op.Extra {
			o := OperationOption(a.Name)
			if o == nil {
				hint := ""
				if near := Nearest(a.Name, operationTable.names()); near != "" {
					hint = "did you mean " + near + "?"
				}
				k.warn(pos, where, hint, "unknown attribute %q of operation %s", a.Name, op.Name)
			} else if err := o.Check(a.Value); err != nil {
				k.warn(pos, where, "until then the default counts", "operation %s: %v", op.Name, err)
			}
		}
		k.sets(where, op.Params, nil)
		k.sets(where, op.Meta, OperationOption)
	}
	if strings.EqualFold(r.Class, "stonith") {
		k.sets(where, r.Params, FencingOption)
	}
}

func attrValue(list []Attr, name string) (string, bool) {
	for _, a := range list {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func (k *checker) bundle(r *Resource, where string) {
	if len(r.Members) > 1 {
		k.error(r.Pos, where, "", "the bundle has %d resources in it; at most one", len(r.Members))
	}
	b := r.Bundle
	if b == nil || b.Engine == "" {
		k.error(r.Pos, where, "use podman or docker", "the bundle has no container engine")
		return
	}
	k.choice(r.Pos, where, "container engine", b.Engine, "podman", "docker", "rkt")
	if image, _ := attrValue(b.Attributes, "image"); image == "" {
		k.error(r.Pos, where, "", "the bundle has no image")
	}
	if len(r.Members) > 0 {
		_, ip := attrValue(b.Network, "ip-range-start")
		_, port := attrValue(b.Network, "control-port")
		if !ip && !port {
			k.error(r.Pos, where, "", "a bundle with a primitive needs ip-range-start or control-port")
		}
	}
}

func (k *checker) constraint(c *Constraint) {
	where := c.Kind.String() + " " + c.ID
	k.score(c.Pos, where, "score", c.Score)
	one := func(names ...string) {
		given := 0
		for _, n := range names {
			if n != "" {
				given++
			}
		}
		if len(c.Sets) > 0 {
			given++
		}
		switch {
		case given == 0:
			k.error(c.Pos, where, "", "the constraint names no resource")
		case given > 1:
			k.error(c.Pos, where, "write one of them", "resources are named in more than one way")
		}
	}
	two := func(a, b, nameA, nameB string) {
		switch {
		case len(c.Sets) > 0 && (a != "" || b != ""):
			k.error(c.Pos, where, "write one of them", "resources are named in more than one way")
		case len(c.Sets) == 0 && (a == "" || b == ""):
			k.error(c.Pos, where, "", "the constraint needs %s and %s, or sets", nameA, nameB)
		}
	}
	switch c.Kind {
	case Location:
		one(c.Resource, c.Pattern)
		k.role(c.Pos, where, "role", c.Role)
		k.choice(c.Pos, where, "resource-discovery", c.Discovery, "always", "never", "exclusive")
		switch {
		case c.Node != "" && len(c.Rules) > 0:
			k.error(c.Pos, where, "write one of them", "both a node and a rule are given")
		case c.Node == "" && len(c.Rules) == 0 && len(c.Lifetime) == 0 && c.Discovery == "":
			k.error(c.Pos, where, "", "the constraint names neither a node nor a rule")
		case c.Node != "" && c.Score == "" && c.ScoreAttribute == "" && c.Discovery == "" && !slices.ContainsFunc(c.Sets, func(s ResourceSet) bool { return s.Score != "" }):
			k.warn(c.Pos, where, "", "without a score the constraint has no effect")
		}
		k.rules(c.Pos, where, c.Rules)
		k.rules(c.Pos, where, c.Lifetime)
	case Colocation:
		two(c.Resource, c.With, "rsc", "with-rsc")
		k.role(c.Pos, where, "rsc-role", c.Role)
		k.role(c.Pos, where, "with-rsc-role", c.WithRole)
		if c.Influence != "" && !IsTrue(c.Influence) && !IsFalse(c.Influence) {
			k.warn(c.Pos, where, "use true or false", "influence %q is no boolean and has no effect", c.Influence)
		}
		if c.Resource != "" && c.Resource == c.With {
			k.error(c.Pos, where, "name two resources", "%s cannot be colocated with itself", c.Resource)
		}
		if c.Score == "" && c.ScoreAttribute == "" && len(c.Sets) == 0 {
			k.warn(c.Pos, where, "", "without a score the constraint has no effect")
		}
	case Order:
		two(c.First, c.Then, "first", "then")
		k.choice(c.Pos, where, "kind", c.OrderKind, "Mandatory", "Optional", "Serialize")
		k.choice(c.Pos, where, "first-action", c.FirstAction, "start", "stop", "promote", "demote")
		k.choice(c.Pos, where, "then-action", c.ThenAction, "start", "stop", "promote", "demote")
		k.boolean(c.Pos, where, "symmetrical", c.Symmetrical)
		k.boolean(c.Pos, where, "require-all", c.RequireAll)
		if c.First != "" && c.First == c.Then && cmp.Or(c.FirstAction, "start") == cmp.Or(c.ThenAction, c.FirstAction, "start") {
			k.error(c.Pos, where, "name two resources", "%s cannot be ordered after itself", c.First)
		}
	case Ticket:
		one(c.Resource)
		if c.Ticket == "" {
			k.error(c.Pos, where, "", "the constraint names no ticket")
		}
		k.role(c.Pos, where, "rsc-role", c.Role)
		k.choice(c.Pos, where, "loss-policy", c.LossPolicy, "stop", "demote", "fence", "freeze")
	}
	for i := range c.Sets {
		s := &c.Sets[i]
		pos := cmp.Or(s.Pos, c.Pos)
		if s.IDRef == "" && len(s.Refs) == 0 {
			k.error(pos, where, "", "set %s names no resource", s.ID)
		}
		seen := make(map[string]bool, len(s.Refs))
		for _, ref := range s.Refs {
			if seen[ref] {
				k.error(pos, where, "", "set %s names %s twice", s.ID, ref)
			}
			seen[ref] = true
		}
		k.boolean(pos, where, "sequential", s.Sequential)
		k.boolean(pos, where, "require-all", s.RequireAll)
		k.boolean(pos, where, "symmetrical", s.Symmetrical)
		k.score(pos, where, "score", s.Score)
		k.role(pos, where, "role", s.Role)
		k.choice(pos, where, "action", s.Action, "start", "stop", "promote", "demote")
		k.choice(pos, where, "kind", s.Kind, "Mandatory", "Optional", "Serialize")
	}
}

// cluster checks the settings of the membership layer.
func (k *checker) cluster() {
	c := &k.c.Cluster
	seen := make(map[string]bool)
	for _, l := range c.Links {
		if l.Name == "" || seen[l.Name] {
			k.error(Pos{}, "link "+l.Name, "give each link a name of its own", "the name is missing or taken")
		}
		seen[l.Name] = true
	}
	if c.Timing.Profile != "" {
		k.choice(Pos{}, "timing", "profile", c.Timing.Profile, "default", "fast")
	}
	for _, f := range [][2]string{{"heartbeat", c.Timing.Heartbeat}, {"dead-after", c.Timing.DeadAfter}, {"quorum-timeout", c.Timing.QuorumTimeout}} {
		if f[1] == "" {
			continue
		}
		if ms, err := ParseInterval(f[1]); err != nil || ms == 0 {
			k.error(Pos{}, "timing", "use a duration such as 100ms or 2s", "%s %q is no duration above zero", f[0], f[1])
		}
	}
	beat, errBeat := ParseInterval(c.Timing.Heartbeat)
	dead, errDead := ParseInterval(c.Timing.DeadAfter)
	if errBeat == nil && errDead == nil && beat > 0 && dead > 0 && dead < 2*beat {
		k.error(Pos{}, "timing", "make dead-after several times heartbeat", "dead-after %s is less than two heartbeats of %s: one lost packet would be a dead node", c.Timing.DeadAfter, c.Timing.Heartbeat)
	}
	for _, p := range []struct {
		name string
		port int
	}{{"stream", c.Ports.Stream}, {"datagram", c.Ports.Datagram}} {
		if p.port < 0 || p.port > 65535 {
			k.error(Pos{}, "ports", "use 1 to 65535", "the %s port is %d", p.name, p.port)
		}
	}
}

func (k *checker) properties() {
	const where = PropertiesPlace
	k.sets(where, k.c.Properties, PropertyOption)
	for i := range k.c.Properties {
		for _, p := range k.c.Properties[i].Pairs {
			if p.Name == "" || PropertyOption(p.Name) != nil {
				continue
			}
			// Agents keep properties of their own; only what looks like a slip is named.
			if near := Nearest(p.Name, propertyTable.names()); near != "" {
				k.warn(cmp.Or(p.Pos, k.c.Properties[i].Pos), where, "did you mean "+near+"?", "unknown property %q has no effect", p.Name)
			}
		}
	}
}

func (k *checker) defaults() {
	k.sets("rsc_defaults", k.c.ResourceDefaults, MetaOption)
	k.unknownNames("rsc_defaults", "meta-attribute", k.c.ResourceDefaults, metaTable)
	k.sets("op_defaults", k.c.OpDefaults, OperationOption)
	k.unknownNames("op_defaults", "attribute of operations", k.c.OpDefaults, operationTable)
}

// others checks tags, the fencing topology, ACLs and alerts.
func (k *checker) others() {
	for i := range k.c.Tags {
		if t := &k.c.Tags[i]; len(t.Refs) == 0 {
			k.error(t.Pos, "tag "+t.ID, "", "the tag names nothing")
		}
	}
	for i := range k.c.FencingTopology {
		l := &k.c.FencingTopology[i]
		where := "fencing-level " + l.ID
		given := 0
		for _, t := range []string{l.Target, l.TargetPattern, l.TargetAttribute} {
			if t != "" {
				given++
			}
		}
		if given != 1 {
			k.error(l.Pos, where, "name a target, a target-pattern or a target-attribute", "the level has %d targets", given)
		}
		if l.TargetAttribute != "" && l.TargetValue == "" {
			k.error(l.Pos, where, "", "target-attribute needs target-value")
		}
		if n, err := strconv.Atoi(l.Index); err != nil || n < 1 || n > 9 {
			k.error(l.Pos, where, "use 1 to 9", "index %q is no level", l.Index)
		}
		if len(l.Devices) == 0 {
			k.error(l.Pos, where, "", "the level names no device")
		}
	}
	permissions := func(where string, pos Pos, list []ACLPermission) {
		for _, p := range list {
			k.choice(pos, where, "kind", cmp.Or(p.Kind, "missing"), "read", "write", "deny")
			given := 0
			for _, x := range []string{p.XPath, p.Reference, p.ObjectType} {
				if x != "" {
					given++
				}
			}
			if given != 1 {
				k.error(pos, where, "write one of xpath, reference, object-type", "permission %s names %d things", p.ID, given)
			}
		}
	}
	for i := range k.c.Roles {
		permissions("acl-role "+k.c.Roles[i].ID, k.c.Roles[i].Pos, k.c.Roles[i].Permissions)
	}
	for i := range k.c.Users {
		permissions("acl-user "+k.c.Users[i].ID, k.c.Users[i].Pos, k.c.Users[i].Permissions)
	}
	for i := range k.c.Alerts {
		a := &k.c.Alerts[i]
		where := "alert " + a.ID
		if a.Path == "" {
			k.error(a.Pos, where, "", "the alert has no path of an agent")
		}
		k.sets(where, a.Params, nil)
		k.sets(where, a.Meta, nil)
		for j := range a.Recipients {
			if a.Recipients[j].Value == "" {
				k.error(a.Pos, where, "", "recipient %s has no value", a.Recipients[j].ID)
			}
			k.sets(where, a.Recipients[j].Params, nil)
			k.sets(where, a.Recipients[j].Meta, nil)
		}
	}
}

// fencing warns where nodes cannot be fenced.
func (k *checker) fencing() {
	if len(k.c.Resources) == 0 {
		return
	}
	if !IsTrue(EffectiveProperty(k.doc, "fencing-enabled")) {
		k.warn(Pos{}, "cluster properties", "set up fence devices and fencing-enabled=true", "fencing is off: when a node is lost, its resources may become active twice and damage data")
	}
}
