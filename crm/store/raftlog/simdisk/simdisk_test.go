package simdisk

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

type log interface {
	raft.Storage
	Save(replica.Save) error
	Retire(string) error
	Applied() (uint64, error)
	PeerMarks() ([]replica.PeerMark, error)
	Identity() raftlog.Identity
	ReadSnapshot() (*raftpb.Snapshot, error)
	Close() error
}

var (
	_ log = (*Log)(nil)
	_ log = (*raftlog.Log)(nil)
)

var identity = raftlog.Identity{ClusterID: "c0ffee", NodeID: 3, RaftID: 17}

// dump shows all that a log says.
func dump(t *rapid.T, l log) string {
	var b strings.Builder
	must := func(err error) {
		if err != nil {
			t.Fatalf("%T: %v", l, err)
		}
	}
	hs, cs, err := l.InitialState()
	must(err)
	applied, err := l.Applied()
	must(err)
	first, err := l.FirstIndex()
	must(err)
	last, err := l.LastIndex()
	must(err)
	peers, err := l.PeerMarks()
	must(err)
	snap, err := l.ReadSnapshot()
	must(err)
	bare, err := l.Snapshot()
	must(err)
	fmt.Fprintf(&b, "%d/%d/%d applied %d %v %v log %d-%d peers %v snapshot %d:%d %q %v data in Snapshot %v %+v\n", hs.GetTerm(), hs.GetVote(), hs.GetCommit(),
		applied, cs.GetVoters(), cs.GetLearners(), first, last, peers, snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm(), snap.GetData(),
		snap.GetMetadata().GetConfState().GetVoters(), bare.GetData() != nil, l.Identity())
	for i := first - min(first, 2); i <= last+1; i++ {
		term, err := l.Term(i)
		fmt.Fprintf(&b, "term of %d: %d %v\n", i, term, err)
	}
	for lo := first - 1; lo <= last+1; lo++ {
		for _, size := range []uint64{0, 60, math.MaxUint64} {
			ents, err := l.Entries(lo, last+1, size)
			fmt.Fprintf(&b, "entries from %d: %v", lo, err)
			for _, e := range ents {
				fmt.Fprintf(&b, " %d:%d:%v:%q", e.GetIndex(), e.GetTerm(), e.GetType(), e.GetData())
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// drawSave draws a save that may also be wrong: every number lies near one that fits.
func drawSave(t *rapid.T, l log) replica.Save {
	near := func(label string, v uint64) uint64 {
		d := rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 1, 2, -1, -2}).Draw(t, label)
		return uint64(max(0, int64(v)+d))
	}
	conf := func() *raftpb.ConfState {
		return &raftpb.ConfState{Voters: rapid.SliceOfNDistinct(rapid.Uint64Range(1, 5), 1, 3, rapid.ID).Draw(t, "voters")}
	}
	hs, _, _ := l.InitialState()
	last, _ := l.LastIndex()
	applied, _ := l.Applied()
	term := hs.GetTerm()
	s := replica.Save{}
	if rapid.Bool().Draw(t, "hard") || term == 0 {
		term = near("term", term+uint64(rapid.IntRange(0, 1).Draw(t, "step")))
		commit := rapid.Uint64Range(hs.GetCommit(), max(last, hs.GetCommit())).Draw(t, "commit")
		vote := hs.GetVote()
		if term != hs.GetTerm() || rapid.IntRange(0, 9).Draw(t, "other vote") == 0 {
			vote = rapid.Uint64Range(0, 3).Draw(t, "vote")
		}
		s.HardState = &raftpb.HardState{Term: new(term), Vote: new(vote), Commit: new(near("commit off", commit))}
	}
	if rapid.IntRange(0, 9).Draw(t, "install") == 0 {
		s.Install = true
		at := near("install at", last+3)
		s.Snapshot = &raftpb.Snapshot{Data: []byte(fmt.Sprint("installed ", at)), Metadata: &raftpb.SnapshotMetadata{Index: new(at), Term: new(term), ConfState: conf()}}
		last = at
	} else if rapid.IntRange(0, 3).Draw(t, "snapshot") == 0 {
		at := near("snapshot at", applied)
		t1, _ := l.Term(at)
		s.Snapshot = &raftpb.Snapshot{Data: []byte(fmt.Sprint("made ", at)), Metadata: &raftpb.SnapshotMetadata{Index: new(at), Term: new(t1), ConfState: conf()}}
	}
	if rapid.Bool().Draw(t, "entries") {
		from := last + 1
		if rapid.IntRange(0, 3).Draw(t, "replace") == 0 {
			from = rapid.Uint64Range(min(hs.GetCommit()+1, last+1), last+1).Draw(t, "from")
		}
		from = near("from off", from)
		for i := range rapid.Uint64Range(1, 4).Draw(t, "number") {
			e := &raftpb.Entry{Index: new(from + i), Term: new(term), Type: raftpb.EntryNormal.Enum(), Data: []byte(fmt.Sprintf("%d in %d", from+i, term))}
			s.Entries = append(s.Entries, e)
		}
	}
	if rapid.Bool().Draw(t, "applied") {
		s.Applied, s.ConfState = near("applied off", rapid.Uint64Range(applied, max(applied, hs.GetCommit())).Draw(t, "applied")), conf()
	}
	if rapid.IntRange(0, 3).Draw(t, "compact") == 0 {
		snap, _ := l.Snapshot()
		s.CompactTo = near("compact off", rapid.Uint64Range(0, snap.GetMetadata().GetIndex()).Draw(t, "compact to"))
	}
	if rapid.Bool().Draw(t, "peers") {
		s.Peers = []replica.PeerMark{{ID: membership.RaftID(rapid.Uint64Range(1, 3).Draw(t, "peer")), Term: term, Index: last}}
	}
	return s
}

// TestTwin holds the twin against the real log: the same saves are taken or refused by both, and both say the same,
// also after closing and opening again.
func TestTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "twin")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var first *replica.Save
		if rapid.Bool().Draw(t, "founding") {
			first = &replica.Save{
				HardState: &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))}, Install: true,
				Snapshot: &raftpb.Snapshot{Data: []byte("first"), Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{17}}}},
			}
		}
		opt := raftlog.Options{CacheBytes: rapid.SampledFrom([]int{1, 100, 0}).Draw(t, "cache")}
		disk, name := New(), filepath.Join(dir, "raft")
		real, err := raftlog.Create(name, identity, first, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { real.Close() }()
		twin, err := disk.Create(identity, first)
		if err != nil {
			t.Fatal(err)
		}
		reopen := func() {
			real.Close()
			twin.Close()
			if real, err = raftlog.Open(name, opt); err != nil {
				t.Fatal(err)
			}
			if twin, err = disk.Open(); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "saves") {
			s := drawSave(t, twin)
			before := dump(t, twin)
			err1, err2 := real.Save(s), twin.Save(s)
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("real log: %v\ntwin: %v", err1, err2)
			}
			if err1 != nil || rapid.IntRange(0, 4).Draw(t, "reopen") == 0 {
				reopen()
			}
			got, want := dump(t, twin), dump(t, real)
			if got != want {
				t.Fatalf("twin says:\n%s\nreal log says:\n%s", got, want)
			}
			if err1 != nil && got != before {
				t.Fatalf("after a refused save:\n%s\nwant:\n%s", got, before)
			}
			if rapid.IntRange(0, 20).Draw(t, "retire") == 0 && (real.Retire("why") != nil || twin.Retire("why") != nil) {
				t.Fatal("retire refused")
			}
		}
	})
}

