package unpack

import (
	"slices"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

// references are the elements of a document that others may stand for by id (spec/01-inputs.md 2.9).
type references struct {
	sets     map[string]*cib.AttributeSet
	pairs    map[string]*cib.NVPair
	rules    map[string]*rule.Rule
	resSets  map[string]*cib.ResourceSet
	opBlocks map[string]*cib.Operations
	ops      map[string]*cib.Operation
	any      bool // some element is a reference
}

// resolveReferences returns the document with every reference replaced by what it names; doc itself when it
// has none. A reference to nothing stays empty, which means a block without pairs or a rule that fails.
func resolveReferences(doc *cib.Document) *cib.Document {
	r := &references{}
	cfg := &doc.Config
	// Most documents have no reference, so a first walk that only looks saves the copy.
	r.walk(cfg)
	if !r.any {
		return doc
	}
	out := *doc
	out.Config = copyConfiguration(cfg)
	r.sets, r.pairs, r.rules = map[string]*cib.AttributeSet{}, map[string]*cib.NVPair{}, map[string]*rule.Rule{}
	r.resSets, r.opBlocks, r.ops = map[string]*cib.ResourceSet{}, map[string]*cib.Operations{}, map[string]*cib.Operation{}
	r.walk(cfg)
	r.replace(&out.Config)
	return &out
}

// visitor is called for the elements of a configuration; nil functions are not called.
type visitor struct {
	sets   func(*[]cib.AttributeSet)
	rules  func(*[]rule.Rule)
	res    func(*cib.ResourceSet)
	blocks func(*cib.Operations)
	op     func(*cib.Operation)
}

func (v visitor) configuration(c *cib.Configuration) {
	v.sets(&c.Properties)
	v.sets(&c.ResourceDefaults)
	v.sets(&c.OpDefaults)
	for i := range c.Nodes {
		v.sets(&c.Nodes[i].Attributes)
		v.sets(&c.Nodes[i].Utilization)
	}
	for _, r := range c.Resources {
		v.resource(r)
	}
	for i := range c.Constraints {
		con := &c.Constraints[i]
		v.rules(&con.Rules)
		v.rules(&con.Lifetime)
		for j := range con.Sets {
			v.res(&con.Sets[j])
		}
	}
}

func (v visitor) resource(r *cib.Resource) {
	if r == nil {
		return
	}
	v.sets(&r.Params)
	v.sets(&r.Meta)
	v.sets(&r.Utilization)
	v.blocks(&r.Operations)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		v.op(op)
		v.sets(&op.Params)
		v.sets(&op.Meta)
	}
	for _, m := range r.Members {
		v.resource(m)
	}
}

// walk notes whether there are references and, once the tables exist, what they may name.
func (r *references) walk(c *cib.Configuration) {
	visitor{
		sets: func(sets *[]cib.AttributeSet) {
			for i := range *sets {
				s := &(*sets)[i]
				r.any = r.any || s.IDRef != ""
				if r.sets != nil && s.IDRef == "" && s.ID != "" {
					keep(r.sets, s.ID, s)
				}
				for j := range s.Pairs {
					p := &s.Pairs[j]
					r.any = r.any || p.IDRef != ""
					if r.pairs != nil && p.IDRef == "" && p.ID != "" {
						keep(r.pairs, p.ID, p)
					}
				}
				r.walkRules(s.Rules)
			}
		},
		rules: func(rules *[]rule.Rule) { r.walkRules(*rules) },
		res: func(s *cib.ResourceSet) {
			r.any = r.any || s.IDRef != ""
			if r.resSets != nil && s.IDRef == "" && s.ID != "" {
				keep(r.resSets, s.ID, s)
			}
		},
		blocks: func(o *cib.Operations) {
			r.any = r.any || o.IDRef != ""
			if r.opBlocks != nil && o.IDRef == "" && o.ID != "" {
				keep(r.opBlocks, o.ID, o)
			}
		},
		op: func(o *cib.Operation) {
			r.any = r.any || o.IDRef != ""
			if r.ops != nil && o.IDRef == "" && o.ID != "" {
				keep(r.ops, o.ID, o)
			}
		},
	}.configuration(c)
}

func (r *references) walkRules(rules []rule.Rule) {
	for i := range rules {
		x := &rules[i]
		r.any = r.any || x.IDRef != ""
		if r.rules != nil && x.IDRef == "" && x.ID != "" {
			keep(r.rules, x.ID, x)
		}
		for j := range x.Conditions {
			if sub := x.Conditions[j].Rule; sub != nil {
				r.walkRules([]rule.Rule{*sub})
			}
		}
	}
}

