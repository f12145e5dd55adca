package assign

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
	"github.com/quorate/quorate/crm/policy/model"
	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// builder makes small clusters from lines such as "primitive A active=n1 stickiness=100".
type builder struct {
	c   *model.Cluster
	err error
}

func newBuilder() *builder {
	c := model.New(&cib.Document{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c.Options.Symmetric, c.Options.Quorate = true, true
	c.Trace = model.Trace{Scores: true, Reasons: true}
	return &builder{c: c}
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

func (b *builder) number(text string) int32 {
	switch text {
	case "INFINITY":
		return model.Infinity
	case "-INFINITY":
		return model.MinInfinity
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		b.fail("number %q", text)
	}
	return int32(v)
}

func capacityList(text string) []model.Capacity {
	name, value, _ := strings.Cut(text, ":")
	v, _ := strconv.ParseInt(value, 10, 64)
	return []model.Capacity{{Name: name, Value: v}}
}

// options splits the words after the first ones into name=value.
func options(words []string) map[string]string {
	m := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		m[k] = v
	}
	return m
}

func (b *builder) prepareTable(r *model.Resource) {
	r.Allowed = r.Allowed.Grow(b.c.NodeCount())
	if b.c.Options.Symmetric {
		for _, n := range b.c.Nodes {
			r.Allowed[n.Index] = model.Entry{Score: n.Score, Present: true}
		}
	}
}

func (b *builder) common(r *model.Resource, o map[string]string) {
	r.Instance = -1
	r.ConfigID = r.ID
	r.Managed, r.Critical, r.Unique, r.MigrationThreshold = true, true, true, model.Infinity
	r.Requires = model.RequiresQuorum
	r.Role = model.RoleStopped
	b.prepareTable(r)
	for k, v := range o {
		switch k {
		case "stickiness":
			r.Stickiness = b.number(v)
		case "priority":
			r.Priority = b.number(v)
		case "unmanaged":
			r.Managed = false
		case "next":
			r.Next = model.ParseRole(v)
		case "uncritical":
			r.Critical = false
		case "failed":
			r.Failed = true
		case "removed":
			r.Removed = true
		case "exclusive":
			r.ExclusiveDiscovery = true
		case "uncolocated":
			r.GroupUncolocated = true
		case "connection":
			r.Connection = true
		case "threshold":
			r.MigrationThreshold = b.number(v)
		case "device":
			r.FenceDevice = true
		case "util":
			r.Utilization = capacityList(v)
		case "launcher":
			r.Launcher = b.resource(v)
			r.Launcher.Launched = append(r.Launcher.Launched, r)
		case "active", "role", "max", "node-max", "promotable", "promoted-max", "promoted-node-max", "interleave", "unique":
		default:
			b.fail("option %q", k)
		}
	}
}

// activate makes a primitive active on nodes such as "n1,n2".
func (b *builder) activate(r *model.Resource, names, role string) {
	if names == "" {
		return
	}
	r.Role = model.RoleStarted
	if role != "" {
		r.Role = model.ParseRole(role)
	}
	r.Known = make([]bool, b.c.NodeCount())
	for _, name := range strings.Split(names, ",") {
		n := b.node(name)
		r.Active = append(r.Active, n)
		n.Running = append(n.Running, r)
		if !r.Managed { // as reading the history does
			insertDeep(r, n, model.Infinity)
		}
		if n.Index < len(r.Known) {
			r.Known[n.Index] = true
		}
	}
}

func (b *builder) copyOf(r *model.Resource, parent *model.Resource, number int) *model.Resource {
	x := *r
	x.ID = fmt.Sprintf("%s:%d", r.ID, number)
	x.Parent, x.Instance, x.Unique = parent, number, parent.Clone.Unique
	x.Allowed = append(model.Table(nil), r.Allowed...)
	x.Active, x.Known, x.Role, x.Children = nil, nil, model.RoleStopped, nil
	if x.Stickiness == 0 {
		x.Stickiness = 1
	}
	if parent.Next != model.RoleUnknown {
		x.Next = parent.Next
	}
	x.ThisWith, x.WithThis, x.Locations = nil, nil, nil
	b.c.AddResource(&x)
	for _, child := range r.Children {
		m := b.copyOf(child, parent, number)
		m.Parent, m.Instance = &x, -1
		x.Children = append(x.Children, m)
	}
	return &x
}

func (b *builder) top(r *model.Resource) {
	b.c.AddResource(r)
	at := len(b.c.Resources)
	for i, o := range b.c.Resources {
		if o.Priority < r.Priority {
			at = i
			break
		}
	}
	b.c.Resources = append(b.c.Resources[:at], append([]*model.Resource{r}, b.c.Resources[at:]...)...)
}

func (b *builder) takeTop(r *model.Resource) {
	for i, o := range b.c.Resources {
		if o == r {
			b.c.Resources = append(b.c.Resources[:i:i], b.c.Resources[i+1:]...)
			return
		}
	}
}

func (b *builder) line(text string) {
	w := strings.Fields(text)
	if len(w) < 2 {
		b.fail("line %q", text)
		return
	}
	c := b.c
	switch w[0] {
	case "option":
		c.Trace.Utilization = w[1] == "utilization" || w[1] == "balanced" || w[1] == "minimal"
		switch w[1] {
		case "opt-in":
			c.Options.Symmetric = false
		case "inquorate":
			c.Options.Quorate = false
		case "freeze":
			c.Options.QuorumPolicy = model.QuorumFreeze
		case "stop-all":
			c.Options.StopAll = true
		case "utilization":
			c.Options.Placement = model.PlaceUtilization
		case "balanced":
			c.Options.Placement = model.PlaceBalanced
		case "minimal":
			c.Options.Placement = model.PlaceMinimal
		case "fencing":
			c.Options.FencingEnabled = true
		default:
			b.fail("option %q", w[1])
		}
	case "node":
		n := &model.Node{ID: w[1], Name: w[1], Online: true, Seen: true, Attributes: map[string]string{}}
		for k, v := range options(w[2:]) {
			switch k {
			case "offline":
				n.Online = false
			case "standby":
				n.Standby = true
			case "unclean":
				n.Unclean = true
			case "score":
				n.Score = b.number(v)
			case "util":
				n.Utilization, n.Capacity = capacityList(v), capacityList(v)
			case "remote":
				n.Kind, n.Online, n.Seen, n.Unclean = model.RemoteNode, false, false, true
				c.HaveRemoteNodes = true
			case "failures":
				rsc, count, _ := strings.Cut(v, ":")
				n.FailureAttributes = []model.NodeAttribute{{Name: "fail-count-" + rsc + "#monitor_10000", Value: count}}
			default:
				n.Attributes[k] = v
			}
		}
		c.AddNode(n)
	case "primitive":
		o := options(w[2:])
		r := &model.Resource{ID: w[1], Kind: cib.Primitive, Class: "ocf", Provider: "heartbeat", Type: "Dummy"}
		b.common(r, o)
		b.top(r)
		b.activate(r, o["active"], o["role"])
		if r.Connection {
			r.RemoteNode = b.node(w[1])
			r.RemoteNode.Connection = r
		}
	case "group":
		r := &model.Resource{ID: w[1], Kind: cib.Group}
		b.top(r)
		var rest []string
		for _, m := range w[2:] {
			if member := c.Resource(m); member != nil {
				b.takeTop(member)
				member.Parent = r
				r.Children = append(r.Children, member)
			} else {
				rest = append(rest, m)
			}
		}
		b.common(r, options(rest))
	case "clone":
		o := options(w[3:])
		r := &model.Resource{ID: w[1], Kind: cib.Clone}
		b.top(r)
		b.common(r, o)
		child := b.resource(w[2])
		b.takeTop(child)
		get := func(name string, def int) int {
			if v, ok := o[name]; ok {
				return int(b.number(v))
			}
			return def
		}
		_, prom := o["promotable"]
		_, inter := o["interleave"]
		_, unique := o["unique"]
		r.Clone = &model.Clone{Max: get("max", len(c.Nodes)), NodeMax: get("node-max", 1), Promotable: prom, Interleave: inter, Unique: unique,
			PromotedMax: get("promoted-max", 1), PromotedNodeMax: get("promoted-node-max", 1)}
		r.Unique = unique
		for i := range r.Clone.Max {
			r.Children = append(r.Children, b.copyOf(child, r, i))
		}
	case "active": // active ID:N NODES [ROLE]
		role := ""
		if len(w) > 3 {
			role = w[3]
		}
		b.activate(b.resource(w[1]), w[2], role)
	case "known": // known ID NODE
		r := b.resource(w[1])
		if r.Known == nil {
			r.Known = make([]bool, c.NodeCount())
		}
		r.Known[b.node(w[2]).Index] = true
	case "location": // location RSC NODE SCORE [role=R] [exclusive]
		o := options(w[4:])
		r := b.resource(w[1])
		l := &model.Location{ID: "loc-" + w[1] + "-" + w[2], Resource: r, Role: model.ParseRole(o["role"]),
			Nodes: []model.LocationNode{{Node: b.node(w[2]), Score: b.number(w[3])}}}
		if _, ok := o["exclusive"]; ok {
			l.Discovery, r.ExclusiveDiscovery = model.DiscoverExclusive, true
		}
		c.Locations = append([]*model.Location{l}, c.Locations...)
		r.Locations = append([]*model.Location{l}, r.Locations...)
	case "colocate": // colocate DEPENDENT PRIMARY SCORE [role=R] [with-role=R] [influence=false] [attribute=A]
		o := options(w[4:])
		x := &model.Colocation{ID: "col-" + w[1] + "-" + w[2], Dependent: b.resource(w[1]), Primary: b.resource(w[2]), Score: b.number(w[3]),
			DependentRole: model.ParseRole(o["role"]), PrimaryRole: model.ParseRole(o["with-role"]), Attribute: "#uname",
			Explicit: true}
		x.Influence = x.Dependent.Critical && o["influence"] != "false"
		if v := o["attribute"]; v != "" {
			x.Attribute = v
		}
		c.Colocations = append(c.Colocations, x)
		x.Dependent.ThisWith = append(x.Dependent.ThisWith, x)
		x.Primary.WithThis = append(x.Primary.WithThis, x)
	case "ticket": // ticket RSC ROLE
		r := b.resource(w[1])
		r.Tickets = append(r.Tickets, &model.TicketConstraint{ID: "ticket", Resource: r, Ticket: &model.Ticket{ID: "t"}, Role: model.ParseRole(w[2])})
	case "origins":
	default:
		b.fail("line %q", text)
	}
}

func build(text string) (*model.Cluster, []string, error) {
	b := newBuilder()
	var explain []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		b.line(l)
		if id, ok := strings.CutPrefix(l, "origins "); ok {
			explain = append(explain, id)
		}
	}
	b.spread()
	return b.c, explain, b.err
}

// spread gives collectives the active nodes of what they consist of, in the order of the nodes, as reading the
// status does.
func (b *builder) spread() {
	for _, n := range b.c.Nodes {
		for _, r := range n.Running {
			for p := r.Parent; p != nil; p = p.Parent {
				if !slices.Contains(p.Active, n) {
					p.Active = append(p.Active, n)
				}
			}
		}
	}
}

// show writes the score lines and the outcome.
func show(c *model.Cluster, explain []string) string {
	var out strings.Builder
	for _, l := range c.Scores {
		out.WriteString(l.Text() + "\n")
	}
	for _, top := range c.Resources {
		forPrimitives(top, func(r *model.Resource) {
			at := "nowhere"
			if r.Assigned != nil {
				at = r.Assigned.Name
			}
			if r.Next != model.RoleUnknown {
				at += " " + r.Next.String()
			}
			fmt.Fprintf(&out, "%s: %s\n", r.ID, at)
		})
	}
	for _, m := range c.Messages {
		fmt.Fprintf(&out, "message: %s\n", m.Text)
	}
	for _, id := range explain {
		r := c.Resource(id)
		for _, n := range c.Nodes {
			if n.Index >= len(r.Origins) {
				continue
			}
			for _, o := range r.Origins[n.Index] {
				fmt.Fprintf(&out, "origin %s on %s: kind %d %s %s %s\n", id, n.Name, o.Kind, o.ID, model.ScoreText(o.Number), o.Text)
			}
		}
	}
	return out.String()
}

// Golden files have cases between lines of "====": what is there, "----", and what comes out of it.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/*.txt: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cases := strings.Split(string(data), "====\n")
			for i, text := range cases {
				input, want, _ := strings.Cut(text, "----\n")
				c, explain, err := build(input)
				if err != nil {
					t.Fatalf("case %d: %v", i+1, err)
				}
				Prepare(c)
				Run(c)
				got := show(c, explain)
				cases[i] = input + "----\n" + got
				if got != want && !*rewrite {
					t.Errorf("case %d:\n%s----\n%s\nwant:\n%s", i+1, input, got, want)
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(cases, "====\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestScaled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f    float32
		s    int32
		want int32
	}{
		{0.5, 100, 50}, {0.5, 7, 4}, {-0.5, 7, -4}, {0.0001, 1000, 1}, {-0.0001, 1000, -1}, {0.0001, -3, 1}, {0, 5, 0}, {1, 0, 0},
		{1, model.MinInfinity, model.MinInfinity}, {-0.005, model.MinInfinity, 5000}, {-1, model.MinInfinity, model.Infinity},
		{1, 999999, 999999},
	} {
		if got := scaled(c.f, c.s); got != c.want {
			t.Errorf("scaled(%v, %d) = %d, want %d", c.f, c.s, got, c.want)
		}
	}
}

// Goal: the quirk of merged lists (spec 03 section 6.2) and the order of equal others.
func TestMergeColocations(t *testing.T) {
	t.Parallel()
	col := func(id string, priority int32) *model.Colocation {
		return &model.Colocation{ID: id, Primary: &model.Resource{ID: id, Priority: priority}}
	}
	names := func(list []*model.Colocation) string {
		var ids []string
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		return strings.Join(ids, " ")
	}
	x, y, z := col("x", 0), col("y", 0), col("z", 0)
	if got := names(mergeColocations(nil, []*model.Colocation{y, z}, true)); got != "y z" {
		t.Errorf("into an empty list: %s, want y z", got)
	}
	if got := names(mergeColocations([]*model.Colocation{x}, []*model.Colocation{y, z}, true)); got != "x y y" {
		t.Errorf("into a list: %s, want x y y", got)
	}
	big := col("big", 5)
	sorted := sortedColocations([]*model.Colocation{z, x, big, y}, true)
	if got := names(sorted); got != "big x y z" {
		t.Errorf("sorted: %s, want big x y z", got)
	}
	same := &model.Colocation{ID: "x2", Primary: x.Primary}
	if got := names(sortedColocations([]*model.Colocation{x, same}, true)); got != "x2 x" {
		t.Errorf("equal others: %s, want the newest first", got)
	}
}

// generated draws the lines of a random cluster.
func generated(t *rapid.T) string {
	var out []string
	nodes := rapid.IntRange(1, 4).Draw(t, "nodes")
	for i := range nodes {
		out = append(out, fmt.Sprintf("node n%d%s", i, rapid.SampledFrom([]string{"", "", " offline", " standby", " master-p0=5"}).Draw(t, "state")))
	}
	out = append([]string{rapid.SampledFrom([]string{"option fencing", "option balanced", "option minimal", "option opt-in", "# none"}).Draw(t, "option")}, out...)
	node := func() string { return fmt.Sprintf("n%d", rapid.IntRange(0, nodes-1).Draw(t, "node")) }
	count := rapid.IntRange(1, 7).Draw(t, "primitives")
	var top []string
	for i := range count {
		l := fmt.Sprintf("primitive p%d stickiness=%d priority=%d", i, rapid.IntRange(0, 5).Draw(t, "stickiness"), rapid.IntRange(0, 2).Draw(t, "priority"))
		if i >= 3 && rapid.Bool().Draw(t, "active") {
			l += " active=" + node()
		}
		out = append(out, l)
	}
	for i := range count {
		top = append(top, fmt.Sprintf("p%d", i))
	}
	if rapid.Bool().Draw(t, "clone") {
		out = append(out, "clone c p0 "+rapid.SampledFrom([]string{"", "promotable", "unique node-max=2 max=3", "interleave"}).Draw(t, "kind"))
		top[0] = "c"
	}
	if count > 2 && rapid.Bool().Draw(t, "group") {
		out = append(out, "group g p1 p2")
		top[1] = "g"
		top = append(top[:2], top[3:]...)
	}
	pick := func() string { return rapid.SampledFrom(top).Draw(t, "resource") }
	points := func() string {
		return rapid.SampledFrom([]string{"INFINITY", "-INFINITY", "100", "-100", "7"}).Draw(t, "score")
	}
	for range rapid.IntRange(0, 4).Draw(t, "locations") {
		out = append(out, fmt.Sprintf("location %s %s %s", pick(), node(), points()))
	}
	for range rapid.IntRange(0, 6).Draw(t, "colocations") {
		x, y := pick(), pick()
		if x != y {
			out = append(out, fmt.Sprintf("colocate %s %s %s", x, y, points()))
		}
	}
	return strings.Join(out, "\n")
}

// Goal: on any cluster the assignment ends, is the same twice, respects tables and limits, and takes counts
// and tables along without error.
func TestRun_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := generated(t)
		run := func() *model.Cluster {
			c, _, err := build(text)
			if err != nil {
				t.Fatalf("%s\n%v", text, err)
			}
			Prepare(c)
			Run(c)
			return c
		}
		c := run()
		if a, b := show(c, nil), show(run(), nil); a != b {
			t.Fatalf("%s\ndiffers:\n%s\n%s", text, a, b)
		}
		bare, _, _ := build(text) // what is recorded beside the decision changes nothing
		bare.Trace = model.Trace{}
		Prepare(bare)
		Run(bare)
		c.Scores = nil
		if loud, quiet := show(c, nil), show(bare, nil); loud != quiet {
			t.Fatalf("%s\nwith and without trace:\n%s\n%s", text, loud, quiet)
		}
		count := map[*model.Node]int{}
		for _, top := range c.Resources {
			forPrimitives(top, func(r *model.Resource) {
				if !r.AssignedDone {
					t.Fatalf("%s\n%s is not decided", text, r.ID)
				}
				if r.Assigned == nil {
					return
				}
				count[r.Assigned]++
				sum := int32(0)
				for _, o := range origins(r, r.Assigned) {
					if o.Kind != model.OriginRole {
						sum = model.AddScore(sum, o.Number)
					}
				}
				if s := score(r.Allowed, r.Assigned); s != sum {
					t.Fatalf("%s\n%s on %s: score %d, its origins give %d: %v", text, r.ID, r.Assigned.Name, s, sum, origins(r, r.Assigned))
				}
				if r.Managed && (!r.Assigned.Available() || score(r.Allowed, r.Assigned) < 0) {
					t.Fatalf("%s\n%s is on %s with score %d", text, r.ID, r.Assigned.Name, score(r.Allowed, r.Assigned))
				}
			})
			if top.Kind == cib.Clone && top.Managed {
				on := map[*model.Node]int{}
				for _, x := range top.Children {
					if n := assignedNode(x); n != nil && x.Managed {
						if on[n]++; on[n] > top.Clone.NodeMax {
							t.Fatalf("%s\n%d instances on %s", text, on[n], n.Name)
						}
					}
				}
			}
		}
		for _, n := range c.Nodes {
			if n.Assigned != count[n] {
				t.Fatalf("%s\n%s counts %d resources, has %d", text, n.Name, n.Assigned, count[n])
			}
		}
		for _, x := range c.Colocations {
			if x.Score <= model.MinInfinity && x.Explicit && x.Dependent.Kind == cib.Primitive && x.Primary.Kind == cib.Primitive &&
				x.Dependent.Managed && x.Primary.Managed && x.Dependent.Assigned != nil && x.Dependent.Assigned == x.Primary.Assigned && !twoWay(c, x) {
				t.Fatalf("%s\n%s and %s are together", text, x.Dependent.ID, x.Primary.ID)
			}
		}
	})
}

