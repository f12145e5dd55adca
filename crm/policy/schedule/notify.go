package schedule

import (
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
)

// notification is the four pseudo-actions of a clone around one operation: asking the instances before it,
// all have answered, the same after it.
type notification struct {
	task                         string // operation that is notified of
	pre, preDone, post, postDone *model.Action
}

// Kinds of notification actions.
const (
	kindPre           = "pre"
	kindConfirmedPre  = "confirmed-pre"
	kindPost          = "post"
	kindConfirmedPost = "confirmed-post"
)

// notifications creates the pseudo-actions around an operation of a clone that has notifications; nil = it has
// none (spec/04-actions.md 12.1). do and done are the clone's pseudo-actions for the operation.
func (s *scheduler) notifications(r *model.Resource, task string, do, done *model.Action) *notification {
	if r.Kind != cib.Clone || !r.Clone.Notify {
		return nil
	}
	c := s.c
	n := &notification{task: task}
	n.pre = s.notifyPseudo(r, action.TaskNotify, kindPre, kindPre, task, task, do)
	n.preDone = s.notifyPseudo(r, action.TaskNotified, kindPre, kindConfirmedPre, task, task, do)
	n.pre.Runnable, n.preDone.Runnable = true, true
	s.afterwards(r, n, done)
	action.Relate(c, n.pre, n.preDone, model.Seq)
	action.Relate(c, n.preDone, do, model.Seq)
	action.Relate(c, n.preDone, n.post, model.Seq)
	return n
}

// afterwards creates the two pseudo-actions after done.
func (s *scheduler) afterwards(r *model.Resource, n *notification, done *model.Action) {
	n.post = s.notifyPseudo(r, action.TaskNotify, kindPost, kindPost, n.task, done.Task, done)
	n.postDone = s.notifyPseudo(r, action.TaskNotified, kindPost, kindConfirmedPost, n.task, done.Task, done)
	n.post.Priority, n.postDone.Priority = lastPriority, lastPriority
	action.Relate(s.c, done, n.post, model.PullThen)
	action.Relate(s.c, n.post, n.postDone, model.PullThen)
}

// notifyPseudo creates one pseudo-action, as optional and runnable as the action that it goes with.
func (s *scheduler) notifyPseudo(r *model.Resource, task, kind, keyKind, operation, keyOperation string, with *model.Action) *model.Action {
	a := action.PseudoKey(s.c, r, action.NotifyKey(r.ID, keyKind, keyOperation), task, with.Optional, with.Runnable)
	action.SetMeta(a, "notify_type", kind)
	action.SetMeta(a, "notify_operation", operation)
	action.SetMeta(a, "notify_key_type", keyKind)
	action.SetMeta(a, "notify_key_operation", keyOperation)
	return a
}

// notificationOf finds the pseudo-actions around an operation of a clone again; nil = there are none.
func notificationOf(r *model.Resource, task, done string) *notification {
	n := &notification{task: task,
		pre:      action.Find(r, action.NotifyKey(r.ID, kindPre, task), nil),
		preDone:  action.Find(r, action.NotifyKey(r.ID, kindConfirmedPre, task), nil),
		post:     action.Find(r, action.NotifyKey(r.ID, kindPost, done), nil),
		postDone: action.Find(r, action.NotifyKey(r.ID, kindConfirmedPost, done), nil),
	}
	if n.pre == nil || n.preDone == nil || n.post == nil || n.postDone == nil {
		return nil
	}
	return n
}

// place is a resource with a node, as notification data lists them.
type place struct {
	r *model.Resource
	n *model.Node
}

// activity is what the instances of a clone do and what they are.
type activity struct {
	stop, start, demote, promote           []place
	active, unpromoted, promoted, inactive []place
}

