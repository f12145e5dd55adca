package node

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/command"
)

// A state that was decoded before is used for its own snapshot, and for no other one.
func TestConsensus_DecodedSnapshot(t *testing.T) {
	t.Parallel()
	s := command.New()
	s.ClusterID = "c"
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(index, term uint64) *raftpb.Snapshot {
		return &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term}}
	}
	for _, tt := range []struct {
		index, term uint64
		want        bool
	}{{7, 2, true}, {8, 2, false}, {7, 3, false}} {
		c := consensus{decoded: decoded{snapshot(7, 2), s}}
		if err := c.restore(snapshot(tt.index, tt.term)); err != nil {
			t.Fatal(err)
		}
		if got := c.state.Document == s.Document; got != tt.want || c.state.Index != tt.index || c.state.Term != tt.term || c.decoded.state != nil {
			t.Errorf("snapshot %d of term %d: used %v, want %v; state %d of term %d, kept %v", tt.index, tt.term, got, tt.want, c.state.Index, c.state.Term, c.decoded.state)
		}
	}
}
