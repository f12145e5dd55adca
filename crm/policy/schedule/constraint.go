package schedule

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// orderKind is the kind of an ordering constraint.
type orderKind uint8

const (
	mandatory orderKind = iota
	optional
	serialize
)

// orderSet is a resource set of an ordering constraint with its references resolved.
type orderSet struct {
	id         string
	resources  []*model.Resource
	action     string
	sequential string // as written
	requireAll bool
	set        *cib.ResourceSet // nil: made from the simple form
}

// configured writes down the orderings of the constraints in document order: ordering constraints, and the
// orderings that colocations of minus infinity imply.
func (s *scheduler) configured() {
	colocations := s.c.Colocations
	done := 0
	for i := range s.c.Doc.Config.Constraints {
		con := &s.c.Doc.Config.Constraints[i]
		switch con.Kind {
		case cib.Order:
			s.ordering(con)
		case cib.Colocation:
			for done < len(colocations) && (colocations[done].ID == con.ID || ofSet(con, colocations[done].ID)) {
				s.antiColocation(colocations[done])
				done++
			}
		}
	}
	for ; done < len(colocations); done++ {
		s.antiColocation(colocations[done])
	}
}

func ofSet(con *cib.Constraint, id string) bool {
	for i := range con.Sets {
		if con.Sets[i].ID == id {
			return true
		}
	}
	return false
}

// antiColocation orders the loss of one resource's role on a node before the other gains its role there
// (spec/05-ordering.md 4.9).
func (s *scheduler) antiColocation(col *model.Colocation) {
	if col.Score > model.MinInfinity || !col.Explicit {
		return
	}
	s.loseBeforeGain(col.ID, col.Dependent, col.DependentRole, col.Primary, col.PrimaryRole)
	s.loseBeforeGain(col.ID, col.Primary, col.PrimaryRole, col.Dependent, col.DependentRole)
}

func (s *scheduler) loseBeforeGain(id string, x *model.Resource, xRole model.Role, y *model.Resource, yRole model.Role) {
	losing := []string{action.TaskStop}
	switch xRole {
	case model.RolePromoted:
		losing = []string{action.TaskDemote}
	case model.RoleUnpromoted:
		losing = []string{action.TaskStop, action.TaskPromote}
	}
	gaining := []string{action.TaskStart}
	switch yRole {
	case model.RolePromoted:
		gaining = []string{action.TaskPromote}
	case model.RoleUnpromoted:
		gaining = []string{action.TaskStart, action.TaskDemote}
	}
	for _, lose := range losing {
		for _, gain := range gaining {
			s.add(model.Ordering{ID: id, First: x, FirstTask: lose, Then: y, ThenTask: gain, Effects: model.IfRequiredSameNode})
		}
	}
}

// fault notes an error in the document; what it is about is left out.
func (s *scheduler) fault(format string, args ...any) {
	s.c.Messages = append(s.c.Messages, model.Message{Error: true, Text: fmt.Sprintf(format, args...)})
}

// ordering writes down what an ordering constraint means (spec/05-ordering.md section 2).
func (s *scheduler) ordering(con *cib.Constraint) {
	if con.ID == "" {
		s.fault("ordering constraint without an id is left out; give it one")
		return
	}
	if len(con.Sets) > 0 {
		sets := make([]orderSet, 0, len(con.Sets))
		for i := range con.Sets {
			set, ok := s.orderSet(con, &con.Sets[i])
			if !ok {
				return
			}
			sets = append(sets, set)
		}
		s.orderSets(con, sets)
		return
	}
	firstTask := con.FirstAction
	if firstTask == "" {
		firstTask = action.TaskStart
	}
	thenTask := con.ThenAction
	if thenTask == "" {
		thenTask = firstTask
	}
	first, firstMany, ok := s.side(con, con.First, "first")
	if !ok {
		return
	}
	then, thenMany, ok := s.side(con, con.Then, "then")
	if !ok {
		return
	}
	if firstMany || thenMany {
		// A template or tag stands for a set of its resources in no order among themselves.
		a := orderSet{id: con.First, resources: first, action: firstTask, sequential: "false", requireAll: true}
		b := orderSet{id: con.Then, resources: then, action: thenTask, sequential: "false", requireAll: true}
		if !values.True(con.RequireAll) && con.RequireAll != "" {
			a.requireAll = false
		}
		s.orderSets(con, []orderSet{a, b})
		return
	}
	s.simple(con, first[0], firstTask, then[0], thenTask)
}

// side resolves a reference of the simple form; many says that it named a template or tag.
func (s *scheduler) side(con *cib.Constraint, id, side string) (list []*model.Resource, many, ok bool) {
	if id == "" {
		s.fault("ordering constraint %q has no %q; it is left out", con.ID, side)
		return nil, false, false
	}
	if r := reference(s.c, id); r != nil {
		return []*model.Resource{r}, false, true
	}
	ids, known := members(s.c, id)
	if !known {
		s.fault("ordering constraint %q names %q as %s, but there is no such resource; it is left out", con.ID, id, side)
		return nil, false, false
	}
	for _, member := range ids {
		r := reference(s.c, member)
		if r == nil {
			s.fault("ordering constraint %q: %q of %q is no resource; the constraint is left out", con.ID, member, id)
			return nil, false, false
		}
		list = append(list, r)
	}
	return list, true, true
}

