package membership

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/membership/detector"
	"github.com/quorate/quorate/membership/link"
	"github.com/quorate/quorate/membership/quorum"
)

const (
	// goodbyeBeats is how often a goodbye is said: with 10 % loss on the only link, one goodbye of a
	// thousand is not heard, and then the node counts as lost after the dead time.
	goodbyeBeats = 3
	// minStreamDead bounds from below the time in which a stream must come: two handshakes and a back-off.
	minStreamDead = 2 * time.Second
	// witnessBeats is the age, in intervals, up to which the row of a peer says anything about whom it
	// hears now.
	witnessBeats = 3
	// oldNeeds is how many heartbeats in a row bring a process back that was replaced by another.
	oldNeeds = 5
	// oldIncarnations is the number of past processes of a peer whose late datagrams are recognised.
	oldIncarnations = 4
	// maxEvents bounds the events that wait; the oldest go first. It is far above what one input makes.
	maxEvents = 10_000
)

// storedRow is a row of the matrix and the local instant at which its node said it.
type storedRow struct {
	row  Row
	said Instant
	// counted says that the row was young enough to belong to the matrix when that was looked at last.
	counted bool
}

type linkState struct {
	link link.Link
	seq  uint64 // last sent
	// The newest heartbeat received: its "sent" field and the instant, for the echo.
	echo   uint64
	echoAt Instant
	echoOK bool
}

type peer struct {
	id    NodeID
	voter bool
	use   LinkSet // links that both have
	links [MaxLinks]linkState
	cfg   detector.Config // own timing, stretched to what the peer promises
	// promised is the interval that the peer announced last; 0 = none.
	promised time.Duration

	incarnation Incarnation
	old         []Incarnation // newest last, at most oldIncarnations
	lastHeard   Instant       // newest heartbeat of it on any link
	// Another process that is heard in between: heartbeats in a row, by its ascending clock; 0 = none.
	other      Incarnation
	otherSent  uint64
	otherCount int

	boot    string
	sent    uint64 // highest "sent" of this incarnation: the newest state of the fields below
	flags   byte
	leader  NodeID
	applied uint64

	everHeard bool // by this process
	twoWay    bool // heard us in its present incarnation
	oneWay    bool
	oneWayAt  Instant // since when, valid with oneWay

	streams    LinkSet
	noStreamAt Instant // since when no stream is open though it is heard
	noStream   bool    // called so
	reset      bool    // all streams were reset, and no later heartbeats came yet
	resetSent  uint64  // newest heartbeat at that time, by the peer's clock

	elsewhere   bool // silent here, but heard by others
	elsewhereAt Instant

	state State
	cause Cause
	since Instant

	apart   bool // lives outside of the set that goes on, since apartAt
	apartAt Instant
	losses  int

	route    LinkID
	hasRoute bool
}

// Core is the membership state machine of one node. Inputs are its methods that take the present instant;
// instants must not go backwards (an earlier one counts as the newest seen). After each input the owner
// takes [Core.Ready], and it calls [Core.Tick] at [Core.NextTick] at the latest: a Core that is called late
// concludes that its process was stopped. A Core is not safe for concurrent use.
type Core struct {
	cfg   Config
	now   Instant
	start Instant
	// graceUntil is the end of the time after a pause in which nobody is accused of not hearing this node.
	graceUntil Instant
	peers      []*peer // ascending by id
	rows       map[NodeID]*storedRow
	own        Row
	local      Local
	pause      detector.Pause

	nextBeat, lastBeat Instant
	beaten             bool
	pace               time.Duration // time between heartbeats now
	paceUntil          Instant       // pace is kept until then
	rotate             int           // where the next heartbeat begins with others' rows
	leaving            bool
	goodbyes           int // to be sent; -1 = not asked
	gone               bool

	dirty       bool // the matrix changed
	best        []NodeID
	bestSince   Instant
	number      ViewID
	shown       [2][]NodeID // Together and Isolate as of the last ViewChanged
	shownOut    bool
	heartbeats  []OutHeartbeat
	events      []Event
	rowsScratch []byte
}

// Local is what the owner tells of its own node for the heartbeats.
type Local struct {
	// Leader is whom this node follows, itself while it leads; 0 = nobody. It breaks ties in [Matrix.Best].
	Leader NodeID
	// Quorate says that this node believes to have quorum. Applied is its raft index.
	Quorate bool
	Applied uint64
}

