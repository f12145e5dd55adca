package node

import (
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership/quorum"
)

// Of three nodes one is left: it waits, says for whom, and goes on only by the word of an administrator who names all
// that are away, and nobody else.
func TestRecover(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	p := h.leader()
	now, wall := h.clock()
	if _, err := p.n.Recover(now, wall, []string{"n2"}, "uid:0"); err == nil || p.n.Waits() != "" || !p.n.Quorate() {
		t.Errorf("with quorum: Recover() = %v, Waits() = %q, Quorate() = %v", err, p.n.Waits(), p.n.Quorate())
	}
	var away []string
	for _, o := range h.nodes {
		if o != p {
			o.dead = true
			away = append(away, o.name)
		}
	}
	h.run(10*time.Second, func() bool { return p.n.Waits() != "" && p.n.votes.decision.Reason == quorum.Minority })
	if text := p.n.Waits(); !strings.Contains(text, strings.Join(away, " ")) || !strings.Contains(text, "crm cluster recover") {
		t.Errorf("Waits() = %q, want the names of those that are away and what can be done", text)
	}
	for _, c := range []struct {
		dead []string
		want string
	}{
		{nil, "is away, too"},
		{away[:1], "is away, too"},
		{append([]string{"nobody"}, away...), "no node is called"},
		{append([]string{p.name}, away...), "is this node"},
	} {
		now, wall = h.clock()
		if _, err := p.n.Recover(now, wall, c.dead, "uid:0"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Recover(%v) = %v, want an error with %q", c.dead, err, c.want)
		}
	}
	now, wall = h.clock()
	remove, err := p.n.Recover(now, wall, away, "uid:0")
	if err != nil || !remove {
		t.Fatalf("Recover(%v) = %v, %v, want that two of three must be removed", away, remove, err)
	}
	h.run(10*time.Second, func() bool { return p.n.Leader() != nil && len(p.n.Members().Voters) == 1 })
}

// A member that raft does not know yet becomes a learner, and while a change is under way there is no other.
func TestVotes_Change(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	v := &h.leader().n.votes
	if c, reason := v.change(); c.ID != 0 {
		t.Errorf("at rest: change() = %v (%s), want none", c, reason)
	}
	conf := v.conf
	v.conf.Voters = conf.Voters[:2]
	if c, _ := v.change(); c != (replica.Change{Kind: replica.AddLearner, ID: 3}) {
		t.Errorf("without n3: change() = %v, want it as a learner", c)
	}
	v.conf.Outgoing = conf.Voters
	if c, _ := v.change(); c.ID != 0 {
		t.Errorf("with a change under way: change() = %v, want none", c)
	}
}
