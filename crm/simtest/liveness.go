package simtest

import (
	"math/bits"
	"time"
)

// Limits of invariant I19.
const (
	coreSettles = 20 * time.Second // until a core counts: an election, a fencing, catching up
	writeLimit  = 5 * time.Second  // for a request that a node of the core has taken
)

// core is a majority of the voters that is fully connected, with processes that run and disks that work: whatever the
// others do, it has to get on.
type core struct {
	members uint          // bit per machine
	life    [8]int        // of the processes
	since   time.Duration // when it came to be
}

// sound reports whether the machine can belong to a core.
func (m *machine) sound() bool {
	p := m.proc
	return p != nil && m.w.now >= p.pausedUntil && !p.leaving && !m.diskFails && !m.diskLost && m.fsync == usualFsync
}

// clear reports whether packets pass between two machines on all links, both ways and without loss.
func (n *network) clear(a, b *machine) bool {
	for _, k := range both(a, b) {
		if p := n.path(k.from, k.to, k.link); p.cut+p.mute+p.loss > 0 {
			return false
		}
	}
	return true
}

// liveness checks I19. It is called once a second, so that it has seen every core that lasts for longer.
func (c *checker) liveness() {
	w := c.w
	best, lives := c.largestCore()
	if best != c.core.members || lives != c.core.life {
		c.core = core{members: best, life: lives, since: w.now}
	}
	if best == 0 || w.now < c.core.since+coreSettles {
		return
	}
	w.hit("core at work")
	for _, cl := range w.clients {
		if cl.waiting && best&(1<<cl.proc.m.index) != 0 && w.now > max(cl.asked, c.core.since+coreSettles)+writeLimit {
			w.violate("I19", "%s has waited for %v for an answer of %s, though a majority of the voters is well and connected for %v",
				cl.id, w.now-cl.asked, cl.proc.m.name, w.now-c.core.since)
		}
	}
}

// largestCore finds the core with the most members; 0 = there is none.
func (c *checker) largestCore() (best uint, lives [8]int) {
	w := c.w
	if w.net.loss+w.net.late > 0 || w.net.delay != usualDelay {
		return 0, lives
	}
	voters := w.voters()
	for set := uint(1); set < 1<<len(w.machines); set++ {
		votes := 0
		ok := true
		for i, m := range w.machines {
			if set&(1<<i) == 0 {
				continue
			}
			ok = ok && m.sound()
			for _, v := range voters {
				if v == m.raft {
					votes++
				}
			}
			for j, o := range w.machines[:i] {
				ok = ok && (set&(1<<j) == 0 || w.net.clear(m, o))
			}
		}
		if ok && 2*votes > len(voters) && bits.OnesCount(set) > bits.OnesCount(best) {
			best = set
		}
	}
	for i, m := range w.machines {
		if best&(1<<i) != 0 {
			lives[i] = m.lives
		}
	}
	return best, lives
}
