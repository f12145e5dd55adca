package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// workArea is the configuration that the configure level edits.
type workArea struct {
	base  *editor.Snapshot
	doc   *cib.Document
	ed    *cibcrm.Editor
	dirty bool // a command may have changed doc
}

func (w *workArea) changed() bool {
	return w.dirty && (w.doc.Head.ValidateWith != w.base.Doc.Head.ValidateWith || len(cib.Diff(w.base.Doc, w.doc)) > 0)
}

func newWorkArea(base *editor.Snapshot) *workArea {
	doc := base.Doc.Clone()
	return &workArea{base: base, doc: doc, ed: cibcrm.NewEditor(&doc.Config)}
}

// open returns the work area, loading it at the first use.
func (s *Shell) open(ctx context.Context) (*workArea, error) {
	if s.work == nil {
		base, err := s.load(ctx)
		if err != nil {
			return nil, err
		}
		s.work = newWorkArea(base)
	}
	return s.work, nil
}

// edit changes the work area: all of it or, when f fails, nothing.
func (s *Shell) edit(ctx context.Context, f func(w *workArea) error) error {
	w, err := s.open(ctx)
	if err != nil {
		return err
	}
	before, dirty := w.doc.Config.Clone(), w.dirty
	w.dirty = true
	err = f(w)
	notes := w.ed.Notes
	w.ed.Notes = nil
	if err != nil {
		w.doc.Config = before
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		w.dirty = dirty
		return err
	}
	for _, n := range notes {
		s.info("%s", n)
	}
	return nil
}

// editOne is edit for what changes all or nothing by itself: the work area is not copied for it.
func (s *Shell) editOne(ctx context.Context, f func(w *workArea) error) error {
	w, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := f(w); err != nil {
		return err
	}
	w.dirty = true
	for _, n := range w.ed.Notes {
		s.info("%s", n)
	}
	w.ed.Notes = nil
	return nil
}

// obscured are the names of parameters whose values show hides.
var obscured = []string{"passw*"}

