package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
)

// updatesPerAction bounds propagation: an action is updated once for itself, and again for each change of an
// action before it, of which each has at most a handful. Real documents stay far below.
const updatesPerAction = 2000

// maxCancels is how often an action may be cancelled because of others. Everything else that propagation does
// makes an action more required, less runnable or less migratable, and so comes to an end by itself. Two
// actions of which one requires the other and is cancelled by it would not; once is enough in a document that
// makes sense.
const maxCancels = 3

// flags are the properties of an action that orderings look at and change.
type flags uint8

const (
	isOptional flags = 1 << iota
	isRunnable
	isMigratable
	isPseudo
)

func stored(a *model.Action) flags {
	var f flags
	if a.Optional {
		f |= isOptional
	}
	if a.Runnable {
		f |= isRunnable
	}
	if a.Migratable {
		f |= isMigratable
	}
	if a.Pseudo {
		f |= isPseudo
	}
	return f
}

// changes says which of two actions an effect changed.
type changes uint8

const (
	changedFirst changes = 1 << iota
	changedThen
)

// propagate spreads "required" and "cannot run" along the relations (spec/05-ordering.md section 5).
func (s *scheduler) propagate() {
	c := s.c
	s.budget = updatesPerAction * (c.ActionCount() + 1)
	for i := len(c.Actions) - 1; i >= 0; i-- {
		if a := c.Actions[i]; !a.Runnable {
			s.blockDependents(a)
		}
	}
	s.orderProbes()
	c.Arrange()
	for i := len(c.Actions) - 1; i >= 0; i-- {
		if a := c.Actions[i]; len(a.Before) > 0 || a.MinCount > 0 {
			s.update(a)
		}
	}
	if s.budget <= 0 {
		s.fault("the orderings contradict each other, so that what has to happen could not be worked out in full; look for actions that cancel each other")
	}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		before := c.Actions[i].Before
		for j := len(before) - 1; j >= 0; j-- {
			s.voidInvalid(before[j])
		}
	}
}

// update applies everything that comes before t to it, and what changed to everything concerned.
func (s *scheduler) update(t *model.Action) {
	if s.budget--; s.budget < 0 {
		return
	}
	before := stored(t)
	if t.MinCount > 0 {
		t.RunnableCount, t.Runnable = 0, false
	}
	changed := false
	for i := len(t.Before) - 1; i >= 0; i-- {
		rel := t.Before[i]
		if rel.Void || rel.Inert {
			continue
		}
		f := rel.First
		if f.Row != nil {
			s.look(t, f.Row)
			continue
		}
		firstNode, thenNode := placeOf(f), placeOf(t)
		if rel.Effects&model.IfSameNode != 0 && differ(firstNode, thenNode) {
			rel.Void = true
			continue
		}
		var did changes
		if rel.Effects&model.CancelFirst != 0 && f.Resource != nil && !t.Optional {
			if !f.Optional && f.Cancels < maxCancels {
				f.Cancels++
				f.Optional = true
				did |= changedFirst
			}
			if f.Task == reload {
				f.Resource.Reloading = false
			}
		}
		if done := s.completion(f, t); done != f {
			if action.Relate(s.c, done, t, rel.Effects) != nil {
				changed = true
			}
			rel.Void = true
		} else {
			did |= s.apply(f, t, flagsFor(f, thenNode), flagsFor(t, firstNode), rel)
		}
		if did&changedThen != 0 {
			changed = true
		}
		if did&changedFirst != 0 {
			for j := len(f.After) - 1; j >= 0; j-- {
				s.update(f.After[j].Then)
			}
			s.update(f)
		}
	}
	if t.MinCount > 0 {
		changed = stored(t) != before
	}
	if !changed {
		return
	}
	if before&isRunnable != 0 && !t.Runnable {
		s.blockDependents(t)
	}
	s.update(t)
	for j := len(t.After) - 1; j >= 0; j-- {
		s.update(t.After[j].Then)
	}
}

