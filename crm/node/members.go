package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/membership/link"
	"github.com/quorate/quorate/membership/quorum"
)

// Heartbeat is a datagram of the membership layer to a peer on one link.
type Heartbeat struct {
	To      membership.NodeID
	Link    membership.LinkID
	Payload []byte
}

// Known is a member that a node knows of before it has the document.
type Known struct {
	Name  string
	Node  membership.NodeID
	Raft  membership.RaftID
	Key   []byte
	Links []cib.NodeLink
}

// members joins the membership core to the node: it configures the core from the state, and turns what the
// core sees into what the controller and raft need.
type members struct {
	n      *Node
	core   *membership.Core
	timing membership.Timing
	links  []string
	names  map[membership.NodeID]string
	began  membership.Instant
	bye    bool
	out    []membership.OutHeartbeat

	lead    replica.Role // the leader heard last, and the process that was elected
	leadRun membership.Incarnation

	asked  map[membership.RaftID]bool // reachable voters at the last call for an election
	askFor membership.RaftID
	askAt  membership.Instant
	lost   replica.Role // leader that was given up last, and when
	lostAt membership.Instant
}

// profiles are the named timings, with the time after which a node without a leader looks after itself.
var profiles = map[string]struct {
	timing membership.Timing
	quorum time.Duration
}{
	"":        {membership.DefaultTiming, 5 * time.Second},
	"default": {membership.DefaultTiming, 5 * time.Second},
	"fast":    {membership.FastTiming, 2 * time.Second},
}

// graceUnheard is how long a member that the document calls online, and that was never heard since this
// process started, is waited for before it counts as lost: as long as machines take that lost power together.
const graceUnheard = 20 * time.Second

func (m *members) init(n *Node) error {
	m.n, m.began = n, n.now
	m.timing = membership.DefaultTiming
	if n.cfg.Timing.Heartbeat > 0 {
		m.timing = membership.Timing{Interval: n.cfg.Timing.Heartbeat, Dead: n.cfg.Timing.Dead}
	}
	cfg := m.config()
	core, err := membership.New(cfg, n.now)
	if err != nil {
		return err
	}
	m.core = core
	return nil
}

// config builds the core's settings from the state, or from what a joiner was told.
func (m *members) config() membership.Config {
	s := m.n.con.state
	known := knownOf(s)
	m.links = s.Links
	if len(known) == 0 {
		known, m.links = m.n.cfg.Known, m.n.cfg.KnownLinks
	} else {
		m.timings(s.Document.Config.Cluster.Timing)
	}
	voters := m.n.con.rep.Members().Voters
	cfg := membership.Config{Self: m.n.cfg.NodeID, Incarnation: m.n.cfg.Incarnation, Boot: m.n.cfg.Boot,
		Timing: m.timing, IgnoreStreams: m.n.cfg.IgnoreStreams}
	if len(cfg.Boot) > membership.MaxBoot {
		cfg.Boot = cfg.Boot[:membership.MaxBoot]
	}
	m.names = map[membership.NodeID]string{}
	self := false
	for _, k := range known {
		m.names[k.Node] = k.Name
		self = self || k.Node == cfg.Self
		mem := membership.Member{ID: k.Node, Voter: slices.Contains(voters, k.Raft)}
		for _, l := range k.Links {
			if at := slices.Index(m.links, l.Link); at >= 0 && at < membership.MaxLinks {
				mem.Links |= membership.Links(membership.LinkID(at))
			}
		}
		cfg.Members = append(cfg.Members, mem)
	}
	if !self {
		m.names[cfg.Self] = m.n.cfg.Name
		cfg.Members = append(cfg.Members, membership.Member{ID: cfg.Self, Links: membership.Links(0)})
	}
	return cfg
}

// configure takes over members, links, voters and timings.
func (m *members) configure() {
	if err := m.core.SetConfig(m.config(), m.n.now); err != nil {
		m.n.note(Warn, "membership settings", "error", err)
	}
	m.n.votes.update()
}

