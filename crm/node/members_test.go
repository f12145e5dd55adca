package node

import (
	"testing"
	"time"
)

// The process of the leader is replaced by another one while a third node is off: the two that are there elect at
// once. A peer must not wait for a leader that is there only as a new process.
func TestLeaderCheck_LeaderRestarted(t *testing.T) {
	h := newHarness(t, 3, "", primitive("power", ""), "")
	h.run(30*time.Second, h.settled)
	h.follower().dead = true
	l := h.leader()
	h.run(5*time.Second, func() bool { return len(l.n.State().Pending) > 0 }) // they know that it is lost
	h.restart(l)
	h.run(2*time.Second, func() bool { return h.leader() != nil })
}
