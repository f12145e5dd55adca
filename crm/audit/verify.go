package audit

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// BadRecord is the first record that is not as it was written.
type BadRecord struct {
	Seq    uint64 // number of the record that should stand there
	File   string
	Offset int64 // of the line in the file
	Reason string
}

func (b *BadRecord) Error() string {
	if b.File == "" {
		return fmt.Sprintf("record %d: %s", b.Seq, b.Reason)
	}
	return fmt.Sprintf("record %d (%s, offset %d): %s", b.Seq, b.File, b.Offset, b.Reason)
}

// Expect is what a verifier knows from elsewhere. The zero value knows nothing.
type Expect struct {
	Keys []ed25519.PublicKey // keys that may sign checkpoints; empty = any
	Node string              // "" = any
	// Heads are records known from the replicated document; each must be in the log.
	Heads []Head
	// Pruned allows the log to begin after record 1, where old files were moved away on purpose.
	Pruned bool
}

// Report tells what a log that is as it was written holds.
type Report struct {
	First, Last Head
	Records     uint64
	Files       int
	Checkpoints uint64
	Signed      uint64 // number of the last record that a checkpoint covers
	Recovered   int    // torn tails that were marked
}

// Verify reads a whole log, which need not be closed, and checks every record. A log that was changed gives
// a *BadRecord naming the first bad record; other errors mean that it could not be read.
func Verify(dir string, expect Expect) (Report, error) {
	names, err := fileNames(dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{expect: expect, prev: zeroHash}
	for _, name := range names {
		if err := v.file(dir, name); err != nil {
			return v.report, err
		}
	}
	v.report.Files = len(names)
	for _, h := range expect.Heads {
		if h.Seq > v.report.Last.Seq {
			return v.report, &BadRecord{Seq: v.report.Last.Seq + 1, Reason: fmt.Sprintf("missing: the cluster has seen record %d of this log", h.Seq)}
		}
	}
	return v.report, nil
}

type verifier struct {
	expect Expect
	seq    uint64
	prev   string
	report Report

	name   string
	offset int64
	torn   []byte // bytes not yet explained
	start  int64  // their offset
	why    string // what was wrong with the first of them
}

func (v *verifier) bad(format string, args ...any) error {
	return &BadRecord{Seq: v.seq + 1, File: v.name, Offset: v.offset, Reason: fmt.Sprintf(format, args...)}
}

func (v *verifier) file(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("verify audit log: %w", err)
	}
	defer f.Close()
	v.name, v.offset = name, 0
	first, _ := firstSeq(name)
	if v.seq == 0 && first > 1 {
		if !v.expect.Pruned {
			return v.bad("missing: the log begins with record %d", first)
		}
		v.seq = first - 1
		v.prev = ""
	}
	if first != v.seq+1 {
		return v.bad("missing: the file begins with record %d", first)
	}
	in := bufio.NewReaderSize(f, 64<<10)
	for {
		line, whole, err := readLine(in)
		if err != nil {
			return fmt.Errorf("verify audit log: %w", err)
		}
		if len(line) == 0 && !whole {
			break
		}
		if err := v.line(line, whole); err != nil {
			return err
		}
		v.offset += int64(len(line))
		if whole {
			v.offset++
		}
	}
	if len(v.torn) > 0 {
		v.offset = v.start
		return v.bad("%s", v.why)
	}
	return nil
}

// readLine returns the next line without its newline; whole is false at the end of the file. A line longer
// than any record can be is cut into pieces, none of which is a record.
func readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		case len(line) > 2*MaxRecord:
			return line, false, nil
		}
	}
}

// maxTorn bounds how much of a torn tail is kept while looking for the record that explains it.
const maxTorn = recoverWindow + MaxRecord

func (v *verifier) line(line []byte, whole bool) error {
	r, err := parseRecord(line)
	if err == nil && !whole {
		err = errors.New("the line has no end")
	}
	if err != nil {
		if len(v.torn) == 0 {
			v.start, v.why = v.offset, err.Error()
		}
		v.torn = append(v.torn, line...)
		if whole {
			v.torn = append(v.torn, '\n')
		}
		if len(v.torn) > maxTorn {
			v.offset = v.start
			return v.bad("%s", v.why)
		}
		return nil
	}
	if len(v.torn) > 0 {
		n := r.number("bytes")
		sum, _ := r.data["sha256"].(string)
		if !r.recovers(v.start, v.offset) || n < 1 || n > int64(len(v.torn)) || lineHash(v.torn[:n]) != sum || r.data["file"] != v.name {
			v.offset = v.start
			return v.bad("%s", v.why)
		}
		v.torn = v.torn[:0]
		v.report.Recovered++
	} else if r.event == EventRecovered {
		return v.bad("it marks a torn tail which is not there")
	}
	switch {
	case r.seq != v.seq+1:
		return v.bad("record %d stands there", r.seq)
	case v.prev != "" && r.prev != v.prev:
		return v.bad("it does not follow the record before it")
	case v.expect.Node != "" && r.node != v.expect.Node:
		return v.bad("it is of node %q, expected %q", r.node, v.expect.Node)
	}
	if r.event == EventCheckpoint {
		if why := v.signature(&r); why != "" {
			return v.bad("%s", why)
		}
		v.report.Checkpoints++
		v.report.Signed = r.seq
	}
	head := Head{r.node, r.seq, lineHash(line)}
	for _, h := range v.expect.Heads {
		if h.Seq == head.Seq && h.Hash != head.Hash {
			return v.bad("the cluster has seen another record with this number")
		}
	}
	if v.report.Records == 0 {
		v.report.First = head
	}
	v.seq, v.prev = r.seq, head.Hash
	v.report.Records++
	v.report.Last = head
	return nil
}

func (v *verifier) signature(r *record) string {
	key, _ := r.data["key"].(string)
	sig, _ := r.data["signature"].(string)
	pub, err := hex.DecodeString(key)
	if err != nil || len(pub) != ed25519.PublicKeySize {
		return "the checkpoint has no key"
	}
	raw, err := hex.DecodeString(sig)
	if err != nil || !ed25519.Verify(pub, checkpointText(r.node, r.seq, r.prev), raw) {
		return "the signature of the checkpoint is wrong"
	}
	known := slices.ContainsFunc(v.expect.Keys, func(k ed25519.PublicKey) bool { return k.Equal(ed25519.PublicKey(pub)) })
	if len(v.expect.Keys) > 0 && !known {
		return "the checkpoint is signed with a key that is not this node's"
	}
	return ""
}