func knownOf(s *command.State) []Known {
	var out []Known
	for i := range s.Members {
		mem := &s.Members[i]
		if mem.Removed {
			continue
		}
		k := Known{Name: mem.Name, Node: membership.NodeID(mem.NodeID), Raft: membership.RaftID(mem.RaftID), Key: mem.Key}
		for j := range s.Document.Config.Nodes {
			if s.Document.Config.Nodes[j].Name == mem.Name {
				k.Links = s.Document.Config.Nodes[j].Links
			}
		}
		out = append(out, k)
	}
	return out
}

// timings takes over the timings of the document. One that would be unstable is left aside with a warning.
func (m *members) timings(t cib.TimingSettings) {
	p, ok := profiles[t.Profile]
	if !ok {
		p = profiles[""]
	}
	timing, timeout := p.timing, p.quorum
	for _, o := range []struct {
		text string
		into *time.Duration
	}{{t.Heartbeat, &timing.Interval}, {t.DeadAfter, &timing.Dead}, {t.QuorumTimeout, &timeout}} {
		if ms, err := cib.ParseInterval(o.text); err == nil && ms > 0 {
			*o.into = time.Duration(ms) * time.Millisecond
		}
	}
	if err := timing.Validate(); err != nil {
		m.n.note(Warn, "timings of the document are not used", "error", err)
		timing = p.timing
	}
	m.n.member.SetQuorumTimeout(timeout)
	m.timing = timing
}

// nodeID finds the member with the raft id; 0 = none.
func (m *members) nodeID(id membership.RaftID) membership.NodeID {
	if mem := m.n.con.state.MemberByRaftID(uint64(id)); mem != nil {
		return membership.NodeID(mem.NodeID)
	}
	for _, k := range m.n.cfg.Known {
		if k.Raft == id {
			return k.Node
		}
	}
	return 0
}

// raftID finds the raft id of a node; 0 = none.
func (m *members) raftID(id membership.NodeID) membership.RaftID {
	if mem := m.n.con.state.MemberByID(uint16(id)); mem != nil {
		return membership.RaftID(mem.RaftID)
	}
	return 0
}

// tick sends heartbeats that are due and notices who went silent.
func (m *members) tick() {
	m.local()
	m.core.Tick(m.n.now)
	m.events()
}

// local tells the core what its heartbeats say about this node.
func (m *members) local() {
	role := m.n.con.role
	quorate := role.Leader != 0
	if role.State == replica.Leader {
		quorate = m.n.votes.majority() // raft itself finds out only after its election timeout
	}
	m.core.SetLocal(membership.Local{Leader: m.nodeID(role.Leader), Quorate: quorate, Applied: m.n.con.rep.Applied()}, m.n.now)
}

func (m *members) nextTick() membership.Instant {
	if t, ok := m.core.NextTick(); ok {
		return t
	}
	return 1<<63 - 1
}

// events takes what the core gives: heartbeats to send, and what is worth a line in the log. It reports whether
// something changed that the other cores should see.
func (m *members) events() (changed bool) {
	o := m.core.Ready()
	m.out = append(m.out, o.Heartbeats...)
	for _, e := range o.Events {
		switch e := e.(type) {
		case membership.NodeChanged:
			changed = true
			level := Info
			if e.To == membership.Lost || e.To == membership.Cut {
				level = Warn
			}
			m.n.note(level, "node is "+e.To.String(), "peer", m.names[e.Node], "was", e.From.String(), "cause", e.Cause.String())
		case membership.NodeRestarted:
			changed = true
			m.n.note(Info, "node runs as a new process", "peer", m.names[e.Node])
		case membership.LinkChanged:
			m.noteLink(e)
		case membership.SelfPaused:
			m.n.note(Warn, "this process was paused", "for", e.For)
		}
	}
	if changed {
		m.n.votes.unheard()
		m.n.votes.update()
	}
	return changed
}

// noteLink tells that a link is better or worse than it was.
func (m *members) noteLink(e membership.LinkChanged) {
	a := &e.Alarm
	level := Warn
	if a.To == link.Up {
		level = Info
	}
	fields := []any{"peer", m.names[e.Node], "link", m.linkName(int(e.Link)), "was", a.From.String()}
	if a.To.Alive() && a.Quality.RTT > 0 {
		fields = append(fields, "latency", a.Quality.RTT.Round(time.Microsecond), "loss", fmt.Sprintf("%d%%", a.Quality.Loss))
	}
	if a.Suppressed > 0 {
		fields = append(fields, "changes not told before", a.Suppressed)
	}
	m.n.note(level, "link is "+a.To.String(), fields...)
}