func configureLevel() *level {
	l := &level{name: "configure", help: "Edit the configuration. Changes stay here until \"commit\"; then they are applied as a whole.",
		leave: func(ctx context.Context, s *Shell) error { return s.leaveConfigure(ctx) }}
	for _, k := range statementHelp {
		l.commands = append(l.commands, &row{name: k.name, aliases: k.aliases, args: k.args, help: k.help, example: k.example,
			run: (*Shell).cmdStatement, raw: true, complete: completeStatement})
	}
	l.commands = append(l.commands, []*row{
		{name: "show", args: "[xml|toml] [changed] [ID | type:KIND | tag:TAG | related:ID | obscure:PATTERN ...]", example: "show type:primitive",
			help: "print the configuration as statements that can be typed in again", run: (*Shell).cmdShow, complete: completeShow},
		{name: "edit", args: "[ID ...]", help: "edit objects in $EDITOR", example: "edit web", run: (*Shell).cmdEdit, complete: completeIDs},
		{name: "commit", args: "[force]", example: "commit", help: "check the changes and apply them in one step", run: (*Shell).cmdCommit},
		{name: "verify", help: "check the configuration with its changes", run: (*Shell).cmdVerify},
		{name: "diff", help: "list the changes that commit would apply", run: (*Shell).cmdDiff},
		{name: "delete", aliases: []string{"rm"}, args: "[--force] ID ...", example: "delete web", help: "delete objects with the constraints on them",
			run: (*Shell).cmdDelete, complete: completeIDs},
		{name: "rename", args: "OLD NEW", example: "rename web www", help: "rename an object and all references to it", run: (*Shell).cmdRename, complete: completeIDs},
		{name: "modgroup", args: "GROUP add ID [after|before ID] | GROUP remove ID", example: "modgroup site add web after vip",
			help: "add a resource to a group, or take it out", run: (*Shell).cmdModgroup, complete: completeModgroup},
		{name: "set", args: "ID.[OPERATION.[INTERVAL.]]NAME VALUE", example: "set vip.ip 10.0.0.2", help: "change one value", run: (*Shell).cmdSet, complete: completeSet},
		{name: "load", args: "[xml] update|replace|push FILE", example: "load update site.crm", help: "read statements from a file (\"-\": standard input)", run: (*Shell).cmdLoad},
		{name: "save", args: "[xml] [ID ...] FILE", example: "save site.crm", help: "write the configuration to a file (\"-\": standard output)", run: (*Shell).cmdSave},
		{name: "filter", args: "PROGRAM [ID ...]", example: `filter "sed s/10s/20s/" vip`, help: "pass statements through a program and take what it prints", run: (*Shell).cmdFilter, complete: completeIDs},
		{name: "get-property", aliases: []string{"get_property"}, args: "[-t] NAME ...", example: "get-property no-quorum-policy",
			help: "print the value of a cluster property that counts (-t: true or false)", run: (*Shell).cmdGetProperty, complete: completeProperties},
		{name: "erase", args: "[nodes]", example: "erase", help: "delete the whole configuration but the nodes; with \"nodes\", only those that are no members", run: (*Shell).cmdErase},
		{name: "refresh", help: "drop the changes and load the configuration again", run: (*Shell).cmdRefresh},
		{name: "simulate", aliases: []string{"ptest"}, args: "[nograph] [scores] [actions] [graph FILE.dot|svg|json|xml]", example: "simulate scores", help: "show what the cluster would do after a commit", run: (*Shell).cmdSimulate},
		{name: "graph", args: "[dot [FILE]]", example: "graph dot site.dot", help: "print the orders and colocations as a graph for dot", run: (*Shell).cmdGraph},
		{name: "schema", args: "[NAME]", example: "schema pacemaker-3.9", help: "show or set the name of the schema that the XML form names", run: (*Shell).cmdSchema},
		{name: "upgrade", args: "[force]", example: "upgrade", help: "rewrite old forms as what today's schema calls them", run: (*Shell).cmdUpgrade},
		{name: "default-timeouts", aliases: []string{"default_timeouts"}, args: "ID ...", example: "default-timeouts web", help: "set the timeouts that the agents advise", run: (*Shell).cmdDefaultTimeouts, complete: completeIDs},
		{name: "validate-all", aliases: []string{"validate_all"}, args: "ID", example: "validate-all web", help: "check the parameters of a resource against its agent", run: (*Shell).cmdValidateAll, complete: completeIDs},
		{name: "ra", help: "agents and their parameters", level: raLevel},
		{name: "template", help: "common set-ups with values to fill in", level: templateLevel},
		{name: "assist", help: "make a template of resources, or loosely keep them together", level: assistLevel},
		{name: "history", help: "what happened", level: historyLevel},
		rsctestRow(),
		{name: "cib", help: "shadows, copies of the configuration to work on", level: cibLevel},
	}...)
	return l
}

