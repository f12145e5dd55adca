package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/membership"
)

// Storage is what a replica reads from stable storage; raftlog.Log is one. Snapshot need not give the data.
type Storage interface {
	raft.Storage
	// Applied is the stored applied index, to which the configuration of InitialState belongs.
	Applied() (uint64, error)
	// PeerMarks is the stored list of Save.Peers.
	PeerMarks() ([]PeerMark, error)
}

// Errors that callers test for.
var (
	// ErrNoLeader: no leader is known, so the request was not taken. Ask again after the next change of Role.
	ErrNoLeader = errors.New("no leader is known")
	// ErrNotLeader: only the leader does this.
	ErrNotLeader = errors.New("this node is not the leader")
	// ErrBusy: too many requests wait already.
	ErrBusy = errors.New("too many requests are waiting")
	// ErrTooLarge: the proposal is above Config.MaxProposalBytes.
	ErrTooLarge = errors.New("proposal is too large")
	// ErrDuplicate: a request with this id is waiting already.
	ErrDuplicate = errors.New("a request with this id is waiting already")
	// ErrConfChangePending: a change of the configuration is not finished yet.
	ErrConfChangePending = errors.New("another change of the members is under way")
	// ErrRetired: this raft id must never vote again.
	ErrRetired = errors.New("this raft id is retired: the node must join again with an empty folder")
	// ErrPeerRefused: the sender has shown less than it had before; see ObservePeer.
	ErrPeerRefused = errors.New("message of a refused peer")
	// ErrMessage is wrapped by the errors about messages that no correct peer sends.
	ErrMessage = errors.New("invalid raft message")
)

// Config of a replica. Zero fields get the default.
type Config struct {
	// ID is the raft id; it must be the one for which the storage was made.
	ID membership.RaftID
	// Incarnation of this process, not zero. It keeps read requests from before a restart apart from later ones.
	Incarnation membership.Incarnation
	Storage     Storage
	// Retired is the storage's mark that this identity must not take part again; New refuses then.
	Retired bool

	// TickInterval is one tick of raft; default 250 ms. Smaller costs wake-ups on the leader.
	TickInterval time.Duration
	// HeartbeatTicks between two heartbeats of a leader; default 2 (500 ms). They carry retries of
	// lost messages and keep CheckQuorum going; failure detection is membership's.
	HeartbeatTicks int
	// ElectionTicks is the least silence after which raft itself elects; default 20 (5 s), twice that at most. It is the backstop
	// and must be longer than any pause that is to be ridden out. A leader that has not heard a majority for so long steps down.
	ElectionTicks int
	// CampaignStagger is the time between the turns of the candidates after LeaderLost; default 50 ms. It should be
	// above two round trips and one save, else the candidates disturb each other.
	CampaignStagger time.Duration

	MaxMessageBytes     uint64 // entries in one append; default 1 MiB
	MaxInflightMessages int    // appends to one peer without an answer; default 128
	MaxInflightBytes    uint64 // default 16 MiB
	MaxUncommittedBytes uint64 // in the leader's log; beyond it proposals are dropped; default 64 MiB
	MaxProposalBytes    int    // one proposal; default 4 MiB
	MaxPending          int    // proposals and reads of this node that wait, each; default 4096
	// RequestTimeout is how long a request may wait until it is reported as dropped; default 10 s.
	RequestTimeout time.Duration

	// A snapshot is asked for after SnapshotEntries applied entries (default 10,000) or SnapshotBytes of their data
	// (default 16 MiB). KeepEntries (default 5,000) before it stay in the log, so that a peer which lags less needs no snapshot.
	SnapshotEntries uint64
	SnapshotBytes   uint64
	KeepEntries     uint64
}

func (c *Config) validate() error {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	defInt := func(d *int, v int) {
		if *d == 0 {
			*d = v
		}
	}
	defUint := func(d *uint64, v uint64) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.TickInterval, 250*time.Millisecond)
	defInt(&c.HeartbeatTicks, 2)
	defInt(&c.ElectionTicks, 20)
	def(&c.CampaignStagger, 50*time.Millisecond)
	defUint(&c.MaxMessageBytes, 1<<20)
	defInt(&c.MaxInflightMessages, 128)
	defUint(&c.MaxInflightBytes, 16<<20)
	defUint(&c.MaxUncommittedBytes, 64<<20)
	defInt(&c.MaxProposalBytes, 4<<20)
	defInt(&c.MaxPending, 4096)
	def(&c.RequestTimeout, 10*time.Second)
	defUint(&c.SnapshotEntries, 10000)
	defUint(&c.SnapshotBytes, 16<<20)
	defUint(&c.KeepEntries, 5000)
	switch {
	case c.ID == 0 || raft.IsLocalMsgTarget(uint64(c.ID)):
		return fmt.Errorf("raft id %d is reserved", c.ID)
	case c.Incarnation == 0:
		return errors.New("incarnation is 0, must be drawn at start")
	case c.Storage == nil:
		return errors.New("storage is missing")
	case c.TickInterval < time.Millisecond:
		return fmt.Errorf("tick interval is %v, must be 1ms or above", c.TickInterval)
	case c.HeartbeatTicks < 1 || c.ElectionTicks < 3*c.HeartbeatTicks:
		return fmt.Errorf("election after %d ticks, heartbeat every %d: must be three heartbeats or more", c.ElectionTicks, c.HeartbeatTicks)
	case c.CampaignStagger < 0 || c.RequestTimeout < 0:
		return errors.New("a time is negative")
	case c.MaxInflightMessages < 1 || c.MaxPending < 1 || c.MaxProposalBytes < 1:
		return errors.New("a limit is below 1")
	case c.MaxInflightBytes < c.MaxMessageBytes:
		return fmt.Errorf("limit of %d bytes in flight is below that of one message, %d", c.MaxInflightBytes, c.MaxMessageBytes)
	}
	return nil
}

// RequestID names a proposal or a read. The owner makes it unique in the whole cluster and for all time, for
// instance from its incarnation and a counter. Zero is no request.
type RequestID struct{ Hi, Lo uint64 }

// Kind says what a committed entry is. The list is append-only.
type Kind uint8

const (
	// KindEmpty has nothing to apply: the first entry of a leader's term, or a refused change of the members.
	KindEmpty Kind = iota
	// KindData has the data of a proposal.
	KindData
	// KindConf is a change of the members; Conf is set.
	KindConf
	// KindInvalid cannot be read; Reason says why. Every replica finds the same.
	KindInvalid
)

