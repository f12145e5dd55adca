package membership

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world runs cores against a simulated network, from one seed, in one goroutine. Every node has its own
// clock with its own origin. A paused node takes no input until it goes on; what came meanwhile waits.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	now   Instant
	seq   int
	queue worldQueue
	nodes []*simNode // index = id-1
	// cut[from][to][link] drops all; loss is in percent of each datagram.
	cut      map[[3]int]bool
	loss     map[int]int // link -> percent
	delayMin time.Duration
	delayMax time.Duration
	trace    uint64
	log      []entry
	sent     int
	refused  int
}

type entry struct {
	at    Instant
	node  NodeID
	event Event
}

type simNode struct {
	id      NodeID
	core    *Core
	cfg     Config
	offset  Instant
	alive   bool
	gone    bool
	paused  Instant // world time until which it is paused
	held    []func()
	wake    Instant
	waiting bool
}

type worldEvent struct {
	at  Instant
	seq int
	do  func()
}

type worldQueue []worldEvent

func (q worldQueue) Len() int { return len(q) }
func (q worldQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q worldQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *worldQueue) Push(x any)   { *q = append(*q, x.(worldEvent)) }
func (q *worldQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// newWorld starts n voters with the given links and timing.
func newWorld(t *testing.T, seed uint64, n, links int, timing Timing) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), cut: map[[3]int]bool{}, loss: map[int]int{},
		delayMin: 100 * time.Microsecond, delayMax: 400 * time.Microsecond}
	var set LinkSet
	for l := range links {
		set = set.With(LinkID(l))
	}
	var members []Member
	for i := range n {
		members = append(members, Member{ID: NodeID(i + 1), Links: set, Voter: true})
	}
	for i := range n {
		w.nodes = append(w.nodes, &simNode{id: NodeID(i + 1), cfg: Config{
			Self: NodeID(i + 1), Incarnation: Incarnation(w.rng.Uint64() | 1), Members: members, Timing: timing, IgnoreStreams: true}})
	}
	for _, nd := range w.nodes {
		w.boot(nd.id)
	}
	return w
}

func (w *world) node(id NodeID) *simNode { return w.nodes[id-1] }

