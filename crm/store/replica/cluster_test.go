package replica_test

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// The cluster of these tests: replicas on simulated disks, one event queue, everything drawn from one seed. After each
// event it checks that applied logs are prefixes of each other, that nothing is promised that is not durable, that
// nobody votes twice in a term and that a term has one acting leader; reads and acknowledged proposals are checked when they end.

type id = membership.RaftID

type event struct {
	at  membership.Instant
	seq int
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any     { e := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return e }

type node struct {
	id      id
	disk    *simdisk.Disk
	log     *simdisk.Log
	rep     *replica.Replica
	run     int // counts starts; events of an earlier run are void
	applied uint64
	hash    uint64
	refused error
	wake    membership.Instant
	ops     uint64
	saves   int
	reads   map[replica.RequestID]uint64 // what was acknowledged when it was asked
}

func (n *node) up() bool { return n.rep != nil }

type cluster struct {
	t     testing.TB
	rng   *rand.Rand
	now   membership.Instant
	seq   int
	q     queue
	nodes []*node
	cfg   func(*replica.Config)

	loss, dup int // percent
	delay     time.Duration
	disk      time.Duration
	cut       map[[2]id]bool

	history map[uint64]string // applied entry by index
	hashes  map[uint64]uint64
	votes   map[[2]uint64]uint64
	acting  map[uint64]id
	acked   map[replica.RequestID]uint64
	lost    int // dropped requests
	maxAck  uint64
	msgs    int
	saves   int
	trace   uint64
	lines   []string // the newest events, for failures
	snaps   int      // snapshots sent
}

func newCluster(t testing.TB, seed uint64, cfg func(*replica.Config)) *cluster {
	return &cluster{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), delay: 2 * time.Millisecond, disk: time.Millisecond, cfg: cfg,
		cut: map[[2]id]bool{}, history: map[uint64]string{}, hashes: map[uint64]uint64{}, votes: map[[2]uint64]uint64{},
		acting: map[uint64]id{}, acked: map[replica.RequestID]uint64{}, trace: 14695981039346656037,
	}
}

func (c *cluster) fatalf(format string, a ...any) {
	c.t.Helper()
	c.t.Fatalf("at %v: %s\nlast events:\n%s", time.Duration(c.now), fmt.Sprintf(format, a...), strings.Join(c.lines, "\n"))
}

func (c *cluster) note(format string, a ...any) {
	s := fmt.Sprintf("%v ", time.Duration(c.now)) + fmt.Sprintf(format, a...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s", c.trace, s)
	c.trace = h.Sum64()
	if c.lines = append(c.lines, s); len(c.lines) > 60 {
		c.lines = c.lines[1:]
	}
}

func (c *cluster) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.q, event{at: c.now.Add(d), seq: c.seq, do: do})
}

// runUntil handles events up to a moment, or until stop says so.
func (c *cluster) runUntil(end membership.Instant, stop func() bool) bool {
	for {
		if stop != nil && stop() {
			return true
		}
		if len(c.q) == 0 || c.q[0].at > end {
			c.now = max(c.now, end)
			return stop == nil
		}
		e := heap.Pop(&c.q).(event)
		c.now = max(c.now, e.at)
		e.do()
	}
}

func (c *cluster) run(d time.Duration) { c.runUntil(c.now.Add(d), nil) }

func (c *cluster) wait(what string, d time.Duration, stop func() bool) {
	c.t.Helper()
	if !c.runUntil(c.now.Add(d), stop) {
		c.fatalf("waited %v for: %s", d, what)
	}
}

func (c *cluster) node(i id) *node {
	for _, n := range c.nodes {
		if n.id == i {
			return n
		}
	}
	return nil
}

// add makes a node with an empty disk; the founder gets the first state.
func (c *cluster) add(i id, founder bool) *node {
	n := &node{id: i, disk: simdisk.New()}
	var first *replica.Save
	if founder {
		first = replica.Founding(i, encodeState(1, 99))
	}
	l, err := n.disk.Create(raftlog.Identity{ClusterID: "c", NodeID: membership.NodeID(i), RaftID: i}, first)
	if err != nil {
		c.t.Fatal(err)
	}
	l.Close()
	c.nodes = append(c.nodes, n)
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	c.start(n)
	return n
}

func encodeState(index, hash uint64) []byte { return fmt.Appendf(nil, "%d %d", index, hash) }

