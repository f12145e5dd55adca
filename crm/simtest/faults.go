package simtest

import (
	"time"

	"github.com/quorate/quorate/membership"
)

// fault begins something bad and plans its end.
type fault struct {
	name  string
	begin func(w *world)
}

// faultTable is in a fixed order, since the seed chooses by number.
var faultTable = []fault{
	{"partition", (*world).partition},
	{"isolate", (*world).isolate},
	{"one way", (*world).oneWay},
	{"link down", (*world).linkDown},
	{"datagrams lost", (*world).datagramsLost},
	{"loss", (*world).lossy},
	{"delay", (*world).delayed},
	{"crash", (*world).crash},
	{"crash leader", (*world).crashLeader},
	{"leave", (*world).leaveNode},
	{"power loss", (*world).powerLoss},
	{"power loss of leader", (*world).powerLossLeader},
	{"pause", (*world).pauseNode},
	{"slow disk", (*world).slowDisk},
	{"service fails", (*world).serviceFails},
	{"start fails", (*world).startFails},
	{"stop fails", (*world).stopFails},
	{"slow agents", (*world).slowAgents},
	{"switch refuses", (*world).switchRefuses},
	{"executor crashes", func(w *world) { w.power.crash = true }},
	{"standby", (*world).standbyNode},
	{"ban", (*world).banResource},
	{"cleanup", func(w *world) { w.operator.cleanup() }},
	{"bridge", (*world).bridge},
	{"ring", (*world).ring},
	{"flapping link", (*world).flappingLink},
	{"clock jumps", (*world).clockJumps},
	{"disk fails", (*world).diskFails},
	{"old disk", (*world).oldDisk},
	{"wiped disk", (*world).wipedDisk},
	{"damaged disk", (*world).damagedDisk},
}

// peace changes the cluster without any fault.
func (w *world) peace(until time.Duration) {
	for w.err == nil && w.now < until {
		switch w.rng.IntN(4) {
		case 0:
			w.standbyNode()
		case 1:
			w.banResource()
		case 2:
			w.serviceFails()
		case 3:
			w.leaveNode()
		}
		w.run(w.now + w.between(2*time.Second, 6*time.Second))
	}
}

// heal ends all faults: cuts, slow disks, refusals; machines and processes come back, and the operator cleans up.
func (w *world) heal() {
	w.tell("all faults end")
	for _, k := range w.cutPaths() {
		for w.net.paths[k].cut > 0 {
			w.net.block(k.from, k.to, k.link, -1)
		}
		w.net.paths[k].loss, w.net.paths[k].mute = 0, 0
	}
	w.net.loss, w.net.dup, w.net.late = 0, 0, 0
	w.net.delay, w.net.jitter = usualDelay, usualJitter
	w.power.refuse, w.power.crash, w.power.slow = false, false, 0
	w.slowest, w.slowUntil = 0, w.now
	for _, m := range w.machines {
		m.fsync, m.diskFails = usualFsync, false
		for _, name := range sortedServices(m) {
			m.services[name].noStart, m.services[name].noStop = false, false
		}
		m.powerOn()
		if m.on && m.proc == nil {
			m.restart(100 * time.Millisecond)
		}
		w.operator.standby(m.name, false)
	}
	for _, r := range append([]string{"site"}, exclusives...) {
		w.operator.ban(r, "", false)
	}
	w.topology()
	w.operator.later(3*time.Second, w.operator.cleanup)
}

func (w *world) cutPaths() []pathKey {
	var out []pathKey
	for _, a := range w.machines {
		for _, b := range w.machines {
			for l := range membership.LinkID(links) {
				if _, ok := w.net.paths[pathKey{a.id, b.id, l}]; ok {
					out = append(out, pathKey{a.id, b.id, l})
				}
			}
		}
	}
	return out
}

func (w *world) any() *machine { return w.machines[w.rng.IntN(len(w.machines))] }

