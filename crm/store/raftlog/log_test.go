package raftlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/replica"
)

var testIdentity = Identity{ClusterID: "c0ffee", NodeID: 3, RaftID: 17}

func entry(index, term uint64, data string) *raftpb.Entry {
	e := &raftpb.Entry{Index: new(index), Term: new(term), Type: raftpb.EntryNormal.Enum()}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

func entries(from, to, term uint64) (out []*raftpb.Entry) {
	for i := from; i <= to; i++ {
		out = append(out, entry(i, term, fmt.Sprintf("entry %d of term %d %s", i, term, strings.Repeat("x", int(i%97)))))
	}
	return out
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}

func voters(ids ...uint64) *raftpb.ConfState { return &raftpb.ConfState{Voters: ids} }

func snapshot(index, term uint64, data string, ids ...uint64) *raftpb.Snapshot {
	return &raftpb.Snapshot{Data: []byte(data), Metadata: &raftpb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: voters(ids...)}}
}

// founding is the first save of a node that founds a cluster.
func founding() *replica.Save {
	return &replica.Save{HardState: hard(1, 0, 1), Snapshot: snapshot(1, 1, "first document", 17), Install: true}
}

func mustCreate(t testing.TB, dir string, first *replica.Save, opt Options) *Log {
	t.Helper()
	l, err := Create(dir, testIdentity, first, opt)
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustOpen(t testing.TB, dir string, opt Options) *Log {
	t.Helper()
	l, err := Open(dir, opt)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustSave(t testing.TB, l interface{ Save(replica.Save) error }, s replica.Save) {
	t.Helper()
	if err := l.Save(s); err != nil {
		t.Fatalf("Save() = %v", err)
	}
}

// reader is what a log offers for reading; the in-memory twin has the same.
type storage interface {
	raft.Storage
	Applied() (uint64, error)
	PeerMarks() ([]replica.PeerMark, error)
	ReadSnapshot() (*raftpb.Snapshot, error)
}

// dump shows all that a log says, entry data included.
func dump(l storage) (string, error) {
	var b strings.Builder
	hs, cs, err := l.InitialState()
	if err != nil {
		return "", err
	}
	applied, _ := l.Applied()
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	peers, _ := l.PeerMarks()
	snap, err := l.ReadSnapshot()
	if err != nil {
		return "", err
	}
	term, err := l.Term(first - 1)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "term %d vote %d commit %d applied %d conf %v/%v before %d:%d last %d peers %v snapshot %d:%d %q %v\n",
		hs.GetTerm(), hs.GetVote(), hs.GetCommit(), applied, cs.GetVoters(), cs.GetLearners(), first-1, term, last, peers,
		snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm(), snap.GetData(), snap.GetMetadata().GetConfState().GetVoters())
	if last >= first {
		ents, err := l.Entries(first, last+1, math.MaxUint64)
		if err != nil {
			return "", err
		}
		for _, e := range ents {
			t, err := l.Term(e.GetIndex())
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%d:%d:%d:%v %q\n", e.GetIndex(), e.GetTerm(), t, e.GetType(), e.GetData())
		}
	}
	return b.String(), nil
}

func mustDump(t testing.TB, l storage) string {
	t.Helper()
	s, err := dump(l)
	if err != nil {
		t.Fatalf("dump() = %v", err)
	}
	return s
}

func TestLog_Reopen(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{1, 0} { // nothing but the last entry cached, and all
		dir := filepath.Join(t.TempDir(), "raft")
		l := mustCreate(t, dir, founding(), Options{CacheBytes: cache})
		mustSave(t, l, replica.Save{HardState: hard(2, 17, 1), Entries: entries(2, 30, 2)})
		mustSave(t, l, replica.Save{HardState: hard(3, 0, 12), Entries: entries(21, 25, 3), Peers: []replica.PeerMark{{ID: 4, Term: 2, Index: 20, Floor: 9}}})
		mustSave(t, l, replica.Save{Applied: 10, ConfState: voters(17, 18), Snapshot: snapshot(10, 2, "document at 10", 17, 18)})
		mustSave(t, l, replica.Save{CompactTo: 5, Entries: []*raftpb.Entry{{Index: new(uint64(26)), Term: new(uint64(3)), Type: raftpb.EntryConfChangeV2.Enum()}}})
		mustSave(t, l, replica.Save{CompactTo: 7})
		want := mustDump(t, l)
		if !strings.HasPrefix(want, "term 3 vote 0 commit 12 applied 10 conf [17 18]/[] before 7:2 last 26 peers [{4 2 20 9}] snapshot 10:2 \"document at 10\" [17 18]\n8:2:2") {
			t.Fatalf("dump before closing = %s", want)
		}
		if err := l.Close(); err != nil {
			t.Fatalf("Close() = %v", err)
		}
		if err := l.Save(replica.Save{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Save() after Close() = %v, want ErrClosed", err)
		}
		l = mustOpen(t, dir, Options{CacheBytes: cache})
		if got := mustDump(t, l); got != want {
			t.Errorf("after reopening:\n%s\nwant:\n%s", got, want)
		}
		if got := l.Identity(); got != testIdentity {
			t.Errorf("Identity() = %+v, want %+v", got, testIdentity)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "snapshot-*"))
		if len(files) != 1 || filepath.Base(files[0]) != "snapshot-000000000000000a-0000000000000002" {
			t.Errorf("snapshot files = %v, want only the newest", files)
		}
		// A snapshot from the leader replaces everything.
		mustSave(t, l, replica.Save{HardState: hard(9, 0, 100), Snapshot: snapshot(100, 8, "document at 100", 1, 2, 3), Install: true, Entries: entries(101, 102, 9)})
		want = mustDump(t, l)
		if !strings.HasPrefix(want, "term 9 vote 0 commit 100 applied 100 conf [1 2 3]/[] before 100:8 last 102") {
			t.Fatalf("dump after install = %s", want)
		}
		l.Close()
		if got := mustDump(t, mustOpen(t, dir, Options{})); got != want {
			t.Errorf("after install and reopening:\n%s\nwant:\n%s", got, want)
		}
	}
}

func TestLog_Empty(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "raft")
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNoLog) {
		t.Fatalf("Open() of nothing = %v, want ErrNoLog", err)
	}
	l := mustCreate(t, dir, nil, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("Open() of an open log = %v, want ErrLocked", err)
	}
	l.Close()
	if _, err := Create(dir, testIdentity, nil, Options{}); !errors.Is(err, ErrExists) {
		t.Errorf("Create() over a log = %v, want ErrExists", err)
	}
	l = mustOpen(t, dir, Options{})
	want := "term 0 vote 0 commit 0 applied 0 conf []/[] before 0:0 last 0 peers [] snapshot 0:0 \"\" []\n"
	if got := mustDump(t, l); got != want {
		t.Errorf("empty log says %s, want %s", got, want)
	}
	if mode := mustStat(t, filepath.Join(dir, logFile)).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of %s = %v, want 0600", logFile, mode)
	}
}

