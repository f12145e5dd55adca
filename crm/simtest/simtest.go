// Package simtest runs whole clusters in one goroutine from one seed: the complete nodes of crm/node on a
// simulated network, disks, agents and power switch. Nothing in it reads a clock or starts a goroutine; the same
// seed gives the same run, event by event (Report.Hash), provided that raft's own randomness is fixed as well
// (testing/cryptotest.SetGlobalRandom, which needs a *testing.T and forbids parallel tests).
//
// A run makes a cluster (one founder, the others join), lets it work for a while, injects faults, heals
// everything, and then demands that the cluster settles. Invariants are checked at every event, from a ledger that the
// simulated agents and the power switch write, never from the cluster's own status:
//
//   - I1 an exclusive resource is active on one node at most
//   - I2 a resource that was active on a node starts elsewhere only after proof that it is not active there: a stop,
//     a probe, the power switch
//   - I3, I4 what was acknowledged to a client stays; linearizable reads show it
//   - I5 states do not go back, and states of one index are equal
//   - I6 one acting leader in a term, one vote in a term, no action of an older term, none that was not handed out
//   - I7 nothing starts without quorum; a node without quorum stops what it runs in time
//   - I9 after the last fault the cluster comes to rest, with everything running
//   - I13 no action runs twice; I15 what was promised is durable; I20 no fencing before the first fault
//
// What is simulated more kindly than the world is: streams do not lose messages but by breaking, agents do not lie,
// the power switch may refuse but does not lie, and disks lose only what was not synced.
package simtest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// Config of a run. The zero value of a field is what its comment says.
type Config struct {
	Seed  uint64
	Nodes int // 2, 3 or 5; 0 = 3 or 5 by the seed
	// Faults is how long faults are injected; 0 = none. Settle bounds the time that the cluster gets afterwards.
	Faults, Settle time.Duration
	// Only, when not empty, restricts the faults to those with these names.
	Only []string

	// Decide replaces the policy, and ForgetVotes makes disks that do not keep the vote: the checks of the checks.
	Decide      func(policy.Input) (*policy.Decision, error)
	ForgetVotes bool

	script func(w *world) // takes the place of random faults

	Replica replica.Config // settings of raft; identity and storage are filled in
	Verbose bool           // debug notes in the trace
}

// Report is what a run came to.
type Report struct {
	Err     error // a *Violation; nil = all invariants held
	Hash    uint64
	Trace   []string
	Virtual time.Duration
	Events  int
	Hits    map[string]int // faults and rare things by name
	Writes  int            // acknowledged to clients
	Reads   int
	Unknown int // requests without an answer
	Fenced  int
}

var linkNames = [links]string{"lan", "san"}

// Run makes one run.
func Run(cfg Config) *Report {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x51)), hash: fnvOffset, hits: map[string]int{}}
	w.net = network{w: w, paths: map[pathKey]*path{}, pairs: map[pairKey]*pair{}, delay: 300 * time.Microsecond, jitter: 700 * time.Microsecond}
	w.power = powerSwitch{w: w, kind: fenceKind(w.rng.IntN(int(fenceKinds)))}
	w.ledger = ledger{w: w, rows: map[string]*row{}}
	w.operator.w = w
	w.checks = checker{w: w, acting: map[uint64]string{}, votes: map[[2]uint64]uint64{}, states: map[uint64]stateSummary{}, calm: true}
	w.scenario()
	r := &Report{Err: w.err, Hash: w.hash, Trace: w.trace(), Virtual: w.now, Events: w.evts, Hits: w.hits, Fenced: len(w.power.log)}
	for _, c := range w.clients {
		r.Writes += c.writes
		r.Reads += c.reads
		r.Unknown += c.unknown
	}
	return r
}

// Times of a scenario.
const (
	joinLimit    = 60 * time.Second // for all nodes to have joined and all resources to run
	cleanupAfter = 15 * time.Second // without rest, the operator has failures forgotten
	minLength    = 2 * time.Minute  // of a run
	quiet        = 3 * time.Second  // for which a cluster must be at rest to count as settled

	// maxThinking is how long a decision takes at most: more than that of 100 nodes with 2,000 resources.
	maxThinking = 500 * time.Millisecond
)

