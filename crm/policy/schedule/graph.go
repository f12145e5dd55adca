package schedule

import (
	"slices"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/transition"
)

// grapher writes the graph.
type grapher struct {
	s     scheduler
	graph *transition.Graph

	index   []int32         // by action number: synapse + 1, -1 = not in the graph, 0 = not looked at
	actions []*model.Action // of each synapse
	count   int             // inputs of all synapses
	attrs   attributes
}

// Graph returns what is carried out, in the order in which it is walked (spec/05-ordering.md section 8). It
// creates the notifications of instances, and marks the actions and relations that are in the graph.
func Graph(c *model.Cluster) *transition.Graph {
	for _, w := range c.Rows() {
		for _, s := range w.Spots {
			if !s.Node.Online || s.Node.Unclean {
				w.Action.Resource.Spread() // not all of it will be carried out
				break
			}
		}
	}
	c.Arrange()
	g := write(c)
	// Each round takes at least one action out.
	for g.withhold() {
		g = write(c)
	}
	g.link()
	return g.graph
}

// write makes the synapses, without their inputs.
func write(c *model.Cluster) *grapher {
	o := &c.Options
	g := &grapher{s: scheduler{c: c, budget: c.ActionCount() * updatesPerAction}}
	g.graph = &transition.Graph{
		ClusterDelay: o.ClusterDelay, FencingTimeout: o.FencingTimeout,
		FailedStopOffset: "INFINITY", FailedStartOffset: "INFINITY",
		BatchLimit: o.BatchLimit, TransitionID: 1,
	}
	if !o.StartFailureFatal {
		g.graph.FailedStartOffset = "1"
	}
	if n, ok := positive(o.MigrationLimit); ok {
		g.graph.MigrationLimit = n
	}
	g.attrs.c = c
	room := 0
	for _, w := range c.Rows() {
		room += len(w.Spots)
	}
	for _, a := range c.Actions {
		if wanted(a) {
			room++
		}
	}
	g.graph.Synapses = make([]transition.Synapse, 0, room+room/8)
	g.actions = make([]*model.Action, 0, room+room/8)
	g.index = make([]int32, c.ActionCount()+1, c.ActionCount()+c.ActionCount()/8+2)
	for _, r := range c.Resources {
		g.resource(r)
	}
	g.maintenance()
	for i := len(c.Actions) - 1; i >= 0; i-- {
		g.action(c.Actions[i])
	}
	if !c.RecheckBy.IsZero() {
		g.graph.RecheckBy = c.RecheckBy.Unix()
	}
	return g
}

// withhold blocks the actions that would wait for one that is not in the graph, and those that would wait for
// them: they could never run, and the transition could never complete. It reports whether there were any; then
// the graph has to be written again. Propagation leaves such actions only where an effect reached an action
// after those that depend on it had been looked at for the last time.
func (g *grapher) withhold() bool {
	var stuck []*model.Action
	for _, t := range g.actions {
		for _, rel := range t.Before {
			if rel.Used && !rel.First.InGraph {
				t.Runnable = false
				becauseOf(t, rel.First, "unrunnable")
				stuck = append(stuck, t)
				break
			}
		}
	}
	if len(stuck) == 0 {
		return false
	}
	for len(stuck) > 0 {
		f := stuck[len(stuck)-1]
		stuck = stuck[:len(stuck)-1]
		for _, rel := range f.After {
			if t := rel.Then; rel.Used && t.Runnable {
				t.Runnable = false
				becauseOf(t, f, "unrunnable")
				stuck = append(stuck, t)
			}
		}
	}
	for _, t := range g.actions {
		t.InGraph = false
		for _, rel := range t.Before {
			rel.Used = false
		}
	}
	return true
}

// positive reads an integer above 0.
func positive(text string) (string, bool) {
	n := 0
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			break
		}
		n = n*10 + int(text[i]-'0')
		if n > 1<<30 {
			break
		}
	}
	return text, n > 0
}

