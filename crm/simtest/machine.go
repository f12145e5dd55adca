package simtest

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// machine is a server: it has a disk, power, services, a runner, and at most one node process.
type machine struct {
	w     *world
	index int
	name  string
	id    membership.NodeID
	raft  membership.RaftID
	disk  *simdisk.Disk

	witness bool
	joins   int // how often it became a new member

	on      bool
	noPower bool // it cannot be switched on
	boot    int  // counts starts of the machine
	lives   int  // counts starts of the node process
	proc    *process
	clock   time.Duration // wall clock minus that of the world
	drift   int64         // of its monotonic clock against that of the world, in parts per million

	known []node.Known // told to a joiner

	fsync     time.Duration // of the disk, at most
	diskFails bool          // saves come to an error
	diskLost  bool          // the disk has lost what was on it, and the node is no full member again yet
	replacing bool          // an administrator is making it a new member

	services map[string]*service
	runs     map[string]*run // of the runner, by id
	runOrder []string

	shown  uint64        // highest index that a caught-up process has shown
	lostAt time.Duration // when it lost contact with a majority of voters; 0 = it has it
}

// process is a node process from its start to its end.
type process struct {
	m     *machine
	n     *node.Node
	log   *simdisk.Log
	began time.Duration
	inc   membership.Incarnation
	dead  bool

	leaving bool // it was asked to leave

	pausedUntil time.Duration
	queue       []func() // inputs that wait for the end of a pause

	wake    time.Duration // planned tick; 0 = none
	wakes   int           // ticks at one instant
	wakeAt  time.Duration
	saving  bool
	waiting map[replica.RequestID]request

	index  uint64 // of the state seen last
	seen   executorSeen
	fresh  bool
	joined bool          // it was caught up, and counted as a member
	alone  time.Duration // since when it looks after itself; 0 = it does not
}

// executorSeen is what an executor has run.
type executorSeen struct {
	keys   map[runID]bool
	newest map[string]uint64 // by resource: the index of the entry that handed out its newest action
}

// request is one that a process has taken and not answered yet.
type request struct {
	at   time.Duration
	done func(node.Reply)
}

func (p *process) wait(id replica.RequestID, done func(node.Reply)) {
	p.waiting[id] = request{p.m.w.now, done}
}

func (w *world) machine(id membership.NodeID) *machine {
	for _, m := range w.machines {
		if m.id == id && id != 0 {
			return m
		}
	}
	return nil
}

func (w *world) machineByRaft(id membership.RaftID) *machine {
	for _, m := range w.machines {
		if m.raft == id && id != 0 {
			return m
		}
	}
	return nil
}

func (w *world) machineByName(name string) *machine {
	for _, m := range w.machines {
		if m.name == name {
			return m
		}
	}
	return nil
}

// powerOn starts the machine; its node process comes a little later.
func (m *machine) powerOn() {
	if m.on || m.noPower {
		return
	}
	m.on = true
	m.boot++
	m.w.tell("%s power on", m.name)
	boot := m.boot
	m.w.after(m.w.between(500*time.Millisecond, 2*time.Second), func() {
		if m.on && m.boot == boot {
			m.start()
		}
	})
}

// powerOff ends everything on the machine at once.
func (m *machine) powerOff(why string) {
	if !m.on {
		return
	}
	m.w.tell("%s power off: %s", m.name, why)
	m.kill(false)
	m.on = false
	for _, id := range m.runOrder {
		if r := m.runs[id]; r != nil {
			r.gone = true
		}
	}
	m.runs, m.runOrder = map[string]*run{}, nil
	m.w.ledger.down(m)
}

