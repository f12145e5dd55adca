package status

import (
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Describe fills in who changed the configuration of a live cluster last, which the summary shows. doc is what
// command.PolicyDocument made of s, and is changed.
func Describe(doc *cib.Document, s *command.State) {
	if len(s.Changes) == 0 {
		return
	}
	last := s.Changes[len(s.Changes)-1]
	doc.Head.LastWritten = time.UnixMilli(last.Time).Format("Mon Jan _2 15:04:05 2006")
	doc.Head.UpdateUser, doc.Head.UpdateClient, doc.Head.UpdateOrigin = last.Actor, last.Message, last.Origin
}

// FencingEvents lists the fencings of a live cluster that are under way or over, newest first.
func FencingEvents(s *command.State) (list []FencingEvent) {
	for i := range s.Pending {
		if p := &s.Pending[i]; p.Task == "stonith" {
			list = append(list, FencingEvent{Target: p.Target, Action: p.FenceOp, State: FencingPending, By: p.Node,
				Client: "quorated", Origin: p.Node})
		}
	}
	for _, r := range slices.Backward(s.Fencing) {
		e := FencingEvent{Target: r.Target, Action: r.Op, State: FencingFailed, By: r.By, Client: "quorated", Origin: r.By,
			Completed: time.UnixMilli(r.Ended)}
		if r.OK {
			e.State = FencingDone
		} else {
			e.Detail = r.Detail
		}
		if r.Actor != "" {
			e.Client = r.Actor
		}
		list = append(list, e)
	}
	return list
}
