package generate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Kinds are the features that Random can put into a document, in the order of the specification.
var Kinds = []string{"plain", "groups", "clones", "promotable", "bundles", "tickets", "utilization", "failures",
	"migration", "rules", "health", "sets", "notify", "locks", "remote", "guest", "unfencing", "quorum", "history", "mixed"}

// Random returns a small document with the feature of the kind in it, and history as clusters have it after
// failures. Equal seeds give equal documents.
func Random(kind string, seed uint64) string {
	g := &random{rng: rand.New(rand.NewPCG(seed, 20)), kind: kind}
	g.site()
	return g.document()
}

// now is the time of every generated document, in seconds since 1970.
const now = 1700001000

type random struct {
	rng  *rand.Rand
	kind string

	nodes       []string // cluster nodes
	guests      []string // remote and guest nodes
	options     []string
	resources   []string
	constraints []string
	tickets     []string
	defaults    string
	attributes  map[string]string // permanent attributes: node to nvpairs
	transient   map[string]string
	history     map[string][]string // node to lrm_resource elements
	homes       map[string]string
	written     map[string]bool // node/lrm_resource
	tops        []top
	leaves      []leaf
	number, ids int
}

// top is something that a constraint can name; leaf a primitive with its names in the history.
type top struct {
	id         string
	promotable bool
}

type leaf struct {
	id                     string
	class, provider, agent string
	clone                  bool // anonymous instance
	unique                 int  // instances of a unique clone; 0 = no such
	promotable, migratable bool
	group                  string // members of one are together most of the time
	monitored              bool   // has a monitor every ten seconds
}

func (g *random) n(n int) int             { return g.rng.IntN(n) }
func (g *random) chance(percent int) bool { return g.rng.IntN(100) < percent }
func (g *random) is(kinds ...string) bool {
	for _, k := range kinds {
		if g.kind == k {
			return true
		}
	}
	return g.kind == "mixed" && g.chance(30)
}
func (g *random) pick(list ...string) string { return list[g.n(len(list))] }
func (g *random) id(prefix string) string    { g.ids++; return fmt.Sprintf("%s-%d", prefix, g.ids) }
func (g *random) nv(name, value string) string {
	return fmt.Sprintf(`<nvpair id="%s" name="%s" value="%s"/>`, g.id("nv"), name, value)
}
func (g *random) meta(pairs string) string {
	if pairs == "" {
		return ""
	}
	return fmt.Sprintf(`<meta_attributes id="%s">%s</meta_attributes>`, g.id("ma"), pairs)
}
func (g *random) params(pairs string) string {
	if pairs == "" {
		return ""
	}
	return fmt.Sprintf(`<instance_attributes id="%s">%s</instance_attributes>`, g.id("ia"), pairs)
}

func (g *random) site() {
	g.attributes, g.transient, g.history, g.written, g.homes = map[string]string{}, map[string]string{}, map[string][]string{}, map[string]bool{}, map[string]string{}
	for i := range 2 + g.n(3) {
		g.nodes = append(g.nodes, fmt.Sprintf("node%d", i+1))
	}
	g.clusterOptions()
	g.resources = append(g.resources, `<primitive id="fencer" class="stonith" type="fence_dummy"/>`)
	if g.is("unfencing") {
		g.resources = append(g.resources, `<primitive id="unfencer" class="stonith" type="fence_scsi"><meta_attributes id="unfencer-m"><nvpair id="unfencer-p" name="provides" value="unfencing"/></meta_attributes></primitive>`)
		g.leaves = append(g.leaves, leaf{id: "unfencer", class: "stonith", agent: "fence_scsi"})
	}
	g.leaves = append(g.leaves, leaf{id: "fencer", class: "stonith", agent: "fence_dummy"})
	if g.is("remote") {
		g.remotes()
	}
	for range 2 + g.n(4) {
		g.resource()
	}
	if g.is("bundles") {
		g.bundle()
	}
	for range 1 + g.n(5) {
		g.constraint()
	}
	if g.is("sets") {
		for range 1 + g.n(2) {
			g.set()
		}
	}
	if g.is("tickets") {
		for range 1 + g.n(3) {
			g.ticket()
		}
	}
	for _, n := range append(append([]string{}, g.nodes...), g.guests...) {
		g.nodeAttributes(n)
	}
	for _, l := range g.leaves {
		g.record(l)
	}
	if g.chance(40) || g.is("rules") {
		g.defaults = `<rsc_defaults>` + g.meta(g.nv("resource-stickiness", g.pick("1", "100", "INFINITY"))) + g.ruledMeta() + `</rsc_defaults>`
	}
}

