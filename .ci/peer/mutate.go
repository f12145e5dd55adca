package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// mutator makes small changes in a document, as an administrator or a cluster might.
type mutator struct {
	rng   *rand.Rand
	root  *element
	ids   int
	notes []string
}

func (m *mutator) pick(list ...string) string { return list[m.rng.IntN(len(list))] }
func (m *mutator) id() string                 { m.ids++; return fmt.Sprintf("mutant-%d", m.ids) }

// mutate makes one change, trying until something fits the document, and says what it was.
func (m *mutator) mutate() {
	kinds := []func() string{m.property, m.resourceMeta, m.resourceMeta, m.changePair, m.changePair, m.changeConstraint, m.changeConstraint,
		m.newConstraint, m.newConstraint, m.removeOne, m.removeOne, m.operation, m.nodeState, m.nodeAttribute, m.transient, m.result, m.result,
		m.result, m.newResult, m.newResult, m.unknownHistory, m.newOp}
	for range 50 {
		if note := kinds[m.rng.IntN(len(kinds))](); note != "" {
			m.notes = append(m.notes, note)
			return
		}
	}
}

func choose(m *mutator, list []*element) *element {
	if len(list) == 0 {
		return nil
	}
	return list[m.rng.IntN(len(list))]
}

func (m *mutator) part(names ...string) *element {
	e := m.root
	for _, n := range names {
		if e = e.child(n); e == nil {
			return nil
		}
	}
	return e
}

// values of options and meta attributes worth trying.
var properties = map[string][]string{
	"no-quorum-policy": {"stop", "freeze", "ignore", "demote", "suicide"}, "symmetric-cluster": {"true", "false"},
	"maintenance-mode": {"true", "false"}, "start-failure-is-fatal": {"true", "false"}, "enable-startup-probes": {"true", "false"},
	"stop-all-resources": {"true", "false"}, "stop-orphan-resources": {"true", "false"}, "stop-orphan-actions": {"true", "false"},
	"stonith-enabled": {"true", "false"}, "stonith-action": {"reboot", "off"}, "concurrent-fencing": {"true", "false"},
	"startup-fencing": {"true", "false"}, "priority-fencing-delay": {"15s", "0"}, "node-pending-timeout": {"1h", "10s"},
	"shutdown-lock": {"true", "false"}, "shutdown-lock-limit": {"0", "10min"}, "placement-strategy": {"default", "utilization", "minimal", "balanced"},
	"node-health-strategy": {"none", "migrate-on-red", "only-green", "progressive", "custom"}, "node-health-base": {"10", "-10"},
	"node-health-red": {"-INFINITY", "-10"}, "node-health-yellow": {"0", "-5"}, "node-health-green": {"0", "5"}, "have-watchdog": {"true", "false"},
	"migration-limit": {"1"}, "cluster-delay": {"30s"}, "batch-limit": {"30"},
}

var metas = map[string][]string{
	"priority": {"0", "5", "100", "-1"}, "target-role": {"Stopped", "Started", "Master", "Slave"}, "is-managed": {"true", "false"},
	"maintenance": {"true", "false"}, "resource-stickiness": {"0", "1", "100", "INFINITY", "-1"}, "migration-threshold": {"1", "2", "0", "INFINITY"},
	"failure-timeout": {"10s", "100000h", "60"}, "multiple-active": {"block", "stop_only", "stop_start", "stop_unexpected"},
	"requires": {"nothing", "quorum", "fencing", "unfencing"}, "allow-migrate": {"true", "false"}, "critical": {"true", "false"},
	"allow-unhealthy-nodes": {"true"}, "container-attribute-target": {"host"},
}

