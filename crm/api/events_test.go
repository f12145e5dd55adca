package api_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// TestDiff changes one thing after the other and reads what the difference tells.
func TestDiff(t *testing.T) {
	t.Parallel()
	op := func(call int64, rc int) cib.HistoryOp {
		return cib.HistoryOp{ID: "web_last_0", Operation: "monitor", Interval: 10000, CallID: call, RC: rc, ExitReason: map[bool]string{true: "gone"}[rc != 0], LastRCChange: call}
	}
	failure := op(6, 7)
	failure.ID = "web_last_failure_0"
	pending := command.Pending{ID: command.ActionID{Term: 2, Transition: 9, Action: 1}, Node: "beta", Task: "start", Resource: "web"}
	first := command.Pending{ID: command.ActionID{Term: 2, Transition: 9, Action: 2}, Node: "beta", Task: "stonith", Target: "alpha", FenceOp: "reboot"}
	state := func(index uint64, change func(s *command.State)) *command.State {
		s := &command.State{Index: index, Members: []command.Member{{Name: "alpha", Online: true}, {Name: "beta", Online: true}},
			Document: &cib.Document{Status: cib.Status{Nodes: []cib.NodeState{{ID: "1", Name: "alpha", History: []cib.ResourceHistory{{ID: "web", Operations: []cib.HistoryOp{op(5, 0)}}}}}}}}
		if change != nil {
			change(s)
		}
		return s
	}
	record := command.FencingRecord{Target: "alpha", Op: "reboot", By: "beta", OK: true, Ended: 5}
	for _, tt := range []struct {
		name          string
		before, after func(s *command.State)
		want          string
	}{
		{"nothing", nil, nil, ""},
		{"offline", nil, func(s *command.State) { s.Members[0].Online = false }, "node: node alpha offline"},
		{"online", func(s *command.State) { s.Members[0].Online = false }, nil, "node: node alpha online"},
		{"removed", nil, func(s *command.State) { s.Members[1].Removed = true }, "node: node beta removed"},
		{"added", nil, func(s *command.State) { s.Members = append(s.Members, command.Member{Name: "gamma"}) }, "node: node gamma added"},
		{"handed out", func(s *command.State) { s.Pending = []command.Pending{pending} }, func(s *command.State) { s.Pending = []command.Pending{pending, first} },
			"action: stonith of alpha begins on beta (decision 2.9)"},
		{"result", nil, func(s *command.State) {
			s.Document.Status.Nodes[0].History[0].Operations = []cib.HistoryOp{op(5, 0), failure, op(6, 7)}
		}, "operation: monitor of web on alpha: rc=7 (gone)"},
		{"first result", func(s *command.State) { s.Document.Status.Nodes = nil }, nil, "operation: monitor of web on alpha: rc=0"},
		{"fencing", nil, func(s *command.State) { s.Fencing = []command.FencingRecord{record} }, "fencing: reboot of alpha by beta"},
		{"another fencing", func(s *command.State) { s.Fencing = []command.FencingRecord{record} }, func(s *command.State) {
			s.Fencing = []command.FencingRecord{record, {Target: "alpha", Op: "off", Detail: "no device", Ended: 6}}
		}, "fencing: off of alpha failed: no device"},
		{"configuration", func(s *command.State) { s.Changes = []*command.ChangeRecord{{Index: 1}} }, func(s *command.State) {
			s.Changes = []*command.ChangeRecord{{Index: 1}, {Index: 2, Actor: "root", Objects: []string{"resource web"}, Message: "why"}}
		}, "config: root changed resource web why"},
		{"ticket", nil, func(s *command.State) { s.Document.Status.Tickets = []cib.TicketState{{ID: "t", Granted: "true"}} }, "ticket: ticket t granted"},
		{"ticket in standby", func(s *command.State) { s.Document.Status.Tickets = []cib.TicketState{{ID: "t", Granted: "true"}} }, func(s *command.State) {
			s.Document.Status.Tickets = []cib.TicketState{{ID: "t", Granted: "true", Standby: "true"}}
		}, "ticket: ticket t granted, in standby"},
	} {
		var got []string
		for _, e := range api.Diff(state(1, tt.before), state(2, tt.after)) {
			if e.Index != 2 {
				t.Errorf("%s: index %d", tt.name, e.Index)
			}
			got = append(got, e.Kind+": "+e.Text)
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}