func (w *world) at(t Instant, do func()) {
	w.seq++
	heap.Push(&w.queue, worldEvent{at: max(t, w.now), seq: w.seq, do: do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// local is the node's own clock.
func (w *world) local(nd *simNode) Instant { return w.now + nd.offset }

func (w *world) boot(id NodeID) {
	nd := w.node(id)
	nd.offset = Instant(w.rng.Int64N(int64(time.Hour)))
	nd.cfg.Incarnation = Incarnation(w.rng.Uint64() | 1)
	core, err := New(nd.cfg, w.local(nd))
	if err != nil {
		w.t.Fatal(err)
	}
	nd.core, nd.alive, nd.gone, nd.waiting, nd.paused = core, true, false, false, 0
	w.drain(nd)
}

// input gives a running node an input, or keeps it until the node goes on.
func (w *world) input(nd *simNode, do func()) {
	if !nd.alive {
		return
	}
	if nd.paused > w.now {
		nd.held = append(nd.held, do)
		return
	}
	do()
	w.drain(nd)
}

func (w *world) drain(nd *simNode) {
	o := nd.core.Ready()
	for _, e := range o.Events {
		w.log = append(w.log, entry{w.now, nd.id, e})
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %d %d %T %v", w.trace, w.now, nd.id, e, e)
		w.trace = h.Sum64()
	}
	for _, hb := range o.Heartbeats {
		w.send(nd.id, hb)
	}
	if o.Gone {
		nd.gone, nd.alive = true, false
		return
	}
	if at, ok := nd.core.NextTick(); ok {
		at -= nd.offset
		if !nd.waiting || at < nd.wake {
			nd.waiting, nd.wake = true, at
			core := nd.core
			w.at(at, func() {
				if nd.core == core && nd.waiting && nd.wake == at {
					nd.waiting = false
					w.input(nd, func() { nd.core.Tick(w.local(nd)) })
				}
			})
		}
	}
}

func (w *world) send(from NodeID, hb OutHeartbeat) {
	w.sent++
	if len(hb.Payload) > MaxHeartbeat {
		w.t.Errorf("heartbeat of %d bytes, more than %d", len(hb.Payload), MaxHeartbeat)
	}
	if w.cut[[3]int{int(from), int(hb.To), int(hb.Link)}] || w.rng.IntN(100) < w.loss[int(hb.Link)] {
		return
	}
	delay := w.delayMin + time.Duration(w.rng.Int64N(int64(w.delayMax-w.delayMin)+1))
	w.after(delay, func() {
		to := w.node(hb.To)
		w.input(to, func() {
			if err := to.core.ReceiveHeartbeat(from, hb.Link, hb.Payload, w.local(to)); err != nil {
				w.refused++
			}
		})
	})
}

// pause stops a node for d.
func (w *world) pause(id NodeID, d time.Duration) {
	nd := w.node(id)
	nd.paused = w.now.Add(d)
	w.at(nd.paused, func() {
		if !nd.alive || nd.paused > w.now {
			return
		}
		held := nd.held
		nd.held = nil
		// The timer and the sockets are ready at the same moment; chance decides what is served first.
		if w.rng.IntN(2) == 0 {
			w.input(nd, func() { nd.core.Tick(w.local(nd)) })
		}
		for _, do := range held {
			w.input(nd, do)
		}
	})
}

// kill ends a node without a goodbye.
func (w *world) kill(id NodeID) {
	nd := w.node(id)
	nd.alive, nd.held = false, nil
}

// cutBetween cuts from a to b on all links, in one direction.
func (w *world) cutBetween(a, b NodeID, on bool) {
	for l := range MaxLinks {
		w.cut[[3]int{int(a), int(b), l}] = on
	}
}

func (w *world) cutBoth(a, b NodeID, on bool) {
	w.cutBetween(a, b, on)
	w.cutBetween(b, a, on)
}

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(worldEvent)
		w.now = e.at
		e.do()
	}
	w.now = end
}

// changes returns the changes to the given states since an instant.
func (w *world) changes(since Instant, states ...State) []string {
	var out []string
	for _, e := range w.log {
		if c, ok := e.event.(NodeChanged); ok && e.at >= since && slices.Contains(states, c.To) {
			out = append(out, fmt.Sprintf("%v node %d: node %d %v (%v)", time.Duration(e.at), e.node, c.Node, c.To, c.Cause))
		}
	}
	return out
}

func (w *world) wantAll(state State) {
	w.t.Helper()
	for _, nd := range w.nodes {
		if !nd.alive {
			continue
		}
		for _, p := range nd.core.View().Members {
			if w.node(p.Node).alive && p.State != state {
				w.t.Errorf("%v: node %d calls node %d %v (%v), want %v", time.Duration(w.now), nd.id, p.Node, p.State, p.Cause, state)
			}
		}
	}
}

var profiles = map[string]Timing{"default": DefaultTiming, "fast": FastTiming}

func TestCore_ColdStart(t *testing.T) {
	t.Parallel()
	for name, timing := range profiles {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 5, 2, timing)
			w.run(timing.Interval)
			w.wantAll(Reachable)
			w.run(timing.Dead)
			for _, nd := range w.nodes {
				v := nd.core.View()
				if want := []NodeID{1, 2, 3, 4, 5}; !slices.Equal(v.Together, want) || v.Isolate != nil || v.Outside {
					t.Errorf("node %d: together %v isolate %v outside %v, want all of %v", nd.id, v.Together, v.Isolate, v.Outside, want)
				}
			}
			if got := w.changes(0, Lost, Cut, Suspect); got != nil {
				t.Errorf("start accused live nodes: %q", got)
			}
		})
	}
}