// collect adds what the primitives in r are and what they will do.
func (t *activity) collect(r *model.Resource) {
	for _, child := range r.Children {
		t.collect(child)
	}
	if r.Kind != cib.Primitive {
		return
	}
	var at *model.Node
	if len(r.Active) > 0 {
		at = r.Active[0]
	}
	me := place{r, at}
	switch r.Role {
	case model.RoleStopped, model.RoleUnknown:
		t.inactive = append(t.inactive, me)
	case model.RoleStarted:
		t.active = append(t.active, me)
	case model.RoleUnpromoted:
		t.active = append(t.active, me)
		t.unpromoted = append(t.unpromoted, me)
	case model.RolePromoted:
		t.active = append(t.active, me)
		t.promoted = append(t.promoted, me)
	}
	for _, a := range r.Others {
		if a.Optional || a.Node == nil || a.Interval != 0 {
			continue
		}
		if !a.Runnable && !(a.Task == stop && a.Node.Unclean) {
			continue
		}
		p := place{r, a.Node}
		switch a.Task {
		case stop:
			t.stop = append(t.stop, p)
		case start:
			t.start = append(t.start, p)
		case demote:
			t.demote = append(t.demote, p)
		case promote:
			t.promote = append(t.promote, p)
		}
	}
}

func (t *activity) of(task string) []place {
	switch task {
	case start:
		return t.start
	case stop:
		return t.stop
	case promote:
		return t.promote
	case demote:
		return t.demote
	}
	return nil
}

// data returns the environment of notified instances (spec/04-actions.md 12.3) as name and value pairs.
func (s *scheduler) data(t *activity, clone *model.Resource) []model.NodeAttribute {
	var out []model.NodeAttribute
	add := func(name string, places []place, nodes bool) {
		ids, names := listPlaces(places)
		out = append(out, model.NodeAttribute{Name: "notify_" + name + "_resource", Value: ids})
		if nodes {
			out = append(out, model.NodeAttribute{Name: "notify_" + name + "_uname", Value: names})
		}
	}
	add("stop", t.stop, true)
	add("start", t.start, true)
	add("demote", t.demote, true)
	add("promote", t.promote, true)
	add("active", t.active, true)
	add("unpromoted", t.unpromoted, true)
	add("slave", t.unpromoted, true)
	add("promoted", t.promoted, true)
	add("master", t.promoted, true)
	add("inactive", t.inactive, false)

	var available, all []string
	hosts := []string{}
	for _, n := range s.c.Nodes {
		if isAllowed(clone, n) {
			available = append(available, n.Name)
		}
		all = append(all, n.Name)
		host := n
		if n.IsGuestKind() && n.Connection != nil && n.Connection.Launcher != nil {
			if h := n.Connection.Launcher.Current(); h != nil {
				host = h
			}
		}
		hosts = append(hosts, host.Name)
	}
	slices.Sort(available)
	out = append(out, model.NodeAttribute{Name: "notify_available_uname", Value: words(available)},
		model.NodeAttribute{Name: "notify_all_uname", Value: words(all)})
	if clone.AttributeTargetHost {
		out = append(out, model.NodeAttribute{Name: "notify_all_hosts", Value: words(hosts)})
	}
	return out
}

// words joins a list; an empty one is a single space.
func words(list []string) string {
	if len(list) == 0 {
		return " "
	}
	return strings.Join(list, " ")
}

// listPlaces lists resources and nodes, sorted by resource id, then node id; a resource appears once.
func listPlaces(places []place) (ids, nodes string) {
	sorted := slices.Clone(places)
	nodeID := func(p place) string {
		if p.n == nil {
			return ""
		}
		return p.n.ID
	}
	slices.SortStableFunc(sorted, func(a, b place) int {
		if d := strings.Compare(a.r.ID, b.r.ID); d != 0 {
			return d
		}
		return strings.Compare(nodeID(a), nodeID(b))
	})
	var names, at []string
	for i, p := range sorted {
		if i > 0 && sorted[i-1].r.ID == p.r.ID {
			continue
		}
		names = append(names, p.r.ID)
		if p.n != nil {
			at = append(at, p.n.Name)
		}
	}
	return words(names), words(at)
}

// notifyInstances creates the notifications of the instances of a clone, once it is known what really happens
// (spec/04-actions.md 12.2).
func (s *scheduler) notifyInstances(clone *model.Resource) {
	for _, op := range [...][2]string{{start, running}, {stop, stopped}, {promote, promoted}, {demote, demoted}} {
		n := notificationOf(clone, op[0], op[1])
		if n == nil {
			continue
		}
		var t activity
		t.collect(clone)
		if len(t.of(n.task)) > 0 {
			for _, a := range [...]*model.Action{n.pre, n.preDone, n.post, n.postDone} {
				a.Optional = false
			}
		}
		data := s.data(&t, clone)
		for _, i := range clone.Children {
			s.notifyIn(i, n, &t, data)
		}
	}
}

