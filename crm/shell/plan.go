package shell

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/verify"
)

// plan is what a change of the configuration would do. Its exported fields are what "crm plan -o" saves.
type plan struct {
	Format      string        `json:"format"` // planFormat
	ID          string        `json:"id"`     // of Changes, Actions and Content: equal plans have equal ids
	Source      string        `json:"source"` // what was planned, in words
	Made        time.Time     `json:"made"`
	Changes     []string      `json:"changes"` // the difference in words
	Actions     []string      `json:"actions"` // what the cluster would do, in its order
	Interrupted []interrupted `json:"interrupted"`
	Risks       []string      `json:"risks"`    // that the change brings
	Standing    []string      `json:"standing"` // risks that are there already
	Content     []byte        `json:"content"`  // the changes, as command.EncodeChanges writes them

	base    *editor.Snapshot
	changes []cib.Change
}

// planFormat marks a file as a saved plan.
const planFormat = "quorate-plan-1"

// interrupted is a service that is away for a while.
type interrupted struct {
	Resource string `json:"resource"`
	Node     string `json:"node"`
	How      string `json:"how"` // such as "moves to beta"
	// Milliseconds is about how long; -1 = it does not come back.
	Milliseconds int64 `json:"milliseconds"`
	// Recorded says that it is what the operations took; otherwise it is their timeouts, the longest possible.
	Recorded bool `json:"recorded"`
}

func (i *interrupted) String() string {
	text := fmt.Sprintf("%s on %s %s", i.Resource, i.Node, i.How)
	d := (time.Duration(i.Milliseconds) * time.Millisecond).Round(10 * time.Millisecond)
	switch {
	case i.Milliseconds < 0:
		return text
	case i.Recorded:
		return fmt.Sprintf("%s, away for about %v (as recorded)", text, d)
	}
	return fmt.Sprintf("%s, away for at most %v (by its timeouts)", text, d)
}

// planFor works out what changing base to doc would do.
// file is the name of the text that doc was read from, for the places of problems; "" = none.
func (s *Shell) planFor(ctx context.Context, base *editor.Snapshot, doc *cib.Document, source, file string) (*plan, error) {
	p := &plan{Format: planFormat, Source: source, Made: time.Now().UTC().Truncate(time.Second), base: base, changes: cib.Diff(base.Doc, doc)}
	p.Changes = cib.Describe(base.Doc, p.changes)
	if len(p.changes) == 0 {
		return p, nil
	}
	if bad := editor.Errors(base.Doc, doc); len(bad) > 0 {
		out := &errorList{}
		for _, p := range bad {
			out.errs = append(out.errs, errors.New(placed(file, p)))
		}
		return nil, out
	}
	d, err := decide(base, doc)
	if err != nil {
		return nil, err
	}
	summary := d.Summary()
	p.Actions = policy.SummaryText(summary)
	p.Interrupted = interruptions(base.Doc, doc, summary)
	p.Risks, p.Standing = newRisks(base, doc, summary)
	problems, standing := s.newProblems(ctx, base, doc, file)
	p.Risks, p.Standing = append(p.Risks, problems...), append(p.Standing, standing...)
	if p.Content, err = command.EncodeChanges(p.changes); err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n--\n%s\n--\n%s", strings.Join(p.Changes, "\n"), strings.Join(p.Actions, "\n"), p.Content)
	p.ID = hex.EncodeToString(h.Sum(nil)[:6])
	return p, nil
}

// interruptions lists the services that the actions take away for a while, or for good.
func interruptions(now, then *cib.Document, summary []policy.Change) []interrupted {
	var out []interrupted
	for _, ch := range summary {
		if ch.From == "" || ch.Blocked {
			continue
		}
		i := interrupted{Resource: ch.Resource, Node: ch.From, Milliseconds: -1}
		tasks := []string{"stop", "start"}
		switch ch.Verb {
		case "Stop":
			i.How, tasks = "stops and does not come back", nil
		case "Restart", "Recover":
			i.How = strings.ToLower(ch.Verb) + "s"
		case "Move":
			i.How = "moves to " + ch.To
		case "Migrate":
			i.How, tasks = "migrates live to "+ch.To, nil
		case "Demote":
			i.How, tasks = "is demoted", nil
		default:
			continue
		}
		if tasks != nil {
			i.Milliseconds, i.Recorded = 0, true
			for _, task := range tasks {
				d, recorded := operationTime(now, then, ch.Resource, task)
				i.Milliseconds += d.Milliseconds()
				i.Recorded = i.Recorded && recorded
			}
		}
		out = append(out, i)
	}
	return out
}

