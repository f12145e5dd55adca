package shell

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/verify"
)

// replaceItems takes the statements of text instead of those of items: what is missing is deleted.
func (w *workArea) replaceItems(items []cibcrm.Item, text string) error {
	list, errs := cibcrm.Parse(text)
	if len(errs) > 0 {
		return &errorList{errs}
	}
	kept := make(map[string]bool)
	for _, st := range list {
		kept[st.ID] = true
		if st.XML != "" {
			inner, err := cibcrm.ParseXML(st.XML)
			if err != nil {
				return fmt.Errorf("line %d: %w", st.Line, err)
			}
			for _, x := range inner {
				kept[x.ID] = true
			}
		}
		// The text says all of a set: what is not in it goes.
		st.Replace()
	}
	var gone []string
	for _, it := range items {
		if !kept[it.ID] {
			if it.ID == "" {
				it.ID = it.Keyword
			}
			gone = append(gone, it.ID)
		}
	}
	if len(gone) > 0 {
		if err := w.ed.Delete(gone...); err != nil {
			return err
		}
	}
	return w.applyAll(list)
}

func itemText(items []cibcrm.Item) string {
	var b strings.Builder
	for _, it := range items {
		b.WriteString(it.Text + "\n")
	}
	return b.String()
}

// joinLines puts every statement on one line.
func joinLines(text string) string {
	return strings.NewReplacer(" \\\n\t", " ", " \\\n", " ").Replace(text)
}

func (s *Shell) cmdEdit(c *call) error {
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	items, err := s.filterItems(w, c.args, cibcrm.PrintOptions{})
	if err != nil {
		return err
	}
	text := itemText(items)
	for before := text; ; {
		after, err := s.runEditor(c.ctx, text)
		if err != nil {
			return err
		}
		if after == before {
			return nil
		}
		err = s.edit(c.ctx, func(w *workArea) error { return w.replaceItems(items, after) })
		if err == nil || !s.interactive {
			return err
		}
		s.fail(err)
		if !s.confirm("Edit it again?") {
			return errors.New("nothing was changed")
		}
		text = after
	}
}

func (s *Shell) cmdFilter(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	items, err := s.filterItems(w, c.args[1:], cibcrm.PrintOptions{})
	if err != nil {
		return err
	}
	// One line a statement: programs work line by line.
	text := joinLines(itemText(items))
	after, err := s.runFilter(c.ctx, c.args[0], text)
	if err != nil || after == text {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error { return w.replaceItems(items, after) })
}

// decide asks the policy what would follow from the work area, on the status known now.
func decide(snap *editor.Snapshot, doc *cib.Document) (*policy.Decision, error) {
	return decideTraced(snap, doc, model.Trace{})
}

func decideTraced(snap *editor.Snapshot, doc *cib.Document, trace model.Trace) (*policy.Decision, error) {
	input := policy.Input{Document: doc, Now: time.Now().UTC(), Quorate: true, Trace: trace}
	if snap.State != nil {
		st := *snap.State
		st.Document = doc
		input.Document = command.PolicyDocument(&st, leaderOf(snap))
	} else {
		input.Quorate = doc.Head.HaveQuorum == "" || cib.IsTrue(doc.Head.HaveQuorum)
	}
	return policy.Decide(input)
}

// leaderOf returns a member that is online: a decision needs some deciding node.
func leaderOf(snap *editor.Snapshot) string {
	if snap.State == nil {
		return ""
	}
	for i := range snap.State.Members {
		if m := &snap.State.Members[i]; m.Online && !m.Removed {
			return m.Name
		}
	}
	return ""
}

func (s *Shell) cmdSimulate(c *call) error {
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	actions, scores, graph := false, false, ""
	for i := 0; i < len(c.args); i++ {
		switch a := c.args[i]; a {
		case "graph":
			if i++; i == len(c.args) {
				return c.usage("graph needs a file: NAME.dot, .svg, .json or .xml")
			}
			graph = c.args[i]
		case "nograph", "utilization":
		case "scores":
			scores = true
		case "actions":
			actions = true
		default:
			if strings.Trim(a, "v") != "" {
				return c.usage("%q is none of nograph, scores, actions, graph FILE", a)
			}
		}
	}
	d, err := decideTraced(w.base, w.doc, model.Trace{Scores: scores})
	if err != nil {
		return err
	}
	if graph != "" {
		if err := writeGraph(c.ctx, d, graph); err != nil {
			return err
		}
	}
	for _, l := range d.Cluster.Scores {
		s.printf("%s\n", l.Text())
	}
	list := policy.SummaryText(d.Summary())
	if len(list) == 0 {
		s.printf("Nothing would be done.\n")
	}
	for _, l := range list {
		s.printf("  * %s\n", l)
	}
	if actions {
		n := 0
		d.Cluster.Expand()
		for _, a := range d.Cluster.Actions {
			if !a.Optional && a.Node != nil && a.Resource != nil {
				s.printf("    %s %s on %s\n", a.Task, a.Resource.ID, a.Node.Name)
				n++
			}
		}
		s.printf("%d actions\n", n)
	}
	return nil
}

