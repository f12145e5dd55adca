package simtest

import (
	"testing"
	"time"
)

// twoNodes is how many seeds TestTwoNodes runs.
const twoNodes = 40

// TestTwoNodes runs clusters of two: of them one goes on when it has fenced the other, and no other way.
func TestTwoNodes(t *testing.T) {
	hits := map[string]int{}
	for seed := uint64(5001); seed <= 5000+twoNodes; seed++ {
		cfg := usual(seed)
		cfg.Nodes = 2
		r := simulate(t, cfg)
		fail(t, r, cfg)
		for k, v := range r.Hits {
			hits[k] += v
		}
	}
	for _, name := range []string{"this node goes on as the only voter", "fenced", "node left", "partition", "cold start"} {
		if hits[name] == 0 {
			t.Errorf("no seed had %q", name)
		}
	}
}

// scripted runs a cluster of two through a script for some seeds.
func scripted(t *testing.T, script func(w *world)) {
	t.Helper()
	for seed := uint64(1); seed <= 5; seed++ {
		cfg := Config{Seed: seed, Nodes: 2, script: script}
		fail(t, simulate(t, cfg), cfg)
	}
}

// want breaks the run when a condition does not hold.
func (w *world) want(ok bool, format string, args ...any) {
	if !ok {
		w.violate("script", format, args...)
	}
}

// runsOn reports whether everything runs on the machine, and on no other.
func (w *world) runsOn(m *machine) bool {
	for _, name := range exclusives {
		if h := w.ledger.holders(name); len(h) != 1 || h[0] != m.name {
			return false
		}
	}
	return true
}

// pair gives the leader and the other one.
func (w *world) pair() (leader, other *machine) {
	leader, other = w.machines[0], w.machines[1]
	if other == w.leader() {
		leader, other = other, leader
	}
	return leader, other
}

// dark switches a machine off and keeps the switch from bringing it back.
func (w *world) dark(m *machine) {
	m.powerOff("it loses power for good")
	m.noPower = true
	w.topology()
}

func (w *world) lit(m *machine) {
	m.noPower = false
	m.powerOn()
	w.topology()
}

// TestTwoNodes_Loss: either one is lost; the other fences it and runs everything, also after its process or its machine
// has started again alone.
func TestTwoNodes_Loss(t *testing.T) {
	for _, leaderDies := range []bool{true, false} {
		scripted(t, func(w *world) {
			dies, stays := w.pair()
			if !leaderDies {
				dies, stays = stays, dies
			}
			w.dark(dies)
			w.run(w.now + 15*time.Second)
			w.want(w.runsOn(stays), "%s does not run everything", stays.name)
			w.want(len(w.power.log) == 1, "%d fencings, want 1", len(w.power.log))
			stays.kill(true)
			stays.restart(100 * time.Millisecond)
			w.run(w.now + 15*time.Second)
			w.want(w.runsOn(stays), "%s does not run everything after its process started again", stays.name)
			stays.powerOff("the survivor loses power")
			stays.powerOn()
			w.run(w.now + 30*time.Second)
			w.want(w.runsOn(stays), "%s does not run everything after its machine started again", stays.name)
			w.want(len(w.power.log) == 1, "%d fencings, want 1", len(w.power.log))
			w.lit(dies)
		})
	}
}

// TestTwoNodes_BootAlone: one that starts alone waits, fences nobody and starts nothing.
func TestTwoNodes_BootAlone(t *testing.T) {
	scripted(t, func(w *world) {
		a, b := w.pair()
		w.dark(a)
		w.dark(b)
		w.run(w.now + time.Second)
		w.lit(b)
		w.run(w.now + 40*time.Second)
		for _, name := range exclusives {
			w.want(len(w.ledger.holders(name)) == 0, "%s runs", name)
		}
		w.want(len(w.power.log) == 0 && w.leader() == nil, "%d fencings, leader %v", len(w.power.log), w.leader())
		w.lit(a)
	})
}