var statementHelp = []struct {
	name, args, help, example string
	aliases                   []string
}{
	{"node", "[ID:] NAME[:TYPE] [attributes NAME=VALUE ...] [utilization NAME=VALUE ...]", "define a node or change its attributes", "node alpha attributes rack=a", nil},
	{"primitive", "ID [CLASS:[PROVIDER:]]AGENT|@TEMPLATE [params ...] [meta ...] [utilization ...] [op NAME interval=TIME timeout=TIME ...]", "define a resource",
		"primitive vip IPaddr2 params ip=10.0.0.100 op monitor interval=10s", nil},
	{"group", "ID MEMBER ... [params ...] [meta ...]", "define a group: its members run together, started in order", "group site vip web", nil},
	{"clone", "ID RESOURCE [params ...] [meta ...]", "run a resource on many nodes; promotable with meta promotable=true", "clone db-clone db meta promotable=true", nil},
	{"ms", "ID RESOURCE [params ...] [meta ...]", "the older form of a promotable clone", "ms db-ms db", []string{"master"}},
	{"bundle", "ID docker|podman image=NAME [network ...] [storage ...] [primitive ID] [meta ...]", "define a container that runs on some nodes", "bundle httpd podman image=httpd replicas=2", nil},
	{"rsc_template", "ID AGENT [params ...] [meta ...] [op ...]", "define a pattern for primitives (@ID)", "rsc_template vm VirtualDomain op monitor interval=30s", nil},
	{"location", "ID RESOURCE|/PATTERN/|{ SET } [role=ROLE] [resource-discovery=HOW] SCORE: NODE | rule ...", "prefer or ban nodes for a resource", "location l1 web 100: alpha", nil},
	{"colocation", "ID SCORE: RESOURCE[:ROLE] RESOURCE[:ROLE] ...", "keep resources together (inf:) or apart (-inf:)", "colocation c1 inf: web vip", []string{"collocation"}},
	{"order", "ID [Mandatory|Optional|Serialize:] FIRST[:ACTION] THEN[:ACTION] ... [symmetrical=BOOL]", "start resources in an order", "order o1 Mandatory: vip web", nil},
	{"rsc_ticket", "ID TICKET: RESOURCE[:ROLE] ... [loss-policy=stop|demote|fence|freeze]", "tie resources to a ticket", "rsc_ticket t1 ticketA: web loss-policy=stop", nil},
	{"property", "[ID:] NAME=VALUE ...", "set cluster properties", "property no-quorum-policy=stop", nil},
	{"rsc_defaults", "[ID:] NAME=VALUE ...", "set defaults of resources' meta-attributes", "rsc_defaults resource-stickiness=100", nil},
	{"op_defaults", "[ID:] NAME=VALUE ...", "set defaults of operations", "op_defaults timeout=60s", nil},
	{"monitor", "RESOURCE[:ROLE] INTERVAL[:TIMEOUT]", "add a monitor operation to a primitive", "monitor web 10s:20s", nil},
	{"tag", "ID: OBJECT ...", "give several objects one name", "tag all: web vip", nil},
	{"fencing_topology", "[TARGET:] DEVICE[,DEVICE] ... ", "say which devices fence which node, level by level", "fencing_topology alpha: ipmi-a pdu-a", nil},
	{"role", "ID [description=TEXT] read|write|deny OBJECT ...", "define an access control role", "role operators write meta:web:target-role read cib", nil},
	{"user", "NAME role:ROLE ...", "the older form of acl_target, which no schema since pacemaker-2.0 has", "user ann role:operators", nil},
	{"acl_target", "USER ROLE ...", "give roles to a user", "acl_target ann operators", nil},
	{"acl_group", "GROUP ROLE ...", "give roles to a group of users", "acl_group ops operators", nil},
	{"alert", "ID PATH [attributes ...] [meta ...] [select ...] to RECIPIENT ...", "run a program on events", "alert mail /usr/local/bin/alert.sh to admin@example.com", nil},
	{"xml", "<ELEMENT>", "define an object as XML", `xml <tag id="t"><obj_ref id="web"/></tag>`, nil},
}

// cmdStatement brings a statement of the configure language into the work area.
func (s *Shell) cmdStatement(c *call) error {
	var list []*cibcrm.Statement
	if c.text != "" {
		// The word may be short or an old name: the statement begins with the command's own.
		_, rest, _ := strings.Cut(c.text, " ")
		var errs []error
		if list, errs = cibcrm.Parse(c.cmd.name + " " + rest); len(errs) > 0 {
			return statementErrors(errs, s.line)
		}
	} else {
		st, err := cibcrm.ParseWords(append([]string{c.cmd.name}, c.args...))
		if err != nil {
			return err
		}
		list = []*cibcrm.Statement{st}
	}
	edit := s.edit
	if len(list) == 1 && list[0].XML == "" {
		edit = s.editOne
	}
	return edit(c.ctx, func(w *workArea) error {
		for _, st := range list {
			st.Line = 0
			mode := cibcrm.Create
			if s.opts.force {
				mode = cibcrm.Update
			}
			if err := w.ed.Apply(st, mode); err != nil {
				return err
			}
			if st.Keyword == "ms" {
				s.warn("\"ms\" is the older form: \"clone %s %s meta promotable=true\" says the same", st.ID, strings.Join(st.Nested, " "))
			}
		}
		return nil
	})
}

// statementErrors gives errors of one typed statement the line of the input.
func statementErrors(errs []error, line int) error {
	for _, err := range errs {
		var e *cibcrm.Error
		if errors.As(err, &e) {
			e.Line = 0
		}
	}
	return &errorList{errs}
}