// New returns the state machine of a node that starts now.
func New(cfg Config, now Instant) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Core{start: now, now: now, rows: map[NodeID]*storedRow{}, goodbyes: -1, nextBeat: now, bestSince: now}
	c.adopt(cfg.normal())
	c.finish()
	return c, nil
}

// SetConfig changes members, links and timing. Self, Incarnation and Boot must stay as they are. When it
// returns an error nothing has changed.
func (c *Core) SetConfig(cfg Config, now Instant) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Self != c.cfg.Self || cfg.Incarnation != c.cfg.Incarnation || cfg.Boot != c.cfg.Boot {
		return fmt.Errorf("%w: number, incarnation and boot mark of a node can't change while it runs", ErrConfig)
	}
	c.advance(now)
	c.adopt(cfg.normal())
	c.finish()
	return nil
}

func (c *Core) adopt(cfg Config) {
	old := c.cfg.Timing
	c.cfg = cfg
	switch {
	case c.pace == 0:
		c.pace = cfg.Timing.Interval
	case cfg.Timing == old:
	case cfg.Timing.Interval > c.pace:
		// Peers that have not heard of the longer interval must not miss heartbeats: the old pace is kept
		// until they have been told, many times over.
		c.paceUntil = c.now.Add(4 * old.Dead)
	default:
		c.pace = cfg.Timing.Interval
	}
	self := cfg.Members[slices.IndexFunc(cfg.Members, func(m Member) bool { return m.ID == cfg.Self })]
	peers := make([]*peer, 0, len(cfg.Members)-1)
	for _, m := range cfg.Members {
		if m.ID == cfg.Self {
			continue
		}
		p := c.peer(m.ID)
		if p == nil {
			p = &peer{id: m.ID, cause: NeverHeard, since: c.now}
			p.cfg = detector.Config{Interval: cfg.Timing.Interval, Dead: cfg.Timing.Dead}
		}
		p.voter = m.Voter
		use := m.Links & self.Links
		for l := LinkID(0); l < MaxLinks; l++ {
			if use.Has(l) && !p.use.Has(l) {
				p.links[l] = linkState{link: link.New(p.cfg, c.now), seq: p.links[l].seq}
			}
		}
		p.use = use
		peers = append(peers, p)
	}
	c.peers = peers
	for id := range c.rows {
		if c.peer(id) == nil {
			delete(c.rows, id)
		}
	}
	for _, p := range c.peers {
		c.retime(p, p.promised)
	}
	c.own.Node = cfg.Self
	c.dirty = true
	c.hurry()
}

func (c *Core) peer(id NodeID) *peer {
	i, ok := slices.BinarySearchFunc(c.peers, id, func(p *peer, id NodeID) int { return int(p.id) - int(id) })
	if !ok {
		return nil
	}
	return c.peers[i]
}

// retime stretches the own timing to the interval that the peer promises: while a change of the timing is
// on its way, the slower side counts.
func (c *Core) retime(p *peer, promised time.Duration) {
	t := c.cfg.Timing
	cfg := detector.Config{Interval: t.Interval, Dead: t.Dead}
	if promised > t.Interval {
		cfg.Interval = promised
		cfg.Dead = max(t.Dead, time.Duration(float64(t.Dead)*float64(promised)/float64(t.Interval)))
	}
	if cfg == p.cfg {
		return
	}
	p.cfg = cfg
	for _, l := range p.use.IDs() {
		p.links[l].link.SetConfig(cfg, c.now)
	}
}

// settle is how long a partial fault must look the same before anything is concluded from it.
func (c *Core) settle() time.Duration {
	return max(c.cfg.Timing.Dead/4, 2*c.cfg.Timing.Interval)
}

// counts reports whether a row belongs to the matrix. What a peer said that is heard here counts until
// that peer is silent; what was heard through others, as long as its node can't be dead.
func (c *Core) counts(p *peer, s *storedRow) bool {
	return c.heard(p) != 0 || c.now.Sub(s.said) <= p.cfg.Dead+2*p.cfg.Interval
}

func (c *Core) streamDead() time.Duration { return max(2*c.cfg.Timing.Dead, minStreamDead) }

