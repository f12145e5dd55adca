package daemon

import (
	"context"
	"sync"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/store/command"
)

// maxEvents bounds the events that are kept, for clients to catch up. Beyond it the older half goes: to drop each as the next
// one comes would move all of them each time.
const maxEvents = 4096

// events tells what happened on this node's copy of the state, and keeps the newest for clients that come back.
type events struct {
	mu    sync.Mutex // guards what follows
	list  []api.Event
	from  uint64 // events with an index above it are all in list
	index uint64 // of the newest state that was looked at
	wake  chan struct{}
}

func newEvents() *events { return &events{wake: make(chan struct{})} }

// Run follows the state until ctx ends. wait returns a state with an index above after.
func (e *events) Run(ctx context.Context, wait func(ctx context.Context, after uint64) (*command.State, error)) {
	var before *command.State
	for {
		after := uint64(0)
		if before != nil {
			after = before.Index
		}
		s, err := wait(ctx, after)
		if err != nil {
			return // the node ends
		}
		var list []api.Event
		if before != nil {
			list = api.Diff(before, s)
		}
		e.add(list, s.Index, before == nil)
		before = s
	}
}

func (e *events) add(list []api.Event, index uint64, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first {
		e.from = index
	}
	e.index = index
	e.list = append(e.list, list...)
	if len(e.list) > maxEvents {
		over := len(e.list) - maxEvents/2
		e.from = e.list[over-1].Index
		for over < len(e.list) && e.list[over].Index == e.from { // the events of one state stay together
			over++
		}
		e.list = append(e.list[:0:0], e.list[over:]...)
	}
	if len(list) > 0 || first {
		close(e.wake)
		e.wake = make(chan struct{})
	}
}

// next returns the events after an index (0 = those to come) and the index to go on from, waiting until there is one.
// Where events were dropped since, the only one is a reset.
func (e *events) next(ctx context.Context, after uint64) ([]api.Event, uint64, error) {
	for {
		e.mu.Lock()
		wake, index := e.wake, e.index
		switch {
		case index == 0: // nothing was seen yet
		case after == 0, after > index: // a client of another node, which was ahead of this one
			after = index
		case after < e.from:
			e.mu.Unlock()
			return []api.Event{{Index: index, Kind: api.EventReset, Text: "events were missed: read the state anew"}}, index, nil
		}
		var out []api.Event
		for i := len(e.list) - 1; i >= 0 && e.list[i].Index > after && after > 0; i-- {
			out = e.list[i:]
		}
		out = append([]api.Event(nil), out...)
		e.mu.Unlock()
		if len(out) > 0 {
			return out, index, nil
		}
		select {
		case <-ctx.Done():
			return nil, after, ctx.Err()
		case <-wake:
		}
	}
}
