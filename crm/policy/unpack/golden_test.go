package unpack_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/status"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// builder makes a document from the lines of a golden case:
//
//	prop NAME=VALUE                     cluster property
//	node NAME [KEY=VALUE]...            node with its status; in_ccm, crmd, join, expected, node_fenced as in XML
//	                                    ("-" = absent), type=remote, state=no, attr.NAME=VALUE transient and
//	                                    perm.NAME=VALUE permanent attributes
//	run NODE RSC OP[/MS] [KEY=VALUE]... history entry: rc, status, exp, call, time, source, target, lock, agent,
//	                                    id; call ids count up, exp is 7 for a probe and 0 otherwise
//	quorum no                           no quorum
//	now SECONDS                         effective time; 1000 by default
//	<...>                               XML of one resource, constraint, tag, ticket_state or defaults
type builder struct {
	props, resources, constraints, tags, tickets, rest []string
	nodes                                              []*nodeSpec
	quorum                                             string
	now                                                int64
	call                                               int
}

type nodeSpec struct {
	name    string
	keys    map[string]string
	perm    []string
	attrs   []string
	history []*historySpec
}

type historySpec struct {
	id, agent, lock string
	ops             []string
}

func (b *builder) line(t *testing.T, text string) {
	t.Helper()
	if strings.HasPrefix(text, "<") {
		name := strings.FieldsFunc(text[1:], func(r rune) bool { return strings.ContainsRune(" />", r) })[0]
		switch name {
		case "rsc_location", "rsc_colocation", "rsc_order", "rsc_ticket":
			b.constraints = append(b.constraints, text)
		case "tag":
			b.tags = append(b.tags, text)
		case "ticket_state":
			b.tickets = append(b.tickets, text)
		case "rsc_defaults", "op_defaults":
			b.rest = append(b.rest, text)
		default:
			b.resources = append(b.resources, text)
		}
		return
	}
	words := strings.Fields(text)
	pairs := func(from int) [][2]string {
		var out [][2]string
		for _, w := range words[from:] {
			k, v, ok := strings.Cut(w, "=")
			if !ok {
				t.Fatalf("%q: %q is no KEY=VALUE", text, w)
			}
			out = append(out, [2]string{k, v})
		}
		return out
	}
	switch words[0] {
	case "prop":
		for _, p := range pairs(1) {
			b.props = append(b.props, nvpair("p", p[0], p[1]))
		}
	case "quorum":
		b.quorum = "0"
	case "now":
		fmt.Sscan(words[1], &b.now)
	case "node":
		n := &nodeSpec{name: words[1], keys: map[string]string{"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"}}
		for _, p := range pairs(2) {
			if name, ok := strings.CutPrefix(p[0], "attr."); ok {
				n.attrs = append(n.attrs, nvpair("t-"+n.name, name, p[1]))
			} else if name, ok := strings.CutPrefix(p[0], "perm."); ok {
				n.perm = append(n.perm, nvpair("n-"+n.name, name, p[1]))
			} else {
				n.keys[p[0]] = p[1]
			}
		}
		b.nodes = append(b.nodes, n)
	case "run":
		b.run(t, text, words, pairs(4))
	default:
		t.Fatalf("unknown line %q", text)
	}
}

func nvpair(prefix, name, value string) string {
	return fmt.Sprintf(`<nvpair id="%s-%s" name="%s" value="%s"/>`, prefix, strings.NewReplacer("#", "-", ":", "-").Replace(name), name, value)
}

