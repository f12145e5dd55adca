package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/lockfile"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

const (
	logFile       = "log.db"
	lockFile      = "lock"
	bucketEntries = "entries"
	bucketState   = "state"

	maxEntryBytes = 64 << 20 // bbolt takes less than 2 GiB; no entry comes near this
	initialMmap   = 32 << 20 // address space only; a log within it is never mapped anew
	allocBytes    = 4 << 20  // the file grows in these steps, each of which costs one more fsync

	// compactChunk is how many compacted entries one Save removes from the file, beside twice the
	// number that it appends: a compaction of thousands must not make one save slow.
	compactChunk = 512

	// DefaultCacheBytes holds some ten thousand small entries: what a follower that is only slow still needs.
	DefaultCacheBytes = 4 << 20
)

var (
	keyIdentity = []byte("identity")
	keyState    = []byte("state")
)

// Identity says whose log this is. It is written once; only the retired mark is added later.
type Identity struct {
	ClusterID string            // 1 to 128 bytes
	NodeID    membership.NodeID // >= 1
	RaftID    membership.RaftID // >= 1; never used by another log, before or after
	// Retired says that this raft id must never vote again: a peer has seen more from it than this log
	// holds. The node must join again, with an empty folder and a new raft id.
	Retired       bool
	RetiredReason string // at most 1024 bytes
}

func (id *Identity) check() error {
	switch {
	case id.ClusterID == "" || len(id.ClusterID) > maxClusterID:
		return fmt.Errorf("identity: cluster id has %d bytes, must have 1 to %d", len(id.ClusterID), maxClusterID)
	case id.NodeID == 0:
		return errors.New("identity: node id is 0, must be 1 or above")
	case id.RaftID == 0 || raft.IsLocalMsgTarget(uint64(id.RaftID)):
		return fmt.Errorf("identity: raft id %d is reserved", id.RaftID)
	case len(id.RetiredReason) > maxReason:
		return fmt.Errorf("identity: reason has %d bytes, limit is %d", len(id.RetiredReason), maxReason)
	}
	return nil
}

// Options of Open and Create.
type Options struct {
	// CacheBytes is how much of the newest entries is kept in memory, by size of their data; 0 means
	// DefaultCacheBytes. Less costs reads of the file when a peer lags, more costs memory.
	CacheBytes int

	// openFile replaces os.OpenFile for log.db; tests use it to make writes and fsyncs fail.
	openFile func(name string, flag int, mode os.FileMode) (*os.File, error)
}

// termRun says that the entries from index on have the given term, up to the next run.
type termRun struct{ from, term uint64 }

// view is what reads see. A view is never changed once it is published; slices of the next view may
// share memory with it but never write where it reads.
type view struct {
	state
	stored uint64    // first index that is in the file, last+1 if none; may be below compacted+1
	runs   []termRun // covers compacted and above
	cache  []*raftpb.Entry
	sums   []uint32 // crc of the record of each cached entry
	bytes  int      // data in cache
}

func (v *view) cacheFirst() uint64 { return v.last + 1 - uint64(len(v.cache)) }

// Log is an open raft log. See the package for what it promises.
type Log struct {
	dir        string
	cacheBytes int
	lock       *lockfile.Lock
	db         *bolt.DB

	saving sync.Mutex // held during a whole Save, Retire or Close; guards db's write side

	mu       sync.RWMutex // guards the fields below; never held across I/O of a save
	identity Identity
	view     *view
	err      error // after a fatal error or Close
}

var _ raft.Storage = (*Log)(nil)