// look does for t what a mere order of t after the probes of a row does: nothing, but that the flags of a collective are
// stored as it is looked at.
func (s *scheduler) look(t *model.Action, row *model.Row) {
	if t.Resource == nil || t.Resource.Kind == cib.Primitive {
		return
	}
	for i := len(row.Spots) - 1; i >= 0; i-- {
		flagsFor(t, row.Spots[i].Node)
		if t.Resource.Kind == cib.Group {
			return // it is the same on every node
		}
	}
}

func differ(a, b *model.Node) bool { return a != nil && b != nil && a != b }

// placeOf is the node of an action; of a group's start the one node of the group.
func placeOf(a *model.Action) *model.Node {
	if a.Resource != nil && a.Resource.Kind == cib.Group && a.Task == start {
		return location(a.Resource)
	}
	return a.Node
}

// completion returns the action that says that f, an action of a collective, is done for all of it, when t
// belongs to something else; otherwise f.
func (s *scheduler) completion(f, t *model.Action) *model.Action {
	r := f.Resource
	if r == nil || r.Kind == cib.Primitive || t.Resource == nil || r == t.Resource || isAncestor(r, t.Resource) {
		return f
	}
	if f.Interval != 0 {
		return f
	}
	done := ""
	switch f.Task {
	case start:
		done = running
	case stop:
		done = stopped
	case promote:
		done = promoted
	case demote:
		done = demoted
	case running, stopped, promoted, demoted:
		done = f.Task
	case action.TaskNotify:
		kind, operation := f.Meta["notify_key_type"], f.Meta["notify_key_operation"]
		if a := action.Find(r, action.NotifyKey(r.ID, "confirmed-"+kind, operation), nil); a != nil {
			return a
		}
		return f
	default:
		return f
	}
	if r.Notify && (r.Parent == nil || inBundle(r)) {
		// Done means that all instances were told. A bundle has notifications in what it contains only; then
		// there is nothing better to wait for than the action itself.
		if a := action.Find(r, action.NotifyKey(r.ID, kindConfirmedPost, done), nil); a != nil {
			return a
		}
		return f
	}
	if done == f.Task {
		return f
	}
	if a := action.FindTask(r, done, nil); a != nil {
		return a
	}
	return f
}

// flagsFor returns the flags of an action as an ordering sees them, with the node of the other side. A
// clone's action that could run anywhere counts as runnable.
func flagsFor(a *model.Action, other *model.Node) flags {
	r := a.Resource
	if r == nil || r.Kind == cib.Primitive {
		return stored(a)
	}
	f := flagsOf(a, nil)
	if other == nil || r.Kind == cib.Group {
		return f
	}
	return flagsOf(a, other) | f&isRunnable
}

// flagsOf returns the flags of an action; those of a collective follow from its parts (spec/05-ordering.md
// 5.3) and are stored in the action.
func flagsOf(a *model.Action, n *model.Node) flags {
	r := a.Resource
	if r == nil || !a.Pseudo {
		return stored(a) // what is carried out itself does not stand for what the parts do
	}
	switch r.Kind {
	case cib.Group:
		return groupFlags(a, n)
	case cib.Clone:
		return instanceFlags(a, r.Children, n)
	case cib.Bundle:
		return instanceFlags(a, bundleParts(r, a), n)
	}
	return stored(a)
}

// basicTask is the operation of parts that a collective's action stands for.
func basicTask(a *model.Action) string {
	switch a.Task {
	case running:
		return start
	case stopped:
		return stop
	case promoted:
		return promote
	case demoted:
		return demote
	case action.TaskNotify, action.TaskNotified:
		return a.Meta["notify_operation"]
	}
	return a.Task
}

// instanceTask is the operation of an instance that a collective's action stands for: an instance that is a
// group has its own completions.
func instanceTask(a *model.Action, i *model.Resource) string {
	if i.Kind == cib.Primitive {
		return basicTask(a)
	}
	switch a.Task {
	case action.TaskNotify, action.TaskNotified:
		return a.Meta["notify_key_operation"]
	}
	return a.Task
}