// hurry sends the next heartbeats early: something changed that peers should know. Not more often than
// four times an interval.
func (c *Core) hurry() {
	at := c.now
	if c.beaten {
		at = max(at, c.lastBeat.Add(c.pace/4))
	}
	c.nextBeat = min(c.nextBeat, at)
}

// join sends the next heartbeats with the ones that have just come, when they are nearly due: so the nodes of a
// cluster beat together, and each is woken once in an interval, not once for each peer. It makes no heartbeat late.
func (c *Core) join() {
	if c.beaten && c.goodbyes < 0 && c.nextBeat.Sub(c.now) <= c.pace/4 {
		c.nextBeat = min(c.nextBeat, c.now)
	}
}

// advance is the first step of every input.
func (c *Core) advance(now Instant) {
	c.now = max(c.now, now)
	late, paused := c.pause.Observe(c.now, max(c.cfg.Timing.Interval/2, 10*time.Millisecond))
	if !paused {
		return
	}
	if late >= c.cfg.Timing.Dead/4 {
		c.emit(SelfPaused{For: late})
	}
	for _, p := range c.peers {
		for _, l := range p.use.IDs() {
			p.links[l].link.Excuse(c.now, late)
		}
		// All waiting begins again: the reasons for it may be in the sockets.
		p.oneWayAt, p.noStreamAt, p.elsewhereAt = c.now, c.now, c.now
	}
	c.bestSince = c.now
	// After a long pause peers say with reason that they do not hear this node; they will again.
	c.graceUntil = max(c.graceUntil, c.now.Add(min(late+2*c.cfg.Timing.Interval, c.cfg.Timing.Dead)))
}

// Tick notes that time has passed.
func (c *Core) Tick(now Instant) {
	c.advance(now)
	for _, p := range c.peers {
		for _, l := range p.use.IDs() {
			p.links[l].link.Tick(c.now)
		}
	}
	c.finish()
}

// SetLocal tells what the heartbeats say about this node.
func (c *Core) SetLocal(l Local, now Instant) {
	c.advance(now)
	if l.Leader != c.local.Leader {
		c.dirty = true
	}
	if l.Leader != c.local.Leader || l.Quorate != c.local.Quorate {
		c.hurry()
	}
	c.local = l
	c.finish()
}

// Leave announces that this node was asked to stop. It stays a member until [Core.Goodbye].
func (c *Core) Leave(now Instant) {
	c.advance(now)
	c.leaving = true
	c.hurry()
	c.finish()
}

// Goodbye announces that this node stops now; nothing may run on it any more. Output.Gone tells when that was
// said often enough. After that no heartbeats are sent.
func (c *Core) Goodbye(now Instant) {
	c.advance(now)
	c.leaving = true
	if c.goodbyes < 0 {
		c.goodbyes = goodbyeBeats
		c.nextBeat = c.now
	}
	c.finish()
}

// StreamUp tells that a stream to the peer is open on the link.
func (c *Core) StreamUp(id NodeID, l LinkID, now Instant) {
	c.advance(now)
	if p := c.peer(id); p != nil {
		p.streams = p.streams.With(l)
		p.noStream, p.reset = false, false
	}
	c.finish()
}

// StreamDown tells that the stream to the peer on the link is closed. With reset, it was closed by the
// peer's machine and not by this node nor by a timeout: when that was the last stream, its process has
// probably ended, and the peer is suspect at once. It stays so until heartbeats come again.
func (c *Core) StreamDown(id NodeID, l LinkID, reset bool, now Instant) {
	c.advance(now)
	if p := c.peer(id); p != nil && p.streams.Has(l) {
		p.streams = p.streams.Without(l)
		if p.streams == 0 {
			p.noStreamAt = c.now
			if reset && p.flags&flagGoodbye == 0 {
				p.reset, p.resetSent = true, p.sent
			}
		}
	}
	c.finish()
}