// reference finds the resource that a constraint means: by id, or by the name in the history, which stands
// for the whole clone (spec/01-inputs.md 10.1). nil = none.
func reference(c *model.Cluster, id string) *model.Resource {
	if r := c.Resource(id); r != nil {
		return r
	}
	for _, r := range c.ByHistoryID(id) {
		if r.HistoryID == id {
			return r.Top(false)
		}
	}
	return nil
}

// members lists what a template or tag stands for.
func members(c *model.Cluster, id string) ([]string, bool) {
	if list := c.Templates[id]; len(list) > 0 {
		return list, true
	}
	list, ok := c.Tags[id]
	return list, ok
}

// simple orders two resources.
func (s *scheduler) simple(con *cib.Constraint, first *model.Resource, firstTask string, then *model.Resource, thenTask string) {
	kind := s.kind(con.ID, con.OrderKind, con.Score, mandatory)
	symmetric := symmetrical(kind, con.Symmetrical, "")
	effects := forward(kind, symmetric, firstTask)
	if n := minimum(first, con.RequireAll); n > 0 {
		gate := s.atLeast("clone-one-or-more:"+con.ID, n)
		for _, child := range first.Children {
			s.add(model.Ordering{ID: con.ID, First: child, FirstTask: firstTask, ThenAction: gate, Effects: model.Count | model.ShowThen})
		}
		s.add(model.Ordering{ID: con.ID, FirstAction: gate, Then: then, ThenTask: thenTask, Effects: effects | model.Gate})
	} else {
		s.add(model.Ordering{ID: con.ID, First: first, FirstTask: firstTask, Then: then, ThenTask: thenTask, Effects: effects})
	}
	if !symmetric {
		return
	}
	undoFirst, undoThen := inverse(firstTask), inverse(thenTask)
	if undoFirst == "" || undoThen == "" {
		s.c.Messages = append(s.c.Messages, model.Message{Text: fmt.Sprintf(
			"ordering constraint %q cannot be inverted: %q and %q are not both of start, stop, promote and demote", con.ID, firstTask, thenTask)})
		return
	}
	s.add(model.Ordering{ID: con.ID, First: then, FirstTask: undoThen, Then: first, ThenTask: undoFirst, Effects: backward(kind)})
}

// atLeast returns the pseudo-action that can happen once n of its predecessors can.
func (s *scheduler) atLeast(key string, n int) *model.Action {
	a := action.PseudoKey(s.c, nil, key, key, true, true)
	a.MinCount = int32(min(n, math.MaxInt32))
	return a
}

// minimum is how many instances of first are enough; 0 = all that there are.
func minimum(first *model.Resource, requireAll string) int {
	if first.Clone == nil {
		return 0
	}
	if first.Clone.Min > 0 {
		return first.Clone.Min
	}
	if requireAll != "" && !values.True(requireAll) {
		return 1
	}
	return 0
}

// kind reads the kind of a constraint or set; without one, a score of 0 means optional.
func (s *scheduler) kind(id, text, score string, def orderKind) orderKind {
	switch {
	case text == "":
		if score != "" {
			if values.Score(score, 0) == 0 {
				return optional
			}
			return mandatory
		}
		return def
	case strings.EqualFold(text, "mandatory"):
		return mandatory
	case strings.EqualFold(text, "optional"):
		return optional
	case strings.EqualFold(text, "serialize"):
		return serialize
	}
	s.fault("ordering constraint %q has the kind %q; it counts as Mandatory (use Mandatory, Optional or Serialize)", id, text)
	return mandatory
}

// symmetrical says whether an ordering also holds backwards: what was written first, else what was written
// for the whole constraint, else yes. Serialized actions have no direction.
func symmetrical(kind orderKind, own, whole string) bool {
	if kind == serialize {
		return false
	}
	if own == "" {
		own = whole
	}
	v, ok := values.Bool(own)
	return !ok || v
}

// forward is the effects of an ordering in the direction in which it is written.
func forward(kind orderKind, symmetric bool, firstTask string) model.Effects {
	switch {
	case kind == serialize:
		return model.Serial
	case kind == optional:
		return model.Seq
	case !symmetric:
		return model.Seq | model.Asym
	}
	e := model.Seq | model.PullThen
	switch firstTask {
	case action.TaskStart, action.TaskPromote, action.TaskMigrateFrom:
		e |= model.Gate
	}
	return e
}

// backward is the effects of the inverse of an ordering.
func backward(kind orderKind) model.Effects {
	if kind == mandatory {
		return model.Seq | model.PullFirst
	}
	return model.Seq
}