func (c *cluster) start(n *node) {
	c.t.Helper()
	l, err := n.disk.Open()
	if err != nil {
		c.fatalf("open disk of %d: %v", n.id, err)
	}
	n.run++
	cfg := replica.Config{ID: n.id, Incarnation: membership.Incarnation(n.run), Storage: l, Retired: l.Identity().Retired}
	if c.cfg != nil {
		c.cfg(&cfg)
	}
	rep, err := replica.New(cfg)
	if err != nil {
		c.fatalf("start %d: %v", n.id, err)
	}
	n.log, n.rep, n.wake, n.refused, n.reads, n.applied, n.hash = l, rep, 0, nil, map[replica.RequestID]uint64{}, 0, 0
	s, _ := l.ReadSnapshot()
	c.restore(n, s)
	c.note("start %d", n.id)
	rep.Tick(c.now)
	for _, p := range c.nodes {
		if p != n && p.up() && !c.cut[[2]id{p.id, n.id}] && !c.cut[[2]id{n.id, p.id}] {
			c.meet(n, p)
			c.meet(p, n)
		}
	}
	c.pump(n)
}

// meet lets a see what b shows.
func (c *cluster) meet(a, b *node) {
	h := b.rep.Hello()
	if err := a.rep.ObservePeer(h.ID, h.Term, h.Last); err != nil {
		b.refused = err
	}
}

// gossip does what membership's heartbeats do: everybody shows its applied index.
func (c *cluster) gossip() {
	for _, a := range c.nodes {
		for _, b := range c.nodes {
			if a != b && a.up() && b.up() && !c.cut[[2]id{b.id, a.id}] {
				a.rep.ObserveApplied(b.id, b.rep.Applied())
			}
		}
	}
}

func (c *cluster) restore(n *node, s *raftpb.Snapshot) {
	if len(s.GetData()) == 0 {
		return
	}
	if _, err := fmt.Sscanf(string(s.GetData()), "%d %d", &n.applied, &n.hash); err != nil || n.applied != s.GetMetadata().GetIndex() {
		c.fatalf("snapshot of %d on %d holds %q: %v", s.GetMetadata().GetIndex(), n.id, s.GetData(), err)
	}
	if h, ok := c.hashes[n.applied]; ok && h != n.hash {
		c.fatalf("snapshot of %d on %d differs from the applied log", n.applied, n.id)
	}
}

func (c *cluster) crash(n *node) {
	landed := c.rng.IntN(2) == 0
	c.note("crash %d landed %v", n.id, landed)
	n.disk.Crash(landed)
	n.rep, n.log = nil, nil
}

// pump does the outputs of a node in the order that the package asks for.
func (c *cluster) pump(n *node) {
	for n.up() && n.rep.HasReady() {
		out := n.rep.Ready()
		if out.Err != nil {
			c.fatalf("node %d ended: %v", n.id, out.Err)
		}
		for _, m := range out.Messages {
			c.checkPromise(n, m)
			c.send(n, m)
		}
		for _, s := range out.Snapshots {
			c.sendSnapshot(n, s)
		}
		if out.Save != nil {
			c.save(n, *out.Save)
		}
		if out.Restore != nil {
			c.note("%d restores %d", n.id, out.Restore.GetMetadata().GetIndex())
			c.restore(n, out.Restore)
		}
		for _, e := range out.Committed {
			c.apply(n, e)
		}
		for _, r := range out.Reads {
			want, ok := n.reads[r]
			if !ok {
				c.fatalf("node %d answers read %v, which was not asked or is answered already", n.id, r)
			}
			if n.applied < want {
				c.fatalf("stale read on %d: applied %d, acknowledged before the read: %d", n.id, n.applied, want)
			}
			delete(n.reads, r)
		}
		for _, d := range out.Dropped {
			if d.Read {
				delete(n.reads, d.Request)
			}
			c.lost++
		}
		if r := out.Role; r != nil {
			c.note("%d is %v of term %d, leader %d, acting %v", n.id, r.State, r.Term, r.Leader, r.Acting)
			if r.Acting {
				if other, ok := c.acting[r.Term]; ok && other != n.id {
					c.fatalf("term %d has the acting leaders %d and %d", r.Term, other, n.id)
				}
				c.acting[r.Term] = n.id
			}
		}
		if out.TakeSnapshot > 0 {
			if out.TakeSnapshot != n.applied {
				c.fatalf("node %d is asked for a snapshot of %d at %d", n.id, out.TakeSnapshot, n.applied)
			}
			index, data, run := n.applied, encodeState(n.applied, n.hash), n.run
			c.after(3*time.Millisecond, func() { // encoding takes its time
				if n.up() && n.run == run {
					n.rep.SnapshotTaken(c.now, index, data)
					c.pump(n)
				}
			})
		}
	}
	if !n.up() {
		return
	}
	if at, ok := n.rep.NextTick(); ok && (n.wake <= c.now || at < n.wake) {
		n.wake = max(at, c.now+1)
		run, at := n.run, n.wake
		c.after(at.Sub(c.now), func() {
			if n.up() && n.run == run && n.wake == at {
				n.wake = 0
				n.rep.Tick(c.now)
				c.pump(n)
			}
		})
	}
}