func (g *grapher) resource(r *model.Resource) {
	switch r.Kind {
	case cib.Group:
		g.own(r)
		for _, m := range r.Children {
			g.resource(m)
		}
	case cib.Clone:
		for _, a := range r.Actions {
			flagsOf(a, nil)
		}
		g.s.notifyInstances(r)
		for _, i := range r.Children {
			g.resource(i)
		}
		g.own(r)
	case cib.Bundle:
		if r.Bundle.Inner != nil {
			g.resource(r.Bundle.Inner)
		}
		for _, rep := range r.Bundle.Replicas {
			for _, part := range [...]*model.Resource{rep.IP, rep.Container, rep.Connection} {
				if part != nil {
					g.resource(part)
				}
			}
		}
	default:
		g.own(r)
	}
}

// own writes the actions of r itself, the newest first.
func (g *grapher) own(r *model.Resource) {
	for i := len(r.Actions) - 1; i >= 0; i-- {
		g.action(r.Actions[i])
	}
}

// maintenance creates the event that records a changed maintenance state of remote nodes.
func (g *grapher) maintenance() {
	c := g.s.c
	var changed []*model.Node
	for _, n := range c.Nodes {
		if n.IsRemoteKind() && n.State != nil && n.Maintenance != n.RemoteMaintenanceRecorded {
			changed = append(changed, n)
		}
	}
	if len(changed) == 0 {
		return
	}
	a := action.PseudoKey(c, nil, action.TaskMaintenance, action.TaskMaintenance, true, true)
	a.Forced = true
	g.attrs.maintenance = changed
}

// wanted reports whether an action will be carried out (spec/05-ordering.md section 7).
func wanted(a *model.Action) bool {
	if !a.Runnable || a.Optional && !a.Forced {
		return false
	}
	if r := a.Resource; r != nil && !r.Managed && a.Task != monitor && a.Interval == 0 {
		return false
	}
	if a.Pseudo || a.Task == action.TaskFence || a.Task == action.TaskShutdown {
		return true
	}
	n := a.Node
	if n == nil {
		return false
	}
	return a.ControllerSide || n.IsGuestKind() && !n.Reset || n.Online && !n.Unclean
}

// counts reports whether a relation makes its second action wait, given its effects, merged with those of
// other relations between the same two actions (spec/05-ordering.md section 7).
func (s *scheduler) counts(rel *model.Relation, e model.Effects) bool {
	f, t := rel.First, rel.Then
	switch {
	case rel.Void:
		return false
	case !f.Runnable && e&^(model.Seq|model.Serial|model.ShowFirst|model.ShowThen) == 0:
		// The field's own tools wait for ever where the two are serialized.
		return false
	case !f.Runnable && e&(model.Count|model.MigGate) != 0:
		return false
	case e&model.UnlessMigrating != 0 && f.Migratable:
		return false
	case e == model.Seq && f.Migratable && f.Task == stop && f.Interval == 0:
		return false
	case e == model.IfSameNodeOrTarget:
		n := t.Node
		if t.Task == migrateTo && t.Resource != nil {
			n = t.Resource.Assigned
		} else if f.Optional {
			rel.Void = true
			return false
		}
		if f.Node != n {
			rel.Void = true
			return false
		}
		return true
	case e == model.IfRequiredSameNode:
		if f.Row != nil && t.Node != nil {
			rel.Apart = true
			rel.Void = !f.Row.On(t.Node)
			return !rel.Void
		}
		if differ(f.Node, t.Node) || f.Optional {
			rel.Void = true
			return false
		}
		return true
	case f.Resource != nil && f.Resource != t.Resource && f.Task == stop && f.Interval == 0 && f.Resource.Failed &&
		!f.Resource.Managed && t.Resource != nil && t.Resource.Kind == cib.Clone:
		return false
	}
	if f.Optional && !f.Forced && !f.InGraph && !wanted(f) {
		return false
	}
	return true
}

// merge sorts the relations before a by the number of the first action and joins those with the same.
func merge(a *model.Action) {
	if len(a.Before) == 0 || len(a.Before) == 1 && !a.Before[0].Void {
		return
	}
	before := a.Before[:0]
	for _, rel := range a.Before {
		if !rel.Void {
			before = append(before, rel)
		}
	}
	byNumber := func(x, y *model.Relation) int { return x.First.Number - y.First.Number }
	if !slices.IsSortedFunc(before, byNumber) {
		slices.SortStableFunc(before, byNumber)
	}
	kept := before[:0]
	for _, rel := range before {
		if n := len(kept); n > 0 && kept[n-1].First == rel.First {
			kept[n-1].Effects |= rel.Effects
			kept[n-1].Apart = kept[n-1].Apart && rel.Apart
			rel.Void = true
			continue
		}
		kept = append(kept, rel)
	}
	a.Before = kept
}

