package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
)

// handDocument has resources that the cluster leaves alone (m, in and a), and some that it does not. m runs on n1.
func handDocument(properties, extra string, n1, n2 string) string {
	text := hostile(`<primitive id="m" class="ocf" provider="heartbeat" type="Dummy"><meta_attributes id="mm"><nvpair id="mm1" name="is-managed" value="false"/></meta_attributes>
<instance_attributes id="mi"><nvpair id="mi1" name="size" value="5"/></instance_attributes>
<operations><op id="ms" name="start" interval="0" timeout="33s"/><op id="mo" name="monitor" interval="10s" timeout="7s"/></operations></primitive>`+
		fmt.Sprintf(dummy, "in", `<meta_attributes id="im"><nvpair id="im1" name="maintenance" value="true"/></meta_attributes>`)+
		fmt.Sprintf(dummy, "managed", `<meta_attributes id="gm"><nvpair id="gm1" name="is-managed" value="default"/></meta_attributes>`)+
		`<group id="g"><meta_attributes id="gmm"><nvpair id="gmm1" name="is-managed" value="false"/></meta_attributes>`+fmt.Sprintf(dummy, "a", "")+`</group>`+
		`<clone id="c"><meta_attributes id="cm"><nvpair id="cm1" name="is-managed" value="false"/><nvpair id="cm2" name="promotable" value="true"/></meta_attributes>`+fmt.Sprintf(dummy, "db", "")+`</clone>`+
		`<bundle id="b"><docker image="i" replicas="1"/></bundle></resources><constraints>`+extra+`</constraints>`,
		nodeState("1", "n1", goodNode, n1)+nodeState("2", "n2", n2state(n2), strings.TrimPrefix(n2, lostNode)))
	return strings.Replace(text, "<crm_config/>", `<crm_config><cluster_property_set id="o">`+properties+`</cluster_property_set></crm_config>`, 1)
}

func n2state(history string) string {
	if strings.HasPrefix(history, lostNode) {
		return lostNode
	}
	return goodNode
}

func probed(id string, call, rc int) string {
	return fmt.Sprintf(`<lrm_resource id="%s" class="ocf" provider="heartbeat" type="Dummy"><lrm_rsc_op id="%[1]s_last_0" operation_key="%[1]s_monitor_0" operation="monitor" transition-key="1:1:7:u" transition-magic="0:%[3]d;1:1:7:u" call-id="%[2]d" rc-code="%[3]d" op-status="0" interval="0" last-rc-change="1700000000"/></lrm_resource>`, id, call, rc)
}

