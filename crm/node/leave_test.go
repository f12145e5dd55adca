package node

import (
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/raftlog/simdisk"
)

// A node that has joined and was never reached is asked to stop: it has nothing to leave, and ends.
func TestLeave_NeverReached(t *testing.T) {
	disk := simdisk.New()
	log, err := disk.Create(raftlog.Identity{ClusterID: "c", NodeID: 4, RaftID: 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lan := []cib.NodeLink{{Link: "lan", Address: "10.0.0.1"}}
	wall := time.Unix(1_700_000_000, 0)
	n, err := New(Config{Name: "n4", NodeID: 4, RaftID: 4, Incarnation: 1, Boot: "b", Storage: log,
		Known: []Known{{Name: "n1", Node: 1, Raft: 1, Key: []byte{1}, Links: lan}, {Name: "n4", Node: 4, Raft: 4, Key: []byte{4}, Links: lan}}, KnownLinks: []string{"lan"}}, 0, wall)
	if err != nil {
		t.Fatal(err)
	}
	n.Leave(1, wall)
	for range 10 {
		if n.Ready().Left {
			return
		}
	}
	t.Error("it does not end")
}
