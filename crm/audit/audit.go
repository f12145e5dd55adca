// Package audit keeps the record of what happened on a node: agent runs, fencing, configuration writes,
// logins and refusals. The record is a hash chain, so a later change of it is seen. One process writes it
// (the runner); nobody rewrites it. Exporting it elsewhere is not done here.
//
// # Files
//
// A directory (0700) holds the files audit-N.jsonl (0600), where N is the number of the first record with
// 20 digits, and the file "lock". Each record is one line of canonical JSON: an object with sorted keys, no
// white space, no floating-point numbers, strings in UTF-8 with the escapes of encoding/json without the HTML
// ones, ended by one newline. Its keys:
//
//	boot   identifier of the boot of the machine
//	data   object with the fields of the event; values are strings, integers, booleans, lists and objects
//	event  what happened: letters, digits, "-" and "."
//	hash   lower-case hex SHA-256 of the line without this key (and without the newline)
//	mono   nanoseconds of the monotonic clock of that boot
//	node   name of the node
//	prev   lower-case hex SHA-256 of the previous line's bytes without newline; 64 zeros in record 1
//	seq    number of the record, from 1, without gaps
//	ts     wall clock, RFC 3339 in UTC with nanoseconds
//	v      version of this format, 1
//
// The chain goes on from file to file. After every 1,000 records, or 60 s after the first record that no
// checkpoint covers, comes a checkpoint: a record with event "checkpoint" whose data has the node's public
// Ed25519 key and its signature of
//
//	"quorate audit checkpoint 1\n" node "\n" seq "\n" prev
//
// with seq and prev of the checkpoint itself. The head (number and line hash of the newest record) is written
// into the replicated document by others, so that a shortened chain contradicts them.
//
// # After a crash
//
// Bytes after the last whole record, up to the end, are a torn tail if no whole record follows. They stay
// where they are; the next record has event "recovered" and names file, offset, length and SHA-256 of
// them. (Where just the newline of a record is missing, it is added and nothing else is needed.) Damage anywhere else is reported and never repaired.
//
// # Rules
//
// A record that was acknowledged as durable has been synced. Others are synced within SyncInterval, if Run
// runs. After a failed sync the log is broken and takes no more records. A write that failed (disk full)
// leaves a torn tail, which the next successful Append marks. Methods may be called by several goroutines.
package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/crm/lockfile"
)

// Limits and defaults.
const (
	// MaxRecord bounds a line. Agents' arguments and outputs are bounded well below by their owners.
	MaxRecord = 256 << 10
	// MaxDepth bounds the nesting of the data of a record.
	MaxDepth = 8
	// DefaultMaxFile is the size after which the next file begins.
	DefaultMaxFile = 64 << 20
	// CheckpointRecords and CheckpointInterval say when a checkpoint follows.
	CheckpointRecords  = 1000
	CheckpointInterval = 60 * time.Second
	// SyncInterval bounds how long a record may be lost by a power failure, if it was not asked to be durable.
	SyncInterval = 100 * time.Millisecond
	// recoverWindow is how much of the end of a file is looked at when the log is opened: far more than is
	// written between two syncs.
	recoverWindow = 8 << 20
)

// Events that the log writes itself and takes from nobody.
const (
	EventCheckpoint = "checkpoint"
	EventRecovered  = "recovered"
	EventDamaged    = "damaged"
)

// Errors that callers test.
var (
	ErrLocked = errors.New("another process writes this audit log")
	ErrRecord = errors.New("audit record not allowed")
	ErrBroken = errors.New("audit log is broken")
	ErrClosed = errors.New("audit log is closed")
)

var zeroHash = strings.Repeat("0", 64)

// Head names the newest record: its number, and the hash of its line, which the next record's prev repeats.
type Head struct {
	Node string
	Seq  uint64 // 0 = no record yet
	Hash string
}

