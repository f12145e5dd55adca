package policy_test

import "testing"

// Instance attributes may depend on the node by a rule; then each probe gets those of its own node.
func TestDecide_ProbeParametersByNode(t *testing.T) {
	t.Parallel()
	param := func(node string) string {
		return `<instance_attributes id="p-` + node + `"><rule id="r-` + node + `" score="0"><expression id="e-` + node +
			`" attribute="#uname" operation="eq" value="` + node + `"/></rule><nvpair id="v-` + node + `" name="address" value="of-` + node + `"/></instance_attributes>`
	}
	d := decideOn(t, mustRead(t, hostile(`<primitive id="db" class="ocf" provider="heartbeat" type="pgsql">`+
		param("n1")+param("n2")+`</primitive></resources><constraints/>`, nodeState("1", "n1", goodNode, "")+nodeState("2", "n2", goodNode, ""))))
	probes := 0
	for i := range d.Graph.Synapses {
		a := &d.Graph.Synapses[i].Action
		if a.Task != "monitor" || a.Resource.ID != "db" {
			continue
		}
		probes++
		if got, _ := a.Attr("address"); got != "of-"+a.Node {
			t.Errorf("the probe on %s has the address %q, want that of its node", a.Node, got)
		}
	}
	if probes != 2 {
		t.Errorf("%d probes, want one on each of two nodes", probes)
	}
}
