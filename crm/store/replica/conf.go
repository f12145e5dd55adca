package replica

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/membership"
)

// ChangeKind is what happens to a member. The list is append-only.
type ChangeKind uint8

const (
	// AddVoter makes the member a voter; a learner is promoted.
	AddVoter ChangeKind = iota + 1
	// AddLearner makes the member one that gets the log and has no vote; a voter is demoted.
	AddLearner
	// Remove takes the member out.
	Remove
)

// Change of one member.
type Change struct {
	Kind ChangeKind
	ID   membership.RaftID
}

// String tells the change for the log.
func (c Change) String() string {
	what := map[ChangeKind]string{AddVoter: "votes", AddLearner: "learns", Remove: "leaves"}[c.Kind]
	return fmt.Sprintf("raft id %d %s", c.ID, what)
}

// ConfState is the configuration of the members after an entry. Lists are sorted.
type ConfState struct {
	Changes  []Change // of the entry; none when a joint configuration is left
	Refused  bool     // the change was impossible; the configuration is as before
	Voters   []membership.RaftID
	Learners []membership.RaftID
	// Outgoing are the voters of the configuration that is being left: until the next entry of this kind, which raft
	// proposes by itself, decisions need a majority of both.
	Outgoing []membership.RaftID
}

const maxChanges = 64 // in one entry; a cluster has no more members

// ProposeConfChange proposes a change of the members. One change is made at once, several as one by way of a joint
// configuration. Only the leader takes it, and one at a time; it comes back in Committed with Conf set and Data as given here, or in
// Dropped.
func (r *Replica) ProposeConfChange(now membership.Instant, id RequestID, changes []Change, data []byte) error {
	return r.guard("propose change of members", func() error {
		r.advance(now)
		switch {
		case id == RequestID{}:
			return errors.New("propose change of members: request id is zero")
		case len(changes) == 0 || len(changes) > maxChanges:
			return fmt.Errorf("propose change of members: %d changes, must be 1 to %d", len(changes), maxChanges)
		case len(data) > r.cfg.MaxProposalBytes:
			return fmt.Errorf("%w: %d bytes, limit is %d", ErrTooLarge, len(data), r.cfg.MaxProposalBytes)
		case r.byID[id] != nil:
			return ErrDuplicate
		case r.role.State != Leader:
			return ErrNotLeader
		case len(r.conf.GetVotersOutgoing()) > 0:
			return ErrConfChangePending
		case len(r.proposals) >= r.cfg.MaxPending:
			return ErrBusy
		}
		cc := &raftpb.ConfChangeV2{Context: seal(id, data)}
		for _, c := range changes {
			var t raftpb.ConfChangeType
			switch {
			case c.ID == 0 || raft.IsLocalMsgTarget(uint64(c.ID)):
				return fmt.Errorf("propose change of members: raft id %d is reserved", c.ID)
			case c.Kind == AddVoter:
				t = raftpb.ConfChangeAddNode
			case c.Kind == AddLearner:
				t = raftpb.ConfChangeAddLearnerNode
			case c.Kind == Remove:
				t = raftpb.ConfChangeRemoveNode
			default:
				return fmt.Errorf("propose change of members: unknown kind %d", c.Kind)
			}
			cc.Changes = append(cc.Changes, &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: new(uint64(c.ID))})
		}
		if _, err := nextConf(r.conf, cc); err != nil {
			return fmt.Errorf("propose change of members: %w", err)
		}
		b, err := proto.Marshal(cc)
		if err != nil {
			return fmt.Errorf("propose change of members: %w", err)
		}
		r.flush(true)
		m := &raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(uint64(r.cfg.ID)),
			Entries: []*raftpb.Entry{{Type: raftpb.EntryConfChangeV2.Enum(), Data: b}}}
		if err := r.rn.Step(m); errors.Is(err, raft.ErrProposalDropped) {
			return ErrBusy
		} else if err != nil {
			return err
		}
		if m.GetEntries()[0].GetType() == raftpb.EntryNormal {
			return ErrConfChangePending // raft puts an empty entry in its place
		}
		q := &request{id: id, at: r.now, sent: true}
		r.proposals = append(r.proposals, q)
		r.byID[id] = q
		return nil
	})
}

// parseConfChange reads the change that an entry holds.
func parseConfChange(e *raftpb.Entry) (*raftpb.ConfChangeV2, error) {
	if e.GetType() == raftpb.EntryConfChange {
		return nil, errors.New("entry holds a change of the members in a form that is not used")
	}
	cc := &raftpb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return nil, fmt.Errorf("change of the members: %w", err)
	}
	return cc, nil
}

