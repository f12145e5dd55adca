// Package values reads the name/value blocks of a cluster document for the policy: which value counts when
// several blocks, ancestors and defaults name it (spec/01-inputs.md sections 6.2, 6.7, 7 and 9), and the
// fail counts that node attributes record (spec/02-state.md section 11).
//
// The package is pure and keeps nothing but the caches in model.Resource and model.Cluster.Monitors; what it returns from
// that cache must not be changed. Rules are evaluated at model.Cluster.Now; the time at which one of them
// would change its result is noted with Cluster.Recheck.
package values

import (
	"sort"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule"
)

// Notes is what evaluating rules left beside the values.
type Notes struct {
	Recheck  time.Time // earliest time at which a rule's result changes; zero = none
	Problems []rule.Problem
}

// bootstrapOptions is the id of the cluster property set that always comes first (spec/01-inputs.md 4.1).
const bootstrapOptions = "cib-bootstrap-options"

// Pairs merges the blocks into a table that may hold values already, which stay: blocks by score, highest
// first, of equal score the later one first; within a block the first pair of a name counts; a block whose
// rule does not pass is left out; the value #default removes what was gathered for its name
// (spec/01-inputs.md 6.2 and 7.2).
func Pairs(sets []cib.AttributeSet, in rule.Input, into map[string]string) Notes {
	var notes Notes
	pairs(sets, in, into, "", &notes)
	return notes
}

// Collect is Pairs for a decision: what the rules left is noted in c.
func Collect(c *model.Cluster, sets []cib.AttributeSet, in rule.Input, into map[string]string) {
	if len(sets) == 0 {
		return
	}
	var notes Notes
	pairs(sets, in, into, "", &notes)
	note(c, notes)
}

// Properties merges the cluster property sets; the set cib-bootstrap-options comes first whatever the
// scores (spec/01-inputs.md 4.1).
func Properties(c *model.Cluster, sets []cib.AttributeSet) map[string]string {
	into := map[string]string{}
	var notes Notes
	pairs(sets, rule.Input{Now: c.Now}, into, bootstrapOptions, &notes)
	note(c, notes)
	return into
}

func note(c *model.Cluster, notes Notes) {
	if !notes.Recheck.IsZero() {
		c.Recheck(notes.Recheck)
	}
	for _, p := range notes.Problems {
		c.Messages = append(c.Messages, model.Message{Text: p.Error()})
	}
}

func pairs(sets []cib.AttributeSet, in rule.Input, into map[string]string, firstID string, notes *Notes) {
	switch len(sets) {
	case 0:
		return
	case 1:
		onePairs(&sets[0], in, into, notes)
		return
	}
	order := make([]*cib.AttributeSet, len(sets))
	for i := range sets {
		order[len(sets)-1-i] = &sets[i]
	}
	sort.SliceStable(order, func(i, j int) bool {
		a, b := order[i], order[j]
		if firstID != "" && (a.ID == firstID) != (b.ID == firstID) {
			return a.ID == firstID
		}
		if a.Score == b.Score {
			return false
		}
		return Score(a.Score, 0) > Score(b.Score, 0)
	})
	for _, s := range order {
		onePairs(s, in, into, notes)
	}
}

func onePairs(s *cib.AttributeSet, in rule.Input, into map[string]string, notes *Notes) {
	if len(s.Rules) > 0 {
		res := rule.Evaluate(&s.Rules[0], in)
		if !res.Recheck.IsZero() && (notes.Recheck.IsZero() || res.Recheck.Before(notes.Recheck)) {
			notes.Recheck = res.Recheck
		}
		notes.Problems = append(notes.Problems, res.Problems...)
		if !res.Pass {
			return
		}
	}
	for i := range s.Pairs {
		p := &s.Pairs[i]
		if p.Name == "" || p.NoValue {
			continue
		}
		if len(p.Value) == len("#default") && p.Value[0] == '#' && equalFold(p.Value, "#default") {
			delete(into, p.Name)
			continue
		}
		if _, set := into[p.Name]; !set {
			into[p.Name] = p.Value
		}
	}
}

// HasRules reports whether one of the blocks depends on a rule.
func HasRules(sets []cib.AttributeSet) bool {
	for i := range sets {
		if len(sets[i].Rules) > 0 {
			return true
		}
	}
	return false
}