// Entry is a committed entry.
type Entry struct {
	Index, Term uint64
	Kind        Kind
	Request     RequestID // of the proposal, zero if there is none
	Data        []byte    // of the proposal, or the context of the change of the members
	Own         bool      // the proposal waited here
	Conf        *ConfState
	Reason      string // why it is invalid, or why the change of the members was not made
}

// Output is the work that results from the inputs since the last Ready; the package says in which order it is done.
type Output struct {
	Err      error
	Messages []*raftpb.Message
	// Snapshots are messages which need the data of the newest stored snapshot; see SnapshotMessage.
	Snapshots []SnapshotMessage
	Save      *Save
	Restore   *raftpb.Snapshot
	Committed []Entry
	Reads     []RequestID
	// Dropped are requests of this node that are no longer watched. A dropped proposal may have been
	// lost, or be committed later; asking again with the same id is safe if applying it twice is. A dropped read was not answered.
	Dropped []Drop
	// Role is set when it has changed.
	Role *Role
	// TakeSnapshot, when above zero, is the applied index as of which the owner should take a snapshot of the state machine, that
	// is after Committed and before the next input, and give it to SnapshotTaken when it is encoded.
	TakeSnapshot uint64
	// Notes are raft's own log lines, at most 64 of them, for debugging.
	Notes []string
}

// Drop is a request that is no longer watched.
type Drop struct {
	Request RequestID
	Read    bool
	Reason  error // ErrNoLeader, ErrBusy or ErrRequestTimeout, or ErrLeaderChanged
}

// Reasons of a Drop, beside ErrNoLeader and ErrBusy.
var (
	ErrLeaderChanged  = errors.New("the leader has changed")
	ErrRequestTimeout = errors.New("no answer in time")
)

// State is raft's state of a replica. The list is append-only.
type State uint8

const (
	Follower State = iota
	Candidate
	Leader
)

// String gives the state's name.
func (s State) String() string {
	return [...]string{"follower", "candidate", "leader"}[min(s, Leader)]
}

// Role is what this replica is in its term.
type Role struct {
	Term   uint64
	Leader membership.RaftID // 0 when none is known
	State  State
	// Acting: this replica leads and has applied an entry of its own term. Only then is it the leader in the sense of the
	// controller.
	Acting bool
}

// SnapshotMessage is a snapshot to be sent over a connection of its own. The owner reports its end with SnapshotSent.
type SnapshotMessage struct {
	To      membership.RaftID
	message *raftpb.Message
}

// With gives the whole message, with the newest stored snapshot. Neither argument nor result may be changed.
func (s SnapshotMessage) With(snapshot *raftpb.Snapshot) *raftpb.Message {
	m := s.message
	return &raftpb.Message{Type: m.Type, To: m.To, From: m.From, Term: m.Term, Snapshot: snapshot}
}

// Voter is a reachable voter in LeaderLost.
type Voter struct {
	ID      membership.RaftID
	Applied uint64 // the applied index that it has last shown
}

// Founding gives the first save of a node that founds a cluster: the only voter, with this encoded state at index 1.
func Founding(id membership.RaftID, state []byte) *Save {
	return &Save{
		HardState: &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))},
		Snapshot: &raftpb.Snapshot{Data: state, Metadata: &raftpb.SnapshotMetadata{
			Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{uint64(id)}},
		}},
		Install: true,
	}
}

const (
	maxNotes     = 64
	maxAttempts  = 8   // campaigns after one LeaderLost; then raft's own timeout takes over
	maxMarks     = 256 // peers remembered; members come first
	batchEntries = 1024
	maxApplied   = 4 << 20 // bytes of entries that one Output gives to be applied
)

type request struct {
	id    RequestID
	data  []byte // envelope; nil once it was handed to raft
	at    membership.Instant
	index uint64 // of a read: to be reached by applying; 0 until known
	batch uint64 // of a read
	sent  bool
}

// Replica drives one raft replica. Make it with New.
type Replica struct {
	cfg Config
	rn  *raft.RawNode
	err error

	now      membership.Instant
	lastTick membership.Instant // time up to which ticks were given
	started  bool
	silent   int // ticks since the leader was heard or the role changed; never fewer than raft counts
	beat     int // ticks since the last heartbeat as leader
	deadline membership.Instant

	campaignAt  membership.Instant // 0: no turn is planned
	campaignGap time.Duration
	campaignLag time.Duration // how much later than the best placed, at each turn
	attempts    int

	queue   Save              // to be saved next
	must    bool              // the queue must not wait for a reason to be saved
	waiting []*raftpb.Message // to be delivered when the queue is saved
	saving  bool
	saved   []*raftpb.Message // to be delivered when the save under way is done
	install *raftpb.Snapshot  // in the save under way
	outbox  []*raftpb.Message
	restore *raftpb.Snapshot

	durable struct{ term, last uint64 } // what is known to be saved
	pending struct{ term, last uint64 } // the same once the save under way is done
	queued  struct{ term, vote, last uint64 }

	applied     uint64
	conf        *raftpb.ConfState
	confChanged bool
	confAhead   []uint64 // changes of the voters that are in the log and not applied, rising
	savedApply  uint64
	replay      uint64 // next stored entry to be given out again, up to replayTo
	replayTo    uint64
	replayConf  *raftpb.ConfState // as of the entry before replay

	snapIndex  uint64 // newest stored snapshot
	snapBytes  uint64 // data applied since
	snapAsked  uint64 // TakeSnapshot that waits for SnapshotTaken
	snapTerm   uint64
	snapConf   *raftpb.ConfState
	snapWanted bool // a peer needs a newer one

	proposals []*request
	byID      map[RequestID]*request
	reads     []*request
	readIDs   map[RequestID]bool
	readBatch uint64
	drops     []Drop

	role     Role
	roleSent Role
	first    bool // role was never given out
	acting   uint64

	surviving survival

	marks   map[membership.RaftID]PeerMark
	marked  bool
	refused map[membership.RaftID]*StalePeerError
	notes   []string
}