// filterItems picks the objects that the arguments of show name.
func (s *Shell) filterItems(w *workArea, args []string, o cibcrm.PrintOptions) ([]cibcrm.Item, error) {
	var tests []func(it cibcrm.Item) bool
	var missing []string
	or := false
	for _, a := range args {
		kind, arg, has := strings.Cut(a, ":")
		switch {
		case a == "xml":
			o.XML = true
		case a == "or":
			or = true
		case a == "and":
		case a == "changed":
			changed := map[string]bool{}
			for _, ch := range cib.Diff(w.base.Doc, w.doc) {
				changed[ch.ID] = true
				if ch.Object != nil && ch.Object.Resource != nil {
					cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{ch.Object.Resource}}, func(r, _ *cib.Resource) {
						old, _, ok := cibcrm.Find(&w.base.Doc.Config, r.ID)
						x, y := cib.Object{Resource: old}, cib.Object{Resource: r}
						changed[r.ID] = !ok || !x.Equal(&y)
					})
				}
			}
			tests = append(tests, func(it cibcrm.Item) bool { return changed[it.ID] })
		case has && kind == "type":
			k, ok := cibcrm.Keyword(arg)
			if !ok {
				return nil, fmt.Errorf("type:%s: %q is no kind of object; known are %s", arg, arg, strings.Join(cibcrm.Keywords(), ", "))
			}
			tests = append(tests, func(it cibcrm.Item) bool { return it.Keyword == k })
		case has && kind == "tag":
			at := slices.IndexFunc(w.doc.Config.Tags, func(t cib.Tag) bool { return t.ID == arg })
			if at < 0 {
				return nil, fmt.Errorf("there is no tag %s", arg)
			}
			refs := w.doc.Config.Tags[at].Refs
			tests = append(tests, func(it cibcrm.Item) bool { return it.ID == arg || slices.Contains(refs, it.ID) })
		case has && kind == "related":
			related := relatedTo(&w.doc.Config, arg)
			tests = append(tests, func(it cibcrm.Item) bool { return related[it.ID] })
		case has && kind == "obscure":
			if _, err := path.Match(arg, ""); err != nil {
				return nil, fmt.Errorf("obscure:%s: %w", arg, err)
			}
			o.Obscure = append(slices.Clone(o.Obscure), arg)
		default:
			missing = append(missing, a)
			tests = append(tests, func(it cibcrm.Item) bool {
				ok, err := path.Match(a, it.ID)
				return it.ID == a || it.ID == "" && it.Keyword == a || err == nil && ok
			})
			or = or || len(missing) > 1
		}
	}
	items := cibcrm.Items(&w.doc.Config, o)
	for _, m := range missing {
		if !strings.ContainsAny(m, "*?[") && !slices.ContainsFunc(items, func(it cibcrm.Item) bool { return it.ID == m || it.ID == "" && it.Keyword == m }) {
			return nil, fmt.Errorf("object %s does not exist", m)
		}
	}
	if len(tests) == 0 {
		return items, nil
	}
	return slices.DeleteFunc(items, func(it cibcrm.Item) bool {
		hits := 0
		for _, t := range tests {
			if t(it) {
				hits++
			}
		}
		return hits == 0 || !or && hits < len(tests)
	}), nil
}

// relatedTo returns the ids of an object, what it refers to, and what refers to it.
func relatedTo(c *cib.Configuration, id string) map[string]bool {
	out := map[string]bool{id: true}
	cib.EachReference(c, func(r cib.Reference) {
		if r.To == id {
			out[r.ID] = true
		}
		if r.ID == id {
			out[r.To] = true
		}
	})
	cib.EachResource(c, func(r, parent *cib.Resource) {
		if parent != nil && r.ID == id {
			out[parent.ID] = true
		}
		if parent != nil && parent.ID == id {
			out[r.ID] = true
		}
	})
	return out
}

func (s *Shell) cmdShow(c *call) error {
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	if len(c.args) == 1 && c.args[0] == "xml" {
		_, err := s.out.Write(cibxml.Write(w.doc, cibxml.Options{NoStatus: true}))
		return err
	}
	if len(c.args) == 1 && c.args[0] == "toml" {
		data, err := cibtoml.Write(w.doc, s.tomlOptions(c.ctx))
		if err != nil {
			return err
		}
		_, err = s.out.Write(data)
		return err
	}
	items, err := s.filterItems(w, c.args, cibcrm.PrintOptions{Obscure: obscured, Field: true})
	if err != nil {
		return err
	}
	s.printItems(items)
	return nil
}

func (s *Shell) printItems(items []cibcrm.Item) {
	var b strings.Builder
	for _, it := range items {
		text := it.Text
		if s.colours() {
			text = coloured(text)
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	io.WriteString(s.out, b.String())
}

func (s *Shell) cmdDelete(c *call) error {
	args := c.args
	force := s.opts.force
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		if a == "--force" || a == "-f" {
			force = true
			return true
		}
		return false
	})
	if len(args) == 0 {
		return c.usage("the id of an object is missing")
	}
	return s.edit(c.ctx, func(w *workArea) error {
		if !force {
			for _, id := range args {
				if node := activeOn(w.base.Doc, id); node != "" {
					return hint(fmt.Errorf("resource %s runs on %s", id, node), "stop it first (crm -w resource stop %s), or delete --force", id)
				}
			}
		}
		return w.ed.Delete(args...)
	})
}

