package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/acl"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// cluster is the replicated state of one node behind the real API server, without raft: entries are applied in
// the order in which they come.
type cluster struct {
	t      *testing.T
	socket string

	mu      sync.Mutex // guards state, local and stopped
	state   *command.State
	local   api.Local
	stopped bool
	run     func(api.RunRequest) (api.RunReply, error) // of an operation by hand
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, socket: filepath.Join(t.TempDir(), "api.sock"), state: command.New(),
		local: api.Local{Node: "n1", Cluster: "test", ClusterID: "x", Leader: "n1", Quorate: true, Idle: true, Voters: []string{"n1"}}}
	c.apply(&command.Entry{Kind: command.KindBootstrap, Bootstrap: &command.Bootstrap{ClusterID: "x", Name: "test", CA: []byte("ca"),
		First:  command.MemberAdd{Name: "n1", Key: []byte("key"), Links: []cib.NodeLink{{Link: "lan", Address: "10.0.0.1"}}, Feature: command.FeatureLevel},
		Config: &cib.Document{Config: cib.Configuration{Properties: []cib.AttributeSet{{ID: cib.BootstrapSet, Pairs: []cib.NVPair{{ID: "f", Name: "fencing-enabled", Value: "false"}}}}}}}})
	s, err := server.New(server.Config{Policy: &acl.Policy{Admins: []uint32{uint32(os.Getuid())}}, Backend: server.Backend{
		State: func(context.Context, bool) (*command.State, error) { return c.now(), nil },
		Wait:  func(context.Context, uint64) (*command.State, error) { return c.now(), nil },
		Propose: func(_ context.Context, e *command.Entry) (uint64, command.Outcome, error) {
			index, out := c.propose(e)
			return index, out, nil
		},
		Local: func() api.Local { c.mu.Lock(); defer c.mu.Unlock(); return c.local },
		Token: func(_ context.Context, r api.TokenRequest, _ string) (api.TokenReply, error) {
			return api.TokenReply{Token: "TOKEN-" + r.Node}, nil
		},
		Stop:     func(context.Context) error { c.mu.Lock(); defer c.mu.Unlock(); c.stopped = true; return nil },
		Run:      func(_ context.Context, r api.RunRequest, _ string) (api.RunReply, error) { return c.run(r) },
		Metadata: func(context.Context, string) ([]byte, error) { return nil, fmt.Errorf("no such agent here") },
		Agents:   func(context.Context, string) ([]string, error) { return []string{"ocf:test:Dummy"}, nil },
		Decisions: func(_ context.Context, most int) ([]api.Decision, error) {
			if most == 1 {
				return pastDecisions[:1], nil
			}
			return pastDecisions, nil
		},
		Events: func(ctx context.Context, after uint64) ([]api.Event, uint64, error) {
			if after >= 8 {
				<-ctx.Done()
				return nil, after, ctx.Err()
			}
			return []api.Event{{Index: 7, Kind: api.EventNode, Node: "n1", Text: "first"}, {Index: 8, Kind: api.EventConfig, Text: "second"},
				{Index: 8, Kind: api.EventNode, Node: "n2", Text: "third"}}, 8, nil
		},
		Input: func(_ context.Context, id string) (*api.DecisionInput, error) {
			for _, d := range pastDecisions {
				if d.ID == id && d.Kept {
					return &api.DecisionInput{Decision: d, Document: []byte(pastDocument)}, nil
				}
			}
			return nil, &server.NotFoundError{Message: "no decision " + id}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c *cluster) now() *command.State { c.mu.Lock(); defer c.mu.Unlock(); return c.state }

func (c *cluster) propose(e *command.Entry) (uint64, command.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Time == 0 {
		e.Time = time.Now().UnixMilli() // as the daemon does
	}
	data, err := e.Encode()
	if err != nil {
		return 0, command.Outcome{Err: err}
	}
	next, out := command.Apply(c.state, c.state.Index+1, 1, data)
	c.state = next
	return next.Index, out
}

func (c *cluster) apply(e *command.Entry) {
	c.t.Helper()
	if _, out := c.propose(e); out.Err != nil {
		c.t.Fatal(out.Err)
	}
}

func (c *cluster) crm(args ...string) (code int, out, err string) {
	var stdout, stderr bytes.Buffer
	code = Run(context.Background(), Config{In: strings.NewReader(""), Out: &stdout, Err: &stderr,
		Getenv: func(name string) string { return map[string]string{"QUORATE_SOCKET": c.socket}[name] }}, args)
	return code, stdout.String(), stderr.String()
}

func (c *cluster) must(args ...string) string {
	c.t.Helper()
	code, out, err := c.crm(args...)
	if code != 0 {
		c.t.Fatalf("crm %s: exit %d: %s", strings.Join(args, " "), code, err)
	}
	return out
}

// TestLive runs commands against a cluster and looks at what they print or change.
func TestLive(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.must("configure", "primitive", "web", "ocf:test:Dummy")
	c.must("configure", "location", "l", "web", "100:", "n1")
	for _, test := range []struct{ args, want string }{
		{"configure show", "primitive web ocf:test:Dummy\nlocation l web 100: n1"},
		{"status", "Cluster: test"},
		{"status --output json", `"leader": "n1"`},
		{"status xml", "<resource id=\"web\" resource_agent=\"ocf:test:Dummy\" role=\"Stopped\""},
		{"status --output xml", "<summary>"},
		{"status full", "Full List of Resources"},
		{"status bynode", "Node n1: OFFLINE:"},
		{"status brief", "0/1\t(ocf:test:Dummy)"},
		{"cluster status", "Leader:   n1"},
		{"cluster health", "All is well"},
		{"cluster name", "test"},
		{"cluster token create n2", "TOKEN-n2"},
		{"node list", "n1 (leader)"},
		{"node show n1", "link lan=10.0.0.1"},
		{"node server", "10.0.0.1"},
		{"resource locate web", "resource web is NOT running"},
		{"resource constraints web", "location l web 100: n1"},
		{"revisions", "constraint l"},
		{"ra list ocf test", "Dummy"},
		{"export toml", "[primitives.web]"},
		{"export crm", "primitive web ocf:test:Dummy"},
		{"wait", ""},
		{"explain web", "+100 location constraint l"},
		{"configure show toml", "[primitives.web]"},
	} {
		if got := c.must(strings.Fields(test.args)...); !strings.Contains(got, test.want) {
			t.Errorf("crm %s: %q is missing in\n%s", test.args, test.want, got)
		}
	}
	c.must("-m", "because", "resource", "stop", "web")
	if got := c.must("revisions", "1"); !strings.Contains(got, "because") || !strings.Contains(got, fmt.Sprint("uid:", os.Getuid())) {
		t.Errorf("revisions:\n%s", got)
	}
	c.must("node", "status-attr", "n1", "set", "pingd", "100")
	if got := c.must("node", "status-attr", "n1", "show", "pingd"); got != "100\n" {
		t.Errorf("status-attr = %q", got)
	}
	c.must("site", "ticket", "grant", "T")
	if got := c.must("site", "ticket", "show", "T"); !strings.Contains(got, "granted=yes") {
		t.Errorf("ticket = %q", got)
	}
	c.must("cluster", "stop")
	if !c.stopped {
		t.Error("the node was not asked to stop")
	}
}

// TestLive_Refused checks what the cluster and the shell refuse, with the text and the hint.
func TestLive_Refused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, test := range []struct{ args, want string }{
		{"configure delete n1", "node n1"},
		{"cluster token revoke nosuch", "nosuch"},
		{"cluster init", "needs a name"},
		{"cluster join", "the token is missing"},
		{"cluster init --name x --link lan", "the form is LINK=ADDRESS"},
		{"resource cleanup nosuch", "resource not found"},
		{"wait --timeout never", "is no time"},
		{"configure primitive y ocf:test:Dumy", "there is no agent ocf:test:Dumy"},
		{"configure schema pacemaker-3.9", "has no schema"},
	} {
		if code, out, err := c.crm(strings.Fields(test.args)...); code == 0 || !strings.Contains(err, test.want) {
			t.Errorf("crm %s: exit %d, %q %q; want %q", test.args, code, out, err, test.want)
		}
	}
	if code, _, err := (&cluster{socket: filepath.Join(t.TempDir(), "none")}).crm("status"); code == 0 || !strings.Contains(err, "crm cluster start") {
		t.Errorf("without a daemon: exit %d, %s", code, err)
	}
}

// TestLive_Merge has many writers change one object at a time: all changes are there in the end.
func TestLive_Merge(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const writers = 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			if code, _, err := c.crm("configure", "property", fmt.Sprintf("own-%d=%d", i, i)); code != 0 {
				t.Errorf("writer %d: %s", i, err)
			}
		})
	}
	wg.Wait()
	got := c.must("configure", "show")
	for i := range writers {
		if want := fmt.Sprintf("own-%d=%d", i, i); !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestLive_NoQuorum shows what the node knows, and says so.
func TestLive_NoQuorum(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.mu.Lock()
	c.local.Quorate, c.local.Leader = false, ""
	c.mu.Unlock()
	code, out, err := c.crm("status")
	if code != 0 || !strings.Contains(out, "partition WITHOUT quorum") || !strings.Contains(err, "knew last") {
		t.Errorf("status: exit %d, %s\n%s", code, out, err)
	}
}

// TestLive_Health names what is wrong.
func TestLive_Health(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.mu.Lock()
	c.local.Quorate = false
	c.local.Peers = []api.Peer{{Node: "n2", State: "lost"}, {Node: "n3", State: "reachable", Links: []api.PeerLink{{Link: "lan", Address: "10.0.0.3", State: "dead"}}}}
	c.mu.Unlock()
	code, _, err := c.crm("cluster", "health")
	for _, want := range []string{"no quorum", "node n2 is lost", "link lan to n3 (10.0.0.3) is dead"} {
		if code == 0 || !strings.Contains(err, want) {
			t.Errorf("health: exit %d, %q; want %q", code, err, want)
		}
	}
}

const pastDocument = `<cib have-quorum="1"><configuration>
  <crm_config><cluster_property_set id="p"><nvpair id="p1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
  <nodes><node id="1" uname="old1"/><node id="2" uname="old2"/></nodes>
  <resources><primitive id="past" class="ocf" provider="pacemaker" type="Dummy"/></resources>
</configuration><status>
  <node_state id="1" uname="old1" in_ccm="true" crmd="online" join="member" expected="member"/>
  <node_state id="2" uname="old2" in_ccm="true" crmd="online" join="member" expected="member"/>
</status></cib>`

// pastDecisions, newest first.
var pastDecisions = []api.Decision{
	{ID: "3.9f", Node: "n1", Term: 3, Transition: 9, Time: time.Date(2026, 1, 1, 12, 2, 0, 0, time.UTC), Error: "it failed\nsomewhere", Kept: true},
	{ID: "3.8", Node: "n1", Term: 3, Transition: 8, Time: time.Date(2026, 1, 1, 12, 1, 0, 0, time.UTC), Quorate: true, Actions: 1, Changes: []string{"Start past ( old1 )"}, Version: "v", Kept: true},
	{ID: "2.7", Node: "n1", Term: 2, Transition: 7, Time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Quorate: true, Changes: []string{"Start past ( old2 )"}, Version: "v0", Kept: true},
	{ID: "2.6", Node: "n1", Term: 2, Transition: 6, Time: time.Date(2026, 1, 1, 11, 0, 0, 0, time.UTC), Quorate: true},
}

func TestLive_PastDecisions(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const is = "past is wanted on old1 as Started"
	for _, tt := range []struct{ args, out, err string }{
		{"explain past --at 3.8", "Decision 3.8 of n1 at ", ""},
		{"explain past --at 3.8", is, ""},
		{"explain past --at 8", is, ""},
		{"explain past --at=2026-01-01T12:01:30Z", "Decision 3.8", ""},
		{"explain past old2 --at 3.8 --if=quorum~no", "no-quorum-policy is stop", ""},
		{"explain past --at 2.7", is, "version v0, which decided then, decided otherwise"},
		{"explain --at 3.8", "Start      past", ""},
		{"explain past --at 3.9f", "The policy failed then: it failed", ""},
		{"explain --list", "- 2.6 ", ""},
		{"explain --list --output json", `"id": "3.8"`, ""},
		{"history decisions 1", "FAILED: it failed\n", ""},
		{"history decisions", "1 actions: Start past ( old1 )", ""},
		{"explain web --at 3.8", "", "resource not found: web"},
		{"explain past --at 2.6", "", "no decision 2.6"},
		{"explain past --at 77", "", "no decision with transition 77"},
		{"explain past --at 2020-01-01", "", "the oldest is 2.6"},
		{"explain past --at soon", "", "want a decision such as 5.12"},
		{"explain past --at", "", "--at needs a value"},
		{"explain past --list", "", "--list lists decisions"},
		{"explain past --at 3.8 --if nonsense", "", "want one of"},
		{"history decisions none", "", "no number"},
	} {
		args := strings.Fields(tt.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "~", " ")
		}
		code, out, errs := c.crm(args...)
		failed := tt.out == ""
		if (code != 0) != failed || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) {
			t.Errorf("crm %s: exit %d, want %q and %q in\n%s%s", tt.args, code, tt.out, tt.err, out, errs)
		}
	}
}

