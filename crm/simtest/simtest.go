// Package simtest runs whole clusters in one goroutine from one seed: the complete nodes of crm/node on a
// simulated network, disks, agents and power switch. Nothing in it reads a clock or starts a goroutine; the same
// seed gives the same run, event by event (Report.Hash), provided that raft's own randomness is fixed as well
// (testing/cryptotest.SetGlobalRandom, which needs a *testing.T and forbids parallel tests).
//
// A run makes a cluster (one founder, the others join), lets it work for a while, injects faults, heals
// everything, and then demands that the cluster settles. Invariants are checked at every event, from a ledger that the
// simulated agents and the power switch write, never from the cluster's own status:
//
//   - I1 an exclusive resource, and the promoted role, is active on one node at most
//   - I2 a resource that was active on a node starts elsewhere only after proof that it is not active there: a stop,
//     a probe, the power switch
//   - I3, I4 what was acknowledged to a client stays; linearizable reads show it
//   - I5 states do not go back, for nodes and for clients, and states of one index are equal
//   - I6 one acting leader in a term, one vote in a term; no action of an older term, out of order, or that was not handed out
//   - I7 nothing starts without quorum; I8 a node without quorum stops what it runs in time
//   - I9 after the last fault the cluster comes to rest: one view, one leader, one state, all running, nothing left to decide
//   - I10 a decision made again on a copy of the state is the same to the byte
//   - I11 order, colocation, bans and standby hold at every start and stop; I12 so do the limits of clones
//   - I13 no action runs twice; I15 what was promised is durable; I16 each write has one record of who made it
//   - I17 no secret parameter is in notes or status; I18 at rest no run and no request is left over
//   - I19 a majority that is fully connected answers requests in time
//   - I20 no fencing before the first fault
//
// A failing run is shown with the fewest faults with which it still fails (Shrink).
//
// What is simulated more kindly than the world is: streams do not lose messages but by breaking, agents do not lie,
// the power switch may refuse but does not lie, and not more than one node at a time has a disk that lost what was synced.
// Tickets, audit logs of runners and the fail counts of I14 are not in it.
package simtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
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
	// Only, when not empty, restricts the faults to those with these names; Keep, when not nil, to those with these numbers
	// in the schedule that the other fields give.
	Only []string
	Keep []int

	// Decide replaces the policy, and ForgetVotes makes disks that do not keep the vote: the checks of the checks.
	Decide      func(policy.Input) (*policy.Decision, error)
	ForgetVotes bool
	// LoseAnswers makes processes forget every tenth answer, and StaleReads makes reads be answered at once.
	LoseAnswers, StaleReads bool

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
	Steps   []int          // the faults of the schedule that have begun, by number
	Writes  int            // acknowledged to clients
	Reads   int
	Unknown int // requests without an answer
	Fenced  int
}

var linkNames = [links]string{"lan", "san"}

// Run makes one run.
func Run(cfg Config) *Report {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x51)), hash: fnvOffset, hits: map[string]int{}}
	w.net = network{w: w, paths: map[pathKey]*path{}, pairs: map[pairKey]*pair{}, delay: usualDelay, jitter: usualJitter}
	w.power = powerSwitch{w: w, kind: fenceKind(w.rng.IntN(int(fenceKinds)))}
	w.ledger = ledger{w: w, rows: map[string]*row{}}
	w.operator.w = w
	w.checks = checker{w: w, acting: map[uint64]string{}, votes: map[[2]uint64]uint64{}, states: map[uint64]stateSummary{},
		whole: map[uint64]uint64{}, decided: map[[2]uint64]uint64{}, calm: true}
	w.scenario()
	r := &Report{Err: w.err, Hash: w.hash, Trace: w.trace(), Virtual: w.now, Events: w.evts, Hits: w.hits, Steps: w.steps, Fenced: len(w.power.log)}
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
	if five := w.chance(34); cfg.Nodes == 0 {
		cfg.Nodes = 3
		if five {
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
		w.machines = append(w.machines, &machine{w: w, index: i, name: fmt.Sprintf("n%d", i+1), disk: simdisk.New(), services: map[string]*service{}, runs: map[string]*run{},
			fsync: usualFsync, clock: w.between(-300*time.Millisecond, 300*time.Millisecond), drift: w.rng.Int64N(2*maxDrift+1) - maxDrift})
	}
	if cfg.Nodes > 2 && w.chance(25) {
		w.hit("witness")
		w.machines[cfg.Nodes-1].witness = true
	}
	w.found()
	w.every(time.Second, w.checks.stops)
	w.every(time.Second, w.checks.liveness)
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
		w.faults()
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
		First: command.MemberAdd{Name: "n1", Key: []byte{1}, Links: w.machines[0].addresses(), Feature: command.FeatureLevel},
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
	w.joinFrom(1)
}