// Create makes a new log in dir (made with mode 0700 if it is missing) and opens it. The first Save, which may be nil,
// is part of the making: a node that founds a cluster gives the snapshot that holds itself as the only voter, with Install set,
// and a node that joins gives nothing. It returns ErrExists if dir holds a log. A crash
// leaves either no log or a whole one.
func Create(dir string, id Identity, first *replica.Save, opt Options) (*Log, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	if id.Retired {
		return nil, errors.New("identity: a new log cannot be retired")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create raft log: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l, err := create(dir, lock, id, first, opt)
	if err != nil {
		_ = lock.Release()
		return nil, err
	}
	return l, nil
}

func create(dir string, lock *lockfile.Lock, id Identity, first *replica.Save, opt Options) (*Log, error) {
	name := filepath.Join(dir, logFile)
	if _, err := os.Lstat(name); err == nil {
		return nil, fmt.Errorf("create raft log in %s: %w", dir, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create raft log: %w", err)
	}
	if err := removeStale(dir, ""); err != nil {
		return nil, fmt.Errorf("create raft log: %w", err)
	}
	tmp := name + tempSuffix
	db, err := openDB(tmp, opt)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, db: db, identity: id, cacheBytes: cacheBytes(opt)}
	l.view = &view{state: state{conf: &raftpb.ConfState{}, snapshot: snapshotMark{conf: &raftpb.ConfState{}}}, stored: 1}
	if first == nil {
		first = &replica.Save{}
	}
	err = l.commit(*first, &id)
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("create raft log in %s: %w", dir, err)
	}
	return open(dir, lock, opt)
}