// ReceiveHeartbeat takes the payload of an authenticated datagram from a peer. It returns an error that wraps
// ErrHeartbeat when the payload has no meaning here; nothing has changed then but the time.
func (c *Core) ReceiveHeartbeat(from NodeID, l LinkID, payload []byte, now Instant) error {
	c.advance(now)
	defer c.finish()
	p := c.peer(from)
	if p == nil {
		return fmt.Errorf("%w: node %d is no member, or this node itself", ErrHeartbeat, from)
	}
	if !p.use.Has(l) {
		return fmt.Errorf("%w: from node %d on link %d, which is not used between it and this node", ErrHeartbeat, from, l)
	}
	h, err := decodeHeartbeat(payload)
	if err != nil {
		return fmt.Errorf("node %d on link %d: %w", from, l, err)
	}
	if h.rows[0].row.Node != from {
		return fmt.Errorf("%w: from node %d on link %d, but its first row is of node %d", ErrHeartbeat, from, l, h.rows[0].row.Node)
	}
	if h.incarnation == p.incarnation {
		p.other = 0
	} else {
		if !c.believes(p, h) {
			return fmt.Errorf("%w: from node %d on link %d, of another process of that node than the one that is heard", ErrHeartbeat, from, l)
		}
		c.restarted(p, h.incarnation)
	}
	ls := &p.links[l]
	wasAlive := ls.link.State().Alive()
	p.promised = h.interval
	c.retime(p, h.interval)
	if !ls.link.Receive(h.seq, c.now) {
		return nil
	}
	p.lastHeard = c.now
	c.join()
	// The first heartbeat on a link that was called dead does not make the link alive again. A peer that was never
	// heard stays unknown until one is: that it begins to be heard must not make it lost.
	p.everHeard = p.everHeard || ls.link.State().Alive()
	ls.echo, ls.echoAt, ls.echoOK = h.sent, c.now, true
	if h.flags&flagEcho != 0 {
		if back := micros(c.now, c.start); back >= h.echo && back-h.echo >= h.held {
			ls.link.RTT(time.Duration(min(back-h.echo-h.held, uint64(time.Hour/time.Microsecond))) * time.Microsecond)
		}
	}
	if h.sent >= p.sent {
		p.sent, p.flags, p.leader, p.applied, p.boot = h.sent, h.flags, h.leader, h.applied, h.boot
		c.store(h.rows[0].row, c.now)
	}
	for _, w := range h.rows[1:] {
		id := w.row.Node
		q := c.peer(id)
		if q == nil || id == from || c.heard(q) != 0 {
			continue // what a node says itself is better than what others say that it said
		}
		// Ages are cut to milliseconds on the way.
		said := c.now.Add(-w.age - time.Millisecond)
		if s := c.rows[id]; s == nil || said.After(s.said) {
			c.store(w.row, said)
		}
	}
	if !wasAlive {
		c.hurry() // let it know soon that it is heard
	}
	return nil
}

// believes reports whether a heartbeat of another process than the one heard last shows that the peer
// runs as that process now. A datagram that was long on its way must not do it, since nothing orders
// incarnations: while the process heard last may still live, one from a new process is not enough, and many
// are needed from one that was replaced before. No process is refused for ever.
func (c *Core) believes(p *peer, h *heartbeat) bool {
	need := 2
	switch {
	case p.incarnation == 0:
		return true
	case slices.Contains(p.old, h.incarnation):
		need = oldNeeds
	case p.reset, c.now.Sub(p.lastHeard) > 3*p.cfg.Interval/2:
		need = 1
	}
	switch {
	case p.other != h.incarnation:
		p.other, p.otherSent, p.otherCount = h.incarnation, h.sent, 1
	case h.sent > p.otherSent:
		p.otherSent = h.sent
		p.otherCount++
	}
	return p.otherCount >= need
}

func (c *Core) restarted(p *peer, inc Incarnation) {
	if p.incarnation != 0 {
		c.emit(NodeRestarted{Node: p.id, Old: p.incarnation, New: inc})
		p.old = append(p.old, p.incarnation)
		if len(p.old) > oldIncarnations {
			p.old = slices.Delete(p.old, 0, 1)
		}
		for _, l := range p.use.IDs() {
			p.links[l].link.Restart(c.now)
			p.links[l].echoOK = false
		}
	}
	p.incarnation, p.other = inc, 0
	p.sent, p.flags, p.leader, p.applied, p.boot = 0, 0, 0, 0, ""
	p.twoWay, p.oneWay, p.reset, p.noStream = false, false, false, false
	p.noStreamAt = c.now
	delete(c.rows, p.id)
	c.dirty = true
	c.hurry()
}

