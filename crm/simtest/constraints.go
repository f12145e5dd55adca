package simtest

import (
	"slices"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// The constraints of the definition, as the ledger checks them (I11): order is first and then, together is dependent and
// primary.
var (
	order    = [][2]string{{"db1", "db2"}, {"db3", "ip"}, {"ip", "web"}}
	together = [][2]string{{"db2", "db1"}, {"web", "ip"}}
)

// Limits of the promotable clone (I12).
const (
	instancesMax = 2
	promotedRow  = "cp/promoted" // in the ledger: the promoted role is exclusive
)

// downGrace is how long after a machine has lost power a start that waits for what ran there may still begin: it was handed out
// before anybody could know. For what an agent has stopped there is no such time.
const downGrace = 3 * time.Second

// probeTime is how long it takes at most until the cluster knows what a new node process has found on its machine. Stops do not
// wait for that.
const probeTime = 15 * time.Second

// startAllowed checks the constraints when an agent accepts a start.
func (l *ledger) startAllowed(m *machine, resource string) {
	w := l.w
	if m.witness {
		w.violate("I11", "%s starts on %s, which is a witness", resource, m.name)
	}
	for _, c := range order {
		if c[1] != resource || len(l.holders(c[0])) > 0 {
			continue
		}
		if r := l.row(c[0]); r.alone {
			continue
		} else if r.stopped || r.released && w.now-r.at > downGrace {
			w.violate("I11", "%s starts on %s, but %s, which comes first, is not active", resource, m.name, c[0])
		}
	}
	for _, c := range together {
		if c[0] != resource {
			continue
		}
		for _, other := range l.holders(c[1]) {
			if other != m.name {
				w.violate("I11", "%s starts on %s, but %s, with which it is to be, is active on %s", resource, m.name, c[1], other)
			}
		}
	}
}

// stopAllowed checks the constraints when an agent accepts a stop that a leader has handed out.
func (l *ledger) stopAllowed(m *machine, resource string) {
	for _, c := range order {
		if c[0] != resource || !l.row(resource).active[m.name] {
			continue
		}
		for _, other := range l.holders(c[1]) {
			if p := l.w.machineByName(other).proc; p == nil || l.w.now < p.began+probeTime {
				continue
			}
			l.w.violate("I11", "%s stops on %s, but %s, which goes first, is active on %s", resource, m.name, c[1], other)
		}
	}
}

// instances checks the limits of the clones when an agent accepts a start.
func (l *ledger) instances(m *machine, resource string) {
	if resource != "cp" {
		return
	}
	n := 0
	for _, o := range l.w.machines {
		if s := o.services[resource]; s != nil && s.active && o != m {
			n++
		}
	}
	if n >= instancesMax {
		l.w.violate("I12", "%s starts on %s, but %d instances are active elsewhere, and %d is the most", resource, m.name, n, instancesMax)
	}
}

// placed checks that an action is not one that the configuration it was decided on forbids.
func (c *checker) placed(p *process, q *command.Pending, req *agents.Request) {
	if req.Operation != agents.OpStart && req.Operation != agents.OpPromote {
		return
	}
	decided, known := c.decided[[2]uint64{q.ID.Term, q.ID.Transition}]
	if !known {
		return
	}
	s := p.n.State()
	name := req.Resource
	if name == "ip" || name == "web" {
		name = "site"
	}
	for i := range s.Document.Config.Constraints {
		x := &s.Document.Config.Constraints[i]
		if x.Kind == cib.Location && x.Resource == name && x.Node == p.m.name && x.Score == "-INFINITY" && s.Objects.Of(cib.ObjectKey(cib.KindConstraint, x.ID)) <= decided {
			c.w.violate("I11", "%s of %s on %s was decided on index %d, where %s forbids it", req.Operation, req.Resource, p.m.name, decided, x.ID)
		}
	}
	for i := range s.Document.Config.Nodes {
		x := &s.Document.Config.Nodes[i]
		if x.Name == p.m.name && standby(x) && s.Objects.Of(cib.ObjectKey(cib.KindNode, x.Name)) <= decided {
			c.w.violate("I11", "%s of %s on %s was decided on index %d, where that is in standby", req.Operation, req.Resource, p.m.name, decided)
		}
	}
}

func standby(n *cib.Node) bool {
	return slices.ContainsFunc(n.Attributes, func(set cib.AttributeSet) bool {
		return slices.ContainsFunc(set.Pairs, func(p cib.NVPair) bool { return p.Name == "standby" && p.Value == "on" })
	})
}
