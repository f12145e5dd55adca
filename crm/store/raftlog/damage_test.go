package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/replica"
)

// files is the content of a log's folder.
type files map[string][]byte

func readFiles(t testing.TB, dir string) files {
	t.Helper()
	out := files{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[n.Name()] = b
	}
	return out
}

func (f files) write(t testing.TB, dir string) {
	t.Helper()
	for name, b := range f {
		writeSparse(t, filepath.Join(dir, name), b)
	}
}

// writeSparse writes a file without the zeros at its end, which are most of a small log.
func writeSparse(t testing.TB, name string, b []byte) {
	t.Helper()
	err := os.WriteFile(name, bytes.TrimRight(b, "\x00"), 0o600)
	if err == nil {
		err = os.Truncate(name, int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// usedLog makes a log of some hundred entries, with replaced, compacted, removed and large ones and a snapshot, and
// gives its files and what it says.
func usedLog(t testing.TB) (files, string) {
	t.Helper()
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	mustSave(t, l, replica.Save{HardState: hard(2, 17, 1), Entries: entries(2, 120, 2)})
	mustSave(t, l, replica.Save{HardState: hard(3, 4, 60), Entries: entries(101, 160, 3), Applied: 60, ConfState: voters(17, 18, 19)})
	mustSave(t, l, replica.Save{Snapshot: snapshot(60, 2, strings.Repeat("document at 60 ", 4000), 17, 18, 19)})
	mustSave(t, l, replica.Save{CompactTo: 40})
	big := entry(161, 3, strings.Repeat("big", 5000))
	mustSave(t, l, replica.Save{Entries: []*raftpb.Entry{big}, Peers: []replica.PeerMark{{ID: 18, Term: 3, Index: 160}, {ID: 19, Term: 2, Index: 90}}})
	for i := uint64(162); i <= 420; i++ {
		mustSave(t, l, replica.Save{HardState: hard(3, 4, i-1), Entries: entries(i, i, 3), Applied: i - 1, ConfState: voters(17, 18, 19)})
	}
	want := mustDump(t, l)
	l.Close()
	return readFiles(t, dir), want
}

// usedEnd gives the length of the part of log.db that bbolt uses.
func usedEnd(db []byte) int {
	hwm := uint64(0)
	for i := range 2 {
		hwm = max(hwm, binary.LittleEndian.Uint64(db[i*pageSize+pageHeader+40:]))
	}
	return int(hwm) * pageSize
}

// trial opens a log of which one file was changed. It must say all that it said before, or refuse with a
// damage error; it gives whether it refused.
func trial(t *testing.T, fs files, name string, changed []byte, want, what string) (refused bool) {
	t.Helper()
	dir := t.TempDir()
	for n, b := range fs {
		if n != name {
			writeSparse(t, filepath.Join(dir, n), b)
		}
	}
	writeSparse(t, filepath.Join(dir, name), changed)
	l, err := Open(dir, Options{})
	if err != nil {
		var damage *DamageError
		var version *VersionError
		if !errors.As(err, &damage) && !errors.As(err, &version) {
			t.Errorf("%s: Open() = %v, want a damage error", what, err)
		}
		return true
	}
	defer l.Close()
	got, err := dump(l)
	if err != nil {
		t.Errorf("%s: opened, then: %v", what, err)
	} else if got != want {
		t.Errorf("%s: opened silently with other content:\n%.300s\nwant:\n%.300s", what, got, want)
	}
	return false
}

// TestDamage_Truncated cuts the end of the files off: each of the last 1 to 600 bytes and each of the last 50
// pages of the log file, once as it is and once with the unused end already gone; and every length of the snapshot's end.
// None may come back with less than was saved.
func TestDamage_Truncated(t *testing.T) {
	t.Parallel()
	fs, want := usedLog(t)
	snap := snapshotName(60, 2)
	db := fs[logFile]
	refused := map[string]int{}
	cut := func(kind, name string, b []byte, n int) {
		if n <= len(b) && trial(t, fs, name, b[:len(b)-n], want, fmt.Sprintf("%s, cut %d bytes", kind, n)) {
			refused[kind]++
		}
	}
	used := db[:usedEnd(db)]
	t.Logf("log.db: %d bytes, %d used", len(db), len(used))
	for n := 1; n <= 600; n++ {
		cut("log", logFile, db, n)
		cut("used part of the log", logFile, used, n)
		cut("snapshot", snap, fs[snap], n)
	}
	for p := 1; p <= 50; p++ {
		cut("log by page", logFile, db, p*pageSize)
		cut("used part of the log by page", logFile, used, p*pageSize)
	}
	cut("snapshot empty", snap, fs[snap], len(fs[snap]))
	cut("log empty", logFile, db, len(db))
	t.Logf("refused: %v", refused)
	// The end of the file is room for growth and holds nothing; all other cuts lose something.
	if refused["log"] != 0 || refused["used part of the log"] != 600 || refused["snapshot"] != 600 || refused["log empty"] != 1 || refused["snapshot empty"] != 1 {
		t.Errorf("refused = %v, want 600 of the used part and of the snapshot", refused)
	}
	t.Run("snapshot missing", func(t *testing.T) {
		dir := t.TempDir()
		less := files{logFile: db}
		less.write(t, dir)
		var damage *DamageError
		if _, err := Open(dir, Options{}); !errors.As(err, &damage) || damage.File != snap {
			t.Errorf("Open() = %v, want damage of %s", err, snap)
		}
	})
	t.Run("snapshot longer", func(t *testing.T) {
		if !trial(t, fs, snap, append(bytes.Clone(fs[snap]), 0), want, "a byte more") {
			t.Error("a longer snapshot was accepted")
		}
	})
}

// TestDamage_BitFlip flips one bit, at 500 seeded places in the used pages of the log and at 500 in the snapshot,
// and at every bit of both meta pages' content. What opens must be exactly what was saved.
func TestDamage_BitFlip(t *testing.T) {
	t.Parallel()
	fs, want := usedLog(t)
	snap := snapshotName(60, 2)
	db := fs[logFile]
	rng := rand.New(rand.NewPCG(26, 1))
	flip := func(name string, bit int) bool {
		b := bytes.Clone(fs[name])
		b[bit/8] ^= 1 << (bit % 8)
		return trial(t, fs, name, b, want, fmt.Sprintf("%s, bit %d of byte %d (page %d)", name, bit%8, bit/8, bit/8/pageSize))
	}
	refused := map[string]int{}
	for range 500 {
		if flip(logFile, rng.IntN(usedEnd(db)*8)) {
			refused["log"]++
		}
		if flip(snap, rng.IntN(len(fs[snap])*8)) {
			refused["snapshot"]++
		}
	}
	for page := range 2 {
		for bit := range (pageHeader + metaLen) * 8 {
			if bit/8 >= 10 && bit/8 < pageHeader {
				continue // count and overflow of a meta page's header mean nothing
			}
			if flip(logFile, page*pageSize*8+bit) {
				refused["meta"]++
			}
		}
	}
	t.Logf("refused: %v", refused)
	if refused["snapshot"] != 500 {
		t.Errorf("%d of 500 flips in the snapshot were refused, want all", refused["snapshot"])
	}
	if metaBits := 2 * (10 + metaLen) * 8; refused["meta"] != metaBits {
		t.Errorf("%d of %d flips in the meta pages were refused, want all", refused["meta"], metaBits)
	}
	if refused["log"] < 100 {
		t.Errorf("%d of 500 flips in the log were refused; the trial does not reach the data", refused["log"])
	}
}

// TestDamage_FlipEachPageHead flips bits of the first 160 bytes of every used page: the header and the first elements,
// where a flip changes the structure and not a value. Every eleventh bit is taken, which reaches each bit of a byte.
func TestDamage_FlipEachPageHead(t *testing.T) {
	t.Parallel()
	fs, want := usedLog(t)
	db := fs[logFile]
	refused := 0
	for page := 2; page < usedEnd(db)/pageSize; page++ {
		for bit := 0; bit < 160*8; bit += 11 {
			b := bytes.Clone(db[:usedEnd(db)])
			b[page*pageSize+bit/8] ^= 1 << (bit % 8)
			if _, err := checkPages(bytes.NewReader(b), int64(len(b))); err != nil {
				refused++
				continue
			}
			if trial(t, fs, logFile, b, want, fmt.Sprintf("page %d, bit %d of byte %d", page, bit%8, bit/8)) {
				refused++
			}
		}
	}
	t.Logf("%d refused", refused)
}

// TestCrash_Torn stops a save between the writes: of the sectors which it wrote, any subset is there, but the meta page
// only when all before it was synced. The log must be as before that save, or as after it when the meta page is there.
func TestCrash_Torn(t *testing.T) {
	t.Parallel()
	const sector = 512
	rng := rand.New(rand.NewPCG(26, 2))
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	before, beforeSays := readFiles(t, dir), mustDump(t, l)
	saves := []replica.Save{
		{HardState: hard(2, 17, 1), Entries: entries(2, 120, 2)},
		{HardState: hard(2, 17, 80), Entries: entries(121, 121, 2), Applied: 60, ConfState: voters(17, 18)},
		{HardState: hard(3, 18, 80), Entries: entries(100, 130, 3)},
		{Snapshot: snapshot(60, 2, "document", 17, 18), CompactTo: 50},
		{Entries: entries(131, 140, 3)},
		{HardState: hard(4, 0, 500), Snapshot: snapshot(500, 4, "document at 500", 17, 18), Install: true},
		{HardState: hard(4, 0, 500), Entries: entries(501, 600, 4)},
	}
	for i, s := range saves {
		mustSave(t, l, s)
		after, afterSays := readFiles(t, dir), mustDump(t, l)
		for try := range 30 {
			torn := files{}
			for name, b := range before {
				torn[name] = b
			}
			for name, b := range after {
				if _, ok := torn[name]; !ok && rng.IntN(2) == 0 {
					torn[name] = b // the snapshot is renamed into place before the transaction
				}
				if s.Snapshot != nil && name == snapshotName(s.Snapshot.GetMetadata().GetIndex(), s.Snapshot.GetMetadata().GetTerm()) && rng.IntN(2) == 0 {
					torn[name+tempSuffix] = b[:rng.IntN(len(b))]
				}
			}
			old, new := before[logFile], after[logFile]
			mixed := make([]byte, max(len(old), len(new)))
			copy(mixed, old)
			whole := try == 0
			for at := 0; at < len(new); at += sector {
				if whole || at >= 2*pageSize && rng.IntN(2) == 0 {
					copy(mixed[at:at+sector], new[at:at+sector])
				}
			}
			want := beforeSays
			if whole {
				want = afterSays
				for name, b := range after {
					torn[name] = b // everything is on disk, old snapshot perhaps not yet removed
				}
			}
			torn[logFile] = mixed
			d := t.TempDir()
			torn.write(t, d)
			if got := mustDump(t, mustOpen(t, d, Options{})); got != want {
				t.Fatalf("save %d, try %d:\n%.400s\nwant:\n%.400s", i, try, got, want)
			}
			names, _ := filepath.Glob(filepath.Join(d, "*"+tempSuffix))
			if len(names) != 0 {
				t.Errorf("left over: %v", names)
			}
		}
		before, beforeSays = after, afterSays
	}
}

// TestDamage_LostWrite: a disk that lies about fsync loses one page of a save although the meta page is there.
// Each such page is found.
func TestDamage_LostWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	mustSave(t, l, replica.Save{HardState: hard(2, 17, 1), Entries: entries(2, 300, 2)})
	for i := uint64(301); i < 330; i++ {
		mustSave(t, l, replica.Save{HardState: hard(2, 17, i-1), Entries: entries(i, i, 2)})
	}
	trials := 0
	for i := uint64(330); i < 360; i++ {
		before := readFiles(t, dir)
		mustSave(t, l, replica.Save{HardState: hard(2, 17, i-1), Entries: entries(i, i, 2)})
		after, want := readFiles(t, dir), mustDump(t, l)
		for at := 2 * pageSize; at < len(after[logFile]); at += pageSize {
			page := after[logFile][at : at+pageSize]
			if bytes.Equal(page, before[logFile][at:at+pageSize]) {
				continue
			}
			trials++
			b := bytes.Clone(after[logFile])
			copy(b[at:], before[logFile][at:at+pageSize])
			if !trial(t, after, logFile, b, want, fmt.Sprintf("save %d, page %d lost", i, at/pageSize)) {
				t.Errorf("save %d: loss of page %d was not noticed", i, at/pageSize)
			}
		}
	}
	if trials < 60 {
		t.Errorf("only %d pages were written, the trial does not reach the data", trials)
	}
}

func TestOpen_NewerVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustCreate(t, dir, founding(), Options{})
	rec, err := encodeIdentity(&testIdentity)
	if err != nil {
		t.Fatal(err)
	}
	rec[4] = formatVersion + 1
	sealRecord('i', rec)
	_, err = decodeIdentity(rec)
	var version *VersionError
	if !errors.As(err, &version) || version.Have != formatVersion+1 || version.Record != "identity" {
		t.Errorf("decodeIdentity() = %v, want a version error", err)
	}
	l.Close()
}

func FuzzDecodeState(f *testing.F) {
	s := &state{txid: 9, term: 3, vote: 2, commit: 7, applied: 6, conf: voters(1, 2, 3), last: 9, lastTerm: 3,
		snapshot: snapshotMark{index: 5, term: 2, size: 10, conf: voters(1, 2)}, peers: []replica.PeerMark{{ID: 2, Term: 1, Index: 4}}}
	b, err := encodeState(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 5 {
			sealRecord('s', b) // else the checksum keeps everything out
		}
		s, err := decodeState(b)
		if err != nil {
			return
		}
		again, err := encodeState(s)
		if err != nil {
			t.Fatalf("encodeState() of a decoded state = %v", err)
		}
		if s2, err := decodeState(again); err != nil || s2.last != s.last || len(s2.peers) != len(s.peers) {
			t.Fatalf("decodeState() after encodeState() = %v, %v", s2, err)
		}
	})
}