// scenario is the course of a run.
func (w *world) scenario() {
	cfg := &w.cfg
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
		if w.rng.IntN(3) == 0 {
			cfg.Nodes = 5
		}
	}
	if cfg.Settle == 0 {
		cfg.Settle = 90 * time.Second
	}
	if cfg.Replica.SnapshotEntries == 0 && w.chance(50) {
		cfg.Replica.SnapshotEntries, cfg.Replica.KeepEntries = 40, 10
	}
	w.thinking = [...]time.Duration{time.Millisecond, 50 * time.Millisecond, maxThinking}[w.rng.IntN(3)]
	for i := range cfg.Nodes {
		w.machines = append(w.machines, &machine{w: w, name: fmt.Sprintf("n%d", i+1), disk: simdisk.New(), services: map[string]*service{}, runs: map[string]*run{},
			fsync: 4 * time.Millisecond, clock: w.between(-300*time.Millisecond, 300*time.Millisecond)})
	}
	w.found()
	w.every(time.Second, w.checks.stops)
	if !w.settle(joinLimit, "after all nodes joined") {
		return
	}
	if w.chance(30) {
		w.coldStart()
		if !w.settle(joinLimit, "after the cold start") {
			return
		}
	}
	for i := range 3 {
		c := &client{w: w, id: fmt.Sprintf("writer-%d", i+1)}
		w.clients = append(w.clients, c)
		c.next()
	}
	if !w.run(w.now + 5*time.Second) {
		return
	}
	switch {
	case cfg.script != nil:
		w.checks.calm = false
		cfg.script(w)
	case cfg.Faults > 0:
		w.checks.calm = false
		w.faults(w.now + cfg.Faults)
	default:
		w.peace(w.now + 20*time.Second)
	}
	if w.err != nil {
		return
	}
	w.heal()
	if !w.run(w.now + 5*time.Second) {
		return
	}
	for _, c := range w.clients {
		c.stopped = true
	}
	if !w.settle(cfg.Settle, "after the last fault") {
		return
	}
	w.finalState()
	// At rest it stays at rest: what would still happen now would happen for ever.
	index, fences := w.machines[0].proc.n.State().Index, len(w.power.log)
	if !w.run(max(w.now+quiet, minLength)) {
		return
	}
	if s := w.machines[0].proc.n.State(); s.Index != index || len(w.power.log) != fences {
		w.violate("I9", "the cluster was at rest at index %d and went on by itself to %d", index, s.Index)
	}
}

// every calls f at a fixed interval for the rest of the run.
func (w *world) every(d time.Duration, f func()) {
	w.after(d, func() {
		f()
		w.every(d, f)
	})
}

// found makes the cluster on the first machine and has the others join.
func (w *world) found() {
	doc := w.document()
	entry := command.Entry{Kind: command.KindBootstrap, Actor: "uid:0", Origin: "n1", Time: epoch.UnixMilli(), Bootstrap: &command.Bootstrap{
		ClusterID: "simulated", Name: "sim", CA: []byte{1}, Config: doc,
		First: command.MemberAdd{Name: "n1", Key: []byte{1}, Links: w.addresses(0), Feature: command.FeatureLevel},
	}}
	data, err := entry.Encode()
	if err != nil {
		w.violate("contract", "encode bootstrap: %v", err)
		return
	}
	state, out := command.Apply(command.New(), 1, 1, data)
	if out.Err != nil {
		w.violate("contract", "bootstrap: %v", out.Err)
		return
	}
	snapshot, err := state.Encode()
	if err != nil {
		w.violate("contract", "encode state: %v", err)
		return
	}
	m := w.machines[0]
	w.create(m, 1, 1, replica.Founding(1, snapshot))
	m.powerOn()
	if len(w.machines) > 1 {
		w.join(1)
	}
}

func (w *world) create(m *machine, id membership.NodeID, raft membership.RaftID, first *replica.Save) {
	m.id, m.raft = id, raft
	log, err := m.disk.Create(raftlog.Identity{ClusterID: "simulated", NodeID: id, RaftID: raft}, first)
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		w.violate("contract", "%s: create log: %v", m.name, err)
	}
}

func (w *world) addresses(i int) []cib.NodeLink {
	var out []cib.NodeLink
	for l, name := range linkNames {
		out = append(out, cib.NodeLink{Link: name, Address: fmt.Sprintf("10.%d.0.%d", l, i+1)})
	}
	return out
}

// join lets machine i join, and then the next.
func (w *world) join(i int) {
	m := w.machines[i]
	w.operator.do("join of "+m.name, func(s *command.State) *command.Entry {
		return &command.Entry{Kind: command.KindMemberAdd, MemberAdd: &command.MemberAdd{Name: m.name, Key: []byte(m.name), Links: w.addresses(i), Feature: command.FeatureLevel}}
	}, func(p *process, r node.Reply) {
		s := p.n.State()
		mem := s.Member(m.name)
		if mem == nil {
			w.violate("contract", "%s was added, but is no member: %v", m.name, r.Outcome.Err)
			return
		}
		m.known = knownOf(s)
		w.tell("%s joins as node %d", m.name, mem.NodeID)
		w.create(m, membership.NodeID(mem.NodeID), membership.RaftID(mem.RaftID), nil)
		m.powerOn()
		if i+1 < len(w.machines) {
			w.after(w.between(0, 300*time.Millisecond), func() { w.join(i + 1) })
		}
	})
}