func TestHand(t *testing.T) {
	t.Parallel()
	n1 := started("m", "heartbeat:Dummy", 1) + probed("in", 2, 7) + probed("a", 3, 7) + probed("db", 4, 8)
	n2 := probed("m", 1, 7) + probed("in", 2, 7) + probed("a", 3, 7) + probed("db", 4, 0)
	const never = `<rsc_location id="k" rsc="m" node="n2" score="-INFINITY" resource-discovery="never"/>`
	property := func(name, value string) string {
		return fmt.Sprintf(`<nvpair id="o1" name="%s" value="%s"/>`, name, value)
	}
	for _, test := range []struct {
		name, resource, op, node            string
		property, extra, history1, history2 string // "" = as above
		want                                string // in the error; "" = allowed
		passing                             bool
	}{
		{name: "start where it runs", resource: "m", op: "start", node: "n1"},
		{name: "stop where it runs", resource: "m", op: "stop", node: "n1"},
		{name: "stop where it does not run", resource: "m", op: "stop", node: "n2"},
		{name: "look", resource: "m", op: "monitor", node: "n2"},
		{name: "second start", resource: "m", op: "start", node: "n2", want: "m is active on n1: it must not be started a second time"},
		{name: "start of what is stopped everywhere", resource: "in", op: "start", node: "n2"},
		{name: "member of a group", resource: "a", op: "start", node: "n2"},
		{name: "other node not probed yet", resource: "in", op: "start", node: "n1", history2: probed("m", 1, 7), want: "not known yet whether in is active on n2", passing: true},
		{name: "other node may run it", resource: "in", op: "start", node: "n1", history2: lostNode + probed("in", 1, 7), want: "what runs on n2 is not known until it is fenced"},
		{name: "other node is never looked at", resource: "m", op: "start", node: "n1", extra: never, history2: probed("in", 1, 7)},
		{name: "node that is never looked at", resource: "m", op: "start", node: "n2", extra: never, history1: probed("m", 1, 7), want: "does not look for m on n2"},
		{name: "no probes", resource: "in", op: "start", node: "n1", property: property("enable-startup-probes", "false"), want: "does not look for in on n1"},
		{name: "lost node", resource: "in", op: "stop", node: "n2", history2: lostNode, want: "n2 is not online"},
		{name: "no such node", resource: "m", op: "stop", node: "n9", want: `no node is called "n9"`},
		{name: "managed", resource: "managed", op: "monitor", node: "n1", want: "managed is managed by the cluster"},
		{name: "managed, and the cluster in maintenance", resource: "managed", op: "monitor", node: "n1", property: property("maintenance-mode", "true")},
		{name: "no such resource", resource: "x", op: "stop", node: "n1", want: `no resource "x"`},
		{name: "group", resource: "g", op: "stop", node: "n1", want: "name a primitive in it (a)"},
		{name: "clone", resource: "c", op: "stop", node: "n1", want: "name a primitive in it (db)"},
		{name: "part of a bundle", resource: "b-docker-0", op: "stop", node: "n1", property: property("maintenance-mode", "true"), want: "part of a bundle"},
		{name: "fence device", resource: "fence", op: "start", node: "n1", property: property("maintenance-mode", "true"), want: "fence is a fence device"},
		{name: "fence device that is asked", resource: "fence", op: "monitor", node: "n1", property: property("maintenance-mode", "true")},
		{name: "operation of transitions", resource: "m", op: "migrate_to", node: "n1", want: `"migrate_to" cannot be run by hand: start, stop,`},
		{name: "no operation", resource: "m", op: "", node: "n1", want: "cannot be run by hand"},
		{name: "reload where it does not run", resource: "m", op: "reload", node: "n2", want: "m is not active on n2"},
		{name: "reload where it runs", resource: "m", op: "reload", node: "n1"},
		{name: "promote what cannot be", resource: "m", op: "promote", node: "n1", want: "m is not promotable"},
		{name: "second promotion", resource: "db", op: "promote", node: "n2", want: "db is promoted on n1 already, and promoted-max is 1"},
		{name: "demote", resource: "db", op: "demote", node: "n1"},
		{name: "one instance of a clone", resource: "db", op: "start", node: "n2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h1, h2 := n1, n2
			if test.history1 != "" {
				h1 = test.history1
			}
			if test.history2 != "" {
				h2 = test.history2
			}
			doc, _, err := cibxml.Read([]byte(handDocument(test.property, test.extra, h1, h2)))
			if err != nil {
				t.Fatal(err)
			}
			in := policy.Input{Document: doc, Now: time.Unix(1700000100, 0), Quorate: true}
			a, err := policy.Hand(in, policy.HandRequest{Resource: test.resource, Operation: test.op, Node: test.node})
			var hand *policy.HandError
			switch {
			case test.want != "":
				if !errors.As(err, &hand) || !strings.Contains(hand.Message, test.want) || hand.Passing != test.passing {
					t.Errorf("Hand() = %v, want %q, passing %v", err, test.want, test.passing)
				}
			case err != nil:
				t.Errorf("Hand() = %v, want it allowed", err)
			case a.Task != test.op || a.Node != test.node:
				t.Errorf("Hand() = %s on %s, want %s on %s", a.Task, a.Node, test.op, test.node)
			}
		})
	}
}

