package cib

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// members returns the resources that an id in a constraint stands for: itself, or what a tag or template
// names.
func (k *checker) members(id string) []string {
	if r := k.resources[id]; r != nil {
		if r.Kind == Template {
			return k.derived[id]
		}
		return []string{id}
	}
	if t := k.tags[id]; t != nil {
		return t.Refs
	}
	return []string{id}
}

// edge says that one action needs another to have been done.
type edge struct {
	to         string // "id action"
	constraint *Constraint
}

// orderCycles finds mandatory orders that go round in a circle, so that none of their actions can be done.
func (k *checker) orderCycles() {
	edges := make(map[string][]edge)
	add := func(first, firstAction, then, thenAction string, c *Constraint) {
		firstAction = cmp.Or(firstAction, "start")
		for _, a := range k.members(first) {
			for _, b := range k.members(then) {
				if a == b {
					continue
				}
				from := a + " " + firstAction
				edges[from] = append(edges[from], edge{b + " " + thenAction, c})
			}
		}
	}
	for i := range k.c.Constraints {
		c := &k.c.Constraints[i]
		if c.Kind != Order || !mandatory(c) {
			continue
		}
		if len(c.Sets) == 0 {
			add(c.First, c.FirstAction, c.Then, cmp.Or(c.ThenAction, c.FirstAction, "start"), c)
			continue
		}
		for j := range c.Sets {
			s := &c.Sets[j]
			action := cmp.Or(s.Action, "start")
			if !IsFalse(s.Sequential) {
				for n := 1; n < len(s.Refs); n++ {
					add(s.Refs[n-1], action, s.Refs[n], action, c)
				}
			}
			if j == 0 || IsFalse(c.Sets[j-1].RequireAll) {
				continue
			}
			// The ends of a sequence are enough: the rest follows.
			before, after := c.Sets[j-1].Refs, s.Refs
			if !IsFalse(c.Sets[j-1].Sequential) && len(before) > 0 {
				before = before[len(before)-1:]
			}
			if !IsFalse(s.Sequential) && len(after) > 0 {
				after = after[:1]
			}
			for _, a := range before {
				for _, b := range after {
					add(a, cmp.Or(c.Sets[j-1].Action, "start"), b, action, c)
				}
			}
		}
	}
	// Members of a group start in order, after what the group waits for and before what waits for it.
	EachResource(k.c, func(r, _ *Resource) {
		if r.Kind != Group {
			return
		}
		if v, ok := lookup(r.Meta, "ordered"); ok && IsFalse(v) {
			return
		}
		for i, m := range r.Members {
			if i > 0 {
				edges[r.Members[i-1].ID+" start"] = append(edges[r.Members[i-1].ID+" start"], edge{m.ID + " start", nil})
			}
		}
	})
	k.cycles(edges)
}

func mandatory(c *Constraint) bool {
	if c.OrderKind != "" {
		return strings.EqualFold(c.OrderKind, "Mandatory")
	}
	if c.Score != "" {
		s, err := ParseScore(c.Score)
		return err != nil || s != 0
	}
	return true
}

// cycles names each circle of the graph once, at the constraint that closes it.
func (k *checker) cycles(edges map[string][]edge) {
	vertices := make([]string, 0, len(edges))
	for v := range edges {
		vertices = append(vertices, v)
	}
	slices.Sort(vertices)
	const (
		unseen = iota
		open
		done
	)
	state := make(map[string]int, len(vertices))
	type frame struct {
		vertex string
		next   int
	}
	for _, start := range vertices {
		if state[start] != unseen {
			continue
		}
		stack := []frame{{vertex: start}}
		state[start] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			list := edges[top.vertex]
			if top.next >= len(list) {
				state[top.vertex] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := list[top.next]
			top.next++
			switch state[e.to] {
			case unseen:
				state[e.to] = open
				stack = append(stack, frame{vertex: e.to})
			case open:
				var round []string
				constraint := e.constraint
				at := slices.IndexFunc(stack, func(f frame) bool { return f.vertex == e.to })
				for _, f := range stack[at:] {
					round = append(round, f.vertex)
					if via := edges[f.vertex][f.next-1].constraint; constraint == nil {
						constraint = via
					}
				}
				const most = 8
				if len(round) > most {
					round = append(round[:most], fmt.Sprintf("%d more", len(round)-most))
				}
				round = append(round, e.to)
				where, pos := "orders", Pos{}
				if constraint != nil {
					where, pos = "order "+constraint.ID, constraint.Pos
				}
				k.warn(pos, where, "remove one of the orders, or make it Optional", "the orders go round in a circle, so that none of these can be done: %s", strings.Join(round, ", then "))
			}
		}
	}
}