// A powered-off node is lost for all others within the dead time, one interval and a little.
func TestCore_PowerOff(t *testing.T) {
	t.Parallel()
	for name, timing := range profiles {
		t.Run(name, func(t *testing.T) {
			var worst time.Duration
			for seed := range uint64(20) {
				w := newWorld(t, seed, 3, 2, timing)
				w.run(3*time.Second + time.Duration(w.rng.Int64N(int64(timing.Interval))))
				off := w.now
				w.kill(2)
				w.run(3 * timing.Dead)
				lost := 0
				for _, e := range w.log {
					if c, ok := e.event.(NodeChanged); ok && c.To == Lost {
						lost++
						worst = max(worst, e.at.Sub(off))
						if c.Node != 2 || e.at.Sub(off) < timing.Dead-timing.Interval-time.Millisecond {
							t.Errorf("seed %d: node %d lost %v after the power-off of 2", seed, c.Node, e.at.Sub(off))
						}
					}
				}
				if lost != 2 {
					t.Errorf("seed %d: %d nodes noticed, want 2", seed, lost)
				}
				if got := w.changes(off, Cut); got != nil {
					t.Errorf("seed %d: a dead node was called cut: %q", seed, got)
				}
				for _, id := range []NodeID{1, 3} {
					if v := w.node(id).core.View(); !slices.Equal(v.Together, []NodeID{1, 3}) || v.Isolate != nil {
						t.Errorf("seed %d: node %d: together %v isolate %v, want [1 3] and nothing", seed, id, v.Together, v.Isolate)
					}
				}
				w.boot(2)
				w.run(4 * timing.Interval)
				w.wantAll(Reachable)
			}
			if limit := timing.Dead + timing.Dead/20; worst > limit {
				t.Errorf("worst detection took %v, want at most %v", worst, limit)
			}
			t.Logf("worst detection %v", worst)
		})
	}
}

// Ten minutes of 10 % loss on one link and pauses of each node in turn accuse nobody.
func TestCore_RidesOutPausesAndLoss(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timing Timing
		pause  time.Duration
	}{"default": {DefaultTiming, time.Second}, "fast": {FastTiming, 150 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 7, 3, 2, tc.timing)
			w.run(5 * time.Second)
			w.loss[0] = 10
			began := w.now
			for i := range 200 {
				w.pause(NodeID(i%3+1), tc.pause)
				w.run(3 * time.Second)
			}
			if got := w.changes(began, Lost, Cut); got != nil {
				t.Errorf("accused: %q", got)
			}
			for _, e := range w.log {
				if v, ok := e.event.(ViewChanged); ok && e.at > began {
					t.Errorf("node %d: view changed: %v", e.node, v)
				}
			}
		})
	}
}

// A node that was stopped for long never accuses others for it; the others call it lost, and it comes back.
func TestCore_OwnPauseAccusesNobody(t *testing.T) {
	t.Parallel()
	for name, timing := range profiles {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				w := newWorld(t, seed, 3, 1, timing)
				w.run(2 * time.Second)
				w.delayMax = timing.Interval
				w.pause(1, timing.Dead+time.Duration(w.rng.Int64N(int64(20*timing.Dead))))
				began := w.now
				w.run(30 * timing.Dead)
				lost := map[NodeID]int{}
				paused := 0
				for _, e := range w.log {
					switch ev := e.event.(type) {
					case NodeChanged:
						if e.at >= began && (ev.To == Lost || ev.To == Cut) {
							lost[e.node]++
						}
					case SelfPaused:
						paused++
						if e.node != 1 {
							t.Errorf("seed %d: node %d noticed a pause %v that it did not have", seed, e.node, ev.For)
						}
					}
				}
				if lost[1] != 0 {
					t.Errorf("seed %d: the paused node accused others: %q", seed, w.changes(began, Lost, Cut))
				}
				if paused != 1 {
					t.Errorf("seed %d: %d pauses noticed, want 1", seed, paused)
				}
				w.wantAll(Reachable)
			}
		})
	}
}

// Machines stopped together, as with their host, go on at different moments.
func TestCore_AllPausedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 5, 2, DefaultTiming)
	w.run(2 * time.Second)
	began := w.now
	for i := range 5 {
		w.pause(NodeID(i+1), 8*time.Second+time.Duration(i)*250*time.Millisecond)
	}
	w.run(30 * time.Second)
	if got := w.changes(began, Lost, Cut); got != nil {
		t.Errorf("accused: %q", got)
	}
}

