package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
)

// twoMembers is a state with the document that an XML text says and two members, of which n1 is online.
func twoMembers(t *testing.T, xml []byte) *command.State {
	t.Helper()
	doc, _, err := cibxml.Read(xml)
	if err != nil {
		t.Fatal(err)
	}
	s := command.New()
	s.ClusterID, s.Document = "x", doc
	s.Members = []command.Member{{Name: "n1", NodeID: 1, RaftID: 1, Incarnation: 1, Online: true}, {Name: "n2", NodeID: 2, RaftID: 2}}
	return s
}

// look lets a node look after itself if it is alone.
func look(m *Member, now time.Duration) {
	wall := time.Unix(100, 0)
	m.Tick(now, wall, true)
	if q := m.Question(); q != nil {
		q.Number = uint64(now)
		m.Decided(q.Answer(nil), wall)
	}
}

// A node that is alone and is asked to leave may go only when nothing runs on it any more: not while a stop has failed.
func TestMember_QuietOnlyWhenNothingRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rc   int
		want bool
	}{{"stopped", 0, true}, {"stop failed", 1, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := twoMembers(t, fmt.Appendf(nil, `<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="fencing-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="db" class="ocf" provider="t" type="x"/></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources>
<lrm_resource id="db" class="ocf" provider="t" type="x"><lrm_rsc_op id="db_last_0" operation_key="db_stop_0" operation="stop" interval="0"
 rc-code="%d" op-status="%d" call-id="2" transition-key="1:1:0:x" transition-magic="0:%d;1:1:0:x" last-rc-change="1"/></lrm_resource>
</lrm_resources></lrm></node_state></status></cib>`, c.rc, 4*c.rc, c.rc))
			m := NewMember(MemberConfig{Node: "n1", Incarnation: 1, QuorumTimeout: time.Second}, 0)
			m.Applied(s, true)
			for now := range time.Duration(5) {
				look(m, now*time.Second)
				for _, p := range m.Do() {
					m.Finished(p.ID, command.Result{RC: p.ExpectedRC})
				}
			}
			if got := m.Quiet(); got != c.want {
				t.Errorf("Quiet() = %v, want %v", got, c.want)
			}
		})
	}
}

// A process that was started anew and is alone may lack the last entries that an earlier process carried out: it
// looks for itself what runs on its node, whatever the history says, and stops it.
func TestMember_RestartedAloneProbes(t *testing.T) {
	t.Parallel()
	s := twoMembers(t, []byte(`<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="fencing-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="db" class="ocf" provider="t" type="x"/></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources>
<lrm_resource id="db" class="ocf" provider="t" type="x"><lrm_rsc_op id="db_last_0" operation_key="db_monitor_0" operation="monitor" interval="0"
 rc-code="7" op-status="0" call-id="2" transition-key="1:1:7:x" transition-magic="0:7;1:1:7:x" last-rc-change="1"/></lrm_resource>
</lrm_resources></lrm></node_state></status></cib>`))
	m := NewMember(MemberConfig{Node: "n1", Incarnation: 2, QuorumTimeout: time.Second}, 0)
	m.Applied(s, false)
	active := true
	var did []string
	for now := range time.Duration(6) {
		look(m, now*time.Second)
		for _, p := range m.Do() {
			did = append(did, p.Task)
			r := command.Result{RC: p.ExpectedRC}
			switch {
			case p.Task == "stop":
				active = false
			case p.Task == "monitor" && active:
				r.RC = 0
			}
			m.Finished(p.ID, r)
		}
	}
	if active || !m.Quiet() {
		t.Errorf("after %v: active = %v, Quiet() = %v, want it stopped", did, active, m.Quiet())
	}
}

