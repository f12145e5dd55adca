package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
)

const dummy = `<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy">%s</primitive>`

// contained is a primitive that says to run in a container.
func contained(id, container string) string {
	return fmt.Sprintf(dummy, id, fmt.Sprintf(`<meta_attributes id="%s-m"><nvpair id="%[1]s-c" name="container" value="%s"/></meta_attributes>`, id, container))
}

// guest is a primitive that runs a guest node.
func guest(id, node string) string {
	return fmt.Sprintf(dummy, id, fmt.Sprintf(`<meta_attributes id="%s-m"><nvpair id="%[1]s-g" name="remote-node" value="%s"/></meta_attributes>`, id, node))
}

// started is the history of one resource that runs.
func started(id, agent string, call int) string {
	return fmt.Sprintf(`<lrm_resource id="%s" class="ocf" provider="%s"><lrm_rsc_op id="%[1]s_last_0" operation_key="%[1]s_start_0" operation="start" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u" call-id="%[3]d" rc-code="0" op-status="0" interval="0" last-rc-change="1700000000"/></lrm_resource>`,
		id, strings.Replace(agent, ":", `" type="`, 1), call)
}

func nodeState(id, name, state, history string) string {
	return fmt.Sprintf(`<node_state id="%s" uname="%s" %s><lrm id="%[1]s"><lrm_resources>%[4]s</lrm_resources></lrm></node_state>`, id, name, state, history)
}

func hostile(config, status string) string {
	return `<cib validate-with="pacemaker-3.10" crm_feature_set="3.19.0" have-quorum="1" dc-uuid="1"><configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources><primitive id="fence" class="stonith" type="fence_dummy"/>` +
		config + `</configuration><status>` + status + `</status></cib>`
}

const lostNode = `in_ccm="false" crmd="offline" join="member" expected="member"`
const goodNode = `in_ccm="true" crmd="online" join="member" expected="member"`