// keep stores the first element of an id.
func keep[T any](m map[string]*T, id string, v *T) {
	if _, set := m[id]; !set {
		m[id] = v
	}
}

// replace puts what is named in the place of the references.
func (r *references) replace(c *cib.Configuration) {
	visitor{
		sets: func(sets *[]cib.AttributeSet) {
			for i := range *sets {
				s := &(*sets)[i]
				if s.IDRef != "" {
					if to := r.sets[s.IDRef]; to != nil {
						pos := s.Pos
						*s = *to
						s.Pairs, s.Rules, s.Pos = slices.Clone(to.Pairs), slices.Clone(to.Rules), pos
					}
				}
				for j := range s.Pairs {
					p := &s.Pairs[j]
					if p.IDRef == "" {
						continue
					}
					if to := r.pairs[p.IDRef]; to != nil {
						if p.Name == "" {
							p.Name = to.Name
						}
						p.Value, p.NoValue = to.Value, to.NoValue
					}
				}
				r.replaceRules(s.Rules, 0)
			}
		},
		rules: func(rules *[]rule.Rule) { r.replaceRules(*rules, 0) },
		res: func(s *cib.ResourceSet) {
			if s.IDRef != "" {
				if to := r.resSets[s.IDRef]; to != nil {
					*s = *to
				}
			}
		},
		blocks: func(o *cib.Operations) {
			if o.IDRef != "" {
				if to := r.opBlocks[o.IDRef]; to != nil {
					o.List = append(copyOperations(to.List), o.List...)
				}
			}
		},
		op: func(o *cib.Operation) {
			if o.IDRef != "" {
				if to := r.ops[o.IDRef]; to != nil {
					*o = copyOperations([]cib.Operation{*to})[0]
				}
			}
		},
	}.configuration(c)
}

// replaceRules replaces referenced rules; the depth bounds rules that name each other.
func (r *references) replaceRules(rules []rule.Rule, depth int) {
	if depth > rule.MaxDepth {
		return
	}
	for i := range rules {
		x := &rules[i]
		if x.IDRef != "" {
			if to := r.rules[x.IDRef]; to != nil {
				role, score, attr := x.Role, x.Score, x.ScoreAttribute
				*x = *to
				if role != "" {
					x.Role = role
				}
				if score != "" {
					x.Score = score
				}
				if attr != "" {
					x.ScoreAttribute = attr
				}
			}
		}
		x.Conditions = slices.Clone(x.Conditions)
		for j := range x.Conditions {
			if sub := x.Conditions[j].Rule; sub != nil {
				one := []rule.Rule{*sub}
				r.replaceRules(one, depth+1)
				x.Conditions[j].Rule = &one[0]
			}
		}
	}
}

func copyConfiguration(c *cib.Configuration) cib.Configuration {
	out := *c
	out.Properties = copySets(c.Properties)
	out.ResourceDefaults = copySets(c.ResourceDefaults)
	out.OpDefaults = copySets(c.OpDefaults)
	out.Nodes = slices.Clone(c.Nodes)
	for i := range out.Nodes {
		out.Nodes[i].Attributes = copySets(out.Nodes[i].Attributes)
		out.Nodes[i].Utilization = copySets(out.Nodes[i].Utilization)
	}
	out.Resources = copyResources(c.Resources)
	out.Constraints = slices.Clone(c.Constraints)
	for i := range out.Constraints {
		con := &out.Constraints[i]
		con.Sets = slices.Clone(con.Sets)
		con.Rules = slices.Clone(con.Rules)
		con.Lifetime = slices.Clone(con.Lifetime)
	}
	return out
}

func copyResources(list []*cib.Resource) []*cib.Resource {
	out := make([]*cib.Resource, 0, len(list))
	for _, r := range list {
		if r == nil {
			continue
		}
		x := *r
		x.Params, x.Meta, x.Utilization = copySets(r.Params), copySets(r.Meta), copySets(r.Utilization)
		x.Operations.List = copyOperations(r.Operations.List)
		x.Members = copyResources(r.Members)
		out = append(out, &x)
	}
	return out
}

func copyOperations(list []cib.Operation) []cib.Operation {
	out := slices.Clone(list)
	for i := range out {
		out[i].Params, out[i].Meta = copySets(out[i].Params), copySets(out[i].Meta)
	}
	return out
}

func copySets(sets []cib.AttributeSet) []cib.AttributeSet {
	out := slices.Clone(sets)
	for i := range out {
		out[i].Pairs = slices.Clone(out[i].Pairs)
		out[i].Rules = slices.Clone(out[i].Rules)
	}
	return out
}