// Open opens the log in dir after checking all of it: the structure of the file, each record and the chain of
// entries, and the snapshot. It takes time in proportion to the log (about 1 ms per MB from the page cache).
// Errors: ErrNoLog, ErrLocked, *DamageError, *VersionError, *FatalError.
func Open(dir string, opt Options) (*Log, error) {
	if _, err := os.Stat(filepath.Join(dir, logFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open raft log in %s: %w", dir, ErrNoLog)
	} else if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l, err := open(dir, lock, opt)
	if err != nil {
		_ = lock.Release()
		return nil, err
	}
	return l, nil
}

func open(dir string, lock *lockfile.Lock, opt Options) (l *Log, err error) {
	name := filepath.Join(dir, logFile)
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	info, err := f.Stat()
	var txid uint64
	if err == nil {
		txid, err = checkPages(f, info.Size())
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	db, err := openDB(name, opt)
	if err != nil {
		return nil, err
	}
	l = &Log{dir: dir, lock: lock, db: db, cacheBytes: cacheBytes(opt)}
	if err := guard("read the log", func() error { return l.load(txid) }); err != nil {
		db.Close()
		return nil, err
	}
	keep := ""
	if m := &l.view.snapshot; m.index > 0 {
		if _, err := readSnapshot(dir, m); err != nil {
			db.Close()
			return nil, err
		}
		keep = snapshotName(m.index, m.term)
	}
	if err := removeStale(dir, keep); err != nil {
		db.Close()
		return nil, &FatalError{Op: "remove stale files", Err: err}
	}
	return l, nil
}

func cacheBytes(opt Options) int {
	if opt.CacheBytes <= 0 {
		return DefaultCacheBytes
	}
	return opt.CacheBytes
}

// lockDir takes the lock that keeps a second process out, also while the files are checked.
func lockDir(dir string) (*lockfile.Lock, error) {
	l, err := lockfile.Take(filepath.Join(dir, lockFile))
	if errors.Is(err, lockfile.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("raft log: %w", err)
	}
	return l, nil
}

func openDB(name string, opt Options) (*bolt.DB, error) {
	var db *bolt.DB
	err := guard("open "+logFile, func() (err error) {
		db, err = bolt.Open(name, 0o600, &bolt.Options{
			Timeout:         time.Second, // the folder's own lock is held already
			NoFreelistSync:  true,
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: initialMmap,
			PageSize:        pageSize,
			NoStatistics:    true,
			OpenFile:        opt.openFile,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocBytes
	return db, nil
}

// guard runs f, which reads mapped memory, and turns what comes of a file that is not as it should be (a panic of
// bbolt, a fault because the disk did not give a page) into an error.
func guard(op string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &FatalError{Op: op, Err: fmt.Errorf("%v", r)}
		}
	}()
	err = f()
	var damage *DamageError
	var version *VersionError
	var fatal *FatalError
	if err == nil || errors.As(err, &damage) || errors.As(err, &version) || errors.As(err, &fatal) {
		return err
	}
	return &FatalError{Op: op, Err: err}
}

// load reads the whole database and builds the view.
func (l *Log) load(txid uint64) error {
	return l.db.View(func(tx *bolt.Tx) error {
		st, ents := tx.Bucket([]byte(bucketState)), tx.Bucket([]byte(bucketEntries))
		bad := func(bucket string, index uint64, format string, a ...any) error {
			return &DamageError{File: logFile, Bucket: bucket, Index: index, What: fmt.Sprintf(format, a...)}
		}
		if st == nil || ents == nil {
			return bad("", 0, "a bucket is missing")
		}
		wrap := func(name string, err error) error {
			var version *VersionError
			if errors.As(err, &version) {
				return err
			}
			return bad(bucketState, 0, "record %q: %v", name, err)
		}
		id, err := decodeIdentity(st.Get(keyIdentity))
		if err != nil {
			return wrap("identity", err)
		}
		s, err := decodeState(st.Get(keyState))
		if err != nil {
			return wrap("state", err)
		}
		if s.txid != txid {
			return bad(bucketState, 0, "record %q is of transaction %d, the file of %d", "state", s.txid, txid)
		}
		if n := st.Stats().KeyN; n != 2 {
			return bad(bucketState, 0, "bucket has %d records, must have 2", n)
		}
		v := &view{state: *s, stored: s.last + 1}
		c := ents.Cursor()
		var next uint64
		var sum uint32
		last := s.compacted
		for k, rec := c.First(); k != nil; k, rec = c.Next() {
			if len(k) != 8 {
				return bad(bucketEntries, 0, "key has %d bytes, must have 8", len(k))
			}
			index := binary.BigEndian.Uint64(k)
			e, prev, own, err := decodeEntry(index, rec)
			switch {
			case err != nil:
				return bad(bucketEntries, index, "%v", err)
			case next == 0 && index > s.compacted+1:
				return bad(bucketEntries, index, "first entry; the log starts after %d, so entries before it are missing", s.compacted)
			case next != 0 && index != next:
				return bad(bucketEntries, index, "entry follows entry %d; entries between are missing", next-1)
			case next != 0 && prev != sum:
				return bad(bucketEntries, index, "entry was written after an entry with checksum %08x, the one before it has %08x", prev, sum)
			case index > s.last:
				return bad(bucketEntries, index, "entry is above the last index %d", s.last)
			case index == s.compacted && e.GetTerm() != s.compactedTerm:
				return bad(bucketEntries, index, "term is %d, must be %d", e.GetTerm(), s.compactedTerm)
			}
			if next == 0 {
				v.stored = index
			}
			next, sum, last = index+1, own, index
			if index > s.compacted {
				v.push(e, own, l.cacheBytes)
			}
		}
		switch {
		case last != s.last:
			return bad(bucketEntries, last, "log ends here, must end at %d", s.last)
		case next != 0 && sum != s.lastSum:
			return bad(bucketEntries, last, "last entry has checksum %08x, must have %08x", sum, s.lastSum)
		case s.last > 0 && v.termOf(s.last) != s.lastTerm:
			return bad(bucketEntries, last, "last entry has term %d, must have %d", v.termOf(s.last), s.lastTerm)
		}
		l.identity, l.view = *id, v
		return nil
	})
}

// push appends an entry to the cached tail and the runs of terms of a view that is being built; it may
// drop entries from the front of the cache.
func (v *view) push(e *raftpb.Entry, sum uint32, limit int) {
	if len(v.runs) == 0 || v.runs[len(v.runs)-1].term != e.GetTerm() {
		v.runs = append(v.runs, termRun{from: e.GetIndex(), term: e.GetTerm()})
	}
	v.cache = append(v.cache, e)
	v.sums = append(v.sums, sum)
	v.bytes += len(e.GetData()) + entryHeader
	for v.bytes > limit && len(v.cache) > 1 {
		v.bytes -= len(v.cache[0].GetData()) + entryHeader
		v.cache, v.sums = v.cache[1:], v.sums[1:]
	}
}

// termOf gives the term of an entry that is known to be in (compacted, last], or of compacted itself.
func (v *view) termOf(i uint64) uint64 {
	if i == v.compacted {
		return v.compactedTerm
	}
	n, _ := slices.BinarySearchFunc(v.runs, i, func(r termRun, i uint64) int {
		if r.from <= i {
			return -1
		}
		return 1
	})
	if n == 0 {
		return 0
	}
	return v.runs[n-1].term
}

// Save stores all of s in one transaction and returns when it is durable. Any error ends the log: it is a
// *FatalError and every later call returns it.
func (l *Log) Save(s replica.Save) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	if err := l.failed(); err != nil {
		return err
	}
	if err := l.commit(s, nil); err != nil {
		return l.fail("save", err)
	}
	return nil
}

// Retire marks the identity as one that must never vote again, durably. Reason is shown to the operator and cut to
// 1024 bytes. It is idempotent; the first reason stays.
func (l *Log) Retire(reason string) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	if err := l.failed(); err != nil {
		return err
	}
	l.mu.RLock()
	id := l.identity
	l.mu.RUnlock()
	if id.Retired {
		return nil
	}
	id.Retired, id.RetiredReason = true, reason[:min(len(reason), maxReason)]
	if err := l.commit(replica.Save{}, &id); err != nil {
		return l.fail("retire", err)
	}
	return nil
}

func (l *Log) failed() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.err
}

// fail makes the error final.
func (l *Log) fail(op string, err error) error {
	var fatal *FatalError
	if !errors.As(err, &fatal) {
		err = &FatalError{Op: op, Err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	return l.err
}

// commit writes s, and the identity when it is not nil, and then publishes the new view. The caller holds saving.
func (l *Log) commit(s replica.Save, id *Identity) error {
	old := l.view // only commit changes it, and saving is held
	next, err := old.after(s)
	if err != nil {
		return err
	}
	if s.Snapshot != nil {
		if err := writeSnapshot(l.dir, &next.snapshot, s.Snapshot.GetData()); err != nil {
			return &FatalError{Op: "write snapshot", Err: err}
		}
	}
	err = guard("save", func() error {
		return l.db.Update(func(tx *bolt.Tx) error { return l.write(tx, old, next, &s, id) })
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.view = next
	if id != nil {
		l.identity = *id
	}
	l.mu.Unlock()
	if s.Snapshot != nil && old.snapshot.index > 0 && old.snapshot.index != next.snapshot.index {
		// A crash before this leaves the old file to Open, which removes it.
		if err := os.Remove(filepath.Join(l.dir, snapshotName(old.snapshot.index, old.snapshot.term))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &FatalError{Op: "remove old snapshot", Err: err}
		}
	}
	return nil
}

// after gives the view after s, with its entries but without their checksums, or why s contradicts the log.
func (v *view) after(s replica.Save) (*view, error) {
	n := *v
	if h := s.HardState; h != nil {
		if h.GetTerm() < v.term {
			return nil, fmt.Errorf("term %d is below the stored term %d", h.GetTerm(), v.term)
		}
		if h.GetTerm() == v.term && v.vote != 0 && h.GetVote() != v.vote {
			return nil, fmt.Errorf("vote for %d in term %d, in which %d was voted for", h.GetVote(), v.term, v.vote)
		}
		n.term, n.vote = h.GetTerm(), h.GetVote()
		if h.GetCommit() < v.commit && !s.Install {
			return nil, fmt.Errorf("commit index %d is below the stored one, %d", h.GetCommit(), v.commit)
		}
		n.commit = h.GetCommit()
	}
	if s.Snapshot != nil {
		m := s.Snapshot.GetMetadata()
		switch {
		case m.GetIndex() == 0 || m.GetTerm() == 0:
			return nil, errors.New("snapshot has no index or no term")
		case len(s.Snapshot.GetData()) > maxSnapshotData:
			return nil, fmt.Errorf("snapshot has %d bytes, limit is %d", len(s.Snapshot.GetData()), maxSnapshotData)
		case m.GetIndex() <= v.snapshot.index:
			return nil, fmt.Errorf("snapshot %d is not newer than the stored one, %d", m.GetIndex(), v.snapshot.index)
		case !s.Install && m.GetIndex() > v.last:
			return nil, fmt.Errorf("snapshot %d is above the last index %d", m.GetIndex(), v.last)
		}
		n.snapshot = markOf(s.Snapshot)
	}
	if s.Install {
		if s.Snapshot == nil {
			return nil, errors.New("installing needs a snapshot")
		}
		m := &n.snapshot
		if m.index < v.applied {
			return nil, fmt.Errorf("installed snapshot %d is below the applied index %d", m.index, v.applied)
		}
		n.compacted, n.compactedTerm = m.index, m.term
		n.last, n.lastTerm, n.lastSum = m.index, m.term, 0
		n.applied, n.conf = m.index, m.conf
		n.commit = max(n.commit, m.index)
		n.term = max(n.term, m.term)
		n.runs, n.cache, n.sums, n.bytes, n.stored = nil, nil, nil, 0, m.index+1
	}
	if len(s.Entries) > 0 {
		first := s.Entries[0].GetIndex()
		if first <= v.commit && !s.Install {
			return nil, fmt.Errorf("entry %d would replace a committed one (commit index %d)", first, v.commit)
		}
		if first <= n.compacted || first > n.last+1 {
			return nil, fmt.Errorf("entry %d does not follow the log, which reaches from %d to %d", first, n.compacted+1, n.last)
		}
		n.truncate(first)
		for i, e := range s.Entries {
			if e.GetIndex() != first+uint64(i) || e.GetTerm() < n.lastTerm {
				return nil, fmt.Errorf("entry %d of term %d follows entry %d of term %d", e.GetIndex(), e.GetTerm(), first+uint64(i)-1, n.lastTerm)
			}
			if len(e.GetData()) > maxEntryBytes {
				return nil, fmt.Errorf("entry %d has %d bytes, limit is %d", e.GetIndex(), len(e.GetData()), maxEntryBytes)
			}
			n.last, n.lastTerm = e.GetIndex(), e.GetTerm()
		}
	}
	if s.Applied > 0 {
		if s.Applied < n.applied || s.ConfState == nil {
			return nil, fmt.Errorf("applied index %d needs to be at least %d and to come with the configuration", s.Applied, n.applied)
		}
		n.applied, n.conf = s.Applied, s.ConfState
	}
	if s.CompactTo > n.compacted {
		if s.CompactTo > n.snapshot.index {
			return nil, fmt.Errorf("compaction to %d is above the snapshot %d", s.CompactTo, n.snapshot.index)
		}
		t := n.termOf(s.CompactTo)
		if keep := n.last - s.CompactTo; uint64(len(n.cache)) > keep {
			drop := len(n.cache) - int(keep)
			for _, e := range n.cache[:drop] {
				n.bytes -= len(e.GetData()) + entryHeader
			}
			n.cache, n.sums = n.cache[drop:], n.sums[drop:]
		}
		for len(n.runs) > 1 && n.runs[1].from <= s.CompactTo+1 {
			n.runs = n.runs[1:]
		}
		n.compacted, n.compactedTerm = s.CompactTo, t
	}
	if s.Peers != nil {
		n.peers = slices.Clone(s.Peers)
	}
	return &n, n.check()
}

// truncate removes the entries from index on out of the view. Memory shared with older views is left alone.
func (v *view) truncate(from uint64) {
	if from > v.last {
		return
	}
	if keep := int(int64(from) - int64(v.cacheFirst())); keep <= 0 {
		v.cache, v.sums, v.bytes = nil, nil, 0
	} else {
		for _, e := range v.cache[keep:] {
			v.bytes -= len(e.GetData()) + entryHeader
		}
		v.cache, v.sums = v.cache[:keep:keep], v.sums[:keep:keep]
	}
	n := len(v.runs)
	for n > 0 && v.runs[n-1].from >= from {
		n--
	}
	v.runs = v.runs[:n:n]
	v.last = from - 1
	v.lastTerm = v.termOf(v.last)
	v.stored = min(v.stored, from)
}

// write puts the difference between two views into the transaction and completes next.
func (l *Log) write(tx *bolt.Tx, old, next *view, s *replica.Save, id *Identity) error {
	st, err := tx.CreateBucketIfNotExists([]byte(bucketState))
	if err != nil {
		return err
	}
	ents, err := tx.CreateBucketIfNotExists([]byte(bucketEntries))
	if err != nil {
		return err
	}
	ents.FillPercent = 1 // entries come in order, so that pages need no room for more
	remove := func(from, to uint64) error {
		for i := from; i <= to; i++ {
			if err := ents.Delete(entryKey(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if s.Install {
		if err := remove(old.stored, old.last); err != nil {
			return err
		}
	}
	if len(s.Entries) > 0 {
		first := s.Entries[0].GetIndex()
		if !s.Install {
			if err := remove(s.Entries[len(s.Entries)-1].GetIndex()+1, old.last); err != nil {
				return err
			}
		}
		sum, err := sumBefore(ents, old, first, s.Install)
		if err != nil {
			return err
		}
		for _, e := range s.Entries {
			var rec []byte
			rec, sum = encodeEntry(e, sum)
			if err := ents.Put(entryKey(e.GetIndex()), rec); err != nil {
				return err
			}
			if e.GetIndex() > next.compacted {
				next.push(e, sum, l.cacheBytes)
			}
		}
		next.lastSum = sum
	}
	// Entries that the views before this one still showed stay in the file until the next save, so that a read
	// that began before this save finds them.
	if !s.Install && old.stored <= old.compacted {
		to := min(old.compacted, old.stored+compactChunk+2*uint64(len(s.Entries))-1)
		if err := remove(old.stored, to); err != nil {
			return err
		}
		next.stored = to + 1
	}
	if id != nil {
		rec, err := encodeIdentity(id)
		if err != nil {
			return err
		}
		if err := st.Put(keyIdentity, rec); err != nil {
			return err
		}
	}
	next.txid = uint64(tx.ID())
	rec, err := encodeState(&next.state)
	if err != nil {
		return err
	}
	return st.Put(keyState, rec)
}

// sumBefore gives the crc of the record before index.
func sumBefore(ents *bolt.Bucket, old *view, index uint64, install bool) (uint32, error) {
	switch first := old.cacheFirst(); {
	case install:
		return 0, nil
	case index == old.last+1:
		return old.lastSum, nil
	case index > first:
		return old.sums[index-1-first], nil
	}
	rec := ents.Get(entryKey(index - 1))
	if rec == nil && index-1 == old.compacted {
		return 0, nil // the first record of a log needs no record before it
	}
	_, _, sum, err := decodeEntry(index-1, rec)
	if err != nil {
		return 0, &DamageError{File: logFile, Bucket: bucketEntries, Index: index - 1, What: err.Error()}
	}
	return sum, nil
}

func (l *Log) read() (*view, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.view, l.err
}

// InitialState implements raft.Storage. The configuration is the one as of [Log.Applied].
func (l *Log) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	v, err := l.read()
	if err != nil {
		return nil, nil, err
	}
	hs := &raftpb.HardState{Term: new(v.term), Vote: new(v.vote), Commit: new(v.commit)}
	return hs, proto.CloneOf(v.conf), nil
}

// Applied is the stored applied index, to which the configuration of InitialState belongs.
func (l *Log) Applied() (uint64, error) {
	v, err := l.read()
	if err != nil {
		return 0, err
	}
	return v.applied, nil
}

// PeerMarks is what the peers have shown, sorted by raft id.
func (l *Log) PeerMarks() ([]replica.PeerMark, error) {
	v, err := l.read()
	if err != nil {
		return nil, err
	}
	return slices.Clone(v.peers), nil
}

// Identity is whose log this is.
func (l *Log) Identity() Identity {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.identity
}

// FirstIndex implements raft.Storage.
func (l *Log) FirstIndex() (uint64, error) {
	v, err := l.read()
	if err != nil {
		return 0, err
	}
	return v.compacted + 1, nil
}

// LastIndex implements raft.Storage.
func (l *Log) LastIndex() (uint64, error) {
	v, err := l.read()
	if err != nil {
		return 0, err
	}
	return v.last, nil
}

// Term implements raft.Storage.
func (l *Log) Term(i uint64) (uint64, error) {
	v, err := l.read()
	switch {
	case err != nil:
		return 0, err
	case i < v.compacted:
		return 0, raft.ErrCompacted
	case i > v.last:
		return 0, raft.ErrUnavailable
	}
	return v.termOf(i), nil
}

// Entries implements raft.Storage: the entries in [lo, hi), at least one, and no more than maxSize bytes in
// their protocol encoding. A record that does not fit its neighbours is a *DamageError and ends the log.
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	for {
		v, err := l.read()
		switch {
		case err != nil:
			return nil, err
		case lo <= v.compacted:
			return nil, raft.ErrCompacted
		case hi > v.last+1 || lo > hi:
			return nil, raft.ErrUnavailable
		case lo == hi:
			return nil, nil
		}
		if first := v.cacheFirst(); lo >= first {
			ents := v.cache[lo-first : hi-first]
			return slices.Clone(ents[:fitting(ents, maxSize)]), nil
		}
		ents, err := l.readEntries(lo, hi, maxSize)
		if err == nil {
			return ents, nil
		}
		// An install may have removed the entries under our feet: then the view has changed once the save is done.
		l.saving.Lock()
		now, _ := l.read()
		l.saving.Unlock()
		if now == v {
			return nil, l.fail("read entries", err)
		}
	}
}

// readEntries reads entries from the file.
func (l *Log) readEntries(lo, hi, maxSize uint64) (ents []*raftpb.Entry, err error) {
	err = guard("read entries", func() error {
		return l.db.View(func(tx *bolt.Tx) error {
			c := tx.Bucket([]byte(bucketEntries)).Cursor()
			var size uint64
			var before uint32
			k, rec := c.Seek(entryKey(lo))
			for i := lo; i < hi; i++ {
				if !bytes.Equal(k, entryKey(i)) {
					return &DamageError{File: logFile, Bucket: bucketEntries, Index: i, What: "entry is missing"}
				}
				e, prev, sum, err := decodeEntry(i, rec)
				if err == nil && i > lo && prev != before {
					err = fmt.Errorf("entry was written after an entry with checksum %08x, the one before it has %08x", prev, before)
				}
				if err != nil {
					return &DamageError{File: logFile, Bucket: bucketEntries, Index: i, What: err.Error()}
				}
				before = sum
				size += uint64(proto.Size(e))
				if len(ents) > 0 && size > maxSize {
					return nil
				}
				ents = append(ents, e)
				k, rec = c.Next()
			}
			return nil
		})
	})
	return ents, err
}

// fitting gives how many of the entries fit into maxSize; at least one.
func fitting(ents []*raftpb.Entry, maxSize uint64) int {
	var size uint64
	for i, e := range ents {
		size += uint64(proto.Size(e))
		if i > 0 && size > maxSize {
			return i
		}
	}
	return len(ents)
}

// Snapshot implements raft.Storage. It gives the newest snapshot without its data, which is big and is needed
// only by the sender: see [Log.ReadSnapshot].
func (l *Log) Snapshot() (*raftpb.Snapshot, error) {
	v, err := l.read()
	if err != nil {
		return nil, err
	}
	m := &v.snapshot
	if m.index == 0 {
		return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{}}}, nil
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(m.index), Term: new(m.term), ConfState: proto.CloneOf(m.conf)}}, nil
}

// ReadSnapshot reads the newest snapshot with its data and checks all of it. It returns an empty one when there is none. A
// save of a newer snapshot may remove the file meanwhile; the newer one is read then.
func (l *Log) ReadSnapshot() (*raftpb.Snapshot, error) {
	for {
		v, err := l.read()
		if err != nil {
			return nil, err
		}
		if v.snapshot.index == 0 {
			return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{}}}, nil
		}
		s, err := readSnapshot(l.dir, &v.snapshot)
		if err == nil {
			return s, nil
		}
		now, lerr := l.read()
		if lerr != nil {
			return nil, lerr
		}
		if now.snapshot.index == v.snapshot.index {
			return nil, l.fail("read snapshot", err)
		}
	}
}

// Close waits for a save that is under way, closes the files and gives up the lock.
func (l *Log) Close() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	if errors.Is(l.err, ErrClosed) {
		l.mu.Unlock()
		return nil
	}
	l.err = ErrClosed
	l.mu.Unlock()
	err := l.db.Close()
	if cerr := l.lock.Release(); err == nil {
		err = cerr
	}
	return err
}
