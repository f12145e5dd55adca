package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	formatVersion   = 1
	entryHeader     = 4 + 4 + 1 + 8
	maxClusterID    = 128
	maxReason       = 1024
	maxPeers        = 1024    // more than any cluster has raft ids in use at a time
	maxConfBytes    = 1 << 20 // a configuration of 1,000 members takes 10 kB
	snapshotMagic   = "QRTSNAP1"
	snapshotFixed   = 8 + 8 + 8 + 32
	maxSnapshotData = 1 << 30 // far above any document; bounds what a damaged size can make us read
)

var errShort = errors.New("record is too short")

// entryKey is the key of an entry: its index, big endian, so that keys sort as indexes do.
func entryKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), index)
}

// encodeEntry gives the record of an entry and its crc.
func encodeEntry(e *raftpb.Entry, prev uint32) ([]byte, uint32) {
	data := e.GetData()
	b := make([]byte, entryHeader, entryHeader+len(data))
	binary.LittleEndian.PutUint32(b[4:], prev)
	b[8] = byte(e.GetType())
	binary.LittleEndian.PutUint64(b[9:], e.GetTerm())
	b = append(b, data...)
	sum := entrySum(e.GetIndex(), b)
	binary.LittleEndian.PutUint32(b, sum)
	return b, sum
}

func entrySum(index uint64, record []byte) uint32 {
	var head [9]byte
	head[0] = 'e'
	binary.BigEndian.PutUint64(head[1:], index)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, record[4:])
}

// decodeEntry checks a record and gives the entry with copied data, the crc of the entry before and its own crc.
func decodeEntry(index uint64, record []byte) (e *raftpb.Entry, prev, sum uint32, err error) {
	if len(record) < entryHeader {
		return nil, 0, 0, errShort
	}
	sum = binary.LittleEndian.Uint32(record)
	if got := entrySum(index, record); got != sum {
		return nil, 0, 0, fmt.Errorf("checksum of the entry is %08x, its content gives %08x", sum, got)
	}
	typ := raftpb.EntryType(record[8])
	if typ > raftpb.EntryConfChangeV2 {
		return nil, 0, 0, fmt.Errorf("entry has the unknown type %d", record[8])
	}
	e = &raftpb.Entry{Index: new(index), Term: new(binary.LittleEndian.Uint64(record[9:])), Type: typ.Enum()}
	if len(record) > entryHeader {
		e.Data = append([]byte(nil), record[entryHeader:]...)
	}
	return e, binary.LittleEndian.Uint32(record[4:]), sum, nil
}

// snapshotMark is what the state record knows about the snapshot file.
type snapshotMark struct {
	index, term, size uint64
	sum               [32]byte
	conf              *raftpb.ConfState
}

// state is the content of the state record.
type state struct {
	txid               uint64
	term, vote, commit uint64
	applied            uint64
	conf               *raftpb.ConfState // as of applied; never nil
	compacted          uint64            // the log starts after this index
	compactedTerm      uint64
	last, lastTerm     uint64
	lastSum            uint32
	snapshot           snapshotMark
	peers              []replica.PeerMark
}

func sealRecord(tag byte, body []byte) []byte {
	binary.LittleEndian.PutUint32(body, crc32.Update(crc32.Checksum([]byte{tag}, castagnoli), castagnoli, body[4:]))
	return body
}

func openRecord(tag byte, name string, record []byte) (*reader, error) {
	if len(record) < 5 {
		return nil, errShort
	}
	want := binary.LittleEndian.Uint32(record)
	if got := crc32.Update(crc32.Checksum([]byte{tag}, castagnoli), castagnoli, record[4:]); got != want {
		return nil, fmt.Errorf("checksum of the record is %08x, its content gives %08x", want, got)
	}
	if record[4] != formatVersion {
		return nil, &VersionError{Record: name, Have: record[4], Want: formatVersion}
	}
	return &reader{b: record[5:]}, nil
}