// start starts the node process, if there is a log to start from.
func (m *machine) start() {
	w := m.w
	if !m.on || m.proc != nil || m.raft == 0 {
		return
	}
	log, err := m.disk.Open()
	var damage *raftlog.DamageError
	switch {
	case err == nil:
	case m.diskLost && (errors.Is(err, raftlog.ErrNoLog) || errors.As(err, &damage)):
		w.tell("%s does not start: %v", m.name, err)
		m.replace()
		return
	default:
		w.violate("contract", "%s: open log: %v", m.name, err)
		return
	}
	state, err := storedState(log)
	if err != nil {
		w.violate("I15", "%s: stored state: %v", m.name, err)
		return
	}
	if log.Identity().Retired {
		if !m.diskLost {
			w.violate("I15", "%s: its identity was retired, though its disk has lost nothing", m.name)
			return
		}
		m.disk.Crash(false)
		m.replace()
		return
	}
	m.lives++
	p := &process{m: m, log: log, began: w.now, inc: membership.Incarnation(w.rng.Uint64() | 1), waiting: map[replica.RequestID]request{}}
	p.seen = executorSeen{map[runID]bool{}, map[string]uint64{}}
	n, err := node.New(node.Config{
		Name: m.name, NodeID: m.id, RaftID: m.raft, Incarnation: p.inc, Boot: fmt.Sprintf("%s-%d", m.name, m.boot),
		Storage: log, State: state, Replica: w.cfg.Replica, Known: m.known, KnownLinks: linkNames[:],
	}, 0, p.wall())
	if err != nil {
		w.violate("contract", "%s: start: %v", m.name, err)
		return
	}
	p.n = n
	m.proc = p
	w.tell("%s process %d starts, incarnation %x", m.name, m.lives, uint64(p.inc))
	p.input(func() { p.n.Adopt(p.now(), m.adoptable()) })
	w.net.started(p)
	w.topology()
}

// storedState is the newest stored snapshot; nil for a node that joins.
func storedState(log *simdisk.Log) (*command.State, error) {
	snap, err := log.ReadSnapshot()
	if err != nil || snap.GetMetadata().GetIndex() == 0 {
		return nil, err
	}
	s, err := command.DecodeState(snap.GetData())
	if err != nil {
		return nil, err
	}
	n := *s
	n.Index, n.Term = snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm()
	return &n, nil
}

// kill ends the node process. Services and the runner go on when the machine does.
func (m *machine) kill(machineRuns bool) {
	p := m.proc
	if p == nil {
		return
	}
	m.proc = nil
	p.dead = true
	p.queue = nil
	landed := p.saving && m.w.chance(50)
	m.disk.Crash(landed)
	m.w.tell("%s process %d ends, save landed %v", m.name, m.lives, landed)
	m.w.net.ended(p, machineRuns)
	m.w.topology()
	for _, c := range m.w.clients {
		c.lost(p)
	}
	m.w.operator.lost(p)
}

// maxDrift is how many parts per million a monotonic clock is fast or slow at most.
const maxDrift = 200

// now is the monotonic clock of the process, wall the clock of its machine.
func (p *process) now() membership.Instant { return p.clock(p.m.w.now) }

// clock is what the monotonic clock shows at a time of the world.
func (p *process) clock(at time.Duration) membership.Instant {
	d := int64(at - p.began)
	return membership.Instant(d + d/1e6*p.m.drift)
}
func (p *process) wall() time.Time { return epoch.Add(p.m.w.now + p.m.clock) }

// when is the first time of the world, or a moment later, at which the monotonic clock shows t.
func (p *process) when(t membership.Instant) time.Duration {
	at := p.began + time.Duration(int64(t)-int64(t)/1e6*p.m.drift)
	for p.clock(at) < t {
		at += t.Sub(p.clock(at))
	}
	return at
}

// knows reports whether the process has the machine among its members.
func (p *process) knows(m *machine) bool {
	if s := p.n.State(); s.ClusterID != "" {
		return s.MemberByID(uint16(m.id)) != nil
	}
	for _, k := range p.m.known {
		if k.Node == m.id {
			return true
		}
	}
	return false
}

// input gives the process something, now or when its pause is over, and carries out what comes of it.
func (p *process) input(f func()) {
	if p.dead {
		return
	}
	if p.m.w.now < p.pausedUntil {
		if len(p.queue) < 4096 { // sockets have buffers of some size; beyond it datagrams are lost
			p.queue = append(p.queue, f)
		}
		return
	}
	f()
	p.pump()
}

// pause stops the process for a while, as SIGSTOP does.
func (p *process) pause(d time.Duration) {
	w := p.m.w
	p.pausedUntil = w.now + d
	w.at(p.pausedUntil, func() {
		if p.dead {
			return
		}
		list := p.queue
		p.queue = nil
		for _, f := range list {
			if p.dead {
				return
			}
			f()
		}
		p.pump()
	})
}

