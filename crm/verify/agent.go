package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
)

// answer is what Metadata said of an agent.
type answer struct {
	meta *agents.Metadata
	err  error
}

// agentChecker checks primitives and templates against the metadata of their agents.
type agentChecker struct {
	doc       *cib.Document
	templates map[string]*cib.Resource
	metadata  Metadata
	asked     map[string]answer
	peers     map[string][]*cib.Resource // primitives by agent
	twins     map[[3]string]bool         // two primitives and what they share: reported
	problems  []cib.Problem
}

// Agents returns what metadata says against the primitives and templates that after changes or adds.
func Agents(before, after *cib.Document, metadata Metadata) []cib.Problem {
	old := make(map[string]*cib.Resource)
	cib.EachResource(&before.Config, func(r, _ *cib.Resource) { old[r.ID] = r })
	k := newAgentChecker(after, metadata)
	cib.EachResource(&after.Config, func(r, _ *cib.Resource) {
		if r.Kind != cib.Primitive && r.Kind != cib.Template {
			return
		}
		x, y := cib.Object{Resource: old[r.ID]}, cib.Object{Resource: r}
		if x.Resource == nil || !x.Equal(&y) {
			k.resource(r)
		}
	})
	return k.problems
}

func newAgentChecker(doc *cib.Document, metadata Metadata) *agentChecker {
	k := &agentChecker{doc: doc, templates: templatesOf(doc), metadata: metadata, asked: make(map[string]answer), peers: make(map[string][]*cib.Resource), twins: make(map[[3]string]bool)}
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if r.Kind == cib.Primitive && r.Type != "" {
			k.peers[AgentName(r)] = append(k.peers[AgentName(r)], r)
		}
	})
	return k
}

// Resource returns what metadata says against one primitive or template of a document, whether it changed or not.
func Resource(doc *cib.Document, r *cib.Resource, metadata Metadata) []cib.Problem {
	k := newAgentChecker(doc, metadata)
	k.resource(r)
	return k.problems
}

func (k *agentChecker) add(s cib.Severity, pos cib.Pos, r *cib.Resource, hint, format string, args ...any) {
	k.problems = append(k.problems, problem(s, pos, fmt.Sprintf("%s %s", r.Kind, r.ID), hint, format, args...))
}

func (k *agentChecker) ask(agent string) answer {
	a, ok := k.asked[agent]
	if !ok {
		a.meta, a.err = k.metadata(agent)
		k.asked[agent] = a
	}
	return a
}

func (k *agentChecker) resource(r *cib.Resource) {
	pattern, template := r, k.templates[r.Template]
	if template != nil {
		pattern = template
	}
	agent := AgentName(pattern)
	if agent == "" {
		return // cib.Check says so
	}
	a := k.ask(agent)
	k.private(r, a.meta)
	switch {
	case errors.Is(a.err, ErrNoAgent):
		class, _, _ := strings.Cut(agent, ":")
		hint := fmt.Sprintf("\"crm ra list %s\" lists those of this node", class)
		if other := new(NoAgentError); errors.As(a.err, &other) && other.Near != "" {
			hint = fmt.Sprintf("did you mean %s? %s", other.Near, hint)
		}
		k.add(cib.Error, r.Pos, r, hint, "there is no agent %s", agent)
	case a.err != nil && !errors.Is(a.err, ErrNoMetadata):
		k.add(cib.Warning, r.Pos, r, "", "the parameters are not checked: %v", a.err)
	}
	if a.meta == nil || a.err != nil {
		return
	}
	k.parameters(r, pattern, a.meta, agent)
	k.operations(r, a.meta, agent)
	k.timeouts(r, a.meta)
	k.unique(r, a.meta, agent)
}