// New starts a replica on its storage. The owner has restored the state machine from the newest stored snapshot; the
// first outputs bring the stored entries which were applied after it. A storage with no snapshot and no
// configuration is that of a node that joins: it waits for the leader's snapshot.
func New(cfg Config) (*Replica, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	if cfg.Retired {
		return nil, ErrRetired
	}
	r := &Replica{
		cfg: cfg, byID: map[RequestID]*request{}, readIDs: map[RequestID]bool{}, first: true,
		marks: map[membership.RaftID]PeerMark{}, refused: map[membership.RaftID]*StalePeerError{},
	}
	hs, cs, err := cfg.Storage.InitialState()
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	if r.applied, err = cfg.Storage.Applied(); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	last, err := cfg.Storage.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	snap, err := cfg.Storage.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	marks, err := cfg.Storage.PeerMarks()
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	for _, m := range marks {
		r.marks[m.ID] = m
	}
	r.snapIndex = snap.GetMetadata().GetIndex()
	if r.snapIndex > r.applied || r.applied > hs.GetCommit() || hs.GetCommit() > last {
		return nil, fmt.Errorf("replica: storage has snapshot %d, applied %d, commit %d, last index %d; they must rise", r.snapIndex, r.applied, hs.GetCommit(), last)
	}
	if r.snapIndex > 0 && len(cs.GetVoters()) == 0 {
		return nil, errors.New("replica: storage has a snapshot and no voters")
	}
	r.conf, r.savedApply = cs, r.applied
	r.replay, r.replayTo, r.replayConf = r.snapIndex+1, r.applied, snap.GetMetadata().GetConfState()
	r.durable.term, r.durable.last = hs.GetTerm(), last
	r.pending = r.durable
	r.queued.term, r.queued.vote, r.queued.last = hs.GetTerm(), hs.GetVote(), last
	for next := r.applied + 1; next <= last; {
		ents, err := cfg.Storage.Entries(next, last+1, maxApplied)
		if err != nil {
			return nil, fmt.Errorf("replica: entry %d: %w", next, err)
		}
		r.ahead(ents)
		next += uint64(len(ents))
	}
	err = r.guard("start", r.startRaft)
	if err != nil {
		return nil, err
	}
	r.refresh()
	return r, nil
}

// startRaft starts raft on the storage.
func (r *Replica) startRaft() (err error) {
	cfg := &r.cfg
	r.rn, err = raft.NewRawNode(&raft.Config{
		ID: uint64(cfg.ID), ElectionTick: cfg.ElectionTicks, HeartbeatTick: cfg.HeartbeatTicks,
		Storage: raftStorage{r}, Applied: r.applied, AsyncStorageWrites: true,
		MaxSizePerMsg: cfg.MaxMessageBytes, MaxCommittedSizePerReady: maxApplied,
		MaxUncommittedEntriesSize: cfg.MaxUncommittedBytes,
		MaxInflightMsgs:           cfg.MaxInflightMessages, MaxInflightBytes: cfg.MaxInflightBytes,
		CheckQuorum: true, PreVote: true, ReadOnlyOption: raft.ReadOnlySafe, StepDownOnRemoval: true,
		Logger: noteLogger{r},
	})
	return err
}

// guard runs a part of raft and makes a panic in it (storage errors are panics there) final.
func (r *Replica) guard(what string, f func() error) (err error) {
	if r.err != nil {
		return r.err
	}
	defer func() {
		if p := recover(); p != nil {
			if cause, ok := p.(error); ok {
				err = fmt.Errorf("replica: %s: %w", what, cause)
			} else {
				err = fmt.Errorf("replica: %s: %v", what, p)
			}
			r.err = err
		}
	}()
	return f()
}

// raftStorage is the storage as raft sees it.
type raftStorage struct{ r *Replica }

func (s raftStorage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return s.r.cfg.Storage.InitialState()
}
func (s raftStorage) Entries(lo, hi, size uint64) ([]*raftpb.Entry, error) {
	return s.r.cfg.Storage.Entries(lo, hi, size)
}
func (s raftStorage) Term(i uint64) (uint64, error) { return s.r.cfg.Storage.Term(i) }
func (s raftStorage) LastIndex() (uint64, error)    { return s.r.cfg.Storage.LastIndex() }
func (s raftStorage) FirstIndex() (uint64, error)   { return s.r.cfg.Storage.FirstIndex() }