// TestLive_Events reads the stream of the API: what was asked for, and the id only with the last event of a state.
func TestLive_Events(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cl := client.New(c.socket)
	stop := errors.New("enough")
	for _, tt := range []struct {
		filter client.EventFilter
		want   string
	}{
		{client.EventFilter{}, "first second third"},
		{client.EventFilter{Kinds: []string{api.EventNode}}, "first third"},
		{client.EventFilter{Node: "n2", After: 3}, "third"},
		{client.EventFilter{Kinds: []string{api.EventConfig, api.EventNode}, Node: "n1"}, "first"},
	} {
		var got []string
		err := cl.Events(t.Context(), tt.filter, func(e api.Event) error {
			if got = append(got, e.Text); len(got) == len(strings.Fields(tt.want)) {
				return stop
			}
			return nil
		})
		if text := strings.Join(got, " "); !errors.Is(err, stop) || text != tt.want {
			t.Errorf("%+v: %q, want %q (%v)", tt.filter, text, tt.want, err)
		}
	}
	if err := cl.Events(t.Context(), client.EventFilter{Kinds: []string{"weather"}}, nil); err == nil || !strings.Contains(err.Error(), "weather") {
		t.Errorf("a kind that there is not: %v", err)
	}
	for _, tt := range []struct{ args, want string }{
		{"history follow weather", "none of kind="},
		{"history follow kind=weather", "none of node, operation"},
		{"history follow after=x", "no index"},
		{"history follow where=here", "none of kind="},
	} {
		if code, _, err := c.crm(strings.Fields(tt.args)...); code == 0 || !strings.Contains(err, tt.want) {
			t.Errorf("crm %s: exit %d: %s", tt.args, code, err)
		}
	}
	if err := client.New(c.socket+"x").Events(t.Context(), client.EventFilter{}, nil); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("without a daemon: %v", err)
	}
}