// activeOn returns a node whose history says that the resource runs there; "" = none.
func activeOn(doc *cib.Document, id string) string {
	r, _, ok := cibcrm.Find(&doc.Config, id)
	if !ok || r.Kind != cib.Primitive {
		return ""
	}
	for i := range doc.Status.Nodes {
		n := &doc.Status.Nodes[i]
		for j := range n.History {
			h := &n.History[j]
			if name, _, _ := strings.Cut(h.ID, ":"); name != id {
				continue
			}
			last, running := int64(-1), false
			for k := range h.Operations {
				op := &h.Operations[k]
				if op.CallID < last || op.Interval != 0 || op.Status != 0 && op.Operation != "monitor" {
					continue
				}
				switch op.Operation {
				case "start", "promote", "demote", "migrate_from":
					last, running = op.CallID, op.RC == 0
				case "stop", "migrate_to":
					last, running = op.CallID, op.RC != 0
				case "monitor":
					last, running = op.CallID, op.RC == 0 || op.RC == 8 || op.RC == 9
				}
			}
			if running {
				return n.Name
			}
		}
	}
	return ""
}

func (s *Shell) cmdRename(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		if node := activeOn(w.base.Doc, c.args[0]); node != "" && !s.opts.force {
			return hint(fmt.Errorf("resource %s runs on %s: it cannot be renamed now", c.args[0], node), "crm resource stop %s", c.args[0])
		}
		out, err := cib.Rename(w.doc, c.args[0], c.args[1])
		if err != nil {
			return err
		}
		w.doc.Config = out.Config
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		return nil
	})
}

func (s *Shell) cmdModgroup(c *call) error {
	if err := c.want(3, 5); err != nil {
		return err
	}
	m := cibcrm.Member{Group: c.args[0], Resource: c.args[2]}
	switch c.args[1] {
	case "add":
		switch {
		case len(c.args) == 3:
		case len(c.args) == 5 && c.args[3] == "after":
			m.After = c.args[4]
		case len(c.args) == 5 && c.args[3] == "before":
			m.Before = c.args[4]
		default:
			return c.usage("after the resource comes after or before, and a member")
		}
	case "remove":
		if len(c.args) > 3 {
			return c.usage("%q is too much", c.args[3])
		}
		m.Remove = true
	default:
		return c.usage("%q is neither add nor remove", c.args[1])
	}
	return s.edit(c.ctx, func(w *workArea) error { return w.ed.ModifyGroup(m) })
}

func (s *Shell) cmdErase(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	if len(c.args) == 1 && c.args[0] != "nodes" {
		return c.usage("%q is not nodes", c.args[0])
	}
	return s.edit(c.ctx, func(w *workArea) error {
		if len(c.args) == 0 {
			eraseConfig(w)
			return nil
		}
		// The field's shell deletes the nodes alone then.
		w.doc.Config.Nodes = nil
		w.keepMembers()
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		return nil
	})
}

// eraseConfig empties the configuration but for the nodes, which come from the membership.
func eraseConfig(w *workArea) {
	old := w.doc.Config
	w.doc.Config = cib.Configuration{Cluster: old.Cluster, Nodes: old.Nodes}
	w.ed = cibcrm.NewEditor(&w.doc.Config)
}

func (s *Shell) cmdRefresh(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	if s.work != nil && s.work.changed() && s.interactive && !s.confirm("Drop the changes?") {
		return nil
	}
	s.work = nil
	return nil
}

// apply brings the statements of a text into the work area, what is referred to first.
func (w *workArea) apply(text string, mode cibcrm.Mode) error {
	list, errs := cibcrm.Parse(text)
	if len(errs) > 0 {
		return &errorList{errs}
	}
	cibcrm.Order(list)
	for _, st := range list {
		if err := w.ed.Apply(st, mode); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shell) cmdLoad(c *call) error {
	args := c.args
	asXML := len(args) > 0 && args[0] == "xml"
	if asXML {
		args = args[1:]
	}
	if len(args) != 2 {
		return c.usage("a method (update, replace, push) and a file are needed")
	}
	method, name := args[0], args[1]
	if !slices.Contains([]string{"update", "replace", "push"}, method) {
		return c.usage("%q is none of update, replace and push", method)
	}
	data, err := s.readInput(name)
	if err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		if method != "update" {
			eraseConfig(w)
		}
		err := w.load(data, asXML)
		if err == nil && method != "update" {
			w.keepMembers()
		}
		return err
	})
}

