package cibxml

import "strings"

// interner makes strings from bytes and hands out the same string again for the values that a document
// repeats most: names, digests, keys of operations. It keeps the document's strings apart from the text
// that was read, so that a large text is not held in memory by a small value.
type interner struct {
	recent *[1 << recentBits]string
	chunk  *strings.Builder
}

const (
	recentBits = 14
	chunkSize  = 1 << 16
	// Longer values are seldom repeated, and not looked for.
	maxInterned = 96
)

func (n *interner) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxInterned {
		return string(b)
	}
	if n.recent == nil {
		n.recent = new([1 << recentBits]string)
	}
	// FNV-1a: a table of fixed size whose slots are overwritten does not suffer from chosen collisions.
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	slot := &n.recent[(h^h>>recentBits)&(1<<recentBits-1)]
	if *slot == string(b) {
		return *slot
	}
	*slot = n.store(b)
	return *slot
}

// store copies b into the current chunk: one allocation for many strings.
func (n *interner) store(b []byte) string {
	if n.chunk == nil || n.chunk.Cap()-n.chunk.Len() < len(b) {
		n.chunk = new(strings.Builder)
		n.chunk.Grow(chunkSize)
	}
	at := n.chunk.Len()
	n.chunk.Write(b)
	return n.chunk.String()[at:]
}
