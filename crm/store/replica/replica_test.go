package replica_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
	"github.com/quorate/quorate/crm/store/replica"
)

// seeds gives the seeds of a chaos test; QUORATE_SEED picks one.
func seeds(t *testing.T, n uint64) []uint64 {
	if s := os.Getenv("QUORATE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED: %v", err)
		}
		return []uint64{v}
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i) + 1
	}
	return out
}

func TestChaos(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		acked, lost, snaps, terms := 0, 0, 0, 0
		for _, seed := range seeds(t, 60) {
			t.Run(fmt.Sprintf("nodes=%d/seed=%d", nodes, seed), func(t *testing.T) {
				c := chaos(t, seed, nodes, time.Minute)
				acked += len(c.acked)
				lost += c.lost
				snaps += c.snaps
				terms += len(c.acting)
			})
		}
		t.Logf("%d nodes: %d requests acknowledged, %d dropped, %d snapshots sent, %d terms with a leader", nodes, acked, lost, snaps, terms)
		if acked < 1000 || snaps == 0 || terms < 100 {
			t.Errorf("the faults leave too little to check")
		}
	}
}

// TestSameSeedSameTrace runs each seed twice and compares the hash of all events.
func TestSameSeedSameTrace(t *testing.T) {
	traces := map[uint64]bool{}
	for _, seed := range seeds(t, 6) {
		var trace [2]uint64
		var acks [2]string
		for i := range trace {
			t.Run(fmt.Sprintf("seed=%d/run=%d", seed, i), func(t *testing.T) {
				c := chaos(t, seed, 3+2*int(seed%2), 30*time.Second)
				trace[i], acks[i] = c.trace, c.sortedAcks()
			})
		}
		if trace[0] != trace[1] || acks[0] != acks[1] {
			t.Errorf("seed %d: traces %x and %x, want equal", seed, trace[0], trace[1])
		}
		traces[trace[0]] = true
	}
	if len(traces) < 2 && os.Getenv("QUORATE_SEED") == "" {
		t.Error("different seeds give the same trace; the trace says nothing")
	}
}

// TestLeaderLost: the leader dies and membership tells the others; one of them leads after two rounds of messages (PreVote
// and vote), and acts after the third (its first entry).
func TestLeaderLost(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		for _, seed := range seeds(t, 10) {
			t.Run(fmt.Sprintf("nodes=%d/seed=%d", nodes, seed), func(t *testing.T) {
				cryptotest.SetGlobalRandom(t, seed)
				c := newCluster(t, seed, nil)
				c.grow(nodes)
				c.run(time.Second)
				old := c.leader()
				c.crash(old)
				c.run(100 * time.Millisecond)
				at := c.now
				for _, n := range c.nodes {
					if n.up() {
						c.leaderLost(n, old.id)
					}
				}
				// One way takes at most 1.5 delays, a save 1.5 disk times.
				round := 3 * c.delay
				save := 3 * c.disk / 2
				var leader *node
				c.wait("a new leader", 2*round+2*save, func() bool {
					for _, n := range c.nodes {
						if n.up() && n.rep.Role().State == replica.Leader {
							leader = n
							return true
						}
					}
					return false
				})
				elected := c.now.Sub(at)
				c.wait("it acts", round+2*save, func() bool { return c.leader() == leader })
				t.Logf("elected after %v, acting after %v", elected, c.now.Sub(at))
				if leader.id != 2 {
					t.Errorf("node %d leads, want the lowest of equals, 2", leader.id)
				}
				c.mustPropose(leader, "after the loss")
			})
		}
	}
}

// TestLeaderLost_Staggered: the best placed by what is known is not there any more; the next one takes its turn.
func TestLeaderLost_Staggered(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	c := newCluster(t, 5, nil)
	c.grow(5)
	c.run(time.Second)
	c.crash(c.node(1))
	c.crash(c.node(2))
	at := c.now
	for _, n := range c.nodes {
		if n.up() { // they hold node 2 for alive, with a higher index than it has
			n.rep.LeaderLost(c.now, 1, []replica.Voter{{ID: 2, Applied: 1 << 40}, {ID: 3, Applied: n.applied}, {ID: 4, Applied: n.applied}, {ID: 5, Applied: n.applied}})
			c.pump(n)
		}
	}
	c.wait("node 3 leads", 100*time.Millisecond, func() bool { return c.leader() == c.node(3) })
	if d := c.now.Sub(at); d < 50*time.Millisecond {
		t.Errorf("node 3 led after %v, before its turn at 50ms", d)
	}
	// Told by mistake that the leader is lost, nobody takes the lead from one that a majority hears.
	term := c.node(3).rep.Role().Term
	c.leaderLost(c.node(4), 3)
	c.run(3 * time.Second)
	if r := c.node(3).rep.Role(); !r.Acting || r.Term != term {
		t.Errorf("after a false alarm on one node: %+v, want the leader of term %d unchanged", r, term)
	}
}

