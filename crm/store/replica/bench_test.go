package replica_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// BenchmarkWrites has three replicas on real logs in one loop, as three nodes without a network would: saves run in goroutines of
// their own, messages take no time. Each client waits for its write to be applied where it proposed it, on the leader. Set
// QUORATE_BENCH_DIR to measure another disk than that of the temporary folder.
func BenchmarkWrites(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("nodes=3/clients=%d/bytes=300", clients), func(b *testing.B) { benchWrites(b, clients) })
	}
}

func benchWrites(b *testing.B, clients int) {
	base := os.Getenv("QUORATE_BENCH_DIR")
	if base == "" {
		base = b.TempDir()
	}
	dir, err := os.MkdirTemp(base, "replica")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	type member struct {
		log *raftlog.Log
		rep *replica.Replica
	}
	type done struct {
		m   *member
		err error
	}
	voters := []uint64{1, 2, 3}
	members := map[uint64]*member{}
	saved := make(chan done, 3)
	start := time.Now()
	now := func() membership.Instant { return membership.Instant(time.Since(start)) }
	for _, i := range voters {
		first := replica.Founding(membership.RaftID(i), []byte("state"))
		first.Snapshot.Metadata.ConfState = &raftpb.ConfState{Voters: voters}
		l, err := raftlog.Create(filepath.Join(dir, fmt.Sprint(i)), raftlog.Identity{ClusterID: "c", NodeID: membership.NodeID(i), RaftID: membership.RaftID(i)}, first, raftlog.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		r, err := replica.New(replica.Config{ID: membership.RaftID(i), Incarnation: 1, Storage: l})
		if err != nil {
			b.Fatal(err)
		}
		members[i] = &member{log: l, rep: r}
		r.Tick(now())
	}
	begun := map[replica.RequestID]time.Time{}
	var took []time.Duration
	answered := 0
	saving, saves := 0, 0
	pump := func() {
		for again := true; again; {
			again = false
			for _, i := range voters {
				m := members[i]
				if !m.rep.HasReady() {
					continue
				}
				again = true
				out := m.rep.Ready()
				if out.Err != nil {
					b.Fatal(out.Err)
				}
				if out.Save != nil {
					saving++
					saves++
					go func() { saved <- done{m, m.log.Save(*out.Save)} }()
				}
				for _, e := range out.Committed {
					if e.Own {
						took = append(took, time.Since(begun[e.Request]))
						delete(begun, e.Request)
						answered++
					}
				}
				for _, d := range out.Dropped {
					b.Fatalf("dropped: %+v", d)
				}
				for _, msg := range out.Messages {
					if err := members[msg.GetTo()].rep.Step(now(), msg); err != nil {
						b.Fatal(err)
					}
				}
				if out.TakeSnapshot > 0 {
					m.rep.SnapshotTaken(now(), out.TakeSnapshot, []byte("state"))
				}
			}
		}
	}
	wait := func() {
		d := <-saved
		saving--
		if d.err != nil {
			b.Fatal(d.err)
		}
		if err := d.m.rep.Saved(now()); err != nil {
			b.Fatal(err)
		}
		pump()
	}
	leader := members[1].rep
	leader.Campaign(now())
	for pump(); !leader.Role().Acting; {
		wait()
	}
	data := []byte(strings.Repeat("x", 300))
	n := 0
	for b.Loop() {
		n++
		id := replica.RequestID{Hi: 1, Lo: uint64(n)}
		begun[id] = time.Now()
		if err := leader.Propose(now(), id, data); err != nil {
			b.Fatal(err)
		}
		if len(begun) < clients {
			continue
		}
		pump()
		for len(begun) >= clients {
			wait()
		}
	}
	elapsed := b.Elapsed()
	for saving > 0 {
		wait()
	}
	if answered == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(answered)/elapsed.Seconds(), "writes/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(saves)/float64(answered), "saves/write")
}