// Config says where and as whom a log is written.
type Config struct {
	Dir  string // made with mode 0700 where missing; refused if others have any right in it
	Node string
	Boot string             // "" = the kernel's boot id
	Key  ed25519.PrivateKey // signs the checkpoints
	// MaxFile is the size in bytes after which a new file begins; 0 = DefaultMaxFile.
	MaxFile int64
	// AcceptDamage opens a log whose end is damaged in a way no crash explains; the chain goes on with a
	// record that says so, and Verify keeps naming the damage. Without it Open returns a *BadRecord.
	AcceptDamage bool
	// Now and Mono are the clocks; nil = the system's.
	Now  func() time.Time
	Mono func() time.Duration
	// CheckpointRecords; 0 = the constant of that name.
	CheckpointRecords int
}

func (c *Config) validate() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("audit directory %q: the path must be absolute", c.Dir)
	}
	if c.Node == "" {
		return errors.New("audit log: the name of the node is missing")
	}
	if len(c.Key) != ed25519.PrivateKeySize {
		return fmt.Errorf("audit log: the signing key has %d bytes: must have %d", len(c.Key), ed25519.PrivateKeySize)
	}
	if c.MaxFile < 0 || c.CheckpointRecords < 0 {
		return errors.New("audit log: sizes must not be negative")
	}
	if c.MaxFile == 0 {
		c.MaxFile = DefaultMaxFile
	}
	if c.CheckpointRecords == 0 {
		c.CheckpointRecords = CheckpointRecords
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mono == nil {
		c.Mono = func() time.Duration {
			var ts unix.Timespec
			if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
				return 0
			}
			return time.Duration(ts.Nano())
		}
	}
	if c.Boot == "" {
		id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
		c.Boot = strings.TrimSpace(string(id))
	}
	return nil
}

// file is what the log needs of its files; tests put failing ones in their place.
type file interface {
	io.Writer
	io.ReaderAt
	Sync() error
	Close() error
}

// Log is an open audit log.
type Log struct {
	cfg  Config
	lock *lockfile.Lock

	// writing guards everything down to the blank line, and is held while a record is written.
	writing   sync.Mutex
	file      file
	name      string // of the file, without directory
	size      int64
	seq       uint64
	prev      string // hash of the last line
	torn      int64  // offset of a torn tail, -1 = none
	uncovered int    // records since the last checkpoint
	broken    error  // after which nothing is written any more

	// syncing is held during a sync; taken before writing.
	syncing sync.Mutex
	head    Head // newest synced record; guarded by writing

	wake chan struct{} // tells Run that there is something to sync
}

