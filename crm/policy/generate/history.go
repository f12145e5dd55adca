package generate

import (
	"fmt"
	"slices"
	"strings"
)

func (g *random) nodeAttributes(node string) {
	pairs := g.nv("rack", g.pick("1", "2"))
	if g.chance(50) {
		pairs += g.nv("load", g.pick("3", "7", "10", "5.7"))
	}
	if g.chance(6) {
		pairs += g.nv("standby", "on")
	}
	if g.chance(1) {
		pairs += g.nv("maintenance", "on")
	}
	g.attributes[node] = pairs
	var t strings.Builder
	if g.is("health") {
		t.WriteString(g.nv("#health-cpu", g.pick("green", "yellow", "red", "-10", "5")))
	}
	if g.chance(8) || g.is("locks") && g.chance(40) {
		t.WriteString(g.nv("shutdown", g.pick("1700000500", "1699990000")))
	}
	if g.chance(2) {
		t.WriteString(g.nv("terminate", "true"))
	}
	if g.is("unfencing") && g.chance(60) {
		t.WriteString(g.nv("#node-unfenced", "1700000000"))
	}
	for _, l := range g.leaves {
		if l.promotable && g.chance(50) {
			t.WriteString(g.nv("master-"+l.id, g.pick("5", "10", "-1", "100")))
		}
	}
	g.transient[node] = t.String()
}

// record writes the history of a primitive on some nodes.
func (g *random) record(l leaf) {
	if l.agent == "remote" {
		if g.chance(70) {
			g.run(g.pick(g.nodes...), l, g.pick("", "", "", "", "monitor-failed"))
		}
		return
	}
	if g.chance(25) {
		return // never seen
	}
	places := append([]string{}, g.nodes...)
	if l.class != "stonith" {
		places = append(places, g.guests...)
	}
	if l.unique > 0 {
		for i := range l.unique {
			if instance := l; g.chance(70) {
				instance.id = fmt.Sprintf("%s:%d", l.id, i)
				g.run(g.pick(places...), instance, g.state(l))
			}
		}
		return
	}
	if l.clone {
		for i, n := range places {
			instance := l
			if g.chance(30) {
				instance.id = fmt.Sprintf("%s:%d", l.id, i)
			}
			if running := g.homes[l.group+n]; l.group != "" && running != "" && g.chance(85) {
				g.run(n, instance, strings.TrimSpace(running))
			} else if g.chance(75) {
				g.homes[l.group+n] = " "
				g.run(n, instance, g.state(l))
			} else if g.chance(70) {
				g.homes[l.group+n] = "probed"
				g.run(n, instance, "probed")
			}
		}
		return
	}
	if l.migratable && g.chance(40) {
		g.migrate(l)
		return
	}
	home := g.n(len(places))
	if l.group != "" && g.chance(85) {
		if at, ok := g.homes[l.group]; ok {
			home = slices.Index(places, at)
		}
		g.homes[l.group] = places[home]
	}
	for i, n := range places {
		switch {
		case i == home:
			g.run(n, l, g.state(l))
		case g.chance(4):
			g.run(n, l, "")
		case g.chance(80):
			g.run(n, l, "probed")
		}
	}
}

func (g *random) state(l leaf) string {
	if l.promotable && g.chance(40) {
		return g.pick("promote", "promote", "promote", "promote-failed", "promoted-monitor-failed", "demote-failed", "promote-pending", "demoted", "probed-promoted")
	}
	if !g.is("failures", "history") && g.chance(70) {
		return ""
	}
	return g.pick("", "", "start-failed", "monitor-failed", "monitor-not-running", "stop-failed", "start-pending", "stop-pending", "stopped", "probed",
		"probe-failed", "probe-found", "not-installed", "probe-pending", "monitor-pending", "start-fatal", "start-timeout", "degraded")
}

type record struct {
	op                   string
	interval, rc, status int
	extra                string
	last                 bool // recorded as the last failure
}