// keepMembers puts back the nodes that are members of the cluster: they go by "crm cluster remove" only.
func (w *workArea) keepMembers() {
	if w.base.State == nil {
		return
	}
	for i := range w.base.Doc.Config.Nodes {
		old := &w.base.Doc.Config.Nodes[i]
		if w.base.State.Member(old.Name) == nil {
			continue
		}
		at := slices.IndexFunc(w.doc.Config.Nodes, func(n cib.Node) bool { return n.Name == old.Name })
		if at < 0 {
			w.doc.Config.Nodes = append(w.doc.Config.Nodes, cib.Node{ID: old.ID, Name: old.Name})
			at = len(w.doc.Config.Nodes) - 1
		}
		n := &w.doc.Config.Nodes[at]
		n.Links, n.Witness, n.Voter, n.ID = old.Links, old.Witness, old.Voter, old.ID
	}
	w.ed = cibcrm.NewEditor(&w.doc.Config)
}

// load brings statements or XML into the work area; objects that exist are replaced.
func (w *workArea) load(data []byte, asXML bool) error {
	text := strings.TrimSpace(string(data))
	if !asXML && !strings.HasPrefix(text, "<") {
		return w.apply(string(data), cibcrm.Update)
	}
	if strings.HasPrefix(text, "<?xml") || strings.HasPrefix(text, "<cib") {
		doc, _, err := cibxml.Read(data)
		if err != nil {
			return err
		}
		return w.applyAll(cibcrm.Statements(&doc.Config))
	}
	if rest, ok := strings.CutPrefix(text, "<configuration>"); ok {
		doc, _, err := cibxml.Read([]byte("<cib><configuration>" + rest + "</cib>"))
		if err != nil {
			return err
		}
		return w.applyAll(cibcrm.Statements(&doc.Config))
	}
	list, err := cibcrm.ParseXML(text)
	if err != nil {
		return err
	}
	return w.applyAll(list)
}

func (w *workArea) applyAll(list []*cibcrm.Statement) error {
	cibcrm.Order(list)
	for _, st := range list {
		if err := w.ed.Apply(st, cibcrm.Update); err != nil {
			return err
		}
	}
	return nil
}

// maxInput bounds a file that is read, in bytes.
const maxInput = 512 << 20