// operationTime is how long an operation of a resource takes: the longest success on record, else its timeout.
func operationTime(now, then *cib.Document, resource, task string) (d time.Duration, recorded bool) {
	id, _, _ := strings.Cut(resource, ":")
	best := time.Duration(-1)
	for i := range now.Status.Nodes {
		for j := range now.Status.Nodes[i].History {
			h := &now.Status.Nodes[i].History[j]
			if base, _, _ := strings.Cut(h.ID, ":"); base != id {
				continue
			}
			for k := range h.Operations {
				if o := &h.Operations[k]; o.Operation == task && o.RC == 0 && o.Status == 0 && o.ExecTime >= 0 {
					best = max(best, time.Duration(o.ExecTime)*time.Millisecond)
				}
			}
		}
	}
	if best >= 0 {
		return best, true
	}
	return operationTimeout(then, id, task), false
}

// operationTimeout is the timeout that an operation has: its own, its template's, the default.
func operationTimeout(doc *cib.Document, id, task string) time.Duration {
	const standard = 20 * time.Second // of operations without a timeout
	for r, _, ok := cibcrm.Find(&doc.Config, id); ok; r, _, ok = cibcrm.Find(&doc.Config, r.Template) {
		for i := range r.Operations.List {
			for _, a := range r.Operations.List[i].Extra {
				if ms, err := cib.ParseTimeout(a.Value); r.Operations.List[i].Name == task && a.Name == "timeout" && err == nil {
					return time.Duration(ms) * time.Millisecond
				}
			}
		}
		if r.Template == "" || r.Template == r.ID {
			break
		}
	}
	if v, ok := cib.Value(doc.Config.OpDefaults, "timeout"); ok {
		if ms, err := cib.ParseTimeout(v); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return standard
}

// newRisks names what an administrator should know before applying: what the change brings, and what stands already.
func newRisks(base *editor.Snapshot, doc *cib.Document, summary []policy.Change) (fresh, standing []string) {
	before := risks(base, base.Doc)
	for _, r := range risks(base, doc) {
		if slices.Contains(before, r) {
			standing = append(standing, r)
		} else {
			fresh = append(fresh, r)
		}
	}
	for _, ch := range summary {
		if ch.Verb == "Fence" {
			fresh = append(fresh, fmt.Sprintf("node %s is fenced: everything on it ends hard", ch.Node))
		}
	}
	return append(fresh, settingRisks(base.Doc, doc)...), standing
}

// settingRisks names changes of what holds the cluster together.
func settingRisks(now, then *cib.Document) []string {
	var out []string
	for _, c := range cib.Diff(now, then) {
		switch c.Kind {
		case cib.KindCluster:
			out = append(out, "the links or timings of the cluster change: nodes that cannot reach each other on the new ones are cut off")
		case cib.KindNode:
			was, had := cib.FindObject(&now.Config, c.Kind, c.ID)
			switch {
			case had && c.Object != nil && !slices.Equal(was.Node.Links, c.Object.Node.Links):
				out = append(out, fmt.Sprintf("the addresses of node %s change: wrong ones cut it off", c.ID))
			case had && c.Object != nil && (was.Node.Voter != c.Object.Node.Voter || was.Node.Witness != c.Object.Node.Witness):
				out = append(out, fmt.Sprintf("node %s votes in another way: quorum changes", c.ID))
			}
		}
	}
	return out
}

// risks names what is dangerous in a configuration.
func risks(base *editor.Snapshot, doc *cib.Document) []string {
	var out []string
	if q := cib.EffectiveProperty(doc, "no-quorum-policy"); q == "ignore" {
		out = append(out, "no-quorum-policy=ignore: a part without quorum goes on")
	}
	if cib.IsTrue(cib.EffectiveProperty(doc, "maintenance-mode")) {
		out = append(out, "maintenance-mode is on: nothing is started, stopped or watched")
	}
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if v, ok := cib.Value(r.Meta, "is-managed"); ok && !cib.IsTrue(v) {
			out = append(out, fmt.Sprintf("%s is not managed: it is not recovered", r.ID))
		}
		if r.Kind != cib.Primitive || r.Class == "stonith" || r.Template != "" || r.Operations.IDRef != "" {
			return
		}
		if !slices.ContainsFunc(r.Operations.List, func(o cib.Operation) bool { return o.Name == "monitor" }) {
			out = append(out, fmt.Sprintf("%s has no monitor: its failure would not be noticed", r.ID))
		}
	})
	if able := ableNodes(base, doc); able == 1 {
		out = append(out, "only one node can run resources: nothing can fail over")
	} else if able == 0 {
		out = append(out, "no node can run resources")
	}
	return out
}

