package shell

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
)

func TestLinkTroubles(t *testing.T) {
	t.Parallel()
	// local is the view of a with all of a, b and c hearing each other on lan and bak, but for what is cut ("a b/lan").
	local := func(cut ...string) *api.Local {
		l := &api.Local{Node: "a"}
		nodes := []string{"a", "b", "c"}
		for _, n := range nodes {
			row := api.Row{Node: n, Hears: []string{}}
			for _, o := range nodes {
				for _, k := range []string{"lan", "bak"} {
					if o != n && !slices.Contains(cut, n+" "+o+"/"+k) {
						row.Hears = append(row.Hears, o+"/"+k)
					}
				}
			}
			l.Matrix = append(l.Matrix, row)
			if n != "a" {
				l.Peers = append(l.Peers, api.Peer{Node: n, State: "reachable", Links: []api.PeerLink{{Link: "lan", State: "up"}, {Link: "bak", State: "up"}}})
			}
		}
		return l
	}
	lost := local("a b/lan", "c b/lan", "a b/bak", "c b/bak")
	lost.Peers[0].State = "lost"
	degraded := local()
	degraded.Peers[1].Links[0] = api.PeerLink{Link: "lan", State: "degraded", Loss: 0.4, Latency: 3 * time.Millisecond}
	for _, c := range []struct {
		name string
		l    *api.Local
		want string
	}{
		{"all well", local(), ""},
		{"no view", nil, ""},
		{"one node off the link", local("a b/lan", "b a/lan", "b c/lan", "c b/lan"), "Link lan is dead on b"},
		{"between others", local("b c/bak", "c b/bak"), "Link bak is dead between b and c"},
		{"one way", local("b a/lan"), "Link lan works one way only: b does not hear a"},
		{"a lost node is no link trouble", lost, ""},
		{"degraded", degraded, "Link lan between a and c is degraded: 40 % loss, latency 3ms"},
	} {
		if got := strings.Join(linkTroubles(c.l), "\n"); got != c.want {
			t.Errorf("%s: linkTroubles() = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFencingTroubles(t *testing.T) {
	t.Parallel()
	at := func(s int64) int64 { return time.Date(2026, 1, 1, 12, 0, int(s), 0, time.Local).UnixMilli() }
	s := &command.State{Revision: 5, Fencing: []command.FencingRecord{
		{Target: "b", By: "c", Op: "reboot", Detail: "d1 reboot: old", Ended: at(1), Index: 4},
		{Target: "b", By: "a", Op: "reboot", Detail: "d1 reboot: no answer", Ended: at(2), Index: 6},
		{Target: "b", By: "c", Op: "reboot", Detail: "d1 reboot: refused", Ended: at(3), Index: 7},
		{Target: "c", By: "a", Op: "reboot", Detail: "d1 reboot: refused", Ended: at(3), Index: 8},
	}, Pending: []command.Pending{{Task: "stonith", FenceOp: "off", Target: "b", Node: "a", Since: at(4) / 1000}, {Task: "stonith", FenceOp: "on", Target: "c"}}}
	c := &model.Cluster{Nodes: []*model.Node{{Name: "a", Online: true}, {Name: "b", Unclean: true}, {Name: "c", Online: true}}}
	want := []string{
		"Fencing of b is under way (off by a since 12:00:04)",
		"Fencing of b has FAILED 2 times, last at 12:00:03 by c: d1 reboot: refused",
		"What ran on b starts nowhere else until it is fenced, which is tried again and again. Is b off for certain? Then: crm node clearstate b",
	}
	if got := fencingTroubles(s, c); !slices.Equal(got, want) {
		t.Errorf("fencingTroubles() = %q, want %q", got, want)
	}
}