// TestPreVote: a node that was cut off does not disturb the others when it is back.
func TestPreVote(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	c := newCluster(t, 3, nil)
	c.grow(3)
	term := c.leader().rep.Role().Term
	for _, n := range c.nodes[:2] {
		c.cut[[2]id{n.id, 3}], c.cut[[2]id{3, n.id}] = true, true
	}
	c.run(time.Minute)
	clear(c.cut)
	c.run(time.Minute)
	if r := c.node(3).rep.Role(); r.Term != term || r.Leader != 1 {
		t.Errorf("after a minute alone and back: %+v, want term %d and leader 1", r, term)
	}
}

// TestCheckQuorum: a leader that is cut off stops acting on its own, and does not answer reads.
func TestCheckQuorum(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	c := newCluster(t, 3, nil)
	c.grow(3)
	l := c.leader()
	for _, n := range c.nodes[1:] {
		c.cut[[2]id{n.id, 1}], c.cut[[2]id{1, n.id}] = true, true
	}
	if _, err := c.read(l); err != nil {
		t.Fatal(err)
	}
	w, err := c.propose(l, "alone")
	if err != nil {
		t.Fatal(err)
	}
	c.run(11 * time.Second)
	if r := l.rep.Role(); r.Acting || r.Leader != 0 {
		t.Errorf("cut off for 11 s: %+v, want no leader", r)
	}
	if len(l.reads) != 0 || c.lost != 2 || c.acked[w] != 0 {
		t.Errorf("%d reads wait, %d requests dropped, write acknowledged at %d; want 0, 2, 0", len(l.reads), c.lost, c.acked[w])
	}
	if _, err := c.propose(l, "x"); !errors.Is(err, replica.ErrNoLeader) {
		t.Errorf("Propose() = %v, want ErrNoLeader", err)
	}
	if _, err := c.read(l); !errors.Is(err, replica.ErrNoLeader) {
		t.Errorf("Read() = %v, want ErrNoLeader", err)
	}
}