func knownOf(s *command.State) []node.Known {
	var out []node.Known
	for i := range s.Members {
		mem := &s.Members[i]
		if mem.Removed {
			continue
		}
		k := node.Known{Name: mem.Name, Node: membership.NodeID(mem.NodeID), Raft: membership.RaftID(mem.RaftID), Key: mem.Key}
		for j := range s.Document.Config.Nodes {
			if n := &s.Document.Config.Nodes[j]; n.Name == mem.Name {
				k.Links = n.Links
			}
		}
		out = append(out, k)
	}
	return out
}

const definition = `<cib crm_feature_set="3.19.0" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration>
 <crm_config><cluster_property_set id="options">
  <nvpair id="o1" name="stonith-enabled" value="true"/>
  <nvpair id="o2" name="no-quorum-policy" value="stop"/>
 </cluster_property_set></crm_config>
 <nodes/>
 <resources>
  %s
 </resources>
 <constraints>
  <rsc_colocation id="col1" rsc="db2" with-rsc="db1" score="INFINITY"/>
  <rsc_order id="ord1" first="db1" then="db2"/>
  <rsc_order id="ord2" first="db3" then="site"/>
  <rsc_location id="loc1" rsc="db3" node="n2" score="50"/>
 </constraints>
 <fencing-topology>%s</fencing-topology>
</configuration><status/></cib>`

func primitive(id string) string {
	return fmt.Sprintf(`<primitive id="%s" class="ocf" provider="sim" type="Oracle"><operations>
  <op id="%[1]s-start" name="start" interval="0" timeout="20s"/><op id="%[1]s-stop" name="stop" interval="0" timeout="20s"/>
  <op id="%[1]s-mon" name="monitor" interval="2s" timeout="10s"/></operations></primitive>`, id)
}

// document is the configuration: a stonith device, ordered and colocated primitives, a group, a clone.
func (w *world) document() *cib.Document {
	devices, topology := w.power.definition()
	text := devices + primitive("db1") + primitive("db2") + primitive("db3") +
		`<group id="site">` + primitive("ip") + primitive("web") + `</group>` +
		`<clone id="c-clone">` + primitive("cd") + `</clone>`
	doc, problems, err := cibxml.Read(fmt.Appendf(nil, definition, text, topology))
	if err != nil {
		w.violate("contract", "definition: %v", err)
		return nil
	}
	if len(problems) > 0 {
		w.violate("contract", "definition: %v", problems[0].String())
		return nil
	}
	if w.chance(60) {
		doc.Config.Cluster.Timing = cib.TimingSettings{Heartbeat: "200ms", DeadAfter: "1500ms"}
	}
	return doc
}

// resources that must run on exactly one node when the cluster is at rest.
var exclusives = []string{"db1", "db2", "db3", "ip", "web"}

// settle runs until the cluster has been at rest for a while.
func (w *world) settle(limit time.Duration, when string) bool {
	deadline := w.now + limit
	cleanup := w.now + cleanupAfter
	var since time.Duration = -1
	why := ""
	for w.now < deadline {
		if !w.run(w.now + 250*time.Millisecond) {
			return false
		}
		if why != "" && w.now >= cleanup {
			// What failed during the faults may be banned from where it should run: that takes an administrator.
			cleanup = w.now + cleanupAfter
			w.operator.cleanup()
		}
		why = w.unrest()
		switch {
		case why != "":
			since = -1
		case since < 0:
			since = w.now
		case w.now-since >= quiet:
			w.tell("settled %s", when)
			return true
		}
	}
	w.tellStatus()
	w.violate("I9", "%v %s the cluster is not at rest: %s", limit, when, why)
	return false
}