func (s *Shell) cmdGraph(c *call) error {
	if err := c.want(0, 3); err != nil {
		return err
	}
	if len(c.args) > 0 && c.args[0] != "dot" && c.args[0] != "svg" {
		return c.usage("%q is neither dot nor svg", c.args[0])
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	text := dotGraph(&w.doc.Config)
	switch {
	case len(c.args) == 3 || len(c.args) == 2 && c.args[0] == "svg":
		format := "svg"
		if len(c.args) == 3 {
			format = c.args[2]
		}
		if strings.Trim(format, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return c.usage("%q is no format", format)
		}
		return runDot(c.ctx, text, format, c.args[1])
	case len(c.args) == 2:
		return writeNew(c.args[1], text)
	}
	s.printf("%s", text)
	return nil
}

// dotGraph draws resources with their orders and colocations.
func dotGraph(c *cib.Configuration) string {
	var b strings.Builder
	b.WriteString("digraph configuration {\n  rankdir=TB; node [shape=box];\n")
	var draw func(r *cib.Resource, depth int)
	draw = func(r *cib.Resource, depth int) {
		const deepest = 8 // the model nests three levels
		indent := strings.Repeat("  ", depth+1)
		if len(r.Members) == 0 || depth > deepest {
			if r.Kind != cib.Template {
				fmt.Fprintf(&b, "%s%q [label=%q];\n", indent, r.ID, r.ID+"\n"+cibcrm.AgentName(r))
			}
			return
		}
		fmt.Fprintf(&b, "%ssubgraph %q { label=%q;\n", indent, "cluster_"+r.ID, r.Kind.String()+" "+r.ID)
		for _, m := range r.Members {
			draw(m, depth+1)
		}
		b.WriteString(indent + "}\n")
	}
	for _, r := range c.Resources {
		draw(r, 0)
	}
	leaf := func(id string) string {
		for {
			r, _, ok := cibcrm.Find(c, id)
			if !ok || len(r.Members) == 0 {
				return id
			}
			id = r.Members[0].ID
		}
	}
	edge := func(a, z, label, style string) {
		fmt.Fprintf(&b, "  %q -> %q [label=%q, style=%s];\n", leaf(a), leaf(z), label, style)
	}
	for i := range c.Constraints {
		k := &c.Constraints[i]
		var ids []string
		for _, set := range k.Sets {
			ids = append(ids, set.Refs...)
		}
		style := "solid"
		switch k.Kind {
		case cib.Order:
			if len(ids) == 0 {
				ids = []string{k.First, k.Then}
			}
		case cib.Colocation:
			style = "dashed"
			if len(ids) == 0 {
				ids = []string{k.Resource, k.With}
			}
		default:
			continue
		}
		for j := 1; j < len(ids); j++ {
			edge(ids[j-1], ids[j], k.ID, style)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (s *Shell) cmdDefaultTimeouts(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		for _, id := range c.args {
			r, _, ok := cibcrm.Find(&w.doc.Config, id)
			if !ok || r.Kind != cib.Primitive && r.Kind != cib.Template {
				return fmt.Errorf("there is no primitive %s", id)
			}
			meta, err := s.metadata(c.ctx, agentRef(r))
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			for _, a := range meta.Actions {
				if a.Timeout > 0 {
					setTimeout(r, a.Name, fmt.Sprintf("%ds", int(a.Timeout.Round(time.Second)/time.Second)))
				}
			}
		}
		// Ids of new operations are made as for statements.
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		w.ed.Complete()
		return nil
	})
}

func agentRef(r *cib.Resource) string {
	if r.Provider != "" {
		return r.Class + ":" + r.Provider + ":" + r.Type
	}
	return r.Class + ":" + r.Type
}

// setTimeout sets the timeout of the operations of that name; start and stop are added where they are missing.
func setTimeout(r *cib.Resource, name, timeout string) {
	found := false
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		if o.Name != name {
			continue
		}
		found = true
		set := false
		for j := range o.Extra {
			if o.Extra[j].Name == "timeout" {
				o.Extra[j].Value, set = timeout, true
			}
		}
		if !set {
			o.Extra = append(o.Extra, cib.Attr{Name: "timeout", Value: timeout})
		}
	}
	if !found && (name == "start" || name == "stop") {
		o := cib.Operation{Name: name, Interval: "0", Extra: []cib.Attr{{Name: "timeout", Value: timeout}}}
		o.SetLayout([]byte{cib.PartAttribute, cib.PartInterval})
		r.Operations.List = append(r.Operations.List, o)
	}
}

func (s *Shell) cmdValidateAll(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	r, _, ok := cibcrm.Find(&w.doc.Config, c.args[0])
	if !ok || r.Kind != cib.Primitive {
		return fmt.Errorf("there is no primitive %s", c.args[0])
	}
	if err := s.report(verify.Resource(w.doc, r, s.metadataOf(c.ctx))); err != nil {
		return err
	}
	s.info("the parameters of %s fit what its agent says of itself", r.ID)
	return nil
}

func raLevel() *level {
	return &level{name: "ra", help: "Resource and fence agents: what there is, and what they take.", commands: []*row{
		{name: "classes", help: "list the classes of agents", run: func(s *Shell, c *call) error {
			s.printf("lsb\nocf\nservice\nstonith\nsystemd\n")
			return nil
		}},
		{name: "list", args: "CLASS [PROVIDER]", example: "list ocf heartbeat", help: "list the agents of a class", run: (*Shell).cmdRaList},
		{name: "providers", args: "TYPE", example: "providers Dummy", help: "list the providers of an OCF agent", run: (*Shell).cmdRaProviders},
		{name: "info", aliases: []string{"meta"}, args: "[CLASS:[PROVIDER:]]TYPE", example: "info IPaddr2", help: "explain an agent and its parameters", run: (*Shell).cmdRaInfo},
		{name: "validate", args: "AGENT NAME=VALUE ...", example: "validate IPaddr2 ip=10.0.0.1", help: "check parameters against what an agent says it takes", run: (*Shell).cmdRaValidate},
	}}
}

func (s *Shell) cmdRaList(c *call) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	list, err := s.listAgents(c.ctx, strings.Join(c.args, ":"))
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	var names []string
	for _, a := range list {
		name := a[strings.LastIndexByte(a, ':')+1:]
		if class, _, _ := strings.Cut(a, ":"); class == "systemd" || class == "service" {
			_, name, _ = strings.Cut(a, ":")
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	sort.Strings(names)
	s.printf("%s\n", strings.Join(names, "\n"))
	return nil
}

func (s *Shell) cmdRaProviders(c *call) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	list, err := s.listAgents(c.ctx, "ocf")
	if err != nil {
		return err
	}
	var out []string
	for _, a := range list {
		if p := strings.Split(a, ":"); len(p) == 3 && p[2] == c.args[0] {
			out = append(out, p[1])
		}
	}
	if len(out) == 0 {
		return fmt.Errorf("there is no OCF agent %s on this node", c.args[0])
	}
	s.printf("%s\n", strings.Join(out, "\n"))
	return nil
}

// fullAgent completes the short name of an agent.
func fullAgent(name string) (string, error) {
	class, provider, typ, err := cibcrm.SplitAgent(name)
	if err != nil {
		return "", err
	}
	if provider != "" {
		return class + ":" + provider + ":" + typ, nil
	}
	return class + ":" + typ, nil
}

func (s *Shell) cmdRaInfo(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	name, err := fullAgent(c.args[0])
	if err != nil {
		return err
	}
	m, err := s.metadata(c.ctx, name)
	if errors.Is(err, verify.ErrNoAgent) {
		return s.noAgent(c.ctx, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.printf("%s (%s)\n\n%s\n", m.ShortDesc, name, indent(m.LongDesc, ""))
	if len(m.Parameters) > 0 {
		s.printf("\nParameters (*: required):\n")
	}
	for _, p := range m.Parameters {
		star := ""
		if p.Required {
			star = "*"
		}
		typ := p.Type
		if p.HasDefault {
			typ += ", [" + p.Default + "]"
		}
		s.printf("\n%s%s (%s): %s\n%s\n", p.Name, star, strings.TrimPrefix(typ, ", "), p.ShortDesc, indent(p.LongDesc, "    "))
	}
	if len(m.Actions) > 0 {
		s.printf("\nOperations with the values that the agent advises:\n\n")
	}
	for _, a := range m.Actions {
		line := "    " + a.Name
		if a.Timeout > 0 {
			line += fmt.Sprintf(" timeout=%v", a.Timeout)
		}
		if a.Interval > 0 {
			line += fmt.Sprintf(" interval=%v", a.Interval)
		}
		if a.Role != "" {
			line += " role=" + a.Role
		}
		s.printf("%s\n", line)
	}
	return nil
}

func indent(text, by string) string {
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		out = append(out, strings.TrimRight(by+strings.TrimSpace(l), " "))
	}
	return strings.Join(out, "\n")
}

func (s *Shell) cmdRaValidate(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	st, err := cibcrm.ParseWords(append([]string{"primitive", "validated", c.args[0], "params"}, c.args[1:]...))
	if err != nil {
		return err
	}
	doc := &cib.Document{Config: cib.Configuration{Resources: []*cib.Resource{st.Resource}}}
	return s.report(verify.Resource(doc, st.Resource, s.metadataOf(c.ctx)))
}

// waitTime is how long commands wait for the cluster when nothing else is said.
const waitTime = 5 * time.Minute

// waitIdle waits until the leader has nothing more to do. limit 0 = waitTime.
func (s *Shell) waitIdle(ctx context.Context, limit time.Duration) error {
	if _, file := s.connect().(*editor.File); file {
		return nil
	}
	if limit <= 0 {
		limit = waitTime
	}
	return s.waitLeader(ctx, limit)
}
