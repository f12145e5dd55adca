package schedule

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/action"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/transition"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// builder makes small clusters from lines such as "primitive A active=n1 monitor=10".
type builder struct {
	c   *model.Cluster
	doc *cib.Document
	err error
}

func newBuilder() *builder {
	doc := &cib.Document{}
	c := model.New(doc, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c.Options = model.Options{Symmetric: true, Quorate: true, StartFailureFatal: true, StartupProbes: true,
		ConcurrentFencing: true, StopRemovedResources: true, CancelRemovedActions: true, FencingAction: "reboot",
		ClusterDelay: "60s", FencingTimeout: "60s", BatchLimit: "0", MigrationLimit: "-1"}
	return &builder{c: c, doc: doc}
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

func (b *builder) node(name string) *model.Node {
	n := b.c.NodeByName(name)
	if n == nil {
		b.fail("no node %q", name)
		n = &model.Node{}
	}
	return n
}

func (b *builder) resource(id string) *model.Resource {
	r := b.c.Resource(id)
	if r == nil {
		b.fail("no resource %q", id)
		r = &model.Resource{}
	}
	return r
}

// line reads one line of a cluster.
func (b *builder) line(text string) {
	words := strings.Fields(text)
	o := map[string]string{}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		o[k] = v
	}
	switch words[0] {
	case "options":
		b.options(o)
	case "node":
		b.addNode(words[1], o)
	case "primitive":
		r := b.primitive(words[1], nil, o)
		b.c.Resources = append(b.c.Resources, r)
	case "group":
		g := b.collective(words[1], cib.Group, o)
		for _, id := range strings.Split(o["members"], ",") {
			name, at, _ := strings.Cut(id, "@")
			mo := map[string]string{}
			if at != "" {
				mo["active"] = at
			}
			g.Children = append(g.Children, b.primitive(name, g, mo))
		}
		g.Role = g.Children[0].Role
	case "clone":
		b.clone(words[1], o)
	case "groupclone":
		b.groupClone(words[1], o)
	case "order":
		con := cib.Constraint{Kind: cib.Order, ID: "o" + strconv.Itoa(len(b.doc.Config.Constraints)), First: words[1], Then: words[2],
			OrderKind: o["kind"], Symmetrical: o["symmetrical"], FirstAction: o["first"], ThenAction: o["then"], RequireAll: o["require-all"]}
		b.doc.Config.Constraints = append(b.doc.Config.Constraints, con)
	case "orderset":
		con := cib.Constraint{Kind: cib.Order, ID: "os" + strconv.Itoa(len(b.doc.Config.Constraints)), OrderKind: o["kind"], Symmetrical: o["symmetrical"]}
		for i, w := range words[1:] {
			if strings.Contains(w, "=") {
				continue
			}
			set := cib.ResourceSet{ID: "s" + strconv.Itoa(i)}
			refs, flags, _ := strings.Cut(w, "/")
			set.Refs = strings.Split(refs, ",")
			for _, f := range strings.Split(flags, "/") {
				switch {
				case f == "any":
					set.RequireAll = "false"
				case f == "parallel":
					set.Sequential = "false"
				case f == "sequential":
					set.Sequential = "true"
				case f != "":
					set.Action = f
				}
			}
			con.Sets = append(con.Sets, set)
		}
		b.doc.Config.Constraints = append(b.doc.Config.Constraints, con)
	case "colocation":
		score := int64(model.Infinity)
		if v := o["score"]; v != "" {
			score, _ = strconv.ParseInt(v, 10, 64)
		}
		col := &model.Colocation{ID: "c" + strconv.Itoa(len(b.c.Colocations)), Dependent: b.resource(words[1]), Primary: b.resource(words[2]),
			Score: int32(score), Attribute: "#uname", Influence: true, Explicit: true}
		b.c.Colocations = append(b.c.Colocations, col)
		col.Dependent.ThisWith = append(col.Dependent.ThisWith, col)
		col.Primary.WithThis = append(col.Primary.WithThis, col)
	case "location":
		score, _ := strconv.ParseInt(words[3], 10, 64)
		r := b.resource(words[1])
		r.Locations = append(r.Locations, &model.Location{ID: "l", Resource: r, Nodes: []model.LocationNode{{Node: b.node(words[2]), Score: int32(score)}}})
		b.c.Locations = append(b.c.Locations, r.Locations[len(r.Locations)-1])
	case "recorded":
		b.recorded(words[1], b.node(words[2]), words[3:])
	case "remote":
		b.remote(words[1], model.RemoteNode, o)
	case "guest":
		b.remote(words[1], model.GuestNode, o)
	case "device":
		r := b.primitive(words[1], nil, o)
		r.Class, r.Provider, r.Type, r.FenceDevice = "stonith", "", "fence_test", true
		b.c.Resources = append(b.c.Resources, r)
		b.c.HaveFencingDevice, b.c.Options.FencingEnabled = true, true
	default:
		b.fail("line %q", text)
	}
}

func (b *builder) options(o map[string]string) {
	for k, v := range o {
		switch k {
		case "noquorum":
			b.c.Options.Quorate = false
			b.c.Options.QuorumPolicy = map[string]model.QuorumPolicy{"stop": model.QuorumStop, "freeze": model.QuorumFreeze,
				"ignore": model.QuorumIgnore, "demote": model.QuorumDemote}[v]
		case "noprobes":
			b.c.Options.StartupProbes = false
		case "utilization":
			b.c.Options.Placement = model.PlaceUtilization
		case "unfencing":
			b.c.UnfencingInUse = true
		case "serialfencing":
			b.c.Options.ConcurrentFencing = false
		default:
			b.fail("option %q", k)
		}
	}
}

func (b *builder) addNode(name string, o map[string]string) {
	n := &model.Node{ID: name, Name: name, Online: true, Seen: true, Attributes: map[string]string{"#uname": name}}
	for k := range o {
		switch k {
		case name:
		case "offline":
			n.Online = false
		case "unclean":
			n.Online, n.Unclean = false, true
		case "pending":
			n.Pending, n.Standby = true, true
		case "shutdown":
			n.Shutdown = true
		case "standby":
			n.Standby = true
		case "dc":
			n.IsDC = true
		case "maintenance":
			n.Maintenance = true
		case "cpu":
			value, _ := strconv.ParseInt(o[k], 10, 64)
			n.Capacity = []model.Capacity{{Name: "cpu", Value: value}}
			n.Utilization = slices.Clone(n.Capacity)
		default:
			b.fail("node option %q", k)
		}
	}
	if !n.Online || n.Shutdown {
		n.Score = model.MinInfinity
	}
	b.c.AddNode(n)
}

func (b *builder) common(r *model.Resource) {
	r.Instance, r.ConfigID = -1, r.ID
	r.Managed, r.Critical, r.Unique, r.MigrationThreshold = true, true, true, model.Infinity
	r.Requires = model.RequiresQuorum
	r.Role = model.RoleStopped
	r.Known = make([]bool, b.c.NodeCount())
	r.Allowed = make(model.Table, b.c.NodeCount())
	for _, n := range b.c.Nodes {
		r.Allowed[n.Index] = model.Entry{Score: n.Score, Present: true}
		r.Known[n.Index] = true
	}
	b.c.AddResource(r)
}

// primitive makes a primitive whose state is known everywhere, unless the option unknown names nodes.
func (b *builder) primitive(id string, parent *model.Resource, o map[string]string) *model.Resource {
	r := &model.Resource{ID: id, Kind: cib.Primitive, Class: "ocf", Provider: "test", Type: "Dummy", Parent: parent}
	b.common(r)
	for k, v := range o {
		switch k {
		case id, "max":
		case "active", "promoted", "unpromoted":
			r.Role = map[string]model.Role{"active": model.RoleStarted, "promoted": model.RolePromoted, "unpromoted": model.RoleUnpromoted}[k]
			for _, name := range strings.Split(v, ",") {
				n := b.node(name)
				r.Active = append(r.Active, n)
				n.Running = append(n.Running, r)
			}
		case "unknown":
			for _, name := range strings.Split(v, ",") {
				r.Known[b.node(name).Index] = false
			}
		case "monitor":
			for _, text := range strings.Split(v, ",") {
				text, role, _ := strings.Cut(text, ":")
				ms, _ := strconv.ParseInt(text, 10, 64)
				r.Ops = append(r.Ops, &model.Op{Name: "monitor", IntervalMS: ms * 1000, Enabled: true, Role: model.ParseRole(role)})
			}
		case "failed":
			r.Failed, r.MustStop = true, true
		case "failed-promoted":
			r.Failed = true
		case "migrate":
			r.AllowMigrate = true
		case "unmanaged":
			r.Managed = false
		case "blocked":
			r.Managed, r.Blocked = false, true
		case "next":
			r.Next = model.ParseRole(v)
		case "fencing":
			r.Requires = model.RequiresFencing
		case "nothing":
			r.Requires = model.RequiresNothing
		case "multi":
			r.Multi = map[string]model.MultipleActive{"stop_start": model.MultiStopStart, "stop_unexpected": model.MultiStopUnexpected,
				"block": model.MultiBlock, "stop_only": model.MultiStopOnly}[v]
		case "params":
		case "cpu":
			value, _ := strconv.ParseInt(v, 10, 64)
			r.Utilization = []model.Capacity{{Name: "cpu", Value: value}}
		case "unfencing":
			r.Requires, r.Unfencing = model.RequiresFencing, true
		case "source":
			r.PartialSource = b.node(v)
		case "target":
			r.PartialTarget = b.node(v)
		case "reloading":
			r.Reloading = true
		default:
			b.fail("option %q", k)
		}
	}
	return r
}

func (b *builder) collective(id string, kind cib.Kind, o map[string]string) *model.Resource {
	r := &model.Resource{ID: id, Kind: kind, Meta: map[string]string{}}
	b.common(r)
	r.GroupUnordered = o["unordered"] != ""
	b.c.Resources = append(b.c.Resources, r)
	return r
}

// clone makes a clone of a primitive: max instances, of which the first ones are active on the nodes named.
func (b *builder) clone(id string, o map[string]string) {
	r := b.collective(id, cib.Clone, o)
	count, _ := strconv.Atoi(o["max"])
	has := func(name string) bool { _, set := o[name]; return set }
	r.Unique = has("unique")
	r.Notify = has("notify")
	r.Clone = &model.Clone{Max: count, NodeMax: 1, Ordered: has("ordered"), Interleave: has("interleave"), Notify: r.Notify, Unique: r.Unique,
		Promotable: has("promotable"), PromotedMax: 1, PromotedNodeMax: 1}
	r.Clone.Min, _ = strconv.Atoi(o["min"])
	var active []string
	for _, k := range []string{"promoted", "unpromoted", "active"} {
		for _, name := range strings.FieldsFunc(o[k], func(c rune) bool { return c == ',' }) {
			active = append(active, k+"="+name)
		}
	}
	child := strings.TrimSuffix(id, "-clone")
	for i := range count {
		io := map[string]string{}
		if i < len(active) {
			k, v, _ := strings.Cut(active[i], "=")
			io[k] = v
		}
		if v := o["monitor"]; v != "" {
			io["monitor"] = v
		}
		m := b.primitive(child+":"+strconv.Itoa(i), r, io)
		m.Instance, m.ConfigID, m.Unique, m.Notify = i, child, r.Unique, r.Notify
		if _, p := io["promoted"]; p {
			m.PromotionScored = true
			for _, n := range b.c.Nodes {
				n.Attributes["master-"+child] = "5"
			}
		}
		r.Children = append(r.Children, m)
	}
}

// recorded adds an operation to the history: "recorded A n1 monitor 10 changed" was run with other parameters
// than those of today, "removed" with another agent, "reloadable" by an agent that can reload.
func (b *builder) recorded(id string, n *model.Node, words []string) {
	if n.State == nil {
		n.State = &cib.NodeState{Name: n.Name}
	}
	r := b.resource(id)
	var h *cib.ResourceHistory
	for i := range n.State.History {
		if n.State.History[i].ID == id {
			h = &n.State.History[i]
		}
	}
	if h == nil {
		n.State.History = append(n.State.History, cib.ResourceHistory{ID: id, Class: r.Class, Provider: r.Provider, Type: r.Type})
		h = &n.State.History[len(n.State.History)-1]
	}
	e := cib.HistoryOp{ID: id + strconv.Itoa(len(h.Operations)), Operation: words[0], OnNode: n.Name, CallID: int64(len(h.Operations) + 1), LastRCChange: -1}
	var attrs []transition.Attr
	for _, w := range words[1:] {
		if ms, err := strconv.ParseInt(w, 10, 64); err == nil {
			e.Interval = ms * 1000
			attrs = append(attrs, transition.Attr{Name: "CRM_meta_timeout", Value: "20000"})
		}
	}
	e.OpDigest = transition.Digest(attrs)
	for _, w := range words[1:] {
		switch w {
		case "changed":
			e.OpDigest = "0"
		case "removed":
			h.Type = "Other"
		case "reloadable":
			e.OpDigest, e.RestartDigest, e.ForceRestart = "0", transition.Digest(nil), "none"
		}
	}
	h.Operations = append(h.Operations, e)
	if e.Interval > 0 {
		action.Recurring(b.c, r, e.Operation, e.Interval, n, true)
	}
}

// remote makes a remote node, or a guest node of the launcher in=, with its connection.
func (b *builder) remote(name string, kind model.NodeKind, o map[string]string) {
	r := b.resource(name)
	r.Type, r.Provider, r.Connection = "remote", "pacemaker", true
	n := b.node(name)
	n.Kind, n.Connection, r.RemoteNode = kind, r, n
	if in := o["in"]; in != "" {
		r.Launcher, r.IsGuestConnection = b.resource(in), true
		r.Launcher.RemoteNode = n
		r.Launcher.Launched = append(r.Launcher.Launched, r)
	}
	b.c.HaveRemoteNodes = true
}

// decide runs all phases.
func (b *builder) decide() *transition.Graph {
	assign.Prepare(b.c)
	Internal(b.c)
	CheckHistory(b.c)
	assign.Run(b.c)
	Run(b.c)
	return Graph(b.c)
}

// groupClone makes a clone of groups; the groups named by active= run, except that members named by failed=
// failed there.
func (b *builder) groupClone(id string, o map[string]string) {
	r := b.collective(id, cib.Clone, o)
	count, _ := strconv.Atoi(o["max"])
	r.Unique = false
	r.Clone = &model.Clone{Max: count, NodeMax: 1, Interleave: o["interleave"] != ""}
	active := strings.FieldsFunc(o["active"], func(c rune) bool { return c == ',' })
	group := strings.TrimSuffix(id, "-clone")
	for i := range count {
		g := &model.Resource{ID: group + ":" + strconv.Itoa(i), Kind: cib.Group, Parent: r, Meta: map[string]string{}}
		b.common(g)
		g.Instance, g.Unique, g.ConfigID = i, false, group
		r.Children = append(r.Children, g)
		for _, name := range strings.Split(o["members"], ",") {
			mo := map[string]string{}
			if i < len(active) {
				mo["active"] = active[i]
				g.Active, g.Role = []*model.Node{b.node(active[i])}, model.RoleStarted
				if o["failed"] == name {
					mo["failed"] = ""
				}
			}
			m := b.primitive(name+":"+strconv.Itoa(i), g, mo)
			m.Instance, m.ConfigID, m.Unique = -1, name, false
			g.Children = append(g.Children, m)
		}
		r.Active = append(r.Active, g.Active...)
	}
}

func actionText(a *transition.Action) string {
	text := a.Key
	if a.Task == "cancel" {
		text = "cancel " + text
	}
	if a.Kind == transition.PseudoEvent {
		text = "(" + text + ")"
	}
	if a.Node != "" {
		text += " " + a.Node
	}
	return text
}

// show writes a graph as one line per action, sorted, with what it waits for; then what cannot run, with reasons.
func show(c *model.Cluster, g *transition.Graph) string {
	var lines []string
	for i := range g.Synapses {
		var inputs []string
		for _, in := range g.Synapses[i].Inputs {
			if in.Synapse < 0 {
				inputs = append(inputs, "never: "+actionText(in.Action))
				continue
			}
			inputs = append(inputs, actionText(&g.Synapses[in.Synapse].Action))
		}
		slices.Sort(inputs)
		line := actionText(&g.Synapses[i].Action)
		if len(inputs) > 0 {
			line += "   after: " + strings.Join(inputs, ", ")
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	var other []string
	for _, a := range c.Actions {
		if a.Reason == "" || a.Optional && !a.Forced {
			continue
		}
		node := ""
		if a.Node != nil {
			node = " " + a.Node.Name
		}
		what := "because"
		if !a.Runnable {
			what = "blocked by"
		}
		other = append(other, fmt.Sprintf("%s%s: %s %s", a.Key, node, what, a.Reason))
	}
	slices.Sort(other)
	for _, m := range c.Messages {
		if m.Error {
			other = append(other, "error: "+m.Text)
		}
	}
	if len(lines)+len(other) == 0 {
		return "nothing\n"
	}
	return strings.Join(append(lines, other...), "\n") + "\n"
}

// TestGolden decides about small clusters. Each case of a file under testdata has comment lines that name the
// rule, lines that make a cluster, "----", and what is decided, up to an empty line.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %d found", err, len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
			input, want, _ := strings.Cut(strings.Trim(block, "\n")+"\n", "----\n")
			b := newBuilder()
			name := ""
			for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
				if strings.HasPrefix(line, "#") {
					if name == "" {
						name = strings.TrimSpace(strings.TrimPrefix(line, "#"))
					}
					continue
				}
				b.line(line)
			}
			if b.err != nil {
				t.Errorf("%s: %s: %v", file, name, b.err)
				continue
			}
			got := show(b.c, b.decide())
			if got != want && !*rewrite {
				t.Errorf("%s: %s\ngot:\n%s\nwant:\n%s", file, name, got, want)
			}
			out.WriteString(input + "----\n" + got + "\n")
		}
		if *rewrite {
			if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestGraph_Withholds checks that nothing in a graph waits for an action that is not in it: of a chain
// a, b, c and an independent d, where a cannot run, only d is carried out.
func TestGraph_Withholds(t *testing.T) {
	t.Parallel()
	b := newBuilder()
	b.line("node n1")
	n := b.node("n1")
	var list []*model.Action
	for _, id := range []string{"a", "b", "c", "d"} {
		r := b.primitive(id, nil, nil)
		b.c.Resources = append(b.c.Resources, r)
		list = append(list, action.Start(b.c, r, n, false))
	}
	list[0].Runnable = false
	action.Relate(b.c, list[0], list[1], model.PullThen)
	action.Relate(b.c, list[1], list[2], model.Seq)
	g := Graph(b.c)
	if len(g.Synapses) != 1 || g.Synapses[0].Action.Key != "d_start_0" {
		t.Errorf("Graph() has %d actions, want d_start_0 alone:\n%s", len(g.Synapses), show(b.c, g))
	}
	if got := list[1].Reason; got != "unrunnable a start" {
		t.Errorf("reason of b = %q, want %q", got, "unrunnable a start")
	}
}

// TestPropagate_Contradiction checks that actions which require and cancel each other come to an end, far from
// the limit: promoting y requires the start of x, which the start of y makes unnecessary.
func TestPropagate_Contradiction(t *testing.T) {
	t.Parallel()
	b := newBuilder()
	b.line("node n1")
	n := b.node("n1")
	x, y := b.primitive("x", nil, nil), b.primitive("y", nil, nil)
	b.c.Resources = append(b.c.Resources, x, y)
	first := action.Start(b.c, x, n, false)
	then := action.Start(b.c, y, n, false)
	third := action.Promote(b.c, y, n, false)
	action.Relate(b.c, first, then, model.CancelFirst)
	action.Relate(b.c, third, first, model.PullThen)
	s := &scheduler{c: b.c}
	s.propagate()
	if used := updatesPerAction*4 - s.budget; used > 100 {
		t.Errorf("propagation took %d updates for three actions", used)
	}
	if first.Cancels != maxCancels {
		t.Errorf("the first action was cancelled %d times, want %d", first.Cancels, maxCancels)
	}
}

// TestDecide_Deterministic decides twice about the golden clusters.
func TestDecide_Deterministic(t *testing.T) {
	t.Parallel()
	if *rewrite {
		t.Skip("the golden files are being written")
	}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
			input, _, _ := strings.Cut(strings.Trim(block, "\n"), "----\n")
			var out [2]string
			for i := range out {
				b := newBuilder()
				for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
					if !strings.HasPrefix(line, "#") {
						b.line(line)
					}
				}
				out[i] = string(b.decide().XML())
			}
			if out[0] != out[1] {
				t.Errorf("%s: two decisions differ for\n%s", file, input)
			}
		}
	}
}