// bundleParts are the parts of a bundle that decide about one of its actions.
func bundleParts(b *model.Resource, a *model.Action) []*model.Resource {
	switch basicTask(a) {
	case promote, demote:
		if b.Bundle.Inner != nil {
			return b.Bundle.Inner.Children
		}
	default:
		if (a.Task == action.TaskNotify || a.Task == action.TaskNotified) && b.Bundle.Inner != nil {
			return b.Bundle.Inner.Children
		}
	}
	return containers(b)
}

func containers(b *model.Resource) []*model.Resource {
	list := make([]*model.Resource, 0, len(b.Bundle.Replicas))
	for _, rep := range b.Bundle.Replicas {
		list = append(list, rep.Container)
	}
	return list
}

func groupFlags(a *model.Action, n *model.Node) flags {
	task := basicTask(a)
	f := isOptional | isRunnable | isPseudo
	for _, m := range a.Resource.Children {
		ma := action.FindTask(m, task, n)
		if ma == nil {
			if task != stop && task != demote {
				f &^= isRunnable
			}
			continue
		}
		mf := flagsOf(ma, n)
		if mf&isOptional == 0 {
			f &^= isOptional
			a.Optional = false
		}
		if task != a.Task && mf&isRunnable == 0 {
			f &^= isRunnable
			a.Runnable = false
		}
	}
	return f
}

func instanceFlags(a *model.Action, instances []*model.Resource, n *model.Node) flags {
	f := isOptional | isRunnable | isPseudo
	runs := false
	for _, i := range instances {
		at := n
		if i.Kind != cib.Primitive {
			at = nil // the actions of a group have no node; those of its members do
		}
		ia := action.FindTask(i, instanceTask(a, i), at)
		if ia == nil {
			continue
		}
		of := flagsOf(ia, n)
		if of&isOptional == 0 {
			f &^= isOptional
			a.Optional = false
		}
		if of&isRunnable != 0 {
			runs = true
		}
	}
	if !runs {
		f &^= isRunnable
		if n == nil {
			a.Runnable = false
		}
	}
	return f
}

// apply applies the effects of a relation (spec/05-ordering.md 5.2). ff and tf are the flags of both sides as
// the ordering sees them.
func (s *scheduler) apply(f, t *model.Action, ff, tf flags, rel *model.Relation) changes {
	e := rel.Effects
	n := t.Node
	var did changes
	if e&model.PullThenLocal != 0 {
		e = e&^model.PullThenLocal | model.PullThen
		n = f.Node
	}
	if e&model.PullThen != 0 {
		if t.Resource != nil {
			did |= s.ordered(f, t, n, ff, model.PullThen)
		} else if ff&isOptional == 0 && t.Optional {
			t.Optional = false
			did |= changedThen
		}
	}
	if e&model.RestartPair != 0 && t.Resource != nil {
		did |= s.ordered(f, t, n, ff, model.RestartPair)
	}
	if e&model.PullFirst != 0 {
		switch {
		case f.Resource == nil || t.Resource == nil:
		case f.Resource.Kind == cib.Primitive:
			did |= s.basic(f, t, n, ff, model.PullFirst)
		default:
			did |= s.ordered(f, t, n, ff, model.PullFirst)
		}
	}
	if e&model.PullFirstPromoted != 0 && t.Resource != nil {
		did |= s.ordered(f, t, n, ff, model.PullFirstPromoted)
	}
	if e&model.Count != 0 {
		if t.Resource != nil {
			did |= s.ordered(f, t, n, ff, model.Count)
		} else if ff&isRunnable != 0 {
			t.RunnableCount++
			if t.RunnableCount >= t.MinCount && !t.Runnable {
				t.Runnable = true
				did |= changedThen
			}
		}
	}
	if e&model.NestedProbe != 0 && t.Resource != nil {
		if ff&isRunnable == 0 && f.Resource != nil && len(f.Resource.Active) > 0 {
			rel.Void = true
		} else {
			did |= s.ordered(f, t, n, ff, model.Gate)
		}
	}
	if e&model.Gate != 0 {
		if t.Resource != nil {
			did |= s.ordered(f, t, n, ff, model.Gate)
		} else if ff&isRunnable == 0 && t.Runnable {
			t.Runnable = false
			did |= changedThen
		}
	}
	for _, one := range [...]model.Effects{model.MigGate, model.MigReal, model.Seq, model.Asym} {
		if e&one != 0 && t.Resource != nil {
			did |= s.ordered(f, t, n, ff, one)
		}
	}
	if e&model.ShowThen != 0 && ff&isRunnable != 0 && ff&isOptional == 0 {
		t.Forced = true
	}
	if e&model.ShowFirst != 0 && tf&isOptional == 0 {
		f.Forced = true
	}
	if e&(model.PullThen|model.PullFirst|model.RestartPair) != 0 && f.Resource != nil && f.Task == stop &&
		!f.Resource.Managed && f.Resource.Blocked && !f.Runnable && t.Runnable {
		t.Runnable = false
		did |= changedThen
	}
	return did
}