// Snapshot is asked for when a peer needs one. A snapshot from before the peer became a member is of no use: raft on the other
// side refuses a snapshot in which it is not a member. So a newer one is asked for, and raft tries again with the next
// answer of the peer.
func (s raftStorage) Snapshot() (*raftpb.Snapshot, error) {
	snap, err := s.r.cfg.Storage.Snapshot()
	if err != nil {
		return nil, err
	}
	m := snap.GetMetadata()
	if m.GetIndex() == 0 || !covers(m.GetConfState(), s.r.conf) {
		s.r.snapWanted = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return snap, nil
}

// covers reports whether every member of b is one of a.
func covers(a, b *raftpb.ConfState) bool {
	for _, id := range members(b) {
		if !slices.Contains(members(a), id) {
			return false
		}
	}
	return true
}

// members gives the ids of all members, sorted.
func members(c *raftpb.ConfState) []uint64 {
	ids := slices.Concat(c.GetVoters(), c.GetLearners(), c.GetVotersOutgoing(), c.GetLearnersNext())
	slices.Sort(ids)
	return slices.Compact(ids)
}

// noteLogger collects raft's log lines.
type noteLogger struct{ r *Replica }

func (l noteLogger) note(s string) {
	if len(l.r.notes) < maxNotes {
		l.r.notes = append(l.r.notes, s)
	}
}
func (noteLogger) Debug(...any)                  {}
func (noteLogger) Debugf(string, ...any)         {}
func (l noteLogger) Info(v ...any)               { l.note(fmt.Sprint(v...)) }
func (l noteLogger) Infof(f string, v ...any)    { l.note(fmt.Sprintf(f, v...)) }
func (l noteLogger) Warning(v ...any)            { l.note(fmt.Sprint(v...)) }
func (l noteLogger) Warningf(f string, v ...any) { l.note(fmt.Sprintf(f, v...)) }
func (l noteLogger) Error(v ...any)              { l.note(fmt.Sprint(v...)) }
func (l noteLogger) Errorf(f string, v ...any)   { l.note(fmt.Sprintf(f, v...)) }
func (noteLogger) Fatal(v ...any)                { panic(fmt.Sprint(v...)) }
func (noteLogger) Fatalf(f string, v ...any)     { panic(fmt.Sprintf(f, v...)) }
func (noteLogger) Panic(v ...any)                { panic(fmt.Sprint(v...)) }
func (noteLogger) Panicf(f string, v ...any)     { panic(fmt.Sprintf(f, v...)) }

// Tick says that time has passed. It matters from NextTick on and may be called at any time.
func (r *Replica) Tick(now membership.Instant) {
	_ = r.guard("tick", func() error {
		r.advance(now)
		if r.campaignAt != 0 && r.now >= r.campaignAt {
			r.turn()
		}
		r.expire()
		return nil
	})
}

// advance gives raft the ticks up to now. Time by which the owner is later than the deadline that NextTick gave, and one more
// tick, is not counted: then this process was stopped or starved, and others cannot be accused of a silence during it.
func (r *Replica) advance(now membership.Instant) {
	if !r.started {
		r.started, r.now, r.lastTick = true, now, now
		r.refresh()
		return
	}
	if now <= r.now {
		return
	}
	r.now = now
	tick := r.cfg.TickInterval
	if late := now.Sub(r.deadline) - tick; r.deadline != 0 && late > 0 {
		r.lastTick = r.lastTick.Add(late)
	}
	for n := int(now.Sub(r.lastTick) / tick); n > 0; n-- {
		r.lastTick = r.lastTick.Add(tick)
		r.silent++
		r.beat++
		r.rn.Tick()
		if r.role.State == Leader && r.beat >= r.cfg.HeartbeatTicks {
			r.beat = 0
		}
		r.refresh()
	}
	r.setDeadline()
}

func (r *Replica) setDeadline() {
	n := r.cfg.ElectionTicks - r.silent
	if r.role.State == Leader {
		n = r.cfg.HeartbeatTicks - r.beat
	}
	r.deadline = r.lastTick.Add(time.Duration(max(n, 1)) * r.cfg.TickInterval)
}

// NextTick gives the earliest instant at which Tick matters, if no other input comes before; false before the
// first input that has a time.
func (r *Replica) NextTick() (membership.Instant, bool) {
	if !r.started || r.err != nil {
		return 0, false
	}
	next := r.deadline
	if r.campaignAt != 0 {
		next = min(next, r.campaignAt)
	}
	if len(r.proposals) > 0 {
		next = min(next, r.proposals[0].at.Add(r.cfg.RequestTimeout))
		if until, wait := r.gathers(); wait {
			next = min(next, until)
		}
	}
	if len(r.reads) > 0 {
		next = min(next, r.reads[0].at.Add(r.cfg.RequestTimeout))
	}
	return next, true
}

// Step takes a message from a peer. An error says why it was not taken; nothing needs to be done about it,
// except for a *LostLogError: this node must stop voting for good, mark its storage as retired and join again.
func (r *Replica) Step(now membership.Instant, m *raftpb.Message) error {
	from := membership.RaftID(m.GetFrom())
	if err := r.checkMessage(m); err != nil {
		return err
	}
	if r.refused[from] != nil {
		return fmt.Errorf("%w: %w", ErrPeerRefused, r.refused[from])
	}
	return r.guard("step", func() error {
		r.advance(now)
		if r.surviving != notSurviving {
			return nil // as if the network had lost it
		}
		if m.GetType() == raftpb.MsgHeartbeat && m.GetCommit() > r.durable.last && m.GetTerm() >= r.role.Term && r.install == nil && r.queue.Snapshot == nil {
			return &LostLogError{Leader: from, Confirmed: m.GetCommit(), Last: r.durable.last}
		}
		if t := m.GetType(); (t == raftpb.MsgProp || t == raftpb.MsgReadIndex) && r.role.State != Leader {
			// Raft would forward it again under its first sender's name. One hop is enough, the sender
			// learns of the change of leader itself, and so a message always comes from the peer that it names.
			return nil
		}
		r.observeMessage(m)
		err := r.rn.Step(m)
		switch m.GetType() {
		case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
			if st := r.rn.BasicStatus(); st.Lead == m.GetFrom() {
				r.silent = 0
			}
		}
		r.refresh()
		if errors.Is(err, raft.ErrProposalDropped) || errors.Is(err, raft.ErrStepPeerNotFound) {
			return nil // as if the network had lost it
		}
		return err
	})
}

// checkMessage refuses what raft would panic on or take for a local message.
func (r *Replica) checkMessage(m *raftpb.Message) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s from %d: %s", ErrMessage, m.GetType(), m.GetFrom(), fmt.Sprintf(format, a...))
	}
	if m == nil {
		return fmt.Errorf("%w: nil", ErrMessage)
	}
	if m.GetTo() != uint64(r.cfg.ID) {
		return bad("it is for %d, this is %d", m.GetTo(), r.cfg.ID)
	}
	if m.GetFrom() == 0 || m.GetFrom() == uint64(r.cfg.ID) || raft.IsLocalMsgTarget(m.GetFrom()) {
		return bad("sender is not a peer")
	}
	if len(m.GetResponses()) != 0 {
		return bad("it has responses")
	}
	switch m.GetType() {
	case raftpb.MsgProp:
		if len(m.GetEntries()) == 0 {
			return bad("it has no entries")
		}
		for _, e := range m.GetEntries() {
			// Changes of the members are proposed by the leader itself.
			if e == nil || e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 || len(e.GetData()) > r.cfg.MaxProposalBytes+envelopeLen {
				return bad("entry is not a proposal of at most %d bytes", r.cfg.MaxProposalBytes)
			}
		}
		return nil
	case raftpb.MsgReadIndex:
		if len(m.GetEntries()) != 1 || len(m.GetEntries()[0].GetData()) != readContextLen {
			return bad("it has no request context")
		}
		return nil
	case raftpb.MsgReadIndexResp:
		if len(m.GetEntries()) != 1 {
			return bad("it has no request context")
		}
	case raftpb.MsgApp:
		index, term := m.GetIndex(), m.GetLogTerm()
		for _, e := range m.GetEntries() {
			if e.GetIndex() != index+1 || e.GetTerm() < term || e.GetTerm() > m.GetTerm() || e.GetTerm() == 0 {
				return bad("entry %d of term %d follows entry %d of term %d", e.GetIndex(), e.GetTerm(), index, term)
			}
			if t := e.GetType(); t != raftpb.EntryNormal && t != raftpb.EntryConfChangeV2 && t != raftpb.EntryConfChange {
				return bad("entry %d has the unknown type %d", e.GetIndex(), t)
			}
			index, term = e.GetIndex(), e.GetTerm()
		}
	case raftpb.MsgSnap:
		meta := m.GetSnapshot().GetMetadata()
		if meta.GetIndex() == 0 || meta.GetTerm() == 0 || len(meta.GetConfState().GetVoters()) == 0 {
			return bad("snapshot has no index, term or voters")
		}
		if err := checkConfState(meta.GetConfState()); err != nil {
			return bad("configuration of the snapshot: %v", err)
		}
	case raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
		raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgTimeoutNow, raftpb.MsgTransferLeader:
	default:
		return bad("peers do not send this")
	}
	if m.GetTerm() == 0 {
		return bad("it has no term")
	}
	return nil
}

