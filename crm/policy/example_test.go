package policy_test

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

// exampleCIB is a cluster of two nodes on which nothing runs yet.
const exampleCIB = `<cib have-quorum="1">
  <configuration>
    <crm_config><cluster_property_set id="options"><nvpair id="f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
    <nodes><node id="1" uname="alpha"/><node id="2" uname="beta"/></nodes>
    <resources>
      <primitive id="db" class="ocf" provider="heartbeat" type="pgsql"/>
      <primitive id="web" class="ocf" provider="heartbeat" type="apache"/>
    </resources>
    <constraints>
      <rsc_location id="db-likes-beta" rsc="db" node="beta" score="100"/>
      <rsc_colocation id="web-with-db" rsc="web" with-rsc="db" score="INFINITY"/>
      <rsc_order id="db-then-web" first="db" then="web"/>
    </constraints>
  </configuration>
  <status>
    <node_state id="1" uname="alpha" in_ccm="true" crmd="online" join="member" expected="member"/>
    <node_state id="2" uname="beta" in_ccm="true" crmd="online" join="member" expected="member"/>
  </status>
</cib>`

// A decision says what will change, in words and as a graph of actions.
func ExampleDecide() {
	doc, _, err := cibxml.Read([]byte(exampleCIB))
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := policy.Decide(policy.Input{Document: doc, Now: time.Unix(1700000000, 0), Quorate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range d.Summary() {
		fmt.Println(change)
	}
	fmt.Println(len(d.Graph.Synapses), "actions")
	// Output:
	// Start db ( beta )
	// Start web ( beta )
	// 6 actions
}

// With reasons traced, package explain says why.
func ExampleDecide_reasons() {
	doc, _, err := cibxml.Read([]byte(exampleCIB))
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := policy.Decide(policy.Input{Document: doc, Now: time.Unix(1700000000, 0), Quorate: true, Trace: model.Trace{Reasons: true}})
	if err != nil {
		fmt.Println(err)
		return
	}
	answers, err := explain.Explain(d.Cluster, "web", "alpha")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sentence := range answers[0].Why {
		fmt.Println(sentence)
	}
	// Output:
	// web is wanted on beta as Started: its score is 0, nothing speaks for or against it there.
	// Not alpha: -INFINITY colocation web-with-db with db, which is on beta.
}

// A what-if changes the input and decides again; a simulated execution shows where it ends.
func ExampleDecide_whatIf() {
	doc, _, err := cibxml.Read([]byte(exampleCIB))
	if err != nil {
		fmt.Println(err)
		return
	}
	in := policy.Input{Document: doc, Now: time.Unix(1700000000, 0), Quorate: true}
	d, err := policy.Decide(in)
	if err != nil {
		fmt.Println(err)
		return
	}
	in.Document = simulate.Execute(doc, d, nil, in.Now).Document
	if in, err = explain.WhatIf(in, "node beta standby"); err != nil {
		fmt.Println(err)
		return
	}
	if d, err = policy.Decide(in); err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range d.Summary() {
		fmt.Println(change)
	}
	// Output:
	// Move db ( beta -> alpha )
	// Move web ( beta -> alpha )
}

// State reads the present state without deciding anything, for displays.
func ExampleState() {
	doc, _, err := cibxml.Read([]byte(exampleCIB))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := policy.State(policy.Input{Document: doc, Now: time.Unix(1700000000, 0), Quorate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range c.Nodes {
		fmt.Println(n.Name, n.Online)
	}
	// Output:
	// alpha true
	// beta true
}

// The transition is written for programs, for Graphviz (Dot) and as Pacemaker's XML (Graph.XML).
func ExampleDecision_JSON() {
	doc, _, err := cibxml.Read([]byte(`<cib><configuration>
	  <crm_config><cluster_property_set id="o"><nvpair id="f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
	  <nodes><node id="1" uname="alpha"/></nodes>
	  <resources><primitive id="web" class="ocf" provider="heartbeat" type="apache"/></resources></configuration>
	  <status><node_state id="1" uname="alpha" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := policy.Decide(policy.Input{Document: doc, Now: time.Unix(1700000000, 0), Quorate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(d.JSON()))
	// Output:
	// {
	//   "changes": [
	//     "Start web ( alpha )"
	//   ],
	//   "actions": [
	//     {
	//       "id": 2,
	//       "kind": "operation",
	//       "task": "start",
	//       "key": "web_start_0",
	//       "node": "alpha",
	//       "resource": "web",
	//       "timeout_ms": "20000",
	//       "after": [
	//         1
	//       ]
	//     },
	//     {
	//       "id": 1,
	//       "kind": "operation",
	//       "task": "monitor",
	//       "key": "web_monitor_0",
	//       "node": "alpha",
	//       "resource": "web",
	//       "timeout_ms": "20000",
	//       "after": []
	//     }
	//   ]
	// }
}