// What runs on a node alone must stop although an order wants something stopped before that is on a node which is lost
// and which nobody can fence, and although another stop here has failed. With another policy than to stop, what others run still counts.
func TestMember_AloneDoesNotWaitForTheLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy string
		fails  string // the resource whose stop fails
		want   []string
	}{{"stop", "", []string{"stop app", "stop db"}}, {"freeze", "", nil}, {"stop", "app", []string{"stop app", "stop db"}}} {
		t.Run(c.policy+c.fails, func(t *testing.T) {
			t.Parallel()
			const running = `<lrm id="%s"><lrm_resources><lrm_resource id="%s" class="ocf" provider="t" type="x"><lrm_rsc_op id="%[2]s_last_0"
 operation_key="%[2]s_start_0" operation="start" interval="0" rc-code="0" op-status="0" call-id="2" transition-key="1:1:0:x"
 transition-magic="0:0;1:1:0:x" last-rc-change="1" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/></lrm_resource></lrm_resources></lrm>`
			_, other, _ := strings.Cut(fmt.Sprintf(running, "1", "app"), "<lrm_resources>")
			other, _, _ = strings.Cut(other, "</lrm_resources>")
			s := twoMembers(t, fmt.Appendf(nil, `<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="no-quorum-policy" value="%s"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="power" class="stonith" type="x"/><primitive id="db" class="ocf" provider="t" type="x"/><primitive id="web" class="ocf" provider="t" type="x"/><primitive id="app" class="ocf" provider="t" type="x"/></resources>
<constraints><rsc_order id="ord" first="db" then="web"/></constraints></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member">%s</node_state>
<node_state id="2" uname="n2" in_ccm="false" crmd="offline" join="member" expected="member">%s</node_state></status></cib>`,
				c.policy, strings.Replace(fmt.Sprintf(running, "1", "db"), "</lrm_resources>", other+"</lrm_resources>", 1), fmt.Sprintf(running, "2", "web")))
			m := NewMember(MemberConfig{Node: "n1", Incarnation: 1, QuorumTimeout: time.Second}, 0)
			m.Applied(s, true)
			var did []string
			for now := range time.Duration(6) {
				look(m, now*time.Second)
				for _, p := range m.Do() {
					if p.Task != "monitor" {
						if text := p.Task + " " + p.Resource; !slices.Contains(did, text) {
							did = append(did, text)
						}
					}
					r := command.Result{RC: p.ExpectedRC}
					if p.Task == "stop" && p.Resource == c.fails {
						r = command.Result{RC: 1}
					}
					m.Finished(p.ID, r)
				}
			}
			if slices.Sort(did); !slices.Equal(did, c.want) || c.fails != "" && m.Quiet() {
				t.Errorf("did %q, want %q", did, c.want)
			}
		})
	}
}

// A node that has stopped something while it was alone is handed an action by a leader that does not know it yet: it does not
// begin it, so that nothing is promoted, or relied on, that does not run any more.
func TestMember_OwnStopsFirst(t *testing.T) {
	t.Parallel()
	s := twoMembers(t, []byte(`<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="fencing-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="db" class="ocf" provider="t" type="x"/></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources>
<lrm_resource id="db" class="ocf" provider="t" type="x"><lrm_rsc_op id="db_last_0" operation_key="db_start_0" operation="start" interval="0"
 rc-code="0" op-status="0" call-id="2" transition-key="1:1:0:x" transition-magic="0:0;1:1:0:x" last-rc-change="1"/></lrm_resource>
</lrm_resources></lrm></node_state></status></cib>`))
	m := NewMember(MemberConfig{Node: "n1", Incarnation: 1, QuorumTimeout: time.Second}, 0)
	m.Applied(s, true)
	look(m, 2*time.Second)
	own := m.Do()
	if len(own) != 1 || own[0].Task != "stop" {
		t.Fatalf("alone it does %v, want the stop", own)
	}
	// give hands an action to the node and tells what it begins.
	number := 0
	give := func(task string) []command.Pending {
		number++
		n := *s
		n.Pending = []command.Pending{{ID: command.ActionID{Term: 1, Transition: 1, Action: number}, Index: uint64(10 + number), Node: "n1", Incarnation: 1, Task: task, Resource: "db"}}
		m.Applied(&n, true)
		return m.Do()
	}
	m.LeaderHeard(3 * time.Second)
	if got := give("monitor"); len(got) > 0 {
		t.Errorf("while it stops, it begins %v", got)
	}
	m.Finished(own[0].ID, command.Result{})
	if got := give("promote"); len(got) > 0 {
		t.Errorf("before its stop is told, it begins %v", got)
	}
	results := m.Results()
	data, err := (&command.Entry{Kind: command.KindResults, Results: results}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(results); n == 0 || results[n-1].Status != command.StatusCancelled {
		t.Errorf("results %+v, want the promotion as cancelled at the end", results)
	}
	s, _ = command.Apply(s, 2, 1, data)
	if got := give("start"); len(got) != 1 {
		t.Errorf("after its stop is told, it begins %v, want the start", got)
	}
}