// joinFrom lets machine i join, and then those after it.
func (w *world) joinFrom(i int) {
	if i < len(w.machines) {
		w.join(w.machines[i], func() {
			w.after(w.between(0, 300*time.Millisecond), func() { w.joinFrom(i + 1) })
		})
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

func (m *machine) addresses() []cib.NodeLink {
	var out []cib.NodeLink
	for l, name := range linkNames {
		out = append(out, cib.NodeLink{Link: name, Address: fmt.Sprintf("10.%d.0.%d", l, m.index+1)})
	}
	return out
}

// join makes the machine, whose disk is empty, a new member and starts its node; then is called after that.
func (w *world) join(m *machine, then func()) {
	m.joins++
	key := fmt.Appendf(nil, "%s-%d", m.name, m.joins)
	w.operator.do("join of "+m.name, func(*command.State) *command.Entry {
		return &command.Entry{Kind: command.KindMemberAdd, MemberAdd: &command.MemberAdd{Name: m.name, Key: key, Links: m.addresses(), Witness: m.witness, Feature: command.FeatureLevel}}
	}, func(p *process, r node.Reply) {
		m.replacing = false
		s := p.n.State()
		mem := s.Member(m.name)
		if mem == nil {
			w.violate("contract", "%s was added, but is no member: %v", m.name, r.Outcome.Err)
			return
		}
		m.known = knownOf(s)
		w.tell("%s joins as node %d, raft id %d", m.name, mem.NodeID, mem.RaftID)
		w.create(m, membership.NodeID(mem.NodeID), membership.RaftID(mem.RaftID), nil)
		m.powerOn()
		m.start()
		if then != nil {
			then()
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
  <rsc_location id="loc2" rsc="p-clone"><rule id="loc2-r" role="Promoted" score="10"><expression id="loc2-e" attribute="#uname" operation="defined"/></rule></rsc_location>
 </constraints>
 <fencing-topology>%s</fencing-topology>
</configuration><status/></cib>`

func primitive(id string) string {
	return fmt.Sprintf(`<primitive id="%s" class="ocf" provider="sim" type="Oracle"><operations>
  <op id="%[1]s-start" name="start" interval="0" timeout="20s"/><op id="%[1]s-stop" name="stop" interval="0" timeout="20s"/>
  <op id="%[1]s-mon" name="monitor" interval="2s" timeout="10s"/></operations></primitive>`, id)
}

// document is the configuration: a stonith device, ordered and colocated primitives, a group, a clone and a promotable one.
func (w *world) document() *cib.Document {
	devices, topology := w.power.definition()
	text := devices + primitive("db1") + primitive("db2") + primitive("db3") +
		`<group id="site">` + primitive("ip") + primitive("web") + `</group>` +
		`<clone id="c-clone">` + primitive("cd") + `</clone>` +
		fmt.Sprintf(`<clone id="p-clone"><meta_attributes id="p-m"><nvpair id="p-1" name="promotable" value="true"/>`+
			`<nvpair id="p-2" name="promoted-max" value="1"/><nvpair id="p-3" name="clone-max" value="%d"/></meta_attributes>`, instancesMax) +
		strings.Replace(primitive("cp"), "</operations>", `<op id="cp-mon-p" name="monitor" role="Promoted" interval="3s" timeout="10s"/></operations>`, 1) + `</clone>`
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
