package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of a bbolt file, as its documentation and its format version 2 have it.
const (
	pageSize       = 4096
	pageHeader     = 16 // id 8, flags 2, count 2, overflow 4
	elementSize    = 16 // leaf: flags 4, pos 4, key size 4, value size 4; branch: pos 4, key size 4, page 8
	bucketHeader   = 16 // root page 8, sequence 8
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	noFreelist     = ^uint64(0)
	flagBranch     = 0x01
	flagLeaf       = 0x02
	flagMeta       = 0x04
	maxTreeDepth   = 32
	metaLen        = 64 // up to and with the checksum
	metaChecked    = 56 // up to the checksum
	maxUsedPages   = 1 << 22
	elementBucket  = 0x01
	bucketsInFile  = 2
	maxPageOfEntry = (maxEntryBytes / pageSize) + 16
)

// pageChecker walks every page that is reachable from the newest meta page.
type pageChecker struct {
	r     io.ReaderAt
	hwm   uint64
	seen  []bool
	names int
}

// checkPages reads the structure of a bbolt file and gives the number of its last transaction. It
// needs no lock of bbolt's, but nobody may write to the file meanwhile.
func checkPages(r io.ReaderAt, size int64) (txid uint64, err error) {
	bad := func(page uint64, format string, a ...any) error {
		return &DamageError{File: logFile, Index: page, What: fmt.Sprintf(format, a...)}
	}
	if size < 4*pageSize {
		return 0, bad(0, "file has %d bytes, fewer than an empty log", size)
	}
	type meta struct{ root, freelist, hwm, txid uint64 }
	var metas [2]meta
	for i := range metas {
		var b [pageHeader + metaLen]byte
		if _, err := r.ReadAt(b[:], int64(i)*pageSize); err != nil {
			return 0, &FatalError{Op: "read " + logFile, Err: err}
		}
		le := binary.LittleEndian
		if id, flags := le.Uint64(b[:]), le.Uint16(b[8:]); id != uint64(i) || flags != flagMeta {
			return 0, bad(uint64(i), "page header of meta page %d says page %d, kind %#x", i, id, flags)
		}
		m := b[pageHeader:]
		h := fnv.New64a()
		h.Write(m[:metaChecked])
		switch {
		case le.Uint32(m) != boltMagic:
			return 0, bad(uint64(i), "meta page %d does not start with the mark of a bbolt file", i)
		case le.Uint32(m[4:]) != boltVersion:
			return 0, bad(uint64(i), "meta page %d has format version %d, known is %d", i, le.Uint32(m[4:]), boltVersion)
		case h.Sum64() != le.Uint64(m[metaChecked:]):
			return 0, bad(uint64(i), "checksum of meta page %d is wrong", i)
		case le.Uint32(m[8:]) != pageSize:
			return 0, bad(uint64(i), "meta page %d has the page size %d, must be %d", i, le.Uint32(m[8:]), pageSize)
		}
		metas[i] = meta{root: le.Uint64(m[16:]), freelist: le.Uint64(m[32:]), hwm: le.Uint64(m[40:]), txid: le.Uint64(m[48:])}
	}
	newest, older := metas[0], metas[1]
	if newest.txid < older.txid {
		newest, older = older, newest
	}
	if newest.txid != older.txid+1 {
		return 0, bad(0, "meta pages are of the transactions %d and %d, must be successive", older.txid, newest.txid)
	}
	switch {
	case newest.freelist != noFreelist:
		return 0, bad(0, "file has a stored free list at page %d, must have none", newest.freelist)
	case newest.hwm > maxUsedPages || int64(newest.hwm)*pageSize > size:
		return 0, bad(newest.hwm, "file has %d bytes, its meta page needs %d pages of %d", size, newest.hwm, pageSize)
	}
	c := &pageChecker{r: r, hwm: newest.hwm, seen: make([]bool, newest.hwm)}
	if err := c.tree(newest.root, true, nil, nil, 0); err != nil {
		return 0, err
	}
	if c.names != bucketsInFile {
		return 0, bad(newest.root, "file has %d buckets, must have %d", c.names, bucketsInFile)
	}
	return newest.txid, nil
}

func (c *pageChecker) bad(page uint64, format string, a ...any) error {
	return &DamageError{File: logFile, Index: page, What: fmt.Sprintf("page %d: %s", page, fmt.Sprintf(format, a...))}
}

