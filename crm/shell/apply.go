package shell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
)

// readConfig reads a configuration in any of its forms: XML when it begins with "<", crm statements in files
// called .crm, else TOML. Of a folder all TOML files are read as one, by name.
func (s *Shell) readConfig(name string) (*cib.Document, error) {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		files, err := filepath.Glob(filepath.Join(name, "*.toml"))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s holds no .toml file", name)
		}
		sort.Strings(files)
		out := &cib.Document{}
		for _, f := range files {
			doc, err := s.readConfig(f)
			if err != nil {
				return nil, err
			}
			merged, err := cib.Apply(out, cib.Diff(&cib.Document{}, doc))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			out = merged
		}
		return out, nil
	}
	data, err := s.readInput(name)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(strings.TrimSpace(string(data)), "<"):
		doc, problems, err := cibxml.Read(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range problems {
			s.warn("%s: %s", name, p.String())
		}
		return doc, nil
	case strings.HasSuffix(name, ".crm"):
		w := newWorkArea(&editor.Snapshot{Doc: &cib.Document{}})
		if err := w.apply(string(data), cibcrm.Update); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return w.doc, nil
	}
	doc, err := cibtoml.Read(data, cibtoml.Options{})
	if err != nil {
		var list cibtoml.Errors
		if errors.As(err, &list) {
			out := &errorList{}
			for i := range list {
				p := list[i]
				pos := p.Pos
				p.Pos = cib.Pos{}
				out.errs = append(out.errs, fmt.Errorf("%s:%d:%d: %s", name, pos.Line, pos.Column, p.String()))
			}
			return nil, out
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return doc, nil
}

// wanted returns the document that a file asks for: its configuration, with what only the cluster knows, the
// members with their ids and links, taken from the present one where the file says nothing of it.
func wanted(now *editor.Snapshot, file *cib.Document) *cib.Document {
	out := now.Doc.Clone()
	config := file.Config.Clone()
	if len(config.Cluster.Links) == 0 {
		config.Cluster.Links = out.Config.Cluster.Links
	}
	for i := range out.Config.Nodes {
		old := &out.Config.Nodes[i]
		at := slices.IndexFunc(config.Nodes, func(n cib.Node) bool { return n.Name == old.Name })
		if at < 0 {
			member := now.State != nil && now.State.Member(old.Name) != nil
			if member || len(file.Config.Nodes) == 0 {
				config.Nodes = append(config.Nodes, old.Clone())
			}
			continue
		}
		n := &config.Nodes[at]
		n.ID = old.ID
		if len(n.Links) == 0 {
			n.Links = old.Links
		}
		if n.Voter == "" {
			n.Voter = old.Voter
		}
		n.Witness = n.Witness || old.Witness
		if len(n.Attributes) == 0 {
			n.Attributes = cib.CloneSets(old.Attributes)
		}
	}
	// The order of nodes says nothing: it stays as it is.
	place := func(n cib.Node) int {
		at := slices.IndexFunc(out.Config.Nodes, func(o cib.Node) bool { return o.Name == n.Name })
		if at < 0 {
			return len(out.Config.Nodes)
		}
		return at
	}
	slices.SortStableFunc(config.Nodes, func(a, b cib.Node) int { return place(a) - place(b) })
	out.Config = config
	return out
}

// plan is what applying a file would do.
type plan struct {
	base    *editor.Snapshot
	doc     *cib.Document
	changes []cib.Change
	lines   []string // the difference in words
	actions []string
	risks   []string
	stops   []string // resources that are interrupted, with the time
	id      string
}

func (s *Shell) makePlan(ctx context.Context, name string) (*plan, error) {
	file, err := s.readConfig(name)
	if err != nil {
		return nil, err
	}
	base, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	p := &plan{base: base, doc: wanted(base, file)}
	p.changes = cib.Diff(base.Doc, p.doc)
	p.lines = cib.Describe(base.Doc, p.changes)
	if len(p.changes) == 0 {
		return p, nil
	}
	if err := checkChange(base.Doc, p.doc); err != nil {
		return nil, err
	}
	d, err := decide(base, p.doc)
	if err != nil {
		return nil, err
	}
	summary := d.Summary()
	p.actions = policy.SummaryText(summary)
	for _, ch := range summary {
		switch ch.Verb {
		case "Stop", "Restart", "Move", "Recover", "Migrate", "Demote":
			if ch.From != "" {
				p.stops = append(p.stops, fmt.Sprintf("%s on %s (%s), about %v", ch.Resource, ch.From, strings.ToLower(ch.Verb), interruption(base.Doc, p.doc, ch)))
			}
		}
	}
	p.risks = risks(base, p.doc)
	sum := sha256.Sum256([]byte(strings.Join(p.lines, "\n") + "\n--\n" + strings.Join(p.actions, "\n")))
	p.id = hex.EncodeToString(sum[:6])
	return p, nil
}

// interruption estimates how long a resource is away: its stop and start as recorded, else their timeouts.
func interruption(now, then *cib.Document, ch policy.Change) time.Duration {
	const unknown = 20 * time.Second // the default timeout of operations
	id, _, _ := strings.Cut(ch.Resource, ":")
	took := func(task string) time.Duration {
		best := time.Duration(-1)
		for i := range now.Status.Nodes {
			for j := range now.Status.Nodes[i].History {
				h := &now.Status.Nodes[i].History[j]
				if base, _, _ := strings.Cut(h.ID, ":"); base != id {
					continue
				}
				for k := range h.Operations {
					if o := &h.Operations[k]; o.Operation == task && o.RC == 0 && o.ExecTime >= 0 && o.Status == 0 {
						best = max(best, time.Duration(o.ExecTime)*time.Millisecond)
					}
				}
			}
		}
		if best >= 0 {
			return best
		}
		if r, _, ok := cibcrm.Find(&then.Config, id); ok {
			for i := range r.Operations.List {
				o := &r.Operations.List[i]
				for _, a := range o.Extra {
					if ms, err := cib.ParseTimeout(a.Value); o.Name == task && a.Name == "timeout" && err == nil {
						return time.Duration(ms) * time.Millisecond
					}
				}
			}
		}
		return unknown
	}
	total := took("stop")
	if ch.To != "" {
		total += took("start")
	}
	return total.Round(10 * time.Millisecond)
}

// risks names what an administrator should know before applying.
func risks(base *editor.Snapshot, doc *cib.Document) []string {
	var out []string
	if !cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled")) {
		out = append(out, "fencing is off: after the loss of a node, data may be used by two nodes at once")
	} else if errs := fencingErrors(doc); len(errs) > 0 {
		out = append(out, errs[0].Error())
	}
	if q := cib.EffectiveProperty(doc, "no-quorum-policy"); q == "ignore" {
		out = append(out, "no-quorum-policy=ignore: a part without quorum goes on")
	}
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if r.Kind != cib.Primitive || r.Class == "stonith" || r.Template != "" || r.Operations.IDRef != "" {
			return
		}
		if !slices.ContainsFunc(r.Operations.List, func(o cib.Operation) bool { return o.Name == "monitor" }) {
			out = append(out, fmt.Sprintf("%s has no monitor: its failure would not be noticed", r.ID))
		}
	})
	if base.State != nil {
		online := 0
		for i := range base.State.Members {
			if m := &base.State.Members[i]; m.Online && !m.Removed {
				online++
			}
		}
		if online == 1 {
			out = append(out, "only one node is online: nothing can fail over")
		}
	}
	for _, p := range cib.Check(doc) {
		if p.Severity == cib.Warning {
			p.Pos = cib.Pos{}
			out = append(out, p.String())
		}
	}
	return out
}

