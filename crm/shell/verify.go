package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
)

func (s *Shell) cmdVerify(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	return s.verify(c.ctx, w, true)
}

// verify checks the work area: warnings are printed, all of them or those that the changes bring, and errors
// come back.
func (s *Shell) verify(ctx context.Context, w *workArea, all bool) error {
	var errs []error
	known := make(map[string]bool) // warnings of before are no news
	if !all {
		for _, p := range cib.Check(w.base.Doc) {
			known[p.Where+p.Text] = p.Severity == cib.Warning
		}
	}
	for _, p := range cib.Check(w.doc) {
		p.Pos = cib.Pos{}
		switch {
		case p.Severity == cib.Error:
			errs = append(errs, errors.New(p.String()))
		case !known[p.Where+p.Text]:
			s.warn("%s", p.String())
		}
	}
	errs = append(errs, propertyErrors(w)...)
	errs = append(errs, fencingErrors(w.doc)...)
	errs = append(errs, ignoredErrors(w.doc)...)
	errs = append(errs, s.agentErrors(ctx, w)...)
	if len(errs) == 0 {
		return nil
	}
	return &errorList{errs}
}

// fencingErrors refuses resources where fencing is on and there is nothing to fence with: the cluster would
// start none of them.
func fencingErrors(doc *cib.Document) []error {
	if !cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled")) {
		return nil
	}
	resources, devices := false, false
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		class := r.Class
		if t, _, ok := cibcrm.Find(&doc.Config, r.Template); r.Template != "" && ok {
			class = t.Class
		}
		switch {
		case r.Kind == cib.Bundle:
			resources = true
		case r.Kind == cib.Primitive && class == "stonith":
			devices = true
		case r.Kind == cib.Primitive:
			resources = true
		}
	})
	if watchdog := cib.EffectiveProperty(doc, "fencing-watchdog-timeout"); watchdog != "" {
		if ms, err := cib.ParseInterval(watchdog); err == nil && ms > 0 {
			devices = true
		}
	}
	if !resources || devices {
		return nil
	}
	return []error{errors.New("there are resources and no fencing device: none of them would be started; define a device " +
		"(primitive NAME stonith:AGENT ...), or accept the risk with \"property fencing-enabled=false\"")}
}

// agentErrors checks the primitives that changed against the metadata of their agents.
func (s *Shell) agentErrors(ctx context.Context, w *workArea) []error {
	var errs []error
	old := make(map[string]*cib.Resource)
	cib.EachResource(&w.base.Doc.Config, func(r, _ *cib.Resource) { old[r.ID] = r })
	templates := make(map[string]*cib.Resource)
	cib.EachResource(&w.doc.Config, func(r, _ *cib.Resource) {
		if r.Kind == cib.Template {
			templates[r.ID] = r
		}
	})
	cib.EachResource(&w.doc.Config, func(r, _ *cib.Resource) {
		if r.Kind != cib.Primitive && r.Kind != cib.Template {
			return
		}
		x, y := cib.Object{Resource: old[r.ID]}, cib.Object{Resource: r}
		if x.Resource != nil && x.Equal(&y) {
			return
		}
		errs = append(errs, s.agentProblems(ctx, w, r, templates[r.Template])...)
	})
	return errs
}

// agentProblems checks one primitive; warnings are printed.
func (s *Shell) agentProblems(ctx context.Context, w *workArea, r, template *cib.Resource) []error {
	pattern := r
	if template != nil {
		pattern = template
	}
	if pattern.Type == "" {
		return nil
	}
	name := pattern.Class + ":" + pattern.Type
	if pattern.Provider != "" {
		name = pattern.Class + ":" + pattern.Provider + ":" + pattern.Type
	}
	meta, err := s.metadata(ctx, name)
	if err != nil {
		if errors.Is(err, errNoAgent) {
			return []error{fmt.Errorf("primitive %s: there is no agent %s; \"crm ra list ocf\" lists those of this node", r.ID, name)}
		}
		if !errors.Is(err, errNoMetadata) {
			s.warn("primitive %s: the parameters are not checked: %v", r.ID, err)
		}
		return nil
	}
	var errs []error
	given := make(map[string]bool)
	known := make([]string, 0, len(meta.Parameters))
	byName := make(map[string]*agents.Parameter, len(meta.Parameters))
	for i := range meta.Parameters {
		p := &meta.Parameters[i]
		known = append(known, p.Name)
		byName[p.Name] = p
	}
	referenced := false // a block or value stands elsewhere: what is given is not known here
	collect := func(list []cib.AttributeSet, own bool) {
		for i := range list {
			referenced = referenced || list[i].IDRef != ""
			for _, p := range list[i].Pairs {
				if p.IDRef != "" && p.Name == "" {
					referenced = true
					continue
				}
				given[p.Name] = true
				if !own || byName[p.Name] != nil || strings.HasPrefix(p.Name, "CRM_meta_") ||
					pattern.Class == "stonith" && (cib.FencingOption(p.Name) != nil || strings.HasPrefix(p.Name, "pcmk_")) {
					continue
				}
				text := fmt.Sprintf("primitive %s: agent %s has no parameter %q", r.ID, name, p.Name)
				if near := cib.Nearest(p.Name, known); near != "" {
					text += fmt.Sprintf("; did you mean %q?", near)
				}
				errs = append(errs, errors.New(text))
			}
		}
	}
	collect(r.Params, true)
	if template != nil {
		collect(template.Params, false)
	}
	if r.Kind == cib.Primitive && !referenced && !s.suppliedByCluster(pattern) {
		for i := range meta.Parameters {
			p := &meta.Parameters[i]
			if !p.Required || p.Default != "" || given[p.Name] || supplied(pattern.Class, p.Name) {
				continue
			}
			errs = append(errs, fmt.Errorf("primitive %s: agent %s needs the parameter %s", r.ID, name, p.Name))
		}
	}
	s.operationWarnings(r, meta)
	return append(errs, uniqueErrors(w, r, meta)...)
}