// TestLive_Excerpt changes single objects, for which the shell does not fetch the whole configuration, where what it does
// not see matters: ids that others have, members of clones, templates, names that are not there.
func TestLive_Excerpt(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, s := range []string{"rsc_template base ocf:test:Dummy", "primitive web @base", "primitive web-utilization ocf:test:Dummy",
		"primitive db ocf:test:Dummy", "clone dbs db", "location far dbs -inf: n1"} {
		c.must(append([]string{"configure"}, strings.Fields(s)...)...)
	}
	order := c.must("configure", "show")
	for _, s := range []string{"resource utilization web set cpu 2", "resource param db set p 1", "resource meta web set priority 7", "resource unmanage db",
		"node attribute N1 set rack a", "node utilization n1 set cpu 8", "node standby n1", "node attribute n1 delete standby", "resource meta web delete priority"} {
		c.must(strings.Fields(s)...)
	}
	for _, test := range []struct{ args, want string }{
		{"resource utilization web show cpu", "2\n"}, {"resource param db show p", "1\n"}, {"resource meta dbs show is-managed", "false\n"},
		{"node attribute n1 show rack", "a\n"}, {"node utilization n1 show cpu", "8\n"},
	} {
		if got := c.must(strings.Fields(test.args)...); got != test.want {
			t.Errorf("crm %s = %q, want %q", test.args, got, test.want)
		}
	}
	if got := c.now().Document.Config.Resources[1].Utilization[0].ID; got != "web-utilization-0" {
		t.Errorf("the set of utilization has the id %s, want web-utilization-0, which is free", got)
	}
	for _, s := range []string{"resource utilization wep set cpu 2", "resource utilization dbs set cpu 2", "resource meta nothing set a b", "node attribute n2 set a b", "resource meta web delete priority"} {
		if code, _, err := c.crm(strings.Fields(s)...); (code == 0) != strings.HasSuffix(s, "priority") {
			t.Errorf("crm %s: exit %d, %s", s, code, err)
		}
	}
	if _, _, err := c.crm("resource", "meta", "wep", "set", "a", "b"); !strings.Contains(err, `did you mean "web"`) {
		t.Errorf("a name that is nearly right: %s", err)
	}
	before := strings.Fields(order)
	after := c.must("configure", "show")
	at := 0
	for _, w := range before { // nothing moved
		i := strings.Index(after[at:], w)
		if i < 0 {
			t.Fatalf("%q is missing or moved in\n%s\nbefore:\n%s", w, after, order)
		}
		at += i
	}
}