var cloneMetas = map[string][]string{
	"clone-max": {"1", "2", "3", "0", "5"}, "clone-node-max": {"1", "2"}, "clone-min": {"1", "2", "0"}, "globally-unique": {"true", "false"},
	"ordered": {"true", "false"}, "interleave": {"true", "false"}, "notify": {"true", "false"}, "promotable": {"true", "false"},
	"master-max": {"0", "1", "2", "3"}, "master-node-max": {"1", "2", "0"}, "promoted-max": {"0", "1", "2"}, "promoted-node-max": {"1", "2"},
}

func (m *mutator) fromTable(table map[string][]string) (name, value string) {
	var names []string
	for n := range table {
		names = append(names, n)
	}
	slices.Sort(names)
	name = m.pick(names...)
	return name, m.pick(table[name]...)
}

// put sets a pair in a block, adding it where it is not there yet.
func (m *mutator) put(block *element, name, value string) {
	for _, p := range block.all("nvpair") {
		if p.get("name") == name {
			p.set("value", value)
			return
		}
	}
	p := &element{name: "nvpair"}
	p.set("id", m.id())
	p.set("name", name)
	p.set("value", value)
	block.children = append(block.children, p)
}

func (m *mutator) property() string {
	config := m.part("configuration", "crm_config")
	if config == nil {
		return ""
	}
	name, value := m.fromTable(properties)
	m.put(config.need("cluster_property_set", "cib-bootstrap-options"), name, value)
	return "option " + name + "=" + value
}

var resourceNames = []string{"primitive", "group", "clone", "master", "bundle"}

// block returns the named block of a resource, before its children of other sorts, as the schema wants it.
func (m *mutator) block(r *element, name string) *element {
	if b := r.child(name); b != nil && b.child("rule") == nil && !b.has("id-ref") {
		return b
	}
	b := &element{name: name}
	b.set("id", m.id())
	r.children = append([]*element{b}, r.children...)
	return b
}

func (m *mutator) resourceMeta() string {
	resources := m.part("configuration", "resources")
	if resources == nil {
		return ""
	}
	r := choose(m, resources.all(resourceNames...))
	if r == nil || r.name == "bundle" {
		return ""
	}
	table := metas
	if (r.name == "clone" || r.name == "master") && m.rng.IntN(100) < 60 {
		table = cloneMetas
	}
	name, value := m.fromTable(table)
	m.put(m.block(r, "meta_attributes"), name, value)
	return "meta " + r.get("id") + " " + name + "=" + value
}

// changePair changes the value of a pair that is there.
func (m *mutator) changePair() string {
	p := choose(m, m.root.all("nvpair"))
	if p == nil || !p.has("name") {
		return ""
	}
	name := p.get("name")
	for _, table := range []map[string][]string{properties, metas, cloneMetas} {
		if values := table[strings.ReplaceAll(name, "_", "-")]; values != nil {
			p.set("value", m.pick(values...))
			return "pair " + name + "=" + p.get("value")
		}
	}
	switch n, err := strconv.Atoi(p.get("value")); {
	case err == nil:
		p.set("value", m.pick("0", "1", "INFINITY", "-INFINITY", strconv.Itoa(n+1), strconv.Itoa(-n)))
	case strings.Contains(p.get("value"), "INFINITY"):
		p.set("value", m.pick("0", "1", "100"))
	default:
		return ""
	}
	return "pair " + name + "=" + p.get("value")
}

var roles = []string{"Started", "Stopped", "Master", "Slave"}

var constraintValues = map[string][]string{
	"score": {"INFINITY", "-INFINITY", "0", "100", "-100", "1"}, "kind": {"Mandatory", "Optional", "Serialize"}, "symmetrical": {"true", "false"},
	"first-action": {"start", "stop", "promote", "demote"}, "then-action": {"start", "stop", "promote", "demote"}, "rsc-role": roles,
	"with-rsc-role": roles, "role": roles, "sequential": {"true", "false"}, "require-all": {"true", "false"},
	"action": {"start", "stop", "promote", "demote"}, "loss-policy": {"stop", "demote", "fence", "freeze"},
	"resource-discovery": {"always", "never", "exclusive"}, "influence": {"true", "false"}, "boolean-op": {"and", "or"},
	"operation": {"eq", "ne", "lt", "gt", "gte", "lte"},
}

