package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	reasons "github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/store/command"
)

// question is what crm explain was asked.
type question struct {
	resource, node string
	at             string   // a past decision; "" = now
	changes        []string // what if
	scores, list   bool
	output         string
}

func readQuestion(c *call) (*question, error) {
	q := &question{output: "text"}
	var names []string
	for i := 0; i < len(c.args); i++ {
		name, value, has := strings.Cut(c.args[i], "=")
		switch {
		case c.args[i] == "--scores":
			q.scores = true
		case c.args[i] == "--list":
			q.list = true
		case name == "--if" || name == "--at" || name == "--output" || name == "-o":
			if !has {
				if i++; i >= len(c.args) {
					return nil, c.usage("%s needs a value", name)
				}
				value = c.args[i]
			}
			switch name {
			case "--if":
				q.changes = append(q.changes, value)
			case "--at":
				q.at = value
			default:
				q.output = value
			}
		case strings.HasPrefix(c.args[i], "-"):
			return nil, c.usage("unknown option %s", c.args[i])
		default:
			names = append(names, c.args[i])
		}
	}
	switch {
	case q.output != "text" && q.output != "json":
		return nil, c.usage("unknown output %q: text or json", q.output)
	case len(names) > 2:
		return nil, c.usage("%q is too much", names[2])
	case q.list && len(names) > 0:
		return nil, c.usage("--list lists decisions and takes no resource")
	case len(names) == 0 && !q.list && q.at == "":
		return nil, c.usage("an argument is missing")
	}
	if len(names) > 0 {
		q.resource = names[0]
	}
	if len(names) > 1 {
		q.node = names[1]
	}
	return q, nil
}

// cmdExplain says why a resource is where it is, or why it is (not) on one node: now, at a past decision, or what if.
func (s *Shell) cmdExplain(c *call) error {
	q, err := readQuestion(c)
	if err != nil {
		return err
	}
	if q.list {
		return s.listDecisions(c.ctx, 0, q.output)
	}
	var in policy.Input
	var past *api.Decision
	if q.at == "" {
		in, err = s.present(c.ctx)
	} else {
		in, past, err = s.past(c.ctx, q.at)
	}
	if err != nil {
		return err
	}
	in.Trace = model.Trace{Reasons: true}
	original := in.Document
	for _, change := range q.changes {
		if in, err = reasons.WhatIf(in, change); err != nil {
			return err
		}
	}
	d, err := policy.Decide(in)
	if err != nil {
		return err
	}
	if past != nil && q.output == "text" {
		s.describePast(past, d, len(q.changes) > 0)
	}
	if q.resource == "" {
		s.printSummary(d)
		return nil
	}
	answers, err := reasons.Explain(d.Cluster, q.resource, q.node)
	if err != nil {
		if _, missing := mustFind(original, q.resource); missing != nil {
			return missing
		}
		return err
	}
	if q.output == "json" {
		return s.printJSON(answers)
	}
	for i := range answers {
		s.printExplained(&answers[i], q.scores)
	}
	return nil
}

func (s *Shell) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	s.printf("%s\n", data)
	return nil
}

// present is what a decision would be made from now.
func (s *Shell) present(ctx context.Context) (policy.Input, error) {
	in := policy.Input{Now: time.Now().UTC(), Quorate: true}
	if _, live := s.connect().(*editor.Live); live {
		// Without a leader, what this node knows is decided on as a partition without quorum.
		doc, _, leader, err := s.statusDocument(ctx)
		if err != nil {
			return in, err
		}
		in.Document, in.Quorate = doc, leader != ""
		return in, nil
	}
	snap, err := s.load(ctx)
	if err != nil {
		return in, err
	}
	in.Document = snap.Doc
	if snap.State != nil {
		in.Document = command.PolicyDocument(snap.State, leaderOf(snap))
	} else {
		in.Quorate = snap.Doc.Head.HaveQuorum == "" || cib.IsTrue(snap.Doc.Head.HaveQuorum)
	}
	return in, nil
}

// past is what the decision meant by at was made from.
func (s *Shell) past(ctx context.Context, at string) (policy.Input, *api.Decision, error) {
	cl, err := s.live()
	if err != nil {
		return policy.Input{}, nil, err
	}
	id, err := findDecision(ctx, cl, at)
	if err != nil {
		return policy.Input{}, nil, err
	}
	got, err := cl.DecisionInput(ctx, id)
	if err != nil {
		return policy.Input{}, nil, explain(err)
	}
	doc, _, err := cibxml.Read(got.Document)
	if err != nil {
		return policy.Input{}, nil, fmt.Errorf("the document of decision %s: %w", id, err)
	}
	return policy.Input{Document: doc, Now: got.Decision.Time, Quorate: got.Decision.Quorate}, &got.Decision, nil
}