func origins(r *model.Resource, n *model.Node) []model.Origin {
	if n.Index < len(r.Origins) {
		return r.Origins[n.Index]
	}
	return nil
}

// twoWay reports whether colocations tie the two resources in a loop, in which one of them is placed before
// the constraint can be applied.
func twoWay(c *model.Cluster, x *model.Colocation) bool {
	reach := map[*model.Resource]bool{x.Primary: true}
	for range c.Colocations {
		for _, y := range c.Colocations {
			if reach[y.Dependent] {
				reach[y.Primary] = true
			}
			if reach[y.Primary] && y.Primary.Parent != nil {
				reach[y.Primary.Parent] = true
			}
			for _, child := range y.Primary.Children {
				if reach[y.Primary] {
					reach[child] = true
				}
			}
		}
	}
	return reach[x.Dependent]
}

// Goal: colocations that fan out and in again do not take forever. Method: layers of resources, each tied to
// all of the layer before, which have 4^12 paths.
func TestRun_ManyPathsEnd(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	out.WriteString("node n0\nnode n1\n")
	for layer := range 12 {
		for i := range 4 {
			fmt.Fprintf(&out, "primitive p%d-%d\n", layer, i)
			for k := range 4 {
				if layer > 0 {
					fmt.Fprintf(&out, "colocate p%d-%d p%d-%d 500000\n", layer, i, layer-1, k)
				}
			}
		}
	}
	c, _, err := build(out.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Trace = model.Trace{}
	Prepare(c)
	Run(c)
	if len(c.Messages) != 1 || !strings.Contains(c.Messages[0].Text, "too many paths") {
		t.Errorf("Messages = %v, want one about too many paths", c.Messages)
	}
}
