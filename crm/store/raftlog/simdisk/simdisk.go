// Package simdisk is the in-memory twin of crm/store/raftlog for simulations: a Disk per node that survives
// the node's crashes, and a Log on it with the methods and the meaning of raftlog.Log. It does no I/O, reads no clock and draws
// no random numbers: what a crash leaves of a save that was under way, and which faults happen, is said by the simulator.
//
// A Save takes two steps, so that the simulator can let time pass, or crash, between them: [Log.Start] takes the
// save, [Log.Finish] makes it durable and visible. As in raftlog, a save is one transaction, so a torn write leaves the
// state before it or the state after it: the simulator picks one in [Disk.Crash].
//
// A Disk and its Log are for one goroutine.
package simdisk

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
)

// Image is the content of a disk at one moment. An image is never changed, so keeping one costs nothing.
type Image struct {
	identity raftlog.Identity
	hard     hardState
	applied  uint64
	conf     *raftpb.ConfState
	before   uint64 // the log starts after this index
	beforeT  uint64
	entries  []*raftpb.Entry
	snapshot *raftpb.Snapshot // nil or with data
	peers    []replica.PeerMark
}

type hardState struct{ term, vote, commit uint64 }

// Disk is what a node finds again after a crash.
type Disk struct {
	durable *Image // nil: no log
	log     *Log   // open log, nil if none
	damage  error
	lose    bool
	fail    error
}

// New gives an empty disk.
func New() *Disk { return &Disk{} }

// Log is an open log on a Disk.
type Log struct {
	disk  *Disk
	now   *Image
	next  *Image // of a save that was started
	err   error
	saves int
}

var _ raft.Storage = (*Log)(nil)

// Create makes and opens a log, as raftlog.Create does.
func (d *Disk) Create(id raftlog.Identity, first *replica.Save) (*Log, error) {
	switch {
	case d.durable != nil || d.damage != nil:
		return nil, raftlog.ErrExists
	case d.log != nil:
		return nil, raftlog.ErrLocked
	}
	empty := &Image{identity: id, conf: &raftpb.ConfState{}}
	if first == nil {
		first = &replica.Save{}
	}
	img, err := empty.after(*first)
	if err != nil {
		return nil, fmt.Errorf("create raft log: %w", err)
	}
	d.durable = img
	return d.Open()
}

// Open opens the log, as raftlog.Open does: what is not durable is gone.
func (d *Disk) Open() (*Log, error) {
	switch {
	case d.log != nil:
		return nil, raftlog.ErrLocked
	case d.damage != nil:
		return nil, d.damage
	case d.durable == nil:
		return nil, raftlog.ErrNoLog
	}
	d.log = &Log{disk: d, now: d.durable}
	return d.log, nil
}

// Crash ends the process that had the log open: every call of its Log returns an error from now on. Where a save
// was under way, landed says whether it reached the disk whole; else nothing of it is there.
func (d *Disk) Crash(landed bool) {
	if d.log == nil {
		return
	}
	if landed && d.log.next != nil && d.log.err == nil {
		d.durable = d.log.next
	}
	d.log.err = raftlog.ErrClosed
	d.log = nil
}

// Image gives the durable content, nil when there is no log.
func (d *Disk) Image() *Image { return d.durable }

// Restore replaces the durable content, as if the folder had been restored from a copy; nil wipes it. The node must be down.
func (d *Disk) Restore(img *Image) error {
	if d.log != nil {
		return raftlog.ErrLocked
	}
	d.durable, d.damage = img, nil
	return nil
}

// Damage makes every Open refuse, as raftlog does when a checksum is wrong; Restore ends it. The node must be down.
func (d *Disk) Damage(what string) error {
	if d.log != nil {
		return raftlog.ErrLocked
	}
	if d.durable != nil {
		d.damage = &raftlog.DamageError{File: "simulated", What: what}
	}
	return nil
}

// LoseSyncs makes saves return although they are not durable, as a disk does that lies about fsync. Switched off, everything
// that the open log shows becomes durable.
func (d *Disk) LoseSyncs(on bool) {
	if d.lose && !on && d.log != nil && d.log.err == nil {
		d.durable = d.log.now
	}
	d.lose = on
}

// FailSaves makes the next and all later saves fail with err (nothing of them reaches the disk); nil ends it for logs opened
// later.
func (d *Disk) FailSaves(err error) { d.fail = err }

func (l *Log) failWith(op string, err error) error {
	l.err = &raftlog.FatalError{Op: op, Err: err}
	return l.err
}