var constraintAttributes = map[string][]string{
	"rsc_location": {"score", "role", "resource-discovery"}, "rsc_colocation": {"score", "rsc-role", "with-rsc-role", "influence"},
	"rsc_order": {"kind", "symmetrical", "first-action", "then-action", "require-all"}, "rsc_ticket": {"loss-policy", "rsc-role"},
	"resource_set": {"sequential", "require-all", "action", "role", "score"}, "rule": {"score", "role", "boolean-op"}, "expression": {"operation"},
}

func (m *mutator) changeConstraint() string {
	constraints := m.part("configuration", "constraints")
	if constraints == nil {
		return ""
	}
	c := choose(m, constraints.all())
	if c == nil || constraintAttributes[c.name] == nil {
		return ""
	}
	a := m.pick(constraintAttributes[c.name]...)
	if c.has(a) && m.rng.IntN(5) == 0 {
		c.unset(a)
		return "constraint " + c.get("id") + " without " + a
	}
	if c.name == "rsc_colocation" && m.rng.IntN(5) == 0 && c.has("rsc") && c.has("with-rsc") {
		a, b := c.get("rsc"), c.get("with-rsc")
		c.set("rsc", b)
		c.set("with-rsc", a)
		return "turn " + c.get("id")
	}
	if c.name == "rsc_order" && a == "kind" {
		c.unset("score")
	}
	c.set(a, m.pick(constraintValues[a]...))
	return "constraint " + c.get("id") + " " + a + "=" + c.get(a)
}

func (m *mutator) tops() []string {
	resources := m.part("configuration", "resources")
	if resources == nil {
		return nil
	}
	var list []string
	for _, r := range resources.children {
		if r.name == "template" {
			continue
		}
		list = append(list, r.get("id"))
		if r.name == "group" && m.rng.IntN(4) == 0 {
			for _, p := range r.children {
				if p.name == "primitive" {
					list = append(list, p.get("id"))
				}
			}
		}
	}
	return list
}

func (m *mutator) nodes() []string {
	var list []string
	if nodes := m.part("configuration", "nodes"); nodes != nil {
		for _, n := range nodes.children {
			list = append(list, n.get("uname"))
		}
	}
	return list
}

func (m *mutator) newConstraint() string {
	tops, nodes := m.tops(), m.nodes()
	constraints := m.part("configuration", "constraints")
	if constraints == nil || len(tops) < 2 || len(nodes) == 0 {
		return ""
	}
	c := &element{}
	a, b := m.pick(tops...), m.pick(tops...)
	if a == b {
		return ""
	}
	some := func(name string, percent int) {
		if m.rng.IntN(100) < percent {
			c.set(name, m.pick(constraintValues[name]...))
		}
	}
	switch m.rng.IntN(6) {
	case 0:
		c.name = "rsc_location"
		c.set("id", m.id())
		c.set("rsc", a)
		c.set("node", m.pick(nodes...))
		some("score", 100)
		some("role", 20)
		some("resource-discovery", 20)
	case 1, 2:
		c.name = "rsc_colocation"
		c.set("id", m.id())
		c.set("rsc", a)
		c.set("with-rsc", b)
		some("score", 100)
		some("rsc-role", 20)
		some("with-rsc-role", 20)
		some("influence", 10)
	case 3:
		c.name = "rsc_order"
		c.set("id", m.id())
		c.set("first", a)
		c.set("then", b)
		some("kind", 60)
		some("symmetrical", 30)
		some("first-action", 30)
		some("then-action", 30)
		some("require-all", 15)
	case 4:
		c.name = "rsc_ticket"
		c.set("id", m.id())
		c.set("rsc", a)
		c.set("ticket", m.pick("ticketA", "ticketB"))
		some("loss-policy", 70)
		some("rsc-role", 30)
	default:
		c.name = m.pick("rsc_colocation", "rsc_order")
		c.set("id", m.id())
		if c.name == "rsc_colocation" {
			some("score", 100)
		} else {
			some("kind", 60)
		}
		for range 1 + m.rng.IntN(2) {
			set := &element{name: "resource_set"}
			set.set("id", m.id())
			used := map[string]bool{}
			for range 1 + m.rng.IntN(3) {
				r := m.pick(tops...)
				if used[r] {
					continue
				}
				used[r] = true
				ref := &element{name: "resource_ref"}
				ref.set("id", r)
				set.children = append(set.children, ref)
			}
			for _, a := range constraintAttributes["resource_set"] {
				if a != "score" && m.rng.IntN(4) == 0 {
					if a == "role" && c.name == "rsc_order" || (a == "action" || a == "require-all") && c.name == "rsc_colocation" {
						continue
					}
					set.set(a, m.pick(constraintValues[a]...))
				}
			}
			c.children = append(c.children, set)
		}
	}
	constraints.children = append(constraints.children, c)
	return "new " + c.name + " " + a + " " + b
}