func TestCore_OneLinkDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6, 3, 2, DefaultTiming)
	w.run(3 * time.Second)
	began := w.now
	for a := 1; a <= 3; a++ {
		for b := 1; b <= 3; b++ {
			w.cut[[3]int{a, b, 0}] = true
		}
	}
	want := 0
	for _, n := range w.nodes {
		if n == nil {
			continue
		}
		for _, m := range n.core.View().Members {
			if m.HasRoute && m.Route == 0 {
				want++
			}
		}
	}
	if want == 0 {
		t.Fatal("link 0 is nobody's route: the test shows nothing")
	}
	w.run(3 * time.Second)
	if got := w.changes(began, Lost, Cut, Suspect); got != nil {
		t.Errorf("loss of one of two links accused nodes: %q", got)
	}
	alarms, routes := 0, 0
	for _, e := range w.log {
		switch ev := e.event.(type) {
		case LinkChanged:
			if e.at >= began {
				alarms++
				if ev.Link != 0 || ev.Alarm.To.String() != "dead" || e.at.Sub(began) > 2*time.Second {
					t.Errorf("alarm %+v after %v", ev, e.at.Sub(began))
				}
			}
		case RouteChanged:
			if e.at >= began {
				routes++
				if ev.Link != 1 || !ev.OK {
					t.Errorf("route %+v, want link 1", ev)
				}
			}
		}
	}
	if alarms != 6 || routes != want {
		t.Errorf("%d alarms and %d changes of the route, want 6 and %d", alarms, routes, want)
	}
}

// A link that flaps between dead and up makes few alarms, and ends with the true state told.
func TestCore_FlappingLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, 2, 2, FastTiming)
	w.run(time.Second)
	began := w.now
	for range 60 {
		w.cut[[3]int{1, 2, 0}] = true
		w.run(500 * time.Millisecond)
		w.cut[[3]int{1, 2, 0}] = false
		w.run(500 * time.Millisecond)
	}
	w.run(40 * time.Second)
	alarms := 0
	var last LinkChanged
	for _, e := range w.log {
		if ev, ok := e.event.(LinkChanged); ok && e.at >= began && e.node == 2 {
			alarms++
			last = ev
		}
	}
	if alarms < 2 || alarms > 12 {
		t.Errorf("%d alarms in 100 s with 60 flaps, want 2 to 12", alarms)
	}
	if last.Alarm.To.String() != "up" {
		t.Errorf("the last alarm says %v, want up", last.Alarm.To)
	}
	if got := w.changes(began, Lost, Cut, Suspect); got != nil {
		t.Errorf("accused: %q", got)
	}
}

