package node

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/membership"
)

// TestVotes_UnsettledVoters: of two voters the one that does not lead has a change of the voters in its log and never hears
// whether it was committed: the leader may have applied it and gone on with the new voter. So it must neither fence nor go
// on when the leader is lost. With a plain entry in that place it does both. Method: the entry is handed to it as the leader
// would, then the leader is gone.
func TestVotes_UnsettledVoters(t *testing.T) {
	for _, row := range []struct {
		name    string
		entry   *raftpb.Entry
		bulk    int // entries of 1 MiB before it, known to be committed
		survive bool
	}{
		{"plain entry", &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Data: []byte("x")}, 0, true},
		{"new learner", confChange(t, raftpb.ConfChangeAddLearnerNode, 3), 0, true},
		{"new voter", confChange(t, raftpb.ConfChangeAddNode, 3), 0, false},
		{"its own vote", confChange(t, raftpb.ConfChangeAddLearnerNode, 2), 0, false},
		{"new voter, after more than is applied at once", confChange(t, raftpb.ConfChangeAddNode, 3), 5, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHarness(t, 2, "", primitive("power", ""), "")
			h.run(30*time.Second, h.settled)
			leader, p := h.leader(), h.follower()
			h.run(time.Second, func() bool { return p.n.votes.seenAll && p.n.con.rep.Applied() == leader.n.con.rep.Applied() })
			last, term := p.n.con.rep.Hello().Last, p.n.con.rep.Role().Term
			m := &raftpb.Message{Type: raftpb.MsgApp.Enum(), From: new(uint64(leader.n.cfg.RaftID)), To: new(uint64(p.n.cfg.RaftID)), Term: &term,
				LogTerm: &term, Index: &last, Commit: new(last + uint64(row.bulk))}
			for range row.bulk {
				m.Entries = append(m.Entries, &raftpb.Entry{Type: raftpb.EntryNormal.Enum(), Data: make([]byte, 1<<20)})
			}
			m.Entries = append(m.Entries, row.entry)
			for i, e := range m.Entries {
				e.Index, e.Term = new(last+uint64(i)+1), &term
			}
			leader.dead = true
			now, wall := h.clock()
			if err := p.n.Raft(now, wall, m); err != nil {
				t.Fatal(err)
			}
			h.run(time.Minute, nil)
			alone := p.n.Leader() != nil
			if fenced := len(h.runs) > 0; alone != row.survive || fenced != row.survive {
				t.Errorf("leads alone = %v, fenced = %v, want %v; it says %q", alone, fenced, row.survive, p.n.Waits())
			}
			if want := []membership.RaftID{1, 2}; !row.survive && len(p.n.Members().Voters) != len(want) {
				t.Errorf("voters %v, want %v", p.n.Members().Voters, want)
			}
		})
	}
}

func confChange(t *testing.T, kind raftpb.ConfChangeType, id uint64) *raftpb.Entry {
	data, err := proto.Marshal(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: kind.Enum(), NodeId: &id}}})
	if err != nil {
		t.Fatal(err)
	}
	return &raftpb.Entry{Type: raftpb.EntryConfChangeV2.Enum(), Data: data}
}
