package explain_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/explain"
)

func start(t *testing.T) policy.Input {
	t.Helper()
	in, err := situation(append([]string{"nodes alpha beta"}, strings.Split(`property stonith-enabled=false
primitive web ocf:pacemaker:Dummy op monitor interval=10s meta migration-threshold=1
primitive db ocf:pacemaker:Dummy
rsc_ticket web-t t: web
if ticket t granted
settle`, "\n")...))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestWhatIf applies each form of change and looks at what would be done; the input itself must stay as it is.
func TestWhatIf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ change, want string }{
		{"node alpha standby", "Move web ( alpha -> beta )"},
		{"node alpha offline", "Start web ( beta )"},
		{"node alpha lost", "Start web ( beta )"},
		{"node alpha online", ""},
		{"node alpha maintenance", ""},
		{"node alpha attribute standby=on", "Move web ( alpha -> beta )"},
		{"resource web stopped", "Stop web ( alpha ) due to node availability"},
		{"resource web started", ""},
		{"resource web unmanaged", ""},
		{"resource web managed", ""},
		{"resource web move beta", "Move web ( alpha -> beta ); Move db ( beta -> alpha )"},
		{"resource web ban alpha", "Move web ( alpha -> beta ); Move db ( beta -> alpha )"},
		{"resource web clear", ""},
		{"resource web failed", "Recover web ( alpha -> beta ); Move db ( beta -> alpha )"},
		{"resource db failed beta", "Recover db ( beta )"},
		{"property stop-all-resources=true", "Stop web ( alpha ) due to node availability; Stop db ( beta ) due to node availability"},
		{"ticket t revoked", "Stop web ( alpha ) due to node availability"},
		{"ticket t standby", "Stop web ( alpha ) due to node availability"},
		{"ticket t active", ""},
		{"quorum no", "Stop web ( alpha ) due to no quorum; Stop db ( beta ) due to no quorum"},
		{"quorum yes", ""},
	} {
		before := start(t)
		same := *before.Document
		after, err := explain.WhatIf(before, tt.change)
		if err != nil {
			t.Errorf("%s: %v", tt.change, err)
			continue
		}
		d, err := policy.Decide(after)
		if err != nil {
			t.Errorf("%s: %v", tt.change, err)
			continue
		}
		var got []string
		for _, ch := range d.Summary() {
			got = append(got, ch.String())
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.change, text, tt.want)
		}
		if d, err = policy.Decide(before); err != nil || len(d.Graph.Synapses) > 0 || before.Document.Head.HaveQuorum != same.Head.HaveQuorum {
			t.Errorf("%s: the input has changed (%v)", tt.change, err)
		}
	}
	// Several changes, one after the other.
	in := start(t)
	var err error
	for _, change := range []string{"node alpha standby", "resource db stopped", "node alpha online"} {
		if in, err = explain.WhatIf(in, change); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := policy.Decide(in); err != nil || len(d.Summary()) != 1 {
		t.Errorf("three changes: %v, %v", d.Summary(), err)
	}
}

// TestWhatIf_Errors checks that each error names what would be right.
func TestWhatIf_Errors(t *testing.T) {
	t.Parallel()
	in := start(t)
	for _, tt := range []struct{ change, says string }{
		{"", "node NAME standby"},
		{"node", "node NAME standby"},
		{"nodes alpha standby", "resource ID stopped"},
		{"node gamma standby", "the nodes are alpha, beta"},
		{"node alpha asleep", "standby, online, offline, lost, maintenance"},
		{"node alpha attribute x", "attribute NAME=VALUE"},
		{"node alpha attribute =1", "attribute NAME=VALUE"},
		{"resource wbe stopped", "did you mean web"},
		{"resource nothing-like-it stopped", "the resources are web, db"},
		{"resource web paused", "stopped, started"},
		{"resource web move", "move NODE"},
		{"resource web ban gamma", "the nodes are"},
		{"resource web stopped beta", `"beta" is too much`},
		{"resource web failed beta", "not active on beta"},
		{"property no-quorum-polcy=stop", "did you mean no-quorum-policy"},
		{"property no-quorum-policy=perhaps", "no-quorum-policy"},
		{"property no-quorum-policy", "NAME=VALUE"},
		{"ticket u granted", "nothing depends on"},
		{"ticket t lost", "granted, revoked, standby, active"},
		{"quorum perhaps", "quorum yes or quorum no"},
	} {
		if _, err := explain.WhatIf(in, tt.change); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %v, want %q in it", tt.change, err, tt.says)
		}
	}
}