// refresh takes over raft's soft state and term after an input.
func (r *Replica) refresh() {
	st := r.rn.BasicStatus()
	n := Role{Term: st.GetTerm(), Leader: membership.RaftID(st.Lead)}
	switch st.RaftState {
	case raft.StateLeader:
		n.State = Leader
	case raft.StateCandidate, raft.StatePreCandidate:
		n.State = Candidate
	}
	n.Acting = n.State == Leader && r.acting == n.Term
	if n.State != r.role.State || n.Term != r.role.Term {
		r.silent, r.beat = 0, 0
	}
	changed := n.Leader != r.role.Leader || n.Term != r.role.Term
	r.role = n
	if n.Leader != 0 {
		r.campaignAt, r.attempts = 0, 0
	}
	if changed {
		r.leaderChanged()
	}
	r.setDeadline()
}

// LeaderLost says that membership holds this leader for dead, and which voters it can reach (this node may be
// among them). The replica forgets the leader, if it is still the one, and campaigns in its turn. The call is repeated when the reachable
// voters change. A leader ignores it: it steps down when it has no quorum.
func (r *Replica) LeaderLost(now membership.Instant, leader membership.RaftID, reachable []Voter) {
	_ = r.guard("leader lost", func() error {
		r.advance(now)
		if r.role.State == Leader || r.role.Leader != 0 && r.role.Leader != leader {
			return nil
		}
		if err := r.rn.ForgetLeader(); err != nil {
			return err
		}
		r.refresh()
		voter := func(id membership.RaftID) bool {
			return slices.Contains(r.conf.GetVoters(), uint64(id)) || slices.Contains(r.conf.GetVotersOutgoing(), uint64(id))
		}
		if !voter(r.cfg.ID) {
			return nil
		}
		rank, n := 0, 1
		for _, v := range reachable {
			if v.ID == r.cfg.ID || v.ID == leader || !voter(v.ID) {
				continue
			}
			n++
			if v.Applied > r.applied || v.Applied == r.applied && v.ID < r.cfg.ID {
				rank++
			}
		}
		// The gap lets every other candidate have its turn, and leaves room for a slow save.
		r.campaignGap = time.Duration(max(n, 3)) * r.cfg.CampaignStagger
		r.attempts = 0
		r.campaignLag = time.Duration(rank) * r.cfg.CampaignStagger
		r.campaignAt = r.now.Add(r.campaignLag)
		if rank == 0 {
			r.campaign()
		}
		return nil
	})
}

// Campaign makes this replica stand for election now, if it may. PreVote keeps it from disturbing a leader that a
// majority still hears.
func (r *Replica) Campaign(now membership.Instant) {
	_ = r.guard("campaign", func() error {
		r.advance(now)
		return r.rn.Campaign()
	})
	if r.err == nil {
		r.refresh()
	}
}

// turn campaigns, unless the disk is busy: its own vote, or that for another candidate, may be on its way, and a new
// campaign would make it worthless. The disks of the others may be as slow.
func (r *Replica) turn() {
	if r.saving || r.must {
		r.plan()
		return
	}
	r.campaign()
}

// plan plans the next turn, each time twice as far away. The lag keeps candidates apart that came to the same moment
// once: nobody wins when each has its own vote.
func (r *Replica) plan() {
	r.campaignAt = r.now.Add(max(r.campaignGap, time.Millisecond) + r.campaignLag)
	r.campaignGap *= 2
}

// yield puts this replica's turn off when it has promised its vote to another candidate. Without that, candidates whose turns
// lie closer together than an election takes make each other's votes worthless again and again.
func (r *Replica) yield(responses []*raftpb.Message) {
	if r.campaignAt == 0 {
		return
	}
	for _, m := range responses {
		if t := m.GetType(); (t == raftpb.MsgPreVoteResp || t == raftpb.MsgVoteResp) && !m.GetReject() && m.GetTo() != uint64(r.cfg.ID) {
			r.campaignAt = max(r.campaignAt, r.now.Add(r.campaignGap+r.campaignLag))
		}
	}
}

// campaign takes this replica's turn and plans the next one.
func (r *Replica) campaign() {
	r.attempts++
	r.campaignAt = 0
	_ = r.rn.Campaign()
	r.refresh()
	if r.role.Leader == 0 && r.attempts < maxAttempts {
		r.plan()
	}
}

// TransferLeader asks the leader, which must be this replica, to hand over to a voter. Proposals are dropped meanwhile. It
// is given up after the election timeout.
func (r *Replica) TransferLeader(now membership.Instant, to membership.RaftID) error {
	return r.guard("transfer", func() error {
		r.advance(now)
		if r.role.State != Leader {
			return ErrNotLeader
		}
		if to == r.cfg.ID || !slices.Contains(r.conf.GetVoters(), uint64(to)) {
			return fmt.Errorf("transfer leadership to %d: it must be another voter", to)
		}
		r.flush(true)
		r.rn.TransferLeader(uint64(to))
		r.refresh()
		return nil
	})
}

// Unreachable says that messages to the peer were lost, or its connection is down: the leader then probes before it sends more.
func (r *Replica) Unreachable(now membership.Instant, id membership.RaftID) {
	_ = r.guard("unreachable", func() error {
		r.advance(now)
		if id != r.cfg.ID {
			r.rn.ReportUnreachable(uint64(id))
		}
		return nil
	})
}

// SnapshotSent reports the end of a SnapshotMessage; each must be reported once. Until then nothing else is sent to the peer.
func (r *Replica) SnapshotSent(now membership.Instant, to membership.RaftID, ok bool) {
	_ = r.guard("snapshot sent", func() error {
		r.advance(now)
		status := raft.SnapshotFinish
		if !ok {
			status = raft.SnapshotFailure
		}
		r.rn.ReportSnapshot(uint64(to), status)
		return nil
	})
}