func (b *builder) run(t *testing.T, text string, words []string, pairs [][2]string) {
	at := slices.IndexFunc(b.nodes, func(n *nodeSpec) bool { return n.name == words[1] })
	if at < 0 {
		t.Fatalf("%q: no such node", text)
	}
	n := b.nodes[at]
	task, interval, _ := strings.Cut(words[3], "/")
	if interval == "" {
		interval = "0"
	}
	b.call++
	k := map[string]string{"rc": "0", "status": "0", "call": fmt.Sprint(b.call), "time": "500", "exp": "0", "agent": "ocf:pacemaker:Dummy",
		"id": fmt.Sprintf("%s_%s_%s", words[2], task, interval)}
	if task == "monitor" && interval == "0" {
		k["exp"] = "7"
	}
	for _, p := range pairs {
		k[p[0]] = p[1]
	}
	h := slices.IndexFunc(n.history, func(h *historySpec) bool { return h.id == words[2] })
	if h < 0 {
		n.history = append(n.history, &historySpec{id: words[2], agent: k["agent"], lock: k["lock"]})
		h = len(n.history) - 1
	}
	if task == "nothing" {
		return
	}
	migration := ""
	if k["source"] != "" {
		migration = fmt.Sprintf(` migrate_source="%s" migrate_target="%s"`, k["source"], k["target"])
	}
	n.history[h].ops = append(n.history[h].ops, fmt.Sprintf(`<lrm_rsc_op id="%s" operation_key="%s_%s_%s" operation="%s" interval="%s" call-id="%s" rc-code="%s"`+
		` op-status="%s" transition-key="1:1:%s:u" transition-magic="%s:%s;1:1:%s:u" last-rc-change="%s" on_node="%s"%s/>`,
		k["id"], words[2], task, interval, task, interval, k["call"], k["rc"], k["status"], k["exp"], k["status"], k["rc"], k["exp"], k["time"], words[1], migration))
}

// xml returns the document.
func (b *builder) xml() string {
	var s strings.Builder
	join := func(list []string) string { return strings.Join(list, "\n") }
	fmt.Fprintf(&s, `<cib validate-with="pacemaker-3.10" crm_feature_set="3.19.0" have-quorum="%s"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options">%s</cluster_property_set></crm_config><nodes>`,
		b.quorum, join(b.props))
	for i, n := range b.nodes {
		typ := ""
		if v := n.keys["type"]; v != "" {
			typ = ` type="` + v + `"`
		}
		if n.keys["type"] == "implied" {
			continue
		}
		fmt.Fprintf(&s, `<node id="%d" uname="%s"%s><instance_attributes id="n-%s">%s</instance_attributes></node>`, i+1, n.name, typ, n.name, join(n.perm))
	}
	fmt.Fprintf(&s, `</nodes><resources>%s</resources><constraints>%s</constraints><tags>%s</tags>%s</configuration><status>`,
		join(b.resources), join(b.constraints), join(b.tags), join(b.rest))
	for i, n := range b.nodes {
		if n.keys["state"] == "no" {
			continue
		}
		id := fmt.Sprint(i + 1)
		if n.keys["type"] == "implied" {
			id = n.name
		}
		fmt.Fprintf(&s, `<node_state id="%s" uname="%s"`, id, n.name)
		for _, k := range []string{"in_ccm", "crmd", "join", "expected", "node_fenced"} {
			if v, set := n.keys[k]; set && v != "-" {
				fmt.Fprintf(&s, ` %s="%s"`, k, v)
			}
		}
		s.WriteString("><lrm><lrm_resources>")
		for _, h := range n.history {
			class, rest, _ := strings.Cut(h.agent, ":")
			provider, typ, both := strings.Cut(rest, ":")
			agent := fmt.Sprintf(`class="%s" provider="%s" type="%s"`, class, provider, typ)
			if !both {
				agent = fmt.Sprintf(`class="%s" type="%s"`, class, rest)
			}
			if h.lock != "" {
				agent += ` shutdown-lock="` + h.lock + `"`
			}
			fmt.Fprintf(&s, `<lrm_resource id="%s" %s>%s</lrm_resource>`, h.id, agent, join(h.ops))
		}
		fmt.Fprintf(&s, `</lrm_resources></lrm><transient_attributes id="%s"><instance_attributes id="t-%s">%s</instance_attributes></transient_attributes></node_state>`,
			id, n.name, join(n.attrs))
	}
	fmt.Fprintf(&s, "<tickets>%s</tickets></status></cib>", join(b.tickets))
	return s.String()
}

