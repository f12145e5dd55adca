// Package verify says what is wrong with a configuration before it is stored, in one place for the shell, its
// plans and crm_verify: what cib.Check finds, what the policy would ignore, and what the metadata of agents says
// of parameters and timeouts. It is pure: the caller gives the documents and a function that returns metadata.
//
// Every problem comes once, with the object, what is wrong and what would be right, and with its place where the
// document was read from a text.
package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
)

// Reasons why there is no metadata.
var (
	ErrNoAgent    = errors.New("there is no such agent")
	ErrNoMetadata = errors.New("no metadata")
)

// NoAgentError is an ErrNoAgent that knows which agent may have been meant.
type NoAgentError struct {
	Near string // the whole name, such as "ocf:heartbeat:Dummy"; "" = none is alike
}

func (e *NoAgentError) Error() string { return ErrNoAgent.Error() }

// Is makes it an ErrNoAgent.
func (e *NoAgentError) Is(target error) bool { return target == ErrNoAgent }

// Metadata returns the metadata of an agent such as "ocf:heartbeat:IPaddr2". An error that is ErrNoAgent says that
// the agent does not exist, ErrNoMetadata that its parameters are not known to anybody; other errors are reported
// as a warning. It may return nil without an error for an agent of which only the existence is known. It is called
// once for each agent.
type Metadata func(agent string) (*agents.Metadata, error)

// Input is what is verified.
type Input struct {
	// Before is the configuration that After replaces. Warnings that it deserves already are left out, as is what
	// no new configuration should have, and agents are asked about what changes only; nil = all of After is new.
	Before *cib.Document
	After  *cib.Document
	// Metadata is nil where agents cannot be asked; then nothing is said of them.
	Metadata Metadata
}

// Problems returns what is wrong with a configuration. Errors are what should not be stored, warnings what may not
// do what its author expects. The documents are not changed.
func Problems(in Input) []cib.Problem {
	known := make(map[string]bool)
	before := in.Before
	if before == nil {
		before = &cib.Document{}
	} else {
		for _, p := range general(before) {
			known[p.Where+"\x00"+p.Text] = p.Severity == cib.Warning
		}
		for _, p := range outdated(before) {
			known[p.Where+"\x00"+p.Text] = true
		}
	}
	var out []cib.Problem
	for _, p := range general(in.After) {
		if !known[p.Where+"\x00"+p.Text] {
			strict(&p)
			out = append(out, p)
		}
	}
	if in.Metadata == nil {
		return out
	}
	return append(out, Agents(before, in.After, in.Metadata)...)
}

// general is what can be said without agents.
func general(doc *cib.Document) []cib.Problem {
	out := cib.Check(doc)
	out = append(out, fencing(doc)...)
	out = append(out, References(doc)...)
	out = append(out, outdated(doc)...)
	return append(out, ignored(doc)...)
}

func problem(s cib.Severity, pos cib.Pos, where, hint, format string, args ...any) cib.Problem {
	return cib.Problem{Severity: s, Pos: pos, Where: where, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// fencing refuses resources where fencing is on and there is nothing to fence with: the cluster would start none of
// them.
func fencing(doc *cib.Document) []cib.Problem {
	if !cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled")) {
		return nil
	}
	templates := templatesOf(doc)
	resources, devices := false, false
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		class := r.Class
		if t := templates[r.Template]; t != nil {
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
	devices = devices || cib.IsTrue(cib.EffectiveProperty(doc, "have-watchdog"))
	if watchdog := cib.EffectiveProperty(doc, "fencing-watchdog-timeout"); watchdog != "" {
		if ms, err := cib.ParseInterval(watchdog); err == nil && ms > 0 {
			devices = true
		}
	}
	if !resources || devices {
		return nil
	}
	return []cib.Problem{problem(cib.Error, cib.Pos{}, "cluster properties", "define a device (primitive NAME stonith:AGENT ...), or accept the risk with \"property fencing-enabled=false\"",
		"there are resources and no fencing device: none of them would be started")}
}

// References refuses values that begin as references to secrets do, and are none: agents would never get them.
func References(doc *cib.Document) []cib.Problem {
	var out []cib.Problem
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		look := func(list []cib.AttributeSet) {
			for i := range list {
				for _, p := range list[i].Pairs {
					if _, _, ok := cib.ParseReference(p.Value); !ok && cib.IsReference(p.Value) {
						out = append(out, problem(cib.Error, p.Pos, fmt.Sprintf("%s %s", r.Kind, r.ID), "the form is ref:KIND:NAME, where KIND is one of "+strings.Join(cib.ReferenceKinds, ", "),
							"the value of %s begins with %q and is no reference to a secret", p.Name, cib.ReferencePrefix))
					}
				}
			}
		}
		look(r.Params)
		for i := range r.Operations.List {
			look(r.Operations.List[i].Params)
		}
	})
	return out
}