// pump carries out what the node wants done, as the loop of crm/daemon does.
func (p *process) pump() {
	w := p.m.w
	for rounds := 0; !p.dead && w.err == nil && p.n.HasReady(); rounds++ {
		if rounds > 1000 {
			w.violate("contract", "%s: Ready does not come to an end", p.m.name)
			return
		}
		p.output(p.n.Ready())
	}
	if !p.dead && w.err == nil {
		w.checks.process(p)
		p.plan()
	}
}

// plan sets the next tick.
func (p *process) plan() {
	w := p.m.w
	next := p.n.NextTick()
	if int64(next) > int64(time.Hour) && next > p.now().Add(time.Hour) {
		return
	}
	at := w.now
	if next > p.now() {
		at = max(p.when(next), w.now)
	}
	if p.wake != 0 && p.wake <= at {
		return // it is planned earlier; the tick will plan again
	}
	p.wake = at
	w.at(at, func() { p.tick(at) })
}

func (p *process) tick(at time.Duration) {
	w := p.m.w
	if p.dead || p.wake != at {
		return
	}
	p.wake = 0
	if w.now < p.pausedUntil {
		// The clock runs on, the process does not: it is called when the pause is over.
		until := p.pausedUntil
		p.wake = until
		w.at(until, func() { p.tick(until) })
		return
	}
	if p.wakeAt == w.now {
		if p.wakes++; p.wakes > 200 {
			w.violate("contract", "%s: NextTick stays at %v, which is not after %v: the loop would spin", p.m.name, p.n.NextTick(), p.now())
			return
		}
	} else {
		p.wakes, p.wakeAt = 0, w.now
	}
	p.input(func() {
		if p.n.NextTick() <= p.now() {
			p.n.Tick(p.now(), p.wall())
		}
	})
}

// raft gives a raft message to the node.
func (p *process) raft(m *raftpb.Message) {
	var err error
	if s := m.GetSnapshot(); s != nil && p.m.w.evts%2 == 0 {
		var state *command.State
		if state, err = command.DecodeState(s.GetData()); err == nil {
			err = p.n.RaftSnapshot(p.now(), p.wall(), m, state)
		}
	} else {
		err = p.n.Raft(p.now(), p.wall(), m)
	}
	var lost *replica.LostLogError
	switch {
	case err == nil:
	case errors.As(err, &lost):
		p.disown(err)
	case errors.Is(err, replica.ErrMessage), errors.Is(err, replica.ErrPeerRefused):
		p.m.w.violate("contract", "%s: message of a correct peer refused: %v", p.m.name, err)
	}
}

func (p *process) hello() replica.Hello { return p.n.Hello() }

func (p *process) streamUp(peer *machine, l membership.LinkID, hello func() replica.Hello) {
	if err := p.n.Observe(hello()); err != nil {
		if q := peer.proc; q != nil {
			// The one that is refused is told so.
			p.m.w.after(p.m.w.net.delay, func() { q.disown(err) })
		}
		return
	}
	p.n.StreamUp(p.now(), peer.id, l)
}

// disown ends the identity of a process of which the cluster has seen more than it has.
func (p *process) disown(err error) {
	if !p.m.diskLost {
		p.m.w.violate("I15", "%s: %v, though its disk has lost nothing", p.m.name, err)
		return
	}
	p.retire(err.Error())
}

