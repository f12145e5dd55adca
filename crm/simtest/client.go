package simtest

import (
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
)

// client changes one object of the configuration again and again and reads those of all. It asks a node
// that is up; of an answer that does not come it knows nothing.
type client struct {
	w  *world
	id string // of its object, a set of cluster properties

	value   int // written last, whether or not it was acknowledged
	acked   int // acknowledged last
	proc    *process
	waiting bool
	asked   time.Duration
	turn    int
	stopped bool

	writes, reads, conflicts, unknown int
}

const clientTimeout = 15 * time.Second

func (c *client) key() string { return cib.ObjectKey(cib.KindProperties, c.id) }

// next plans the next request.
func (c *client) next() {
	c.turn++
	turn := c.turn
	c.waiting = false
	c.w.after(c.w.between(100*time.Millisecond, 1500*time.Millisecond), func() {
		if c.turn == turn && !c.stopped {
			c.ask()
		}
	})
}

// ask makes a request, and gives it up after a while.
func (c *client) ask() {
	w := c.w
	m := w.machines[w.rng.IntN(len(w.machines))]
	p := m.proc
	if p == nil || w.now < p.pausedUntil || p.n.State().ClusterID == "" {
		c.next()
		return
	}
	c.proc, c.waiting, c.asked = p, true, w.now
	turn := c.turn
	w.after(clientTimeout, func() {
		if c.turn == turn && c.waiting {
			c.unknown++
			c.next()
		}
	})
	if w.chance(40) {
		c.read(p, turn)
	} else {
		c.write(p, turn)
	}
}

func (c *client) write(p *process, turn int) {
	w := c.w
	s := p.n.State()
	c.value++
	value := c.value
	set := &cib.AttributeSet{ID: c.id, Pairs: []cib.NVPair{{ID: c.id + "-value", Name: valueName(c.id), Value: strconv.Itoa(value)}}}
	e := &command.Entry{Kind: command.KindConfig, Actor: "uid:0", Config: &command.Config{
		Changes: []cib.Change{{Kind: cib.KindProperties, ID: c.id, Object: &cib.Object{Set: set}}},
		Based:   map[string]uint64{c.key(): s.Objects.Of(c.key())},
	}}
	p.input(func() {
		id, err := p.n.Propose(p.now(), p.wall(), e)
		if err != nil {
			c.next()
			return
		}
		p.wait(id, func(r node.Reply) {
			if c.turn != turn {
				// The client has given up; the write may have happened.
				return
			}
			switch {
			case r.Err != nil:
				c.unknown++
			case r.Outcome.Err != nil:
				c.conflicts++
				if _, conflict := r.Outcome.Err.(*command.ConflictError); !conflict {
					w.violate("I3", "the write %d of %s was refused: %v", value, c.id, r.Outcome.Err)
				}
			default:
				c.writes++
				c.acked = value
				w.shown = max(w.shown, r.Index)
				c.recorded(p.n.State(), r.Index)
				if got := c.valueIn(p.n.State()); got < value {
					w.violate("I3", "the write %d of %s was acknowledged by %s, whose document has %d", value, c.id, p.m.name, got)
				}
			}
			c.next()
		})
	})
}

// read asks for a linearizable read: nothing that was acknowledged to any client before may be missing.
func (c *client) read(p *process, turn int) {
	w := c.w
	floor := w.shown
	want := make([]int, len(w.clients))
	for i, o := range w.clients {
		want[i] = o.acked
	}
	p.input(func() {
		id, err := p.n.Read(p.now(), p.wall())
		if err != nil {
			c.next()
			return
		}
		read := p.wait
		if w.cfg.StaleReads {
			read = func(_ replica.RequestID, done func(node.Reply)) { done(node.Reply{}) }
		}
		read(id, func(r node.Reply) {
			if c.turn != turn {
				return
			}
			if r.Err == nil {
				c.reads++
				index := p.n.State().Index
				if index < floor {
					w.violate("I5", "a read at %s shows index %d after index %d was shown", p.m.name, index, floor)
				}
				w.shown = max(w.shown, index)
				for i, o := range w.clients {
					if got := o.valueIn(p.n.State()); got < want[i] {
						w.violate("I4", "a read at %s shows %d of %s, but %d was acknowledged before it was asked", p.m.name, got, o.id, want[i])
					}
				}
			}
			c.next()
		})
	})
}

// recorded checks that an acknowledged write has its record, and only one (I16).
func (c *client) recorded(s *command.State, index uint64) {
	n := 0
	for i := range s.Changes {
		if r := s.Changes[i]; r.Index == index && r.Actor == "uid:0" && slices.Contains(r.Objects, c.key()) {
			n++
		}
	}
	if n != 1 {
		c.w.violate("I16", "the write of %s at index %d has %d records of who made it, want 1", c.id, index, n)
	}
}

// valueName is a property with a free text, whose value counts for nothing.
func valueName(string) string { return "cluster-name" }

// valueIn is the client's value in a state; 0 = none.
func (c *client) valueIn(s *command.State) int {
	for i := range s.Document.Config.Properties {
		set := &s.Document.Config.Properties[i]
		if set.ID == c.id && len(set.Pairs) == 1 {
			v, err := strconv.Atoi(set.Pairs[0].Value)
			if err == nil {
				return v
			}
		}
	}
	return 0
}

