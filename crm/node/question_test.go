package node

import (
	"testing"
	"time"

	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
)

// While the leader's decision takes its time, far longer than the dead time, its heartbeats go out as always, entries are
// applied, and only one question is out. A node that is lost meanwhile makes the answer worthless; the next one recovers.
func TestQuestion_NothingWaitsForIt(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", "")+service, "")
	h.run(30*time.Second, h.settled)
	l := h.leader()
	h.thinking = 20 * membership.DefaultTiming.Dead
	l.gap, l.beat = 0, h.now
	now, wall := h.clock()
	if _, err := l.n.Propose(now, wall, &command.Entry{Kind: command.KindAttributes, Actor: "uid:0",
		Attributes: []command.Attribute{{Node: l.name, Name: "x", Value: "1"}}}); err != nil {
		t.Fatal(err)
	}
	h.run(time.Second, func() bool { return !l.n.free() })
	number, index := l.n.question, l.n.State().Index
	victim := h.follower()
	victim.dead = true
	h.run(h.thinking/2, nil)
	if l.n.question != number {
		t.Fatalf("question %d is out, want still %d", l.n.question, number)
	}
	if l.n.Leader() == nil || l.gap > 2*membership.DefaultTiming.Interval {
		t.Errorf("the leader sent nothing for %v; it leads: %v", l.gap, l.n.Leader() != nil)
	}
	if l.n.State().Index == index || l.n.State().Member(victim.name).Online {
		t.Error("the loss of a node is not recorded while the decision is under way")
	}
	h.run(3*h.thinking, h.ended(victim.name))
	if l.gap > 2*membership.DefaultTiming.Interval || len(h.runs) != 1 {
		t.Errorf("fence runs %q, want one; longest silence of the leader %v", h.runs, l.gap)
	}
}

// The leader changes while its question is out: the answer counts for nothing, and the new leader decides for itself.
func TestQuestion_LeaderGone(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", "")+service, "")
	h.run(30*time.Second, h.settled)
	old := h.leader()
	h.thinking = 5 * time.Second
	now, wall := h.clock()
	if _, err := old.n.Propose(now, wall, &command.Entry{Kind: command.KindAttributes, Actor: "uid:0",
		Attributes: []command.Attribute{{Node: h.follower().name, Name: "terminate", Value: "true"}}}); err != nil {
		t.Fatal(err)
	}
	h.run(time.Second, func() bool { return !old.n.free() })
	old.dead = true
	h.run(30*time.Second, h.ended(old.name))
	for _, f := range h.history() {
		if f.ID.Term != h.leader().n.Role().Term {
			t.Errorf("fencing %+v is of another term than %d", f, h.leader().n.Role().Term)
		}
	}
}