// Role gives what this replica is now.
func (r *Replica) Role() Role { return r.role }

// Applied gives the index of the last entry that was given out for applying.
func (r *Replica) Applied() uint64 { return r.applied }

// Err gives the error that ended the replica, nil while it works.
func (r *Replica) Err() error { return r.err }

// envelope: version 1, request id 16, data. readContext: raft id 8, incarnation 8, batch 8.
const (
	envelopeVersion = 1
	envelopeLen     = 1 + 16
	readContextLen  = 24
)

func seal(id RequestID, data []byte) []byte {
	b := make([]byte, envelopeLen, envelopeLen+len(data))
	b[0] = envelopeVersion
	binary.BigEndian.PutUint64(b[1:], id.Hi)
	binary.BigEndian.PutUint64(b[9:], id.Lo)
	return append(b, data...)
}

func unseal(b []byte) (RequestID, []byte, error) {
	if len(b) < envelopeLen {
		return RequestID{}, nil, fmt.Errorf("entry has %d bytes, fewer than its header of %d", len(b), envelopeLen)
	}
	if b[0] != envelopeVersion {
		return RequestID{}, nil, fmt.Errorf("entry has the header version %d, known is %d", b[0], envelopeVersion)
	}
	return RequestID{Hi: binary.BigEndian.Uint64(b[1:]), Lo: binary.BigEndian.Uint64(b[9:])}, b[envelopeLen:], nil
}

// Propose hands data to the leader, over the network if that is another node, to be committed. It comes back in Committed
// with Own set, or in Dropped. Proposals between two Readys travel as one batch, on the leader with others that come while one is on its way.
func (r *Replica) Propose(now membership.Instant, id RequestID, data []byte) error {
	return r.guard("propose", func() error {
		r.advance(now)
		switch {
		case id == RequestID{}:
			return errors.New("propose: request id is zero")
		case len(data) > r.cfg.MaxProposalBytes:
			return fmt.Errorf("%w: %d bytes, limit is %d", ErrTooLarge, len(data), r.cfg.MaxProposalBytes)
		case r.byID[id] != nil:
			return ErrDuplicate
		case r.role.Leader == 0:
			return ErrNoLeader
		case len(r.proposals) >= r.cfg.MaxPending:
			return ErrBusy
		}
		q := &request{id: id, data: seal(id, data), at: r.now}
		r.proposals = append(r.proposals, q)
		r.byID[id] = q
		return nil
	})
}

// Read asks for a linearizable read: when the id comes back in Reads, the state machine holds at least all that was committed
// when Read was called. Or it comes back in Dropped.
func (r *Replica) Read(now membership.Instant, id RequestID) error {
	return r.guard("read", func() error {
		r.advance(now)
		switch {
		case id == RequestID{}:
			return errors.New("read: request id is zero")
		case r.readIDs[id]:
			return ErrDuplicate
		case r.role.Leader == 0:
			return ErrNoLeader
		case len(r.reads) >= r.cfg.MaxPending:
			return ErrBusy
		}
		r.reads = append(r.reads, &request{id: id, at: r.now})
		r.readIDs[id] = true
		return nil
	})
}

// gatherTime bounds how long a proposal waits for others on the leader: not longer than a write takes by itself.
const gatherTime = 2 * time.Millisecond

// gathers reports whether proposals wait for more of them, and until when. On the leader they do while others are on their way, or
// its disk is busy: what comes up meanwhile goes to the followers in one message and to every disk in one save. Alone, each would
// cost every node a message, a save and an answer of its own, and with that the time of those behind it.
func (r *Replica) gathers() (until membership.Instant, wait bool) {
	first := len(r.proposals)
	for first > 0 && !r.proposals[first-1].sent {
		first--
	}
	if r.role.State != Leader || first == len(r.proposals) || first == 0 && !r.saving {
		return 0, false
	}
	until = r.proposals[first].at.Add(gatherTime)
	return until, r.now < until
}

// flush hands waiting proposals and reads to raft, as few batches; all of them, or without proposals that gather.
func (r *Replica) flush(all bool) {
	_, wait := r.gathers()
	for from := 0; from < len(r.proposals) && (all || !wait); {
		if r.proposals[from].sent {
			from++
			continue
		}
		m := &raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(uint64(r.cfg.ID))}
		to, size := from, 0
		for ; to < len(r.proposals) && to-from < batchEntries; to++ {
			if q := r.proposals[to]; to > from && size+len(q.data) > int(r.cfg.MaxMessageBytes) {
				break
			} else {
				size += len(q.data)
				m.Entries = append(m.Entries, &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Data: q.data})
				q.sent, q.data = true, nil
			}
		}
		if err := r.rn.Step(m); err != nil {
			reason := ErrBusy
			if r.role.Leader == 0 {
				reason = ErrNoLeader
			}
			dropped := r.proposals[from:to]
			for _, q := range dropped {
				r.drops = append(r.drops, Drop{Request: q.id, Reason: reason})
				delete(r.byID, q.id)
			}
			r.proposals = slices.Concat(r.proposals[:from], r.proposals[to:])
			continue
		}
		from = to
	}
	sent := false
	for _, q := range r.reads {
		if !q.sent && r.mayRead() {
			if !sent {
				sent = true
				r.readBatch++
			}
			q.sent, q.batch = true, r.readBatch
		}
	}
	if sent {
		r.rn.ReadIndex(r.readContext())
	}
}

// mayRead reports whether reads can be handed to raft. A new leader does not know yet how far the log is committed. Raft
// waits for that itself, but not where this is the only voter.
func (r *Replica) mayRead() bool { return r.role.State != Leader || r.role.Acting }

func (r *Replica) readContext() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, readContextLen), uint64(r.cfg.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(r.cfg.Incarnation))
	return binary.BigEndian.AppendUint64(b, r.readBatch)
}

// leaderChanged drops what was under way with the last leader. What was not yet handed to it goes to the next one.
func (r *Replica) leaderChanged() {
	reason := ErrLeaderChanged
	if r.role.Leader == 0 {
		reason = ErrNoLeader
	}
	r.dropRequests(func(q *request) bool { return q.sent || r.role.Leader == 0 }, reason)
}