// tree checks the page and all below it. Keys must be in [low, high); nil is no limit.
func (c *pageChecker) tree(id uint64, root bool, low, high []byte, depth int) error {
	if depth > maxTreeDepth {
		return c.bad(id, "tree is deeper than %d", maxTreeDepth)
	}
	if id < 2 || id >= c.hwm {
		return c.bad(id, "page is outside of the %d used ones", c.hwm)
	}
	var head [pageHeader]byte
	if _, err := c.r.ReadAt(head[:], int64(id)*pageSize); err != nil {
		return &FatalError{Op: "read " + logFile, Err: err}
	}
	overflow := uint64(binary.LittleEndian.Uint32(head[12:]))
	if overflow > maxPageOfEntry || id+overflow >= c.hwm {
		return c.bad(id, "page goes on for %d pages, beyond the %d used ones", overflow, c.hwm)
	}
	for i := id; i <= id+overflow; i++ {
		if c.seen[i] {
			return c.bad(i, "page is used twice")
		}
		c.seen[i] = true
	}
	b := make([]byte, (1+overflow)*pageSize)
	if _, err := c.r.ReadAt(b, int64(id)*pageSize); err != nil {
		return &FatalError{Op: "read " + logFile, Err: err}
	}
	if got := binary.LittleEndian.Uint64(b); got != id {
		return c.bad(id, "page says that it is page %d", got)
	}
	els, end, err := c.elements(id, b)
	if err != nil {
		return err
	}
	if want := (uint64(end) + pageSize - 1) / pageSize; want != 1+overflow {
		return c.bad(id, "content needs %d pages, header says %d", want, 1+overflow)
	}
	for i, e := range els {
		if low != nil && bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return c.bad(id, "element %d is outside of the range of its page", i)
		}
		switch {
		case e.branch:
			next := high
			if i+1 < len(els) {
				next = els[i+1].key
			}
			if err := c.tree(e.child, root, e.key, next, depth+1); err != nil {
				return err
			}
		case root:
			if err := c.bucket(id, e); err != nil {
				return err
			}
		case e.flags != 0:
			return c.bad(id, "element %d has the flags %#x, must have none", i, e.flags)
		}
	}
	return nil
}

func (c *pageChecker) bucket(id uint64, e pageElement) error {
	name := string(e.key)
	if e.flags != elementBucket || name != bucketEntries && name != bucketState {
		return c.bad(id, "root has the element %q with the flags %#x, must be one of the buckets", name, e.flags)
	}
	c.names++
	if len(e.value) < bucketHeader {
		return c.bad(id, "header of bucket %s has %d bytes", name, len(e.value))
	}
	if page := binary.LittleEndian.Uint64(e.value); page != 0 {
		if len(e.value) != bucketHeader {
			return c.bad(id, "header of bucket %s has %d bytes", name, len(e.value))
		}
		return c.tree(page, false, nil, nil, 0)
	}
	inline := e.value[bucketHeader:]
	if len(inline) < pageHeader {
		return c.bad(id, "bucket %s has %d bytes of content", name, len(inline))
	}
	if o := binary.LittleEndian.Uint32(inline[12:]); o != 0 {
		return c.bad(id, "bucket %s inside a page says that it has %d more pages", name, o)
	}
	els, _, err := c.elements(id, inline)
	if err != nil {
		return err
	}
	for i, el := range els {
		if el.branch || el.flags != 0 {
			return c.bad(id, "element %d of bucket %s is not a plain value", i, name)
		}
	}
	return nil
}

type pageElement struct {
	branch     bool
	flags      uint32
	child      uint64
	key, value []byte
}

// elements gives the elements of a page, whose slices lie within b, and where the content ends.
func (c *pageChecker) elements(id uint64, b []byte) ([]pageElement, int, error) {
	le := binary.LittleEndian
	kind, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	end := pageHeader + count*elementSize
	if end > len(b) {
		return nil, 0, c.bad(id, "%d elements do not fit", count)
	}
	if kind != flagLeaf && kind != flagBranch {
		return nil, 0, c.bad(id, "kind is %#x, must be branch or leaf", kind)
	}
	if kind == flagBranch && count == 0 {
		return nil, 0, c.bad(id, "branch has no elements")
	}
	table := end
	els := make([]pageElement, count)
	for i := range els {
		at := pageHeader + i*elementSize
		h := b[at:]
		e := &els[i]
		var pos, klen, vlen uint32
		if kind == flagLeaf {
			e.flags, pos, klen, vlen = le.Uint32(h), le.Uint32(h[4:]), le.Uint32(h[8:]), le.Uint32(h[12:])
		} else {
			e.branch, pos, klen, e.child = true, le.Uint32(h), le.Uint32(h[4:]), le.Uint64(h[8:])
		}
		from := uint64(at) + uint64(pos)
		to := from + uint64(klen) + uint64(vlen)
		if klen == 0 || from < uint64(table) || to > uint64(len(b)) {
			return nil, 0, c.bad(id, "element %d reaches from byte %d to %d of %d", i, from, to, len(b))
		}
		e.key = b[from : from+uint64(klen)]
		e.value = b[from+uint64(klen) : to]
		if i > 0 && bytes.Compare(els[i-1].key, e.key) >= 0 {
			return nil, 0, c.bad(id, "key of element %d is not above the one before", i)
		}
		end = max(end, int(to))
	}
	return els, end, nil
}