func mustStat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	i, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestCreate_BadIdentity(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		id   Identity
		want string
	}{
		{"no cluster", Identity{NodeID: 1, RaftID: 1}, "cluster id"},
		{"no node", Identity{ClusterID: "c", RaftID: 1}, "node id is 0"},
		{"no raft id", Identity{ClusterID: "c", NodeID: 1}, "raft id 0 is reserved"},
		{"local raft id", Identity{ClusterID: "c", NodeID: 1, RaftID: math.MaxUint64}, "is reserved"},
		{"retired", Identity{ClusterID: "c", NodeID: 1, RaftID: 1, Retired: true}, "cannot be retired"},
	} {
		if _, err := Create(t.TempDir(), tc.id, nil, Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Create() = %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestLog_Retire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	if err := l.Retire("peer 4 has seen term 9"); err != nil {
		t.Fatal(err)
	}
	if err := l.Retire("another reason"); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if id := mustOpen(t, dir, Options{}).Identity(); !id.Retired || id.RetiredReason != "peer 4 has seen term 9" {
		t.Errorf("Identity() = %+v, want retired with the first reason", id)
	}
}

// TestLog_RaftStorage checks the errors and limits which raft relies on.
func TestLog_RaftStorage(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{1, 0} {
		l := mustCreate(t, t.TempDir(), founding(), Options{CacheBytes: cache})
		mustSave(t, l, replica.Save{HardState: hard(2, 0, 10), Entries: entries(2, 20, 2), Applied: 10, ConfState: voters(17)})
		mustSave(t, l, replica.Save{Snapshot: snapshot(10, 2, "d", 17), CompactTo: 5})
		for _, tc := range []struct {
			lo, hi, max uint64
			n           int
			want        error
		}{
			{5, 8, math.MaxUint64, 0, raft.ErrCompacted},
			{6, 8, math.MaxUint64, 2, nil},
			{6, 21, math.MaxUint64, 15, nil},
			{6, 22, math.MaxUint64, 0, raft.ErrUnavailable},
			{6, 21, 0, 1, nil},
			{20, 21, 0, 1, nil},
			{19, 21, 1, 1, nil},
			{6, 6, 1, 0, nil},
		} {
			got, err := l.Entries(tc.lo, tc.hi, tc.max)
			if !errors.Is(err, tc.want) || len(got) != tc.n {
				t.Errorf("cache %d: Entries(%d, %d, %d) = %d entries, %v, want %d, %v", cache, tc.lo, tc.hi, tc.max, len(got), err, tc.n, tc.want)
			}
		}
		for i, want := range map[uint64]error{4: raft.ErrCompacted, 5: nil, 20: nil, 21: raft.ErrUnavailable} {
			if _, err := l.Term(i); !errors.Is(err, want) {
				t.Errorf("Term(%d) = %v, want %v", i, err, want)
			}
		}
		s, err := l.Snapshot()
		if err != nil || s.GetMetadata().GetIndex() != 10 || len(s.GetData()) != 0 {
			t.Errorf("Snapshot() = %v, %v, want index 10 and no data", s, err)
		}
	}
}

// TestLog_CompactionIsPhysical: compacted entries leave the file in later saves, in pieces.
func TestLog_CompactionIsPhysical(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	const n = 3000
	mustSave(t, l, replica.Save{HardState: hard(2, 0, n), Entries: entries(2, n, 2), Applied: n, ConfState: voters(17)})
	mustSave(t, l, replica.Save{Snapshot: snapshot(n, 2, "d", 17), CompactTo: n - 10})
	saves := 0
	for ; l.view.stored <= l.view.compacted; saves++ {
		if saves > n/compactChunk+2 {
			t.Fatalf("after %d saves entries from %d are still in the file", saves, l.view.stored)
		}
		mustSave(t, l, replica.Save{})
	}
	want := mustDump(t, l)
	l.Close()
	l = mustOpen(t, dir, Options{})
	if got := mustDump(t, l); got != want || l.view.stored != n-9 {
		t.Errorf("after reopening first stored entry is %d, want %d; content equal: %v", l.view.stored, n-9, got == want)
	}
}

func TestLog_SaveRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		save replica.Save
		want string
	}{
		{"gap", replica.Save{Entries: entries(22, 23, 2)}, "does not follow the log"},
		{"over a committed entry", replica.Save{Entries: entries(5, 6, 2)}, "would replace a committed one"},
		{"hole inside", replica.Save{Entries: append(entries(21, 21, 2), entries(23, 23, 2)...)}, "follows entry"},
		{"term falls", replica.Save{Entries: entries(21, 21, 1)}, "follows entry"},
		{"term of entry above current", replica.Save{Entries: entries(21, 21, 9)}, "above the current term"},
		{"older term", replica.Save{HardState: hard(1, 0, 10)}, "below the stored term"},
		{"second vote", replica.Save{HardState: hard(2, 18, 10)}, "was voted for"},
		{"commit falls", replica.Save{HardState: hard(2, 17, 9)}, "below the stored one"},
		{"commit above last", replica.Save{HardState: hard(2, 17, 21)}, "above the last index"},
		{"applied above commit", replica.Save{Applied: 11, ConfState: voters(17)}, "above the commit index"},
		{"applied without configuration", replica.Save{Applied: 10}, "come with the configuration"},
		{"compaction without snapshot", replica.Save{CompactTo: 5}, "above the snapshot"},
		{"snapshot of the future", replica.Save{Snapshot: snapshot(21, 2, "", 17)}, "above the last index"},
		{"snapshot not applied", replica.Save{Snapshot: snapshot(9, 2, "", 17)}, "above the applied index"},
		{"old snapshot", replica.Save{Snapshot: snapshot(1, 1, "", 17)}, "not newer"},
		{"snapshot of nothing", replica.Save{Snapshot: &raftpb.Snapshot{}}, "has no index"},
		{"install of nothing", replica.Save{Install: true}, "needs a snapshot"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := mustCreate(t, t.TempDir(), founding(), Options{})
			mustSave(t, l, replica.Save{HardState: hard(2, 17, 10), Entries: entries(2, 20, 2), Applied: 8, ConfState: voters(17)})
			err := l.Save(tc.save)
			var fatal *FatalError
			if !errors.As(err, &fatal) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Save() = %v, want a fatal error with %q", err, tc.want)
			}
			if again := l.Save(replica.Save{}); again != err {
				t.Errorf("Save() after it = %v, want the same error", again)
			}
			if _, err := l.LastIndex(); err == nil {
				t.Error("LastIndex() after a fatal error gives no error")
			}
		})
	}
}

