package generate

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// Size is the size of a document that Load writes, and what is in it.
type Size struct {
	Nodes, Resources int
	// Mix is primitives that stand alone; groups of five, each preferring a node; clones over all nodes, whose
	// instances count as resources; chains of five ordered and colocated; anti, pairs that must not be together; or
	// mixed, a fifth of each.
	Mix string
	// State is cold, nothing known; steady, everything probed and running; or failed, steady but the first node was
	// lost, with fencing configured.
	State string
}

// digest is that of an operation without parameters.
const digest = "f2317cad3d54cec5d7d7aa7d0bf35cf8"

type load struct {
	Size
	rng                    *rand.Rand
	resources, constraints strings.Builder
	running                [][]int // by number of the primitive, counted from 1: the nodes where it runs
}

// Load writes a large document of regular structure.
func Load(w io.Writer, size Size) error {
	l := &load{Size: size, rng: rand.New(rand.NewPCG(1, 20)), running: make([][]int, 1, size.Resources+1)}
	if size.Mix == "mixed" {
		for _, mix := range [...]string{"primitives", "groups", "clones", "chains", "anti"} {
			l.add(mix, max(1, size.Resources/5))
		}
	} else {
		l.add(size.Mix, size.Resources)
	}
	return l.write(w)
}

// primitive adds the next primitive, which runs on the nodes when it runs at all, and returns its id.
func (l *load) primitive(nodes ...int) string {
	id := fmt.Sprintf("r%d", len(l.running))
	l.running = append(l.running, nodes)
	fmt.Fprintf(&l.resources, `<primitive id="%s" class="ocf" provider="pacemaker" type="Dummy"><operations><op id="%[1]s-mon" name="monitor" interval="10s" timeout="20s"/></operations></primitive>`, id)
	return id
}

func (l *load) add(mix string, count int) {
	for done := 0; done < count; {
		next := len(l.running)
		home := next % l.Nodes
		switch mix {
		case "primitives":
			l.primitive(home)
			done++
		case "groups":
			home, size := l.rng.IntN(l.Nodes), min(5, count-done)
			fmt.Fprintf(&l.resources, `<group id="g%d">`, next)
			for range size {
				l.primitive(home)
			}
			l.resources.WriteString(`</group>`)
			fmt.Fprintf(&l.constraints, `<rsc_location id="loc-g%d" rsc="g%[1]d" node="node%d" score="%d"/>`, next, home+1, []int{50, 100, 200}[l.rng.IntN(3)])
			done += size
		case "clones":
			all := make([]int, l.Nodes)
			for i := range all {
				all[i] = i
			}
			fmt.Fprintf(&l.resources, `<clone id="c-r%d"><meta_attributes id="c-r%[1]d-m"><nvpair id="c-r%[1]d-i" name="interleave" value="true"/></meta_attributes>`, next)
			l.primitive(all...)
			l.resources.WriteString(`</clone>`)
			done += l.Nodes
		case "chains", "anti":
			size := 5
			if mix == "anti" {
				size = 2
			}
			before := ""
			for i := range min(size, count-done) {
				at := home
				if mix == "anti" {
					at = (home + i) % l.Nodes
				}
				id := l.primitive(at)
				switch {
				case before == "":
				case mix == "anti":
					fmt.Fprintf(&l.constraints, `<rsc_colocation id="col-%s" rsc="%[1]s" with-rsc="%s" score="-INFINITY"/>`, id, before)
				default:
					fmt.Fprintf(&l.constraints, `<rsc_colocation id="col-%s" rsc="%[1]s" with-rsc="%s" score="INFINITY"/><rsc_order id="ord-%[1]s" first="%[2]s" then="%[1]s" kind="Mandatory"/>`, id, before)
				}
				before = id
				done++
			}
		default:
			panic("generate: unknown mix " + mix)
		}
	}
}

func (l *load) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`<cib admin_epoch="0" epoch="10" num_updates="0" validate-with="pacemaker-3.0" crm_feature_set="3.16.1" have-quorum="1" dc-uuid="2" execution-date="1700001000"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o-1" name="stonith-enabled" value="true"/><nvpair id="o-2" name="no-quorum-policy" value="ignore"/><nvpair id="o-3" name="batch-limit" value="0"/></cluster_property_set></crm_config><nodes>`)
	for i := range l.Nodes {
		fmt.Fprintf(&b, `<node id="%d" uname="node%[1]d"/>`, i+1)
	}
	b.WriteString(`</nodes><resources><primitive id="fence" class="stonith" type="fence_dummy"/>` + l.resources.String() + `</resources><constraints>` + l.constraints.String() +
		`</constraints><rsc_defaults><meta_attributes id="d"><nvpair id="d-s" name="resource-stickiness" value="100"/></meta_attributes></rsc_defaults></configuration><status>`)
	for i := range l.Nodes {
		member, process := "true", "online"
		if l.State == "failed" && i == 0 {
			member, process = "false", "offline"
		}
		fmt.Fprintf(&b, `<node_state id="%d" uname="node%[1]d" in_ccm="%s" crmd="%s" join="member" expected="member"><lrm id="%[1]d"><lrm_resources>`, i+1, member, process)
		if l.State != "cold" {
			l.history(&b, "fence", `class="stonith" type="fence_dummy"`, i, 1, i == l.Nodes-1, false)
			for k, at := range l.running[1:] {
				active := false
				for _, n := range at {
					active = active || n == i
				}
				l.history(&b, fmt.Sprintf("r%d", k+1), `class="ocf" provider="pacemaker" type="Dummy"`, i, 2*k+3, active, true)
			}
		}
		b.WriteString(`</lrm_resources></lrm></node_state>`)
		if b.Len() > 1<<20 {
			if _, err := io.WriteString(w, b.String()); err != nil {
				return err
			}
			b.Reset()
		}
	}
	b.WriteString(`</status></cib>`)
	_, err := io.WriteString(w, b.String())
	return err
}

// history writes what a node remembers of a resource: a start and a monitor, or a probe that did not find it.
func (l *load) history(b *strings.Builder, id, agent string, node, call int, active, monitored bool) {
	entry := func(name, operation string, interval, call, rc int) {
		fmt.Fprintf(b, `<lrm_rsc_op id="%s_%s_%d" operation_key="%[1]s_%[4]s_%[3]d" operation="%[4]s" crm-debug-origin="gen" crm_feature_set="3.16.1" transition-key="%[5]d:1:%[6]d:u" transition-magic="0:%[6]d;%[5]d:1:%[6]d:u" exit-reason="" on_node="node%[7]d" call-id="%[5]d" rc-code="%[6]d" op-status="0" interval="%[3]d" last-rc-change="1700000000" exec-time="10" queue-time="0" op-digest="%[8]s"/>`,
			id, name, interval, operation, call, rc, node+1, digest)
	}
	fmt.Fprintf(b, `<lrm_resource id="%s" %s>`, id, agent)
	if active {
		entry("last", "start", 0, call, 0)
		if monitored {
			entry("monitor", "monitor", 10000, call+1, 0)
		}
	} else {
		entry("last", "monitor", 0, call, 7)
	}
	b.WriteString(`</lrm_resource>`)
}