// cutFor cuts paths for a while. What heal ended already is not ended twice.
func (w *world) cutFor(d time.Duration, paths []pathKey) {
	for _, k := range paths {
		w.net.block(k.from, k.to, k.link, 1)
	}
	w.after(d, func() {
		for _, k := range paths {
			if w.net.paths[k].cut > 0 {
				w.net.block(k.from, k.to, k.link, -1)
			}
		}
		w.tell("a cut of %d paths ends", len(paths))
		w.topology()
	})
}

// both lists the paths between two machines in both directions on all links.
func both(a, b *machine) (out []pathKey) {
	for l := range membership.LinkID(links) {
		out = append(out, pathKey{a.id, b.id, l}, pathKey{b.id, a.id, l})
	}
	return out
}

func (w *world) partition() {
	side := make([]bool, len(w.machines))
	for i := range side {
		side[i] = w.chance(50)
	}
	var cut []pathKey
	for i, a := range w.machines {
		for j, b := range w.machines[:i] {
			if side[i] != side[j] {
				cut = append(cut, both(a, b)...)
			}
		}
	}
	d := w.between(time.Second, 20*time.Second)
	w.tell("partition %v for %v", side, d)
	w.cutFor(d, cut)
}

func (w *world) isolate() {
	a := w.any()
	var cut []pathKey
	for _, b := range w.machines {
		if b != a {
			cut = append(cut, both(a, b)...)
		}
	}
	d := w.between(500*time.Millisecond, 20*time.Second)
	w.tell("%s isolated for %v", a.name, d)
	w.cutFor(d, cut)
}

func (w *world) oneWay() {
	a, b := w.any(), w.any()
	if a == b {
		return
	}
	var cut []pathKey
	for l := range membership.LinkID(links) {
		cut = append(cut, pathKey{a.id, b.id, l})
	}
	d := w.between(500*time.Millisecond, 15*time.Second)
	w.tell("nothing passes from %s to %s for %v", a.name, b.name, d)
	w.cutFor(d, cut)
}

// linkOf are the paths of one link between a machine and all others, both ways.
func (w *world) linkOf(a *machine, l membership.LinkID) (paths []pathKey) {
	for _, b := range w.machines {
		if b != a {
			paths = append(paths, pathKey{a.id, b.id, l}, pathKey{b.id, a.id, l})
		}
	}
	return paths
}

func (w *world) linkDown() {
	l := membership.LinkID(w.rng.IntN(links))
	a := w.any()
	cut := w.linkOf(a, l)
	d := w.between(time.Second, 10*time.Second)
	w.tell("link %s of %s down for %v", linkNames[l], a.name, d)
	w.cutFor(d, cut)
}

// bridge cuts the machines into two halves that do not see each other, but for one machine that sees all.
func (w *world) bridge() {
	at := w.rng.IntN(len(w.machines))
	var cut []pathKey
	for i, a := range w.machines {
		for j, b := range w.machines[:i] {
			if i != at && j != at && i%2 != j%2 {
				cut = append(cut, both(a, b)...)
			}
		}
	}
	d := w.between(time.Second, 15*time.Second)
	w.tell("only %s sees both halves for %v", w.machines[at].name, d)
	w.cutFor(d, cut)
}

// ring lets each machine see a majority, and no two of them the same one: those that stand far apart in a ring do not see
// each other. Three machines have no such ring; of them two do not see each other.
func (w *world) ring() {
	n := len(w.machines)
	var cut []pathKey
	for i, a := range w.machines {
		if b := w.machines[(i+2)%n]; n > 3 || n == 3 && i == 0 {
			cut = append(cut, both(a, b)...)
		}
	}
	d := w.between(time.Second, 15*time.Second)
	w.tell("a ring of majorities for %v", d)
	w.cutFor(d, cut)
}

