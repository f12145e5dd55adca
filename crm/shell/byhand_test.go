package shell

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/store/command"
)

// handService is what agents on three nodes would do: the resources that are active, by node.
type handService struct {
	active map[string]bool // "web@n1"
	calls  []string
	broken map[string]string // operation, such as "start web n2" -> exit reason
	edited bool              // some request had an edited configuration
}

func (h *handService) run(r api.RunRequest) (api.RunReply, error) {
	if r.Node == "" {
		r.Node = "n1"
	}
	call := r.Operation + " " + r.Resource + " " + r.Node
	h.calls = append(h.calls, call)
	h.edited = h.edited || len(r.Edited) > 0
	reply := api.RunReply{Node: r.Node, Status: "complete", Code: "ok", Complete: true}
	if why, ok := h.broken[call]; ok {
		if why == "refused" {
			return api.RunReply{}, &server.StateError{Message: "it is managed", Hint: "do not"}
		}
		reply.RC, reply.Code, reply.Reason, reply.Output = 1, "error", why, "some output\n"
		return reply, nil
	}
	at := r.Resource + "@" + r.Node
	switch r.Operation {
	case "start":
		h.active[at] = true
	case "stop":
		delete(h.active, at)
	case "promote":
		h.active[at+"!"] = true
	case "demote":
		delete(h.active, at+"!")
	case "monitor":
		switch {
		case !h.active[at]:
			reply.RC, reply.Code = 7, "not running"
		case h.active[at+"!"]:
			reply.RC, reply.Code = 8, "promoted"
		}
	}
	return reply, nil
}

// newHandCluster is a cluster of three nodes that are online.
func newHandCluster(t *testing.T) (*cluster, *handService) {
	t.Helper()
	c := newCluster(t)
	h := &handService{active: map[string]bool{}, broken: map[string]string{}}
	c.run = h.run
	for _, name := range []string{"n2", "n3"} {
		c.apply(&command.Entry{Kind: command.KindMemberAdd, MemberAdd: &command.MemberAdd{Name: name, Key: []byte("key" + name), Feature: command.FeatureLevel}})
	}
	var facts []command.NodeFact
	for _, name := range []string{"n1", "n2", "n3"} {
		facts = append(facts, command.NodeFact{Name: name, Change: command.NodeJoined, Incarnation: 7, Boot: "b"})
	}
	c.apply(&command.Entry{Kind: command.KindNodes, Nodes: &command.Nodes{Facts: facts}})
	c.must("configure", "primitive", "web", "ocf:test:Dummy")
	c.must("configure", "primitive", "db", "ocf:test:Dummy")
	c.must("configure", "primitive", "ip", "ocf:test:Dummy")
	c.must("configure", "group", "site", "ip", "web")
	c.must("configure", "clone", "dbs", "db", "meta", "promotable=true")
	return c, h
}

func TestMaintenanceAction(t *testing.T) {
	t.Parallel()
	c, h := newHandCluster(t)
	h.broken["stop web n3"] = "it hangs on"
	h.broken["start ip n1"] = "refused"
	for _, test := range []struct {
		args, calls string
		code        int
		out, err    string
	}{
		{"web start n2", "start web n2", 0, "web start on n2: ok (exit code 0), 0.00 s\n", ""},
		{"web monitor n2", "monitor web n2", 0, "exit code 0", ""},
		{"web monitor", "monitor web n1", 0, "web monitor on n1: not running (exit code 7)", ""},
		{"web monitor ssh", "monitor web n1, monitor web n2, monitor web n3", 0, "web monitor on n3", ""},
		{"web stop n3", "stop web n3", 1, "web stop on n3: error (exit code 1): it hangs on, 0.00 s\n  some output\n", "web stop failed on n3"},
		{"ip start", "start ip n1", 1, "", "it is managed"},
		{"web start ssh", "", 1, "", "name one node"},
		{"wbe start", "", 1, "", `did you mean "web"`},
		{"web", "", 1, "", "an argument is missing"},
		{"web start n1 n2", "", 1, "", `"n2" is too much`},
	} {
		h.calls = nil
		code, out, err := c.crm(append([]string{"maintenance", "action"}, strings.Fields(test.args)...)...)
		if (code != 0) != (test.code != 0) || !strings.Contains(out, test.out) || !strings.Contains(err, test.err) || strings.Join(h.calls, ", ") != test.calls {
			t.Errorf("action %s = %d, %q, %q with %v; want %d, %q, %q with %s", test.args, code, out, err, h.calls, test.code, test.out, test.err, test.calls)
		}
	}
}