func TestCore_PartialFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		n        int
		leader   NodeID
		cut      func(w *world)
		together []NodeID
		isolate  []NodeID
		outside  []NodeID
	}{
		{"one-way cut from 2 to 3", 5, 1, func(w *world) { w.cutBetween(2, 3, true) },
			[]NodeID{1, 2, 4, 5}, []NodeID{3}, []NodeID{3}},
		{"one-way cut from the leader", 5, 1, func(w *world) { w.cutBetween(1, 3, true) },
			[]NodeID{1, 2, 4, 5}, []NodeID{3}, []NodeID{3}},
		{"bridge, leader is the bridge", 5, 3, func(w *world) {
			for _, a := range []NodeID{1, 2} {
				for _, b := range []NodeID{4, 5} {
					w.cutBoth(a, b, true)
				}
			}
		}, []NodeID{1, 2, 3}, []NodeID{4, 5}, []NodeID{4, 5}},
		{"bridge, leader is node 5", 5, 5, func(w *world) {
			for _, a := range []NodeID{1, 2} {
				for _, b := range []NodeID{4, 5} {
					w.cutBoth(a, b, true)
				}
			}
		}, []NodeID{3, 4, 5}, []NodeID{1, 2}, []NodeID{1, 2}},
		{"one direction on each link", 3, 1, func(w *world) {
			w.cut[[3]int{1, 3, 0}] = true
			w.cut[[3]int{3, 1, 1}] = true
		}, []NodeID{1, 2}, []NodeID{3}, []NodeID{3}},
		{"three in a row", 3, 2, func(w *world) { w.cutBoth(1, 3, true) },
			[]NodeID{1, 2}, []NodeID{3}, []NodeID{3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, timing := range profiles {
				w := newWorld(t, 11, tt.n, 2, timing)
				w.run(5 * time.Second)
				for _, nd := range w.nodes {
					w.input(nd, func() { nd.core.SetLocal(Local{Leader: tt.leader, Quorate: true}, w.local(nd)) })
				}
				w.run(time.Second)
				began := w.now
				tt.cut(w)
				w.run(4*timing.Dead + connectTime)
				settled := len(w.log)
				w.run(60 * timing.Dead)
				for _, nd := range w.nodes {
					v := nd.core.View()
					if !slices.Equal(v.Together, tt.together) {
						t.Errorf("node %d: together %v, want %v; matrix %v", nd.id, v.Together, tt.together, nd.core.Matrix())
					}
					in := slices.Contains(tt.together, nd.id)
					if in && !slices.Equal(v.Isolate, tt.isolate) || !in && v.Isolate != nil {
						t.Errorf("node %d: isolate %v, want %v on the side that goes on", nd.id, v.Isolate, tt.isolate)
					}
					if v.Outside != slices.Contains(tt.outside, nd.id) {
						t.Errorf("node %d: outside %v", nd.id, v.Outside)
					}
				}
				if got := w.changes(began, Lost); got != nil {
					t.Errorf("nodes that somebody hears were called lost: %q", got)
				}
				for _, e := range w.log[settled:] {
					switch e.event.(type) {
					case NodeChanged, ViewChanged:
						t.Errorf("not stable: node %d %T%v", e.node, e.event, e.event)
					}
				}
			}
		})
	}
}

// Nobody is isolated at the moment in which the matrix changes, only when it stays so.
func TestCore_IsolatesAfterSettling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 13, 5, 1, FastTiming)
	w.run(connectTime + 2*time.Second)
	w.cutBetween(2, 3, true)
	changed, named := Instant(0), Instant(0)
	for range 6000 {
		w.run(time.Millisecond)
		v := w.node(1).core.View()
		if changed == 0 && len(v.Together) == 4 {
			changed = w.now
		}
		if named == 0 && v.Isolate != nil {
			named = w.now
		}
	}
	if changed == 0 || named.Sub(changed) < connectTime || named.Sub(changed) > connectTime+80*time.Millisecond {
		t.Errorf("the set changed at %v, node 3 was named at %v; want %v between", time.Duration(changed), time.Duration(named), connectTime)
	}
}

// A node that was never heard here, but is heard by others for long, is cut and isolated.
func TestCore_NeverHeardHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6, 3, 1, DefaultTiming)
	w.kill(1)
	w.kill(3)
	w.cutBoth(1, 3, true)
	w.run(10 * time.Second)
	w.boot(1)
	w.boot(3)
	w.run(time.Second)
	if s := w.node(1).core.State(3); s != Unknown {
		t.Errorf("after a second node 3 is %v, want unknown", s)
	}
	w.run(12 * time.Second)
	v := w.node(1).core.View()
	if m, _ := v.Member(3); m.State != Cut || m.Cause != HeardElsewhere || !slices.Equal(v.Isolate, []NodeID{3}) {
		t.Errorf("node 3 is %v (%v), isolate %v; want cut, and it isolated", m.State, m.Cause, v.Isolate)
	}
	w.cutBoth(1, 3, false)
	w.run(time.Second)
	w.wantAll(Reachable)
}

// A node that joins is heard by some before others. That is no partial fault.
func TestCore_JoiningIsNotIsolated(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		w := newWorld(t, seed, 3, 1, FastTiming)
		w.run(2 * time.Second)
		w.kill(3)
		w.run(2 * time.Second)
		w.cutBoth(2, 3, true)
		w.boot(3)
		for i := range 300 {
			w.run(5 * time.Millisecond)
			if i == 20 {
				w.cutBoth(2, 3, false)
			}
			for _, nd := range w.nodes {
				if v := nd.core.View(); v.Isolate != nil {
					t.Fatalf("seed %d, %v: node %d isolates %v", seed, time.Duration(w.now), nd.id, v.Isolate)
				}
			}
		}
		w.wantAll(Reachable)
	}
}