// TestWiped: a node that lost its disk, or got an older copy, is refused under its old raft id: by a peer which
// has seen more from it, also after that peer's own restart, and by itself when the leader relies on what it lost.
func TestWiped(t *testing.T) {
	start := func(t *testing.T) (*cluster, *simdisk.Image) {
		cryptotest.SetGlobalRandom(t, 8)
		c := newCluster(t, 8, nil)
		c.grow(3)
		old := c.node(3).disk.Image()
		for i := range 20 {
			c.mustPropose(c.leader(), fmt.Sprint("write ", i))
		}
		c.wait("all have it", time.Second, c.settled)
		c.gossip()
		c.crash(c.node(3))
		return c, old
	}
	wipe := func(t *testing.T, c *cluster) {
		n := c.node(3)
		n.disk.Restore(nil)
		l, err := n.disk.Create(raftlog.Identity{ClusterID: "c", NodeID: 3, RaftID: 3}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	refused := func(t *testing.T, c *cluster) {
		n := c.node(3)
		c.start(n)
		var stale *replica.StalePeerError
		if !errors.As(n.refused, &stale) || stale.Peer != 3 {
			t.Fatalf("refused = %v, want a stale peer", n.refused)
		}
		// The leader dies; the other one must not win with a vote of the refused node.
		c.crash(c.node(1))
		c.leaderLost(c.node(2), 1)
		n.rep.Campaign(c.now)
		c.pump(n)
		c.run(30 * time.Second)
		if l := c.leader(); l != nil {
			t.Errorf("node %d leads with the vote of a node that forgot its log", l.id)
		}
		c.start(c.node(1))
		c.run(30 * time.Second)
		if l := c.leader(); l == nil || l.id == 3 {
			t.Errorf("the two good nodes found no leader")
		} else if n.applied > 23 {
			t.Errorf("the refused node was given the log")
		}
	}
	t.Run("wiped", func(t *testing.T) {
		c, _ := start(t)
		wipe(t, c)
		refused(t, c)
	})
	t.Run("older copy", func(t *testing.T) {
		c, old := start(t)
		c.node(3).disk.Restore(old)
		refused(t, c)
	})
	t.Run("older copy, observer restarted", func(t *testing.T) {
		c, old := start(t)
		c.mustPropose(c.leader(), "one more save, with the marks")
		c.crash(c.node(1))
		c.crash(c.node(2))
		c.start(c.node(1))
		c.start(c.node(2))
		c.leaderLost(c.node(2), 1)
		c.wait("a leader", 20*time.Second, func() bool { return c.leader() != nil })
		c.node(3).disk.Restore(old)
		c.start(c.node(3))
		var stale *replica.StalePeerError
		if !errors.As(c.node(3).refused, &stale) {
			t.Errorf("refused = %v, want a stale peer", c.node(3).refused)
		}
	})
	t.Run("not met, told by the leader's heartbeat", func(t *testing.T) {
		c, old := start(t)
		n := c.node(3)
		n.disk.Restore(old)
		for _, p := range c.nodes[:2] { // so that start finds nobody to show itself to
			c.cut[[2]id{p.id, 3}] = true
		}
		c.start(n)
		clear(c.cut)
		c.run(2 * time.Second)
		var lost *replica.LostLogError
		if !errors.As(n.refused, &lost) || n.up() {
			t.Fatalf("refused = %v, want that the node finds that it lost its log", n.refused)
		}
		l, err := n.disk.Open()
		if err != nil || !l.Identity().Retired {
			t.Fatalf("Open() = %v, want a retired identity", err)
		}
		if _, err := replica.New(replica.Config{ID: 3, Incarnation: 9, Storage: l, Retired: l.Identity().Retired}); !errors.Is(err, replica.ErrRetired) {
			t.Errorf("New() = %v, want ErrRetired", err)
		}
	})
	t.Run("joins again under a new raft id", func(t *testing.T) {
		c, _ := start(t)
		c.change(c.leader(), replica.Change{Kind: replica.Remove, ID: 3})
		c.nodes = c.nodes[:2]
		c.add(33, false)
		c.change(c.leader(), replica.Change{Kind: replica.AddLearner, ID: 33})
		c.change(c.leader(), replica.Change{Kind: replica.AddVoter, ID: 33})
		c.wait("it has all", time.Second, c.settled)
	})
}

func TestObservePeer(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.add(1, true)
	for _, tc := range []struct {
		confirms   bool // with an answer to an append, else it shows what it has
		term, last uint64
		ok         bool
	}{
		{false, 3, 10, true}, {false, 3, 9, true}, // the end may be of an earlier leader
		{true, 3, 10, true}, {false, 3, 10, true}, {false, 3, 9, false}, {false, 2, 50, false}, {false, 0, 0, false},
		{false, 3, 12, true}, {false, 4, 5, true}, {false, 3, 50, false}, {false, 4, 4, true}, {true, 4, 5, true}, {false, 4, 4, false}, {false, 4, 5, true}, {false, 9, 3, true},
	} {
		if tc.confirms {
			m := &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(7)), To: new(uint64(1)), Term: &tc.term, Index: &tc.last}
			if err := n.rep.Step(c.now, m); err != nil {
				t.Fatal(err)
			}
			continue
		}
		err := n.rep.ObservePeer(7, tc.term, tc.last)
		if (err == nil) != tc.ok {
			t.Errorf("ObservePeer(7, %d, %d) = %v, want accepted: %v", tc.term, tc.last, err, tc.ok)
		}
		m := &raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(uint64(7)), To: new(uint64(1)), Term: new(uint64(1))}
		if err := n.rep.Step(c.now, m); errors.Is(err, replica.ErrPeerRefused) == tc.ok {
			t.Errorf("Step() after term %d, index %d = %v", tc.term, tc.last, err)
		}
	}
	// What was applied was committed, and is never lost in any term.
	n.rep.ObserveApplied(7, 20)
	if err := n.rep.ObservePeer(7, 12, 19); err == nil {
		t.Error("ObservePeer() accepts a log that is shorter than what its owner had applied")
	}
	if err := n.rep.ObservePeer(7, 12, 20); err != nil {
		t.Errorf("ObservePeer() = %v, want accepted", err)
	}
}

