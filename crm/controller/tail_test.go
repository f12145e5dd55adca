package controller

import (
	"testing"

	"github.com/quorate/quorate/crm/transition"
)

// promotion is "r is promoted on n1, and n2 is told of it", as a promotable clone with notify has it: the agent of
// Redis learns by the notification who is promoted.
func promotion() *transition.Graph {
	told := op(2, "r_notify_0 n2", 0)
	told.Priority = 1000000
	return graph(op(1, "r_promote_0 n1"), told)
}

// While the promotion runs, its agent changes the configuration. The new decision has nothing more to do with it, and
// all the same the notification goes out.
func TestLeader_NotifiesOfAnOvertakenTransition(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = promotion()
	b.expect("first", b.settle(), "r_promote_0 n1")
	b.graph = graph()
	b.change()
	b.expect("overtaken", b.settle())
	b.finish("r_promote_0", 0)
	b.expect("promoted", b.settle(), "r_notify_0 n2")
	b.finish("r_notify_0", 0)
	b.expect("at the end", b.settle())
	if len(b.l.tails) != 0 {
		t.Errorf("%d overtaken transitions are kept", len(b.l.tails))
	}
}

// The change comes together with the result.
func TestLeader_NotifiesWhenOvertakenAtItsEnd(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = promotion()
	b.expect("first", b.settle(), "r_promote_0 n1")
	b.graph = graph()
	b.finish("r_promote_0", 0)
	b.change()
	b.expect("promoted", b.settle(), "r_notify_0 n2")
}

// A notification to a node that is lost is not kept for when it is back.
func TestLeader_ForgetsNotificationsOfLostNodes(t *testing.T) {
	b := newBench(t, "n1", "n2")
	b.graph = promotion()
	b.expect("first", b.settle(), "r_promote_0 n1")
	b.graph = graph()
	b.l.SetView([]NodeView{{Name: "n1", Reachable: true, Incarnation: 1, Boot: "b"}, {Name: "n2", Lost: true}})
	b.expect("lost", b.settle())
	b.finish("r_promote_0", 0)
	b.expect("promoted", b.settle())
	b.change()
	b.settle()
	if len(b.l.tails) != 0 {
		t.Errorf("%d overtaken transitions are kept", len(b.l.tails))
	}
}