func (c *cluster) save(n *node, s replica.Save) {
	if err := n.log.Start(s); err != nil {
		c.fatalf("save on %d: %v", n.id, err)
	}
	c.saves++
	n.saves++
	run := n.run
	c.after(c.disk/2+time.Duration(c.rng.Int64N(int64(c.disk))), func() {
		if !n.up() || n.run != run {
			return
		}
		if err := n.log.Finish(); err != nil {
			c.fatalf("save on %d: %v", n.id, err)
		}
		if err := n.rep.Saved(c.now); err != nil {
			c.fatalf("saved on %d: %v", n.id, err)
		}
		c.pump(n)
	})
}

// checkPromise checks that a message promises nothing that a crash could take back.
func (c *cluster) checkPromise(n *node, m *raftpb.Message) {
	term, vote, _ := n.disk.Image().Hard()
	last, _ := n.disk.Image().Last()
	switch m.GetType() {
	case raftpb.MsgVoteResp:
		if m.GetReject() {
			return
		}
		key := [2]uint64{uint64(n.id), m.GetTerm()}
		if old, ok := c.votes[key]; ok && old != m.GetTo() {
			c.fatalf("node %d votes for %d and %d in term %d", n.id, old, m.GetTo(), m.GetTerm())
		}
		c.votes[key] = m.GetTo()
		if term < m.GetTerm() || term == m.GetTerm() && vote != m.GetTo() {
			c.fatalf("node %d sends a vote for %d in term %d; on disk: term %d, vote %d", n.id, m.GetTo(), m.GetTerm(), term, vote)
		}
	case raftpb.MsgAppResp:
		if !m.GetReject() && (m.GetIndex() > last || m.GetTerm() > term) {
			c.fatalf("node %d confirms entry %d in term %d; on disk: last %d, term %d", n.id, m.GetIndex(), m.GetTerm(), last, term)
		}
	}
}

func (c *cluster) send(n *node, m *raftpb.Message) {
	c.msgs++
	copies := 1
	if c.rng.IntN(100) < c.loss {
		copies = 0
	} else if c.rng.IntN(100) < c.dup {
		copies = 2
	}
	for range copies {
		m := proto.CloneOf(m)
		c.after(c.delay/2+time.Duration(c.rng.Int64N(int64(c.delay))), func() { c.deliver(n.id, m) })
	}
}

func (c *cluster) deliver(from id, m *raftpb.Message) {
	to := c.node(id(m.GetTo()))
	if to == nil || !to.up() || c.cut[[2]id{from, to.id}] {
		return
	}
	err := to.rep.Step(c.now, m)
	var lost *replica.LostLogError
	switch {
	case errors.As(err, &lost):
		to.refused = err
		to.log.Retire(err.Error())
		c.crash(to)
		return
	case err != nil && !errors.Is(err, replica.ErrPeerRefused):
		c.fatalf("step on %d: %v", to.id, err)
	}
	c.note("%d<-%d %s %d:%d", to.id, from, m.GetType(), m.GetTerm(), m.GetIndex())
	c.pump(to)
}

func (c *cluster) sendSnapshot(n *node, s replica.SnapshotMessage) {
	snap, err := n.log.ReadSnapshot()
	if err != nil {
		c.fatalf("read snapshot on %d: %v", n.id, err)
	}
	c.snaps++
	m, run := proto.CloneOf(s.With(snap)), n.run
	ok := c.rng.IntN(100) >= c.loss && !c.cut[[2]id{n.id, s.To}]
	c.after(10*time.Millisecond, func() {
		if ok {
			c.deliver(n.id, m)
		}
		if n.up() && n.run == run {
			n.rep.SnapshotSent(c.now, s.To, ok)
			c.pump(n)
		}
	})
}