// TestPause: a process that was stopped for minutes does not take that for a silence of the others.
func TestPause(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(3)
	c.wait("settled", time.Second, c.settled)
	l, f := c.leader(), c.node(2)
	l.rep.Tick(c.now.Add(5 * time.Minute))
	f.rep.Tick(c.now.Add(5 * time.Minute))
	if r := l.rep.Role(); !r.Acting {
		t.Errorf("leader after its own pause: %+v, want acting", r)
	}
	// At most the election timeout and one tick count; raft may ask for a PreVote then, but its term stays.
	if r := f.rep.Role(); r.Term != l.rep.Role().Term {
		t.Errorf("follower after its own pause: %+v, want term %d", r, l.rep.Role().Term)
	}
}

// TestIdle: an idle cluster saves nothing, and the simulator skips its quiet times.
func TestIdle(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	for _, nodes := range []int{3, 5} {
		c := newCluster(t, 4, nil)
		c.grow(nodes)
		c.wait("settled", time.Second, c.settled)
		c.run(time.Second)
		saves, msgs, term := c.saves, c.msgs, c.leader().rep.Role().Term
		begin := time.Now()
		c.run(time.Hour)
		wall := time.Since(begin)
		t.Logf("%d nodes: one idle hour took %v (%.1f virtual hours a second), %d messages", nodes, wall, 1/wall.Seconds(), c.msgs-msgs)
		if c.saves != saves {
			t.Errorf("%d saves in an idle hour, want none", c.saves-saves)
		}
		if limit := 2*2*3600*(nodes-1) + 10; c.msgs-msgs > limit {
			t.Errorf("%d messages in an idle hour, want at most two heartbeats with answers a second and peer: %d", c.msgs-msgs, limit)
		}
		if c.leader().rep.Role().Term != term {
			t.Errorf("the leader changed on an idle cluster")
		}
	}
}

// TestBatching: what comes up during a save is saved by the next one, all at once.
func TestBatching(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(3)
	c.wait("settled", time.Second, c.settled)
	saves := c.saves
	begin := c.now
	const writes = 2000
	for i := range writes {
		for _, n := range c.nodes {
			if n.up() && i%3 == int(n.id)-1 {
				c.propose(n, fmt.Sprint("write ", i))
			}
		}
		c.run(20 * time.Microsecond)
	}
	before := len(c.acked)
	c.wait("all are acknowledged", time.Second, func() bool { return len(c.acked) >= before && c.lost == 0 && c.settled() && c.maxAck >= writes })
	t.Logf("%d writes in %v with %d saves on three nodes", writes, c.now.Sub(begin), c.saves-saves)
	if c.saves-saves > 400 {
		t.Errorf("%d saves for %d writes, want them to share saves", c.saves-saves, writes)
	}
}

