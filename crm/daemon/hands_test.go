package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
)

// handAgent is a service whose state is a file of its machine.
const handAgent = `#!/bin/sh
cd "${0%/*}"
echo "$1 $OCF_RESKEY_size $OCF_RESKEY_CRM_meta_timeout" >>log
case "$1" in
start) [ -e bad ] && { echo "ocf-exit-reason:disk $OCF_RESKEY_size is broken" >&2; exit 1; }; : >state;;
stop) rm -f state;;
monitor) echo "I look"; [ -e state ] || exit 7;;
reload) : >reloading; while [ ! -e "go" ]; do sleep 0.02; done;;
*) exit 3;;
esac
`

// handCluster is two nodes with a resource, which is in maintenance.
type handCluster struct {
	t    *testing.T
	ctx  context.Context
	a, b *machine
	da   *daemonProcess
}

func newHandCluster(t *testing.T) *handCluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	c := &handCluster{t: t, ctx: ctx, a: newMachine(t), b: newMachine(t)}
	for _, m := range []*machine{c.a, c.b} {
		must(t, os.MkdirAll(c.file(m, ""), 0o755))
		must(t, os.WriteFile(c.file(m, "disk"), []byte(handAgent), 0o755))
		m.configure(fmt.Sprintf("agent-dirs = [%q]\n", filepath.Dir(c.file(m, ""))))
	}
	c.da = c.a.runs()
	must(t, c.a.client().Init(ctx, api.InitRequest{Cluster: "test", Node: "alpha", Links: c.a.links(), Config: []byte(`<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o-f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes/>
<resources><primitive id="d" class="ocf" provider="test" type="disk"><meta_attributes id="d-m"><nvpair id="d-m-m" name="is-managed" value="false"/></meta_attributes>
<instance_attributes id="d-i"><nvpair id="d-i-s" name="size" value="5"/></instance_attributes>
<operations><op id="d-s" name="start" interval="0" timeout="33s"/><op id="d-mo" name="monitor" interval="1h"/></operations></primitive>
<primitive id="managed" class="ocf" provider="test" type="disk"><meta_attributes id="m-m"><nvpair id="m-m-r" name="target-role" value="Stopped"/></meta_attributes></primitive>
</resources><constraints/></configuration><status/></cib>`)}))
	token, err := c.a.client().Token(ctx, api.TokenRequest{Node: "beta"})
	must(t, err)
	db := c.b.runs()
	must(t, c.b.client().Join(ctx, api.JoinRequest{Token: token.Token, Node: "beta", Links: c.b.links()}))
	c.b.wait(db, func(l *api.Local) bool { return l.Leader != "" && len(l.Peers) == 1 && l.Peers[0].State == "reachable" })
	c.active("") // both were probed
	return c
}

func (c *handCluster) file(m *machine, name string) string {
	return filepath.Join(m.paths.Root, "agents", "test", name)
}

// active waits until the cluster knows that d is active on a node alone ("" = nowhere), on both nodes.
func (c *handCluster) active(node string) {
	c.t.Helper()
	var after uint64
	for {
		s, err := c.a.client().Wait(c.ctx, after, patience)
		if err != nil {
			c.t.Fatalf("Wait() = %v\n%s", err, c.da.out)
		}
		view, err := policy.State(policy.Input{Document: command.PolicyDocument(s, "alpha"), Now: time.Now(), Quorate: true})
		must(c.t, err)
		if r := view.Resource("d"); len(view.Nodes) == 2 && len(r.Known) >= 2 && r.Known[0] && r.Known[1] && c.where(r) == node && len(s.Pending) == 0 {
			return
		}
		after = s.Index
	}
}