// removeOne takes away an element that a document is valid without.
func (m *mutator) removeOne() string {
	e := choose(m, m.root.all("rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket", "nvpair", "op", "lrm_resource", "lrm_rsc_op",
		"lrm_rsc_op", "node_state", "primitive", "clone", "group", "master", "resource_set", "resource_ref", "ticket_state", "transient_attributes", "lrm"))
	if e == nil {
		return ""
	}
	m.root.drop(e)
	return "without " + e.name + " " + e.get("id")
}

var opValues = map[string][]string{
	"on-fail": {"ignore", "block", "stop", "restart", "standby", "fence", "demote"}, "role": roles, "interval": {"10s", "5", "60s", "0"},
	"enabled": {"true", "false"}, "start-delay": {"5s"}, "timeout": {"7s", "120"}, "requires": {"nothing", "quorum", "fencing"},
	"interval-origin": {"2000-01-01 00:00:10Z"},
}

func (m *mutator) operation() string {
	o := choose(m, m.root.all("op"))
	if o == nil {
		return ""
	}
	a, v := m.fromTable(opValues)
	o.set(a, v)
	if a == "interval-origin" {
		o.unset("start-delay")
	}
	return "op " + o.get("id") + " " + a + "=" + v
}

func (m *mutator) newOp() string {
	p := choose(m, m.root.all("primitive"))
	if p == nil || p.has("template") || m.part("configuration", "resources") == nil {
		return ""
	}
	ops := p.need("operations", "")
	o := &element{name: "op"}
	o.set("id", m.id())
	o.set("name", m.pick("monitor", "monitor", "start", "stop", "promote", "demote", "migrate_to"))
	o.set("interval", "0")
	if o.get("name") == "monitor" {
		o.set("interval", m.pick("13s", "17s"))
		if m.rng.IntN(2) == 0 {
			o.set("role", m.pick(roles...))
		}
	}
	if m.rng.IntN(2) == 0 {
		o.set("on-fail", m.pick(opValues["on-fail"]...))
	}
	ops.children = append(ops.children, o)
	return "new op " + p.get("id") + " " + o.get("name") + " " + o.get("interval") + " " + o.get("role") + " " + o.get("on-fail")
}

func (m *mutator) nodeState() string {
	n := choose(m, m.root.all("node_state"))
	if n == nil {
		return ""
	}
	switch m.rng.IntN(8) {
	case 0:
		n.set("in_ccm", "false")
		n.set("crmd", "offline")
		n.set("join", "down")
		n.set("expected", "down")
	case 1:
		n.set("in_ccm", "false")
		n.set("crmd", "offline")
	case 2:
		n.set("crmd", "offline")
	case 3:
		n.set("join", m.pick("member", "pending", "down", "banned"))
	case 4:
		n.set("expected", m.pick("member", "down"))
	case 5:
		n.set("in_ccm", "true")
		n.set("crmd", "online")
		n.set("join", "member")
		n.set("expected", "member")
	case 6:
		m.root.set("have-quorum", m.pick("0", "1"))
		return "have-quorum=" + m.root.get("have-quorum")
	default:
		m.root.set("dc-uuid", n.get("id"))
		return "dc " + n.get("id")
	}
	return fmt.Sprintf("node_state %s %s %s %s %s", n.get("uname"), n.get("in_ccm"), n.get("crmd"), n.get("join"), n.get("expected"))
}