func (g *random) clusterOptions() {
	add := func(name, value string) { g.options = append(g.options, g.nv(name, value)) }
	if !g.is("unfencing") && g.chance(15) {
		add("stonith-enabled", "false")
	}
	if g.is("quorum") || g.chance(15) {
		add("no-quorum-policy", g.pick("stop", "freeze", "ignore", "demote", "suicide"))
	}
	if g.is("utilization") {
		add("placement-strategy", g.pick("utilization", "minimal", "balanced"))
	}
	if g.is("health") {
		add("node-health-strategy", g.pick("migrate-on-red", "only-green", "progressive", "custom"))
		if g.chance(50) {
			add("node-health-base", g.pick("10", "-10", "100"))
			add("node-health-yellow", g.pick("-5", "-100"))
			add("node-health-red", g.pick("-50", "-INFINITY"))
		}
	}
	if g.is("locks") {
		add("shutdown-lock", "true")
		if g.chance(50) {
			add("shutdown-lock-limit", g.pick("10min", "2h"))
		}
	}
	for _, o := range []struct {
		name    string
		percent int
		values  []string
	}{{"symmetric-cluster", 8, []string{"false"}}, {"maintenance-mode", 3, []string{"true"}}, {"startup-fencing", 8, []string{"false"}},
		{"concurrent-fencing", 20, []string{"true", "false"}}, {"priority-fencing-delay", 10, []string{"15s"}},
		{"stop-all-resources", 3, []string{"true"}}, {"enable-startup-probes", 5, []string{"false"}}, {"stop-orphan-resources", 8, []string{"false"}},
		{"stop-orphan-actions", 8, []string{"false"}}, {"stonith-action", 8, []string{"off"}}, {"start-failure-is-fatal", 8, []string{"false"}}} {
		if g.chance(o.percent) {
			add(o.name, g.pick(o.values...))
		}
	}
}