// output carries out one output of the node.
func (p *process) output(out node.Output) {
	w, m := p.m.w, p.m
	if out.Err != nil {
		w.violate("contract", "%s: the node ends: %v", m.name, out.Err)
		return
	}
	w.mix(uint64(w.now))
	w.mix(uint64(m.id))
	for i := range out.Notes {
		n := &out.Notes[i]
		if n.Level == node.Warn {
			w.hit(n.Text)
		}
		if n.Level > node.Debug || w.cfg.Verbose {
			w.tell("%s: %s%s", m.name, n.Text, fields(n.Fields))
		}
	}
	for _, h := range out.Heartbeats {
		w.mixBytes(h.Payload)
		w.net.datagram(p, h)
	}
	for _, msg := range out.Messages {
		w.mixMessage(msg)
		w.checks.promise(p, msg)
		if !w.net.raft(p, msg) {
			p.n.Unreachable(p.now(), membership.RaftID(msg.GetTo()))
		}
	}
	for _, s := range out.Snapshots {
		w.mix(uint64(s.To))
		w.net.snapshot(p, s)
	}
	if out.Save != nil {
		p.save(*out.Save)
	}
	if s := out.Snapshot; s != nil {
		w.after(w.between(time.Millisecond, 20*time.Millisecond), func() {
			if p.dead {
				return
			}
			data, err := s.State.Encode()
			if err != nil {
				w.violate("contract", "%s: encode state %d: %v", m.name, s.Index, err)
				return
			}
			w.mixBytes(data)
			w.hit("snapshot taken")
			p.input(func() { p.n.SnapshotTaken(p.now(), s.Index, data) })
		})
	}
	if q := out.Question; q != nil {
		w.after(w.between(0, w.thinking), func() {
			p.input(func() { p.n.Decided(p.now(), p.wall(), q.Answer(w.cfg.Decide)) })
		})
	}
	for _, id := range out.Cancel {
		w.mixString(id)
		m.cancel(id)
	}
	for _, id := range out.Ack {
		w.mixString(id)
		m.ack(id)
	}
	for _, req := range out.Start {
		w.mixString(req.ID)
		w.checks.started(p, req)
		m.run(p, req)
	}
	for _, d := range out.Decisions {
		w.mix(d.Transition)
		w.mix(d.Index)
		w.mix(uint64(d.Actions))
		w.checks.decision(p, d)
	}
	for _, r := range out.Replies {
		w.mix(r.Index)
		if q, ok := p.waiting[r.Request]; ok && !(w.cfg.LoseAnswers && w.chance(10)) {
			delete(p.waiting, r.Request)
			q.done(r)
		}
	}
	if out.Left {
		w.tell("%s has left in order", m.name)
		w.hit("node left")
		w.ledger.left(m)
		m.kill(true)
		m.restart(w.between(time.Second, 5*time.Second))
	}
}

// save writes to the disk; the node is told when it is durable.
func (p *process) save(s replica.Save) {
	w := p.m.w
	if w.cfg.ForgetVotes && s.HardState != nil {
		s.HardState = &raftpb.HardState{Term: s.HardState.Term, Vote: new(uint64(0)), Commit: s.HardState.Commit}
	}
	if p.saving {
		w.violate("contract", "%s: a second save while one is under way", p.m.name)
		return
	}
	for _, e := range s.Entries {
		w.mix(e.GetIndex())
		w.mix(e.GetTerm())
		w.mixBytes(e.GetData())
	}
	w.mix(s.Applied)
	if err := p.log.Start(s); err != nil {
		w.violate("contract", "%s: save: %v", p.m.name, err)
		return
	}
	p.saving = true
	w.after(w.between(200*time.Microsecond, max(p.m.fsync, time.Millisecond)), func() {
		if p.dead {
			return
		}
		if p.m.diskFails {
			p.saveFailed()
			return
		}
		if err := p.log.Finish(); err != nil {
			w.violate("contract", "%s: save: %v", p.m.name, err)
			return
		}
		p.saving = false
		p.input(func() {
			if err := p.n.Saved(p.now(), p.wall()); err != nil {
				w.violate("contract", "%s: saved: %v", p.m.name, err)
			}
		})
	})
}

func (w *world) mixMessage(m *raftpb.Message) {
	w.mix(uint64(m.GetType())<<32 | m.GetTo())
	w.mix(m.GetTerm())
	w.mix(m.GetIndex())
	w.mix(m.GetCommit())
	w.mix(uint64(len(m.GetEntries())))
}

// clone copies a message as a network does.
func clone(m *raftpb.Message) *raftpb.Message { return proto.CloneOf(m) }

// adoptable lists the runs that the runner knows of, as it tells a new node process.
func (m *machine) adoptable() []executor.Running {
	var list []executor.Running
	for _, id := range m.runOrder {
		r := m.runs[id]
		if r == nil {
			continue
		}
		list = append(list, executor.Running{ID: id, Resource: r.req.Resource, Operation: r.req.Operation,
			Interval: r.req.Interval, Timeout: r.req.Timeout, Age: m.w.now - r.began, Finished: r.result != nil})
	}
	// Results that nobody took follow.
	for _, id := range m.runOrder {
		if r := m.runs[id]; r != nil && r.result != nil {
			m.w.after(time.Millisecond, func() { m.report(r) })
		}
	}
	return list
}
