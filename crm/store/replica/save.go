package replica

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/membership"
)

// Save is everything that one replica wants on stable storage, as one value: the storage writes it in one
// transaction, all of it or nothing, and the owner then calls [Replica.Saved]. The zero fields of a Save
// change nothing. A Save owns nothing: its entries and messages are shared with raft and must not be
// changed by anybody.
type Save struct {
	// HardState is the term, the vote and the commit index; nil when they are as in the last Save.
	HardState *raftpb.HardState
	// Entries are to be appended in order. Stored entries with an index at or above that of the first are
	// replaced.
	Entries []*raftpb.Entry
	// Snapshot, when not nil, is to be stored with its data before the transaction that names it. With
	// Install set it came from the leader: it replaces the whole log, and the applied index and
	// configuration become those of the snapshot. Without, it was made here from applied entries.
	Snapshot *raftpb.Snapshot
	Install  bool
	// CompactTo, when above zero, says that entries up to and including this index are no longer
	// needed. It never exceeds the index of the newest snapshot.
	CompactTo uint64
	// Applied is the index of the last entry given out for applying, and ConfState the configuration as of
	// exactly that index; the two are stored together because a configuration that is older or newer than
	// the applied index makes raft apply a change twice or not at all. Applied is 0 and ConfState nil when
	// unchanged.
	Applied   uint64
	ConfState *raftpb.ConfState
	// Peers replaces the stored list of what peers have shown, when not nil. Sorted by raft id.
	Peers []PeerMark
}

// PeerMark is the most that a peer has shown of its own stable storage.
type PeerMark struct {
	ID membership.RaftID
	// Term and Index: it had stored this term, and in this term a log up to this index.
	Term, Index uint64
	// Floor: it had stored the log up to this index and all of that was committed, so it can never have less.
	Floor uint64
}