// nextConf gives the configuration after a change. It is a function of its arguments alone, so that every replica comes to the same,
// also when it replays its log; raft itself panics where this gives an error.
func nextConf(cs *raftpb.ConfState, cc *raftpb.ConfChangeV2) (*raftpb.ConfState, error) {
	for _, c := range cc.GetChanges() {
		if c.GetNodeId() == 0 || raft.IsLocalMsgTarget(c.GetNodeId()) {
			return nil, fmt.Errorf("raft id %d is reserved", c.GetNodeId())
		}
	}
	chg, err := changer(cs)
	if err != nil {
		return nil, err
	}
	if cc.LeaveJoint() {
		chg.Tracker.Config, chg.Tracker.Progress, err = chg.LeaveJoint()
	} else if auto, ok := cc.EnterJoint(); ok {
		chg.Tracker.Config, chg.Tracker.Progress, err = chg.EnterJoint(auto, cc.GetChanges()...)
	} else {
		chg.Tracker.Config, chg.Tracker.Progress, err = chg.Simple(cc.GetChanges()...)
	}
	if err != nil {
		return nil, err
	}
	return chg.Tracker.ConfState(), nil
}

func changer(cs *raftpb.ConfState) (confchange.Changer, error) {
	chg := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	cfg, trk, err := confchange.Restore(chg, cs)
	if err != nil {
		return chg, err
	}
	chg.Tracker.Config, chg.Tracker.Progress = cfg, trk
	return chg, nil
}

// checkConfState refuses a configuration that raft could not start from.
func checkConfState(cs *raftpb.ConfState) error {
	chg, err := changer(cs)
	if err != nil {
		return err
	}
	return cs.Equivalent(chg.Tracker.ConfState())
}

// conf fills in what a change led to, beginning with the configuration before it, and gives the one after it.
func (e *Entry) conf(before *raftpb.ConfState, cc *raftpb.ConfChangeV2) *raftpb.ConfState {
	e.Conf = &ConfState{}
	for _, c := range cc.GetChanges() {
		k := AddVoter
		switch c.GetType() {
		case raftpb.ConfChangeAddLearnerNode:
			k = AddLearner
		case raftpb.ConfChangeRemoveNode:
			k = Remove
		}
		e.Conf.Changes = append(e.Conf.Changes, Change{Kind: k, ID: membership.RaftID(c.GetNodeId())})
	}
	after, err := nextConf(before, cc)
	if err != nil {
		after, e.Conf.Refused, e.Reason = before, true, err.Error()
	}
	e.Conf.Voters, e.Conf.Outgoing = raftIDs(after.GetVoters()), raftIDs(after.GetVotersOutgoing())
	e.Conf.Learners = raftIDs(slices.Concat(after.GetLearners(), after.GetLearnersNext()))
	return after
}