// TestGather: what is proposed on the leader while a proposal is on its way goes in one save, but waits no longer than 2 ms.
func TestGather(t *testing.T) {
	for _, tc := range []struct {
		name  string
		delay time.Duration // of a message
		gap   time.Duration // between the first proposal and each of the others
		least int           // saves on the leader
		most  int
	}{
		{"while the first is on its way", 4 * time.Millisecond, 100 * time.Microsecond, 2, 2},
		{"not for a slow network", 100 * time.Millisecond, 5 * time.Millisecond, 9, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 4)
			c := newCluster(t, 4, nil)
			c.grow(3)
			c.wait("settled", time.Second, c.settled)
			c.delay, c.disk = tc.delay, 200*time.Microsecond
			l := c.leader()
			before, saves := len(c.acked), l.saves
			for i := range 9 {
				if _, err := c.propose(l, fmt.Sprint("write ", i)); err != nil {
					t.Fatal(err)
				}
				if i < 8 {
					c.run(tc.gap)
				}
			}
			c.wait("all are acknowledged", time.Second, func() bool { return len(c.acked) == before+9 })
			if got := l.saves - saves; got < tc.least || got > tc.most {
				t.Errorf("%d saves for 9 writes, want %d to %d", got, tc.least, tc.most)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, func(cfg *replica.Config) { cfg.MaxPending, cfg.MaxProposalBytes = 3, 100 })
	c.grow(3)
	l := c.leader()
	at := func(lo uint64) replica.RequestID { return replica.RequestID{Hi: 77, Lo: lo} }
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"too large", l.rep.Propose(c.now, at(1), make([]byte, 101)), replica.ErrTooLarge},
		{"first", l.rep.Propose(c.now, at(1), []byte("a")), nil},
		{"duplicate", l.rep.Propose(c.now, at(1), []byte("a")), replica.ErrDuplicate},
		{"second", l.rep.Propose(c.now, at(2), nil), nil},
		{"third", l.rep.Propose(c.now, at(3), []byte("c")), nil},
		{"too many", l.rep.Propose(c.now, at(4), []byte("d")), replica.ErrBusy},
		{"read", l.rep.Read(c.now, at(1)), nil},
		{"duplicate read", l.rep.Read(c.now, at(1)), replica.ErrDuplicate},
		{"conf change, too many wait", l.rep.ProposeConfChange(c.now, at(9), []replica.Change{{Kind: replica.Remove, ID: 3}}, nil), replica.ErrBusy},
		{"conf change on a follower", c.node(2).rep.ProposeConfChange(c.now, at(9), []replica.Change{{Kind: replica.Remove, ID: 3}}, nil), replica.ErrNotLeader},
		{"transfer on a follower", c.node(2).rep.TransferLeader(c.now, 3), replica.ErrNotLeader},
	} {
		if !errors.Is(tc.err, tc.want) || tc.want == nil && tc.err != nil {
			t.Errorf("%s: %v, want %v", tc.name, tc.err, tc.want)
		}
	}
	if err := l.rep.Propose(c.now, replica.RequestID{}, nil); err == nil {
		t.Error("a request without an id was taken")
	}
	if err := l.rep.TransferLeader(c.now, 9); err == nil {
		t.Error("leadership was handed to a node that is no member")
	}
	l.reads[at(1)] = c.maxAck
	c.pump(l)
	c.wait("all three are applied", time.Second, func() bool { return c.acked[at(1)] != 0 && c.acked[at(2)] != 0 && c.acked[at(3)] != 0 })

	one := []replica.Change{{Kind: replica.AddLearner, ID: 3}}
	if err := l.rep.ProposeConfChange(c.now, at(10), one, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.rep.ProposeConfChange(c.now, at(11), one, nil); !errors.Is(err, replica.ErrConfChangePending) {
		t.Errorf("second change at once: %v, want ErrConfChangePending", err)
	}
	c.pump(l)
	c.wait("the change is made", time.Second, func() bool { return c.acked[at(10)] != 0 })
	for _, bad := range [][]replica.Change{nil, {{Kind: 9, ID: 3}}, {{Kind: replica.Remove, ID: 0}}, {{Kind: replica.Remove, ID: 1}, {Kind: replica.Remove, ID: 2}}} {
		if err := l.rep.ProposeConfChange(c.now, at(12), bad, nil); err == nil {
			t.Errorf("ProposeConfChange(%v) was taken", bad)
		}
	}
}

// TestTransfer hands leadership over by request, and by removing the leader.
func TestTransfer(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(3)
	if err := c.leader().rep.TransferLeader(c.now, 2); err != nil {
		t.Fatal(err)
	}
	c.pump(c.node(1))
	c.wait("node 2 leads", 100*time.Millisecond, func() bool { return c.leader() == c.node(2) })
	c.change(c.node(2), replica.Change{Kind: replica.AddLearner, ID: 1}, replica.Change{Kind: replica.AddLearner, ID: 3})
	if m := c.node(2).rep.Members(); !slices.Equal(m.Voters, []id{2}) || !slices.Equal(m.Learners, []id{1, 3}) {
		t.Errorf("Members() = %+v, want voter 2, learners 1 and 3", m)
	}
	c.mustPropose(c.node(1), "through a learner")
}

// TestLoneSurvivor: the voter that remains after the other was removed leads alone after a restart, also when it crashes right after
// the change was acknowledged.
func TestLoneSurvivor(t *testing.T) {
	for _, seed := range seeds(t, 20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			c := newCluster(t, seed, nil)
			c.grow(2)
			c.change(c.node(1), replica.Change{Kind: replica.Remove, ID: 2})
			c.run(3 * c.disk)
			c.mustPropose(c.node(1), "its commit index may be forgotten")
			c.crash(c.node(1))
			c.crash(c.node(2))
			c.start(c.node(1))
			c.wait("it is elected", 20*time.Second, func() bool { return c.node(1).rep.Role().State == replica.Leader })
			c.read(c.node(1)) // must wait until it knows what it had committed
			c.wait("it leads alone", 20*time.Second, func() bool { return c.leader() == c.node(1) })
		})
	}
}