// inverse is the operation that undoes another; "" = none.
func inverse(task string) string {
	switch task {
	case action.TaskStart:
		return action.TaskStop
	case action.TaskStop:
		return action.TaskStart
	case action.TaskPromote:
		return action.TaskDemote
	case action.TaskDemote:
		return action.TaskPromote
	case action.TaskPromoted:
		return action.TaskDemoted
	case action.TaskDemoted:
		return action.TaskPromoted
	case action.TaskRunning:
		return action.TaskStopped
	case action.TaskStopped:
		return action.TaskRunning
	}
	return ""
}

// orderSet resolves the references of a set.
func (s *scheduler) orderSet(con *cib.Constraint, set *cib.ResourceSet) (orderSet, bool) {
	out := orderSet{id: set.ID, action: set.Action, sequential: set.Sequential, requireAll: true, set: set}
	if out.action == "" {
		out.action = action.TaskStart
	}
	if set.RequireAll != "" {
		if v, ok := values.Bool(set.RequireAll); ok {
			out.requireAll = v
		}
	}
	for _, id := range set.Refs {
		list, _, ok := s.side(con, id, "member of set "+strconv.Quote(set.ID))
		if !ok {
			return out, false
		}
		out.resources = append(out.resources, list...)
	}
	return out, true
}

// orderSets orders the members of each set, and each set with the one before it.
func (s *scheduler) orderSets(con *cib.Constraint, sets []orderSet) {
	kind := s.kind(con.ID, con.OrderKind, con.Score, mandatory)
	symmetric := symmetrical(kind, con.Symmetrical, "")
	for i := range sets {
		s.insideSet(con, &sets[i], kind)
		if i == 0 {
			continue
		}
		s.betweenSets(con, &sets[i-1], &sets[i], kind, symmetric, false)
		if symmetric {
			s.betweenSets(con, &sets[i], &sets[i-1], kind, symmetric, true)
		}
	}
}

// insideSet orders the members of a set.
func (s *scheduler) insideSet(con *cib.Constraint, set *orderSet, kind orderKind) {
	list := set.resources
	if len(list) < 2 {
		return
	}
	own, whole := "", con.Symmetrical
	if set.set != nil {
		kind = s.kind(set.id, set.set.Kind, "", kind)
		own = set.set.Symmetrical
	}
	symmetric := symmetrical(kind, own, whole)
	e := forward(kind, symmetric, set.action)
	if kind == serialize {
		for i, a := range list {
			for _, b := range list[i+1:] {
				s.add(model.Ordering{ID: con.ID, First: a, FirstTask: set.action, Then: b, ThenTask: set.action, Effects: e})
			}
		}
		return
	}
	if v, ok := values.Bool(set.sequential); ok && !v {
		return
	}
	for i := 1; i < len(list); i++ {
		s.add(model.Ordering{ID: con.ID, First: list[i-1], FirstTask: set.action, Then: list[i], ThenTask: set.action, Effects: e})
	}
	undo := inverse(set.action)
	if !symmetric || undo == "" {
		return
	}
	for i := len(list) - 1; i > 0; i-- {
		s.add(model.Ordering{ID: con.ID, First: list[i], FirstTask: undo, Then: list[i-1], ThenTask: undo, Effects: backward(kind)})
	}
}

// betweenSets orders set a before set b; invert does so for the operations that undo those of the sets.
func (s *scheduler) betweenSets(con *cib.Constraint, a, b *orderSet, kind orderKind, symmetric, invert bool) {
	aTask, bTask := a.action, b.action
	if invert {
		aTask, bTask = inverse(aTask), inverse(bTask)
		if aTask == "" || bTask == "" {
			return
		}
	}
	if len(a.resources) == 0 || len(b.resources) == 0 {
		return
	}
	e := forward(kind, symmetric, aTask)
	if invert {
		e = backward(kind)
	}
	if !a.requireAll && aTask != action.TaskStop && aTask != action.TaskDemote {
		gate := s.atLeast("one-or-more:"+a.id, 1)
		for _, r := range a.resources {
			s.add(model.Ordering{ID: con.ID, First: r, FirstTask: aTask, ThenAction: gate, Effects: model.Count | model.ShowThen})
		}
		for _, r := range b.resources {
			s.add(model.Ordering{ID: con.ID, FirstAction: gate, Then: r, ThenTask: bTask, Effects: e | model.Gate})
		}
		return
	}
	// Written as sequential, a set is bound by its last member on the side of the next set and by its first
	// member on the other; that a set is sequential by default does not count here.
	from, to := a.resources, b.resources
	if values.True(a.sequential) {
		if invert {
			from = from[:1]
		} else {
			from = from[len(from)-1:]
		}
	}
	if values.True(b.sequential) {
		if invert {
			to = to[len(to)-1:]
		} else {
			to = to[:1]
		}
	}
	for _, x := range from {
		for _, y := range to {
			s.add(model.Ordering{ID: con.ID, First: x, FirstTask: aTask, Then: y, ThenTask: bTask, Effects: e})
		}
	}
}
