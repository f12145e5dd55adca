package simtest

import (
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
)

// service is what an agent manages on one machine: it exists from the first start that the agent accepted.
type service struct {
	name    string
	active  bool // may touch data: from the acceptance of a start to the end of a stop
	leads   bool // is promoted: from the acceptance of a promotion to the end of a demotion or stop
	broken  bool // has died by itself
	noStop  bool // the next stop fails
	noStart bool // the next start fails

	stopFailed bool // a stop has failed: only fencing ends it
}

// run is one operation of an agent that the runner carries out.
type run struct {
	id     string
	req    agents.Request
	began  time.Duration
	owner  *process // who asked
	output string   // of the agent
	result *agents.Result
	gone   bool // the machine lost power, or the result was acknowledged
	killed bool // cancelled or timed out
}

// ledger says what really happened to every exclusive resource, whatever the cluster believes.
type ledger struct {
	w     *world
	order []string
	rows  map[string]*row
}

// row is the ledger of one exclusive resource.
type row struct {
	active map[string]bool // by machine: between the acceptance of a start and its end
	// last is the machine on which it was active last; released says that the cluster has a proof that it is
	// not active there any more: a stop or a probe that said so, the power switch, or an orderly leave.
	last     string
	released bool
	at       time.Duration // when it was released, or lost with its machine
	stopped  bool          // by an agent
	alone    bool          // by a node without quorum, of which the others need not know
}

func (l *ledger) row(resource string) *row {
	r := l.rows[resource]
	if r == nil {
		r = &row{active: map[string]bool{}, released: true}
		l.rows[resource] = r
		l.order = append(l.order, resource)
		slices.Sort(l.order)
	}
	return r
}

// holders lists the machines on which a resource is active.
func (l *ledger) holders(resource string) (list []string) {
	r := l.row(resource)
	for _, m := range l.w.machines {
		if r.active[m.name] {
			list = append(list, m.name)
		}
	}
	return list
}

// start is called when an agent accepts a start.
func (l *ledger) start(m *machine, resource string) {
	r := l.row(resource)
	for _, other := range l.holders(resource) {
		if other != m.name {
			l.w.violate("I1", "%s starts on %s while it is active on %s", resource, m.name, other)
		}
	}
	if r.last != "" && r.last != m.name && !r.released {
		l.w.violate("I2", "%s starts on %s, but it was active last on %s and nothing proves that it is not any more", resource, m.name, r.last)
	}
	r.active[m.name] = true
	r.last, r.released, r.stopped, r.alone = m.name, false, false, false
}

// release is called when an agent on the machine said that the resource is not active there.
func (l *ledger) release(m *machine, resource string) {
	r := l.row(resource)
	delete(r.active, m.name)
	if r.last == m.name && !r.released {
		r.released, r.at = true, l.w.now
	}
}

// down ends what is active on a machine without power. The cluster has no proof of it yet.
func (l *ledger) down(m *machine) {
	for _, name := range l.order {
		delete(l.rows[name].active, m.name)
	}
	m.services = map[string]*service{}
}

// fenced is called when the power switch has switched a machine off.
func (l *ledger) fenced(m *machine) {
	for _, name := range l.order {
		if r := l.rows[name]; r.last == m.name && !r.released {
			r.released, r.at = true, l.w.now
		}
	}
}

// left is called when a node has left in order.
func (l *ledger) left(m *machine) {
	for _, name := range l.order {
		if l.rows[name].active[m.name] {
			l.w.violate("I2", "%s has left while %s is active on it", m.name, name)
		}
	}
}

// exclusive names a resource that may be active only once; clone instances are not.
func exclusive(resource string) bool {
	return !strings.Contains(resource, ":") && !strings.HasPrefix(resource, "c")
}

func (m *machine) service(name string) *service {
	s := m.services[name]
	if s == nil {
		s = &service{name: name}
		m.services[name] = s
	}
	return s
}