// TestTwoNodes_Race: both live and are cut from each other: the leader wins the race, and the other is fenced.
func TestTwoNodes_Race(t *testing.T) {
	scripted(t, func(w *world) {
		leader, other := w.pair()
		w.cutFor(8*time.Second, both(leader, other))
		w.run(w.now + 6*time.Second)
		w.want(len(w.power.log) == 1 && w.power.log[0].target == other.name, "fencings %v, want that of %s", w.power.log, other.name)
		w.run(w.now + 2*time.Second)
		w.want(w.runsOn(leader), "%s does not run everything", leader.name)
	})
}

// TestTwoNodes_OldLog: the one that was fenced comes back, and the survivor dies before it has told what it did alone.
// The log of the one that came back is old, so it must wait.
func TestTwoNodes_OldLog(t *testing.T) {
	scripted(t, func(w *world) {
		a, b := w.pair()
		a.powerOff("it loses power")
		for a.proc == nil && w.run(w.now+time.Millisecond) {
		}
		w.want(len(w.power.log) == 1 && w.leader() == b, "%s has not taken over", b.name)
		w.run(w.now + w.between(0, 50*time.Millisecond))
		w.dark(b)
		w.run(w.now + 30*time.Second)
		if w.leader() != nil {
			// It may have learned everything in time; then it has fenced the other.
			w.want(len(w.power.log) == 2, "%s leads, but has fenced nobody", a.name)
		}
		w.lit(b)
	})
}

// TestTwoNodes_NoFencing: while the fence device refuses, nothing starts, and what runs here ends after the quorum
// timeout; when it works again, the survivor goes on.
func TestTwoNodes_NoFencing(t *testing.T) {
	scripted(t, func(w *world) {
		dies, stays := w.pair()
		w.power.refuse = true
		w.dark(dies)
		w.run(w.now + 25*time.Second)
		for _, name := range exclusives {
			w.want(len(w.ledger.holders(name)) == 0, "%s runs", name)
		}
		w.want(w.leader() == nil && w.hits["the other voter is not fenced"] > 1, "no leader and some tries are expected, not %v and %d", w.leader(), w.hits["the other voter is not fenced"])
		w.power.refuse = false
		w.run(w.now + 15*time.Second)
		w.want(w.runsOn(stays), "%s does not run everything", stays.name)
		w.lit(dies)
	})
}

// TestTwoNodes_LeaderProcess: the leader's process ends and starts again. The other one, which is the only one that can
// vote for a new leader, knows at once that the old one leads no more; nothing is stopped or fenced.
func TestTwoNodes_LeaderProcess(t *testing.T) {
	scripted(t, func(w *world) {
		leader, _ := w.pair()
		leader.kill(true)
		leader.restart(100 * time.Millisecond)
		w.run(w.now + 3*time.Second)
		w.want(w.leader() != nil, "nobody leads")
		w.want(len(w.power.log) == 0 && w.hits["own stop"] == 0, "%d fencings, %d stops without quorum", len(w.power.log), w.hits["own stop"])
	})
}

// TestTwoNodes_Recover: one that waits after it has started alone goes on by the word of the administrator.
func TestTwoNodes_Recover(t *testing.T) {
	scripted(t, func(w *world) {
		a, b := w.pair()
		recoverOn := func(m *machine, dead ...string) (remove bool, err error) {
			p := m.proc
			p.input(func() { remove, err = p.n.Recover(p.now(), p.wall(), dead, "uid:0") })
			return remove, err
		}
		_, err := recoverOn(a, b.name)
		w.want(err != nil, "a node with quorum was recovered")
		w.dark(a)
		w.dark(b)
		w.lit(b)
		w.run(w.now + 20*time.Second)
		for _, dead := range [][]string{nil, {"nobody"}, {b.name}} {
			_, err := recoverOn(b, dead...)
			w.want(err != nil, "recovered although %v are named as dead", dead)
		}
		w.run(w.now + time.Second)
		w.want(w.leader() == nil, "somebody leads")
		remove, err := recoverOn(b, a.name)
		w.want(err == nil && remove, "recover: %v, remove %v, want true", err, remove)
		w.ledger.fenced(a) // the word of the administrator
		w.run(w.now + 15*time.Second)
		w.want(w.runsOn(b), "%s does not run everything", b.name)
		w.lit(a)
	})
}