func (s *Shell) printPlan(p *plan) {
	if len(p.changes) == 0 {
		s.printf("Nothing to change.\n")
		return
	}
	s.printf("Changes:\n")
	for _, l := range p.lines {
		s.printf("  %s\n", l)
	}
	if len(p.actions) == 0 {
		s.printf("\nNo resource is started, stopped or moved.\n")
	} else {
		s.printf("\nActions:\n")
		for _, l := range p.actions {
			s.printf("  * %s\n", l)
		}
	}
	if len(p.stops) > 0 {
		s.printf("\nInterrupted:\n")
		for _, l := range p.stops {
			s.printf("  * %s\n", l)
		}
	}
	if len(p.risks) > 0 {
		s.printf("\nMind:\n")
		for _, l := range p.risks {
			s.printf("  ! %s\n", l)
		}
	}
	s.printf("\nPlan %s\n", p.id)
}

func (s *Shell) cmdPlan(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	p, err := s.makePlan(c.ctx, c.args[0])
	if err != nil {
		return err
	}
	s.printPlan(p)
	return nil
}

func (s *Shell) cmdApply(c *call) error {
	yes, id, name, message := s.opts.yes, "", "", s.opts.message
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		switch {
		case a == "--yes" || a == "-y":
			yes = true
		case (a == "--plan" || a == "-m") && i+1 < len(c.args):
			i++
			if a == "-m" {
				message = c.args[i]
			} else {
				id = c.args[i]
			}
		case strings.HasPrefix(a, "--plan="):
			id = strings.TrimPrefix(a, "--plan=")
		case strings.HasPrefix(a, "-") && a != "-":
			return c.usage("%q is not known", a)
		case name == "":
			name = a
		default:
			return c.usage("%q is too much", a)
		}
	}
	if name == "" {
		return c.usage("the file is missing")
	}
	p, err := s.makePlan(c.ctx, name)
	if err != nil {
		return err
	}
	if len(p.changes) == 0 {
		s.printf("Nothing to change.\n")
		return nil
	}
	switch {
	case id != "" && id != p.id:
		return hint(fmt.Errorf("the plan %s no longer holds: the cluster or the file has changed, and the plan is %s now", id, p.id), "look at \"crm plan %s\" again", name)
	case id != "" || yes:
	case s.cfg.Terminal:
		s.printPlan(p)
		if !s.confirm("Apply it?") {
			return nil
		}
	default:
		return hint(errors.New("apply asks before it changes anything, and nobody is there to answer"), "crm apply --yes %s, or crm apply --plan ID %s with the id that crm plan prints", name, name)
	}
	if message == "" {
		message = "crm apply " + filepath.Base(name)
	}
	if err := s.store(c.ctx, p.base, p.changes, message, s.opts.force); err != nil {
		return err
	}
	s.printf("Applied: %d objects changed.\n", len(p.changes))
	if s.opts.wait {
		return s.waitIdle(c.ctx, 0)
	}
	return nil
}

