package status

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// shownOperations lists recorded operations in order of their call numbers, without those that say nothing: probes
// that found what is not running, and notifications.
func shownOperations(h *cib.ResourceHistory) []*cib.HistoryOp {
	var list []*cib.HistoryOp
	for i := range h.Operations {
		e := &h.Operations[i]
		switch {
		case e.Operation == "notify" && e.Interval == 0:
		case e.Operation == "monitor" && e.Interval == 0 && e.RC == 7:
		case strings.HasSuffix(e.ID, "_last_failure_0"): // its operation is there itself
		default:
			list = append(list, e)
		}
	}
	// What has no call number yet is under way, and so the newest.
	order := func(e *cib.HistoryOp) uint64 { return uint64(e.CallID) }
	slices.SortStableFunc(list, func(a, b *cib.HistoryOp) int { return cmp.Compare(order(a), order(b)) })
	return list
}

// taskName is the name of a recorded operation for people.
func taskName(e *cib.HistoryOp) string {
	if e.Operation == "monitor" && e.Interval == 0 {
		return "probe"
	}
	return e.Operation
}

// operations writes the recorded operations of each node.
func (p *printer) operations() {
	began := !p.o.Sparse
	if began {
		p.section("Operations")
	}
	historyNodes(p.c, &p.o, func(n *model.Node, s *cib.NodeState) {
		title := "Node: " + p.nodeName(n) + ":"
		for i := range s.History {
			h := &s.History[i]
			list := shownOperations(h)
			r := byHistory(p.c, h.ID)
			if len(list) == 0 || r == nil || !p.o.Only.resource(r) {
				continue
			}
			if !began {
				p.section("Operations")
				began = true
			}
			if title != "" {
				p.item(1, title)
				title = ""
			}
			line, _ := p.failCount(r, n, shownName(r))
			if r.Removed {
				line = shownName(r) + ": orphan"
			}
			p.item(2, line+":")
			for _, e := range list {
				p.item(3, p.operation(e))
			}
		}
	})
}

func (p *printer) operation(e *cib.HistoryOp) string {
	text := "(" + strconv.FormatInt(e.CallID, 10) + ") " + taskName(e)
	var more []string
	if e.Interval > 0 {
		more = append(more, "interval=\""+strconv.FormatInt(e.Interval, 10)+"ms\"")
	}
	if p.o.Timing {
		if e.LastRCChange > 0 {
			more = append(more, "last-rc-change=\""+p.localTime(e.LastRCChange)+"\"")
		}
		if e.ExecTime >= 0 {
			more = append(more, "exec-time=\""+strconv.FormatInt(e.ExecTime, 10)+"ms\"")
		}
		if e.QueueTime >= 0 {
			more = append(more, "queue-time=\""+strconv.FormatInt(e.QueueTime, 10)+"ms\"")
		}
		more = append(more, "rc="+strconv.Itoa(e.RC)+" ("+exitText(e.RC)+")")
	}
	if len(more) == 0 {
		return text
	}
	return text + ": " + strings.Join(more, " ")
}
