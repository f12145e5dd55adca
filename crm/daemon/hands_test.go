package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
)

// handAgent is a service whose state is a file of its machine.
const handAgent = `#!/bin/sh
cd "${0%/*}"
echo "$1 $OCF_RESKEY_size $OCF_RESKEY_CRM_meta_timeout" >>log
case "$1" in
start) [ -e bad ] && { echo "ocf-exit-reason:disk $OCF_RESKEY_size is broken" >&2; exit 1; }
	: >starting; while [ -e hold ]; do sleep 0.02; done; : >state;;
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
	if r := c.run("d", "start", "beta"); r.RC != 0 || r.Node != "beta" {
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

// TestLive_HandsHandedBack gives the resource back to the cluster while its start by hand goes on. Goal: it is started on no other
// node, though the cluster knew it to be stopped everywhere. Method: the agent is held until the cluster wants to probe.
func TestLive_HandsHandedBack(t *testing.T) {
	t.Parallel()
	c := newHandCluster(t)
	must(t, os.WriteFile(c.file(c.b, "hold"), nil, 0o600))
	done := make(chan error, 1)
	go func() {
		_, err := c.a.client().Run(c.ctx, api.RunRequest{Resource: "d", Operation: "start", Node: "beta"})
		done <- err
	}()
	c.a.wait(c.da, func(*api.Local) bool { _, err := os.Stat(c.file(c.b, "starting")); return err == nil })
	s, err := c.a.client().State(c.ctx, false)
	must(t, err)
	doc := s.Document.Clone()
	for _, r := range doc.Config.Resources {
		if r.ID == "d" {
			cib.DeleteValue(r.Meta, "is-managed")
		}
	}
	_, err = c.a.client().Propose(c.ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{Changes: cib.Diff(s.Document, doc), Force: true}})
	must(t, err)
	// It is asked of beta what runs there, and that waits; a second start by hand is not allowed either.
	for after := uint64(0); ; after = s.Index {
		s, err = c.a.client().Wait(c.ctx, after, patience)
		must(t, err)
		if len(s.Pending) > 0 && s.Pending[0].Resource == "d" && s.Pending[0].Node == "beta" && s.Pending[0].Task == "monitor" {
			break
		}
	}
	c.refused(api.RunRequest{Resource: "d", Operation: "start", Node: "alpha"}, "managed by the cluster")
	must(t, os.Remove(c.file(c.b, "hold")))
	must(t, <-done)
	c.active("beta")
	if data, err := os.ReadFile(c.file(c.a, "log")); err != nil || strings.Contains(string(data), "start") {
		t.Errorf("the agent of alpha did %q (%v), want no start", data, err)
	}
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
	if r.RC != 0 {
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

// newTestHands is the part of a node that talks with member 2; what it sends goes to the channel. It has no loop, so nothing can
// be run on it.
func newTestHands() (*hands, chan handNotice) {
	sent := make(chan handNotice, 64)
	l := &loop{quit: make(chan struct{}), state: &command.State{Members: []command.Member{{Name: "alpha", NodeID: 1}, {Name: "beta", NodeID: 2}}}}
	h := &hands{d: &instance{name: "alpha", log: hclog.NewNullLogger(), loop: l}, runs: map[string]chan agents.Result{}, asked: map[uint64]question{}, served: map[served]chan struct{}{},
		spawn: func(f func()) { go f() },
		send: func(_ context.Context, to membership.NodeID, m *handNotice) error {
			if to != 2 {
				return errors.New("no such peer")
			}
			sent <- *m
			return nil
		}}
	return h, sent
}

func (h *hands) hear(t *testing.T, from membership.NodeID, m handNotice) {
	t.Helper()
	data, err := cbor.Marshal(m)
	must(t, err)
	h.take(t.Context(), from, data)
}

// TestHands_Unconfirmed asks a node for an operation and does not confirm it, or too late: then it must not be run.
func TestHands_Unconfirmed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		confirm func(t *testing.T, h *hands)
	}{
		{"not at all", func(*testing.T, *hands) {}},
		{"too late", func(t *testing.T, h *hands) {
			time.Sleep(handConfirm + time.Millisecond)
			h.hear(t, 2, handNotice{Kind: noticeRun, Number: 9, Confirm: true})
		}},
		{"by another node", func(t *testing.T, h *hands) { h.hear(t, 3, handNotice{Kind: noticeRun, Number: 9, Confirm: true}) }},
		{"another question", func(t *testing.T, h *hands) { h.hear(t, 2, handNotice{Kind: noticeRun, Number: 8, Confirm: true}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, sent := newTestHands()
				h.hear(t, 2, handNotice{Kind: noticeRun, Number: 9, Actor: "uid:0", Request: &api.RunRequest{Resource: "d", Operation: "start"}})
				if a := <-sent; a.Kind != noticeRan || a.Number != 9 || !a.Confirm {
					t.Fatalf("first answer = %+v, want one that asks back", a)
				}
				test.confirm(t, h)
				if a := <-sent; a.Error == nil || !strings.Contains(a.Error.Message, "it was not run") {
					t.Errorf("second answer = %+v, want that it was not run", a)
				}
				synctest.Wait()
				if len(h.served) != 0 {
					t.Errorf("%d questions are kept", len(h.served))
				}
			})
		})
	}
	closed := make(chan struct{})
	close(closed)
	if within(t.Context(), closed, time.Now().Add(-handConfirm-time.Second)) {
		t.Error("a process that stood still took an old confirmation for a new one")
	}
}

func TestHands_BadMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, sent := newTestHands()
		h.take(t.Context(), 2, []byte("nonsense"))
		h.hear(t, 2, handNotice{Kind: noticeRun, Number: 1})                      // no request
		h.hear(t, 2, handNotice{Kind: noticeRun, Number: 1, Confirm: true})       // of nothing
		h.hear(t, 2, handNotice{Kind: noticeRan, Number: 1, Error: &api.Error{}}) // nobody asked
		h.hear(t, 2, handNotice{Kind: noticeRan, Number: 1, Reply: &api.RunReply{}})
		for i := range uint64(maxHands + 5) {
			m := handNotice{Kind: noticeRun, Number: 100 + i, Request: &api.RunRequest{}}
			h.hear(t, 2, m)
			h.hear(t, 2, m) // twice is once
		}
		synctest.Wait()
		if len(sent) != maxHands {
			t.Errorf("%d questions were answered, want %d", len(sent), maxHands)
		}
		time.Sleep(2 * handConfirm)
		synctest.Wait()
		if len(sent) != 2*maxHands || len(h.served) != 0 {
			t.Errorf("%d messages were sent and %d questions are kept, want %d and 0", len(sent), len(h.served), 2*maxHands)
		}
	})
}

// TestHands_Ask asks another node.
func TestHands_Ask(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		node string
		peer func(t *testing.T, h *hands, number uint64, sent chan handNotice)
		want string // in the error; "" = the reply
	}{
		{"no such node", "gamma", nil, `no member of the cluster is called "gamma"`},
		{"silent", "beta", func(*testing.T, *hands, uint64, chan handNotice) {}, "it gave no answer in time; the operation was not run"},
		{"refused", "beta", func(t *testing.T, h *hands, n uint64, _ chan handNotice) {
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Error: &api.Error{Message: "no"}})
		}, "no"},
		{"silent after it was confirmed", "beta", func(t *testing.T, h *hands, n uint64, sent chan handNotice) {
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Confirm: true})
			<-sent
		}, "whether the operation was run is not known"},
		{"lost", "beta", func(t *testing.T, h *hands, n uint64, sent chan handNotice) {
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Confirm: true})
			<-sent
			h.lost(3)
			h.lost(2)
		}, "was lost"},
		{"done", "BETA", func(t *testing.T, h *hands, n uint64, sent chan handNotice) {
			h.hear(t, 3, handNotice{Kind: noticeRan, Number: n, Error: &api.Error{Message: "I was not asked"}})
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Confirm: true})
			if m := <-sent; m.Kind != noticeRun || m.Number != n || !m.Confirm {
				t.Errorf("sent %+v, want a confirmation", m)
			}
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Begun: time.Hour})
			time.Sleep(time.Hour)
			h.hear(t, 2, handNotice{Kind: noticeRan, Number: n, Reply: &api.RunReply{Node: "beta", RC: 7}})
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, sent := newTestHands()
				if test.peer != nil {
					go func() {
						m := <-sent
						test.peer(t, h, m.Number, sent)
					}()
				}
				r, err := h.run(t.Context(), api.RunRequest{Resource: "d", Operation: "start", Node: test.node}, "uid:0")
				if test.want == "" && (err != nil || r.RC != 7) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("run() = %+v, %v, want %q", r, err, test.want)
				}
				if len(h.asked) != 0 {
					t.Errorf("%d questions are kept", len(h.asked))
				}
			})
		})
	}
}