// lost tells the client that the process it asked is gone.
func (c *client) lost(p *process) {
	if c.waiting && c.proc == p {
		c.unknown++
		c.next()
	}
}

// operator makes the cluster and changes it.
type operator struct {
	w       *world
	pending []*job
	planned int // changes that are still to come
}

// later plans a change.
func (o *operator) later(d time.Duration, f func()) {
	o.planned++
	o.w.after(d, func() {
		o.planned--
		f()
	})
}

// job is a request of the operator that is repeated until it is answered.
type job struct {
	name  string
	entry func(s *command.State) *command.Entry // nil entry = nothing to do any more
	done  func(p *process, r node.Reply)
	proc  *process
	over  bool
	tries int
}

// do has an entry applied, at whichever node takes it, and repeats it when the answer is lost. It must be safe
// to apply twice: an entry that is refused counts as answered. A request of the same name that waits is given up.
func (o *operator) do(name string, entry func(s *command.State) *command.Entry, done func(p *process, r node.Reply)) {
	for _, old := range o.pending {
		if old.name == name {
			old.over = true // the newest wish counts
		}
	}
	o.pending = slices.DeleteFunc(o.pending, func(old *job) bool { return old.over })
	j := &job{name: name, entry: entry, done: done}
	o.pending = append(o.pending, j)
	o.try(j)
}

func (o *operator) try(j *job) {
	w := o.w
	if j.over {
		return
	}
	j.tries++
	try := j.tries
	again := func(d time.Duration) {
		w.after(d, func() {
			if !j.over && j.tries == try {
				o.try(j)
			}
		})
	}
	var p *process
	for i, at := 0, w.rng.IntN(len(w.machines)); i < len(w.machines) && p == nil; i++ {
		m := w.machines[(at+i)%len(w.machines)]
		if m.proc != nil && w.now >= m.proc.pausedUntil && m.proc.n.Fresh() {
			p = m.proc
		}
	}
	if p == nil {
		again(500 * time.Millisecond)
		return
	}
	e := j.entry(p.n.State())
	if e == nil {
		o.finish(j)
		return
	}
	e.Actor = "uid:0"
	j.proc = p
	p.input(func() {
		id, err := p.n.Propose(p.now(), p.wall(), e)
		if err != nil {
			again(200 * time.Millisecond)
			return
		}
		p.wait(id, func(r node.Reply) {
			if j.over {
				return
			}
			if r.Err != nil {
				again(200 * time.Millisecond)
				return
			}
			if r.Outcome.Err != nil {
				w.tell("operator: %s: %v", j.name, r.Outcome.Err)
				if _, conflict := r.Outcome.Err.(*command.ConflictError); conflict {
					again(100 * time.Millisecond)
					return
				}
			}
			o.finish(j)
			if j.done != nil {
				j.done(p, r)
			}
		})
	})
	again(10 * time.Second)
}

func (o *operator) finish(j *job) {
	j.over = true
	o.pending = slices.DeleteFunc(o.pending, func(x *job) bool { return x == j })
}

func (o *operator) lost(p *process) {
	for _, j := range o.pending {
		if j.proc == p && !j.over {
			j.proc = nil
			try := j.tries
			o.w.after(100*time.Millisecond, func() {
				if !j.over && j.tries == try {
					o.try(j)
				}
			})
		}
	}
}

// config is an entry that changes one object.
func config(s *command.State, c cib.Change) *command.Entry {
	return &command.Entry{Kind: command.KindConfig, Config: &command.Config{
		Changes: []cib.Change{c}, Based: map[string]uint64{c.Key(): s.Objects.Of(c.Key())}}}
}

// standby puts a node into standby or takes it out.
func (o *operator) standby(name string, on bool) {
	o.w.tell("operator: standby of %s: %v", name, on)
	value := "off"
	if on {
		value = "on"
	}
	o.do("standby of "+name, func(s *command.State) *command.Entry {
		obj, ok := cib.FindObject(&s.Document.Config, cib.KindNode, name)
		if !ok || obj.Node == nil {
			return nil
		}
		obj = obj.Clone()
		obj.Node.Attributes = []cib.AttributeSet{{ID: "attrs-" + name, Pairs: []cib.NVPair{{ID: "standby-" + name, Name: "standby", Value: value}}}}
		return config(s, cib.Change{Kind: cib.KindNode, ID: name, Object: &obj})
	}, nil)
}

// ban keeps a resource from a node, or allows it again.
func (o *operator) ban(resource, name string, on bool) {
	o.w.tell("operator: ban of %s from %s: %v", resource, name, on)
	id := "ban-" + resource
	o.do("ban of "+resource, func(s *command.State) *command.Entry {
		_, there := cib.FindObject(&s.Document.Config, cib.KindConstraint, id)
		if !on {
			if !there {
				return nil
			}
			return config(s, cib.Change{Kind: cib.KindConstraint, ID: id})
		}
		c := &cib.Constraint{Kind: cib.Location, ID: id, Resource: resource, Node: name, Score: "-INFINITY"}
		return config(s, cib.Change{Kind: cib.KindConstraint, ID: id, Object: &cib.Object{Constraint: c}})
	}, nil)
}

// cleanup has failures forgotten.
func (o *operator) cleanup() {
	o.do("cleanup", func(s *command.State) *command.Entry {
		return &command.Entry{Kind: command.KindForget, Forget: &command.Forget{OnlyFailed: true}}
	}, nil)
}