// primitive returns the XML of a new primitive with the extra meta attributes, and enters it in leaves.
func (g *random) primitive(l leaf, extra string) string {
	g.number++
	l.id, l.class, l.provider, l.agent = fmt.Sprintf("p%02d", g.number), "ocf", "pacemaker", "Dummy"
	if l.promotable {
		l.agent = "Stateful"
	}
	pairs := extra
	for _, m := range []struct {
		name    string
		percent int
		values  []string
	}{{"priority", 12, []string{"1", "10", "-5"}}, {"target-role", 10, []string{"Stopped", "Started"}}, {"is-managed", 4, []string{"false"}},
		{"migration-threshold", 20, []string{"1", "3"}}, {"failure-timeout", 15, []string{"60s", "1h"}}, {"multiple-active", 12, []string{"block", "stop_only", "stop_unexpected"}},
		{"requires", 12, []string{"nothing", "quorum", "fencing"}}, {"critical", 8, []string{"false"}}, {"resource-stickiness", 15, []string{"0", "1", "50"}},
		{"maintenance", 1, []string{"true"}}, {"allow-unhealthy-nodes", 5, []string{"true"}}} {
		if g.chance(m.percent) {
			pairs += g.nv(m.name, g.pick(m.values...))
		}
	}
	if g.is("migration") || g.chance(10) {
		if g.chance(70) {
			l.migratable = true
			pairs += g.nv("allow-migrate", "true")
		}
	}
	var operations strings.Builder
	onFail := func(values ...string) string {
		if g.is("failures") || g.chance(15) {
			return fmt.Sprintf(` on-fail="%s"`, g.pick(values...))
		}
		return ""
	}
	op := func(name, interval, rest string) {
		fmt.Fprintf(&operations, `<op id="%s-%s-%s%d" name="%[2]s" interval="%[3]s"%[5]s/>`, l.id, name, interval, operations.Len(), rest)
	}
	if g.chance(80) {
		rest := onFail("ignore", "block", "stop", "restart", "standby", "fence", "demote")
		if l.promotable && g.chance(70) {
			rest += ` role="Unpromoted"`
			op("monitor", "9s", ` role="Promoted"`+onFail("demote", "fence", "restart"))
		}
		op("monitor", "10s", rest)
		l.monitored = true
	}
	if g.chance(10) {
		op("monitor", "20s", ` role="Stopped"`)
	}
	if g.chance(15) {
		op("start", "0", onFail("ignore", "block", "stop", "restart", "fence"))
	}
	if g.chance(15) {
		op("stop", "0", onFail("ignore", "block", "fence"))
	}
	if l.promotable && g.chance(15) {
		op("demote", "0", onFail("ignore", "block", "fence", "stop"))
	}
	body := g.meta(pairs)
	if g.is("rules") && g.chance(50) {
		body += g.ruledMeta()
	}
	if g.is("utilization") {
		body += fmt.Sprintf(`<utilization id="%s">%s</utilization>`, g.id("u"), g.nv("cpu", g.pick("1", "2", "3"))+g.nv("memory", g.pick("5", "10", "50")))
	}
	if g.chance(10) {
		body += g.params(g.nv("state", "/x"))
	}
	if operations.Len() > 0 {
		body += `<operations>` + operations.String() + `</operations>`
	}
	g.leaves = append(g.leaves, l)
	return fmt.Sprintf(`<primitive id="%s" class="%s" provider="%s" type="%s">%s</primitive>`, l.id, l.class, l.provider, l.agent, body)
}

func (g *random) group(l leaf, min int) (id, text string) {
	id = fmt.Sprintf("g%02d", g.number+1)
	l.group = id
	for range min + g.n(3) {
		text += g.primitive(l, "")
	}
	pairs := ""
	if g.chance(8) {
		pairs += g.nv(g.pick("target-role", "is-managed"), "false")
	}
	if g.chance(5) {
		pairs += g.nv("ordered", "false")
	}
	return id, fmt.Sprintf(`<group id="%s">%s%s</group>`, id, g.meta(pairs), text)
}

func (g *random) resource() {
	kinds := []string{"primitive", "primitive", "group", "clone"}
	switch g.kind {
	case "groups":
		kinds = append(kinds, "group", "group", "clone")
	case "clones", "notify", "sets":
		kinds = append(kinds, "clone", "clone")
	case "promotable":
		kinds = append(kinds, "promotable", "promotable")
	case "guest":
		kinds = append(kinds, "guest", "clone")
	case "mixed":
		kinds = append(kinds, "promotable", "guest", "clone", "group")
	}
	kind := g.pick(kinds...)
	switch kind {
	case "primitive":
		text := g.primitive(leaf{}, "")
		g.resources = append(g.resources, text)
		g.tops = append(g.tops, top{id: g.leaves[len(g.leaves)-1].id})
	case "guest":
		name := fmt.Sprintf("guest%d", len(g.guests)+1)
		g.guests = append(g.guests, name)
		text := g.primitive(leaf{}, g.nv("remote-node", name))
		g.resources = append(g.resources, text)
		g.tops = append(g.tops, top{id: g.leaves[len(g.leaves)-1].id})
		g.leaves = append(g.leaves, leaf{id: name, class: "ocf", provider: "pacemaker", agent: "remote"})
	case "group":
		id, text := g.group(leaf{}, 1)
		g.resources = append(g.resources, text)
		g.tops = append(g.tops, top{id: id})
	default:
		g.clone(kind == "promotable" || g.is("promotable"))
	}
}