// run carries out a request of the node process.
func (m *machine) run(p *process, req agents.Request) {
	w := m.w
	if !m.on {
		return
	}
	if old := m.runs[req.ID]; old != nil {
		if req.Agent.Class != agents.ClassFence || old.owner == p {
			w.violate("contract", "%s: run id %s was used twice", m.name, req.ID)
			return
		}
		// A new process has taken over an order: the runner answers with what it does or did.
		w.hit("fencing resumed")
		old.owner = p
		if old.result != nil {
			w.after(time.Millisecond, func() { m.report(old) })
		}
		return
	}
	r := &run{id: req.ID, req: req, began: w.now, owner: p}
	m.runs[req.ID] = r
	m.runOrder = append(m.runOrder, req.ID)
	if req.Agent.Class == agents.ClassFence {
		w.power.run(m, r)
		return
	}
	if req.Operation != agents.OpMonitor {
		w.tell("%s %s %s (%s)", m.name, req.Operation, req.Resource, req.ID)
	}
	s := m.service(req.Resource)
	ok := agents.RCOK
	took := w.between(5*time.Millisecond, 60*time.Millisecond)
	end := func() {}
	switch req.Operation {
	case agents.OpStart:
		took = w.between(20*time.Millisecond, max(w.slowest, 800*time.Millisecond))
		w.checks.startAccepted(p, req)
		if s.noStart {
			// It fails before it touched anything.
			s.noStart, ok = false, agents.RCGeneric
			break
		}
		w.ledger.startAllowed(m, req.Resource)
		w.ledger.instances(m, req.Resource)
		if exclusive(req.Resource) {
			w.ledger.start(m, req.Resource)
		}
		s.active, s.broken = true, false
	case agents.OpPromote:
		w.checks.startAccepted(p, req)
		if !s.active {
			w.violate("I11", "%s is promoted on %s, where it is not active", req.Resource, m.name)
		}
		w.ledger.start(m, promotedRow)
		s.leads = true
	case agents.OpDemote:
		end = func() { m.demoted(s) }
	case agents.OpStop:
		took = w.between(20*time.Millisecond, max(w.slowest, 500*time.Millisecond))
		if s.noStop {
			s.noStop, s.stopFailed, ok = false, true, agents.RCGeneric
			break
		}
		parts := splitID(req.ID)
		alone := parts != nil && parts.own()
		if !alone {
			w.ledger.stopAllowed(m, req.Resource)
		}
		end = func() {
			s.active, s.broken = false, false
			m.demoted(s)
			if exclusive(req.Resource) {
				w.ledger.release(m, req.Resource)
				row := w.ledger.row(req.Resource)
				row.stopped, row.alone = !alone, alone
			}
		}
	case agents.OpMonitor:
		if s.broken {
			ok = agents.RCGeneric // it answers, and is not well: only a stop makes it certain
			break
		}
		switch {
		case s.leads:
			ok = agents.RCRunningPromoted
		case !s.active:
			ok = agents.RCNotRunning
			if exclusive(req.Resource) {
				end = func() { w.ledger.release(m, req.Resource) }
			}
		}
		if req.Resource == "cp" && !s.leads {
			end = func() { m.demoted(s) }
		}
	}
	if took > req.Timeout {
		took, ok = req.Timeout, agents.RCGeneric
	}
	w.after(took, func() {
		if r.gone || r.killed || r.result != nil {
			return
		}
		end()
		m.finish(r, agents.StatusDone, ok)
	})
}

// demoted ends the promoted role of a service, if it is one that can have it.
func (m *machine) demoted(s *service) {
	s.leads = false
	if s.name == "cp" {
		m.w.ledger.release(m, promotedRow)
	}
}

// cancel kills a run, as the runner does when it is asked to.
func (m *machine) cancel(id string) {
	r := m.runs[id]
	if r == nil || r.result != nil || r.killed {
		return
	}
	r.killed = true
	m.w.after(m.w.between(time.Millisecond, 20*time.Millisecond), func() {
		if !r.gone {
			m.finish(r, agents.StatusCancelled, agents.RCUnknown)
		}
	})
}

// finish ends a run and tells the node process of it.
func (m *machine) finish(r *run, status agents.Status, rc agents.ExitCode) {
	w := m.w
	at := epoch.Add(w.now + m.clock)
	r.result = &agents.Result{ID: r.id, Status: status, RC: rc, Output: r.output, ExecTime: w.now - r.began, Started: epoch.Add(r.began + m.clock), Finished: at}
	if r.req.Operation != agents.OpMonitor || rc != agents.RCOK {
		w.tell("%s %s %s: %v %v", m.name, r.req.Operation, r.req.Resource, status, rc)
	}
	m.report(r)
}

// report hands a result to the present node process; without one it waits in the runner.
func (m *machine) report(r *run) {
	p := m.proc
	if p == nil || r.gone || r.result == nil {
		return
	}
	res := *r.result
	p.input(func() {
		if r.gone {
			return
		}
		p.n.RunFinished(p.now(), p.wall(), res)
	})
}

// ack lets the runner forget a result.
func (m *machine) ack(id string) {
	r := m.runs[id]
	if r == nil || r.result == nil {
		return
	}
	if r.owner != m.proc && r.req.Operation != agents.OpMonitor {
		m.w.hit("late result")
	}
	r.gone = true
	delete(m.runs, id)
	m.runOrder = slices.DeleteFunc(m.runOrder, func(x string) bool { return x == id })
}