// flappingLink takes one link of a machine away and gives it back some times a second.
func (w *world) flappingLink() {
	l := membership.LinkID(w.rng.IntN(links))
	a := w.any()
	cut := w.linkOf(a, l)
	period := w.between(200*time.Millisecond, time.Second)
	times := 2 + w.rng.IntN(10)
	w.tell("link %s of %s flaps %d times, every %v", linkNames[l], a.name, times, period)
	for i := range times {
		w.after(time.Duration(i)*period, func() { w.cutFor(period/2, cut) })
	}
}

// clockJumps sets the wall clock of a machine, once or several times in a row. Nothing but what the configuration says of
// times of the day may depend on it.
func (w *world) clockJumps() {
	m := w.any()
	jump := func() {
		by := w.between(-2*time.Second, 2*time.Second)
		switch w.rng.IntN(3) {
		case 0:
			by = w.between(-time.Hour, time.Hour)
		case 1:
			by = w.between(-10*365*24*time.Hour, 10*365*24*time.Hour)
		}
		m.clock += by
		w.tell("the clock of %s jumps by %v", m.name, by)
	}
	for i := range 1 + w.rng.IntN(2)*w.rng.IntN(20) {
		w.after(time.Duration(i)*w.between(50*time.Millisecond, 300*time.Millisecond), jump)
	}
	w.after(w.between(5*time.Second, 20*time.Second), func() { m.clock = 0 })
}

// datagramsLost drops the heartbeats from one machine to another, or to all, while streams pass.
func (w *world) datagramsLost() {
	a, b := w.any(), w.any()
	var mute []pathKey
	for _, m := range w.machines {
		if m != a && (m == b || a == b) {
			for l := range membership.LinkID(links) {
				mute = append(mute, pathKey{a.id, m.id, l})
			}
		}
	}
	d := w.between(500*time.Millisecond, 10*time.Second)
	w.tell("heartbeats of %s are lost on %d paths for %v", a.name, len(mute), d)
	for _, k := range mute {
		w.net.path(k.from, k.to, k.link).mute++
	}
	w.after(d, func() {
		for _, k := range mute {
			p := w.net.path(k.from, k.to, k.link)
			p.mute = max(p.mute-1, 0)
		}
	})
}

func (w *world) lossy() {
	loss, dup := w.rng.IntN(30), w.rng.IntN(20)
	d := w.between(time.Second, 10*time.Second)
	w.tell("loss of %d %%, duplicates of %d %% for %v", loss, dup, d)
	w.net.loss, w.net.dup = loss, dup
	w.after(d, func() { w.net.loss, w.net.dup = 0, 0 })
}

func (w *world) delayed() {
	w.net.delay, w.net.jitter = w.between(time.Millisecond, 30*time.Millisecond), w.between(0, 100*time.Millisecond)
	w.net.late, w.net.lateBy = w.rng.IntN(10), w.between(0, 2*time.Second)
	d := w.between(time.Second, 10*time.Second)
	w.tell("delay of %v to %v, %d %% up to %v later, for %v", w.net.delay, w.net.delay+w.net.jitter, w.net.late, w.net.lateBy, d)
	w.after(d, func() {
		w.net.delay, w.net.jitter, w.net.late = usualDelay, usualJitter, 0
	})
}

// restart starts the node process after a while, as the runner does.
func (m *machine) restart(d time.Duration) {
	boot := m.boot
	m.w.after(d, func() {
		if m.on && m.boot == boot && m.proc == nil {
			m.start()
			m.w.topology()
		}
	})
}

func (w *world) crashOf(m *machine) {
	if m.proc == nil {
		return
	}
	m.kill(true)
	d := w.between(20*time.Millisecond, 500*time.Millisecond)
	if w.chance(20) {
		d = w.between(time.Second, 6*time.Second)
	}
	m.restart(d)
}

func (w *world) crash() { w.crashOf(w.any()) }

