package model

// Current returns the node where a primitive counts as active now: the source of a partial migration if it
// is listed; else, for a resource that does not require fencing, the first active node that is online and
// clean; else the first active node; nil = active nowhere (spec/02-state.md 9.7).
func (r *Resource) Current() *Node {
	if r.PartialSource != nil {
		for _, n := range r.Active {
			if n == r.PartialSource {
				return n
			}
		}
	}
	if len(r.Active) == 0 {
		return nil
	}
	if r.Requires != RequiresFencing {
		for _, n := range r.Active {
			if n.Online && !n.Unclean {
				return n
			}
		}
	}
	return r.Active[0]
}

// CurrentRole is the present role of a primitive, or of a collective the highest among its children
// (spec/02-state.md 9.8).
func (r *Resource) CurrentRole() Role {
	if len(r.Children) == 0 {
		return r.Role
	}
	highest := RoleUnknown
	for _, child := range r.Children {
		highest = max(highest, child.CurrentRole())
	}
	return highest
}