// private names passwords and keys that stand in the open. It warns only: configurations of old are full of them.
func (k *agentChecker) private(r *cib.Resource, meta *agents.Metadata) {
	look := func(list []cib.AttributeSet) {
		for i := range list {
			for _, p := range list[i].Pairs {
				if p.Value != "" && !cib.IsReference(p.Value) && Private(meta, p.Name) {
					k.add(cib.Warning, p.Pos, r, fmt.Sprintf("put it into a file that only root may read, and write %s=ref:file:/etc/quorate/secrets/NAME", p.Name),
						"the value of %s is a password or key and stands in the open", p.Name)
				}
			}
		}
	}
	look(r.Params)
	for i := range r.Operations.List {
		look(r.Operations.List[i].Params)
	}
}

func (k *agentChecker) parameters(r, pattern *cib.Resource, meta *agents.Metadata, agent string) {
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
				hint := ""
				if near := cib.Nearest(p.Name, known); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				k.add(cib.Error, p.Pos, r, hint, "agent %s has no parameter %q", agent, p.Name)
			}
		}
	}
	collect(r.Params, true)
	if pattern != r {
		collect(pattern.Params, false)
	}
	if r.Kind != cib.Primitive || referenced || pattern.Class == "systemd" || pattern.Class == "lsb" {
		return
	}
	for i := range meta.Parameters {
		p := &meta.Parameters[i]
		if p.Required && p.Default == "" && !given[p.Name] && !supplied(pattern.Class, p.Name) {
			k.add(cib.Error, r.Pos, r, "", "agent %s needs the parameter %s", agent, p.Name)
		}
	}
}

// supplied names parameters that the cluster gives fence agents itself.
func supplied(class, name string) bool {
	return class == "stonith" && (name == "action" || name == "plug" || name == "port" || name == "nodename")
}

// commonOperations are those that the cluster asks agents for; many agents name only the ones that they have timeouts for.
var commonOperations = []string{"demote", "meta-data", "migrate_from", "migrate_to", "monitor", "notify", "promote", "reload", "reload-agent", "start", "status", "stop", "validate-all"}

// operations names operations that neither the cluster nor the agent knows: they are slips, and never run.
func (k *agentChecker) operations(r *cib.Resource, meta *agents.Metadata, agent string) {
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		if o.Name == "" || slices.Contains(commonOperations, o.Name) || slices.ContainsFunc(meta.Actions, func(a agents.ActionInfo) bool { return a.Name == o.Name }) {
			continue
		}
		hint := ""
		if near := cib.Nearest(o.Name, commonOperations); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		k.add(cib.Warning, o.Pos, r, hint, "agent %s has no operation %q", agent, o.Name)
	}
}

// timeouts names timeouts shorter than what the agent advises.
func (k *agentChecker) timeouts(r *cib.Resource, meta *agents.Metadata) {
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		for _, attr := range o.Extra {
			have, err := cib.ParseTimeout(attr.Value)
			if attr.Name != "timeout" || err != nil {
				continue
			}
			for j := range meta.Actions {
				if a := &meta.Actions[j]; a.Name == o.Name {
					if a.Timeout.Milliseconds() > have {
						k.add(cib.Warning, o.Pos, r, "", "the timeout %s of %s is shorter than the %s that the agent advises", attr.Value, o.Name, a.Timeout)
					}
					break
				}
			}
		}
	}
}

// unique names other primitives of the same agent that have the same values where the agent says that no two may.
func (k *agentChecker) unique(r *cib.Resource, meta *agents.Metadata, agent string) {
	if r.Kind != cib.Primitive || len(r.Params) != 1 || r.Type == "" {
		return // nothing given, or by rules
	}
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
	for _, group := range order {
		mine := values(r, groups[group])
		if mine == "" {
			continue
		}
		for _, o := range k.peers[agent] {
			if o.ID != r.ID && len(o.Params) == 1 && values(o, groups[group]) == mine && !k.twins[[3]string{o.ID, r.ID, group}] {
				k.twins[[3]string{r.ID, o.ID, group}] = true
				k.add(cib.Error, r.Pos, r, "", "primitive %s has the same %s, which agent %s allows only once", o.ID, mine, r.Type)
			}
		}
	}
}