// Start takes a save. Reads see the state before it until Finish. Only one save is under way at a time.
func (l *Log) Start(s replica.Save) error {
	if l.err != nil {
		return l.err
	}
	if l.next != nil {
		return errors.New("simdisk: a save is under way")
	}
	next, err := l.now.after(s)
	if err != nil {
		return l.failWith("save", err)
	}
	l.next = next
	return nil
}

// Finish makes the started save durable and visible.
func (l *Log) Finish() error {
	switch {
	case l.err != nil:
		return l.err
	case l.next == nil:
		return errors.New("simdisk: no save is under way")
	case l.disk.fail != nil:
		return l.failWith("save", l.disk.fail)
	}
	l.now, l.next = l.next, nil
	l.saves++
	if !l.disk.lose {
		l.disk.durable = l.now
	}
	return nil
}

// Save is Start and Finish.
func (l *Log) Save(s replica.Save) error {
	if err := l.Start(s); err != nil {
		return err
	}
	return l.Finish()
}

// Saves counts the finished saves of this log since it was opened.
func (l *Log) Saves() int { return l.saves }

// Retire is as in raftlog.
func (l *Log) Retire(reason string) error {
	if l.err != nil {
		return l.err
	}
	if l.now.identity.Retired {
		return nil
	}
	retire := func(img *Image) *Image {
		if img == nil {
			return nil
		}
		n := *img
		n.identity.Retired, n.identity.RetiredReason = true, reason
		return &n
	}
	l.now, l.next, l.disk.durable = retire(l.now), retire(l.next), retire(l.disk.durable)
	return nil
}

// Close gives the log up; a save under way is lost.
func (l *Log) Close() error {
	if l.disk.log == l {
		l.disk.Crash(false)
	}
	return nil
}

// after gives the image after s, or why s contradicts it. It is written apart from raftlog's on purpose: a test holds
// the two against each other.
func (i *Image) after(s replica.Save) (*Image, error) {
	n := *i
	if s.HardState != nil {
		h := s.HardState
		if h.GetTerm() < i.hard.term || h.GetTerm() == i.hard.term && i.hard.vote != 0 && i.hard.vote != h.GetVote() {
			return nil, fmt.Errorf("term %d with vote %d after term %d with vote %d", h.GetTerm(), h.GetVote(), i.hard.term, i.hard.vote)
		}
		if h.GetCommit() < i.hard.commit && !s.Install {
			return nil, fmt.Errorf("commit index falls from %d to %d", i.hard.commit, h.GetCommit())
		}
		n.setHard(h.GetTerm(), h.GetVote(), h.GetCommit())
	}
	if s.Snapshot != nil {
		m := s.Snapshot.GetMetadata()
		if m.GetIndex() == 0 || m.GetTerm() == 0 || m.GetIndex() <= i.snapshot.GetMetadata().GetIndex() || !s.Install && m.GetIndex() > i.last() {
			return nil, fmt.Errorf("snapshot of index %d, term %d cannot be stored", m.GetIndex(), m.GetTerm())
		}
		n.snapshot = proto.CloneOf(s.Snapshot)
		n.snapshot.Metadata.ConfState = raftpb.EnsureConfState(n.snapshot.Metadata.ConfState)
	}
	if s.Install {
		if s.Snapshot == nil {
			return nil, errors.New("install without a snapshot")
		}
		m := n.snapshot.GetMetadata()
		if m.GetIndex() < i.applied {
			return nil, fmt.Errorf("install of %d below the applied index %d", m.GetIndex(), i.applied)
		}
		n.before, n.beforeT, n.entries = m.GetIndex(), m.GetTerm(), nil
		n.applied, n.conf = m.GetIndex(), m.GetConfState()
		n.setHard(max(n.hard.term, m.GetTerm()), n.hard.vote, max(n.hard.commit, m.GetIndex()))
	}
	if len(s.Entries) > 0 {
		first := s.Entries[0].GetIndex()
		if first <= n.before || first > n.last()+1 || first <= i.hard.commit && !s.Install {
			return nil, fmt.Errorf("entry %d does not follow a log of %d to %d", first, n.before+1, n.last())
		}
		n.entries = slices.Clip(n.entries[:first-n.before-1])
		for _, e := range s.Entries {
			if e.GetIndex() != n.last()+1 || e.GetTerm() < n.lastTerm() {
				return nil, fmt.Errorf("entry %d of term %d after entry %d of term %d", e.GetIndex(), e.GetTerm(), n.last(), n.lastTerm())
			}
			n.entries = append(n.entries, e)
		}
	}
	if s.Applied > 0 {
		if s.Applied < n.applied || s.ConfState == nil {
			return nil, fmt.Errorf("applied index %d after %d, configuration %v", s.Applied, n.applied, s.ConfState)
		}
		n.applied, n.conf = s.Applied, s.ConfState
	}
	if s.CompactTo > n.before {
		if s.CompactTo > n.snapshot.GetMetadata().GetIndex() {
			return nil, fmt.Errorf("compaction to %d without a snapshot", s.CompactTo)
		}
		drop := s.CompactTo - n.before
		n.beforeT = n.entries[drop-1].GetTerm()
		n.before, n.entries = s.CompactTo, n.entries[drop:]
	}
	if s.Peers != nil {
		n.peers = slices.Clone(s.Peers)
	}
	if snap := n.snapshot.GetMetadata().GetIndex(); snap > n.applied || n.applied > n.hard.commit || n.hard.commit > n.last() || n.lastTerm() > n.hard.term {
		return nil, fmt.Errorf("snapshot %d, applied %d, commit %d, last %d must rise, and term %d not be below that of the last entry, %d",
			snap, n.applied, n.hard.commit, n.last(), n.hard.term, n.lastTerm())
	}
	return &n, nil
}

