// Package attribute ends the dampening of transient node attributes: changes that agents make wait in the replicated
// state for a time (command.AttributeState), so that those of all nodes come to the document, and before the policy,
// together. Without it a fault of the network that every node notices at a time of its own would move services from
// each node to the one that has not noticed yet.
//
// Timers is a duty of the leader, made anew for each term, so that a new leader lets what waits wait for the whole
// time again. It is a state machine without goroutine, clock or I/O; times are monotonic. Queries, and what changes
// are to mean, are the business of package command.
package attribute

import (
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/store/command"
)

// maxDelays bounds how long a value waits that changes again and again: as many times the dampening. Without it a
// flapping attribute would never be written.
const maxDelays = 5

// Timers knows when attributes that wait are to be written. The zero value is ready. It belongs to one goroutine.
type Timers struct {
	waits []wait // sorted by name
}

type wait struct {
	name    string
	changed uint64
	first   time.Duration // when it began to wait
	due     time.Duration
	asked   bool // a proposal to write it is under way
}

// Applied takes over the newest state: a new change of an attribute starts its time again.
func (t *Timers) Applied(s *command.State, now time.Duration) {
	var waits []wait
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if !a.Waits() {
			continue
		}
		w := wait{name: a.Name, first: now}
		if at, ok := slices.BinarySearchFunc(t.waits, a.Name, func(w wait, name string) int { return strings.Compare(w.name, name) }); ok {
			w = t.waits[at]
		}
		if w.changed != a.Changed {
			delay := time.Duration(a.DelayMS) * time.Millisecond
			w.changed, w.due = a.Changed, min(now+delay, w.first+maxDelays*delay)
		}
		waits = append(waits, w)
	}
	t.waits = waits
}

// Tick returns the changes that write what is due, for one log entry; nil = nothing is due. They are asked for once.
func (t *Timers) Tick(now time.Duration) (writes []command.Attribute) {
	for i := range t.waits {
		if w := &t.waits[i]; !w.asked && now >= w.due {
			w.asked = true
			writes = append(writes, command.Attribute{Name: w.name, Write: true})
		}
	}
	return writes
}

// Retry has everything asked for again that was asked for and still waits: a proposal was dropped.
func (t *Timers) Retry() {
	for i := range t.waits {
		t.waits[i].asked = false
	}
}

// Deadline is when Tick has something to do if nothing else comes before; ok is false when nothing waits.
func (t *Timers) Deadline() (at time.Duration, ok bool) {
	for i := range t.waits {
		if w := &t.waits[i]; !w.asked && (!ok || w.due < at) {
			at, ok = w.due, true
		}
	}
	return at, ok
}