// newProblems lists what is wrong with a configuration that is no reason to refuse it: what is new, and what stands
// already.
func (s *Shell) newProblems(ctx context.Context, base *editor.Snapshot, doc *cib.Document, file string) (fresh, standing []string) {
	before := make(map[string]bool)
	for _, p := range verify.Problems(verify.Input{After: base.Doc}) {
		before[placed("", p)] = true
	}
	for _, p := range verify.Problems(verify.Input{After: doc}) {
		if text := placed("", p); before[text] {
			standing = append(standing, text)
		} else {
			fresh = append(fresh, placed(file, p))
		}
	}
	for _, p := range verify.Agents(base.Doc, doc, s.metadataOf(ctx)) {
		fresh = append(fresh, placed(file, p))
	}
	return fresh, standing
}

// placed writes a problem with its place in a file, as FILE:LINE:COLUMN; without one where the file is "".
func placed(file string, p cib.Problem) string {
	pos := p.Pos
	p.Pos = cib.Pos{}
	if file == "" || pos.Line == 0 {
		return p.String()
	}
	return fmt.Sprintf("%s:%d:%d: %s", file, pos.Line, max(pos.Column, 1), p.String())
}

// ableNodes counts the nodes that run resources with the configuration: online, no witness, not in standby. -1 = not
// known.
func ableNodes(base *editor.Snapshot, doc *cib.Document) int {
	if base.State == nil {
		return -1
	}
	able := 0
	for i := range doc.Config.Nodes {
		n := &doc.Config.Nodes[i]
		m := base.State.Member(n.Name)
		standby, _ := cib.Value(n.Attributes, "standby")
		if m != nil && m.Online && !n.Witness && !cib.IsTrue(standby) && standby != "on" {
			able++
		}
	}
	return able
}

func (s *Shell) printPlan(p *plan) {
	if len(p.changes) == 0 {
		s.printf("Nothing to change.\n")
		return
	}
	s.printList("Changes:", "  ", p.Changes)
	if len(p.Actions) == 0 {
		s.printf("\nNo resource is started, stopped or moved.\n")
	}
	s.printList("\nActions:", "  * ", p.Actions)
	var away []string
	for i := range p.Interrupted {
		away = append(away, p.Interrupted[i].String())
	}
	s.printList("\nInterrupted:", "  * ", away)
	s.printList("\nMind:", "  ! ", p.Risks)
	s.printList("\nMind, as before:", "  - ", p.Standing)
	s.printf("\nPlan %s\n", p.ID)
}

// counted says how many objects a change has.
func counted(n int) string {
	if n == 1 {
		return "1 object changed"
	}
	return fmt.Sprintf("%d objects changed", n)
}

func (s *Shell) printList(title, mark string, lines []string) {
	if len(lines) == 0 {
		return
	}
	s.printf("%s\n", title)
	for _, l := range lines {
		s.printf("%s%s\n", mark, l)
	}
}

// planFile works out what applying a file or a folder would do.
func (s *Shell) planFile(ctx context.Context, name string) (*plan, error) {
	file, err := s.readConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	base, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	text := name
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		text = "" // the object names its file well enough
	}
	return s.planFor(ctx, base, s.asWritten(base, file, name), filepath.Base(name), text)
}

// savedPlan reads a file that "plan -o" wrote; nil when it is none.
func (s *Shell) savedPlan(name string) (*plan, error) {
	if !strings.HasSuffix(name, ".json") {
		return nil, nil
	}
	data, err := s.readInput(name)
	if err != nil {
		return nil, err
	}
	p := new(plan)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(p); err != nil {
		return nil, hint(fmt.Errorf("%s is no saved plan: %w", name, err), "\"crm plan FILE -o %s\" saves one; configurations are .toml, .crm or .xml", filepath.Base(name))
	}
	if p.Format != planFormat {
		return nil, fmt.Errorf("%s is no saved plan: its format is %q, this build knows %q", name, p.Format, planFormat)
	}
	if p.changes, err = command.DecodeChanges(p.Content); err != nil {
		return nil, fmt.Errorf("%s: the content of the plan cannot be read: %w", name, err)
	}
	return p, nil
}