// Whatever is cut: two nodes never see two different sets that both could go on without the other, nobody
// isolates a member of its own set, and all who see a set see the same one once the fault is old.
func TestCore_RandomCuts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		n := 2 + int(seed%5)
		w := newWorld(t, seed, n, 2, FastTiming)
		w.run(time.Second)
		for a := 1; a <= n; a++ {
			for b := 1; b <= n; b++ {
				for l := range 2 {
					if w.rng.IntN(100) < 25 {
						w.cut[[3]int{a, b, l}] = true
					}
				}
			}
		}
		for range 20 {
			w.run(100 * time.Millisecond)
			for i, a := range w.nodes {
				va := a.core.View()
				for _, id := range va.Isolate {
					if slices.Contains(va.Together, id) {
						t.Fatalf("seed %d: node %d isolates %d of its own set %v", seed, a.id, id, va.Together)
					}
				}
				for _, b := range w.nodes[:i] {
					vb := b.core.View()
					if va.Together == nil || vb.Together == nil {
						continue
					}
					if !slices.ContainsFunc(va.Together, func(id NodeID) bool { return slices.Contains(vb.Together, id) }) {
						t.Fatalf("seed %d: nodes %d and %d see disjoint quorate sets %v and %v", seed, a.id, b.id, va.Together, vb.Together)
					}
				}
			}
		}
		// Nodes of a set agree on it.
		for _, a := range w.nodes {
			va := a.core.View()
			for _, id := range va.Together {
				if !slices.Contains(va.Together, a.id) {
					continue
				}
				if vb := w.node(id).core.View(); !slices.Equal(va.Together, vb.Together) {
					t.Errorf("seed %d: nodes %d and %d of one set disagree: %v and %v", seed, a.id, id, va.Together, vb.Together)
				}
			}
		}
		// Healing brings all back.
		clear(w.cut)
		w.run(3 * time.Second)
		w.wantAll(Reachable)
		if t.Failed() {
			return
		}
	}
}

// Halves of a cluster: exactly the majority goes on, and it calls the others lost.
func TestCore_Partition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 5, 2, DefaultTiming)
	w.run(3 * time.Second)
	for _, a := range []NodeID{1, 2} {
		for _, b := range []NodeID{3, 4, 5} {
			w.cutBoth(a, b, true)
		}
	}
	w.run(3 * time.Second)
	for _, nd := range w.nodes {
		v := nd.core.View()
		want, side := []NodeID{3, 4, 5}, []NodeID{3, 4, 5}
		if nd.id <= 2 {
			want, side = nil, []NodeID{1, 2}
		}
		if !slices.Equal(v.Together, want) || v.Isolate != nil {
			t.Errorf("node %d: together %v isolate %v, want %v and nothing", nd.id, v.Together, v.Isolate, want)
		}
		for _, m := range v.Members {
			state := Lost
			if slices.Contains(side, m.Node) {
				state = Reachable
			}
			if m.State != state {
				t.Errorf("node %d calls node %d %v, want %v", nd.id, m.Node, m.State, state)
			}
		}
	}
}

func TestCore_GoodbyeIsNoLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 3, 2, DefaultTiming)
	w.run(3 * time.Second)
	nd := w.node(3)
	w.input(nd, func() { nd.core.Leave(w.local(nd)) })
	w.run(time.Second)
	if m, _ := memberOf(w.node(1).core, 3); !m.Leaving || m.State != Reachable {
		t.Errorf("a leaving node is %+v, want reachable and leaving", m)
	}
	w.input(nd, func() { nd.core.Goodbye(w.local(nd)) })
	w.run(time.Second)
	if !nd.gone {
		t.Fatal("the goodbye is not done after a second")
	}
	w.run(10 * time.Second)
	if got := w.changes(0, Lost, Cut); got != nil {
		t.Errorf("a node that said goodbye was accused: %q", got)
	}
	for _, id := range []NodeID{1, 2} {
		if s := w.node(id).core.State(3); s != Left {
			t.Errorf("node %d calls it %v, want left", id, s)
		}
	}
	w.boot(3)
	w.run(time.Second)
	w.wantAll(Reachable)
}