func (r *Replica) expire() {
	r.dropRequests(func(q *request) bool { return r.now.Sub(q.at) >= r.cfg.RequestTimeout }, ErrRequestTimeout)
}

func (r *Replica) dropRequests(which func(*request) bool, reason error) {
	if len(r.proposals) == 0 && len(r.reads) == 0 {
		return
	}
	r.proposals = slices.DeleteFunc(r.proposals, func(q *request) bool {
		if !which(q) {
			return false
		}
		r.drops = append(r.drops, Drop{Request: q.id, Reason: reason})
		delete(r.byID, q.id)
		return true
	})
	r.reads = slices.DeleteFunc(r.reads, func(q *request) bool {
		if !which(q) || q.index != 0 && reason != ErrRequestTimeout {
			return false // its index is known; it needs no leader any more
		}
		r.drops = append(r.drops, Drop{Request: q.id, Read: true, Reason: reason})
		delete(r.readIDs, q.id)
		return true
	})
}

// HasReady reports whether Ready has something to give.
func (r *Replica) HasReady() bool {
	if r.err != nil {
		return false
	}
	if r.surviving != notSurviving {
		return r.surviving == surviveAsked && !r.saving
	}
	if r.replay <= r.replayTo || r.rn.HasReady() || len(r.outbox) > 0 || r.restore != nil || len(r.drops) > 0 ||
		r.must && !r.saving || r.role != r.roleSent || r.first || len(r.notes) > 0 || r.wantsSnapshot() {
		return true
	}
	if n := len(r.proposals); n > 0 && !r.proposals[n-1].sent {
		if _, wait := r.gathers(); !wait {
			return true
		}
	}
	for _, q := range r.reads {
		if !q.sent && r.mayRead() || q.index != 0 && q.index <= r.applied {
			return true
		}
	}
	return false
}

func (r *Replica) wantsSnapshot() bool {
	return r.snapAsked == 0 && r.applied > r.snapIndex && len(r.conf.GetVoters()) > 0 && r.queue.Snapshot == nil && r.install == nil &&
		(r.snapWanted || r.applied-r.snapIndex >= r.cfg.SnapshotEntries || r.snapBytes >= r.cfg.SnapshotBytes)
}

// Ready gives the work that has come up. The package says what to do with it.
func (r *Replica) Ready() Output {
	var out Output
	if err := r.guard("ready", func() error { return r.ready(&out) }); err != nil {
		r.err = err
		return Output{Err: err}
	}
	return out
}

func (r *Replica) ready(out *Output) (err error) {
	if r.surviving != notSurviving {
		if r.surviving == surviveAsked && !r.saving {
			out.Save, err = r.survivorSave()
		}
		return err
	}
	if r.replay <= r.replayTo {
		// Entries that were applied before the restart come again first. Their changes of the members are in
		// the configuration already.
		ents, err := r.cfg.Storage.Entries(r.replay, r.replayTo+1, maxApplied)
		if err != nil {
			return fmt.Errorf("replica: replay entry %d: %w", r.replay, err)
		}
		for _, e := range ents {
			out.Committed = append(out.Committed, r.replayed(e))
		}
		r.replay += uint64(len(ents))
		return nil
	}
	r.flush(false)
	var apply []*raftpb.Message
	if r.rn.HasReady() {
		rd := r.rn.Ready()
		for _, m := range rd.Messages {
			switch m.GetType() {
			case raftpb.MsgStorageAppend:
				if err := r.enqueue(m); err != nil {
					return err
				}
			case raftpb.MsgStorageApply:
				apply = append(apply, m)
			default:
				r.outbox = append(r.outbox, m)
			}
		}
		for _, s := range rd.ReadStates {
			r.readState(s)
		}
	}
	if r.restore != nil {
		out.Restore, r.restore = r.restore, nil
	}
	for _, m := range apply {
		for _, e := range m.GetEntries() {
			out.Committed = append(out.Committed, r.apply(e))
		}
		for _, resp := range m.GetResponses() {
			if err := r.rn.Step(resp); err != nil {
				return fmt.Errorf("replica: applied: %w", err)
			}
		}
	}
	r.refresh()
	for _, m := range r.outbox {
		if r.refused[membership.RaftID(m.GetTo())] != nil {
			continue // it must not get back what it has forgotten under this identity
		}
		if m.GetType() == raftpb.MsgSnap {
			out.Snapshots = append(out.Snapshots, SnapshotMessage{To: membership.RaftID(m.GetTo()), message: m})
		} else {
			out.Messages = append(out.Messages, m)
		}
	}
	r.outbox = nil
	if r.must && !r.saving {
		out.Save = r.takeSave()
	}
	r.reads = slices.DeleteFunc(r.reads, func(q *request) bool {
		if q.index == 0 || q.index > r.applied {
			return false
		}
		out.Reads = append(out.Reads, q.id)
		delete(r.readIDs, q.id)
		return true
	})
	out.Dropped, r.drops = r.drops, nil
	if r.first || r.role != r.roleSent {
		role := r.role
		out.Role, r.roleSent, r.first = &role, role, false
	}
	if r.wantsSnapshot() {
		term, err := r.cfg.Storage.Term(r.applied)
		if err != nil {
			return fmt.Errorf("replica: term of the applied entry %d: %w", r.applied, err)
		}
		r.snapAsked, r.snapTerm, r.snapConf = r.applied, term, r.conf
		out.TakeSnapshot = r.applied
	}
	out.Notes, r.notes = r.notes, nil
	return nil
}

func (r *Replica) readState(s raft.ReadState) {
	if len(s.RequestCtx) != readContextLen || !bytes.Equal(s.RequestCtx[:16], r.readContext()[:16]) {
		return // of another run of this process
	}
	batch := binary.BigEndian.Uint64(s.RequestCtx[16:])
	for _, q := range r.reads {
		if q.sent && q.batch == batch {
			q.index = max(s.Index, 1)
		}
	}
}