// Open opens the log for writing and recovers a torn tail.
func Open(cfg Config) (*Log, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	info, err := os.Stat(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("open audit log: %s has mode %04o: others must have no right in it, run chmod 700", cfg.Dir, info.Mode().Perm())
	}
	lock, err := lockfile.Take(filepath.Join(cfg.Dir, "lock"))
	if errors.Is(err, lockfile.ErrLocked) {
		return nil, fmt.Errorf("open %s: %w", cfg.Dir, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	l := &Log{cfg: cfg, lock: lock, prev: zeroHash, torn: -1, wake: make(chan struct{}, 1)}
	if err := l.resume(); err != nil {
		if l.file != nil {
			l.file.Close()
		}
		return nil, errors.Join(err, lock.Release())
	}
	return l, nil
}

// resume finds the end of the chain.
func (l *Log) resume() error {
	names, err := fileNames(l.cfg.Dir)
	if err != nil {
		return err
	}
	var damage *BadRecord
	found := false
	for i := len(names) - 1; i >= 0 && !found; i-- {
		e, err := scanEnd(filepath.Join(l.cfg.Dir, names[i]))
		if err != nil {
			return err
		}
		if i == len(names)-1 {
			l.name, l.size = names[i], e.size
			if e.size > e.end {
				l.torn = e.end
			}
		} else if e.size > e.end {
			damage = &BadRecord{Seq: e.seq + 1, File: names[i], Offset: e.end, Reason: "damaged end of a file that is not the last"}
		}
		if e.damaged != nil && damage == nil {
			damage = e.damaged
			damage.File = names[i]
		}
		if e.seq > 0 {
			found = true
			l.seq, l.prev = e.seq, e.hash
		}
	}
	if len(names) > 0 && !found {
		first, _ := firstSeq(names[0])
		if first != 1 {
			damage = &BadRecord{Seq: first, File: names[0], Reason: "no whole record in any file"}
			l.seq = first - 1
		}
	}
	if first, _ := firstSeq(l.name); l.torn < 0 && l.size == 0 && len(names) > 0 && first != l.seq+1 && damage == nil {
		damage = &BadRecord{Seq: l.seq + 1, File: l.name, Reason: fmt.Sprintf("an empty file for record %d on stands there", first)}
	}
	if damage != nil && !l.cfg.AcceptDamage {
		return fmt.Errorf("open audit log %s: %w", l.cfg.Dir, damage)
	}
	if l.name == "" {
		if err := l.create(); err != nil {
			return err
		}
	} else {
		f, err := os.OpenFile(filepath.Join(l.cfg.Dir, l.name), os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("open audit log: %w", err)
		}
		l.file = f
	}
	// What was read may not be synced yet: the process may have died before, and then the page cache has it.
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync audit log: %w", err)
	}
	l.head = Head{l.cfg.Node, l.seq, l.prev}
	if l.torn >= 0 {
		if err := l.repair(); err != nil {
			return fmt.Errorf("recover audit log: %w", err)
		}
	}
	if damage != nil {
		if err := l.write(EventDamaged, map[string]any{"file": damage.File, "offset": damage.Offset, "seq": damage.Seq, "reason": damage.Reason}); err != nil {
			return err
		}
	}
	return nil
}

func fileName(seq uint64) string { return fmt.Sprintf("audit-%020d.jsonl", seq) }

func firstSeq(name string) (uint64, bool) {
	digits, found := strings.CutPrefix(strings.TrimSuffix(name, ".jsonl"), "audit-")
	if !found || len(digits) != 20 || !strings.HasSuffix(name, ".jsonl") {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && seq > 0
}

// fileNames lists the files of the log in the order of their records.
func fileNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := firstSeq(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// ending is what the end of a file tells.
type ending struct {
	size    int64
	end     int64 // offset after the last whole record
	seq     uint64
	hash    string
	damaged *BadRecord // a break in the chain before the last whole record, not explained by "recovered"
}

// scanEnd reads the last part of a file and finds the last whole record in it.
func scanEnd(path string) (ending, error) {
	f, err := os.Open(path)
	if err != nil {
		return ending{}, fmt.Errorf("read audit log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ending{}, fmt.Errorf("read audit log: %w", err)
	}
	start := max(0, info.Size()-recoverWindow)
	text, err := io.ReadAll(io.NewSectionReader(f, start, info.Size()-start))
	if err != nil {
		return ending{}, fmt.Errorf("read audit log: %w", err)
	}
	e := ending{size: start + int64(len(text)), end: start}
	offset := start
	if start > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return e, nil
		}
		offset, text = offset+int64(i)+1, text[i+1:]
		e.end = offset
	}
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		r, err := parseRecord(text[:i])
		if err == nil {
			switch {
			case e.end < offset && !r.recovers(e.end, offset):
				e.damaged = &BadRecord{Seq: e.seq + 1, Offset: e.end, Reason: "damaged bytes between whole records"}
			case e.seq > 0 && (r.seq != e.seq+1 || r.prev != e.hash) && e.damaged == nil:
				e.damaged = &BadRecord{Seq: e.seq + 1, Offset: offset, Reason: "the chain is broken"}
			}
			e.seq, e.hash, e.end = r.seq, lineHash(text[:i]), offset+int64(i)+1
		}
		offset += int64(i) + 1
		text = text[i+1:]
	}
	return e, nil
}

// create begins a new file; its first record will be the next one.
func (l *Log) create() error {
	name := fileName(l.seq + 1)
	f, err := os.OpenFile(filepath.Join(l.cfg.Dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("new file of the audit log: %w", err)
	}
	dir, err := os.Open(l.cfg.Dir)
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("new file of the audit log: %w", err)
	}
	l.file, l.name, l.size = f, name, 0
	return nil
}

// Append writes a record. The data may hold strings, booleans, integers, []string, []any and map[string]any
// of these; strings that are not UTF-8 have their bad bytes replaced. If durable is set, the record is on
// disk when Append returns; many callers share a sync.
//
// Errors: ErrRecord for a record that is not allowed (nothing is written), ErrBroken, ErrClosed, or what the
// disk said; in the last case the record is not acknowledged, and is there only if it was written whole.
func (l *Log) Append(event string, data map[string]any, durable bool) (Head, error) {
	switch event {
	case EventCheckpoint, EventRecovered, EventDamaged:
		return Head{}, fmt.Errorf("event %q: %w: the log writes it itself", event, ErrRecord)
	}
	if err := validEvent(event); err != nil {
		return Head{}, err
	}
	l.writing.Lock()
	err := l.append(event, data)
	head := Head{l.cfg.Node, l.seq, l.prev}
	l.writing.Unlock()
	if err != nil {
		return Head{}, err
	}
	if durable {
		return head, l.Sync(head.Seq)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return head, nil
}

func validEvent(event string) error {
	if event == "" || len(event) > 64 {
		return fmt.Errorf("event of %d bytes: %w: 1 to 64", len(event), ErrRecord)
	}
	for _, c := range []byte(event) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("event %q: %w: letters, digits, - and . only", event, ErrRecord)
		}
	}
	return nil
}