func (i *Image) setHard(term, vote, commit uint64) {
	i.hard = hardState{term: term, vote: vote, commit: commit}
}

func (i *Image) last() uint64 { return i.before + uint64(len(i.entries)) }

func (i *Image) lastTerm() uint64 {
	if len(i.entries) == 0 {
		return i.beforeT
	}
	return i.entries[len(i.entries)-1].GetTerm()
}

// Hard gives the hard state.
func (i *Image) Hard() (term, vote, commit uint64) {
	return i.hard.term, i.hard.vote, i.hard.commit
}

// Last gives the index and the term of the last entry.
func (i *Image) Last() (index, term uint64) { return i.last(), i.lastTerm() }

// InitialState implements raft.Storage.
func (l *Log) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	if l.err != nil {
		return nil, nil, l.err
	}
	t, v, c := l.now.Hard()
	return &raftpb.HardState{Term: new(t), Vote: new(v), Commit: new(c)}, proto.CloneOf(l.now.conf), nil
}

// Applied is as in raftlog.
func (l *Log) Applied() (uint64, error) { return l.now.applied, l.err }

// PeerMarks is as in raftlog.
func (l *Log) PeerMarks() ([]replica.PeerMark, error) { return slices.Clone(l.now.peers), l.err }

// Identity is as in raftlog.
func (l *Log) Identity() raftlog.Identity { return l.now.identity }

// FirstIndex implements raft.Storage.
func (l *Log) FirstIndex() (uint64, error) { return l.now.before + 1, l.err }

// LastIndex implements raft.Storage.
func (l *Log) LastIndex() (uint64, error) { return l.now.last(), l.err }

// Term implements raft.Storage.
func (l *Log) Term(i uint64) (uint64, error) {
	switch n := l.now; {
	case l.err != nil:
		return 0, l.err
	case i < n.before:
		return 0, raft.ErrCompacted
	case i > n.last():
		return 0, raft.ErrUnavailable
	case i == n.before:
		return n.beforeT, nil
	default:
		return n.entries[i-n.before-1].GetTerm(), nil
	}
}

// Entries implements raft.Storage.
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	n := l.now
	switch {
	case l.err != nil:
		return nil, l.err
	case lo <= n.before:
		return nil, raft.ErrCompacted
	case hi > n.last()+1 || lo > hi:
		return nil, raft.ErrUnavailable
	}
	var size uint64
	var out []*raftpb.Entry
	for _, e := range n.entries[lo-n.before-1 : hi-n.before-1] {
		size += uint64(proto.Size(e))
		if len(out) > 0 && size > maxSize {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

// Snapshot implements raft.Storage; as in raftlog it gives no data.
func (l *Log) Snapshot() (*raftpb.Snapshot, error) {
	s, err := l.ReadSnapshot()
	if err != nil {
		return nil, err
	}
	s.Data = nil
	return s, nil
}

// ReadSnapshot is as in raftlog.
func (l *Log) ReadSnapshot() (*raftpb.Snapshot, error) {
	if l.err != nil {
		return nil, l.err
	}
	if l.now.snapshot == nil {
		return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{}}}, nil
	}
	return proto.CloneOf(l.now.snapshot), nil
}
