package raftlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	snapshotPrefix = "snapshot-"
	tempSuffix     = ".tmp"
)

func snapshotName(index, term uint64) string {
	return fmt.Sprintf("%s%016x-%016x", snapshotPrefix, index, term)
}

// markOf gives what the state record holds about a snapshot.
func markOf(s *raftpb.Snapshot) snapshotMark {
	m := s.GetMetadata()
	return snapshotMark{
		index: m.GetIndex(), term: m.GetTerm(), size: uint64(len(s.GetData())),
		sum: sha256.Sum256(s.GetData()), conf: raftpb.EnsureConfState(m.GetConfState()),
	}
}

func encodeSnapshotHeader(m *snapshotMark) ([]byte, error) {
	conf, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.conf)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	if len(conf) > maxConfBytes {
		return nil, fmt.Errorf("configuration has %d bytes, limit is %d", len(conf), maxConfBytes)
	}
	le := binary.LittleEndian
	b := append([]byte(snapshotMagic), 0, 0, 0, 0)
	b = le.AppendUint32(b, uint32(snapshotFixed+len(conf)))
	for _, v := range []uint64{m.index, m.term, m.size} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, m.sum[:]...)
	b = append(b, conf...)
	le.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b, nil
}

// decodeSnapshotHeader reads the header from a file and gives what it says.
func decodeSnapshotHeader(r io.Reader) (*snapshotMark, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	le := binary.LittleEndian
	n := le.Uint32(head[12:])
	if string(head[:8]) != snapshotMagic {
		return nil, fmt.Errorf("file starts with %q, must be %q", head[:8], snapshotMagic)
	}
	if n < snapshotFixed || n > snapshotFixed+maxConfBytes {
		return nil, fmt.Errorf("header has the length %d", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if got, want := crc32.Update(crc32.Checksum(head[12:], castagnoli), castagnoli, b), le.Uint32(head[8:]); got != want {
		return nil, fmt.Errorf("checksum of the header is %08x, its content gives %08x", want, got)
	}
	m := &snapshotMark{index: le.Uint64(b), term: le.Uint64(b[8:]), size: le.Uint64(b[16:])}
	copy(m.sum[:], b[24:])
	var err error
	m.conf, err = decodeConf(b[snapshotFixed:])
	return m, err
}

// writeSnapshot makes the snapshot's file durable under its final name. A file of that name is replaced.
func writeSnapshot(dir string, m *snapshotMark, data []byte) error {
	header, err := encodeSnapshotHeader(m)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, snapshotName(m.index, m.term))
	tmp := name + tempSuffix
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(header)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

// readSnapshot reads the file which the mark describes and checks every byte of it.
func readSnapshot(dir string, want *snapshotMark) (*raftpb.Snapshot, error) {
	name := snapshotName(want.index, want.term)
	bad := func(format string, a ...any) error {
		return &DamageError{File: name, What: fmt.Sprintf(format, a...)}
	}
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("file is missing")
	}
	if err != nil {
		return nil, &FatalError{Op: "open " + name, Err: err}
	}
	defer f.Close()
	m, err := decodeSnapshotHeader(f)
	if err != nil {
		return nil, bad("%v", err)
	}
	if m.index != want.index || m.term != want.term || m.size != want.size || m.sum != want.sum || !proto.Equal(m.conf, want.conf) {
		return nil, bad("header says index %d, term %d, %d bytes; the log says index %d, term %d, %d bytes, and all else must be equal too",
			m.index, m.term, m.size, want.index, want.term, want.size)
	}
	if m.size > maxSnapshotData {
		return nil, bad("data has %d bytes, limit is %d", m.size, maxSnapshotData)
	}
	// The size is believed only as far as the file has it.
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(f, int64(m.size)+1))
	if err != nil {
		return nil, &FatalError{Op: "read " + name, Err: err}
	}
	if uint64(n) != m.size {
		return nil, bad("file ends or goes on where its %d bytes of data should end", m.size)
	}
	if sha256.Sum256(data.Bytes()) != m.sum {
		return nil, bad("SHA-256 of the data is not the one in the header")
	}
	s := &raftpb.Snapshot{Data: data.Bytes(), Metadata: &raftpb.SnapshotMetadata{Index: new(m.index), Term: new(m.term), ConfState: m.conf}}
	return s, nil
}

// removeStale removes temporary files and snapshots other than the one to keep.
func removeStale(dir, keep string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range names {
		n := e.Name()
		if strings.HasSuffix(n, tempSuffix) || strings.HasPrefix(n, snapshotPrefix) && n != keep {
			if err := os.Remove(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