// TestLog_IOErrors makes the writes or only the fsyncs of the log file fail by putting another device under its
// descriptor, and checks that the error is final and that a reopened log is as it was.
func TestLog_IOErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, device string
		want         error
	}{
		{"no space left", "/dev/full", syscall.ENOSPC},
		{"fsync fails", "/dev/null", syscall.EINVAL}, // takes writes, knows no fsync
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var file *os.File
			opt := Options{openFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				f, err = os.OpenFile(name, flag, mode)
				file = f
				return f, err
			}}
			l := mustCreate(t, dir, founding(), opt)
			mustSave(t, l, replica.Save{HardState: hard(2, 17, 1), Entries: entries(2, 9, 2)})
			want := mustDump(t, l)
			dev, err := os.OpenFile(tc.device, os.O_RDWR, 0)
			if err != nil {
				t.Skipf("needs %s: %v", tc.device, err)
			}
			defer dev.Close()
			if err := syscall.Dup3(int(dev.Fd()), int(file.Fd()), syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			err = l.Save(replica.Save{HardState: hard(3, 5, 1), Entries: entries(10, 10, 2)})
			var fatal *FatalError
			if !errors.As(err, &fatal) || !errors.Is(err, tc.want) {
				t.Fatalf("Save() = %v, want a fatal error with %v", err, tc.want)
			}
			if again := l.Save(replica.Save{}); again != err {
				t.Errorf("Save() after it = %v, want the same error", again)
			}
			if _, _, again := l.InitialState(); again != err {
				t.Errorf("InitialState() after it = %v, want the same error", again)
			}
			l.Close()
			if got := mustDump(t, mustOpen(t, dir, Options{})); got != want {
				t.Errorf("after reopening:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	t.Run("snapshot folder unwritable", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		l := mustCreate(t, dir, founding(), Options{})
		mustSave(t, l, replica.Save{HardState: hard(2, 17, 9), Entries: entries(2, 9, 2), Applied: 9, ConfState: voters(17)})
		// A folder under the temporary name cannot be opened for writing, not even by root.
		if err := os.Mkdir(filepath.Join(dir, snapshotName(9, 2)+tempSuffix), 0o700); err != nil {
			t.Fatal(err)
		}
		err := l.Save(replica.Save{Snapshot: snapshot(9, 2, "d", 17)})
		var fatal *FatalError
		if !errors.As(err, &fatal) || fatal.Op != "write snapshot" {
			t.Fatalf("Save() = %v, want a fatal error of writing the snapshot", err)
		}
	})
}