// TestHand_AsTheClusterWould compares the start of a resource by hand with that of a transition: the executor must not be able to
// tell them apart.
func TestHand_AsTheClusterWould(t *testing.T) {
	t.Parallel()
	text := handDocument("", "", probed("m", 1, 7), probed("m", 1, 7))
	read := func(text string) policy.Input {
		doc, _, err := cibxml.Read([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return policy.Input{Document: doc, Now: time.Unix(1700000100, 0), Quorate: true}
	}
	hand, err := policy.Hand(read(text), policy.HandRequest{Resource: "m", Operation: "start", Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	managed := strings.Replace(text, `<nvpair id="mm1" name="is-managed" value="false"/>`, "", 1)
	managed = strings.Replace(managed, "<constraints>", `<constraints><rsc_location id="k" rsc="m" node="n1" score="100"/>`, 1)
	managed = strings.Replace(managed, `<cluster_property_set id="o">`, `<cluster_property_set id="o"><nvpair id="o9" name="stonith-enabled" value="false"/>`, 1)
	d, err := policy.Decide(read(managed))
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Graph.Synapses {
		a := &d.Graph.Synapses[i].Action
		if a.Resource == nil || a.Resource.ID != "m" || a.Task != "start" {
			continue
		}
		if fmt.Sprint(*a.Resource) != fmt.Sprint(*hand.Resource) || fmt.Sprint(a.Attributes) != fmt.Sprint(hand.Attributes) || a.Node != hand.Node || a.Key != hand.Key {
			t.Errorf("by hand: %s %v %v on %s\nby the cluster: %s %v %v on %s", hand.Key, *hand.Resource, hand.Attributes, hand.Node, a.Key, *a.Resource, a.Attributes, a.Node)
		}
		return
	}
	t.Error("the cluster does not start m")
}

// TestHand_Edited runs what is not committed.
func TestHand_Edited(t *testing.T) {
	t.Parallel()
	text := handDocument("", "", started("m", "heartbeat:Dummy", 1), probed("m", 1, 7))
	doc, _, err := cibxml.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, fresh string) policy.HandRequest {
		edited, _, err := cibxml.Read([]byte(strings.Replace(text, old, fresh, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return policy.HandRequest{Operation: "start", Node: "n1", Edited: &edited.Config}
	}
	in := policy.Input{Document: doc, Now: time.Unix(1700000100, 0), Quorate: true}

	req := edit(`name="size" value="5"`, `name="size" value="6"`)
	req.Resource = "m"
	if a, err := policy.Hand(in, req); err != nil {
		t.Errorf("Hand() = %v, want it allowed", err)
	} else if size, _ := a.Attr("size"); size != "6" {
		t.Errorf("size = %q, want that of the edited configuration", size)
	}
	req.Node = "n2"
	if _, err := policy.Hand(in, req); err == nil || !strings.Contains(err.Error(), "active on n1") {
		t.Errorf("Hand() = %v, want a second start refused", err)
	}
	req = edit(`id="in"`, `id="new"`)
	req.Resource = "new"
	if _, err := policy.Hand(in, req); err != nil {
		t.Errorf("Hand() = %v, want what the cluster does not know allowed", err)
	}
	// Who edits the configuration does not take a resource from the cluster by that.
	req = edit(`name="is-managed" value="default"`, `name="is-managed" value="false"`)
	req.Resource = "managed"
	if _, err := policy.Hand(in, req); err == nil || !strings.Contains(err.Error(), "managed by the cluster") {
		t.Errorf("Hand() = %v, want it refused", err)
	}
	req = edit(`uname="n2"`, `uname="n3"`)
	req.Resource, req.Node, req.Operation = "in", "n2", "stop"
	if _, err := policy.Hand(in, req); err == nil {
		t.Error("Hand() on a node that the edited configuration does not have is allowed")
	}
}