func TestRsctest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, args string
		active     string
		broken     string
		calls      []string // after the probes
		want       string   // in what it prints
		fails      bool
	}{
		{name: "one on all nodes", args: "web", calls: []string{"start web n1", "monitor web n1", "stop web n1", "start web n2", "monitor web n2", "stop web n2",
			"start web n3", "monitor web n3", "stop web n3"}, want: "all is well on n1, n2, n3"},
		{name: "group in order", args: "site n2", calls: []string{"start ip n2", "monitor ip n2", "start web n2", "monitor web n2", "stop web n2", "stop ip n2"}, want: "all is well on n2"},
		{name: "later ones count on the promoted role", args: "dbs web n1", calls: []string{"start db n1", "monitor db n1", "promote db n1", "monitor db n1",
			"start web n1", "monitor web n1", "stop web n1", "demote db n1", "stop db n1"}, want: "all is well"},
		{name: "one is active", args: "ip web n1 n2", active: "web@n2", want: "web is not stopped on n2", fails: true},
		{name: "one cannot be asked", args: "web n1", broken: "monitor web n1", want: "nothing was started", fails: true},
		{name: "start fails, the next node is tried", args: "ip web n1 n2", broken: "start web n1",
			calls: []string{"start ip n1", "monitor ip n1", "start web n1", "stop web n1", "stop ip n1", "start ip n2", "monitor ip n2", "start web n2", "monitor web n2", "stop web n2", "stop ip n2"},
			want:  "web start on n1: error (exit code 1)", fails: true},
		{name: "stop fails, nothing more is done", args: "ip web n1 n2", broken: "stop web n1",
			calls: []string{"start ip n1", "monitor ip n1", "start web n1", "monitor web n1", "stop web n1"}, want: "may still be active on n1", fails: true},
		{name: "a node before a resource", args: "n1 web", want: "name the resources first", fails: true},
		{name: "no such thing", args: "web n9", want: "resource not found: n9", fails: true},
		{name: "nodes only", args: "n1", want: "no resource is named", fails: true},
		{name: "nothing", args: "", want: "an argument is missing", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, h := newHandCluster(t)
			if test.active != "" {
				h.active[test.active] = true
			}
			if test.broken != "" {
				h.broken[test.broken] = "bad luck"
			}
			code, out, err := c.crm(append([]string{"configure", "rsctest"}, strings.Fields(test.args)...)...)
			first := slices.IndexFunc(h.calls, func(s string) bool { return strings.HasPrefix(s, "start") })
			if first < 0 {
				first = len(h.calls)
			}
			if got := h.calls[first:]; (code != 0) != test.fails || !slices.Equal(got, test.calls) || !strings.Contains(out+err, test.want) {
				t.Errorf("rsctest %s = %d with %q\n%s%s; want %q with %q in it", test.args, code, got, out, err, test.calls, test.want)
			}
		})
	}
}

// TestRsctest_Edited tries a resource out before it is committed.
func TestRsctest_Edited(t *testing.T) {
	t.Parallel()
	c, h := newHandCluster(t)
	code, out, err := c.typed(t.TempDir(), "configure", "primitive new ocf:test:Dummy", "rsctest new n1", "refresh")
	if code != 0 || !h.edited || !slices.Contains(h.calls, "stop new n1") {
		t.Errorf("exit %d, edited %v, calls %v\n%s%s", code, h.edited, h.calls, out, err)
	}
}