// store keeps a row. Peers that are no members are left out of it when the matrix is read.
func (c *Core) store(r Row, said Instant) {
	s := c.rows[r.Node]
	if s == nil || !slices.Equal(s.row.Heard, r.Heard) || !slices.Equal(s.row.NoStream, r.NoStream) {
		c.dirty = true
	}
	counted := s != nil && s.counted
	c.rows[r.Node] = &storedRow{row: r, said: said, counted: counted}
}

// heard returns the links on which the peer is heard.
func (c *Core) heard(p *peer) LinkSet {
	var s LinkSet
	for l := LinkID(0); l < MaxLinks; l++ {
		if p.use.Has(l) && p.links[l].link.State().Alive() {
			s = s.With(l)
		}
	}
	return s
}

// hearsUs returns the links on which the peer said that it hears this node.
func (c *Core) hearsUs(p *peer) LinkSet {
	s := c.rows[p.id]
	if s == nil || !c.counts(p, s) {
		return 0
	}
	return s.row.HearsOn(c.cfg.Self)
}

// finish is the last step of every input: it draws the conclusions.
func (c *Core) finish() {
	for _, p := range c.peers {
		c.watch(p)
	}
	c.refreshRow()
	for _, p := range c.peers {
		c.conclude(p)
	}
	c.decide()
	if !c.gone && !c.now.Before(c.nextBeat) && len(c.peers) > 0 {
		c.beat()
	}
	if len(c.peers) == 0 && c.goodbyes > 0 {
		c.goodbyes, c.gone = 0, true
	}
	if at, ok := c.NextTick(); ok {
		c.pause.Expect(at)
	} else {
		c.pause.Clear()
	}
}

// watch keeps the conditions of a peer that must last for a while, and tells alarms.
func (c *Core) watch(p *peer) {
	heard := c.heard(p)
	both := heard & c.hearsUs(p)
	switch {
	case both != 0:
		p.twoWay, p.oneWay = true, false
	case heard == 0:
		p.oneWay = false
	case !p.oneWay:
		p.oneWay, p.oneWayAt = true, c.now
	}
	if elsewhere := heard == 0 && c.heardElsewhere(p); elsewhere != p.elsewhere {
		p.elsewhere, p.elsewhereAt = elsewhere, c.now
	}
	switch {
	case c.cfg.IgnoreStreams || p.streams != 0:
		p.noStream = false
	case both == 0:
		// A stream can't come where heartbeats do not go both ways.
		p.noStreamAt = c.now
	case c.now.Sub(p.noStreamAt) >= c.streamDead():
		p.noStream = true
	}
	// What was on its way when the streams were reset shows nothing; two beats later the process runs.
	if p.reset && p.sent > p.resetSent && p.sent-p.resetSent >= uint64(3*p.promised/2/time.Microsecond) {
		p.reset = false
	}
	if p.flags&flagGoodbye == 0 && !c.gone {
		for l := LinkID(0); l < MaxLinks; l++ {
			if !p.use.Has(l) {
				continue
			}
			if a, ok := p.links[l].link.Alarm(c.now); ok {
				c.emit(LinkChanged{Node: p.id, Link: l, Alarm: a})
			}
		}
	}
	c.reroute(p)
}

func (c *Core) reroute(p *peer) {
	back := c.hearsUs(p)
	var cands [MaxLinks]link.Candidate
	n := 0
	for l := LinkID(0); l < MaxLinks; l++ {
		if p.use.Has(l) && back.Has(l) {
			lk := &p.links[l].link
			cands[n] = link.Candidate{ID: l, State: lk.State(), Quality: lk.Quality(), Avoided: lk.Avoided(c.now)}
			n++
		}
	}
	route, ok := link.Best(cands[:n], p.route, p.hasRoute)
	if route != p.route || ok != p.hasRoute {
		p.route, p.hasRoute = route, ok
		c.emit(RouteChanged{Node: p.id, Link: route, OK: ok})
	}
}