func (c *handCluster) where(r *model.Resource) string {
	var names []string
	for _, n := range r.Active {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}

func (c *handCluster) run(resource, op, node string) *api.RunReply {
	c.t.Helper()
	reply, err := c.a.client().Run(c.ctx, api.RunRequest{Resource: resource, Operation: op, Node: node})
	if err != nil {
		c.t.Fatalf("Run(%s, %s, %s) = %v\n%s", resource, op, node, err, c.da.out)
	}
	return reply
}

func (c *handCluster) refused(r api.RunRequest, want ...string) {
	c.t.Helper()
	_, err := c.a.client().Run(c.ctx, r)
	var e *client.Error
	if !errors.As(err, &e) {
		c.t.Fatalf("Run(%s, %s, %s) = %v, want it refused", r.Resource, r.Operation, r.Node, err)
	}
	for _, w := range want {
		if text := e.Reply.Message + " " + e.Reply.Hint; !strings.Contains(text, w) {
			c.t.Errorf("Run(%s, %s, %s): refused with %q, want %q in it", r.Resource, r.Operation, r.Node, text, w)
		}
	}
}

// TestLive_Hands runs agents by hand on two real nodes. Goal: they run with the resource's parameters where it was asked; the
// cluster takes note of what they changed, and records no failure; what could harm is refused.
func TestLive_Hands(t *testing.T) {
	t.Parallel()
	c := newHandCluster(t)

	c.refused(api.RunRequest{Resource: "managed", Operation: "start", Node: "beta"}, "managed by the cluster", "crm resource maintenance managed on")
	c.refused(api.RunRequest{Resource: "nosuch", Operation: "start"}, `no resource "nosuch"`)
	c.refused(api.RunRequest{Resource: "d", Operation: "explode"}, `"explode" cannot be run by hand`)
	c.refused(api.RunRequest{Resource: "d", Operation: "start", Node: "gamma"}, `no member of the cluster is called "gamma"`)
	c.refused(api.RunRequest{Resource: "d", Operation: "promote"}, "not promotable")
	c.refused(api.RunRequest{Resource: "d", Operation: "reload", Node: "beta"}, "not active on beta")
	c.refused(api.RunRequest{Resource: "d", Operation: "start", Edited: []byte("<cib")}, "edited configuration")
	c.refused(api.RunRequest{Resource: "d", Operation: "start", Edited: make([]byte, api.MaxEdited+1)}, "at most")

	if r := c.run("d", "monitor", ""); r.RC != 7 || !r.Complete || r.Node != "alpha" || r.Output != "I look\n" || r.Code != "not running" {
		t.Errorf("monitor = %+v, want code 7 with the output", r)
	}
	must(t, os.WriteFile(c.file(c.b, "bad"), nil, 0o600))
	if r := c.run("d", "start", "beta"); r.RC != 1 || !r.Complete || r.Reason != "disk 5 is broken" {
		t.Errorf("start = %+v, want code 1 with the reason", r)
	}
	must(t, os.Remove(c.file(c.b, "bad")))
	if r := c.run("d", "start", "beta"); r.RC != 0 || r.Node != "beta" || r.Warning != "" {
		t.Errorf("start = %+v, want code 0 on beta", r)
	}
	c.active("beta")
	data, err := os.ReadFile(c.file(c.b, "log"))
	must(t, err)
	if !strings.Contains(string(data), "start 5 33000\n") {
		t.Errorf("the agent got %q, want start with size 5 and a timeout of 33 s", data)
	}
	c.refused(api.RunRequest{Resource: "d", Operation: "start", Node: "alpha"}, "active on beta", "second time")

	// While one operation runs, no other one of the resource begins.
	done := make(chan *api.RunReply, 1)
	go func() {
		r, _ := c.b.client().Run(c.ctx, api.RunRequest{Resource: "d", Operation: "reload"})
		done <- r
	}()
	c.a.wait(c.da, func(*api.Local) bool { _, err := os.Stat(c.file(c.b, "reloading")); return err == nil })
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	if r, err := c.b.client().Run(ctx, api.RunRequest{Resource: "d", Operation: "monitor"}); err == nil {
		t.Errorf("a second operation ran beside the first: %+v", r)
	}
	cancel()
	must(t, os.WriteFile(c.file(c.b, "go"), nil, 0o600))
	if r := <-done; r.RC != 0 || !r.Complete {
		t.Errorf("reload = %+v, want code 0", r)
	}

	if r := c.run("d", "stop", "beta"); r.RC != 0 {
		t.Errorf("stop = %+v, want code 0", r)
	}
	c.active("")
	s, err := c.a.client().State(c.ctx, false)
	must(t, err)
	if text := fmt.Sprint(s.Document.Status.Nodes); strings.Contains(text, "fail-count") || strings.Contains(text, "disk 5 is broken") {
		t.Errorf("the history has the failure of an operation by hand:\n%s", text)
	}
	if text := c.audit(c.b); !strings.Contains(text, `"hand-run"`) || !strings.Contains(text, fmt.Sprintf("uid:%d on alpha", os.Getuid())) {
		t.Errorf("the audit log of beta does not say who asked:\n%s", text)
	}
}

func (c *handCluster) audit(m *machine) string {
	c.t.Helper()
	var out strings.Builder
	must(c.t, filepath.WalkDir(m.paths.Root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "audit") {
			return nil
		}
		data, err := os.ReadFile(path)
		out.Write(data)
		return err
	}))
	return out.String()
}

// TestLive_HandsEdited runs a resource that only an edited configuration has.
func TestLive_HandsEdited(t *testing.T) {
	t.Parallel()
	c := newHandCluster(t)
	edited := []byte(`<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes><node id="1" uname="alpha"/><node id="2" uname="beta"/></nodes>
<resources><primitive id="new" class="ocf" provider="test" type="disk"><instance_attributes id="n-i"><nvpair id="n-i-s" name="size" value="7"/></instance_attributes></primitive></resources>
<constraints/></configuration><status/></cib>`)
	r, err := c.a.client().Run(c.ctx, api.RunRequest{Resource: "new", Operation: "start", Node: "beta", Edited: edited})
	must(t, err)
	if r.RC != 0 || r.Warning != "" {
		t.Errorf("start = %+v, want code 0", r)
	}
	data, err := os.ReadFile(c.file(c.b, "log"))
	must(t, err)
	if !strings.Contains(string(data), "start 7 ") {
		t.Errorf("the agent got %q, want start with size 7", data)
	}
	// An edited configuration does not make the cluster's resource a free one.
	managed := []byte(strings.ReplaceAll(string(edited), `"new"`, `"managed"`))
	c.refused(api.RunRequest{Resource: "managed", Operation: "start", Edited: managed}, "managed by the cluster")
}

func TestHandMessage(t *testing.T) {
	t.Parallel()
	encode := func(v any) []byte {
		data, err := cbor.Marshal(v)
		must(t, err)
		return data
	}
	for _, test := range []struct {
		name string
		data []byte
		want bool
	}{
		{"question", encode(handNotice{Kind: noticeRun}), true},
		{"answer", encode(handNotice{Kind: noticeRan, Reply: &api.RunReply{}}), true},
		{"clock", encode(notice{Kind: noticeClock}), false},
		{"nothing", nil, false},
		{"text", []byte("hello"), false},
		{"other type", encode([]string{"run"}), false},
	} {
		if got := handMessage(test.data); got != test.want {
			t.Errorf("handMessage(%s) = %v, want %v", test.name, got, test.want)
		}
	}
}