// RuleResource is the resource as rules see it: its agent, or nothing for a collective.
func RuleResource(r *model.Resource) *rule.Resource {
	if r.Class == "" && r.Type == "" {
		return nil
	}
	return &rule.Resource{Class: r.Class, Provider: r.Provider, Type: r.Type}
}

// Meta computes the meta-attributes of a resource whose agent, configuration and parent are set, the
// parent's being computed already: XML attributes of the element, own blocks, those of the ancestors, the
// defaults, then whatever else the parent has (spec/01-inputs.md 6.2).
func Meta(c *model.Cluster, r *model.Resource) map[string]string {
	m := make(map[string]string, 8)
	in := rule.Input{Now: c.Now}
	ruled := HasRules(c.Doc.Config.ResourceDefaults)
	for p := r; p != nil && !ruled; p = p.Parent {
		ruled = p.Config != nil && HasRules(p.Config.Meta)
	}
	if ruled {
		in.Resource = RuleResource(r)
	}
	if cfg := r.Config; cfg != nil {
		m["id"] = cfg.ID
		set := func(name, value string) {
			if value != "" {
				m[name] = value
			}
		}
		set("class", r.Class)
		set("provider", r.Provider)
		set("type", r.Type)
		set("template", cfg.Template)
		set("description", cfg.Description)
		for _, a := range cfg.Extra {
			if _, taken := m[a.Name]; !taken {
				m[a.Name] = a.Value
			}
		}
		Collect(c, cfg.Meta, in, m)
	}
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Config != nil {
			Collect(c, p.Config.Meta, in, m)
		}
	}
	Collect(c, c.Doc.Config.ResourceDefaults, in, m)
	if r.Parent != nil {
		for name, value := range r.Parent.Meta {
			if _, set := m[name]; !set {
				m[name] = value
			}
		}
	}
	return m
}

// Params returns the instance attributes of r as seen from node (nil = without a node): own blocks first,
// then those of the ancestors. Rules see the node's attributes, or none without a node
// (spec/01-inputs.md 6.7). The result is shared: do not change it.
func Params(c *model.Cluster, r *model.Resource, node *model.Node) map[string]string {
	if r.Params != nil {
		return r.Params
	}
	if SameParams(r) {
		r.Params = params(c, r, rule.Input{Now: c.Now})
		return r.Params
	}
	at, in := -1, rule.Input{Now: c.Now}
	if node != nil {
		at = node.Index
		in.NodeAttribute = func(name string) (string, bool) { v, ok := node.Attributes[name]; return v, ok }
	}
	p, ok := r.ParamsOnNode[at]
	if !ok {
		p = params(c, r, in)
		if r.ParamsOnNode == nil {
			r.ParamsOnNode = map[int]map[string]string{}
		}
		r.ParamsOnNode[at] = p
	}
	return p
}

// noParams are the instance attributes of a resource without any. It is never changed.
var noParams = map[string]string{}

func params(c *model.Cluster, r *model.Resource, in rule.Input) map[string]string {
	into := noParams
	for p := r; p != nil; p = p.Parent {
		if p.Config != nil && len(p.Config.Params) > 0 {
			if len(into) == 0 {
				into = map[string]string{}
			}
			Collect(c, p.Config.Params, in, into)
		}
	}
	return into
}

// SameParams reports whether the instance attributes of r are the same on every node: no rule is in them.
func SameParams(r *model.Resource) bool {
	for p := r; p != nil; p = p.Parent {
		if p.Config != nil && HasRules(p.Config.Params) {
			return false
		}
	}
	return true
}

// NodeAttribute reads a node attribute on behalf of a resource: for a resource with
// container-attribute-target=host on a guest or bundle node the value comes from the node that hosts the
// launcher, the assigned one when assigned is set, else the present one (spec/01-inputs.md 5.2). A nil
// resource reads the node itself.
func NodeAttribute(node *model.Node, name string, r *model.Resource, assigned bool) (string, bool) {
	if node == nil {
		return "", false
	}
	if r != nil && r.AttributeTargetHost && node.IsGuestKind() && node.Connection != nil && node.Connection.Launcher != nil {
		l := node.Connection.Launcher
		host := l.Current()
		if assigned {
			host = l.Assigned
		}
		if host == nil {
			return "", false
		}
		node = host
	}
	v, ok := node.Attributes[name]
	return v, ok
}