func (s *Shell) cmdExport(c *call) error {
	form, name := "toml", "-"
	args := c.args
	if len(args) > 0 && slices.Contains([]string{"toml", "xml", "crm"}, args[0]) {
		form, args = args[0], args[1:]
	}
	switch len(args) {
	case 0:
	case 1:
		name = args[0]
	default:
		return c.usage("%q is too much", args[1])
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	var text string
	switch form {
	case "xml":
		text = string(cibxml.Write(snap.Doc, cibxml.Options{NoStatus: true, Plain: true}))
	case "crm":
		text = cibcrm.Print(&snap.Doc.Config, cibcrm.PrintOptions{})
	default:
		data, err := cibtoml.Write(snap.Doc)
		if err != nil {
			return err
		}
		text = string(data)
	}
	if name == "-" {
		_, err := io.WriteString(s.out, text)
		return err
	}
	return writeNew(name, text)
}

func (s *Shell) cmdImport(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	data, err := s.readInput(c.args[0])
	if err != nil {
		return err
	}
	doc, problems, err := cibxml.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	up, translated := cib.Upgrade(doc)
	for _, p := range append(problems, translated...) {
		s.printf("* %s\n", p.String())
	}
	base, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	want := wanted(base, up)
	changes := cib.Diff(base.Doc, want)
	if len(changes) == 0 {
		s.printf("Nothing to change.\n")
		return nil
	}
	if err := checkChange(base.Doc, want); err != nil && !s.opts.force {
		return err
	}
	message := s.opts.message
	if message == "" {
		message = "crm import " + filepath.Base(c.args[0])
	}
	if s.interactive && !s.confirm(fmt.Sprintf("Change %d objects?", len(changes))) {
		return nil
	}
	if err := s.store(c.ctx, base, changes, message, s.opts.force); err != nil {
		return err
	}
	s.printf("Imported: %d objects changed.\n", len(changes))
	return nil
}

func (s *Shell) cmdDiffFile(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	file, err := s.readConfig(c.args[0])
	if err != nil {
		return err
	}
	base, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	for _, l := range cib.Describe(base.Doc, cib.Diff(base.Doc, wanted(base, file))) {
		s.printf("%s\n", l)
	}
	return nil
}

func (s *Shell) cmdRevisions(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	most := 20
	if len(c.args) == 1 {
		n, err := strconv.Atoi(c.args[0])
		if err != nil || n < 1 {
			return c.usage("%q is no number", c.args[0])
		}
		most = n
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	st, err := cl.State(c.ctx, false)
	if err != nil {
		return explain(err)
	}
	rows := [][]string{{"REVISION", "WHEN", "WHO", "NODE", "OBJECTS", "WHY"}}
	list := st.Changes
	for i := len(list) - 1; i >= 0 && most > 0; i, most = i-1, most-1 {
		ch := &list[i]
		objects := strings.Join(ch.Objects, ", ")
		const widest = 60
		if len(objects) > widest {
			objects = fmt.Sprintf("%s and more (%d)", ch.Objects[0], len(ch.Objects))
		}
		rows = append(rows, []string{fmt.Sprint(ch.Index), time.UnixMilli(ch.Time).Format(time.DateTime), ch.Actor, ch.Origin, objects, ch.Message})
	}
	s.table(rows)
	return nil
}