func (m *members) linkName(i int) string {
	if i < len(m.links) {
		return m.links[i]
	}
	return ""
}

// HeartbeatReceived gives a heartbeat that came from a peer; its sender is authenticated.
func (n *Node) HeartbeatReceived(now membership.Instant, wall time.Time, from membership.NodeID, link membership.LinkID, payload []byte) error {
	n.at(now, wall)
	err := n.mem.core.ReceiveHeartbeat(from, link, payload, now)
	if n.mem.events() {
		n.work()
	}
	return err
}

// StreamUp tells that a stream to a peer is connected on a link.
func (n *Node) StreamUp(now membership.Instant, id membership.NodeID, link membership.LinkID) {
	n.mem.core.StreamUp(id, link, now)
	if n.mem.events() {
		n.work()
	}
}

// StreamDown tells that a stream to a peer was lost on a link. reset says that the peer's machine closed it: a
// process that was killed is first known by that.
func (n *Node) StreamDown(now membership.Instant, id membership.NodeID, link membership.LinkID, reset bool) {
	n.mem.core.StreamDown(id, link, reset, now)
	if n.mem.events() {
		n.work()
	}
}

func (m *members) leave() {
	m.bye = true
	m.core.Leave(m.n.now)
}

// here reports whether a peer is there: it is heard, or is only overdue.
func here(s membership.State) bool {
	return s == membership.Reachable || s == membership.Suspect
}

// leads reports whether the member with that raft id is there and says that it leads with a majority in sight. A
// leader that lost its majority knows it long before raft tells its followers.
func (m *members) leads(id membership.RaftID) bool {
	node := m.nodeID(id)
	leader, quorate := m.core.Says(node)
	return here(m.core.State(node)) && leader == node && quorate
}

// hears reports whether the member with that raft id is there.
func (m *members) hears(id membership.RaftID) bool {
	return here(m.core.State(m.nodeID(id)))
}

// left reports whether the member with that raft id said goodbye: its process has ended, and runs nothing.
func (m *members) left(id membership.RaftID) bool {
	return m.core.State(m.nodeID(id)) == membership.Left
}

// view is what the leader's controller gets.
func (m *members) view() []controller.NodeView {
	out := []controller.NodeView{{Name: m.n.cfg.Name, Reachable: true, Leaving: m.bye,
		Incarnation: uint64(m.n.cfg.Incarnation), Boot: m.n.cfg.Boot}}
	v := m.core.View()
	for i := range v.Members {
		p := &v.Members[i]
		lost := p.State == membership.Lost || slices.Contains(v.Isolate, p.Node) ||
			p.State == membership.Unknown && m.n.now >= m.began.Add(graceUnheard)
		// A process joins only after raft has its node for a member: the document must not show that it is there before
		// its log shows that it was not (see votes.seenAll).
		out = append(out, controller.NodeView{Name: m.names[p.Node], Reachable: here(p.State) && !lost && m.n.votes.knows(m.raftID(p.Node)), Lost: lost,
			Left: p.State == membership.Left, Leaving: p.Leaving, Incarnation: uint64(p.Incarnation), Boot: p.Boot})
	}
	return out
}

// askAgain is how long a node waits for an election to end before it takes part in the next.
const askAgain = time.Second