func encodeState(s *state) ([]byte, error) {
	conf, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.conf)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	snapConf, err := proto.MarshalOptions{Deterministic: true}.Marshal(raftpb.EnsureConfState(s.snapshot.conf))
	if err != nil {
		return nil, fmt.Errorf("encode configuration of the snapshot: %w", err)
	}
	if len(s.peers) > maxPeers || len(conf) > maxConfBytes || len(snapConf) > maxConfBytes {
		return nil, fmt.Errorf("%d peers and a configuration of %d bytes are more than the limits of %d and %d", len(s.peers), len(conf), maxPeers, maxConfBytes)
	}
	le := binary.LittleEndian
	b := make([]byte, 5, 256+len(conf)+len(snapConf)+32*len(s.peers))
	b[4] = formatVersion
	for _, v := range []uint64{s.txid, s.term, s.vote, s.commit, s.applied, s.compacted, s.compactedTerm, s.last, s.lastTerm} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, s.lastSum)
	for _, v := range []uint64{s.snapshot.index, s.snapshot.term, s.snapshot.size} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, s.snapshot.sum[:]...)
	b = le.AppendUint32(b, uint32(len(conf)))
	b = append(b, conf...)
	b = le.AppendUint32(b, uint32(len(snapConf)))
	b = append(b, snapConf...)
	b = le.AppendUint16(b, uint16(len(s.peers)))
	for _, p := range s.peers {
		b = le.AppendUint64(b, uint64(p.ID))
		b = le.AppendUint64(b, p.Term)
		b = le.AppendUint64(b, p.Index)
		b = le.AppendUint64(b, p.Floor)
	}
	return sealRecord('s', b), nil
}

func decodeState(record []byte) (*state, error) {
	r, err := openRecord('s', "state", record)
	if err != nil {
		return nil, err
	}
	s := &state{}
	for _, v := range []*uint64{&s.txid, &s.term, &s.vote, &s.commit, &s.applied, &s.compacted, &s.compactedTerm, &s.last, &s.lastTerm} {
		*v = r.u64()
	}
	s.lastSum = r.u32()
	for _, v := range []*uint64{&s.snapshot.index, &s.snapshot.term, &s.snapshot.size} {
		*v = r.u64()
	}
	copy(s.snapshot.sum[:], r.bytes(32))
	if s.conf, err = decodeConf(r.bytes(int(r.u32()))); err != nil {
		return nil, err
	}
	if s.snapshot.conf, err = decodeConf(r.bytes(int(r.u32()))); err != nil {
		return nil, err
	}
	for range r.u16() {
		s.peers = append(s.peers, replica.PeerMark{ID: membership.RaftID(r.u64()), Term: r.u64(), Index: r.u64(), Floor: r.u64()})
		if r.failed {
			break
		}
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	return s, s.check()
}

func decodeConf(b []byte) (*raftpb.ConfState, error) {
	cs := &raftpb.ConfState{}
	if err := proto.Unmarshal(b, cs); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return cs, nil
}

// check holds a state to what is always true of one.
func (s *state) check() error {
	switch {
	case s.snapshot.index > s.applied:
		return fmt.Errorf("snapshot %d is above the applied index %d", s.snapshot.index, s.applied)
	case s.compacted > s.snapshot.index:
		return fmt.Errorf("log is compacted to %d, above the snapshot %d", s.compacted, s.snapshot.index)
	case s.applied > s.commit:
		return fmt.Errorf("applied index %d is above the commit index %d", s.applied, s.commit)
	case s.commit > s.last:
		return fmt.Errorf("commit index %d is above the last index %d", s.commit, s.last)
	case s.lastTerm > s.term:
		return fmt.Errorf("last entry has term %d, above the current term %d", s.lastTerm, s.term)
	case s.last == math.MaxUint64:
		return errors.New("last index is out of range")
	}
	return nil
}

func encodeIdentity(id *Identity) ([]byte, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := make([]byte, 5)
	b[4] = formatVersion
	b = le.AppendUint16(b, uint16(id.NodeID))
	b = le.AppendUint64(b, uint64(id.RaftID))
	retired := byte(0)
	if id.Retired {
		retired = 1
	}
	b = append(b, retired)
	b = le.AppendUint16(b, uint16(len(id.ClusterID)))
	b = append(b, id.ClusterID...)
	b = le.AppendUint16(b, uint16(len(id.RetiredReason)))
	b = append(b, id.RetiredReason...)
	return sealRecord('i', b), nil
}

func decodeIdentity(record []byte) (*Identity, error) {
	r, err := openRecord('i', "identity", record)
	if err != nil {
		return nil, err
	}
	id := &Identity{NodeID: membership.NodeID(r.u16()), RaftID: membership.RaftID(r.u64())}
	switch b := r.bytes(1); {
	case r.failed:
	case b[0] > 1:
		return nil, fmt.Errorf("retired flag is %d, must be 0 or 1", b[0])
	default:
		id.Retired = b[0] == 1
	}
	id.ClusterID = string(r.bytes(int(r.u16())))
	id.RetiredReason = string(r.bytes(int(r.u16())))
	if err := r.done(); err != nil {
		return nil, err
	}
	return id, id.check()
}

// reader takes fields off a record whose checksum is right; it still trusts no length.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return make([]byte, min(max(n, 0), 32))
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.bytes(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *reader) done() error {
	if r.failed {
		return errShort
	}
	if len(r.b) != 0 {
		return fmt.Errorf("%d bytes follow the last field of the record", len(r.b))
	}
	return nil
}
