package simtest

import (
	"time"

	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
)

// usualFsync is how long a save takes at most on a good disk.
const usualFsync = 4 * time.Millisecond

// diskFails makes the saves of a machine fail, as a full, read-only or broken disk does: its node process ends at each, and the
// runner starts it again. Whether the save that failed is on the disk nobody knows.
func (w *world) diskFails() {
	m := w.any()
	m.diskFails = true
	d := w.between(100*time.Millisecond, 8*time.Second)
	w.tell("the disk of %s fails for %v", m.name, d)
	w.after(d, func() { m.diskFails = false })
}

// saveFailed ends a process whose save came to an error.
func (p *process) saveFailed() {
	m := p.m
	m.w.tell("%s cannot save", m.name)
	m.w.hit("save failed")
	m.kill(true)
	m.restart(m.w.between(500*time.Millisecond, 2*time.Second))
}

// A disk that has lost what its node had confirmed is a fault that raft survives once at a time, and while a majority of the
// others is there: so these faults wait for a healthy cluster, and the next fault waits until they are over.
const (
	diskPatience = 15 * time.Second // for a healthy cluster
	diskLimit    = 60 * time.Second // for the node to be a member again
)

// oldDisk restores the folder of a machine from a copy that is some seconds old.
func (w *world) oldDisk() {
	m := w.any()
	img := m.disk.Image()
	if img == nil || !w.run(w.now+w.between(time.Second, 8*time.Second)) || m.raft == 0 {
		return
	}
	w.loseDisk(m, "its disk is restored from an older copy", func() error { return m.disk.Restore(img) })
}

// wipedDisk empties the folder of a machine.
func (w *world) wipedDisk() {
	m := w.any()
	w.loseDisk(m, "its disk is wiped", func() error { return m.disk.Restore(nil) })
}

// damagedDisk spoils the folder of a machine, as a torn write does of which the checksums tell.
func (w *world) damagedDisk() {
	m := w.any()
	w.loseDisk(m, "its disk is damaged", func() error { return m.disk.Damage("torn write") })
}

// loseDisk does something to the disk of a machine while it has no power, and waits until it is a member again.
func (w *world) loseDisk(m *machine, why string, spoil func() error) {
	if len(w.machines) < 3 {
		return // one of two has the only copy
	}
	for end := w.now + diskPatience; w.unhealthy() != ""; {
		if w.now >= end || !w.run(w.now+100*time.Millisecond) {
			return
		}
	}
	w.hit("disk lost")
	m.powerOff(why)
	if err := spoil(); err != nil {
		w.violate("contract", "%s: %v", m.name, err)
		return
	}
	m.diskLost = true
	w.topology()
	if !w.run(w.now + w.between(2*time.Second, 6*time.Second)) {
		return
	}
	m.powerOn() // unless the cluster has fenced it, and so switched it on
	for end := w.now + diskLimit; m.diskLost; {
		if w.now >= end {
			w.violate("I9", "%s is no member again %v after %s", m.name, diskLimit, why)
		}
		if !w.run(w.now + 100*time.Millisecond) {
			return
		}
		if p := m.proc; p != nil && p.n.Fresh() && p.joined && w.unhealthy() == "" {
			m.diskLost = false // what was lost was not missed, or it is a new member
		}
	}
	w.tell("%s is a member again", m.name)
}

// unhealthy says what keeps the cluster from losing a disk; "" = nothing does.
func (w *world) unhealthy() string {
	for _, m := range w.machines {
		switch p := m.proc; {
		case p == nil:
			return m.name + " does not run"
		case m.diskFails || m.diskLost && !p.n.Fresh() || w.now < p.pausedUntil || p.leaving:
			return m.name + " is not well"
		case !p.n.Fresh():
			return m.name + " is not caught up"
		case len(p.n.Members().Voters) != len(w.machines):
			return m.name + " does not see all vote"
		}
	}
	for _, k := range w.cutPaths() {
		if p := w.net.paths[k]; p.cut+p.mute > 0 {
			return "a path is cut"
		}
	}
	return ""
}

// retire ends a process whose identity has come to its end: the cluster has seen more of it than it has.
func (p *process) retire(why string) {
	m := p.m
	if p.dead {
		return
	}
	m.w.tell("%s retires: %s", m.name, why)
	m.w.hit("identity retired")
	if err := p.log.Retire(why); err != nil {
		m.w.violate("contract", "%s: retire: %v", m.name, err)
	}
	m.kill(true)
	m.w.after(m.w.between(time.Second, 3*time.Second), m.replace)
}

// replace has an administrator do what a node without a valid log needs: it is removed, its folder emptied, and it joins again as
// a new one.
func (m *machine) replace() {
	w := m.w
	if !m.on || m.replacing {
		return
	}
	m.replacing = true
	w.hit("node replaced")
	old := m.raft
	gone := func(s *command.State) bool {
		mem := s.Member(m.name)
		return mem == nil || mem.RaftID != uint64(old)
	}
	w.ledger.fenced(m) // by the word of the administrator: nothing has been started there since its power came back
	w.operator.do("removal of "+m.name, func(*command.State) *command.Entry {
		return &command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: m.name}}
	}, func(p *process, _ node.Reply) {
		if !gone(p.n.State()) {
			m.replacing = false
			w.after(500*time.Millisecond, m.replace)
			return
		}
		m.disk = simdisk.New()
		w.join(m, nil)
	})
}