// renew works a saved plan out again on what is there now. It refuses when that changes what the plan says.
func (s *Shell) renew(ctx context.Context, saved *plan, name string) (*plan, error) {
	base, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	// What is gone already needs no removal.
	changes := slices.DeleteFunc(slices.Clone(saved.changes), func(c cib.Change) bool {
		_, has := cib.FindObject(&base.Doc.Config, c.Kind, c.ID)
		return c.Object == nil && !has
	})
	doc, err := cib.Apply(base.Doc, changes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p, err := s.planFor(ctx, base, doc, saved.Source, "")
	if err != nil {
		return nil, err
	}
	if len(p.changes) == 0 || p.ID == saved.ID {
		return p, nil
	}
	lines := []string{fmt.Sprintf("plan %s no longer holds: the cluster has changed since it was made", saved.ID)}
	lines = append(lines, unlike("change", saved.Changes, p.Changes)...)
	lines = append(lines, unlike("action", saved.Actions, p.Actions)...)
	return nil, hint(errors.New(strings.Join(lines, "\n")), "make the plan again with \"crm plan\", and look at it")
}

// unlike lists what one of two lists has and the other has not.
func unlike(what string, before, now []string) []string {
	var out []string
	for _, l := range before {
		if !slices.Contains(now, l) {
			out = append(out, fmt.Sprintf("  the plan says, and it would not happen now: %s %s", what, l))
		}
	}
	for _, l := range now {
		if !slices.Contains(before, l) {
			out = append(out, fmt.Sprintf("  not in the plan, and it would happen now: %s %s", what, l))
		}
	}
	return out
}

// planOptions are what plan, apply and rollback take besides the names.
type planOptions struct {
	yes         bool
	id, message string
	out         string
	rest        []string
}

func (s *Shell) planOptions(c *call, known ...string) (*planOptions, error) {
	o := &planOptions{yes: s.opts.yes, message: s.opts.message}
	for i := 0; i < len(c.args); i++ {
		name, value, has := strings.Cut(c.args[i], "=")
		if name == "-y" {
			name = "--yes"
		}
		if !strings.HasPrefix(name, "-") || name == "-" {
			o.rest = append(o.rest, c.args[i])
			continue
		}
		if name == "-w" || name == "--wait" {
			s.opts.wait = true
			continue
		}
		if !slices.Contains(known, name) {
			return nil, c.usage("%q is not known", c.args[i])
		}
		if name == "--yes" {
			o.yes = true
			continue
		}
		if !has {
			if i++; i >= len(c.args) {
				return nil, c.usage("%s needs a value", name)
			}
			value = c.args[i]
		}
		*map[string]*string{"--plan": &o.id, "-m": &o.message, "-o": &o.out}[name] = value
	}
	return o, nil
}

func (s *Shell) cmdPlan(c *call) error {
	o, err := s.planOptions(c, "-o")
	if err != nil {
		return err
	}
	if len(o.rest) != 1 {
		return c.usage("one file or folder is needed")
	}
	saved, err := s.savedPlan(o.rest[0])
	if err != nil {
		return err
	}
	var p *plan
	if saved != nil {
		p, err = s.renew(c.ctx, saved, o.rest[0])
	} else {
		p, err = s.planFile(c.ctx, o.rest[0])
	}
	if err != nil {
		return err
	}
	if o.out != "" {
		data, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		if o.out == "-" {
			s.printf("%s\n", data)
			return nil
		}
		if !strings.HasSuffix(o.out, ".json") {
			return c.usage("the name of a saved plan ends in .json, unlike %q", o.out)
		}
		if err := writeNew(o.out, string(data)+"\n"); err != nil {
			return err
		}
	}
	s.printPlan(p)
	return nil
}

func (s *Shell) cmdApply(c *call) error {
	o, err := s.planOptions(c, "--yes", "--plan", "-m")
	if err != nil {
		return err
	}
	if len(o.rest) != 1 {
		return c.usage("one file, folder or saved plan is needed")
	}
	name := o.rest[0]
	saved, err := s.savedPlan(name)
	if err != nil {
		return err
	}
	var p *plan
	if saved != nil {
		o.id = saved.ID
		p, err = s.renew(c.ctx, saved, name)
	} else {
		p, err = s.planFile(c.ctx, name)
	}
	if err != nil {
		return err
	}
	return s.carryOut(c, p, o, "crm apply "+name)
}

// carryOut applies a plan that was confirmed, by its id, by --yes or by a person. command is what to type again.
func (s *Shell) carryOut(c *call, p *plan, o *planOptions, command string) error {
	if len(p.changes) == 0 {
		s.printf("Nothing to change.\n")
		return nil
	}
	switch {
	case o.id != "" && o.id != p.ID:
		return hint(fmt.Errorf("plan %s no longer holds: the cluster or the file has changed, and the plan is %s now", o.id, p.ID), "look at it again with \"crm plan\"")
	case o.id != "" || o.yes || s.opts.force:
	case s.cfg.Terminal:
		s.printPlan(p)
		if !s.confirm("Apply it?") {
			return nil
		}
	default:
		s.printPlan(p)
		return hint(fmt.Errorf("%s asks before it changes anything, and nobody is there to answer", c.cmd.name), "%s --yes, or %s --plan %s, which refuses when the plan is another one by then", command, command, p.ID)
	}
	if o.message == "" {
		o.message = "crm " + c.cmd.name + " " + p.Source
	}
	if err := s.store(c.ctx, p.base, p.changes, o.message, s.opts.force); err != nil {
		return err
	}
	s.printf("Applied: %s.\n", counted(len(p.changes)))
	if s.opts.wait {
		return s.waitIdle(c.ctx, 0)
	}
	return nil
}
