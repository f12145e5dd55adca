package unpack

import (
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// maxOperations bounds the recorded operations of one resource on one node that count. A cluster keeps one entry for
// each operation and interval, so some tens at most; each costs a search among the others.
const maxOperations = 1000

// boundedHistory returns the status with no more than maxOperations entries for one resource on one node: the newest by
// call id, and those that are under way. The status given is returned where that changes nothing.
func (u *unpacker) boundedHistory(st *cib.Status) *cib.Status {
	out := st
	for i := range st.Nodes {
		for k := range st.Nodes[i].History {
			h := &st.Nodes[i].History[k]
			if len(h.Operations) <= maxOperations {
				continue
			}
			u.warnf("node %q has %d recorded operations of %q; only the newest %d count", st.Nodes[i].Name, len(h.Operations), h.ID, maxOperations)
			if out == st {
				c := *st
				c.Nodes = slices.Clone(st.Nodes)
				for n := range c.Nodes {
					c.Nodes[n].History = slices.Clone(c.Nodes[n].History)
				}
				out = &c
			}
			out.Nodes[i].History[k].Operations = newest(h.Operations)
		}
	}
	return out
}

// newest returns the maxOperations newest entries, in the order of the document.
func newest(ops []cib.HistoryOp) []cib.HistoryOp {
	order := make([]int, len(ops))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := uint64(ops[a].CallID), uint64(ops[b].CallID) // -1, under way, is the greatest
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	order = order[:maxOperations]
	slices.Sort(order)
	list := make([]cib.HistoryOp, 0, maxOperations)
	for _, i := range order {
		list = append(list, ops[i])
	}
	return list
}