// refreshRow brings the own row up to date.
func (c *Core) refreshRow() {
	same, n, m := true, 0, 0
	for _, p := range c.peers {
		if s := c.heard(p); s != 0 {
			same = same && n < len(c.own.Heard) && c.own.Heard[n] == Heard{p.id, s}
			n++
		}
		if p.noStream {
			same = same && m < len(c.own.NoStream) && c.own.NoStream[m] == p.id
			m++
		}
	}
	if same && n == len(c.own.Heard) && m == len(c.own.NoStream) {
		return
	}
	r := Row{Node: c.cfg.Self}
	for _, p := range c.peers {
		if s := c.heard(p); s != 0 {
			r.Heard = append(r.Heard, Heard{p.id, s})
		}
		if p.noStream {
			r.NoStream = append(r.NoStream, p.id)
		}
	}
	c.own = r
	c.dirty = true
	c.hurry()
}

// conclude gives a peer its state.
func (c *Core) conclude(p *peer) {
	s, cause := c.judge(p)
	if s == p.state && cause == p.cause {
		return
	}
	c.emit(NodeChanged{Node: p.id, From: p.state, To: s, Cause: cause, Incarnation: p.incarnation})
	if s != p.state {
		p.since = c.now
		if s == Lost {
			p.losses++
			p.twoWay = false
		}
		c.dirty = true
	}
	p.state, p.cause = s, cause
}

func (c *Core) judge(p *peer) (State, Cause) {
	// A peer that was not there before may be heard by some earlier than by others.
	elsewhere := c.settle()
	if p.state == Lost || p.state == Unknown {
		elsewhere = c.joinTime(p)
	}
	switch {
	case !p.everHeard:
		if p.elsewhere && c.now.Sub(p.elsewhereAt) >= elsewhere || p.state == Cut && p.elsewhere {
			return Cut, HeardElsewhere
		}
		return Unknown, NeverHeard
	case p.flags&flagGoodbye != 0:
		return Left, Goodbye
	}
	if c.heard(p) != 0 {
		limit := c.settle()
		if !p.twoWay {
			limit = p.cfg.Dead // it may not have heard us yet
		}
		switch {
		case p.reset:
			return Suspect, Reset
		case p.oneWay && c.now.Sub(p.oneWayAt) >= limit && !c.now.Before(c.graceUntil):
			return Cut, OneWay
		case p.noStream:
			return Cut, NoStream
		case c.overdue(p):
			return Suspect, Silence
		case !p.twoWay && p.state != Reachable:
			// Half of a connection is not enough to call a peer reachable that was not.
			return p.state, p.cause
		}
		return Reachable, Heartbeat
	}
	// Silent here. Whoever is heard here and heard it lately keeps it from being lost.
	if p.elsewhere {
		if c.now.Sub(p.elsewhereAt) >= elsewhere || p.state == Cut {
			return Cut, HeardElsewhere
		}
		if p.state == Lost {
			return Lost, Silence
		}
		return Suspect, Silence
	}
	return Lost, Silence
}

// overdue reports whether heartbeats of the peer are late on all links on which it is heard.
func (c *Core) overdue(p *peer) bool {
	for l := LinkID(0); l < MaxLinks; l++ {
		if p.use.Has(l) && p.links[l].link.State().Alive() && !p.links[l].link.Overdue(c.now) {
			return false
		}
	}
	return true
}

func (c *Core) heardElsewhere(p *peer) bool {
	for _, q := range c.peers {
		if q == p || q.flags&flagGoodbye != 0 || c.heard(q) == 0 {
			continue
		}
		s := c.rows[q.id]
		if s != nil && c.now.Sub(s.said) <= witnessBeats*q.cfg.Interval && s.row.HearsOn(p.id) != 0 {
			return true
		}
	}
	return false
}

// Matrix returns what is known about who hears whom.
func (c *Core) Matrix() Matrix {
	m := Matrix{c.own}
	for _, p := range c.peers {
		if p.flags&flagGoodbye != 0 {
			continue
		}
		if s := c.rows[p.id]; s != nil && c.counts(p, s) {
			m = append(m, s.row)
		}
	}
	slices.SortFunc(m, func(a, b Row) int { return int(a.Node) - int(b.Node) })
	return m
}