func (m *mutator) nodeAttribute() string {
	nodes := m.part("configuration", "nodes")
	if nodes == nil {
		return ""
	}
	n := choose(m, nodes.children)
	if n == nil || n.name != "node" {
		return ""
	}
	name := m.pick("standby", "standby", "maintenance", "#health-x", "site-name", "terminate", "resource-discovery-enabled")
	value := "true"
	if name == "#health-x" {
		value = m.pick("red", "yellow", "green", "-10", "10")
	}
	m.put(m.block(n, "instance_attributes"), name, value)
	return "node " + n.get("uname") + " " + name + "=" + value
}

func (m *mutator) transient() string {
	n := choose(m, m.root.all("node_state"))
	var names []string
	for _, p := range m.root.all("primitive") {
		names = append(names, p.get("id"))
	}
	if n == nil || len(names) == 0 {
		return ""
	}
	t := n.child("transient_attributes")
	if t == nil {
		t = &element{name: "transient_attributes"}
		t.set("id", n.get("id"))
		n.children = append([]*element{t}, n.children...)
	}
	block := t.need("instance_attributes", m.id())
	name, value := "", ""
	switch m.rng.IntN(6) {
	case 0, 1:
		name, value = "fail-count-"+m.pick(names...)+m.pick("#start_0", "#monitor_10000", "#stop_0", ""), m.pick("1", "2", "INFINITY")
	case 2:
		name, value = "shutdown", m.pick("1", "1300000000", "0")
	case 3:
		name, value = m.pick("terminate", "standby", "maintenance"), "true"
	case 4:
		name, value = "master-"+m.pick(names...)+m.pick("", ":0", ":1"), m.pick("5", "100", "-1", "INFINITY", "-INFINITY")
	default:
		name, value = m.pick("#node-unfenced", "pingd", "#health-y"), m.pick("1", "0", "100", "red")
	}
	m.put(block, name, value)
	return "transient " + n.get("uname") + " " + name + "=" + value
}

// record sets the result of an operation in all the places where it is written.
func record(o *element, rc, status string) {
	o.set("rc-code", rc)
	o.set("op-status", status)
	if key := o.get("transition-key"); key != "" {
		o.set("transition-magic", status+":"+rc+";"+key)
	}
	if status == "-1" {
		o.set("call-id", "-1")
	}
}

