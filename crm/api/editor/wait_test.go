package editor

import (
	"testing"

	"github.com/quorate/quorate/crm/store/command"
)

func TestDescribeBusy(t *testing.T) {
	t.Parallel()
	members := []command.Member{{Name: "a", Online: true}, {Name: "b"}, {Name: "c"}}
	failed := []command.FencingRecord{{Target: "b", Detail: "d reboot: no answer", Index: 3}, {Target: "c", OK: true, Index: 3}}
	for _, c := range []struct {
		name  string
		state command.State
		want  string
	}{
		{"nothing", command.State{Members: members}, "the leader has more to do"},
		{"operations", command.State{Members: members, Pending: []command.Pending{{Task: "start", Resource: "web", Node: "a"}, {Task: "stonith", Target: "b", Node: "a"}}},
			"still under way: start web on a, stonith b on a"},
		{"a fencing that fails", command.State{Members: members, Fencing: failed}, "still under way: fencing of b has failed and is tried again (d reboot: no answer)"},
	} {
		if got := describeBusy(&c.state); got != c.want {
			t.Errorf("%s: describeBusy() = %q, want %q", c.name, got, c.want)
		}
	}
}
