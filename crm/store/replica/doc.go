// Package replica drives one raft replica (go.etcd.io/raft/v3, RawNode) as a step function. Time, messages,
// proposals and finished saves go in; what is to be saved, sent and applied comes out of [Replica.Ready] as
// values. It has no goroutine, clock, socket or disk, draws no random numbers of its own (raft draws its randomised election
// timeout from crypto/rand, which tests fix with testing/cryptotest), and it does not know what the entries say.
//
// # Order of work
//
// After each input the owner calls Ready until HasReady is false, and does with each [Output], in this order:
//
//  1. Err: when set, the process must end; the output has nothing else.
//  2. Messages: send now. Everything in them may go before anything of the same output is saved: what depends on a save
//     (votes, confirmations of appended entries) is held back here and comes out of a Ready after Saved. A
//     leader's appends are among those that go at once, so that its own disk and those of its followers work side by side.
//  3. Save: hand it to the storage and go on; call Saved when it is durable. There is one save under way at a time; what
//     comes up meanwhile is merged into the next one, so that one fsync serves all that waited for it.
//  4. Restore: replace the state machine by this snapshot.
//  5. Committed: apply, in order, before the next input. They count as applied when Ready returns them.
//  6. Reads: these read requests may now be answered from the state machine.
//  7. Dropped, Role, TakeSnapshot, Notes: as their comments say.
//
// No input blocks or calls out. Time is the monotonic clock of this process; a call with an earlier instant than the one
// before is taken as if it came at the same instant.
//
// # Leader
//
// A replica is an acting leader only once it has applied an entry of its own term: before that it may not
// know all that is committed. [Role] says both. Raft's own election timeout is long, a backstop: as a rule membership notices a lost leader
// first and calls LeaderLost, which makes this replica forget the leader (so that it grants votes at once) and campaign
// in its turn: the replica with the highest applied index first, the lowest raft id among equals, the others staggered behind.
//
// # Identity
//
// A raft id whose disk was wiped or restored from an older copy may have voted or confirmed entries that it does not
// remember. Each replica keeps, and saves with its other state, what each peer has shown of its stable
// storage ([PeerMark]); a peer that shows less than that later is refused by ObservePeer, and none of its messages
// are taken. The reverse is seen too: a leader which relies on entries that are not here makes Step return a [LostLogError].
//
// # Concurrency
//
// A Replica is for one goroutine. What it returns is not changed by it later, and must not be changed by anybody.
package replica