// ordered applies one effect to the action t of a resource: to t itself and, for a collective, to the actions
// of its parts (spec/05-ordering.md 5.3).
func (s *scheduler) ordered(f, t *model.Action, n *model.Node, ff flags, one model.Effects) changes {
	r := t.Resource
	switch r.Kind {
	case cib.Group:
		did := s.basic(f, t, n, ff, one)
		for _, m := range r.Children {
			if ma := action.FindTask(m, t.Task, n); ma != nil {
				did |= s.ordered(f, ma, n, ff, one)
			}
		}
		return did
	case cib.Clone, cib.Bundle:
		if interleaves(f, t) {
			return s.interleaved(f, t, one)
		}
		did := s.basic(f, t, n, ff, one)
		parts := r.Children
		if r.Kind == cib.Bundle {
			parts = containers(r)
		}
		for _, i := range parts {
			did |= s.instance(f, i, t.Task, n, ff, one)
		}
		return did
	}
	return s.basic(f, t, n, ff, one)
}

// instance applies an effect to the action of one instance.
func (s *scheduler) instance(f *model.Action, i *model.Resource, task string, n *model.Node, ff flags, one model.Effects) changes {
	ia := action.FindTask(i, task, n)
	if ia == nil || flagsOf(ia, n)&isRunnable == 0 {
		return 0
	}
	did := s.ordered(f, ia, n, ff, one)
	if did&changedThen != 0 {
		for j := len(ia.After) - 1; j >= 0; j-- {
			s.update(ia.After[j].Then)
		}
	}
	return did
}

// interleaves reports whether an ordering between two collectives holds instance by instance.
func interleaves(f, t *model.Action) bool {
	a, b := f.Resource, t.Resource
	if a == nil || a == b || a.Kind < cib.Clone {
		return false
	}
	decides := b
	if t.Task == stop || t.Task == demote {
		decides = a
	}
	return interleave(decides)
}

func interleave(r *model.Resource) bool {
	if r.Clone != nil {
		return r.Clone.Interleave
	}
	return r.Meta["interleave"] != "" && isTrue(r.Meta["interleave"])
}

// interleaved applies an effect to each instance of t's resource and its partner.
func (s *scheduler) interleaved(f, t *model.Action, one model.Effects) changes {
	current := f.Task == stopped || f.Task == demoted
	parts := t.Resource.Children
	if t.Resource.Kind == cib.Bundle {
		parts = containers(t.Resource)
	}
	var did changes
	for _, i := range parts {
		partner := assign.Compatible(s.c, i, f.Resource, model.RoleUnknown, current)
		if partner == nil {
			if !current && one&(model.Gate|model.PullThen) != 0 && s.unassign(i) {
				did |= changedThen
			}
			continue
		}
		fa := instanceAction(partner, instanceTask(f, partner), true)
		ta := instanceAction(i, t.Task, false)
		if fa == nil || ta == nil {
			continue
		}
		if action.Relate(s.c, fa, ta, one) != nil {
			did |= changedFirst | changedThen
		}
		did |= s.ordered(fa, ta, t.Node, flagsOf(fa, t.Node), one)
	}
	return did
}