// TestDecide_HostileDocuments feeds documents that contradict themselves. Each must be decided on or refused with
// an error, in little memory. Not parallel: what others allocate would count.
func TestDecide_HostileDocuments(t *testing.T) {
	deep := strings.Repeat(`<rule id="r" score="1"><expression id="e" attribute="a" operation="defined"/>`, 10000)
	flood := func(n int, entry func(i int) string) string {
		var b strings.Builder
		b.WriteString(`<lrm_resource id="p" class="ocf" provider="heartbeat" type="Dummy">`)
		for i := range n {
			b.WriteString(entry(i))
		}
		return b.String() + `</lrm_resource>`
	}
	for _, tc := range []struct{ name, config, status string }{
		{"containers in a circle", contained("a", "b") + contained("b", "c") + contained("c", "b") + contained("d", "d") + `</resources><constraints/>`,
			nodeState("1", "n1", goodNode, started("a", "heartbeat:Dummy", 1))},
		{"guests in each other", guest("a", "ga") + guest("b", "gb") + `</resources><constraints/>`,
			nodeState("1", "n1", lostNode, started("ga", "pacemaker:remote", 1)+started("gb", "pacemaker:remote", 2)+started("a", "heartbeat:Dummy", 3)+started("b", "heartbeat:Dummy", 4)) +
				nodeState("ga", "ga", `remote_node="true"`, started("b", "heartbeat:Dummy", 1)+started("a", "heartbeat:Dummy", 2)) +
				nodeState("gb", "gb", `remote_node="true"`, started("a", "heartbeat:Dummy", 1))},
		{"orders in a circle", fmt.Sprintf(dummy, "a", "") + fmt.Sprintf(dummy, "b", "") + `</resources><constraints><rsc_order id="k1" first="a" then="b"/><rsc_order id="k2" first="b" then="a"/><rsc_order id="k3" first="a" then="a"/></constraints>`, ""},
		{"colocations in a circle", fmt.Sprintf(dummy, "a", "") + fmt.Sprintf(dummy, "b", "") + `</resources><constraints><rsc_colocation id="k1" rsc="a" with-rsc="b" score="INFINITY"/><rsc_colocation id="k2" rsc="b" with-rsc="a" score="-INFINITY"/><rsc_colocation id="k3" rsc="a" with-rsc="a" score="5"/></constraints>`, ""},
		{"ids of two things", fmt.Sprintf(dummy, "n1", "") + fmt.Sprintf(dummy, "a", "") + fmt.Sprintf(dummy, "a", "") + `<group id="a">` + fmt.Sprintf(dummy, "a", "") + `</group><clone id="c">` + fmt.Sprintf(dummy, "a:0", "") + `</clone><bundle id="b"><docker image="i" replicas="2"/><network ip-range-start="10.0.0.1"/>` + fmt.Sprintf(dummy, "b-0", "") + `</bundle>` + guest("g", "n1") + guest("h", "h") + `</resources><constraints/>`,
			nodeState("1", "n1", goodNode, started("a:0", "heartbeat:Dummy", 1)) + nodeState("1", "n1", lostNode, "")},
		{"numbers out of range", fmt.Sprintf(dummy, "a", `<meta_attributes id="m"><nvpair id="m1" name="priority" value="99999999999999999999"/><nvpair id="m2" name="migration-threshold" value="-9223372036854775809"/><nvpair id="m3" name="failure-timeout" value="P99999999999Y"/></meta_attributes><operations><op id="o" name="monitor" interval="99999999999999h" timeout="-1"/></operations>`) +
			`<clone id="c"><meta_attributes id="cm"><nvpair id="c1" name="clone-max" value="2147483647"/><nvpair id="c2" name="clone-node-max" value="2147483647"/><nvpair id="c3" name="promotable" value="true"/><nvpair id="c4" name="promoted-max" value="-5"/></meta_attributes>` + fmt.Sprintf(dummy, "b", "") + `</clone>` +
			`<bundle id="x"><docker image="i" replicas="2147483647" replicas-per-host="2147483647"/><network ip-range-start="999.1.1.1"/></bundle></resources><constraints><rsc_location id="k" rsc="a" node="n1" score="999999999999999999999999"/></constraints>`, ""},
		{"dates in year 0", fmt.Sprintf(dummy, "a", "") + `</resources><constraints><rsc_location id="k" rsc="a"><rule id="r" score="1"><date_expression id="d1" operation="in_range" start="0000-01-01" end="0000-00-00"/><date_expression id="d2" operation="gt" start="-0001-13-99T99:99:99Z"/><date_expression id="d3" operation="in_range" start="9999-12-31"><duration id="du" years="999999999" months="999999999"/></date_expression><date_expression id="d4" operation="date_spec"><date_spec id="ds" years="9999999999999-" weeks="--" weekdays="0-99999"/></date_expression></rule></rsc_location></constraints>`, ""},
		{"rules 10,000 deep", fmt.Sprintf(dummy, "a", "") + `</resources><constraints><rsc_location id="k" rsc="a">` + deep + strings.Repeat(`</rule>`, 10000) + `</rsc_location></constraints>`, ""},
		{"a history of 100,000 entries", fmt.Sprintf(dummy, "p", "") + `</resources><constraints/>`,
			nodeState("1", "n1", goodNode, flood(100000, func(i int) string {
				return fmt.Sprintf(`<lrm_rsc_op id="p_monitor_%d" operation_key="p_monitor_%[1]d" operation="monitor" call-id="%[1]d" rc-code="%d" op-status="%d" interval="%[1]d" last-rc-change="%[1]d" transition-key="1:1:0:u"/>`, i, i%10, i%5)
			}))},
		{"20,000 resources that are no more", "</resources><constraints/>", nodeState("1", "n1", goodNode, func() string {
			var b strings.Builder
			for i := range 20000 {
				b.WriteString(started(fmt.Sprint("gone", i), "heartbeat:Dummy", i))
			}
			return b.String()
		}())},
		{"migrations that never end", fmt.Sprintf(dummy, "p", "") + `</resources><constraints/>`,
			nodeState("1", "n1", goodNode, flood(2000, func(i int) string {
				return fmt.Sprintf(`<lrm_rsc_op id="p_migrate_%d" operation_key="p_migrate_to_0" operation="migrate_to" call-id="%[1]d" rc-code="0" op-status="0" interval="0" migrate_source="n1" migrate_target="n%d" transition-key="1:1:0:u"/>`, i, 1+i%3)
			}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := hostile(tc.config, tc.status)
			doc, _, err := cibxml.Read([]byte(text))
			if err != nil {
				t.Log("refused when read:", err)
				return
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d, err := policy.Decide(policy.Input{Document: doc, Now: documentTime, Quorate: true})
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Log("refused:", err)
				return
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20+20*uint64(len(text)) {
				t.Errorf("the decision on %d bytes allocated %d", len(text), used)
			}
			t.Logf("%d messages, %d actions", len(d.Messages), len(d.Cluster.Actions))
		})
	}
}

// TestDecide_MillionEntries decides on a history that no cluster writes: the newest entries count, and what the decision
// needs beside the document does not grow with it. Not parallel: what others allocate would count.
func TestDecide_MillionEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some hundred MiB; not with -short")
	}
	doc, _, err := cibxml.Read([]byte(hostile(fmt.Sprintf(dummy, "p", "")+`</resources><constraints/>`,
		nodeState("1", "n1", goodNode, started("p", "heartbeat:Dummy", 1)))))
	if err != nil {
		t.Fatal(err)
	}
	const entries = 1 << 20
	h := &doc.Status.Nodes[0].History[0]
	first := h.Operations[0]
	h.Operations = make([]cib.HistoryOp, entries)
	for i := range h.Operations {
		op := first
		op.ID, op.Key, op.Operation = fmt.Sprint("p_monitor_", i), fmt.Sprint("p_monitor_", i), "monitor"
		op.Interval, op.CallID, op.RC = int64(i), int64(i), 7
		h.Operations[i] = op
	}
	last := &h.Operations[entries/2] // the newest by its call, wherever it stands
	last.ID, last.Key, last.Operation, last.Interval, last.CallID, last.RC = "p_last_0", "p_start_0", "start", 0, entries, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := policy.Decide(policy.Input{Document: doc, Now: documentTime, Quorate: true})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("the decision on %d entries allocated %d bytes", entries, used)
	}
	if at := d.Cluster.Resource("p").Active; len(at) != 1 || at[0].Name != "n1" {
		t.Errorf("p is active on %v, want n1, where its newest entry says that it was started", at)
	}
}
