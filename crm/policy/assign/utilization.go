package assign

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// consume changes what remains of n's capacity by sign times what r uses. The list of the node is replaced,
// not changed, where it gains a name.
func consume(n *model.Node, r *model.Resource, sign int64) {
	for _, u := range r.Utilization {
		for i := range n.Utilization {
			if n.Utilization[i].Name == u.Name {
				n.Utilization[i].Value += sign * u.Value
				break
			}
		}
	}
}

// remaining is what is left of one attribute of a sorted list; missing = 0.
func remaining(list []model.Capacity, name string) int64 {
	for i := range list {
		if list[i].Name == name {
			return list[i].Value
		}
	}
	return 0
}

// compareCapacity counts the attributes of which m has more left than n, less those of which n has more.
func compareCapacity(m, n *model.Node) int {
	balance := 0
	count := func(x, y int64) {
		switch {
		case x > y:
			balance++
		case x < y:
			balance--
		}
	}
	i, j := 0, 0
	x, y := m.Utilization, n.Utilization
	for i < len(x) || j < len(y) {
		switch {
		case j >= len(y) || i < len(x) && x[i].Name < y[j].Name:
			count(x[i].Value, 0)
			i++
		case i >= len(x) || y[j].Name < x[i].Name:
			count(0, y[j].Value)
			j++
		default:
			count(x[i].Value, y[j].Value)
			i++
			j++
		}
	}
	return balance
}

func holds(n *model.Node, need []model.Capacity) bool {
	for _, u := range need {
		if u.Value > remaining(n.Utilization, u.Name) {
			return false
		}
	}
	return true
}

// plus adds two lists of needs.
func plus(sum, more []model.Capacity) []model.Capacity {
next:
	for _, u := range more {
		for i := range sum {
			if sum[i].Name == u.Name {
				sum[i].Value += u.Value
				continue next
			}
		}
		sum = append(sum, u)
	}
	return sum
}

// banIncapable forbids r the nodes that cannot hold it, and returns the node to prefer (section 13).
func (a *assigner) banIncapable(r *model.Resource) *model.Node {
	if a.c.Options.Placement == model.PlaceDefault {
		return nil
	}
	need := a.together(r)
	if len(need) == 0 {
		return nil
	}
	alone := r.Utilization
	var capable *model.Node
	all := false
	for i := range r.Allowed {
		n := a.byIndex[i]
		if !allowed(r.Allowed, n) || !n.Available() {
			continue
		}
		if holds(n, need) {
			all = true
		}
		if capable == nil {
			capable = n
		} else if b := compareCapacity(n, capable); b > 0 || b == 0 && a.better(r.Allowed, r.Current(), n, capable) {
			capable = n
		}
	}
	if all {
		alone, capable = need, nil
	}
	for i := range r.Allowed {
		n := a.byIndex[i]
		if !allowed(r.Allowed, n) || !n.Available() || holds(n, alone) {
			continue
		}
		r.Allowed[i].Score = model.MinInfinity
		a.origin(r, n, model.Origin{Kind: model.OriginUtilization, ID: "utilization", Number: model.MinInfinity})
	}
	return capable
}

// together is what r and everything unassigned that must run on the same node need.
func (a *assigner) together(r *model.Resource) []model.Capacity {
	seen := map[*model.Resource]bool{}
	var order []*model.Resource
	a.collect(r, seen, &order)
	var need []model.Capacity
	counted := map[*model.Resource]bool{}
	for _, x := range order {
		need = plus(need, a.needs(x, seen, counted))
	}
	return need
}

// collect lists the resources that must run on the same node as r.
func (a *assigner) collect(r *model.Resource, seen map[*model.Resource]bool, order *[]*model.Resource) {
	if seen[r] {
		return
	}
	seen[r] = true
	*order = append(*order, r)
	if r.Kind == cib.Group {
		members := r.Children
		if r.GroupUncolocated && cloneOf(r) == nil && len(members) > 1 {
			members = members[:1] // which has the group's colocations
		}
		for _, member := range members {
			a.collect(member, seen, order)
		}
		return
	}
	for _, c := range colocations(r, true) {
		if c.Score >= model.Infinity && rolesAgree(c) {
			a.collect(c.Primary, seen, order)
		}
	}
	for _, c := range colocations(r, false) {
		if c.Score >= model.Infinity && rolesAgree(c) && (r.Kind != cib.Clone || c.Dependent.Kind == cib.Clone) {
			a.collect(c.Dependent, seen, order)
		}
	}
}

// rolesAgree reports whether the role filters of a colocation let it act on places.
func rolesAgree(c *model.Colocation) bool {
	return (c.DependentRole == model.RoleUnknown || c.DependentRole == nextRole(c.Dependent)) &&
		(c.PrimaryRole == model.RoleUnknown || c.PrimaryRole == nextRole(c.Primary))
}

// needs is what x itself needs, as far as it is not assigned and not counted yet.
func (a *assigner) needs(x *model.Resource, seen, counted map[*model.Resource]bool) []model.Capacity {
	var need []model.Capacity
	if counted[x] {
		return nil
	}
	counted[x] = true
	switch x.Kind {
	case cib.Group:
		if x.GroupUncolocated && cloneOf(x) == nil {
			return nil // what belongs to it stands for itself
		}
		for _, member := range x.Children {
			need = plus(need, a.needs(member, seen, counted))
		}
	case cib.Clone:
		for _, instance := range x.Children {
			if seen[instance] {
				return nil // it counts for the clone
			}
			for _, member := range instance.Children {
				if seen[member] {
					return nil
				}
			}
		}
		if len(x.Children) > 0 {
			need = plus(need, a.needs(x.Children[0], seen, counted))
		}
	case cib.Bundle:
		if len(x.Bundle.Replicas) > 0 {
			need = plus(need, a.needs(x.Bundle.Replicas[0].Container, seen, counted))
		}
	default:
		if !x.AssignedDone {
			need = plus(need, x.Utilization)
		}
	}
	return need
}