// instanceAction finds the action of an instance; for a bundle's container sometimes that of what is in it:
// who comes after it needs the service inside, and only role changes of it are done inside.
func instanceAction(i *model.Resource, task string, first bool) *model.Action {
	if i.Replica != nil && i.Replica.Inner != nil && i == i.Replica.Container {
		if first && task != stop || !first && (task == promote || task == demote) {
			if a := action.FindTask(i.Replica.Inner, task, nil); a != nil {
				return a
			}
			return nil
		}
	}
	return action.FindTask(i, task, nil)
}

// unassign takes the place of an instance away that has no partner to follow (spec/03-assignment.md 5.2). It
// reports whether it had one.
func (s *scheduler) unassign(r *model.Resource) bool {
	had := false
	for _, m := range r.Children {
		if s.unassign(m) {
			had = true
		}
	}
	if r.Kind == cib.Primitive {
		had = r.Assigned != nil
		r.Assigned = nil
		for _, a := range r.Others {
			switch {
			case a.Task == stop && a.Interval == 0:
				a.Optional = false
			case a.Task == start && a.Interval == 0:
				a.Runnable = false
			case a.Interval != 0 && a.TargetRC != 7:
				a.Runnable = false
			}
		}
	}
	r.Next = model.RoleStopped
	return had
}

// basic applies one effect to two actions as they are (spec/05-ordering.md 5.2). ff are the flags of f as the
// ordering sees them.
func (s *scheduler) basic(f, t *model.Action, n *model.Node, ff flags, one model.Effects) changes {
	fOld, tOld := stored(f), stored(t)
	switch one {
	case model.PullThen:
		if t.Optional && ff&isOptional == 0 && !f.Migratable {
			t.Optional = false
			becauseOf(t, f, "required")
		}
	case model.RestartPair:
		s.restart(f, t)
	case model.PullFirst:
		if !t.Optional {
			if f.Optional && ff&isOptional == 0 {
				f.Optional = false
				becauseOf(f, t, "required")
			}
			if f.Migratable && !t.Migratable {
				f.Migratable = false
				becauseOf(f, t, "unmigrateable")
			}
		}
	case model.PullFirstPromoted:
		if !t.Optional && t.Resource.Role == model.RolePromoted {
			if f.Optional {
				f.Optional = false
				becauseOf(f, t, "required")
			}
			if f.Migratable && !t.Migratable {
				f.Migratable = false
				becauseOf(f, t, "unmigrateable")
			}
		}
	case model.Gate:
		if t.Runnable && ff&isRunnable == 0 {
			t.Runnable = false
			becauseOf(t, f, "unrunnable")
			t.Migratable = false
		}
	case model.MigGate:
		if !(t.Migratable && t.Runnable) && f.Runnable {
			f.Runnable = false
			becauseOf(f, t, "unrunnable")
		}
		if !t.Optional && f.Optional {
			f.Optional = false
			becauseOf(f, t, "required")
		}
	case model.MigReal:
		if ff&isRunnable == 0 {
			t.Migratable = false
			t.Pseudo = false
		}
	case model.Asym:
		s.asymmetric(f, t)
	}
	var did changes
	if stored(t) != tOld {
		did |= changedThen
		if t.Resource.Parent != nil {
			s.update(t)
		}
	}
	if stored(f) != fOld {
		did |= changedFirst
	}
	return did
}

// restart makes a stop of a start that has to happen or cannot.
func (s *scheduler) restart(f, t *model.Action) {
	why := ""
	switch {
	case !t.Optional:
		why = "required"
	case !t.Runnable && t.Resource.Managed && f.Resource == t.Resource:
		why = "restart"
	default:
		return
	}
	if f.Optional && (f.Runnable || why == "required") {
		f.Optional = false
		becauseOf(f, t, "required")
	}
	if f.Migratable && !t.Migratable {
		f.Migratable = false
		becauseOf(f, t, "unmigrateable")
	}
	if !f.Optional && !f.Runnable && t.Runnable {
		t.Runnable = false
		becauseOf(t, f, "unrunnable")
	}
}