func (l *Log) append(event string, data map[string]any) error {
	if l.broken != nil {
		return l.broken
	}
	clean, err := normal(data, 0)
	if err != nil {
		return err
	}
	if l.torn >= 0 {
		if err := l.repair(); err != nil {
			return err
		}
	}
	if l.uncovered >= l.cfg.CheckpointRecords {
		if err := l.checkpoint(); err != nil {
			return err
		}
	}
	if l.size >= l.cfg.MaxFile {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	return l.write(event, clean.(map[string]any))
}

// write encodes and writes one record.
func (l *Log) write(event string, data map[string]any) error {
	line, err := l.encode(event, data)
	if err != nil {
		return err
	}
	n, err := l.file.Write(append(line, '\n'))
	if err != nil {
		if n > 0 && l.torn < 0 {
			l.torn = l.size
		}
		l.size += int64(n)
		return fmt.Errorf("write audit record %d: %w", l.seq+1, err)
	}
	l.size += int64(n)
	l.seq++
	l.prev = lineHash(line)
	l.uncovered++
	return nil
}

func (l *Log) encode(event string, data map[string]any) ([]byte, error) {
	// The key "hash" stands between these two parts, so that each is encoded once.
	begin, err := canonical(map[string]any{
		"boot":  strings.ToValidUTF8(l.cfg.Boot, "\uFFFD"),
		"data":  data,
		"event": event,
	})
	if err != nil {
		return nil, err
	}
	end, err := canonical(map[string]any{
		"mono": l.cfg.Mono().Nanoseconds(),
		"node": strings.ToValidUTF8(l.cfg.Node, "\uFFFD"),
		"prev": l.prev,
		"seq":  l.seq + 1,
		"ts":   l.cfg.Now().UTC().Format(time.RFC3339Nano),
		"v":    1,
	})
	if err != nil {
		return nil, err
	}
	begin, end = begin[:len(begin)-1], end[1:] // without the closing and the opening brace
	hash := lineHash(slices.Concat(begin, []byte(","), end))
	line := slices.Concat(begin, []byte(`,"hash":"`), []byte(hash), []byte(`",`), end)
	if len(line) >= MaxRecord {
		return nil, fmt.Errorf("record of %d bytes: %w: at most %d", len(line), ErrRecord, MaxRecord)
	}
	return line, nil
}

// repair marks a torn tail.
func (l *Log) repair() error {
	torn := make([]byte, l.size-l.torn)
	if _, err := l.file.ReadAt(torn, l.torn); err != nil {
		return fmt.Errorf("read torn tail: %w", err)
	}
	data := map[string]any{"file": l.name, "offset": l.torn, "bytes": len(torn), "sha256": lineHash(torn)}
	if torn[len(torn)-1] != '\n' {
		if _, err := l.file.Write([]byte("\n")); err != nil {
			return fmt.Errorf("mark torn tail: %w", err)
		}
		l.size++
		// If just the newline was missing, the record is whole now, and must count as such: whoever reads the
		// file takes it for one.
		e, err := scanEnd(filepath.Join(l.cfg.Dir, l.name))
		if err != nil {
			return err
		}
		if e.end == e.size {
			l.seq, l.prev, l.torn = e.seq, e.hash, -1
			return nil
		}
	}
	if err := l.write(EventRecovered, data); err != nil {
		return err
	}
	l.torn = -1
	return nil
}

func (l *Log) checkpoint() error {
	pub, _ := l.cfg.Key.Public().(ed25519.PublicKey)
	sig := ed25519.Sign(l.cfg.Key, checkpointText(l.cfg.Node, l.seq+1, l.prev))
	if err := l.write(EventCheckpoint, map[string]any{"key": hex.EncodeToString(pub), "signature": hex.EncodeToString(sig)}); err != nil {
		return err
	}
	l.uncovered = 0
	return nil
}

func checkpointText(node string, seq uint64, prev string) []byte {
	return fmt.Appendf(nil, "quorate audit checkpoint 1\n%s\n%d\n%s", node, seq, prev)
}

// rotate begins the next file. The old one is synced first, so that a torn tail is only ever in the last.
func (l *Log) rotate() error {
	if err := l.file.Sync(); err != nil {
		return l.fail(err)
	}
	l.head = Head{l.cfg.Node, l.seq, l.prev}
	old := l.file
	if err := l.create(); err != nil {
		return err
	}
	return old.Close()
}

// fail makes the log unusable. After a failed sync nobody knows what is on the disk.
func (l *Log) fail(err error) error {
	if l.broken == nil {
		l.broken = fmt.Errorf("%w: sync: %w", ErrBroken, err)
	}
	return l.broken
}

// Sync returns when the record with this number, and all before, are on disk.
func (l *Log) Sync(seq uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	if l.head.Seq >= seq || l.broken != nil {
		defer l.writing.Unlock()
		if l.head.Seq >= seq {
			return nil
		}
		return l.broken
	}
	f, head := l.file, Head{l.cfg.Node, l.seq, l.prev}
	l.writing.Unlock()
	// Meanwhile others append, and wait for the next sync. Should the file be rotated away, it was synced then.
	err := f.Sync()
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.head.Seq >= seq {
		return nil
	}
	if err != nil {
		return l.fail(err)
	}
	if head.Seq > l.head.Seq {
		l.head = head
	}
	return nil
}

// Head returns the newest record that is on disk.
func (l *Log) Head() Head {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.head
}

// Run syncs records and writes the timed checkpoints until ctx ends. It returns an error when the log is
// broken. An idle log costs nothing.
func (l *Log) Run(ctx context.Context) error {
	var checkpoint <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			pause := time.NewTimer(SyncInterval)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
			if err := l.Sync(l.newest()); err != nil {
				return err
			}
			if checkpoint == nil {
				checkpoint = time.After(CheckpointInterval)
			}
		case <-checkpoint:
			checkpoint = nil
			if err := l.Checkpoint(); err != nil {
				return err
			}
		}
	}
}

