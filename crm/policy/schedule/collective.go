package schedule

import (
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// lastPriority is the priority of what is carried out even after a failure.
const lastPriority = model.Infinity

func (s *scheduler) createGroup(g *model.Resource) {
	for _, m := range g.Children {
		s.create(m)
	}
	tasks := []string{start, running, stop, stopped}
	if values.True(g.Meta["promotable"]) {
		tasks = append(tasks, demote, demoted, promote, promoted)
	}
	for _, task := range tasks {
		action.Pseudo(s.c, g, task, true, true)
	}
	if len(g.Children) > 0 && g.Next == model.RoleUnknown {
		g.Next = g.Children[0].Next
	}
}

// what is what a collective's instances do.
type what struct {
	active, starting, stopping, restarting bool
	promoting, demoting                    bool
}

// look adds what r, an instance or a member of one, does.
func (w *what) look(r *model.Resource) {
	if len(r.Children) > 0 {
		for _, m := range r.Children {
			w.look(m)
		}
		return
	}
	if len(r.Active) > 0 {
		w.active = true
	}
	starts, stops := false, false
	for _, a := range r.Others {
		if a.Interval != 0 || a.Optional {
			continue
		}
		switch a.Task {
		case stop:
			stops = stops || a.Pseudo || a.Runnable
		case start:
			starts = starts || a.Runnable
		case promote:
			w.promoting = true
		case demote:
			w.demoting = true
		}
	}
	w.starting = w.starting || starts
	w.stopping = w.stopping || stops
	w.restarting = w.restarting || starts && stops
}

// upDown are the pseudo-actions of a collective for start and stop, with their notifications.
type upDown struct{ start, stop *notification }

// createInstances creates the actions of the instances and the collective's pseudo-actions for them.
func (s *scheduler) createInstances(r *model.Resource, instances []*model.Resource) upDown {
	c := s.c
	var w what
	for _, i := range instances {
		s.create(i)
		w.look(i)
	}
	up := action.Pseudo(c, r, start, !w.starting, true)
	upDone := action.Pseudo(c, r, running, !w.starting, w.active || w.starting)
	upDone.Priority = lastPriority
	down := action.Pseudo(c, r, stop, !w.stopping, true)
	downDone := action.Pseudo(c, r, stopped, !w.stopping, true)
	downDone.Priority = lastPriority
	if !w.restarting {
		down.Migratable = true
	}
	var n upDown
	n.start = s.notifications(r, start, up, upDone)
	n.stop = s.notifications(r, stop, down, downDone)
	if n.start != nil && n.stop != nil {
		action.Relate(c, n.stop.postDone, n.start.pre, model.Seq)
	}
	return n
}

func (s *scheduler) createClone(r *model.Resource) {
	n := s.createInstances(r, r.Children)
	if !r.Clone.Promotable {
		return
	}
	c := s.c
	var w what
	for _, i := range r.Children {
		s.create(i)
		w.look(i)
	}
	up := action.Pseudo(c, r, promote, !w.promoting, true)
	upDone := action.Pseudo(c, r, promoted, !w.promoting, true)
	upDone.Priority = lastPriority
	promotes := s.notifications(r, promote, up, upDone)
	down := action.Pseudo(c, r, demote, !w.demoting, true)
	downDone := action.Pseudo(c, r, demoted, !w.demoting, true)
	downDone.Priority = lastPriority
	demotes := s.notifications(r, demote, down, downDone)
	if promotes != nil && demotes != nil && n.start != nil && n.stop != nil {
		action.Relate(c, n.stop.postDone, promotes.pre, model.Seq)
		action.Relate(c, n.start.postDone, promotes.pre, model.Seq)
		action.Relate(c, demotes.postDone, promotes.pre, model.Seq)
		action.Relate(c, demotes.postDone, n.start.pre, model.Seq)
		action.Relate(c, demotes.postDone, n.stop.pre, model.Seq)
	}
	for _, i := range r.Children {
		resetPriority(i, r.Priority)
	}
}

// resetPriority takes back the changes that choosing the promoted instances made to priorities.
func resetPriority(r *model.Resource, p int32) {
	r.Priority = p
	for _, m := range r.Children {
		resetPriority(m, p)
	}
}

func (s *scheduler) createBundle(b *model.Resource) {
	containers := make([]*model.Resource, 0, len(b.Bundle.Replicas))
	for _, rep := range b.Bundle.Replicas {
		if rep.IP != nil {
			s.create(rep.IP)
		}
		s.create(rep.Container)
		if rep.Connection != nil {
			s.create(rep.Connection)
		}
		containers = append(containers, rep.Container)
	}
	s.createInstances(b, containers)
	inner := b.Bundle.Inner
	if inner == nil {
		return
	}
	s.create(inner)
	if inner.Kind == cib.Clone && inner.Clone.Promotable {
		action.Pseudo(s.c, b, promote, true, true)
		action.Pseudo(s.c, b, promoted, true, true).Priority = lastPriority
		action.Pseudo(s.c, b, demote, true, true)
		action.Pseudo(s.c, b, demoted, true, true).Priority = lastPriority
	}
}