func templatesOf(doc *cib.Document) map[string]*cib.Resource {
	out := make(map[string]*cib.Resource)
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if r.Kind == cib.Template {
			out[r.ID] = r
		}
	})
	return out
}

// outdated names what old configurations may have and new ones should not: resources that are to be promoted and never
// are, and meta-attributes of groups that have gone.
func outdated(doc *cib.Document) []cib.Problem {
	var out []cib.Problem
	var walk func(list []*cib.Resource, promotable bool)
	walk = func(list []*cib.Resource, promotable bool) {
		for _, r := range list {
			meta, _ := cib.Value(r.Meta, "promotable")
			can := promotable || r.LegacyMaster || r.Kind == cib.Bundle || cib.IsTrue(meta)
			role, _ := cib.Value(r.Meta, "target-role")
			promoted := slices.ContainsFunc([]string{"Promoted", "Unpromoted", "Master", "Slave"}, func(s string) bool { return strings.EqualFold(s, role) })
			if promoted && !can && r.Kind != cib.Template {
				out = append(out, problem(cib.Error, r.Pos, fmt.Sprintf("%s %s", r.Kind, r.ID), "write Started, or make it a clone with meta promotable=true",
					"target-role=%s is for promotable clones only", role))
			}
			for _, name := range []string{"ordered", "collocated"} {
				if v, _ := cib.Value(r.Meta, name); cib.IsFalse(v) && r.Kind == cib.Group {
					out = append(out, problem(cib.Error, r.Pos, fmt.Sprintf("%s %s", r.Kind, r.ID), "use an order or a colocation with a set of resources instead of a group",
						"%s=%s of groups is not supported any more", name, v))
				}
			}
			walk(r.Members, can)
		}
	}
	walk(doc.Config.Resources, false)
	return out
}

// ignored names what the policy would ignore or take otherwise than it was written.
func ignored(doc *cib.Document) []cib.Problem {
	var out []cib.Problem
	enabled := cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled"))
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
		where := fmt.Sprintf("%s %s", k.Kind, k.ID)
		inside := func(id string) {
			if clone := clones[id]; clone != "" {
				out = append(out, problem(cib.Error, k.Pos, where, "name "+clone+" instead", "%s is inside of clone %s and has many instances", id, clone))
			}
		}
		inside(k.Resource)
		inside(k.With)
		inside(k.First)
		inside(k.Then)
		for _, set := range k.Sets {
			for _, id := range set.Refs {
				inside(id)
			}
		}
		if k.Kind == cib.Ticket && k.LossPolicy == "fence" && !enabled {
			out = append(out, problem(cib.Error, k.Pos, where, "", "loss-policy=fence cannot be met: fencing is off"))
		}
	}
	return out
}

// strict makes an error of a value that is none, where nobody can want the default instead: of cluster properties,
// target roles, and of numbers and times of resources.
func strict(p *cib.Problem) {
	if p.Option == "" {
		return
	}
	if p.Option == "target-role" || p.Where == cib.PropertiesPlace && cib.PropertyOption(p.Option) != nil {
		p.Severity = cib.Error
		return
	}
	if o := cib.MetaOption(p.Option); o != nil && p.Where != cib.PropertiesPlace {
		switch o.Type {
		case cib.TypeInteger, cib.TypeScore, cib.TypeDuration, cib.TypeTimeout:
			// The field's tools read inf and -inf as 0 and do not say so: they are named, not refused.
			if !strings.Contains(strings.ToLower(p.Text), `inf":`) {
				p.Severity = cib.Error
			}
		}
	}
}

// Private reports whether a parameter of an agent holds a password or key: by its name, or because the agent's
// metadata says so.
func Private(meta *agents.Metadata, parameter string) bool {
	if cib.SecretName(parameter) {
		return true
	}
	if meta != nil {
		for i := range meta.Parameters {
			if meta.Parameters[i].Name == parameter {
				return meta.Parameters[i].Private
			}
		}
	}
	return false
}

// AgentName writes the agent of a primitive or template, such as "ocf:heartbeat:IPaddr2"; "" where it has none.
func AgentName(r *cib.Resource) string {
	switch {
	case r.Type == "":
		return ""
	case r.Provider != "":
		return r.Class + ":" + r.Provider + ":" + r.Type
	}
	return r.Class + ":" + r.Type
}