func (g *random) clone(promotable bool) {
	l := leaf{clone: true, promotable: promotable}
	pairs := ""
	if promotable {
		pairs += g.nv("promotable", "true")
		if g.chance(25) {
			pairs += g.nv("promoted-max", g.pick("0", "2", "3"))
		}
	}
	if g.chance(45) {
		pairs += g.nv("interleave", "true")
	}
	if g.is("notify") || g.chance(10) {
		pairs += g.nv("notify", "true")
	}
	if g.chance(15) {
		pairs += g.nv("ordered", "true")
	}
	if g.chance(15) {
		pairs += g.nv("clone-min", g.pick("1", "2"))
	}
	max := len(g.nodes)
	if g.chance(25) {
		max = 1 + g.n(4)
		pairs += g.nv("clone-max", fmt.Sprint(max))
	}
	if g.chance(15) {
		l.clone, l.unique = false, max
		pairs += g.nv("globally-unique", "true")
		if g.chance(50) {
			pairs += g.nv("clone-node-max", "2")
		}
	}
	if g.chance(6) {
		pairs += g.nv("target-role", g.pick("Stopped", "Unpromoted", "Started"))
	}
	if g.chance(5) {
		pairs += g.nv("is-managed", "false")
	}
	id := fmt.Sprintf("c%02d", g.number+1)
	var text string
	if g.chance(25) {
		_, text = g.group(l, 1)
	} else {
		text = g.primitive(l, "")
	}
	g.resources = append(g.resources, fmt.Sprintf(`<clone id="%s">%s%s</clone>`, id, g.meta(pairs), text))
	g.tops = append(g.tops, top{id: id, promotable: promotable})
}

func (g *random) remotes() {
	for i := range 1 + g.n(2) {
		name := fmt.Sprintf("remote%d", i+1)
		g.guests = append(g.guests, name)
		extra := ""
		if g.chance(30) {
			extra = g.params(g.nv("reconnect_interval", g.pick("60s", "1h")))
		}
		if g.chance(10) {
			extra += g.meta(g.nv("target-role", "Stopped"))
		}
		g.resources = append(g.resources, fmt.Sprintf(`<primitive id="%s" class="ocf" provider="pacemaker" type="remote">%s<operations><op id="%[1]s-m" name="monitor" interval="30s"/></operations></primitive>`, name, extra))
		g.tops = append(g.tops, top{id: name})
		g.leaves = append(g.leaves, leaf{id: name, class: "ocf", provider: "pacemaker", agent: "remote"})
	}
}

func (g *random) bundle() {
	id := fmt.Sprintf("b%02d", g.number+1)
	replicas, host, promoted := 1+g.n(3), 1, ""
	if g.chance(25) {
		host = 2
	}
	l := leaf{clone: true, monitored: true}
	if g.chance(50) {
		promoted = fmt.Sprintf(` promoted-max="%d"`, 1+g.n(2))
		l.promotable = true
	}
	network, inner := "", ""
	addresses := g.chance(70)
	if addresses {
		network = `<network ip-range-start="192.168.7.10" host-netmask="24"><port-mapping id="` + id + `-port" port="80"/></network>`
	}
	if addresses && g.chance(75) {
		inner = g.primitive(l, "")
		l = g.leaves[len(g.leaves)-1]
		g.leaves = g.leaves[:len(g.leaves)-1]
		for i := range replicas {
			node := fmt.Sprintf("%s-%d", id, i)
			if g.chance(60) {
				home := g.pick(g.nodes...)
				g.run(home, leaf{id: fmt.Sprintf("%s-docker-%d", id, i), class: "ocf", provider: "heartbeat", agent: "docker"}, "")
				g.run(home, leaf{id: fmt.Sprintf("%s-ip-192.168.7.%d", id, 10+i), class: "ocf", provider: "heartbeat", agent: "IPaddr2"}, "")
				g.run(home, leaf{id: node, class: "ocf", provider: "pacemaker", agent: "remote"}, "")
				if g.chance(80) {
					g.guests = append(g.guests, node)
					g.run(node, l, g.pick("", "", "promote"))
				}
			}
		}
	}
	g.resources = append(g.resources, fmt.Sprintf(`<bundle id="%s"><docker image="i:latest" replicas="%d" replicas-per-host="%d"%s/>%s%s</bundle>`, id, replicas, host, promoted, network, inner))
	g.tops = append(g.tops, top{id: id, promotable: promoted != "" && inner != ""})
}