func (l *Log) newest() uint64 {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.seq
}

// Checkpoint writes a checkpoint and syncs it, if a record came since the last one.
func (l *Log) Checkpoint() error {
	l.writing.Lock()
	if l.broken != nil || l.uncovered == 0 || l.torn >= 0 {
		defer l.writing.Unlock()
		return l.broken
	}
	err := l.checkpoint()
	seq := l.seq
	l.writing.Unlock()
	if err != nil {
		if errors.Is(err, unix.ENOSPC) {
			return nil // the disk is full; writers are told, and the next record carries on
		}
		return err
	}
	return l.Sync(seq)
}

// Close writes a last checkpoint, syncs, and gives the lock back. Append fails afterwards.
func (l *Log) Close() error {
	err := l.Checkpoint()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if errors.Is(l.broken, ErrClosed) {
		return nil
	}
	if l.broken == nil {
		err = errors.Join(err, l.file.Sync())
	}
	l.broken = ErrClosed
	return errors.Join(err, l.file.Close(), l.lock.Release())
}

// canonical encodes a value that went through normal.
func canonical(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// normal checks the types of a value and makes its strings valid UTF-8, since the encoder would write an
// escape in place of a bad byte, which is not what a verifier writes for the character that it reads.
func normal(v any, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("data nested deeper than %d: %w", MaxDepth, ErrRecord)
	}
	switch v := v.(type) {
	case string:
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case bool, int, int32, int64, uint16, uint32, uint64:
		return v, nil
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = strings.ToValidUTF8(s, "\uFFFD")
		}
		return list, nil
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			n, err := normal(e, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = n
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n, err := normal(v[name], depth+1)
			if err != nil {
				return nil, err
			}
			object[strings.ToValidUTF8(name, "\uFFFD")] = n
		}
		return object, nil
	}
	return nil, fmt.Errorf("value of type %T: %w: strings, booleans, integers, lists and objects only", v, ErrRecord)
}

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// record is what the chain needs of a line.
type record struct {
	seq   uint64
	prev  string
	event string
	node  string
	time  time.Time // zero if it is none
	data  map[string]any
}