// TestRestart_ReplaysConf: a restarted replica gives out the same entries as before, changes of the members included.
func TestRestart_ReplaysConf(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(5)
	c.change(c.leader(), replica.Change{Kind: replica.AddLearner, ID: 4}, replica.Change{Kind: replica.Remove, ID: 5})
	c.mustPropose(c.leader(), "x")
	c.crash(c.node(2))
	want := c.node(3).rep.Members()
	c.start(c.node(2)) // the cluster's checks compare every entry with its first appearance
	c.run(time.Second)
	if got := c.node(2).rep.Members(); fmt.Sprint(got) != fmt.Sprint(want) || c.node(2).applied < c.maxAck {
		t.Errorf("Members() = %+v, want %+v", got, want)
	}
}

// TestRead_OtherRun: an answer to a read of an earlier run of the process is not taken for one of this run.
func TestRead_OtherRun(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(3)
	c.wait("settled", time.Second, c.settled)
	n := c.node(2)
	c.delay = 40 * time.Millisecond
	if _, err := c.read(n); err != nil { // batch 1 of run 1
		t.Fatal(err)
	}
	c.crash(n)
	c.start(n)
	c.wait("it knows the leader", 2*time.Second, func() bool { return n.rep.Role().Leader == 1 })
	c.cut[[2]id{2, 1}] = true // the new read does not reach the leader
	r, err := c.read(n)       // batch 1 of run 2
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 24)
	b[7], b[15], b[23] = 2, 1, 1
	c.deliver(1, &raftpb.Message{Type: raftpb.MsgReadIndexResp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(n.rep.Role().Term),
		Index: new(uint64(1)), Entries: []*raftpb.Entry{{Data: b}}})
	if _, waits := n.reads[r]; !waits {
		t.Error("an answer to the read of an earlier run was taken")
	}
	b[15] = 2
	c.deliver(1, &raftpb.Message{Type: raftpb.MsgReadIndexResp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(n.rep.Role().Term),
		Index: new(uint64(1)), Entries: []*raftpb.Entry{{Data: b}}})
	if _, waits := n.reads[r]; waits {
		t.Error("the answer to this read was not taken")
	}
}

// TestHello shows only what is durable.
func TestHello(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	c.grow(3)
	c.wait("settled", time.Second, c.settled)
	n := c.leader()
	before := n.rep.Hello()
	c.propose(n, "x") // the save has begun
	if got := n.rep.Hello(); got != before {
		t.Errorf("Hello() during the save = %+v, want %+v", got, before)
	}
	c.run(2 * c.disk)
	if got := n.rep.Hello(); got.Last != before.Last+1 {
		t.Errorf("Hello() after the save = %+v, want index %d", got, before.Last+1)
	}
}