func save(term, vote uint64) replica.Save {
	return replica.Save{HardState: &raftpb.HardState{Term: new(term), Vote: new(vote), Commit: new(uint64(0))}}
}

func mustTerm(t *testing.T, d *Disk) uint64 {
	t.Helper()
	l, err := d.Open()
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	defer l.Close()
	hs, _, _ := l.InitialState()
	return hs.GetTerm()
}

func TestDisk_Faults(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*Disk, *Log) {
		d := New()
		l, err := d.Create(identity, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Save(save(1, 0)); err != nil {
			t.Fatal(err)
		}
		return d, l
	}
	for _, landed := range []bool{false, true} {
		d, l := start(t)
		if err := l.Start(save(2, 0)); err != nil {
			t.Fatal(err)
		}
		if hs, _, _ := l.InitialState(); hs.GetTerm() != 1 {
			t.Errorf("a save under way is visible: term %d", hs.GetTerm())
		}
		d.Crash(landed)
		if err := l.Finish(); !errors.Is(err, raftlog.ErrClosed) {
			t.Errorf("Finish() after the crash = %v, want ErrClosed", err)
		}
		if got, want := mustTerm(t, d), map[bool]uint64{false: 1, true: 2}[landed]; got != want {
			t.Errorf("landed %v: term after the crash = %d, want %d", landed, got, want)
		}
	}
	t.Run("lost syncs", func(t *testing.T) {
		d, l := start(t)
		d.LoseSyncs(true)
		l.Save(save(2, 0))
		d.Crash(true)
		if got := mustTerm(t, d); got != 1 {
			t.Errorf("term = %d, want 1", got)
		}
	})
	t.Run("failing saves", func(t *testing.T) {
		d, l := start(t)
		eio := errors.New("input/output error")
		d.FailSaves(eio)
		err := l.Save(save(2, 0))
		var fatal *raftlog.FatalError
		if !errors.As(err, &fatal) || !errors.Is(err, eio) || l.Save(save(2, 0)) != err {
			t.Errorf("Save() = %v, want a lasting fatal error", err)
		}
		d.Crash(true)
		if got := mustTerm(t, d); got != 1 {
			t.Errorf("term = %d, want 1", got)
		}
	})
	t.Run("older copy, wipe, damage", func(t *testing.T) {
		d, l := start(t)
		old := d.Image()
		l.Save(save(2, 0))
		if err := d.Restore(old); !errors.Is(err, raftlog.ErrLocked) {
			t.Errorf("Restore() under an open log = %v, want ErrLocked", err)
		}
		l.Close()
		d.Restore(old)
		if got := mustTerm(t, d); got != 1 {
			t.Errorf("term = %d, want 1", got)
		}
		var damage *raftlog.DamageError
		d.Damage("bit rot")
		if _, err := d.Open(); !errors.As(err, &damage) {
			t.Errorf("Open() = %v, want damage", err)
		}
		d.Restore(nil)
		if _, err := d.Open(); !errors.Is(err, raftlog.ErrNoLog) {
			t.Errorf("Open() = %v, want ErrNoLog", err)
		}
	})
}