func (b *builder) unpack(t *testing.T) *model.Cluster {
	t.Helper()
	doc, _, err := cibxml.Read([]byte(b.xml()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.xml())
	}
	doc, _ = cib.Upgrade(doc)
	c, err := unpack.Unpack(doc, unpack.Options{Now: time.Unix(b.now, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func score(s int32) string { return cib.Score(s).String() }

func roleText(r model.Role) string {
	if r == model.RoleUnknown {
		return ""
	}
	return "(" + r.String() + ")"
}

// show describes what was read: the status, then everything that the status does not show.
func show(c *model.Cluster) string {
	var b strings.Builder
	for _, line := range strings.Split(status.Text(c, status.Options{Pending: true}), "\n") {
		line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " "))
		if line == "" || strings.HasSuffix(line, "List:") || line == "Full List of Resources:" {
			continue
		}
		b.WriteString(line + "\n")
	}
	for _, r := range c.All {
		var parts []string
		for _, n := range c.Nodes {
			if e := r.Allowed.At(n); e.Present && e.Score != 0 && e.Discovery != model.DiscoverNever {
				parts = append(parts, n.Name+"="+score(e.Score))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(&b, "scores %s %s\n", r.ID, strings.Join(parts, " "))
		}
		if r.Next != model.RoleUnknown {
			fmt.Fprintf(&b, "next %s %s\n", r.ID, r.Next)
		}
		if r.PartialSource != nil {
			fmt.Fprintf(&b, "migrating %s %s -> %s\n", r.ID, r.PartialSource.Name, r.PartialTarget.Name)
		}
		for _, n := range r.Dangling {
			fmt.Fprintf(&b, "dangling %s %s\n", r.ID, n.Name)
		}
	}
	for _, l := range c.Locations {
		fmt.Fprintf(&b, "location %s %s%s", l.ID, l.Resource.ID, roleText(l.Role))
		for _, n := range l.Nodes {
			fmt.Fprintf(&b, " %s=%s", n.Node.Name, score(n.Score))
		}
		if l.Discovery != model.DiscoverAlways {
			fmt.Fprintf(&b, " discovery=%d", l.Discovery)
		}
		b.WriteByte('\n')
	}
	for _, col := range c.Colocations {
		fmt.Fprintf(&b, "colocation %s %s%s with %s%s %s", col.ID, col.Dependent.ID, roleText(col.DependentRole), col.Primary.ID,
			roleText(col.PrimaryRole), score(col.Score))
		if !col.Influence {
			b.WriteString(" without influence")
		}
		b.WriteByte('\n')
	}
	for _, a := range c.Actions {
		want := "required"
		if a.Optional {
			want = "optional"
		}
		node := ""
		if a.Node != nil {
			node = " " + a.Node.Name
		}
		fmt.Fprintf(&b, "%s %s%s", want, a.Key, node)
		if a.Reason != "" {
			fmt.Fprintf(&b, ": %s", a.Reason)
		}
		if a.Reschedule {
			b.WriteString(" (again)")
		}
		b.WriteByte('\n')
	}
	if !c.RecheckBy.IsZero() {
		fmt.Fprintf(&b, "recheck %d\n", c.RecheckBy.Unix())
	}
	for _, m := range c.Messages {
		kind := "warning"
		if m.Error {
			kind = "error"
		}
		fmt.Fprintf(&b, "%s: %s\n", kind, m.Text)
	}
	return b.String()
}

// TestGolden reads small documents. Each case of a file under testdata has comment lines that name the rule
// that it shows, the lines of a builder, "----" and what was read; a blank line ends it.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/*.txt: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var renewed []string
			for _, text := range strings.Split(strings.TrimRight(string(data), "\n"), "\n\n") {
				input, want, _ := strings.Cut(text+"\n", "----\n")
				b := &builder{quorum: "1", now: 1000}
				name := ""
				for _, line := range strings.Split(strings.TrimRight(input, "\n"), "\n") {
					if strings.HasPrefix(line, "#") {
						name += line
					} else if line != "" {
						b.line(t, line)
					}
				}
				got := strings.TrimRight(show(b.unpack(t)), "\n")
				if got != strings.TrimRight(want, "\n") && !*rewrite {
					t.Errorf("%s\n%s\nUnpack() =\n%s\nwant\n%s", name, input, got, want)
				}
				renewed = append(renewed, strings.TrimRight(input, "\n")+"\n----\n"+got)
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(renewed, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