func (m *mutator) result() string {
	o := choose(m, m.root.all("lrm_rsc_op"))
	if o == nil {
		return ""
	}
	switch m.rng.IntN(10) {
	case 0:
		record(o, "193", "-1")
	case 1:
		record(o, "1", "2")
	case 2:
		record(o, "5", "7")
	case 3:
		o.set("op-digest", "0123456789abcdef0123456789abcdef")
		return "digest of " + o.get("id")
	case 4:
		o.set("op-restart-digest", "0123456789abcdef0123456789abcdef")
		o.set("op-force-restart", " a b ")
		return "restart digest of " + o.get("id")
	default:
		rc := m.pick("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "190", "191")
		record(o, rc, m.pick("0", "0", "4"))
	}
	return fmt.Sprintf("result of %s %s %s on %s", o.get("id"), o.get("rc-code"), o.get("op-status"), o.get("on_node"))
}

// newResult adds a newer operation to a history.
func (m *mutator) newResult() string {
	r := choose(m, m.root.all("lrm_resource"))
	if r == nil || len(r.children) == 0 {
		return ""
	}
	o := *choose(m, r.children)
	o.attrs = append(o.attrs[:0:0], o.attrs...)
	operation := m.pick("start", "stop", "monitor", "monitor", "promote", "demote", "migrate_to", "migrate_from")
	interval := "0"
	if operation == "monitor" {
		interval = m.pick("0", "10000", o.get("interval"))
	}
	o.set("operation", operation)
	o.set("interval", interval)
	key := fmt.Sprintf("%s_%s_%s", r.get("id"), operation, interval)
	o.set("operation_key", key)
	o.set("id", m.pick(key, r.get("id")+"_last_0", r.get("id")+"_last_failure_0"))
	o.set("call-id", strconv.Itoa(m.rng.IntN(200)))
	expected := "0"
	if operation == "monitor" && interval == "0" {
		expected = "7"
	}
	o.set("transition-key", "3:"+strconv.Itoa(m.rng.IntN(200))+":"+expected+":mutant")
	if strings.HasPrefix(operation, "migrate") {
		nodes := m.nodes()
		if len(nodes) < 2 {
			return ""
		}
		o.set("migrate_source", m.pick(nodes...))
		o.set("migrate_target", m.pick(nodes...))
	}
	record(&o, m.pick("0", "0", "0", "1", "7", "5", "8"), m.pick("0", "0", "4", "2"))
	if m.rng.IntN(6) == 0 {
		record(&o, "193", "-1")
	}
	for i, c := range r.children {
		if c.get("id") == o.get("id") {
			r.children = append(r.children[:i:i], r.children[i+1:]...)
			break
		}
	}
	r.children = append(r.children, &o)
	return fmt.Sprintf("new result %s %s %s", o.get("id"), key, o.get("transition-magic"))
}

// unknownHistory lets a resource be active in a second place, or one be there that is not configured.
func (m *mutator) unknownHistory() string {
	lists := m.root.all("lrm_resources")
	r := choose(m, m.root.all("lrm_resource"))
	to := choose(m, lists)
	if r == nil || to == nil {
		return ""
	}
	c, err := parseTree(r.text())
	if err != nil {
		return ""
	}
	if m.rng.IntN(3) == 0 {
		c.set("id", "gone")
		for _, o := range c.children {
			o.set("id", strings.ReplaceAll(o.get("id"), r.get("id"), "gone"))
			o.set("operation_key", strings.ReplaceAll(o.get("operation_key"), r.get("id"), "gone"))
		}
	}
	for _, n := range m.root.all("node_state") {
		for _, list := range n.all("lrm_resources") {
			for _, o := range c.children {
				if list == to && o.has("on_node") {
					o.set("on_node", n.get("uname"))
				}
			}
		}
	}
	for i, x := range to.children {
		if x.get("id") == c.get("id") {
			to.children = append(to.children[:i:i], to.children[i+1:]...)
			break
		}
	}
	to.children = append(to.children, c)
	return "history of " + r.get("id") + " elsewhere as " + c.get("id")
}

// older are the names that the older tool knows options by, which this project reads as well.
var older = map[string]string{"fencing-enabled": "stonith-enabled", "fencing-action": "stonith-action", "fencing-timeout": "stonith-timeout",
	"stop-removed-resources": "stop-orphan-resources", "cancel-removed-actions": "stop-orphan-actions", "fencing-watchdog-timeout": "stonith-watchdog-timeout"}

// aged gives the options in a document the names that both tools know.
func aged(root *element) {
	if root.get("crm_feature_set") < "3.1" {
		root.set("crm_feature_set", "3.6.3") // before that the older one looks for fail counts under other names
	}
	for _, p := range root.all("nvpair") {
		if name, ok := older[p.get("name")]; ok {
			p.set("name", name)
		}
		if p.get("name") == "no-quorum-policy" && p.get("value") == "fence" {
			p.set("value", "suicide")
		}
	}
}
