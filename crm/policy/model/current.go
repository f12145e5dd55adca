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