func memberOf(c *Core, id NodeID) (NodeView, bool) {
	v := c.View()
	return v.Member(id)
}

// A process that is killed is suspect at once by its reset streams, and lost only after the dead time. A new
// process is told as a restart.
func TestCore_ResetStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 3, 2, DefaultTiming)
	for _, nd := range w.nodes {
		nd.cfg.IgnoreStreams = false
		w.boot(nd.id)
	}
	up := func(a, b NodeID) {
		for l := range LinkID(2) {
			w.input(w.node(a), func() { w.node(a).core.StreamUp(b, l, w.local(w.node(a))) })
		}
	}
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b {
				up(a.id, b.id)
			}
		}
	}
	w.run(3 * time.Second)
	one := w.node(1)
	down := func(l LinkID) {
		w.input(one, func() { one.core.StreamDown(2, l, true, w.local(one)) })
	}
	down(0)
	if s := one.core.State(2); s != Reachable {
		t.Errorf("one of two streams reset: %v, want reachable", s)
	}
	// Reset by something between, while the process lives: heartbeats clear it.
	down(1)
	if s := one.core.State(2); s != Suspect {
		t.Errorf("all streams reset: %v, want suspect", s)
	}
	w.run(400 * time.Millisecond)
	if s := one.core.State(2); s != Reachable {
		t.Errorf("heartbeats came again: %v, want reachable", s)
	}
	up(1, 2)
	// The process is killed.
	w.kill(2)
	at := w.now
	down(0)
	down(1)
	if s := one.core.State(2); s != Suspect {
		t.Errorf("killed: %v, want suspect", s)
	}
	w.run(time.Second)
	if s := one.core.State(2); s != Suspect {
		t.Errorf("1 s after the kill: %v, want suspect", s)
	}
	w.boot(2)
	w.run(250 * time.Millisecond)
	if s := one.core.State(2); s != Reachable {
		t.Errorf("restarted: %v, want reachable", s)
	}
	restarts := 0
	for _, e := range w.log {
		if r, ok := e.event.(NodeRestarted); ok && e.at >= at && e.node == 1 {
			restarts++
			if r.Node != 2 || r.Old == r.New || r.Old == 0 {
				t.Errorf("restart %+v", r)
			}
		}
	}
	if restarts != 1 {
		t.Errorf("%d restarts told, want 1", restarts)
	}
	if got := w.changes(at, Lost); got != nil {
		t.Errorf("lost: %q", got)
	}
}

// Heartbeats without streams: the peer is cut, and all see it so.
func TestCore_NoStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 3, 1, DefaultTiming)
	for _, nd := range w.nodes {
		nd.cfg.IgnoreStreams = false
		w.boot(nd.id)
	}
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && a.id != 3 && b.id != 3 {
				w.input(a, func() { a.core.StreamUp(b.id, 0, w.local(a)) })
			}
		}
	}
	w.run(10 * time.Second)
	v := w.node(1).core.View()
	if m, _ := v.Member(3); m.State != Cut || m.Cause != NoStream {
		t.Errorf("node 3 is %v (%v), want cut for want of a stream", m.State, m.Cause)
	}
	if !slices.Equal(v.Together, []NodeID{1, 2}) || !slices.Equal(v.Isolate, []NodeID{3}) {
		t.Errorf("together %v isolate %v, want [1 2] and [3]", v.Together, v.Isolate)
	}
	if !w.node(3).core.View().Outside {
		t.Error("node 3 does not see that it is outside")
	}
	one := w.node(1)
	w.input(one, func() { one.core.StreamUp(3, 0, w.local(one)) })
	if s := one.core.State(3); s != Reachable {
		t.Errorf("with a stream it is %v, want reachable", s)
	}
}