func raftIDs(ids []uint64) []membership.RaftID {
	out := make([]membership.RaftID, len(ids))
	for i, id := range ids {
		out[i] = membership.RaftID(id)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// applyConf takes a committed change into effect.
func (r *Replica) applyConf(cc *raftpb.ConfChangeV2, out *Entry) error {
	after := out.conf(r.conf, cc)
	if out.Conf.Refused {
		return nil
	}
	got := r.rn.ApplyConfChange(cc)
	if err := got.Equivalent(after); err != nil {
		return fmt.Errorf("replica: configuration after entry %d: %w", out.Index, err)
	}
	r.conf, r.confChanged, r.must = after, true, true
	return nil
}

// ahead notes which entries that are appended to the log change the voters; they replace entries from the index of the first on.
func (r *Replica) ahead(ents []*raftpb.Entry) {
	r.notAhead(ents[0].GetIndex())
	for _, e := range ents {
		if e.GetType() != raftpb.EntryNormal && r.changesVoters(e) {
			r.confAhead = append(r.confAhead, e.GetIndex())
		}
	}
}

// notAhead forgets the changes of the voters from an index on: the log does not have them any more.
func (r *Replica) notAhead(from uint64) {
	r.confAhead = slices.DeleteFunc(r.confAhead, func(index uint64) bool { return index >= from })
}

// changesVoters reports whether an entry may give other voters than there are now. What cannot be said counts as yes.
func (r *Replica) changesVoters(e *raftpb.Entry) bool {
	cc, err := parseConfChange(e)
	if err != nil {
		return true
	}
	after, err := nextConf(r.conf, cc)
	return err != nil || len(r.confAhead) > 0 || !slices.Equal(after.GetVoters(), r.conf.GetVoters()) || !slices.Equal(after.GetVotersOutgoing(), r.conf.GetVotersOutgoing())
}

// Reconfigures reports whether a change of the voters is in the log, is not applied here, and may have been applied by others. They
// may have committed entries since by the votes that it gives, so that Members does not say whose votes count. What the leader
// does not know to be committed nobody has applied.
func (r *Replica) Reconfigures() bool {
	if len(r.confAhead) == 0 {
		return false
	}
	return r.role.State != Leader || r.confAhead[0] <= r.rn.BasicStatus().GetCommit()
}

// Members gives the configuration as of the last applied entry; see Reconfigures.
func (r *Replica) Members() ConfState {
	return ConfState{
		Voters: raftIDs(r.conf.GetVoters()), Outgoing: raftIDs(r.conf.GetVotersOutgoing()),
		Learners: raftIDs(slices.Concat(r.conf.GetLearners(), r.conf.GetLearnersNext())),
	}
}

// stages of Survive.
type survival uint8

const (
	notSurviving survival = iota
	surviveAsked          // the save under way, if there is one, comes first
	surviveSaved          // the save of the new configuration is under way
)

// Survive makes this member the only one, without asking the others, and has it lead: for the survivor of two voters that has fenced
// its peer, and for the recovery of a cluster whose majority is lost for good. The caller vouches that every other
// voter is off and that nobody else does the same; else two leaders may commit different entries. What was under way is dropped, and
// the next Save writes the new configuration under a new term. Entries in the log that were not known to be committed are
// committed then: after the loss of one of two voters that is all that was ever acknowledged; after a greater loss entries may be
// missing. Other members come back by ProposeConfChange, first as learners, which ends their old configuration.
//
// A change of the members that waits uncommitted in the survivor's log is made on top of the new configuration, or is refused when it
// is applied. ErrBusy: a snapshot of the leader is being installed; try again when that is done.
func (r *Replica) Survive(now membership.Instant) error {
	return r.guard("survive", func() error {
		r.advance(now)
		switch {
		case r.surviving != notSurviving:
			return nil
		case r.applied == 0 || !slices.Contains(members(r.conf), uint64(r.cfg.ID)):
			return fmt.Errorf("survive: raft id %d is not a member (members are %v)", r.cfg.ID, members(r.conf))
		case r.install != nil || r.queue.Install || r.replay <= r.replayTo:
			return ErrBusy
		}
		r.surviving = surviveAsked
		return nil
	})
}

// Surviving reports whether Survive was called and has not come to its end.
func (r *Replica) Surviving() bool { return r.surviving != notSurviving }

// survivorSave is the save that Survive asks for. Of what waited to be saved only a snapshot of applied entries remains: nobody was
// told of anything else.
func (r *Replica) survivorSave() (*Save, error) {
	hs, _, err := r.cfg.Storage.InitialState()
	if err != nil {
		return nil, fmt.Errorf("replica: survive: %w", err)
	}
	r.conf, r.confChanged = &raftpb.ConfState{Voters: []uint64{uint64(r.cfg.ID)}}, false
	s := &Save{
		// The term is a new one, so that nothing of an election that was under way counts.
		HardState: &raftpb.HardState{Term: new(max(hs.GetTerm(), r.queued.term) + 1), Vote: new(uint64(0)), Commit: new(max(hs.GetCommit(), r.applied))},
		Applied:   r.applied,
		ConfState: r.conf,
		Snapshot:  r.queue.Snapshot,
		CompactTo: r.queue.CompactTo,
	}
	if s.Snapshot != nil {
		s.Snapshot = &raftpb.Snapshot{Data: s.Snapshot.GetData(), Metadata: s.Snapshot.GetMetadata()}
	}
	r.queue, r.must, r.waiting, r.saved, r.outbox = Save{}, false, nil, nil, nil
	r.notAhead(r.durable.last + 1)
	r.savedApply, r.saving, r.surviving = r.applied, true, surviveSaved
	r.pending.term, r.pending.last = s.HardState.GetTerm(), r.durable.last
	r.queued.term, r.queued.vote, r.queued.last = s.HardState.GetTerm(), 0, r.durable.last
	return s, nil
}

// survived starts raft anew on what survivorSave wrote.
func (r *Replica) survived() error {
	r.surviving = notSurviving
	if err := r.startRaft(); err != nil {
		return err
	}
	r.refresh()
	err := r.rn.Campaign()
	r.refresh()
	return err
}