// TestLog_ReadsBesideSaves reads from several goroutines while saves append, replace, compact and install: a read gives what
// raft.Storage promises, and never an error of another kind.
func TestLog_ReadsBesideSaves(t *testing.T) {
	t.Parallel()
	l := mustCreate(t, t.TempDir(), founding(), Options{CacheBytes: 200}) // so that most reads go to the file
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				first, err1 := l.FirstIndex()
				last, err2 := l.LastIndex()
				if err := errors.Join(err1, err2); err != nil {
					t.Error(err)
					return
				}
				ents, err := l.Entries(first, last+1, math.MaxUint64)
				if err != nil && !errors.Is(err, raft.ErrCompacted) && !errors.Is(err, raft.ErrUnavailable) {
					t.Errorf("Entries(%d, %d) = %v", first, last+1, err)
					return
				}
				for i, e := range ents {
					if e.GetIndex() != first+uint64(i) {
						t.Errorf("entry %d of Entries(%d, %d) has index %d", i, first, last+1, e.GetIndex())
						return
					}
				}
				if _, err := l.ReadSnapshot(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last, term := uint64(1), uint64(1)
	for i := range 400 {
		switch {
		case i%40 == 39: // a snapshot from the leader
			last += 5
			mustSave(t, l, replica.Save{HardState: hard(term, 0, last), Snapshot: snapshot(last, term, "installed", 17), Install: true})
		case i%10 == 9: // a new leader replaces the last three entries
			term++
			mustSave(t, l, replica.Save{HardState: hard(term, 0, last-3), Entries: entries(last-2, last-1, term)})
			last--
		case i%10 == 5:
			mustSave(t, l, replica.Save{HardState: hard(term, 0, last-3), Applied: last - 3, ConfState: voters(17), Snapshot: snapshot(last-3, term, "made", 17), CompactTo: last - 6})
		default:
			mustSave(t, l, replica.Save{HardState: hard(term, 0, last), Entries: entries(last+1, last+4, term)})
			last += 4
		}
	}
	close(stop)
	readers.Wait()
}