// notifyIn creates the notifications of the primitives in r.
func (s *scheduler) notifyIn(r *model.Resource, n *notification, t *activity, data []model.NodeAttribute) {
	for _, child := range r.Children {
		s.notifyIn(child, n, t, data)
	}
	if r.Kind != cib.Primitive {
		return
	}
	for _, a := range r.Others {
		if a.Optional || a.Node == nil {
			continue
		}
		switch a.Task {
		case start, stop, promote, demote:
			addData(a, data)
		}
	}
	if n.task != stop && len(t.of(n.task)) == 0 {
		return
	}
	switch n.task {
	case stop, demote:
		if r.Role <= model.RoleStopped {
			return
		}
		for _, at := range r.Active {
			down := action.FindTask(r, stop, at)
			if down != nil && down.Pseudo && (at.Unclean || at.Reset) {
				continue
			}
			s.notify(r, at, n.pre, n.preDone, data)
			if n.task == demote || down == nil || down.Optional {
				s.notifyAfter(r, at, n, data)
			}
		}
	case start, promote:
		if r.Next == model.RoleStopped || r.Assigned == nil {
			return
		}
		up := action.FindTask(r, start, nil)
		if up != nil && behindUnrunnableConnection(up) {
			return
		}
		if n.task != start || up == nil || up.Optional {
			s.notify(r, r.Assigned, n.pre, n.preDone, data)
		}
		s.notifyAfter(r, r.Assigned, n, data)
	}
}

// behindUnrunnableConnection reports whether an action waits for a connection that cannot start.
func behindUnrunnableConnection(a *model.Action) bool {
	if a.Node == nil || a.Node.Connection == nil {
		return false
	}
	up := action.FindTask(a.Node.Connection, start, nil)
	return up != nil && !up.Runnable
}

// notify creates the notification of r on a node between two pseudo-actions of its clone; nil = there is none.
func (s *scheduler) notify(r *model.Resource, at *model.Node, ask, done *model.Action, data []model.NodeAttribute) *model.Action {
	if ask == nil || done == nil || !at.Online || !ask.Runnable {
		return nil
	}
	kind, operation := ask.Meta["notify_type"], ask.Meta["notify_operation"]
	a := action.New(s.c, r, action.NotifyKey(r.ID, kind, operation), action.TaskNotify, at, ask.Optional)
	for _, name := range [...]string{"notify_type", "notify_operation", "notify_key_type", "notify_key_operation"} {
		if _, set := a.Meta[name]; !set {
			action.SetMeta(a, name, ask.Meta[name])
		}
	}
	addData(a, data)
	action.Relate(s.c, ask, a, model.Seq)
	action.Relate(s.c, a, done, model.Seq)
	return a
}

// notifyAfter creates the notification after an operation; recurring operations wait for all of them.
func (s *scheduler) notifyAfter(r *model.Resource, at *model.Node, n *notification, data []model.NodeAttribute) {
	if a := s.notify(r, at, n.post, n.postDone, data); a != nil {
		a.Priority = lastPriority
	}
	for _, a := range r.Others {
		if a.Interval > 0 && a.Task != cancel {
			action.Relate(s.c, n.postDone, a, model.Seq)
		}
	}
}

func addData(a *model.Action, data []model.NodeAttribute) {
	for _, d := range data {
		action.SetMeta(a, d.Name, d.Value)
	}
}

// notifyImpliedStop tells the other instances that fencing implied the stop of an instance
// (spec/04-actions.md 12.4).
func (s *scheduler) notifyImpliedStop(r *model.Resource, fence *model.Action) {
	top := r.Top(false)
	n := &notification{task: stop}
	s.afterwards(r, n, fence)
	// More is told when it is known what all instances do.
	ids, nodes := listPlaces([]place{{r, fence.Node}})
	data := []model.NodeAttribute{{Name: "notify_stop_resource", Value: ids}, {Name: "notify_stop_uname", Value: nodes}}
	s.notifyIn(top, n, &activity{}, data)
}