func TestNew_Refused(t *testing.T) {
	d := simdisk.New()
	l, err := d.Create(raftlog.Identity{ClusterID: "c", NodeID: 1, RaftID: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := replica.Config{ID: 1, Incarnation: 1, Storage: l}
	for _, tc := range []struct {
		name   string
		change func(*replica.Config)
	}{
		{"no id", func(c *replica.Config) { c.ID = 0 }},
		{"no incarnation", func(c *replica.Config) { c.Incarnation = 0 }},
		{"no storage", func(c *replica.Config) { c.Storage = nil }},
		{"retired", func(c *replica.Config) { c.Retired = true }},
		{"tick", func(c *replica.Config) { c.TickInterval = 1 }},
		{"election too short", func(c *replica.Config) { c.ElectionTicks = 3 }},
		{"in flight below a message", func(c *replica.Config) { c.MaxInflightBytes = 1 }},
		{"negative time", func(c *replica.Config) { c.RequestTimeout = -1 }},
		{"negative limit", func(c *replica.Config) { c.MaxPending = -1 }},
	} {
		cfg := good
		tc.change(&cfg)
		if _, err := replica.New(cfg); err == nil {
			t.Errorf("%s: New() gave no error", tc.name)
		}
	}
	if _, err := replica.New(good); err != nil {
		t.Errorf("New() = %v", err)
	}
	d.Crash(false)
	if _, err := replica.New(good); !errors.Is(err, raftlog.ErrClosed) {
		t.Errorf("New() on a closed log = %v, want ErrClosed", err)
	}
}

// TestStorageError: an error of reading the log ends the replica, with that error.
func TestStorageError(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	c := newCluster(t, 4, nil)
	n := c.add(1, true)
	n.disk.Crash(false) // the log is closed under the replica
	n.rep.Campaign(c.now)
	for n.rep.HasReady() {
		if out := n.rep.Ready(); out.Err != nil {
			break
		} else if out.Save != nil {
			n.rep.Saved(c.now)
		}
	}
	if err := n.rep.Err(); !errors.Is(err, raftlog.ErrClosed) {
		t.Fatalf("Err() = %v, want ErrClosed", err)
	}
	if err := n.rep.Propose(c.now, replica.RequestID{Lo: 1}, nil); !errors.Is(err, raftlog.ErrClosed) {
		t.Errorf("Propose() = %v, want the error that ended the replica", err)
	}
	if n.rep.HasReady() {
		t.Error("HasReady() after the end")
	}
}

// FuzzStep steps foreign messages into a member and into a node that joins. None may panic, and what is refused leaves no trace.
func FuzzStep(f *testing.F) {
	add := func(m *raftpb.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	two, one := new(uint64(2)), new(uint64(1))
	for t := raftpb.MsgHup; t <= raftpb.MsgForgetLeader; t++ {
		add(&raftpb.Message{Type: t.Enum(), From: two, To: one, Term: two})
		add(&raftpb.Message{Type: t.Enum(), From: two, To: one, Term: two, Index: one, LogTerm: one, Commit: two, Entries: []*raftpb.Entry{{Index: two, Term: two, Data: []byte("x")}},
			Snapshot: &raftpb.Snapshot{Data: []byte("5 5"), Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(5)), Term: two, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}}}})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &raftpb.Message{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		for _, first := range []*replica.Save{nil, replica.Founding(1, []byte("1 1"))} {
			d := simdisk.New()
			l, err := d.Create(raftlog.Identity{ClusterID: "c", NodeID: 1, RaftID: 1}, first)
			if err != nil {
				t.Fatal(err)
			}
			r, err := replica.New(replica.Config{ID: 1, Incarnation: 1, Storage: l})
			if err != nil {
				t.Fatal(err)
			}
			r.Tick(1)
			err = r.Step(2, proto.CloneOf(m))
			if errors.Is(err, replica.ErrMessage) && r.Err() != nil {
				t.Fatalf("a refused message ended the replica: %v", r.Err())
			}
			for r.HasReady() {
				out := r.Ready()
				if out.Save != nil {
					if err := l.Save(*out.Save); err != nil {
						t.Fatalf("%v leads to a save that is refused: %v", m, err)
					}
					r.Saved(3)
				}
			}
			if r.Err() != nil {
				t.Fatalf("%v ended the replica: %v", m, r.Err())
			}
		}
	})
}

// TestSave_MergeReplaced: while a save is under way a new leader replaces entries that wait for the next one.
func TestSave_MergeReplaced(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 4)
	d := simdisk.New()
	l, err := d.Create(raftlog.Identity{ClusterID: "c", NodeID: 1, RaftID: 1}, &replica.Save{
		HardState: &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))}, Install: true,
		Snapshot: &raftpb.Snapshot{Data: []byte("1 1"), Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := replica.New(replica.Config{ID: 1, Incarnation: 1, Storage: l})
	if err != nil {
		t.Fatal(err)
	}
	r.Tick(1)
	app := func(from, term, prev, prevTerm uint64, terms ...uint64) (save *replica.Save, answers []string) {
		t.Helper()
		m := &raftpb.Message{Type: raftpb.MsgApp.Enum(), From: new(from), To: new(uint64(1)), Term: new(term), Index: new(prev), LogTerm: new(prevTerm), Commit: new(uint64(1))}
		for i, et := range terms {
			m.Entries = append(m.Entries, &raftpb.Entry{Index: new(prev + uint64(i) + 1), Term: new(et), Type: raftpb.EntryNormal.Enum()})
		}
		if len(terms) > 0 {
			if err := r.Step(2, m); err != nil {
				t.Fatal(err)
			}
		}
		for r.HasReady() {
			out := r.Ready()
			if out.Save != nil {
				if save != nil {
					t.Fatal("two saves at a time")
				}
				save = out.Save
			}
			for _, m := range out.Messages {
				answers = append(answers, fmt.Sprintf("%s to %d, %d:%d", m.GetType(), m.GetTo(), m.GetTerm(), m.GetIndex()))
			}
		}
		return save, answers
	}
	show := func(s *replica.Save) (out string) {
		out = fmt.Sprintf("term %d", s.HardState.GetTerm())
		for _, e := range s.Entries {
			out += fmt.Sprintf(" %d:%d", e.GetIndex(), e.GetTerm())
		}
		return out
	}
	first, answers := app(2, 2, 1, 1, 2, 2)
	if first == nil || len(answers) != 0 || show(first) != "term 2 2:2 3:2" {
		t.Fatalf("first save = %v, answers %v", first, answers)
	}
	for _, s := range []struct {
		from, term, prev, prevTerm uint64
		terms                      []uint64
	}{{2, 2, 3, 2, []uint64{2, 2, 2}}, {3, 3, 5, 2, []uint64{3, 3}}, {2, 4, 3, 2, []uint64{4}}, {2, 4, 4, 4, []uint64{4}}} {
		if save, answers := app(s.from, s.term, s.prev, s.prevTerm, s.terms...); save != nil || len(answers) != 0 {
			t.Fatalf("during the first save: save %v, answers %v", save, answers)
		}
	}
	if err := l.Save(*first); err != nil {
		t.Fatal(err)
	}
	r.Saved(3)
	second, answers := app(0, 0, 0, 0)
	if second == nil || show(second) != "term 4 4:4 5:4" || fmt.Sprint(answers) != "[MsgAppResp to 2, 2:3]" {
		t.Fatalf("second save = %v, answers after the first %v", second, answers)
	}
	if err := l.Save(*second); err != nil {
		t.Fatal(err)
	}
	r.Saved(4)
	if save, answers := app(0, 0, 0, 0); save != nil || answers[len(answers)-1] != "MsgAppResp to 2, 4:5" {
		t.Errorf("after the second save: save %v, answers %v", save, answers)
	}
	if err := r.Saved(5); err == nil {
		t.Error("Saved() without a save gave no error")
	}
}