// tellStatus writes what the leader's document says into the trace.
func (w *world) tellStatus() {
	m := w.leader()
	if m == nil {
		return
	}
	s := m.proc.n.State()
	for i := range s.Document.Status.Nodes {
		st := &s.Document.Status.Nodes[i]
		w.tell("document: %s in_ccm=%s crmd=%s join=%s expected=%s", st.Name, st.InCCM, st.CRMD, st.Join, st.Expected)
		for _, set := range st.Attributes {
			for _, p := range set.Pairs {
				w.tell("document:   %s=%s", p.Name, p.Value)
			}
		}
		for _, h := range st.History {
			for _, op := range h.Operations {
				w.tell("document:   %s call=%d rc=%d status=%d %s %s", op.ID, op.CallID, op.RC, op.Status, op.TransitionKey, op.ExitReason)
			}
		}
	}
	for _, p := range s.Pending {
		w.tell("document: pending %+v %s on %s", p.ID, p.Key, p.Node)
	}
	for i := range s.Document.Config.Constraints {
		c := &s.Document.Config.Constraints[i]
		w.tell("document: constraint %s %s %s %s", c.ID, c.Resource, c.Node, c.Score)
	}
	for i := range s.Document.Config.Nodes {
		n := &s.Document.Config.Nodes[i]
		w.tell("document: node %s %v", n.Name, n.Attributes)
	}
}

// unrest says why the cluster is not at rest; "" = it is.
func (w *world) unrest() string {
	leader := ""
	var first *process
	for _, m := range w.machines {
		p := m.proc
		if p == nil {
			return m.name + " does not run"
		}
		if first == nil {
			first = p
		}
		s := p.n.State()
		role := p.n.Role()
		switch {
		case s.ClusterID == "":
			return m.name + " has no document"
		case s.Index != first.n.State().Index:
			return fmt.Sprintf("%s is at index %d, %s at %d", m.name, s.Index, first.m.name, first.n.State().Index)
		case !p.n.Fresh():
			return m.name + " is not caught up"
		case p.n.Alone():
			return m.name + " is alone"
		case p.n.Busy() > 0:
			return fmt.Sprintf("%s is busy with %d operations", m.name, p.n.Busy())
		case len(s.Pending) > 0:
			return fmt.Sprintf("%s on %s is pending", s.Pending[0].Key, s.Pending[0].Node)
		}
		if role.Acting {
			if leader != "" {
				return leader + " and " + m.name + " lead"
			}
			leader = m.name
			l := p.n.Leader()
			if l == nil || !l.Idle() {
				return m.name + " is not idle"
			}
		}
		for _, x := range w.machines {
			if mem := s.Member(x.name); mem == nil || !mem.Online || x.proc == nil || mem.Incarnation != uint64(x.proc.inc) {
				return x.name + " is not online in the document of " + m.name
			}
		}
		if got := len(p.n.Members().Voters); got != len(w.machines) {
			return fmt.Sprintf("%d of %d nodes vote", got, len(w.machines))
		}
	}
	if leader == "" {
		return "nobody leads"
	}
	for _, name := range exclusives {
		if h := w.ledger.holders(name); len(h) != 1 {
			return fmt.Sprintf("%s runs on %v", name, h)
		}
	}
	for _, m := range w.machines {
		if n := m.clones("cd"); n != 1 {
			return fmt.Sprintf("%d instances of the clone run on %s", n, m.name)
		}
	}
	if w.operator.planned > 0 {
		return "the operator has plans"
	}
	if len(w.operator.pending) > 0 {
		return "the operator waits for " + w.operator.pending[0].name
	}
	return ""
}

func (m *machine) clones(prefix string) (n int) {
	for _, name := range sortedServices(m) {
		if s := m.services[name]; s.active && len(name) >= len(prefix) && name[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

func sortedServices(m *machine) []string { return slices.Sorted(maps.Keys(m.services)) }

// coldStart switches everything off and on again.
func (w *world) coldStart() {
	w.hit("cold start")
	for _, m := range w.machines {
		m.powerOff("all machines lose power")
	}
	w.topology()
	w.run(w.now + w.between(time.Second, 5*time.Second))
	for _, m := range w.machines {
		w.after(w.between(0, 3*time.Second), func() { m.powerOn() })
	}
}

// finalState compares the whole states, and what clients were told, when the cluster is at rest.
func (w *world) finalState() {
	var first []byte
	for _, m := range w.machines {
		s := m.proc.n.State()
		data, err := s.Encode()
		if err != nil {
			w.violate("contract", "%s: encode state: %v", m.name, err)
			return
		}
		if first == nil {
			first = data
			w.mixBytes(data)
		} else if !bytes.Equal(first, data) {
			w.violate("I9", "at rest the states of %s and %s differ at index %d", w.machines[0].name, m.name, s.Index)
			return
		}
		for _, id := range m.runOrder {
			if r := m.runs[id]; r != nil && r.result != nil {
				w.violate("contract", "at rest the runner of %s still keeps the result of %s: nobody acknowledged it", m.name, id)
			}
		}
		for _, c := range w.clients {
			if got := c.valueIn(s); got < c.acked || got > c.value {
				w.violate("I3", "%s has %d of %s; %d was acknowledged and %d written last", m.name, got, c.id, c.acked, c.value)
			}
		}
	}
}