// readInput reads a file, or what is left of the input for "-".
func (s *Shell) readInput(name string) ([]byte, error) {
	if name == "-" {
		in := s.cfg.In
		if s.in != nil {
			in = s.in
		}
		return io.ReadAll(io.LimitReader(in, maxInput))
	}
	if strings.Contains(name, "://") {
		return nil, fmt.Errorf("%s: only files are read; fetch it first", name)
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxInput {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", name, st.Size(), maxInput)
	}
	return os.ReadFile(name)
}

func (s *Shell) cmdSave(c *call) error {
	args := c.args
	asXML := len(args) > 0 && args[0] == "xml"
	if asXML {
		args = args[1:]
	}
	if len(args) == 0 {
		return c.usage("the name of the file is missing")
	}
	name, args := args[len(args)-1], args[:len(args)-1]
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	var text string
	if asXML && len(args) == 0 {
		text = string(cibxml.Write(w.doc, cibxml.Options{NoStatus: true}))
	} else {
		items, err := s.filterItems(w, args, cibcrm.PrintOptions{XML: asXML})
		if err != nil {
			return err
		}
		for _, it := range items {
			text += it.Text + "\n"
		}
	}
	if name == "-" {
		_, err := io.WriteString(s.out, text)
		return err
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	return nil
}

func (s *Shell) cmdDiff(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	for _, l := range cib.Describe(w.base.Doc, cib.Diff(w.base.Doc, w.doc)) {
		s.printf("%s\n", l)
	}
	return nil
}

func (s *Shell) cmdCommit(c *call) error {
	force := s.opts.force
	for _, a := range c.args {
		switch a {
		case "force", "--force":
			force = true
		case "replace":
		default:
			return c.usage("%q is not force", a)
		}
	}
	return s.commit(c.ctx, s.opts.message, force)
}

// commit checks the work area and applies what differs from the base.
func (s *Shell) commit(ctx context.Context, message string, force bool) error {
	if message == "" {
		message = "crm configure"
	}
	w, err := s.open(ctx)
	if err != nil {
		return err
	}
	changes := cib.Diff(w.base.Doc, w.doc)
	schema := w.doc.Head.ValidateWith != w.base.Doc.Head.ValidateWith
	if len(changes) == 0 && !schema {
		w.dirty = false
		return nil
	}
	if err := s.verify(ctx, w); err != nil {
		if !force {
			return hint(err, "correct it, or \"commit force\"")
		}
		s.fail(err)
	}
	if schema {
		if err := s.storeSchema(ctx, w); err != nil {
			return err
		}
	}
	if len(changes) > 0 {
		err = s.store(ctx, w.base, changes, message, force)
	}
	var conflict *editor.ConflictError
	if errors.As(err, &conflict) {
		lines := []string{err.Error(), "your changes:"}
		for _, l := range cib.Describe(w.base.Doc, changes) {
			lines = append(lines, "  "+l)
		}
		if now, e := s.load(ctx); e == nil {
			lines = append(lines, "changed meanwhile:")
			for _, l := range cib.Describe(w.base.Doc, cib.Diff(w.base.Doc, now.Doc)) {
				lines = append(lines, "  "+l)
			}
		}
		return hint(errors.New(strings.Join(lines, "\n")), "\"commit force\" overrides the others' changes of these objects; \"refresh\" drops yours")
	}
	if err != nil {
		return err
	}
	s.work = nil
	if s.opts.wait {
		return s.waitIdle(ctx, 0)
	}
	return nil
}

// leaveConfigure is called when the level is left with changes: a person is asked, a script commits.
func (s *Shell) leaveConfigure(ctx context.Context) error {
	if s.work == nil || !s.work.changed() {
		s.work = nil
		return nil
	}
	if s.interactive {
		switch s.ask("There are changes. Commit them (y), drop them (n) or stay (c)?", "y", "n", "c") {
		case "n":
			s.work = nil
			return nil
		case "c":
			return errors.New("not left")
		}
	}
	return s.commit(ctx, s.opts.message, s.opts.force)
}

func (s *Shell) cmdGetProperty(c *call) error {
	truth := false
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool {
		if a == "-t" || a == "--true" {
			truth = true
			return true
		}
		return false
	})
	if len(args) == 0 {
		return c.usage("the name of a property is missing")
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	for _, name := range args {
		canonical := cib.CanonicalProperty(name)
		v := cib.EffectiveProperty(w.doc, canonical)
		if raw, ok := cib.Property(w.doc, canonical); ok && cib.PropertyOption(canonical) == nil {
			v = raw
		} else if !ok && cib.PropertyOption(canonical) == nil {
			return fmt.Errorf("%s is no cluster property and not set", name)
		}
		if truth {
			v = "false"
			if cib.IsTrue(cib.EffectiveProperty(w.doc, canonical)) {
				v = "true"
			}
		}
		s.printf("%s\n", v)
	}
	return nil
}

func (s *Shell) cmdSchema(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	if len(c.args) == 0 {
		s.printf("%s\n", w.doc.Head.ValidateWith)
		return nil
	}
	if _, ok := cib.ParseSchema(c.args[0]); !ok {
		return fmt.Errorf("%q is no schema; they are called pacemaker-3.9 and the like", c.args[0])
	}
	w.doc.Head.ValidateWith = c.args[0]
	w.dirty = true
	return nil
}

// storeSchema writes the name of the schema, which only a file has.
func (s *Shell) storeSchema(ctx context.Context, w *workArea) error {
	b, ok := s.connect().(*editor.File)
	if !ok {
		return errors.New("a running cluster has no schema: the document is a model of its own; \"save xml\" writes today's")
	}
	doc := w.base.Doc.Clone()
	doc.Head.ValidateWith = w.doc.Head.ValidateWith
	return b.Replace(ctx, w.base, doc)
}

func (s *Shell) cmdUpgrade(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		out, problems := cib.Upgrade(w.doc)
		for _, p := range problems {
			s.warn("%s", p.String())
		}
		w.doc.Config = out.Config.Clone()
		w.doc.Head.ValidateWith = out.Head.ValidateWith
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		return nil
	})
}