// TestSurvive: of two nodes the leader dies; the survivor cannot lead before it is told that its peer is off, then leads alone with
// all that was acknowledged, and takes the peer back.
func TestSurvive(t *testing.T) {
	for _, seed := range seeds(t, 20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			c := newCluster(t, seed, nil)
			c.grow(2)
			for i := range 10 {
				c.mustPropose(c.leader(), fmt.Sprint("write ", i))
			}
			acked := c.maxAck
			c.propose(c.leader(), "perhaps on one disk only")
			c.run(time.Duration(c.rng.Int64N(int64(4 * time.Millisecond))))
			c.crash(c.node(1))
			n := c.node(2)
			c.leaderLost(n, 1)
			c.run(20 * time.Second)
			if c.leader() != nil {
				t.Fatal("one of two voters leads without the other")
			}
			mustNot(t, n.rep.Survive(c.now))
			c.pump(n)
			if c.rng.IntN(2) == 0 { // also when it crashes in the middle of it, or right after
				c.run(time.Duration(c.rng.Int64N(int64(4 * time.Millisecond))))
				c.crash(n)
				c.start(n)
				if len(n.rep.Members().Voters) == 2 {
					mustNot(t, n.rep.Survive(c.now))
				}
				c.leaderLost(n, 0)
				c.pump(n)
			}
			c.wait("the survivor leads", 100*time.Millisecond, func() bool { return c.leader() == n })
			if n.applied < acked {
				t.Fatalf("survivor has applied %d, acknowledged is %d", n.applied, acked)
			}
			c.mustPropose(n, "alone")
			c.start(c.node(1))
			c.run(20 * time.Second)
			if c.leader() != n {
				t.Fatal("the returning node disturbed the survivor")
			}
			c.change(n, replica.Change{Kind: replica.AddLearner, ID: 1})
			c.wait("the peer catches up", 5*time.Second, func() bool { return c.node(1).applied >= c.maxAck })
			c.change(n, replica.Change{Kind: replica.AddVoter, ID: 1})
			c.wait("all is settled", 5*time.Second, c.settled)
		})
	}
}

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLeaderLost_ToldLate: the second follower notices later than the first and ignores its PreVote; its own turn comes one stagger
// after it was told, long before raft's timeout.
func TestLeaderLost_ToldLate(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 6)
	c := newCluster(t, 6, nil)
	c.grow(3)
	c.run(time.Second)
	c.crash(c.node(1))
	c.leaderLost(c.node(2), 1)
	c.run(30 * time.Millisecond)
	if l := c.leader(); l != nil {
		t.Fatalf("node %d leads with one vote of three", l.id)
	}
	c.leaderLost(c.node(3), 1)
	at := c.now
	c.wait("a leader", 50*time.Millisecond+6*c.delay+6*c.disk+3*c.delay, func() bool { return c.leader() != nil })
	t.Logf("node %d acts %v after the second was told", c.leader().id, c.now.Sub(at))
}