// decide finds the set that goes on, when the matrix has changed, and tells when the view changed.
func (c *Core) decide() {
	for _, p := range c.peers {
		if s := c.rows[p.id]; s != nil && s.counted != c.counts(p, s) {
			s.counted = !s.counted
			c.dirty = true
		}
	}
	if c.dirty {
		c.dirty = false
		voters := 0
		for _, m := range c.cfg.Members {
			if m.Voter {
				voters++
			}
		}
		var best []NodeID
		if voters > 0 {
			best = c.Matrix().Best(c.cfg.Members, quorum.Needed(voters), c.local.Leader)
		}
		if !slices.Equal(best, c.best) {
			c.best, c.bestSince = best, c.now
		}
	}
	isolate, outside := c.isolate()
	if slices.Equal(c.best, c.shown[0]) && slices.Equal(isolate, c.shown[1]) && outside == c.shownOut {
		return
	}
	c.shown, c.shownOut = [2][]NodeID{c.best, isolate}, outside
	c.number++
	c.emit(ViewChanged{Number: c.number})
}

func (c *Core) isolate() ([]NodeID, bool) {
	if len(c.best) == 0 || c.now.Sub(c.bestSince) < c.settle() {
		return nil, false
	}
	if !slices.Contains(c.best, c.cfg.Self) {
		return nil, true // it is not for this node to decide about others
	}
	var ids []NodeID
	for _, p := range c.peers {
		if !c.outside(p) {
			p.apart = false
			continue
		}
		if !p.apart {
			p.apart, p.apartAt = true, c.now
		}
		if c.now.Sub(p.apartAt) >= max(c.joinTime(p), 3*p.cfg.Dead) {
			ids = append(ids, p.id)
		}
	}
	return ids, false
}

// outside reports whether a peer that lives cannot work with those who should go on together.
func (c *Core) outside(p *peer) bool {
	switch p.state {
	case Unknown, Lost, Left:
		return false
	case Suspect:
		if p.cause == Silence || p.cause == Reset {
			return false // wait for what it turns to
		}
	case Reachable:
		if !p.twoWay {
			return false
		}
	}
	return !slices.Contains(c.best, p.id)
}

// connectTime is how long the connections between two nodes may take to come about after one of them got
// power: the pause between dials, a dial whose first packets went to a machine that did not listen yet, and the
// handshake under load. A fast failure detector makes none of these faster.
const connectTime = 5 * time.Second

// Patience is how long a peer that lives may be unable to work with the others before it is to be isolated: it can
// still be asked, so nothing hurries.
const Patience = connectTime

// joinTime is how long a peer that was not there before may be heard by some and not by others.
func (c *Core) joinTime(p *peer) time.Duration { return max(connectTime, p.cfg.Dead+c.settle()) }

// beat makes the heartbeats for all peers and links.
func (c *Core) beat() {
	if c.pace != c.cfg.Timing.Interval && !c.now.Before(c.paceUntil) {
		c.pace = c.cfg.Timing.Interval
	}
	h := heartbeat{
		incarnation: c.cfg.Incarnation,
		sent:        micros(c.now, c.start),
		interval:    (c.cfg.Timing.Interval + time.Millisecond - 1).Truncate(time.Millisecond),
		leader:      c.local.Leader,
		applied:     c.local.Applied,
		boot:        c.cfg.Boot,
	}
	if c.leaving {
		h.flags |= flagLeaving
	}
	if c.goodbyes >= 0 {
		h.flags |= flagGoodbye
	}
	if c.local.Quorate {
		h.flags |= flagQuorate
	}
	rows := c.appendRows()
	c.heartbeats = c.heartbeats[:0:0] // what was not taken is overtaken
	for _, p := range c.peers {
		for l := LinkID(0); l < MaxLinks; l++ {
			if !p.use.Has(l) {
				continue
			}
			ls := &p.links[l]
			ls.seq++
			h.seq = ls.seq
			flags := h.flags
			if ls.echoOK {
				h.flags |= flagEcho
				h.echo, h.held = ls.echo, uint64(c.now.Sub(ls.echoAt)/time.Microsecond)
			}
			b := make([]byte, 0, maxHead+len(rows))
			b = append(h.appendHead(b), rows...)
			h.flags = flags
			c.heartbeats = append(c.heartbeats, OutHeartbeat{To: p.id, Link: l, Payload: b})
		}
	}
	c.lastBeat, c.beaten = c.now, true
	gap := c.pace
	if c.goodbyes > 0 {
		c.goodbyes--
		c.gone = c.goodbyes == 0
		gap = c.pace / 4
	}
	// Keep the rhythm when on time; begin a new one after a pause.
	if next := c.nextBeat.Add(gap); next.After(c.now) {
		c.nextBeat = next
	} else {
		c.nextBeat = c.now.Add(gap)
	}
}

