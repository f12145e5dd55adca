package daemon

import (
	"runtime"
	"time"
)

// procs has the Go runtime use one processor while the node has little to do, and all that it may otherwise. With
// more than one, each heartbeat wakes threads that find nothing to do: on an idle node that is a third of what it costs.
type procs struct {
	few    bool
	inputs int       // of the window
	began  time.Time // of the window
	busy   time.Time // last window with much to do
}

const (
	procsWindow = 50 * time.Millisecond
	procsMany   = 50              // inputs of a window from which on there is much to do
	procsLinger = 5 * time.Second // how long all processors stay in use after that
)

// took counts inputs of the loop.
func (p *procs) took(inputs int, now time.Time) {
	p.inputs += inputs
	if now.Sub(p.began) < procsWindow && p.inputs < procsMany {
		return
	}
	if p.inputs >= procsMany {
		p.busy = now
	}
	p.inputs, p.began = 0, now
	switch few := now.Sub(p.busy) > procsLinger; {
	case few && !p.few:
		runtime.GOMAXPROCS(1)
		p.few = true
	case !few && p.few:
		runtime.SetDefaultGOMAXPROCS()
		p.few = false
	}
}