// enqueue merges what raft wants appended into the next save.
func (r *Replica) enqueue(m *raftpb.Message) error {
	q := &r.queue
	if m.Term != nil {
		q.HardState = &raftpb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}
		if m.GetTerm() != r.queued.term || m.GetVote() != r.queued.vote {
			r.must = true
		}
		r.queued.term, r.queued.vote = m.GetTerm(), m.GetVote()
	}
	if s := m.GetSnapshot(); s.GetMetadata().GetIndex() > 0 {
		// It covers all entries that wait, and a snapshot that was made here.
		q.Snapshot, q.Install, q.Entries, q.CompactTo = s, true, nil, 0
		r.queued.last = s.GetMetadata().GetIndex()
		r.confAhead = nil
		r.must = true
	}
	if ents := m.GetEntries(); len(ents) > 0 {
		first := ents[0].GetIndex()
		keep := len(q.Entries)
		for keep > 0 && q.Entries[keep-1].GetIndex() >= first {
			keep--
		}
		q.Entries = append(q.Entries[:keep:keep], ents...)
		r.ahead(ents)
		r.queued.last = ents[len(ents)-1].GetIndex()
		r.must = true
	}
	// Responses vouch for the term, the vote and the entries; the commit index may be forgotten. So they wait for those, and
	// where all of that is durable they go at once: a follower saves nothing to confirm a new commit index.
	switch {
	case r.must:
		r.waiting = append(r.waiting, m.GetResponses()...)
	case r.saving:
		r.saved = append(r.saved, m.GetResponses()...)
	default:
		return r.deliver(m.GetResponses())
	}
	return nil
}

// deliver takes responses whose condition is met: to raft those for itself, the others to the next output.
func (r *Replica) deliver(msgs []*raftpb.Message) error {
	r.yield(msgs)
	for _, m := range msgs {
		if m.GetTo() != uint64(r.cfg.ID) {
			r.outbox = append(r.outbox, m)
		} else if err := r.rn.Step(m); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) {
			return err
		}
	}
	return nil
}

// takeSave completes the queue and hands it out.
func (r *Replica) takeSave() *Save {
	s := r.queue
	r.queue, r.must = Save{}, false
	r.saved, r.waiting = r.waiting, nil
	r.saving = true
	if s.Install {
		r.install = s.Snapshot
	} else if r.applied > r.savedApply || r.confChanged {
		s.Applied, s.ConfState = r.applied, r.conf
		r.savedApply, r.confChanged = r.applied, false
	}
	if r.marked {
		s.Peers, r.marked = r.markList(), false
	}
	r.pending.term, r.pending.last = r.queued.term, r.queued.last
	return &s
}

// Saved says that the save under way is durable. Calling it without one is an error of the owner.
func (r *Replica) Saved(now membership.Instant) error {
	return r.guard("saved", func() error {
		r.advance(now)
		if !r.saving {
			return errors.New("replica: no save is under way")
		}
		r.saving = false
		r.durable = r.pending
		msgs := r.saved
		r.saved = nil
		switch r.surviving {
		case surviveSaved:
			return r.survived()
		case surviveAsked:
			return nil // what it vouches for was promised by who this is no more
		}
		if s := r.install; s != nil {
			r.install = nil
			m := s.GetMetadata()
			r.restore = s
			r.applied, r.savedApply, r.conf = m.GetIndex(), m.GetIndex(), m.GetConfState()
			r.snapIndex, r.snapBytes, r.snapAsked, r.snapWanted = m.GetIndex(), 0, 0, false
		}
		if err := r.deliver(msgs); err != nil {
			return err
		}
		r.refresh()
		return nil
	})
}

// SnapshotTaken gives the encoded state machine as of the index of TakeSnapshot; nil data says that it could not be
// encoded, and it is asked for again with a later index. An answer that has been overtaken by a snapshot of the leader is ignored.
func (r *Replica) SnapshotTaken(now membership.Instant, index uint64, data []byte) {
	_ = r.guard("snapshot taken", func() error {
		r.advance(now)
		if r.snapAsked == 0 || index != r.snapAsked {
			return nil
		}
		r.snapAsked = 0
		if data == nil || r.queue.Snapshot != nil || r.install != nil || index <= r.snapIndex {
			return nil
		}
		r.queue.Snapshot = &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
			Index: new(index), Term: new(r.snapTerm), ConfState: r.snapConf,
		}}
		if index > r.cfg.KeepEntries {
			r.queue.CompactTo = index - r.cfg.KeepEntries
		}
		r.snapIndex, r.snapBytes, r.snapWanted = index, 0, false
		r.must = true
		return nil
	})
}

// apply reads a committed entry and takes a change of the members into effect.
func (r *Replica) apply(e *raftpb.Entry) Entry {
	out, cc := decode(e)
	r.applied = e.GetIndex()
	r.snapBytes += uint64(len(e.GetData()))
	if len(r.confAhead) > 0 && r.confAhead[0] <= r.applied {
		r.confAhead = r.confAhead[1:]
	}
	if r.role.State == Leader && e.GetTerm() == r.role.Term {
		r.acting = e.GetTerm()
	}
	if out.Kind == KindConf {
		if err := r.applyConf(cc, &out); err != nil {
			panic(err) // Ready makes it final
		}
	}
	if q := r.byID[out.Request]; q != nil {
		out.Own = true
		delete(r.byID, out.Request)
		r.proposals = slices.DeleteFunc(r.proposals, func(p *request) bool { return p == q })
	}
	return out
}

// replayed reads an entry that was applied before the restart. Changes of the members are in raft's configuration
// already; what each led to is worked out again from the configuration of the snapshot.
func (r *Replica) replayed(e *raftpb.Entry) Entry {
	out, cc := decode(e)
	r.snapBytes += uint64(len(e.GetData()))
	if out.Kind == KindConf {
		r.replayConf = out.conf(r.replayConf, cc)
	}
	return out
}

// decode reads a committed entry. It is total: what cannot be read is KindInvalid, everywhere.
func decode(e *raftpb.Entry) (out Entry, cc *raftpb.ConfChangeV2) {
	out = Entry{Index: e.GetIndex(), Term: e.GetTerm()}
	data := e.GetData()
	if e.GetType() != raftpb.EntryNormal {
		out.Kind = KindConf
		var err error
		if cc, err = parseConfChange(e); err != nil {
			out.Kind, out.Reason = KindInvalid, err.Error()
			return out, nil
		}
		data = cc.GetContext()
		if len(data) == 0 {
			return out, cc // raft's own leaving of a joint configuration
		}
	} else if len(data) == 0 {
		return out, nil
	} else {
		out.Kind = KindData
	}
	id, data, err := unseal(data)
	if err != nil {
		if out.Kind == KindData {
			out.Kind = KindInvalid
		}
		out.Reason = err.Error()
		return out, cc
	}
	out.Request, out.Data = id, data
	return out, cc
}
