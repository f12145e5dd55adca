package transition

import "math/bits"

// Outcome is what became of an action that was fired.
type Outcome uint8

// Outcomes of firing.
const (
	Done     Outcome = iota // confirmed at once
	Failed                  // failed at once
	InFlight                // will be confirmed or failed later
	Deferred                // cannot start now (a limit); it is offered again in the next pass
)

// maxPriority is the synapse priority of actions that run even after a failure.
const maxPriority = 1000000

type state uint8

const (
	waiting state = iota
	inFlight
	confirmed
	failed
)

// Progress is the state of a transition that is being carried out.
type Progress struct {
	graph   *Graph
	states  []state
	missing []int32  // inputs not yet confirmed, by synapse
	next    []int32  // the synapses that have the first one as input, then those that have the second one, and so on
	from    []int32  // where those of a synapse begin in next; those of the next one begin where they end
	ready   []uint64 // a bit for each synapse that waits for no input any more: most of a large graph is not looked at
	numbers []int32  // synapse by the number of its action, counted from 1; 0 = none
	flying  int
	aborted bool
}

// NewProgress starts carrying out g.
func NewProgress(g *Graph) *Progress {
	p := &Progress{
		graph:   g,
		states:  make([]state, len(g.Synapses)),
		missing: make([]int32, len(g.Synapses)),
		ready:   make([]uint64, (len(g.Synapses)+63)/64),
		from:    make([]int32, len(g.Synapses)+1),
	}
	highest, count := 0, 0
	for i := range g.Synapses {
		s := &g.Synapses[i]
		highest = max(highest, s.Action.Number)
		p.missing[i] = int32(len(s.Inputs))
		for _, in := range s.Inputs {
			if in.Synapse >= 0 {
				p.from[in.Synapse]++
				count++
			}
		}
	}
	// from holds the number of followers first, then where they end, and where they begin once all are written.
	end := int32(0)
	for i := range p.from {
		end += p.from[i]
		p.from[i] = end
	}
	p.next, p.numbers = make([]int32, count), make([]int32, highest+1)
	for i := len(g.Synapses) - 1; i >= 0; i-- {
		s := &g.Synapses[i]
		p.numbers[s.Action.Number] = int32(i) + 1
		for _, in := range s.Inputs {
			if in.Synapse >= 0 {
				p.from[in.Synapse]--
				p.next[p.from[in.Synapse]] = int32(i)
			}
		}
		if p.missing[i] == 0 {
			p.ready[i/64] |= 1 << (i % 64)
		}
	}
	return p
}

// Pass walks once through all synapses in order and fires those that may start. What fire confirms at
// once counts for the synapses further down the list in the same pass (spec/06-simulation.md 3.1). It
// returns how many were fired.
func (p *Progress) Pass(fire func(a *Action, synapse int) Outcome) int {
	fired := 0
	for i := p.nextReady(0); i >= 0; i = p.nextReady(i + 1) {
		if !p.may(i) {
			continue
		}
		switch fire(&p.graph.Synapses[i].Action, i) {
		case Done:
			p.settle(i, confirmed)
		case Failed:
			p.settle(i, failed)
		case InFlight:
			p.fly(i)
		case Deferred:
			continue
		}
		fired++
	}
	return fired
}

// nextReady is the first synapse from i on that waits for no input; -1 = none.
func (p *Progress) nextReady(i int) int {
	for w := i / 64; w < len(p.ready); w++ {
		word := p.ready[w]
		if w == i/64 {
			word &= ^uint64(0) << (i % 64)
		}
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// may reports whether synapse i, which waits for no input, may fire. After a failure only pseudo events and synapses of
// the highest priority do (spec/06-simulation.md 3.2).
func (p *Progress) may(i int) bool {
	s := &p.graph.Synapses[i]
	return !p.aborted || s.Action.Kind == PseudoEvent || s.Priority >= maxPriority
}

func (p *Progress) fly(i int) {
	p.states[i] = inFlight
	p.ready[i/64] &^= 1 << (i % 64)
	p.flying++
}

func (p *Progress) settle(i int, to state) {
	p.states[i] = to
	p.ready[i/64] &^= 1 << (i % 64)
	if to == failed {
		p.aborted = true
	}
	for _, n := range p.next[p.from[i]:p.from[i+1]] {
		if to == confirmed || p.graph.Synapses[n].Priority >= maxPriority {
			if p.missing[n]--; p.missing[n] == 0 && p.states[n] == waiting {
				p.ready[n/64] |= 1 << (n % 64)
			}
		}
	}
}

// Confirm records the result of an action in flight, by its number. It reports whether the action was in
// flight; a result that comes twice or for another transition changes nothing.
func (p *Progress) Confirm(number int, ok bool) bool {
	if number < 0 || number >= len(p.numbers) {
		return false
	}
	i := int(p.numbers[number]) - 1
	if i < 0 || p.states[i] != inFlight {
		return false
	}
	p.flying--
	if ok {
		p.settle(i, confirmed)
	} else {
		p.settle(i, failed)
	}
	return true
}

// Adopt marks the waiting actions that match as in flight: they were started by an earlier transition and
// this one still wants them. It returns their numbers in order. What comes after something else that is still to be done
// with the same resource on the same node is not meant: a start under way is not the start of a restart.
func (p *Progress) Adopt(match func(a *Action) bool) []int {
	var adopted []int
	for i := range p.states {
		a := &p.graph.Synapses[i].Action
		if p.states[i] == waiting && a.Kind != PseudoEvent && match(a) && !p.follows(i) {
			p.fly(i)
			adopted = append(adopted, a.Number)
		}
	}
	return adopted
}

// follows reports whether something waits to be done before synapse i with the same resource on the same node.
func (p *Progress) follows(i int) bool {
	a := &p.graph.Synapses[i].Action
	if a.Resource == nil {
		return false
	}
	seen := make([]bool, len(p.states))
	var before func(i int) bool
	before = func(i int) bool {
		for _, in := range p.graph.Synapses[i].Inputs {
			if in.Synapse < 0 || seen[in.Synapse] {
				continue
			}
			seen[in.Synapse] = true
			b := &p.graph.Synapses[in.Synapse].Action
			if p.states[in.Synapse] == waiting && b.Kind != PseudoEvent && b.Resource != nil && b.Resource.ID == a.Resource.ID && b.Node == a.Node || before(in.Synapse) {
				return true
			}
		}
		return false
	}
	return before(i)
}

// Abort keeps actions that are not of the highest priority from starting, as after a failure.
func (p *Progress) Abort() { p.aborted = true }

// Aborted reports whether an action failed or Abort was called.
func (p *Progress) Aborted() bool { return p.aborted }

// InFlight is the number of actions fired and not yet settled.
func (p *Progress) InFlight() int { return p.flying }

// Left is the number of synapses that were neither confirmed nor failed nor are in flight.
func (p *Progress) Left() int {
	n := 0
	for _, s := range p.states {
		if s == waiting {
			n++
		}
	}
	return n
}