// asymmetric keeps an action from happening when the one before it cannot, without touching what is already
// as the action would make it.
func (s *scheduler) asymmetric(f, t *model.Action) {
	r := t.Resource
	if r == nil || f.Runnable {
		return
	}
	if t.Optional {
		switch {
		case t.Task == stop && r.CurrentRole() == model.RoleStopped:
			return
		case t.Task == start && r.CurrentRole() >= model.RoleStarted && len(r.Active) == 1 && t.Node != nil && r.Active[0] == t.Node:
			return
		}
		t.Optional = false
		becauseOf(t, f, "required")
	}
	if t.Runnable {
		t.Runnable = false
		becauseOf(t, f, "unrunnable")
	}
}

// becauseOf gives an action the reason that it changed because of an action of another resource
// (spec/05-ordering.md 5.4).
func becauseOf(a, of *model.Action, what string) {
	if a.Reason != "" || a.Resource == of.Resource {
		return
	}
	if of.Resource == nil {
		a.Reason = what + " " + of.Task
		return
	}
	a.Reason = what + " " + of.Resource.ID + " " + of.Task
}

// blockDependents keeps what must be with a resource from starting or being promoted when the resource cannot
// (spec/05-ordering.md 5.5).
func (s *scheduler) blockDependents(a *model.Action) {
	if a.Runnable || a.Resource == nil || a.Interval != 0 || (a.Task != start && a.Task != promote) {
		return
	}
	top := a.Resource.Top(true)
	for _, child := range top.Children {
		if ca := action.FindTask(child, a.Task, nil); ca == nil || ca.Runnable {
			return
		}
	}
	for _, col := range assign.WithThis(s.c, top) {
		if col.Score < model.Infinity {
			continue
		}
		if a.Task == promote && col.PrimaryRole != model.RolePromoted {
			continue
		}
		task := start
		if col.DependentRole == model.RolePromoted {
			task = promote
		}
		s.block(col.Dependent, task, a.Resource)
	}
}

func (s *scheduler) block(r *model.Resource, task string, because *model.Resource) {
	if s.budget--; s.budget < 0 {
		return
	}
	for _, a := range r.Others {
		if a.Task == task && a.Interval == 0 && a.Runnable {
			a.Runnable = false
			action.Because(a, "colocation with "+because.ID, false)
			s.blockDependents(a)
			s.update(a)
		}
	}
	for _, child := range r.Children {
		s.block(child, task, because)
	}
}

// voidInvalid takes back a relation that cannot be kept (spec/05-ordering.md 5.6).
func (s *scheduler) voidInvalid(rel *model.Relation) {
	f, t := rel.First, rel.Then
	if rel.Void {
		return
	}
	if rel.Effects&model.GuestOK == 0 && t.Resource != nil && (t.Resource.RemoteNode != nil || len(t.Resource.Launched) > 0) && f.Resource != nil && f.Node != nil && f.Node.IsGuestKind() && f.Node.Connection != nil &&
		t.Resource == f.Node.Connection.Launcher {
		rel.Void = true
		s.fault("%s on %s cannot come before %s of the resource that %s runs in; the ordering is ignored", f.Key, f.Node.Name, t.Key, f.Node.Name)
		return
	}
	if rel.Effects == model.IfSameNodeOrTarget && t.Task == migrateTo && s.closesLoop(f, t) {
		rel.Void = true
	}
}

// closesLoop reports whether t comes, directly or not, before f in the graph.
func (s *scheduler) closesLoop(f, t *model.Action) bool {
	mark := s.c.NextMark()
	var reaches func(a *model.Action) bool
	reaches = func(a *model.Action) bool {
		if a == t {
			return true
		}
		if a.Mark == mark {
			return false
		}
		a.Mark = mark
		for _, rel := range a.Before {
			if !rel.Void && s.counts(rel, rel.Effects) && reaches(rel.First) {
				return true
			}
		}
		return false
	}
	return reaches(f)
}