// parseRecord reads a line and checks everything that can be checked on it alone.
func parseRecord(line []byte) (record, error) {
	if len(line) >= MaxRecord {
		return record{}, fmt.Errorf("line of %d bytes: at most %d", len(line), MaxRecord)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return record{}, fmt.Errorf("not a JSON object: %w", err)
	}
	again, err := canonical(fields)
	if err != nil || !bytes.Equal(again, line) {
		return record{}, errors.New("not in canonical form")
	}
	text := func(name string) string { s, _ := fields[name].(string); return s }
	r := record{prev: text("prev"), event: text("event"), node: text("node")}
	r.data, _ = fields["data"].(map[string]any)
	if at, err := time.Parse(time.RFC3339Nano, text("ts")); err == nil {
		r.time = at
	}
	number, _ := fields["seq"].(json.Number)
	r.seq, err = strconv.ParseUint(string(number), 10, 64)
	if err != nil || r.seq == 0 {
		return record{}, errors.New("no record number")
	}
	if v, _ := fields["v"].(json.Number); v != "1" {
		return record{}, fmt.Errorf("format version %q is not known", v)
	}
	if r.prev == "" || r.event == "" || r.data == nil {
		return record{}, errors.New("prev, event or data is missing")
	}
	hash := text("hash")
	delete(fields, "hash")
	bare, err := canonical(fields)
	if err != nil || lineHash(bare) != hash {
		return record{}, errors.New("the hash does not match the record")
	}
	return r, nil
}

// recovers reports whether the record explains the bytes from start to end of its file, apart from their hash.
func (r *record) recovers(start, end int64) bool {
	return r.event == EventRecovered && r.number("offset") == start && (r.number("bytes") == end-start || r.number("bytes") == end-start-1)
}

func (r *record) number(name string) int64 {
	n, _ := r.data[name].(json.Number)
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return math.MinInt64
	}
	return v
}