// placements finds resources that can run nowhere because of constraints without conditions: banned from
// every node, or bound to and kept apart from the same resource.
func (k *checker) placements() {
	// Components of resources that must be on one node.
	parent := make(map[string]string)
	find := func(id string) string {
		root := id
		for parent[root] != "" && parent[root] != root {
			root = parent[root]
		}
		for id != root {
			parent[id], id = root, cmp.Or(parent[id], root)
		}
		return root
	}
	unite := func(a, b string) { parent[find(a)] = find(b) }
	EachResource(k.c, func(r, _ *Resource) {
		if r.Kind != Group {
			return
		}
		if v, ok := lookup(r.Meta, "collocated"); ok && IsFalse(v) {
			return
		}
		for _, m := range r.Members {
			unite(m.ID, r.ID)
		}
	})
	// Clones have instances on several nodes, so being with one of them says nothing about another.
	plain := func(id string) bool {
		r := k.resources[id]
		for r != nil {
			if r.Kind == Clone || r.Kind == Bundle || r.Kind == Template {
				return false
			}
			r = k.parents[r.ID]
		}
		return k.resources[id] != nil
	}
	simple := func(c *Constraint) bool {
		return c.Kind == Colocation && len(c.Sets) == 0 && c.NodeAttribute == "" && c.Role == "" && c.WithRole == "" && plain(c.Resource) && plain(c.With)
	}
	for i := range k.c.Constraints {
		c := &k.c.Constraints[i]
		if s, err := ParseScore(c.Score); err == nil && s >= Infinity && simple(c) {
			unite(c.Resource, c.With)
		}
	}
	for i := range k.c.Constraints {
		c := &k.c.Constraints[i]
		if s, err := ParseScore(c.Score); err == nil && s <= -Infinity && simple(c) && c.Resource != c.With && find(c.Resource) == find(c.With) {
			k.error(c.Pos, "colocation "+c.ID, "remove one of the constraints", "%s and %s must be on the same node by other constraints or their group, and must not by this one", c.Resource, c.With)
		}
	}
	k.banned()
	k.colocationCycles(simple)
}

// banned finds resources that are banned from every member node.
func (k *checker) banned() {
	members := 0
	for i := range k.c.Nodes {
		if n := &k.c.Nodes[i]; n.Type != "ping" && n.Type != "remote" && !n.Witness {
			members++
		}
	}
	if members == 0 || len(k.nodeNames) > len(k.c.Nodes) {
		return // remote and guest nodes may take it
	}
	bans := make(map[string]map[string]bool)
	last := make(map[string]*Constraint)
	for i := range k.c.Constraints {
		c := &k.c.Constraints[i]
		if c.Kind != Location || c.Node == "" || c.Role != "" && !strings.EqualFold(c.Role, "Started") || c.Resource == "" {
			continue
		}
		if s, err := ParseScore(c.Score); err != nil || s > -Infinity {
			continue
		}
		if bans[c.Resource] == nil {
			bans[c.Resource] = make(map[string]bool)
		}
		bans[c.Resource][strings.ToLower(c.Node)] = true
		last[c.Resource] = c
	}
	ids := make([]string, 0, len(bans))
	for id := range bans {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		free := slices.ContainsFunc(k.c.Nodes, func(n Node) bool {
			return n.Type != "ping" && !n.Witness && !bans[id][strings.ToLower(n.Name)]
		})
		if !free {
			c := last[id]
			k.warn(c.Pos, "location "+c.ID, "remove one of the constraints", "%s is banned from every node and can run nowhere", id)
		}
	}
}

// colocationCycles warns about mandatory colocations that go round in a circle: none of the resources is
// placed first.
func (k *checker) colocationCycles(simple func(*Constraint) bool) {
	next := make(map[string][]*Constraint)
	for i := range k.c.Constraints {
		c := &k.c.Constraints[i]
		if s, err := ParseScore(c.Score); err == nil && s >= Infinity && simple(c) && c.Resource != c.With {
			next[c.Resource] = append(next[c.Resource], c)
		}
	}
	state := make(map[string]int) // 0 unseen, 1 open, 2 done
	starts := make([]string, 0, len(next))
	for id := range next {
		starts = append(starts, id)
	}
	slices.Sort(starts)
	type frame struct {
		id string
		at int
	}
	for _, start := range starts {
		if state[start] != 0 {
			continue
		}
		stack := []frame{{id: start}}
		state[start] = 1
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.at >= len(next[top.id]) {
				state[top.id] = 2
				stack = stack[:len(stack)-1]
				continue
			}
			c := next[top.id][top.at]
			top.at++
			switch state[c.With] {
			case 0:
				state[c.With] = 1
				stack = append(stack, frame{id: c.With})
			case 1:
				k.warn(c.Pos, "colocation "+c.ID, "remove one of them", "mandatory colocations go round in a circle: %s depends on %s, which depends on it", c.Resource, c.With)
			}
		}
	}
}