// row writes the probes of a row into the graph, the newest first, if they are not there yet.
func (g *grapher) row(w *model.Row) {
	a := w.Action
	if a.InGraph {
		return
	}
	a.InGraph = true
	operation, p := g.attrs.full(a), priority(a)
	for i := len(w.Spots) - 1; i >= 0; i-- {
		s := &w.Spots[i]
		g.actions = append(g.actions, a)
		g.index[s.Number] = int32(len(g.actions))
		g.graph.Synapses = append(g.graph.Synapses, transition.Synapse{Priority: p,
			Action: transition.Action{Number: s.Number, Operation: operation, Place: g.attrs.at(s.Node)}})
	}
}

// action writes a into the graph if it is to be carried out and not there yet.
func (g *grapher) action(a *model.Action) {
	if a.Row != nil {
		g.row(a.Row)
		return
	}
	for len(g.index) <= a.Number {
		g.index = append(g.index, 0)
	}
	if g.index[a.Number] == 0 {
		g.index[a.Number] = -1
		merge(a)
	}
	if a.InGraph || !wanted(a) {
		return
	}
	a.InGraph = true
	g.actions = append(g.actions, a)
	g.index[a.Number] = int32(len(g.actions))
	for _, rel := range a.Before {
		if g.s.counts(rel, rel.Effects) {
			rel.Used = true
			if rel.First.Row != nil && !rel.Apart {
				g.count += len(rel.First.Row.Spots)
			} else {
				g.count++
			}
		}
	}
	g.graph.Synapses = append(g.graph.Synapses, transition.Synapse{Priority: priority(a),
		Action: transition.Action{Number: a.Number, Operation: g.attrs.full(a), Place: g.attrs.place(a)}})
}

// priority is the priority of an action's synapse; 0 = none.
func priority(a *model.Action) int32 {
	p := a.Priority
	if a.Resource != nil {
		p = max(p, a.Resource.Priority)
	}
	return max(p, 0)
}

// link turns the inputs into references to synapses. What is not in the graph is written out: it is never
// confirmed, so that the action that needs it never happens.
func (g *grapher) link() {
	all := make([]transition.Input, 0, g.count)
	for i, t := range g.actions {
		from, rows := len(all), false
		for _, rel := range t.Before {
			if !rel.Used {
				continue
			}
			if row := rel.First.Row; row != nil {
				for i := range row.Spots {
					if s := &row.Spots[i]; !rel.Apart || s.Node == t.Node {
						all = append(all, transition.Input{Synapse: int(g.index[s.Number]) - 1})
					}
				}
				rows = true
				continue
			}
			in := transition.Input{Synapse: int(g.index[rel.First.Number]) - 1}
			if in.Synapse < 0 {
				in.Synapse = -1
				f := rel.First
				in.Action = &transition.Action{Number: f.Number, Operation: g.attrs.short(f), Place: g.attrs.place(f)}
			}
			all = append(all, in)
		}
		if rows {
			g.sort(all[from:])
		}
		if len(all) > from {
			g.graph.Synapses[i].Inputs = all[from:len(all):len(all)]
		}
	}
}

// sort sorts inputs by the numbers of their actions.
func (g *grapher) sort(list []transition.Input) {
	number := func(in transition.Input) int {
		if in.Synapse < 0 {
			return in.Action.Number
		}
		return g.graph.Synapses[in.Synapse].Action.Number
	}
	compare := func(x, y transition.Input) int { return number(x) - number(y) }
	if !slices.IsSortedFunc(list, compare) {
		slices.SortFunc(list, compare)
	}
}

// Describe returns an action as a graph would have it, with everything that its executor needs. Whether it can be carried out
// is not asked.
func Describe(c *model.Cluster, a *model.Action) *transition.Action {
	w := attributes{c: c}
	return &transition.Action{Number: a.Number, Operation: w.full(a), Place: w.place(a)}
}