// appendRows encodes the number of rows, the own row, and as many others as have room. They take turns.
func (c *Core) appendRows() []byte {
	b := append(c.rowsScratch[:0], 1)
	b = appendRow(b, &c.own, 0)
	n := 1
	for i := range c.peers {
		p := c.peers[(c.rotate+i)%len(c.peers)]
		s := c.rows[p.id]
		if s == nil || p.flags&flagGoodbye != 0 || c.heard(p) == 0 {
			continue // only what was heard from the node itself: otherwise rows would go round for ever
		}
		before := len(b)
		b = appendRow(b, &s.row, c.now.Sub(s.said))
		if len(b) > MaxHeartbeat-maxHead {
			b = b[:before]
			c.rotate = (c.rotate + i) % len(c.peers)
			break
		}
		n++
	}
	b[0] = byte(n)
	c.rowsScratch = b
	return b
}

// micros is the sender's clock on the wire.
func micros(now, start Instant) uint64 { return uint64(max(now.Sub(start), 0) / time.Microsecond) }

func (c *Core) emit(e Event) {
	if len(c.events) >= maxEvents {
		c.events = slices.Delete(c.events, 0, 1)
	}
	c.events = append(c.events, e)
}

// NextTick returns when Tick must be called at the latest; false while there is nothing to wait for, which
// is so only for a cluster of one node, and after the goodbye.
func (c *Core) NextTick() (Instant, bool) {
	if len(c.peers) == 0 || c.gone {
		return 0, false
	}
	// Everything else that waits is at least two intervals long, and is looked at with each heartbeat.
	at := c.nextBeat
	for _, p := range c.peers {
		for l := LinkID(0); l < MaxLinks; l++ {
			if !p.use.Has(l) {
				continue
			}
			if d, ok := p.links[l].link.Deadline(c.now); ok {
				at = min(at, d)
			}
		}
	}
	return max(at, c.now), true
}

// HasReady reports whether Ready has anything to give.
func (c *Core) HasReady() bool { return len(c.heartbeats) > 0 || len(c.events) > 0 }

// Ready returns what is to be done since it was called last.
func (c *Core) Ready() Output {
	o := Output{Heartbeats: c.heartbeats, Events: c.events, Gone: c.gone}
	c.heartbeats, c.events = nil, nil
	return o
}

// View returns what this node sees now. The value shares nothing with the Core.
func (c *Core) View() View {
	v := View{Number: c.number, Together: slices.Clone(c.shown[0]), Isolate: slices.Clone(c.shown[1]), Outside: c.shownOut}
	for _, p := range c.peers {
		n := NodeView{
			Node: p.id, State: p.state, Cause: p.cause, Since: p.since,
			Incarnation: p.incarnation, Boot: p.boot,
			Leaving: p.flags&flagLeaving != 0, Quorate: p.flags&flagQuorate != 0, Leader: p.leader, Applied: p.applied,
			Losses: p.losses, Stream: p.streams != 0, HearsUs: c.hearsUs(p), Route: p.route, HasRoute: p.hasRoute,
		}
		for _, l := range p.use.IDs() {
			n.Links = append(n.Links, LinkView{Link: l, State: p.links[l].link.State(), Quality: p.links[l].link.Quality()})
		}
		v.Members = append(v.Members, n)
	}
	return v
}

// State returns what is known of a peer; Unknown when it is no member.
func (c *Core) State(id NodeID) State {
	if p := c.peer(id); p != nil {
		return p.state
	}
	return Unknown
}

// Says returns whom the peer follows and whether it believes to have quorum, by its newest heartbeat; a leader
// names itself. Of a peer that was not heard it is 0 and false.
func (c *Core) Says(id NodeID) (leader NodeID, quorate bool) {
	if p := c.peer(id); p != nil {
		return p.leader, p.flags&flagQuorate != 0
	}
	return 0, false
}

// Route returns the link to use to a peer, and false when none works in both directions.
func (c *Core) Route(id NodeID) (LinkID, bool) {
	if p := c.peer(id); p != nil {
		return p.route, p.hasRoute
	}
	return 0, false
}
