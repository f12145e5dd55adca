package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// hop is how long everything takes that is not said otherwise: a message, a save, an agent.
const hop = time.Millisecond

// harness is a cluster of whole nodes n1, n2 ... in virtual time, with a perfect network, disks and scripted agents.
type harness struct {
	t     *testing.T
	now   time.Duration
	wall  time.Time
	nodes []*process
	queue []event
	seq   int
	// fence answers a run of a fence agent on a node: its result, and after what time; nil = success after a hop.
	fence func(node string, req agents.Request) (agents.Result, time.Duration)
	// metadata of the fence agents by type; "" = they cannot be asked.
	metadata map[string]string
	runs     []string      // "device operation plug @node" of fence agents, but monitors
	thinking time.Duration // of each decision, beyond a hop
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

// process is one node.
type process struct {
	h    *harness
	n    *Node
	disk *simdisk.Disk
	log  *simdisk.Log
	name string
	life membership.Incarnation
	dead bool
	ends bool            // it may end by itself
	err  error           // with which it did
	runs map[string]bool // services
	// known are the runs of the runner, which outlives the process; nil = goes on.
	known map[string]*agents.Result

	beat, gap time.Duration // the last heartbeats that it sent, and the longest time between two
}

const harnessMetadata = `<resource-agent name="fence_x"><parameters><parameter name="plug"/></parameters><actions><action name="on"/><action name="off"/>` +
	`<action name="reboot"/><action name="monitor"/></actions></resource-agent>`

// newHarness makes a cluster of n nodes with the resources, properties and topology of the parts of a definition.
func newHarness(t *testing.T, n int, properties, resources, topology string) *harness {
	h := &harness{t: t, wall: time.Unix(1_700_000_000, 0), metadata: map[string]string{"fence_x": harnessMetadata}}
	doc, problems, err := cibxml.Read(fmt.Appendf(nil, `<cib crm_feature_set="3.19.0" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0"><configuration>
<crm_config><cluster_property_set id="o">%s</cluster_property_set></crm_config><nodes/><resources>%s</resources><constraints/>
<fencing-topology>%s</fencing-topology></configuration><status/></cib>`, properties, resources, topology))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	s, index := command.New(), uint64(0)
	apply := func(e *command.Entry) {
		index++
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var out command.Outcome
		if s, out = command.Apply(s, index, 1, data); out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	member := func(i int) command.MemberAdd {
		return command.MemberAdd{Name: fmt.Sprint("n", i), Key: []byte{byte(i)}, Links: []cib.NodeLink{{Link: "lan", Address: fmt.Sprint("10.0.0.", i)}}, Feature: command.FeatureLevel}
	}
	apply(&command.Entry{Kind: command.KindBootstrap, Bootstrap: &command.Bootstrap{ClusterID: "c", CA: []byte{1}, First: member(1), Config: doc}})
	var voters []uint64
	for i := 1; i <= n; i++ {
		voters = append(voters, uint64(i))
		if i > 1 {
			add := member(i)
			apply(&command.Entry{Kind: command.KindMemberAdd, MemberAdd: &add})
		}
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		first := replica.Founding(membership.RaftID(i), data)
		first.HardState.Commit = &index
		first.Snapshot.Metadata.Index, first.Snapshot.Metadata.ConfState = &index, &raftpb.ConfState{Voters: voters}
		disk := simdisk.New()
		log, err := disk.Create(raftlog.Identity{ClusterID: "c", NodeID: membership.NodeID(i), RaftID: membership.RaftID(i)}, first)
		if err != nil {
			t.Fatal(err)
		}
		p := &process{h: h, disk: disk, log: log, name: fmt.Sprint("n", i), life: membership.Incarnation(i), runs: map[string]bool{}, known: map[string]*agents.Result{}}
		p.start(membership.NodeID(i), s)
		h.nodes = append(h.nodes, p)
	}
	return h
}

// start makes the node of the process from its log and the state of the snapshot in it.
func (p *process) start(id membership.NodeID, s *command.State) {
	now, wall := p.h.clock()
	n, err := New(Config{Name: p.name, NodeID: id, RaftID: membership.RaftID(id), Incarnation: p.life,
		Boot: p.name, Storage: p.log, State: s, IgnoreStreams: true}, now, wall)
	if err != nil {
		p.h.t.Fatal(err)
	}
	var list []executor.Running
	for _, id := range slices.Sorted(maps.Keys(p.known)) {
		list = append(list, executor.Running{ID: id, Finished: p.known[id] != nil})
		if p.known[id] != nil {
			p.h.after(hop, func() { p.report(id) })
		}
	}
	n.Adopt(now, list)
	p.n = n
}

// report hands a result to the present process, until it was acknowledged.
func (p *process) report(id string) {
	if res := p.known[id]; res != nil && !p.dead {
		now, wall := p.h.clock()
		p.n.RunFinished(now, wall, *res)
	}
}

// restart kills the node process; another one starts at once. The runner goes on with what it asked for.
func (h *harness) restart(p *process) {
	p.disk.Crash(true)
	var err error
	if p.log, err = p.disk.Open(); err != nil {
		h.t.Fatal(err)
	}
	snap, err := p.log.ReadSnapshot()
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := command.DecodeState(snap.GetData())
	if err != nil {
		h.t.Fatal(err)
	}
	s.Index, s.Term = snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm()
	p.life += 100
	p.start(p.n.cfg.NodeID, s)
}

func (h *harness) after(d time.Duration, f func()) {
	h.seq++
	h.queue = append(h.queue, event{h.now + d, h.seq, f})
}

func (h *harness) clock() (membership.Instant, time.Time) {
	return membership.Instant(h.now), h.wall.Add(h.now)
}

// run lets time pass until done says so, or fails after a limit; a nil done runs for the whole time.
func (h *harness) run(limit time.Duration, done func() bool) {
	h.t.Helper()
	for end := h.now + limit; ; {
		for _, p := range h.nodes {
			for rounds := 0; !p.dead && p.n.HasReady(); rounds++ {
				if rounds > 1000 {
					h.t.Fatalf("%s: Ready does not come to an end", p.name)
				}
				p.output(p.n.Ready())
			}
		}
		if done != nil && done() {
			return
		}
		next := end
		for _, e := range h.queue {
			next = min(next, e.at)
		}
		for _, p := range h.nodes {
			if !p.dead {
				next = min(next, max(h.now, time.Duration(p.n.NextTick())))
			}
		}
		h.now = next
		if next >= end {
			if done != nil {
				h.t.Fatalf("not after %v; fence runs %q, history %+v", limit, h.runs, h.history())
			}
			return
		}
		for {
			at := -1
			for i, e := range h.queue {
				if e.at <= h.now && (at < 0 || e.at < h.queue[at].at || e.at == h.queue[at].at && e.seq < h.queue[at].seq) {
					at = i
				}
			}
			if at < 0 {
				break
			}
			e := h.queue[at]
			h.queue = slices.Delete(h.queue, at, at+1)
			e.do()
		}
		for _, p := range h.nodes {
			if !p.dead && time.Duration(p.n.NextTick()) <= h.now {
				p.n.Tick(h.clock())
			}
		}
	}
}

// to gives a live node something after a hop.
func (h *harness) to(p *process, f func()) {
	life := p.life
	h.after(hop, func() {
		if !p.dead && p.life == life {
			f()
		}
	})
}

func (p *process) output(o Output) {
	h := p.h
	if o.Err != nil {
		if !p.ends {
			h.t.Fatalf("%s: %v", p.name, o.Err)
		}
		p.dead, p.err = true, o.Err
		return
	}
	if len(o.Heartbeats) > 0 {
		p.gap, p.beat = max(p.gap, h.now-p.beat), h.now
	}
	for _, hb := range o.Heartbeats {
		to, from := h.nodes[hb.To-1], p.n.cfg.NodeID
		h.to(to, func() {
			now, wall := h.clock()
			// The first of a new process is refused, since it may be an old one on its way.
			if err := to.n.HeartbeatReceived(now, wall, from, hb.Link, hb.Payload); err != nil && p.life < 100 {
				h.t.Errorf("%s: heartbeat of %s: %v", to.name, p.name, err)
			}
		})
	}
	for _, m := range o.Messages {
		if int(m.GetTo()) > len(h.nodes) {
			continue // a raft member that is no node of the test
		}
		to, m := h.nodes[m.GetTo()-1], proto.CloneOf(m)
		h.to(to, func() {
			now, wall := h.clock()
			if err := to.n.Raft(now, wall, m); err != nil {
				h.t.Errorf("%s: message of %s: %v", to.name, p.name, err)
			}
		})
	}
	if len(o.Snapshots) > 0 {
		h.t.Fatalf("%s sends a snapshot; tests are shorter than that", p.name)
	}
	if o.Save != nil {
		if err := p.log.Start(*o.Save); err != nil {
			h.t.Fatal(err)
		}
		h.to(p, func() {
			if err := p.log.Finish(); err != nil {
				h.t.Fatal(err)
			}
			if err := p.n.Saved(h.clock()); err != nil {
				h.t.Fatal(err)
			}
		})
	}
	if q := o.Question; q != nil {
		life := p.life
		h.after(hop+h.thinking, func() {
			if !p.dead && p.life == life {
				now, wall := h.clock()
				p.n.Decided(now, wall, q.Answer(nil))
			}
		})
	}
	for _, req := range o.Start {
		if _, known := p.known[req.ID]; known {
			h.after(hop, func() { p.report(req.ID) })
			continue
		}
		res, d := p.agent(req)
		res.ID = req.ID
		p.known[req.ID] = nil
		if d >= 0 {
			h.after(d, func() {
				_, res.Finished = h.clock()
				p.known[req.ID] = &res
				p.report(req.ID)
			})
		}
	}
	for _, id := range o.Ack {
		delete(p.known, id)
	}
}

// agent carries out a request: its result, and after what time; < 0 = never.
func (p *process) agent(req agents.Request) (agents.Result, time.Duration) {
	if req.Agent.Class == agents.ClassFence {
		if req.Operation == agents.OpMetadata {
			text := p.h.metadata[req.Agent.Type]
			if text == "" {
				return agents.Result{Status: agents.StatusNotInstalled, RC: agents.RCNotInstalled, Reason: "no such agent"}, hop
			}
			return agents.Result{Output: text}, hop
		}
		if req.Operation != agents.OpMonitor && req.Operation != agents.OpStart {
			p.h.runs = append(p.h.runs, fmt.Sprintf("%s %s %s @%s", req.Resource, req.Operation, req.Params["plug"], p.name))
			if p.h.fence != nil {
				return p.h.fence(p.name, req)
			}
		}
		return agents.Result{}, hop
	}
	switch req.Operation {
	case agents.OpStart:
		p.runs[req.Resource] = true
	case agents.OpStop:
		delete(p.runs, req.Resource)
	case agents.OpMonitor:
		if !p.runs[req.Resource] {
			return agents.Result{RC: agents.RCNotRunning}, hop
		}
	}
	return agents.Result{}, hop
}

// leader is the node that leads; nil = none.
func (h *harness) leader() *process {
	for _, p := range h.nodes {
		if !p.dead && p.n.Leader() != nil {
			return p
		}
	}
	return nil
}

// settled reports whether the leader has nothing more to do.
func (h *harness) settled() bool {
	l := h.leader()
	return l != nil && l.n.Leader().Idle()
}

// history is the fencing history as the leader, or else the first live node, has it.
func (h *harness) history() (list []command.FencingRecord) {
	p := h.leader()
	for _, x := range h.nodes {
		if p == nil && !x.dead {
			p = x
		}
	}
	return p.n.State().Fencing
}

// ended reports whether a fencing of the target has succeeded.
func (h *harness) ended(target string) func() bool {
	return func() bool {
		return slices.ContainsFunc(h.history(), func(f command.FencingRecord) bool { return f.Target == target && f.OK && !f.Late })
	}
}

// follower is a live node that does not lead and is none of those named.
func (h *harness) follower(but ...string) *process {
	for _, p := range h.nodes {
		if !p.dead && p.n.Leader() == nil && !slices.Contains(but, p.name) {
			return p
		}
	}
	h.t.Fatal("no follower is left")
	return nil
}

// byDevice gives the runs of fence agents as "device operation @node", without the plug.
func (h *harness) byDevice() (list []string) {
	for _, r := range h.runs {
		w := strings.Fields(r)
		list = append(list, w[0]+" "+w[1]+" "+w[3])
	}
	return list
}
