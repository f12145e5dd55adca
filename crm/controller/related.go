package controller

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// relations tells which resources may count on each other: those that orders and colocations join, also by way of others, with all
// that stand in the same group, clone or bundle. What a resource's state means to one that is not related to it is nothing.
type relations struct {
	joined map[string]string // id to another one of the same family; the last one stands for all
}

// relate finds the relations of a configuration. Its effort is that of reading the configuration once.
func relate(c *cib.Configuration) relations {
	r := relations{joined: map[string]string{}}
	named := map[string]bool{}
	for i := range c.Constraints {
		k := &c.Constraints[i]
		if k.Kind != cib.Order && k.Kind != cib.Colocation {
			continue
		}
		first := ""
		one := cib.Configuration{Constraints: c.Constraints[i : i+1]}
		cib.EachReference(&one, func(ref cib.Reference) {
			if ref.Target != cib.ToResource {
				return
			}
			id := familyName(ref.To)
			named[id] = true
			if first == "" {
				first = id
			}
			r.join(first, id)
		})
	}
	for i := range c.Tags {
		if t := &c.Tags[i]; named[t.ID] {
			for _, id := range t.Refs {
				r.join(t.ID, id)
			}
		}
	}
	var within func(x *cib.Resource)
	within = func(x *cib.Resource) {
		if named[x.Template] {
			r.join(x.Template, x.ID)
		}
		for _, m := range x.Members {
			r.join(x.ID, m.ID)
			within(m)
		}
	}
	for _, x := range c.Resources {
		within(x)
	}
	return r
}

func (r relations) join(a, b string) {
	if a, b = r.family(a), r.family(b); a != b {
		r.joined[a] = b
	}
}

// family is the id that stands for all that are related to a resource, given by the id under which its history knows it.
func (r relations) family(id string) string {
	id = familyName(id)
	for {
		next, ok := r.joined[id]
		if !ok {
			return id
		}
		if over, ok := r.joined[next]; ok {
			r.joined[id] = over // shorter for the next one who asks
		}
		id = next
	}
}

// familyName is the id of a resource without the number of an instance.
func familyName(id string) string {
	name, _, _ := strings.Cut(id, ":")
	return name
}