// findDecision finds the id of a decision: TERM.TRANSITION, the transition alone (the newest one), or the last decision at
// or before a time, which is a date, a time of today, or a duration ago.
func findDecision(ctx context.Context, cl *client.Client, at string) (string, error) {
	if decisionID(at) {
		return at, nil
	}
	list, err := cl.Decisions(ctx, 0)
	if err != nil {
		return "", explain(err)
	}
	if len(list) == 0 {
		return "", hint(errors.New("this node has made no decision as leader, or none that is still known"), "look on the node that led then; \"crm status\" says which one leads now")
	}
	if n, err := strconv.ParseUint(at, 10, 64); err == nil {
		for _, d := range list {
			if d.Transition == n && d.Error == "" {
				return d.ID, nil
			}
		}
		return "", hint(fmt.Errorf("this node knows of no decision with transition %d", n), "\"crm history decisions\" lists what it knows")
	}
	when, err := pastTime(at, time.Now())
	if err != nil {
		return "", err
	}
	for _, d := range list {
		if !d.Time.After(when) {
			return d.ID, nil
		}
	}
	oldest := list[len(list)-1]
	return "", hint(fmt.Errorf("this node knows of no decision before %s; the oldest is %s of %s", when.Local().Format(time.DateTime), oldest.ID, oldest.Time.Local().Format(time.DateTime)),
		"older ones may be on another node, if that led then")
}

// decisionID reports whether text has the form of an id: TERM.TRANSITION, with an f where the policy failed.
func decisionID(text string) bool {
	term, rest, ok := strings.Cut(strings.TrimSuffix(text, "f"), ".")
	_, err := strconv.ParseUint(term, 10, 64)
	_, err2 := strconv.ParseUint(rest, 10, 64)
	return ok && err == nil && err2 == nil
}

// pastTime reads a time for --at.
func pastTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimSpace(strings.TrimSuffix(text, "ago"))); err == nil {
		return now.Add(-d.Abs()), nil
	}
	t, err := iso8601.ParseDate(text, now, time.Local)
	if err != nil {
		return t, fmt.Errorf("--at %q: want a decision such as 5.12, a time such as \"2026-01-31 14:05:00\" or 14:05:00, or how long ago, such as 10m", text)
	}
	return t, nil
}

// describePast heads the answer about a past decision, and says so where this program would decide otherwise than the
// one that decided then.
func (s *Shell) describePast(past *api.Decision, d *policy.Decision, changed bool) {
	s.printf("Decision %s of %s at %s (state %d, %d actions)\n", past.ID, past.Node, past.Time.Local().Format("2006-01-02 15:04:05"), past.Index, past.Actions)
	if past.Error != "" {
		first, _, _ := strings.Cut(past.Error, "\n")
		s.printf("  The policy failed then: %s\n", first)
		return
	}
	var now []string
	for _, ch := range d.Summary() {
		now = append(now, ch.String())
	}
	n := len(past.Changes)
	if n > 0 && strings.HasPrefix(past.Changes[n-1], "and ") {
		n-- // shortened there
		now = now[:min(n, len(now))]
	}
	if !changed && !slices.Equal(now, past.Changes[:n]) {
		s.warn("version %s, which decided then, decided otherwise than this program does: %s", past.Version, orNone(strings.Join(past.Changes, "; ")))
	}
}

func (s *Shell) printSummary(d *policy.Decision) {
	lines := policy.SummaryText(d.Summary())
	if len(lines) == 0 {
		s.printf("Nothing to do.\n")
	}
	for _, l := range lines {
		s.printf("  * %s\n", l)
	}
}

func (s *Shell) printExplained(in *reasons.Instance, scores bool) {
	wanted := "wanted nowhere"
	if in.Wanted != "" {
		wanted = "wanted on " + in.Wanted + " as " + in.Role
	}
	s.printf("%s: now on %s, %s\n", in.Resource, orNone(strings.Join(in.Active, ", ")), wanted)
	for _, line := range in.Why {
		s.printf("  %s\n", line)
	}
	for _, a := range in.Actions {
		s.printf("  To do: %s\n", a)
	}
	for _, a := range in.Blocked {
		s.printf("  Cannot be done now: %s\n", a)
	}
	if !scores {
		return
	}
	for _, n := range in.Scores {
		var parts []string
		for _, p := range n.Contributions {
			parts = append(parts, p.Words())
		}
		s.printf("  %-12s %10s  = %s\n", n.Node, reasons.Number(n.Score), orNone(strings.Join(parts, "; ")))
	}
}

// cmdDecisions lists what this node decided as leader.
func (s *Shell) cmdDecisions(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	most := 20
	if len(c.args) == 1 {
		n, err := strconv.Atoi(c.args[0])
		if err != nil || n < 1 {
			return c.usage("%q is no number of at least 1", c.args[0])
		}
		most = n
	}
	return s.listDecisions(c.ctx, most, "text")
}

// listDecisions prints decisions, newest last; most bounds them, 0 = all.
func (s *Shell) listDecisions(ctx context.Context, most int, output string) error {
	cl, err := s.live()
	if err != nil {
		return err
	}
	list, err := cl.Decisions(ctx, most)
	if err != nil {
		return explain(err)
	}
	if output == "json" {
		return s.printJSON(list)
	}
	if len(list) == 0 {
		s.printf("This node has made no decision as leader.\n")
	}
	for i := len(list) - 1; i >= 0; i-- {
		d := &list[i]
		text := fmt.Sprintf("%d actions", d.Actions)
		switch {
		case d.Error != "":
			text, _, _ = strings.Cut("FAILED: "+d.Error, "\n")
		case len(d.Changes) > 0:
			text += ": " + strings.Join(d.Changes, "; ")
		case d.Actions == 0:
			text = "nothing to do"
		}
		mark := " "
		if !d.Kept {
			mark = "-"
		}
		s.printf("%s %-8s %s %s\n", mark, d.ID, d.Time.Local().Format(time.DateTime), text)
	}
	return nil
}