func FuzzDecodeIdentity(f *testing.F) {
	b, err := encodeIdentity(&testIdentity)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 5 {
			sealRecord('i', b)
		}
		id, err := decodeIdentity(b)
		if err != nil {
			return
		}
		again, err := encodeIdentity(id)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encodeIdentity() = %x, %v, want %x", again, err, b)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	b, _ := encodeEntry(entry(7, 2, "data"), 5)
	f.Add(uint64(7), b)
	f.Fuzz(func(t *testing.T, index uint64, b []byte) {
		e, prev, sum, err := decodeEntry(index, b)
		if err != nil {
			return
		}
		again, sum2 := encodeEntry(e, prev)
		if !bytes.Equal(again, b) || sum != sum2 {
			t.Fatalf("encodeEntry() = %x, want %x", again, b)
		}
	})
}

func FuzzSnapshotHeader(f *testing.F) {
	m := markOf(snapshot(5, 2, "data", 1, 2, 3))
	b, err := encodeSnapshotHeader(&m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeSnapshotHeader(bytes.NewReader(b)); err == nil && m.conf == nil {
			t.Fatal("header without a configuration")
		}
	})
}

func FuzzCheckPages(f *testing.F) {
	fs, _ := usedLog(f)
	db := fs[logFile]
	f.Add(uint32(2*pageSize), []byte{1, 2, 3})
	f.Add(uint32(3*pageSize), []byte{0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(db[:usedEnd(db)])
		copy(b[int(at)%len(b):], patch)
		checkPages(bytes.NewReader(b), int64(len(b))) // must not panic
	})
}