// A change of the timing reaches the nodes at different moments. Nobody is accused on the way.
func TestCore_TimingChangesOnline(t *testing.T) {
	t.Parallel()
	slow := Timing{Interval: time.Second, Dead: 10 * time.Second}
	for name, tc := range map[string]struct{ from, to Timing }{
		"fast to slow": {FastTiming, slow}, "slow to fast": {slow, FastTiming}, "default to fast": {DefaultTiming, FastTiming},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				w := newWorld(t, seed, 3, 1, tc.from)
				w.loss[0] = 5
				w.run(30 * time.Second)
				began := w.now
				for _, nd := range w.nodes {
					w.after(time.Duration(w.rng.Int64N(int64(20*time.Second))), func() {
						w.input(nd, func() {
							cfg := nd.cfg
							cfg.Timing = tc.to
							if err := nd.core.SetConfig(cfg, w.local(nd)); err != nil {
								t.Error(err)
							}
						})
					})
				}
				w.run(60 * time.Second)
				if got := w.changes(began, Lost, Cut); got != nil {
					t.Errorf("seed %d: accused: %q", seed, got)
				}
				sent := w.sent
				w.run(10 * time.Second)
				if got, want := w.sent-sent, int(6*10*time.Second/tc.to.Interval); got < want*9/10 || got > want*11/10 {
					t.Errorf("seed %d: %d heartbeats in 10 s afterwards, want about %d", seed, got, want)
				}
			}
		})
	}
}

func TestCore_MembersChangeOnline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9, 3, 1, DefaultTiming)
	w.run(2 * time.Second)
	two := w.nodes[0].cfg.Members[:2]
	for _, nd := range w.nodes[:2] {
		cfg := nd.cfg
		cfg.Members = two
		if err := nd.core.SetConfig(cfg, w.local(nd)); err != nil {
			t.Fatal(err)
		}
		w.drain(nd)
	}
	w.run(5 * time.Second)
	v := w.node(1).core.View()
	if len(v.Members) != 1 || !slices.Equal(v.Together, []NodeID{1, 2}) {
		t.Errorf("after removal: %d peers, together %v", len(v.Members), v.Together)
	}
	if got := w.changes(0, Lost); slices.ContainsFunc(got, func(s string) bool { return s == "" }) {
		t.Errorf("lost: %q", got)
	}
	bad := w.nodes[0].cfg
	bad.Incarnation++
	if err := w.nodes[0].core.SetConfig(bad, w.now); err == nil {
		t.Error("a change of the incarnation was accepted")
	}
}

// The largest cluster: heartbeats stay in bounds and everybody learns all rows.
func TestCore_LargestCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, MaxMembers, 2, DefaultTiming)
	w.run(500 * time.Millisecond)
	w.wantAll(Reachable)
	if m := w.node(1).core.Matrix(); len(m) != MaxMembers {
		t.Errorf("%d rows, want %d", len(m), MaxMembers)
	}
}

// Rows of nodes that can't be heard come through others.
func TestCore_MatrixIsRelayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 3, 1, DefaultTiming)
	w.run(time.Second)
	w.cutBoth(1, 3, true)
	w.run(5 * time.Second)
	m := w.node(1).core.Matrix()
	if r := m.Row(3); r == nil || r.HearsOn(2) == 0 || r.HearsOn(1) != 0 {
		t.Errorf("row of node 3 at node 1 = %+v, want one that hears 2 and not 1", r)
	}
	if s := w.node(1).core.State(3); s != Cut {
		t.Errorf("node 3 is %v, want cut", s)
	}
}

func TestCore_SameSeedSameTrace(t *testing.T) {
	t.Parallel()
	trace := func() uint64 {
		w := newWorld(t, 99, 5, 2, FastTiming)
		w.loss[0], w.loss[1] = 20, 5
		for range 20 {
			w.pause(NodeID(w.rng.IntN(5)+1), 300*time.Millisecond)
			w.cutBetween(NodeID(w.rng.IntN(5)+1), NodeID(w.rng.IntN(5)+1), w.rng.IntN(2) == 0)
			w.run(time.Second)
		}
		return w.trace
	}
	if a, b := trace(), trace(); a != b {
		t.Errorf("two runs of one seed differ: %x and %x", a, b)
	}
}