// leaderCheck calls for an election when the leader is dead, or when there is none and others are there.
func (m *members) leaderCheck() {
	role := m.n.con.role
	if role.State == replica.Leader {
		m.asked = nil
		if m.bye {
			m.handOver()
		}
		return
	}
	if role.Leader != 0 && !m.leaderGone(role) {
		m.asked = nil
		return
	}
	conf := &m.n.votes.conf
	if !slices.Contains(conf.Voters, m.n.cfg.RaftID) {
		return
	}
	v := m.core.View()
	var voters []replica.Voter
	reachable := map[membership.RaftID]bool{}
	for _, id := range conf.Voters {
		node := m.nodeID(id)
		for i := range v.Members {
			// The leader itself is here only as another process than the one that led, which votes like any other.
			if p := &v.Members[i]; p.Node == node && here(p.State) {
				voters = append(voters, replica.Voter{ID: id, Applied: p.Applied})
				reachable[id] = true
			}
		}
	}
	if len(voters)+1 < quorum.Needed(len(conf.Voters)) {
		m.asked = nil
		return // no majority: nobody can win
	}
	// Without a leader it is the one that was forgotten when it was asked.
	same := m.asked != nil && len(reachable) == len(m.asked) && (role.Leader == 0 || m.askFor == role.Leader)
	for id := range reachable {
		same = same && m.asked[id]
	}
	if same && m.n.now < m.askAt.Add(askAgain) {
		return
	}
	if role.Leader != 0 {
		// A leader whose messages still come, though its heartbeats do not, is known again with each of them. To
		// forget it every time would answer each message by more than one: a storm.
		if role.Leader == m.lost.Leader && role.Term == m.lost.Term && m.n.now < m.lostAt.Add(askAgain) {
			return
		}
		m.lost, m.lostAt = role, m.n.now
	}
	m.asked, m.askFor, m.askAt = reachable, role.Leader, m.n.now
	m.n.con.rep.LeaderLost(m.n.now, role.Leader, voters)
}

// leaderGone reports whether the leader is dead, or runs as another process than the one that was elected: that
// one leads no more, and nobody but its peers can tell raft so.
func (m *members) leaderGone(role replica.Role) bool {
	id := m.nodeID(role.Leader)
	switch m.core.State(id) {
	case membership.Lost, membership.Left, membership.Cut:
		return true
	}
	var running membership.Incarnation
	v := m.core.View()
	for i := range v.Members {
		if v.Members[i].Node == id {
			running = v.Members[i].Incarnation
		}
	}
	if m.lead.Leader != role.Leader || m.lead.Term != role.Term || m.leadRun == 0 {
		m.lead, m.leadRun = role, running
	}
	return running != m.leadRun
}

// handOver gives leadership to another voter before this node leaves.
func (m *members) handOver() {
	if m.n.now < m.askAt.Add(askAgain) && m.askAt != 0 {
		return
	}
	for _, id := range m.n.votes.conf.Voters {
		if id != m.n.cfg.RaftID && m.hears(id) {
			m.askAt = m.n.now
			if m.n.con.rep.TransferLeader(m.n.now, id) == nil {
				return
			}
		}
	}
}

// output moves heartbeats into the node's output.
func (m *members) output() {
	m.events()
	for _, h := range m.out {
		m.n.out.Heartbeats = append(m.n.out.Heartbeats, Heartbeat(h))
	}
	m.out = nil
}

func (m *members) hasOutput() bool { return len(m.out) > 0 || m.core.HasReady() }

// Peers describes the other members for status output: state, links, and who hears whom.
func (n *Node) Peers() (peers []api.Peer, matrix []api.Row) {
	m := &n.mem
	v := m.core.View()
	for i := range v.Members {
		p := &v.Members[i]
		ap := api.Peer{Node: m.names[p.Node], State: p.State.String(), Cause: p.Cause.String(), Connected: p.Stream}
		if p.Leaving && here(p.State) {
			ap.State = "leaving"
		}
		for _, l := range p.Links {
			ap.Links = append(ap.Links, api.PeerLink{Link: m.linkName(int(l.Link)), State: l.State.String(),
				Latency: l.Quality.RTT, Loss: float64(l.Quality.Loss) / 100, InUse: p.HasRoute && p.Route == l.Link})
		}
		peers = append(peers, ap)
	}
	for _, row := range m.core.Matrix() {
		r := api.Row{Node: m.names[row.Node]}
		for _, h := range row.Heard {
			for i := range membership.MaxLinks {
				if h.Links&membership.Links(membership.LinkID(i)) != 0 {
					r.Hears = append(r.Hears, m.names[h.Node]+"/"+m.linkName(i))
				}
			}
		}
		matrix = append(matrix, r)
	}
	return peers, matrix
}
