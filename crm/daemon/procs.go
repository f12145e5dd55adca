package daemon

import (
	"runtime"
	"runtime/debug"
	"time"
)

// procs has the Go runtime use one processor while the node has little to do, and all that it may otherwise. With
// more than one, each heartbeat wakes threads that find nothing to do: on an idle node that is a third of what it costs.
//
// When it has much to do again it lets more garbage come together before it is collected: that halves what the collection
// costs, a tenth of the time of configuration writes, for memory that an idle node does not take.
type procs struct {
	few    bool
	gc     int       // percent of garbage while there is little to do
	inputs int       // of the window
	began  time.Time // of the window
	busy   time.Time // last window with much to do
}

const (
	procsWindow = 50 * time.Millisecond
	procsMany   = 50              // inputs of a window from which on there is much to do
	procsLinger = 5 * time.Second // how long all processors stay in use after that
	procsGC     = 200             // percent of garbage, of what is in use, while there is much to do; the runtime's own is 100
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
		if p.gc != 0 {
			debug.SetGCPercent(p.gc)
		}
	case !few && p.few:
		runtime.SetDefaultGOMAXPROCS()
		p.few = false
		if gc := debug.SetGCPercent(procsGC); p.gc == 0 {
			p.gc = gc
		}
	}
}