// leaveNode stops a node process in order; it is started again once it has left.
func (w *world) leaveNode() {
	m := w.any()
	p := m.proc
	for _, o := range w.machines {
		if p == nil || o.proc == nil || o.proc.leaving {
			return // the last ones cannot leave in order: there must be a majority to let them go
		}
	}
	w.tell("%s is asked to leave", m.name)
	p.leaving = true
	p.input(func() { p.n.Leave(p.now(), p.wall()) })
}

func (w *world) leader() *machine {
	for _, m := range w.machines {
		if m.proc != nil && m.proc.n.Role().Acting {
			return m
		}
	}
	return nil
}

func (w *world) crashLeader() {
	if m := w.leader(); m != nil {
		w.crashOf(m)
	}
}

func (w *world) powerLossOf(m *machine) {
	if !m.on {
		return
	}
	m.powerOff("it loses power")
	boot := m.boot
	w.after(w.between(2*time.Second, 20*time.Second), func() {
		if m.boot == boot {
			m.powerOn()
			w.topology()
		}
	})
}

func (w *world) powerLoss() { w.powerLossOf(w.any()) }

func (w *world) powerLossLeader() {
	if m := w.leader(); m != nil {
		w.powerLossOf(m)
	}
}

func (w *world) pauseNode() {
	m := w.any()
	if m.proc == nil || w.now < m.proc.pausedUntil {
		return
	}
	d := w.between(50*time.Millisecond, 1200*time.Millisecond)
	if w.chance(30) {
		d = w.between(time.Second, 12*time.Second)
	}
	w.tell("%s paused for %v", m.name, d)
	m.proc.pause(d)
}

func (w *world) slowDisk() {
	m := w.any()
	m.fsync = w.between(50*time.Millisecond, 900*time.Millisecond)
	if w.chance(20) {
		m.fsync = w.between(2*time.Second, 10*time.Second) // it hangs
	}
	w.tell("disk of %s takes up to %v", m.name, m.fsync)
	w.after(w.between(time.Second, 8*time.Second), func() { m.fsync = usualFsync })
}

func (w *world) serviceFails() {
	m := w.any()
	for _, name := range sortedServices(m) {
		if s := m.services[name]; s.active && !s.broken && w.chance(40) {
			s.broken = true
			w.tell("%s on %s fails", name, m.name)
			return
		}
	}
}

func (w *world) startFails() {
	m := w.any()
	m.service(exclusives[w.rng.IntN(len(exclusives))]).noStart = true
}

func (w *world) stopFails() {
	m := w.any()
	m.service(exclusives[w.rng.IntN(len(exclusives))]).noStop = true
}

// maxSlow is the longest start or stop.
const maxSlow = 6 * time.Second

// slowAgents makes starts and stops take seconds, so that other things happen in the middle of them.
func (w *world) slowAgents() {
	w.slowest = w.between(time.Second, maxSlow)
	w.tell("agents take up to %v", w.slowest)
	w.after(w.between(time.Second, 8*time.Second), func() { w.slowest, w.slowUntil = 0, w.now })
}

func (w *world) switchRefuses() {
	w.power.refuse = w.chance(50)
	w.power.slow = w.between(0, 3*time.Second)
	d := w.between(time.Second, 8*time.Second)
	w.tell("switch refuses %v, takes %v more, for %v", w.power.refuse, w.power.slow, d)
	w.after(d, func() { w.power.refuse, w.power.slow = false, 0 })
}

func (w *world) standbyNode() {
	m := w.any()
	w.operator.standby(m.name, true)
	w.operator.later(w.between(time.Second, 10*time.Second), func() { w.operator.standby(m.name, false) })
}

func (w *world) banResource() {
	r := exclusives[w.rng.IntN(len(exclusives))]
	if r == "web" {
		r = "site"
	}
	w.operator.ban(r, w.any().name, true)
	w.operator.later(w.between(time.Second, 10*time.Second), func() { w.operator.ban(r, "", false) })
}