// uniqueErrors names other primitives of the same agent that have the same values where the agent says that no
// two may.
func uniqueErrors(w *workArea, r *cib.Resource, meta *agents.Metadata) []error {
	groups := make(map[string][]string)
	var order []string
	for i := range meta.Parameters {
		p := &meta.Parameters[i]
		group := p.UniqueGroup
		if group == "" && p.Unique {
			group = "parameter " + p.Name
		}
		if group == "" {
			continue
		}
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], p.Name)
	}
	values := func(r *cib.Resource, names []string) string {
		var out []string
		for _, n := range names {
			if v, ok := cib.Value(r.Params, n); ok {
				out = append(out, n+"="+v)
			}
		}
		return strings.Join(out, " ")
	}
	var errs []error
	for _, group := range order {
		mine := values(r, groups[group])
		if mine == "" || r.Kind != cib.Primitive || len(r.Params) > 1 {
			continue // nothing given, or by rules
		}
		cib.EachResource(&w.doc.Config, func(o, _ *cib.Resource) {
			if o.ID != r.ID && o.Kind == cib.Primitive && len(o.Params) == 1 && o.Class == r.Class && o.Provider == r.Provider &&
				o.Type == r.Type && r.Type != "" && values(o, groups[group]) == mine {
				errs = append(errs, fmt.Errorf("primitives %s and %s both have %s, which agent %s allows only once", r.ID, o.ID, mine, r.Type))
			}
		})
	}
	return errs
}

// supplied names parameters that the cluster gives fence agents itself.
func supplied(class, name string) bool {
	return class == "stonith" && (name == "action" || name == "plug" || name == "port" || name == "nodename")
}

// suppliedByCluster reports agents that answer for all their parameters at run time.
func (s *Shell) suppliedByCluster(r *cib.Resource) bool {
	return r.Class == "systemd" || r.Class == "lsb"
}

// operationWarnings names timeouts shorter than what the agent advises.
func (s *Shell) operationWarnings(r *cib.Resource, meta *agents.Metadata) {
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		timeout := ""
		for _, a := range o.Extra {
			if a.Name == "timeout" {
				timeout = a.Value
			}
		}
		have, err := cib.ParseTimeout(timeout)
		if timeout == "" || err != nil {
			continue
		}
		for j := range meta.Actions {
			a := &meta.Actions[j]
			if a.Name == o.Name && a.Timeout.Milliseconds() > have {
				s.warn("primitive %s: the timeout %s of %s is shorter than the %s that the agent advises", r.ID, timeout, o.Name, a.Timeout)
				break
			}
		}
	}
}

// ignoredErrors names what the policy would ignore or take otherwise than it was written.
func ignoredErrors(doc *cib.Document) []error {
	var errs []error
	fencing := cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled"))
	clones := make(map[string]string) // what is inside of a clone
	cib.EachResource(&doc.Config, func(r, parent *cib.Resource) {
		if parent == nil {
			return
		}
		if clone := clones[parent.ID]; clone != "" {
			clones[r.ID] = clone
		} else if parent.Kind == cib.Clone {
			clones[r.ID] = parent.ID
		}
	})
	for i := range doc.Config.Constraints {
		k := &doc.Config.Constraints[i]
		ids := []string{k.Resource, k.With, k.First, k.Then}
		for _, set := range k.Sets {
			ids = append(ids, set.Refs...)
		}
		for _, id := range ids {
			if clone := clones[id]; clone != "" {
				errs = append(errs, fmt.Errorf("%s %s: %s is inside of clone %s and has many instances; name %s instead", k.Kind, k.ID, id, clone, clone))
			}
		}
		if k.Kind == cib.Ticket && k.LossPolicy == "fence" && !fencing {
			errs = append(errs, fmt.Errorf("ticket %s: loss-policy=fence cannot be met: fencing is off", k.ID))
		}
	}
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if role, ok := cib.Value(r.Meta, "target-role"); ok {
			if _, err := cib.ParseRole(role); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: target-role: %w", r.Kind, r.ID, err))
			}
		}
	})
	return errs
}

// propertyErrors names values of cluster properties that were set now and are none: the default would count.
func propertyErrors(w *workArea) []error {
	var errs []error
	old := make(map[string]string)
	for _, set := range w.base.Doc.Config.Properties {
		for _, p := range set.Pairs {
			old[set.ID+" "+p.Name] = p.Value
		}
	}
	for _, set := range w.doc.Config.Properties {
		for _, p := range set.Pairs {
			o := cib.PropertyOption(p.Name)
			if before, had := old[set.ID+" "+p.Name]; o == nil || p.IDRef != "" || had && before == p.Value {
				continue
			}
			if err := o.Check(p.Value); err != nil {
				errs = append(errs, fmt.Errorf("property %s=%s: %w", p.Name, p.Value, err))
			}
		}
	}
	return errs
}
