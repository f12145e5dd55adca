package schedule

import (
	"slices"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/values"
)

// sortHistory returns the recorded operations, the oldest first (spec/02-state.md 8.2).
func sortHistory(ops []cib.HistoryOp) []*cib.HistoryOp {
	sorted := make([]*cib.HistoryOp, len(ops))
	for i := range ops {
		sorted[len(ops)-1-i] = &ops[i]
	}
	slices.SortStableFunc(sorted, compareEntries)
	return sorted
}

// compareEntries is below 0 if a is older than b, above 0 if it is newer.
func compareEntries(a, b *cib.HistoryOp) int {
	switch {
	case a.OnNode == b.OnNode && a.ID == b.ID:
		return 0
	case a.CallID == -1 && b.CallID == -1:
		return 0
	case a.OnNode == b.OnNode && a.CallID >= 0 && b.CallID >= 0 && a.CallID != b.CallID:
		return order(a.CallID, b.CallID)
	case a.CallID >= 0 && b.CallID >= 0:
		if a.LastRCChange >= 0 && b.LastRCChange >= 0 {
			return order(a.LastRCChange, b.LastRCChange)
		}
		return 0
	}
	// One of them is pending, so that only the transitions that they belong to tell which came first.
	at, _, au, aok := values.TransitionKey(key(a))
	bt, _, bu, bok := values.TransitionKey(key(b))
	switch {
	case !aok || !bok:
		return 0
	case au != bu || at == bt:
		if a.CallID == -1 {
			return 1
		}
		return -1
	case at == -1:
		return 1
	case bt == -1:
		return -1
	}
	return order(int64(at), int64(bt))
}

// key is the transition key of an entry; the magic holds it where it is not recorded apart.
func key(e *cib.HistoryOp) string {
	if e.TransitionKey != "" {
		return e.TransitionKey
	}
	for i := 0; i < len(e.TransitionMagic); i++ {
		if e.TransitionMagic[i] == ';' {
			return e.TransitionMagic[i+1:]
		}
	}
	return ""
}

func order(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