func (c *cluster) apply(n *node, e replica.Entry) {
	if e.Index != n.applied+1 {
		c.fatalf("node %d applies %d after %d", n.id, e.Index, n.applied)
	}
	if e.Kind == replica.KindInvalid {
		c.fatalf("entry %d is invalid: %s", e.Index, e.Reason)
	}
	what := fmt.Sprintf("%d:%d %d %v %q", e.Index, e.Term, e.Kind, e.Request, e.Data)
	if e.Conf != nil {
		what += fmt.Sprintf(" %+v", *e.Conf)
	}
	if old, ok := c.history[e.Index]; ok && old != what {
		c.fatalf("node %d applies %s\nanother one applied %s", n.id, what, old)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", n.hash, what)
	c.history[e.Index] = what
	n.applied, n.hash = e.Index, h.Sum64()
	if old, ok := c.hashes[e.Index]; ok && old != n.hash {
		c.fatalf("state of %d after entry %d differs", n.id, e.Index)
	}
	c.hashes[e.Index] = n.hash
	if e.Own {
		c.acked[e.Request] = e.Index
		c.maxAck = max(c.maxAck, e.Index)
	}
}

func (c *cluster) propose(n *node, data string) (replica.RequestID, error) {
	n.ops++
	r := replica.RequestID{Hi: uint64(n.id)<<32 | uint64(n.run), Lo: n.ops}
	err := n.rep.Propose(c.now, r, []byte(data))
	c.pump(n)
	return r, err
}

func (c *cluster) read(n *node) (replica.RequestID, error) {
	n.ops++
	r := replica.RequestID{Hi: uint64(n.id)<<32 | uint64(n.run), Lo: n.ops}
	err := n.rep.Read(c.now, r)
	if err == nil {
		n.reads[r] = c.maxAck
	}
	c.pump(n)
	return r, err
}

func (c *cluster) leader() *node {
	var best *node
	for _, n := range c.nodes {
		if n.up() && n.rep.Role().Acting && (best == nil || n.rep.Role().Term > best.rep.Role().Term) {
			best = n
		}
	}
	return best
}

// leaderLost tells a node what membership would: its leader is gone, and whom it reaches.
func (c *cluster) leaderLost(n *node, leader id) {
	var v []replica.Voter
	for _, p := range c.nodes {
		if p.up() && p.id != leader && !c.cut[[2]id{p.id, n.id}] && !c.cut[[2]id{n.id, p.id}] {
			v = append(v, replica.Voter{ID: p.id, Applied: p.applied})
		}
	}
	n.rep.LeaderLost(c.now, leader, v)
	c.pump(n)
}

// grow founds a cluster and lets the others join as learners that become voters.
func (c *cluster) grow(n int) {
	c.t.Helper()
	first := c.add(1, true)
	first.rep.Campaign(c.now)
	c.pump(first)
	c.wait("the founder leads", time.Second, func() bool { return c.leader() == first })
	for i := id(2); i <= id(n); i++ {
		c.add(i, false)
		c.change(first, replica.Change{Kind: replica.AddLearner, ID: i})
		c.wait(fmt.Sprintf("%d catches up", i), 10*time.Second, func() bool { return c.node(i).applied >= c.maxAck })
		c.change(first, replica.Change{Kind: replica.AddVoter, ID: i})
	}
}

func (c *cluster) change(l *node, changes ...replica.Change) {
	c.t.Helper()
	l.ops++
	r := replica.RequestID{Hi: uint64(l.id)<<32 | uint64(l.run), Lo: l.ops}
	if err := l.rep.ProposeConfChange(c.now, r, changes, []byte("why")); err != nil {
		c.fatalf("ProposeConfChange(%v) = %v", changes, err)
	}
	c.pump(l)
	c.wait(fmt.Sprintf("%v is made", changes), 10*time.Second, func() bool {
		_, ok := c.acked[r]
		return ok && len(l.rep.Members().Outgoing) == 0
	})
}

func (c *cluster) mustPropose(n *node, data string) uint64 {
	c.t.Helper()
	r, err := c.propose(n, data)
	if err != nil {
		c.fatalf("Propose() on %d = %v", n.id, err)
	}
	c.wait("proposal is applied", 10*time.Second, func() bool { return c.acked[r] != 0 })
	return c.acked[r]
}

func (c *cluster) settled() bool {
	l := c.leader()
	if l == nil {
		return false
	}
	for _, n := range c.nodes {
		if !n.up() || n.applied != l.applied || n.rep.Role().Leader != l.id || n.applied < c.maxAck {
			return false
		}
	}
	return true
}

func (c *cluster) sortedAcks() string {
	var b bytes.Buffer
	for _, i := range slices.Sorted(func(yield func(uint64) bool) {
		for _, i := range c.acked {
			if !yield(i) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%d ", i)
	}
	return b.String()
}

// chaos runs a cluster of n under faults for d, heals it, and demands that it settles with all that was acknowledged.
func chaos(t *testing.T, seed uint64, n int, d time.Duration) *cluster {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	c := newCluster(t, seed, func(cfg *replica.Config) {
		cfg.SnapshotEntries, cfg.KeepEntries = 60, 20
		cfg.MaxMessageBytes, cfg.MaxInflightMessages = 2000, 8
		cfg.MaxInflightBytes = 8000
	})
	c.grow(n)
	c.loss, c.dup = 5, 5
	end := c.now.Add(d)
	// Clients: a write or a read on a random node.
	var client func()
	client = func() {
		c.gossip()
		if p := c.nodes[c.rng.IntN(len(c.nodes))]; p.up() {
			if c.rng.IntN(3) == 0 {
				c.read(p)
			} else {
				c.propose(p, fmt.Sprintf("write %d %s", c.seq, strings.Repeat("x", c.rng.IntN(300))))
			}
		}
		if c.now < end {
			c.after(time.Duration(c.rng.Int64N(int64(100*time.Millisecond))), client)
		}
	}
	client()
	var fault func()
	fault = func() {
		if c.now >= end {
			return
		}
		p := c.nodes[c.rng.IntN(n)]
		switch c.rng.IntN(8) {
		case 0, 1: // crash; half of the time with an immediate restart
			if p.up() {
				c.crash(p)
				c.after(time.Duration(c.rng.Int64N(int64(4*time.Second))), func() {
					if !p.up() {
						c.start(p)
					}
				})
			}
		case 2: // partition into two sides, some of it one way
			side := map[id]bool{}
			for _, x := range c.nodes {
				side[x.id] = c.rng.IntN(2) == 0
			}
			one := c.rng.IntN(3) == 0
			for _, x := range c.nodes {
				for _, y := range c.nodes {
					if side[x.id] != side[y.id] && (!one || side[x.id]) {
						c.cut[[2]id{x.id, y.id}] = true
					}
				}
			}
			c.note("cut %v one way %v", len(c.cut), one)
		case 3: // heal
			clear(c.cut)
			c.note("heal")
		case 4: // membership accuses a leader, rightly or wrongly
			if p.up() {
				c.leaderLost(p, p.rep.Role().Leader)
			}
		case 5:
			if l := c.leader(); l != nil && p.up() {
				l.rep.TransferLeader(c.now, p.id)
				c.pump(l)
			}
		case 6: // change the members
			if l := c.leader(); l != nil && l != p {
				m := l.rep.Members()
				kind := replica.AddVoter
				if slices.Contains(m.Voters, p.id) && len(m.Voters) > 2 {
					kind = replica.AddLearner
				}
				changes := []replica.Change{{Kind: kind, ID: p.id}}
				if o := c.nodes[c.rng.IntN(n)]; o != p && o != l && c.rng.IntN(2) == 0 { // by way of a joint configuration
					changes = append(changes, replica.Change{Kind: replica.AddVoter, ID: o.id})
				}
				l.ops++
				l.rep.ProposeConfChange(c.now, replica.RequestID{Hi: uint64(l.id)<<32 | uint64(l.run), Lo: l.ops}, changes, nil)
				c.pump(l)
			}
		case 7:
			c.loss, c.dup = c.rng.IntN(25), c.rng.IntN(25)
			c.delay = time.Duration(1+c.rng.IntN(100)) * time.Millisecond
			c.disk = time.Duration(1+c.rng.IntN(40)) * time.Millisecond
		}
		c.after(time.Duration(c.rng.Int64N(int64(2*time.Second))), fault)
	}
	fault()
	c.runUntil(end, nil)
	clear(c.cut)
	c.loss, c.dup, c.delay, c.disk = 0, 0, 2*time.Millisecond, time.Millisecond
	c.run(4 * time.Second)
	for _, p := range c.nodes {
		if !p.up() {
			c.start(p)
		}
	}
	c.wait("the cluster settles", time.Minute, c.settled)
	for _, p := range c.nodes {
		if p.applied < c.maxAck {
			c.fatalf("node %d has applied %d, acknowledged is %d", p.id, p.applied, c.maxAck)
		}
		if p.refused != nil {
			c.fatalf("node %d was refused: %v", p.id, p.refused)
		}
	}
	return c
}