func (g *random) run(node string, l leaf, state string) {
	started := []record{{op: "start"}}
	if l.monitored || g.chance(10) {
		started = append(started, record{op: "monitor", interval: 10000})
	}
	failed := func(op string, interval, rc, status int) record {
		return record{op: op, interval: interval, rc: rc, status: status, last: true}
	}
	var list []record
	switch state {
	case "":
		list = started
	case "probed":
		list = []record{{op: "monitor", rc: 7}}
	case "stopped":
		list = append(started, record{op: "stop"})
	case "start-failed":
		list = []record{failed("start", 0, 1, 4)}
	case "start-fatal":
		list = []record{failed("start", 0, g.n(6)+1, 4)}
	case "start-timeout":
		list = []record{failed("start", 0, 1, 2)}
	case "monitor-failed":
		list = append(started, failed("monitor", 10000, 1, 4))
	case "monitor-not-running":
		list = append(started, failed("monitor", 10000, 7, 0))
	case "stop-failed":
		list = append(started, failed("stop", 0, 1, 4))
	case "start-pending":
		list = []record{{op: "monitor", rc: 7}, {op: "start", rc: 193, status: -1}}
	case "stop-pending":
		list = append(started, record{op: "stop", rc: 193, status: -1})
	case "probe-pending":
		list = []record{{op: "monitor", rc: 193, status: -1}}
	case "monitor-pending":
		list = []record{{op: "start"}, {op: "monitor", interval: 10000, rc: 193, status: -1}}
	case "probe-failed":
		list = []record{failed("monitor", 0, g.n(6)+1, 4)}
	case "probe-found":
		list = []record{{op: "monitor"}}
	case "not-installed":
		list = []record{failed("monitor", 0, 5, 7)}
	case "degraded":
		list = append(started, failed("monitor", 10000, 190, 0))
	case "promote":
		list = append(started[:1:1], record{op: "promote"}, record{op: "monitor", interval: 9000, rc: 8})
	case "demoted":
		list = append(started, record{op: "promote"}, record{op: "demote"})
	case "promote-failed":
		list = append(started, failed("promote", 0, 1, 4))
	case "promote-pending":
		list = append(started, record{op: "promote", rc: 193, status: -1})
	case "promoted-monitor-failed":
		list = append(started[:1:1], record{op: "promote"}, failed("monitor", 9000, []int{1, 9, 7}[g.n(3)], 4))
	case "demote-failed":
		list = append(started, record{op: "promote"}, failed("demote", 0, 1, 4))
	case "probed-promoted":
		list = []record{{op: "monitor", rc: 8}}
	}
	g.write(node, l, list)
}

func (g *random) migrate(l leaf) {
	order := g.rng.Perm(len(g.nodes))
	from, to := g.nodes[order[0]], g.nodes[order[1]]
	extra := fmt.Sprintf(` migrate_source="%s" migrate_target="%s"`, from, to)
	rcs := []record{{rc: 0}, {rc: 1, status: 4, last: true}, {rc: 193, status: -1}}
	out := rcs[g.n(3)]
	out.op, out.extra = "migrate_to", extra
	source := []record{{op: "start"}, out}
	if g.chance(15) {
		source = append(source, record{op: "stop"})
	}
	g.write(from, l, source)
	if out.rc == 0 && g.chance(60) {
		in := rcs[g.n(3)]
		in.op, in.extra = "migrate_from", extra
		target := []record{{op: "monitor", rc: 7}, in}
		if g.chance(15) {
			target = append(target, record{op: "stop"})
		}
		g.write(to, l, target)
	} else if g.chance(60) {
		g.write(to, l, []record{{op: "monitor", rc: 7}})
	}
}

// write adds the entries in the order in which they happened; only the last one of an operation key is kept,
// as a cluster does.
func (g *random) write(node string, l leaf, list []record) {
	if g.written[node+"/"+l.id] {
		return
	}
	g.written[node+"/"+l.id] = true
	var b strings.Builder
	fmt.Fprintf(&b, `<lrm_resource id="%s" class="%s"`, l.id, l.class)
	if l.provider != "" {
		fmt.Fprintf(&b, ` provider="%s"`, l.provider)
	}
	fmt.Fprintf(&b, ` type="%s">`, l.agent)
	for i, r := range list {
		if slices.ContainsFunc(list[i+1:], func(o record) bool { return o.op == r.op && o.interval == r.interval }) {
			continue
		}
		g.number++
		id, call := fmt.Sprintf("%s_%s_%d", l.id, r.op, r.interval), 10*len(g.history[node])+i+1
		if r.interval == 0 {
			id = l.id + "_last_0"
			later := false
			for _, o := range list[i+1:] {
				later = later || o.interval == 0
			}
			if later && !r.last && r.extra == "" {
				continue
			}
			if later {
				id = fmt.Sprintf("%s_%s_0", l.id, r.op)
			}
		}
		expected := 0
		switch {
		case r.rc == 7 && !r.last:
			expected = 7
		case r.rc == 8 || r.interval == 9000:
			expected = 8
		case r.op == "monitor" && r.interval == 0:
			expected = 7
		}
		if r.status < 0 {
			call = -1
		}
		entry := fmt.Sprintf(`operation_key="%s_%s_%d" operation="%[2]s" crm_feature_set="3.16.1" transition-key="%[4]d:7:%[5]d:u" transition-magic="%[6]d:%[7]d;%[4]d:7:%[5]d:u" on_node="%[8]s" call-id="%[9]d" rc-code="%[7]d" op-status="%[6]d" interval="%[3]d" last-rc-change="%[10]d" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"%[11]s/>`,
			l.id, r.op, r.interval, g.number, expected, r.status, r.rc, node, call, 1700000000+7*g.number, r.extra)
		if r.last {
			fmt.Fprintf(&b, `<lrm_rsc_op id="%s_last_failure_0" %s`, l.id, entry)
			base := l.id
			if l.clone {
				base, _, _ = strings.Cut(l.id, ":")
			}
			if g.chance(85) && r.rc != 190 {
				count := fmt.Sprint(1 + g.n(2))
				if r.op == "start" || r.op == "stop" {
					count = "INFINITY"
				}
				key := fmt.Sprintf("%s#%s_%d", base, r.op, r.interval)
				g.transient[node] += g.nv("fail-count-"+key, count) + g.nv("last-failure-"+key, "1700000900")
			}
			if g.chance(60) {
				continue
			}
		}
		fmt.Fprintf(&b, `<lrm_rsc_op id="%s" %s`, id, entry)
	}
	b.WriteString(`</lrm_resource>`)
	g.history[node] = append(g.history[node], b.String())
}

func (g *random) document() string {
	var b strings.Builder
	quorum := 1
	if g.is("quorum") || g.chance(5) {
		quorum = g.n(2)
	}
	fmt.Fprintf(&b, `<cib admin_epoch="0" epoch="10" num_updates="0" validate-with="pacemaker-3.9" crm_feature_set="3.16.1" have-quorum="%d" dc-uuid="1" execution-date="%d"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options">%s</cluster_property_set></crm_config><nodes>`,
		quorum, now, strings.Join(g.options, ""))
	for i, n := range g.nodes {
		fmt.Fprintf(&b, `<node id="%d" uname="%s"><instance_attributes id="%[2]s-a">%s</instance_attributes>`, i+1, n, g.attributes[n])
		if g.is("utilization") {
			fmt.Fprintf(&b, `<utilization id="%s-u">%s</utilization>`, n, g.nv("cpu", g.pick("2", "4", "8"))+g.nv("memory", g.pick("20", "60")))
		}
		b.WriteString(`</node>`)
	}
	fmt.Fprintf(&b, `</nodes><resources>%s</resources><constraints>%s</constraints>%s</configuration><status>`,
		strings.Join(g.resources, ""), strings.Join(g.constraints, ""), g.defaults)
	if len(g.tickets) > 0 {
		b.WriteString(`<tickets>` + strings.Join(g.tickets, "") + `</tickets>`)
	}
	for i, n := range g.nodes {
		state := `in_ccm="true" crmd="online" join="member" expected="member"`
		if i > 0 {
			switch g.n(12) {
			case 0:
				state = `in_ccm="false" crmd="offline" join="member" expected="member"`
			case 1:
				state = `in_ccm="false" crmd="offline" join="down" expected="down"`
			case 2:
				state = g.pick(`in_ccm="true" crmd="online" join="pending" expected="member"`, `in_ccm="true" crmd="offline" join="member" expected="member"`,
					`in_ccm="true" crmd="offline" join="down" expected="member"`, state, state)
			}
		}
		g.nodeState(&b, fmt.Sprint(i+1), n, state)
	}
	for _, n := range g.guests {
		g.nodeState(&b, n, n, `remote_node="true" in_ccm="true"`)
	}
	b.WriteString(`</status></cib>`)
	return b.String()
}

func (g *random) nodeState(b *strings.Builder, id, name, state string) {
	if g.chance(3) {
		return // not seen yet
	}
	fmt.Fprintf(b, `<node_state id="%s" uname="%s" %s><transient_attributes id="%[1]s"><instance_attributes id="status-%[1]s">%[4]s</instance_attributes></transient_attributes><lrm id="%[1]s"><lrm_resources>%[5]s</lrm_resources></lrm></node_state>`,
		id, name, state, g.transient[name], strings.Join(g.history[name], ""))
}
